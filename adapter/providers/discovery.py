"""The models a server says it has: its own ``GET {base_url}/models``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from adapter.call.facts import Facts
from adapter.call.failures import explain, explain_facts, where
from adapter.call.translation import Target, api_base
from adapter.config.provider import Provider
from adapter.errors import AdapterError, ExitCode
from adapter.keys.precedence import ResolvedKey, Secret
from adapter.providers.parallel import at_once, within

__all__ = ["AnswerError", "discover", "models_of"]

TIMEOUT_SECONDS = 10.0

MAX_BYTES = 16 * 1024 * 1024
"""Of a list of models; OpenRouter's, the longest known, has half a million."""


class AnswerError(AdapterError):
    """A server did not list its models; ``status`` is the HTTP status of its answer, if any.

    ``is_json`` tells, of an answer that is no list, an API's from a web page.
    """

    def __init__(
        self, message: str, exit_code: int, status: int | None, is_json: bool = False
    ) -> None:
        self.exit_code = exit_code
        self.status = status
        self.is_json = is_json
        super().__init__(message)


def models_of(
    provider: Provider, timeout: float = TIMEOUT_SECONDS, *, keyless: bool = False
) -> list[str]:
    """Return the ids of the provider's models in the server's order, asking it now.

    ``timeout`` is in seconds, of each wait and of the whole list; ``keyless`` sends no key.
    Redirects are not followed: they would take the key elsewhere. This machine is not asked through
    a proxy of the environment. Raises :class:`MissingKeyError`, and :class:`AdapterError` with the
    command's exit code for what the server answers.
    """
    key = ResolvedKey(Secret(""), "(none)", None) if keyless else provider.resolve_key()
    target = Target(provider.name, provider.base_url, "MODEL", key, {})
    url = f"{api_base(provider.base_url)}/models"
    headers = _headers(provider, key)
    from http.client import HTTPException

    from adapter.providers.fetching import TooLongError, get

    try:
        # in all: a server that sends a byte now and then has no limit of its own
        status, body = within(timeout, lambda: get(url, headers, timeout, MAX_BYTES))
    except TooLongError:
        raise _failed(target, None, f"its list of models is over {MAX_BYTES:,} bytes") from None
    except (OSError, HTTPException, ValueError) as error:
        failure = explain(error, target, provider.name)
        raise AnswerError(str(failure), failure.exit_code, None) from None
    data = _parsed(body)
    if status != 200:
        raise _failed(target, status, _said(data))
    ids = _ids(data)
    if ids is None:
        message = f"{where(target)}: the reply to GET /models is no list of models"
        raise AnswerError(message, ExitCode.PROVIDER_FAILED, status, is_json=data is not None)
    return ids


def discover(
    providers: Iterable[Provider], timeout: float = TIMEOUT_SECONDS, *, keyless: bool = False
) -> tuple[dict[str, list[str]], dict[str, AdapterError]]:
    """Ask all providers at once; return the models by provider, and the errors by provider."""

    def ask(provider: Provider) -> list[str] | AdapterError:
        try:
            return models_of(provider, timeout, keyless=keyless)
        except AdapterError as error:
            return error

    asked = list(providers)
    answers = dict(zip((p.name for p in asked), at_once(ask, asked), strict=True))
    return (
        {name: a for name, a in answers.items() if isinstance(a, list)},
        {name: a for name, a in answers.items() if isinstance(a, AdapterError)},
    )


def _headers(provider: Provider, key: ResolvedKey) -> dict[str, str]:
    own = {"Authorization": f"Bearer {key.value}"} if key.value else {}
    return {**own, **provider.headers()}


def _parsed(body: bytes) -> Any:
    """Return what a body says, ``None`` for what is no JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _ids(data: Any) -> list[str] | None:
    entries = data.get("data", data.get("models")) if isinstance(data, dict) else data
    if not isinstance(entries, list):
        return None
    ids = [e.get("id", e.get("name")) if isinstance(e, dict) else e for e in entries]
    return [i for i in ids if isinstance(i, str) and i and i.isprintable()]


def _said(data: Any) -> str:
    error = data.get("error", data) if isinstance(data, dict) else None
    said = error.get("message") if isinstance(error, dict) else error
    return str(said or "to GET /models")


def _failed(target: Target, status: int | None, said: str) -> AnswerError:
    facts = Facts(("Answer",), status, status is not None, said)
    failure = explain_facts(facts, target, "")
    return AnswerError(str(failure), failure.exit_code, status)

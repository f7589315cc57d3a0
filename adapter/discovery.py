"""The models a server says it has: its own ``GET {base_url}/models``."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from adapter.errors import AdapterError
from adapter.facts import Facts
from adapter.failures import PROVIDER_FAILED, explain, explain_facts, where
from adapter.keys import ResolvedKey, Secret
from adapter.parallel import at_once
from adapter.providers import Provider
from adapter.translation import Target, api_base

__all__ = ["AnswerError", "discover", "is_loopback", "models_of"]

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
    import httpx

    key = ResolvedKey(Secret(""), "(none)", None) if keyless else provider.resolve_key()
    target = Target(provider.name, provider.base_url, "MODEL", key, {})
    url = f"{api_base(provider.base_url)}/models"
    headers = _headers(provider, key)
    try:
        # a transport given here takes the place of the proxies
        direct = httpx.HTTPTransport() if is_loopback(httpx.URL(url).host) else None
        with (
            httpx.Client(timeout=timeout, headers=headers, transport=direct) as client,
            client.stream("GET", url) as response,
        ):
            body, end = b"", time.monotonic() + timeout
            for piece in response.iter_bytes():
                body += piece
                if len(body) > MAX_BYTES:
                    raise _failed(target, None, f"its list of models is over {MAX_BYTES:,} bytes")
                if time.monotonic() > end:
                    raise httpx.ReadTimeout("the list of models came too slowly")
    except (httpx.HTTPError, httpx.InvalidURL, ImportError, UnicodeError) as error:
        failure = explain(error, target, provider.name)
        raise AnswerError(str(failure), failure.exit_code, None) from None
    if response.status_code != 200:
        raise _failed(target, response.status_code, _said(body))
    ids = _ids(body)
    if ids is None:
        message = f"{where(target)}: the reply to GET /models is no list of models"
        raise AnswerError(message, PROVIDER_FAILED, response.status_code, _is_json(body))
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


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine: ``localhost``, a name below it, or one of its addresses."""
    from ipaddress import ip_address  # costs milliseconds

    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified  # 0.0.0.0 leads here, too


def _headers(provider: Provider, key: ResolvedKey) -> dict[str, str]:
    own = {"Authorization": f"Bearer {key.value}"} if key.value else {}
    return {**own, **provider.headers()}


def _ids(body: bytes) -> list[str] | None:
    import json

    try:
        data: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    entries = data.get("data", data.get("models")) if isinstance(data, dict) else data
    if not isinstance(entries, list):
        return None
    ids = [e.get("id", e.get("name")) if isinstance(e, dict) else e for e in entries]
    return [i for i in ids if isinstance(i, str) and i and i.isprintable()]


def _is_json(body: bytes) -> bool:
    import json

    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def _said(body: bytes) -> str:
    import json

    try:
        error = json.loads(body)
        error = error.get("error", error)
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, AttributeError, KeyError, RecursionError):
        return "to GET /models"


def _failed(target: Target, status: int | None, said: str) -> AnswerError:
    facts = Facts(("Answer",), status, status is not None, said)
    failure = explain_facts(facts, target, "")
    return AnswerError(str(failure), failure.exit_code, status)

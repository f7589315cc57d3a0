"""Explain a failed call: what it means, what to do, and a note that says where it went.

LiteLLM's exception classes do not always tell (a refused connection arrives as a 500, a 403 as a
plain ``APIError``), so the status code and the chain of causes decide.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from adapter._text import did_you_mean, printable
from adapter.errors import AdapterError, ExitCode
from adapter.keys.precedence import how_to_set
from adapter.secrets.errors import scrub_error
from adapter.secrets.policy import is_secret
from adapter.secrets.scrubber import Scrubber, scrub
from adapter.secrets.secret import Secret
from adapter.upstream.exceptions import UNKNOWN_HOST, ErrorDetails, error_details, is_unknown_model
from adapter.upstream.loading import missing_variables
from adapter.upstream.network import connect_advice, contacted_host

if TYPE_CHECKING:
    from adapter.call.translation import Target

__all__ = [
    "Failure",
    "add_note",
    "base_url_advice",
    "explain",
    "explain_details",
]

_BY_STATUS = {
    401: ExitCode.AUTHENTICATION,
    403: ExitCode.AUTHENTICATION,
    404: ExitCode.NOT_FOUND,
    408: ExitCode.UNREACHABLE,
    429: ExitCode.RATE_LIMITED,
}

_went_to: WeakKeyDictionary[BaseException, Target] = WeakKeyDictionary()
"""Error -> where the call that raised it went, which after a fallback is not where it began."""


class Failure(NamedTuple):
    """A failed call in words: the exit code, what happened, and what to do."""

    exit_code: int
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.what}\n  {self.fix}" if self.fix else self.what


def explain(
    error: BaseException, target: Target | None, model: str, providers: Iterable[str] = ()
) -> Failure:
    """Return what ``error`` means for a call of ``model``, which began at ``target``.

    ``providers`` are the configured ones' names, for a hint where the model is unknown.
    """
    if isinstance(error, AdapterError):
        return Failure(error.exit_code, str(error), "")
    if target is None and is_unknown_model(error):
        hint = did_you_mean(model.partition("/")[0], [*providers, "embedded"])
        return Failure(
            ExitCode.NOT_FOUND,
            f"unknown model {model!r}: no provider of that name, and LiteLLM knows none{hint}",
            "`adapter providers list` shows the configured ones, `adapter providers add` adds one",
        )
    with suppress(TypeError):  # built-in exceptions take no weak reference
        target = _went_to.get(error, target)
    details = error_details(error)
    failure = explain_details(details, target, model)
    return failure if target else _without_key(failure, details, model)


def _without_key(failure: Failure, details: ErrorDetails, model: str) -> Failure:
    """Return why a call of a model of LiteLLM's failed, where LiteLLM finds no key for it.

    It has an error of its own for that with each provider, or asks the server all the same.
    """
    missing = missing_variables(model)
    keys = [variable for variable in missing if variable.endswith("_API_KEY")]
    if not keys:
        return failure
    fix = f"set {', '.join([' or '.join(keys), *(v for v in missing if v not in keys)])}"
    if failure.exit_code == ExitCode.UNREACHABLE:
        return failure._replace(fix=f"LiteLLM finds no key for it either: {fix}")
    if details.from_server or failure.exit_code == ExitCode.ERROR:
        is_refused = failure.exit_code == ExitCode.AUTHENTICATION
        return failure._replace(fix=fix) if is_refused else failure
    return Failure(ExitCode.AUTHENTICATION, f"model {model!r}: LiteLLM finds no key for it", fix)


def explain_details(details: ErrorDetails, target: Target | None, model: str) -> Failure:
    """Return what ``details`` mean for a call of ``model`` to ``target``."""
    place, status = where(target, model), details.status
    # a 408 of the server is a time limit to LiteLLM
    if details.unreachable and not (details.from_server and status == 408):
        words, url = details.unreachable, details.origin or (target.base_url if target else "")
        fix = connect_advice(target.base_url) if target else url and connect_advice(url, "")
        if words == UNKNOWN_HOST and url:
            words = words.replace("the host", f"the host {contacted_host(url)}")
        place = where(target, model, details.origin)
        return Failure(ExitCode.UNREACHABLE, f"{place}: {words}", fix)
    if details.broken and (status is None or status >= 500):
        fix = "" if details.is_cut else base_url_advice(target)
        what, fix = f"{place}: {details.broken}", fix or _advice(ExitCode.PROVIDER_FAILED, target)
        return Failure(ExitCode.PROVIDER_FAILED, what, fix)
    failed = ExitCode.PROVIDER_FAILED if (status or 0) >= 500 else ExitCode.ERROR
    code = _BY_STATUS.get(status or 0, failed)
    shown = f"answered {status}" if details.from_server else f"failed ({details.kind})"
    message = _clean(details.message, target)
    is_no_api = status == 405 if details.from_server else code == ExitCode.PROVIDER_FAILED
    fix = base_url_advice(target) if is_no_api else ""
    return Failure(code, f"{place} {shown}: {message}", fix or _advice(code, target))


def where(target: Target | None, model: str = "", origin: str = "") -> str:
    """Return what failed, in words: the provider with its base URL and key's source, or a model."""
    if target is None:
        return f"model {model!r}" + (f" ({origin})" if origin else "")
    return f"provider {target.name!r} ({target.base_url}, {target.key})"


def base_url_advice(target: Target | None) -> str:
    """Return the base URL to try where what answered seems to be no API, ``""`` for no other."""
    if target is None or re.search(r"/v[0-9]", target.base_url):
        return ""
    likely = f"{target.base_url.rstrip('/')}/v1"
    return f'often base_url ends in /v1: write base_url = "{likely}"'


def _advice(code: ExitCode, target: Target | None) -> str:
    if code == ExitCode.AUTHENTICATION and target is not None:
        if not target.key.found:
            return f"no key was found: {how_to_set(target.key.variable or '')}"
        return f"check the {target.key}"
    if code == ExitCode.NOT_FOUND and target is not None:
        if advice := base_url_advice(target):
            return f"check the model id {target.model!r}; {advice}"
        return f"check the model id {target.model!r} and base_url (often it ends in /v1)"
    return {
        ExitCode.AUTHENTICATION: "check the key's environment variable",
        ExitCode.NOT_FOUND: "check the model id",
        ExitCode.RATE_LIMITED: "wait, or use another provider",
        ExitCode.PROVIDER_FAILED: "try again, or see the server's log",
    }.get(code, "")


def _clean(text: str, target: Target | None) -> str:
    """Return ``text`` short, on one line, without keys (servers echo them) or controls."""
    # which variable LiteLLM reads for its own providers is not known here, so all count
    keys = [v for n, v in os.environ.items() if n.endswith("_API_KEY")]
    if target is not None and target.key.found:
        keys.append(str(target.key.value))
    headers = target.params.get("extra_headers") if target else None
    items = headers.items() if isinstance(headers, Mapping) else ()  # a caller may give anything
    keys += [str(v) for n, v in items if isinstance(v, Secret) or is_secret((n,), v)]
    text = " ".join(Scrubber(keys).text(scrub(text)).split())
    text = printable(text[:301])  # of a body that may be long
    return text if len(text) <= 300 else text[:300] + "…"


def add_note(error: BaseException, target: Target, handled: BaseException | None = None) -> None:
    """Take keys out of ``error``, and attach the provider, base_url and key source (same type).

    ``handled`` is what the caller was handling when the call began; it stays as it is.
    """
    scrub_error(error, handled)
    note = f"provider {target.name!r}, base_url {target.base_url}, {target.key}"
    add_text(error, f"gptme-litellm: {note}")
    with suppress(TypeError):  # built-in exceptions take no weak reference
        _went_to[error] = target


def add_text(error: BaseException, note: str) -> None:
    """Attach a note to ``error`` once (PEP 678)."""
    notes = getattr(error, "__notes__", [])
    if note in notes:
        return
    if hasattr(error, "add_note"):
        error.add_note(note)
    else:  # Python 3.10 has no add_note; the attribute is the same
        error.__notes__ = [*notes, note]  # type: ignore[attr-defined]  # set by PEP 678

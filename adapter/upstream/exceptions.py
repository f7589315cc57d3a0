"""What an exception says that LiteLLM, or a library it sends with, has raised."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

__all__ = [
    "BROKEN",
    "UNKNOWN_HOST",
    "UNREACHABLE",
    "ErrorDetails",
    "causes",
    "error_details",
    "error_status",
    "error_words",
    "is_timeout",
    "is_too_long",
    "is_unknown_model",
]

UNKNOWN_HOST = "the name of the host is not known"

UNREACHABLE: Mapping[str, tuple[str, ...]] = {
    UNKNOWN_HOST: ("socket.gaierror",),
    "the connection was refused": ("builtins.ConnectionRefusedError",),
    "its TLS certificate cannot be verified": ("ssl.SSLCertVerificationError",),
    "the TLS handshake failed": ("ssl.SSLError",),
    "connecting took too long": ("httpx.ConnectTimeout",),
    "no answer within the time limit": (
        *("httpx.ReadTimeout", "openai.APITimeoutError", "builtins.TimeoutError"),
        "asyncio.TimeoutError",  # another class before Python 3.11
    ),
    "cannot connect": ("httpx.ConnectError", "aiohttp.ClientConnectorError"),
    "it redirects to another host, which would get key and prompt": (
        "adapter.upstream.http.RedirectRefusedError",
    ),
}
"""Why a server could not be asked, in words -> the exceptions that mean it. The first counts."""

_ENDED = "the connection ended before all of the reply was there"

BROKEN: Mapping[str, tuple[str, ...]] = {
    _ENDED: (  # how it ended is a matter of chance
        *("httpx.RemoteProtocolError", "httpx.ReadError", "httpx.WriteError"),
        *("aiohttp.ServerDisconnectedError", "aiohttp.ClientPayloadError"),
        *("http.client.RemoteDisconnected", "http.client.IncompleteRead"),
    ),
    "the reply is longer than its max_response_bytes allows": (
        "adapter.upstream.limits.ResponseTooLargeError",
    ),
    "the reply is compressed in a way that was not asked for": (
        "adapter.upstream.limits.UnknownEncodingError",
    ),
    "the reply is not JSON": ("json.JSONDecodeError",),
    "the reply is not HTTP": (
        *("aiohttp.http_exceptions.BadStatusLine", "aiohttp.http_exceptions.LineTooLong"),
        *("http.client.BadStatusLine", "http.client.LineTooLong"),
    ),
}
"""What is wrong with a reply, in words -> the exceptions that mean it."""

MOST_ENTRIES = 5
"""Of a list of errors; a server that checks a request names each field that is wrong."""

DEEPEST = 8
"""How deep errors lie inside each other; those of a proxy before a proxy take four."""

_FIELDS = ("error", "errors", "message", "msg", "detail", "details")


class ErrorDetails(NamedTuple):
    """What an exception and its causes say.

    ``kind`` is the exception's class. ``status`` is the HTTP status, which is the server's own when
    ``from_server``: LiteLLM makes one up where there is none. ``message`` may hold a key that the
    server repeated. ``unreachable`` and ``broken`` are words of the tables above, or empty.
    ``origin`` is where the request went, as in ``https://host:1234``, or empty.
    """

    kind: str
    status: int | None
    from_server: bool
    message: str
    unreachable: str = ""
    broken: str = ""
    origin: str = ""

    @property
    def is_cut(self) -> bool:
        """Whether the connection ended before the reply."""
        return self.broken == _ENDED


def error_details(error: BaseException) -> ErrorDetails:
    """Return what ``error`` and its causes say."""
    # LiteLLM's Router takes this wrapper off, so that without one it would be named instead
    original = getattr(error, "original_exception", None)
    wrapper = _classes("litellm.exceptions.MidStreamFallbackError")
    if isinstance(error, wrapper) and isinstance(original, Exception):
        error = original
    chain = list(causes(error))
    was_reset, status = _was_reset(chain), getattr(error, "status_code", None)
    return ErrorDetails(
        kind=type(error).__name__,
        status=status if isinstance(status, int) else None,
        from_server=any(
            hasattr(cause, "response") and not type(cause).__module__.startswith("litellm")
            for cause in chain
        ),
        message=_message(chain),
        unreachable="" if was_reset else _first(UNREACHABLE, chain),
        broken=_ENDED if was_reset else _first(BROKEN, chain),
        origin=_origin(chain),
    )


def _origin(chain: Iterable[Any]) -> str:
    for cause in chain:
        # LiteLLM's own errors have a request that never was
        if not type(cause).__module__.startswith("litellm"):
            with suppress(Exception):  # most have no request, and httpx raises where there is none
                parts = urlsplit(str(cause.request.url))
                return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return ""


def is_timeout(error: BaseException) -> bool:
    """Return whether a request was given up since it took too long."""
    return isinstance(
        error, _classes("httpx.TimeoutException", "openai.APITimeoutError", "builtins.TimeoutError")
    )


def is_too_long(error: BaseException) -> bool:
    """Return whether a prompt was longer than the model's context window."""
    return isinstance(error, _classes("litellm.exceptions.ContextWindowExceededError"))


def is_unknown_model(error: BaseException) -> bool:
    """Return whether LiteLLM knows no provider for a model string."""
    return "LLM Provider NOT provided" in str(error)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and what it came from, nearest first; a cycle ends it."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _classes(*names: str) -> tuple[type[BaseException], ...]:
    """Return the exception classes of these dotted names.

    Of a library that is not imported there is none, nor is there an error of it to tell; to import
    it would take long. The OpenAI SDK sends with ``httpx2`` from 3.0 on.
    """
    dotted = [name.rpartition(".") for name in names]
    dotted += [("httpx2", "", name) for library, _, name in dotted if library == "httpx"]
    modules = ((sys.modules.get(library), name) for library, _, name in dotted)
    return tuple(cls for module, name in modules if (cls := getattr(module, name, None)))


def _is_any(chain: Iterable[BaseException], *names: str) -> bool:
    classes = _classes(*names)
    return any(isinstance(cause, classes) for cause in chain)


def _first(table: Mapping[str, tuple[str, ...]], chain: Iterable[BaseException]) -> str:
    return next((words for words, names in table.items() if _is_any(chain, *names)), "")


def _was_reset(chain: Iterable[BaseException]) -> bool:
    """Return whether a connection was reset after it was made."""
    if not _is_any(chain, "builtins.ConnectionResetError", "builtins.BrokenPipeError"):
        return False
    # LiteLLM's asynchronous transport says ConnectError for any error of aiohttp's
    if _is_any(chain, "aiohttp.ClientOSError"):
        return not _is_any(chain, "aiohttp.ClientConnectorError")
    return not _is_any(chain, "httpx.ConnectError")


def _message(chain: list[BaseException]) -> str:
    """Return what the server said, else LiteLLM's words without its class names."""
    for cause in chain:
        response = getattr(cause, "response", None)
        text = _response_words(response) if response is not None else None
        if text:
            return text
    # an error with status 200 has its words in the innermost of LiteLLM's exceptions only
    texts = (str(chain[0]), *(str(getattr(cause, "message", "")) for cause in chain))
    # LiteLLM puts a traceback into the message of a reply that it cannot read
    heads = (
        text.splitlines()[0].partition(" Traceback (most recent call last)")[0]
        for text in texts
        if text
    )
    lines = (head.rpartition("Exception - ")[2] for head in heads)
    return next(filter(None, lines), "no reason was given" if texts[0] else type(chain[0]).__name__)


def _response_words(response: Any) -> str | None:
    try:
        text = str(response.text)
    except Exception:  # noqa: BLE001 - an unread stream: no message to take
        return None
    try:
        return error_words(json.loads(text))
    except ValueError:  # a page of a server in between, say; from openai 3 on no error quotes it
        # under 200 LiteLLM may put what the body says there
        status = response.status_code
        return text.strip() if isinstance(status, int) and status >= 400 else None


def error_words(body: Any) -> str | None:
    """Return the message in an error's JSON body with the causes inside it, or ``None``.

    Known are OpenAI's form, ``detail`` (FastAPI, as text or as a list of validation errors),
    ``metadata.raw`` (OpenRouter's provider), a list of errors, and JSON in a text.
    """
    return ": ".join(dict.fromkeys(_words(body, DEEPEST))) or None


def _words(value: Any, deep: int) -> Iterator[str]:
    """Yield the messages in ``value``, outermost first."""
    if deep == 0:
        return
    if isinstance(value, str):
        yield from _words_of_text(value, deep)
    elif isinstance(value, list):
        entries = (": ".join(_words(entry, deep - 1)) for entry in value[:MOST_ENTRIES])
        if text := "; ".join(filter(None, entries)):
            yield text
    elif isinstance(value, Mapping):
        place = value.get("loc")  # pydantic's validation errors, as FastAPI sends them
        if isinstance(place, list):
            yield ".".join(map(str, place))
        for field in _FIELDS:
            yield from _words(value.get(field), deep - 1)
        metadata = value.get("metadata")
        if isinstance(metadata, Mapping):
            yield from _words(metadata.get("raw"), deep - 1)


def _words_of_text(text: str, deep: int) -> Iterator[str]:
    if text.lstrip().startswith(("{", "[")):
        try:
            inner = json.loads(text)
        except (ValueError, RecursionError):
            inner = None
        if words := list(_words(inner, deep - 1)):
            yield from words
            return
    if text.startswith("litellm."):
        # a LiteLLM proxy's: its class names, and what its router tried
        text = text.partition("\n\nLiteLLM: ")[0].rpartition("Exception - ")[2]
    if text.strip():
        yield text


def error_status(error: Any) -> int | None:
    """Return the HTTP status that an error object names, 400 to 599, which may be in quotes."""
    if not isinstance(error, Mapping):
        return None
    for field in ("code", "status", "status_code"):
        text = str(error.get(field))
        if len(text) == 3 and text.isdecimal() and text[0] in "45":
            return int(text)
    return None

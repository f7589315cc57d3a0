"""One query through a running gateway: plain HTTP, without LiteLLM, which takes seconds to import.

The answer and every error are those of the same query without a gateway: the gateway tells what
explains an error (see ``gateway_process``), and :mod:`adapter.call.failures` puts it into words.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from adapter.call.facts import FACTS_HEADER, Facts, RemoteError
from adapter.errors import ExitCode, GatewayError
from adapter.keys.precedence import Secret
from adapter.query.answers import Kept, pieces

if TYPE_CHECKING:
    from typing import Protocol

    class Reply(Protocol):
        """What ``loopback`` and ``http.client`` give alike."""

        status: int

        @property
        def headers(self) -> Any: ...

        def readline(self, limit: int, /) -> bytes: ...

        def read(self, limit: int, /) -> bytes: ...


__all__ = ["Route", "UnsentError", "ask"]

RETRIED = frozenset({408, 409, 429})
"""Besides 5xx: what the OpenAI SDK tries again, with its waits (``_calculate_retry_timeout``)."""

LONGEST_LINE = 64 * 1024 * 1024
"""In bytes, of one event or a whole answer that is not streamed."""


class UnsentError(Exception):
    """The gateway cannot be reached, so nothing was sent; its cause says why."""


class Route(NamedTuple):
    """A way to a gateway: its URL, its key, and whether it is one of ours (``own``)."""

    url: str
    key: Secret | None
    own: bool


class LostError(Exception):
    """The gateway's answer is cut short or makes no sense."""


class _Item(SimpleNamespace):
    """A JSON object with attributes, ``None`` where there is none, as LiteLLM's answers have."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


def ask(
    route: Route,
    query: Mapping[str, Any],
    timeout: float,
    retries: int = 0,
    kept: Kept | None = None,
) -> Iterator[str]:
    """Return the answer's text piece by piece as it comes, see ``answers.pieces``.

    ``query`` is the body of a chat completion. ``timeout`` is how long the gateway may be silent,
    in seconds. Raises :class:`UnsentError` before anything was sent, :class:`RemoteError` for what
    a provider or the gateway answers, and :class:`GatewayError` when it goes away.
    """
    body = json.dumps(query).encode()
    for attempt in range(retries):
        try:
            response = _send(route, body, timeout)
        except RemoteError:  # it was silent for too long
            time.sleep(_pause(attempt, None))
            continue
        if response.status < 500 and response.status not in RETRIED:
            return _text(route, response, kept)
        time.sleep(_pause(attempt, response))
    return _text(route, _send(route, body, timeout), kept)


def _send(route: Route, body: bytes, timeout: float) -> Reply:
    headers = {"Content-Type": "application/json", FACTS_HEADER: "1"}
    if route.key:
        headers["Authorization"] = f"Bearer {route.key}"
    parts = urlsplit(route.url)
    base = parts.path.rstrip("/")
    path = f"{base if base.endswith('/v1') else base + '/v1'}/chat/completions"
    send = _send_own if route.own else _send_foreign
    return send(route, path, headers, body, timeout)


def _send_own(
    route: Route, path: str, headers: dict[str, str], body: bytes, timeout: float
) -> Reply:
    from adapter.query.loopback import post

    parts = urlsplit(route.url)
    host = (parts.hostname or "").encode()  # for a text Python loads tables of Unicode names
    try:
        # getaddrinfo takes bytes, and typeshed does not say so here
        connection = socket.create_connection((host, parts.port or 80), timeout)  # type: ignore[arg-type]
    except OSError as error:
        raise UnsentError from error
    try:
        return post(connection, path, headers, body)
    except (OSError, ValueError) as error:
        raise _lost(route, error) from error


def _send_foreign(
    route: Route, path: str, headers: dict[str, str], body: bytes, timeout: float
) -> Reply:
    from http.client import HTTPException
    from urllib.request import Request

    from adapter.providers import fetching

    parts = urlsplit(route.url)
    request = Request(f"{parts.scheme}://{parts.netloc}{path}", body, headers, method="POST")
    try:
        reply: Reply = fetching.send(request, timeout)
    except fetching.UnsentError as error:
        raise UnsentError from error.__cause__
    except (OSError, HTTPException) as error:
        raise _lost(route, error) from error
    return reply


def _lost(route: Route, error: Exception) -> Exception:
    """Return the error for a gateway that was silent for too long, or went away."""
    if isinstance(error, TimeoutError) and not route.own:
        return RemoteError(Facts(("ReadTimeout",), None, False, "no answer"))
    # one of ours tells of a silent provider itself, before this
    silent = isinstance(error, TimeoutError)
    what = "does not answer" if silent else "went away during the query"
    return GatewayError(
        f"the gateway at {route.url} {what} (--no-gateway answers without one)",
        exit_code=ExitCode.UNREACHABLE if silent else ExitCode.PROVIDER_FAILED,
    )


def _pause(attempt: int, response: Reply | None) -> float:
    """Return how long to wait before a retry, in seconds, as the OpenAI SDK does."""
    import random  # a millisecond that only a retry needs

    told = None
    if response is not None:
        response.read(LONGEST_LINE)
        headers = response.headers
        told = headers.get("llm_provider-retry-after") or headers.get("retry-after")
    try:
        seconds = float(told or 0)
    except ValueError:
        seconds = 0.0
    if 0 < seconds <= 60:
        return seconds
    return float(min(0.5 * 2.0**attempt, 8.0) * (1 - 0.25 * random.random()))


def _text(route: Route, response: Reply, kept: Kept | None) -> Iterator[str]:
    """Yield the text of an answer. What has not the shape of one is an answer that is lost."""
    try:
        for piece in pieces(_chunks(route, response), kept):
            if not isinstance(piece, str):
                raise LostError("the text of the answer is no text")
            yield piece
    except RemoteError:
        raise
    except Exception as error:  # http.client's have no class in common with a socket's
        raise _lost(route, error) from error


def _chunks(route: Route, response: Reply) -> Iterator[Any]:
    """Yield the chunks of an answer; raise what the gateway says went wrong."""
    if response.status != 200:
        told = response.headers.get(FACTS_HEADER) if route.own else None
        raise RemoteError(_facts(told, response.status, response.read(LONGEST_LINE)))
    if "text/event-stream" not in response.headers.get("content-type", ""):
        data = response.read(LONGEST_LINE)
        if getattr(response, "length", None):  # http.client's limited read() does not tell
            raise LostError("the reply is cut, or too long")
        whole = _parse(data)
        if whole.error is not None:
            raise RemoteError(_facts(None, None, data))
        yield whole
        return
    yield from _events(response, route.own)


def _events(response: Reply, own: bool) -> Iterator[Any]:
    told = None
    for line in _lines(response):
        if own and line.startswith(b": " + FACTS_HEADER.encode()):
            told = line.split(b" ", 2)[2].decode()
        if not line.startswith(b"data:"):
            continue
        data = line[5:].strip()
        if data == b"[DONE]":
            return
        chunk = _parse(data)
        if chunk.error is not None:
            raise RemoteError(_facts(told, None, data))
        yield chunk
    raise LostError("the stream ended without [DONE]")


def _lines(response: Reply) -> Iterator[bytes]:
    """Yield the lines, which end in LF, CRLF or CR (WHATWG HTML, 9.2.5)."""
    while line := response.readline(LONGEST_LINE):
        yield from line.splitlines()


def _parse(data: bytes) -> Any:
    parsed = json.loads(data, object_hook=lambda table: _Item(**table))
    if not isinstance(parsed, _Item):
        raise ValueError("not a JSON object")
    return parsed


def _facts(told: str | None, status: int | None, body: bytes) -> Facts:
    """Return what the gateway tells of an error, else what its answer says."""
    if told:
        kinds, own_status, answered, said = json.loads(told)
        return Facts(tuple(kinds), own_status, answered, said)
    try:
        error = json.loads(body)["error"]
        said = error["message"] if isinstance(error, dict) else error
        code = error.get("code") if isinstance(error, dict) else None
    except (ValueError, KeyError, TypeError):
        said, code = body.decode(errors="replace"), None
    if status is None:  # in the middle of a stream
        status = int(str(code)) if str(code).isdecimal() else 500
    said = str(said).partition("\n\nLiteLLM: ")[0]  # LiteLLM's router adds what it tried
    return Facts(("RemoteError",), status, True, said.rpartition("Exception - ")[2] or "no reason")

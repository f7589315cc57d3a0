"""What stands between a gateway's clients and LiteLLM's proxy, as an ASGI application.

A check of Host and Origin, the facts of errors for clients of ours, and no key in any answer.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable, MutableMapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

from adapter.facts import FACTS_HEADER
from adapter.keys import MASK
from adapter.providers import is_loopback

__all__ = ["App", "guarded", "remember"]

SHORTEST = 8
"""In characters, of a key that is looked for in answers: a shorter one may be a word of them."""

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::\d+)?")
"""Host and port (RFC 3986, 3.2), each in its plainest form."""

_facts: ContextVar[list[str]] = ContextVar("facts")

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Callable[[], Awaitable[Message]], Send], Coroutine[Any, Any, None]]


def remember(facts: str) -> None:
    """Keep the facts of an error, as JSON, for the client of the request under way."""
    with suppress(LookupError):
        _facts.get().append(facts)


def guarded(app: App, secrets: Iterable[str], *, local: bool) -> App:
    """Return ``app`` behind the checks; ``local`` says that only this machine may ask.

    On loopback a web page could otherwise reach the gateway by a name that resolves to 127.0.0.1.
    It would still lack the key.
    """
    hidden = sorted({s.encode() for s in secrets if len(s) >= SHORTEST}, key=len, reverse=True)

    async def answer(scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):  # what is left is the start and the end
            await app(scope, receive, send)
            return
        headers = {k.lower(): v.decode("latin-1") for k, v in scope["headers"]}
        if local and not (_is_local(headers.get(b"host")) and _is_local(headers.get(b"origin"))):
            await _refuse(scope["type"], send)
            return
        if scope["type"] == "http":
            send = _redacted(send, hidden)
            send = _telling(send) if FACTS_HEADER.encode() in headers else send
        await app(scope, receive, send)

    return answer


def _is_local(name: str | None) -> bool:
    """Whether a Host or Origin names this machine."""
    if name is None:
        return True
    found = _AUTHORITY.fullmatch(name.rpartition("://")[2].removesuffix("/"))
    return found is not None and is_loopback(found[1])


async def _refuse(kind: str, send: Send) -> None:
    if kind == "websocket":
        await send({"type": "websocket.close", "code": 1008})  # RFC 6455, 7.4.1: policy violation
        return
    body = b'{"error": {"message": "this gateway answers its own machine only", "code": "403"}}'
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _redacted(send: Send, hidden: list[bytes]) -> Send:
    """Return ``send`` that hides keys: LiteLLM's routes for models show headers, servers echo keys.

    A stream is searched event by event; any other answer as a whole, since its length may change.
    """
    held: list[Message] = []

    def clean(body: bytes) -> bytes:
        for secret in hidden:
            body = body.replace(secret, MASK.encode())
        return body

    async def pass_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(name, clean(value)) for name, value in message["headers"]]
            message = {**message, "headers": headers}
            kinds = [v for k, v in message["headers"] if k.lower() == b"content-type"]
            if any(b"json" in kind for kind in kinds):
                held.append(message)
                return
        elif message["type"] == "http.response.body":
            if held:
                held.append(message)
                if message.get("more_body"):
                    return
                start, *parts = held
                held.clear()
                body = clean(b"".join(part.get("body", b"") for part in parts))
                length = (b"content-length", str(len(body)).encode())
                others = [h for h in start["headers"] if h[0].lower() != b"content-length"]
                await send({**start, "headers": [*others, length]})
                message = {"type": "http.response.body", "body": body}
            else:
                message = {**message, "body": clean(message.get("body", b""))}
        await send(message)

    return pass_on


def _telling(send: Send) -> Send:
    """Return ``send`` with an error's facts in a header, or in a comment within the stream."""
    found: list[str] = []
    _facts.set(found)
    told = False

    async def tell(message: Message) -> None:
        nonlocal told
        if message["type"] == "http.response.start" and found:
            told = True
            header = (FACTS_HEADER.encode(), found[-1].encode())
            message = {**message, "headers": [*message["headers"], header]}
        elif message["type"] == "http.response.body" and found and not told:
            told = True  # a comment (HTML standard, server-sent events), then the error itself
            comment = f": {FACTS_HEADER} {found[-1]}\n\n".encode()
            message = {**message, "body": comment + message.get("body", b"")}
        await send(message)

    return tell

"""What stands between a gateway's clients and LiteLLM's proxy, as an ASGI application.

A check of Host, Origin and master key; what answers may say is in ``gateway_answers``.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from hmac import compare_digest
from typing import Any
from urllib.parse import parse_qsl

from adapter.call.facts import FACTS_HEADER
from adapter.config.provider import is_loopback
from adapter.gateway.responses import Hidden, Message, Send, passing_waits, redacted, telling

__all__ = ["App", "guarded"]

PUBLIC = frozenset({"/health/liveliness", "/health/liveness"})
"""Paths that anybody may GET, for probes. They say that the gateway lives, and nothing else."""

_SCHEMES = (b"bearer ", b"basic ")
"""What LiteLLM takes off a header before it reads the rest as the key itself."""

_AWS_CREDENTIAL = re.compile(rb"Credential=(?:Bearer\s+)?([^/\s,]+)")
"""Where LiteLLM finds the key in an AWS signature, as LangChain sends it."""

_SUBPROTOCOL = "openai-insecure-api-key."
"""How a WebSocket client that cannot set headers names its key (OpenAI, Realtime API)."""

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::\d+)?")
"""Host and port (RFC 3986, 3.2), each in its plainest form."""

App = Callable[[Message, Callable[[], Awaitable[Message]], Send], Coroutine[Any, Any, None]]


def guarded(app: App, hidden: Hidden, *, local: bool, key: str | None = None) -> App:
    """Return ``app`` behind the checks, saying nothing that is ``hidden``.

    ``local`` says that only this machine may ask: on loopback a web page could otherwise reach the
    gateway by a name that resolves to 127.0.0.1. ``key`` is what every request but those of
    ``PUBLIC`` must carry; LiteLLM itself leaves dozens of routes open. ``None`` where others have
    keys too, which only LiteLLM knows.
    """
    master = None if key is None else key.encode()

    async def answer(scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):  # what is left is the start and the end
            await app(scope, receive, send)
            return
        if local and not _comes_from_here(scope["headers"]):
            await _refuse(scope["type"], 403, "this gateway answers its own machine only", send)
            return
        if master is not None and not _is_public(scope) and not _holds(scope, master):
            why = "this gateway needs its key: Authorization: Bearer $(adapter serve --key)"
            await _refuse(scope["type"], 401, why, send)
            return
        tells = any(name.lower() == FACTS_HEADER.encode() for name, _ in scope["headers"])
        send = redacted(send, hidden)
        if scope["type"] == "http":
            send = passing_waits(send)
            send = telling(send) if tells else send
        # what LiteLLM compresses could not be searched for keys
        kept = [h for h in scope["headers"] if h[0].lower() != b"accept-encoding"]
        await app({**scope, "headers": kept}, receive, send)

    return answer


def _comes_from_here(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request is of this machine and not of a web page of another site."""
    found = [(name.lower(), value.decode("latin-1")) for name, value in headers]
    if not all(_is_local(value) for name, value in found if name in (b"host", b"origin")):
        return False
    # a browser sends no Origin with a link or an image, but says this (Fetch Metadata, 2.3)
    foreign = (b"sec-fetch-site", "cross-site") in found
    return not foreign or any(name == b"origin" for name, _ in found)


def _is_local(name: str) -> bool:
    """Whether a Host or Origin names this machine."""
    found = _AUTHORITY.fullmatch(name.rpartition("://")[2].removesuffix("/"))
    return found is not None and is_loopback(found[1])


def _is_public(scope: Message) -> bool:
    return scope.get("method") == "GET" and scope.get("path") in PUBLIC


def _holds(scope: Message, key: bytes) -> bool:
    """Whether a request carries ``key`` in a place where LiteLLM may look for it: any header.

    LiteLLM then goes by the place. The time a comparison takes tells nothing of the key.
    """
    return any(compare_digest(value, key) for value in _credentials(scope))


def _credentials(scope: Message) -> Iterator[bytes]:
    for name, value in scope["headers"]:
        yield value
        for scheme in _SCHEMES:
            if value[: len(scheme)].lower() == scheme:
                yield value[len(scheme) :]
        if value[:6].lower() == b"basic ":
            with suppress(ValueError):
                user, _, password = b64decode(value[6:]).partition(b":")
                yield from (user, password)  # Langfuse's clients: a public key and a secret one
        if found := _AWS_CREDENTIAL.search(value):
            yield found[1]
        if name.lower() == b"sec-websocket-protocol":
            for protocol in value.decode("latin-1").split(","):
                yield protocol.strip().removeprefix(_SUBPROTOCOL).encode()
    query = scope.get("query_string", b"").decode("latin-1")
    with suppress(ValueError):  # thousands of fields, or no UTF-8
        for name, text in parse_qsl(query, max_num_fields=100):
            if name == "key":  # as Google's clients send it
                yield text.encode("utf-8", "replace")


async def _refuse(kind: str, status: int, why: str, send: Send) -> None:
    if kind == "websocket":
        await send({"type": "websocket.close", "code": 1008})  # RFC 6455, 7.4.1: policy violation
        return
    error = {"message": why, "type": "auth_error", "param": None, "code": str(status)}
    body = json.dumps({"error": error}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))  # RFC 9110, 15.5.2
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

"""Check who asks a gateway, by Host, Origin and master key, before LiteLLM's proxy does."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hmac import compare_digest
from urllib.parse import parse_qsl

from adapter.config.provider import is_loopback
from adapter.gateway.responses import (
    App,
    Hidden,
    Message,
    Receive,
    Send,
    redacted,
    with_retry_after,
)

__all__ = ["PUBLIC", "Guard"]

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


class Guard:
    """An ASGI application before LiteLLM's proxy: it checks who asks, and hides keys in answers.

    ``local_only`` says that only this machine may ask: on loopback a web page could otherwise reach
    the gateway by a name that resolves to 127.0.0.1. ``key`` is what every request but those of
    ``PUBLIC`` must carry; LiteLLM itself leaves dozens of routes open. It is ``None`` where others
    have keys too, which only LiteLLM knows.
    """

    def __init__(
        self, app: App, hidden: Hidden, *, local_only: bool, key: str | None = None
    ) -> None:
        self._app = app
        self._hidden = hidden
        self._local_only = local_only
        self._key = None if key is None else key.encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):  # what is left is the start and the end
            await self._app(scope, receive, send)
            return
        if self._local_only and not _is_from_here(scope["headers"]):
            await _refuse(scope["type"], 403, "this gateway answers its own machine only", send)
            return
        if self._key is not None and not _is_public(scope) and not _has_key(scope, self._key):
            why = "this gateway needs its key: Authorization: Bearer $(adapter serve --key)"
            await _refuse(scope["type"], 401, why, send)
            return
        send = redacted(send, self._hidden)
        if scope["type"] == "http":
            send = with_retry_after(send)
        # what LiteLLM compresses could not be searched for keys
        headers = [h for h in scope["headers"] if h[0].lower() != b"accept-encoding"]
        await self._app({**scope, "headers": headers}, receive, send)


def _is_from_here(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a request is of this machine and not of a web page of another site."""
    decoded = [(name.lower(), value.decode("latin-1")) for name, value in headers]
    if not all(_is_local(value) for name, value in decoded if name in (b"host", b"origin")):
        return False
    # a browser sends no Origin with a link or an image, but says this (Fetch Metadata, 2.3)
    is_foreign = (b"sec-fetch-site", "cross-site") in decoded
    return not is_foreign or any(name == b"origin" for name, _ in decoded)


def _is_local(name: str) -> bool:
    """Return whether a Host or Origin names this machine."""
    match = _AUTHORITY.fullmatch(name.rpartition("://")[2].removesuffix("/"))
    return match is not None and is_loopback(match[1])


def _is_public(scope: Message) -> bool:
    return scope.get("method") == "GET" and scope.get("path") in PUBLIC


def _has_key(scope: Message, key: bytes) -> bool:
    """Return whether a request carries ``key`` where LiteLLM may look for it: in any header.

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
        if match := _AWS_CREDENTIAL.search(value):
            yield match[1]
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

"""An application before LiteLLM's proxy: checks each request, removes keys from answers."""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64decode
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from hmac import compare_digest
from urllib.parse import parse_qsl

from adapter.config.provider import is_loopback
from adapter.gateway.requests import (
    App,
    Message,
    Receive,
    RequestRefusedError,
    Send,
    check_fields,
    read_body,
    route_pattern,
)
from adapter.gateway.settings import GuardSettings
from adapter.secrets.scrubber import ScrubbedBytes, Scrubber

__all__ = ["PUBLIC", "Guard"]

PUBLIC = frozenset({"/health/liveliness", "/health/liveness"})
"""Paths that anybody may GET, for probes. They tell that the gateway runs, and nothing else."""

_SCHEMES = (b"bearer ", b"basic ")
"""What LiteLLM takes off a header before it reads the rest as the key itself."""

_KEY_HEADERS = frozenset(
    {
        *(b"authorization", b"x-litellm-api-key", b"api-key", b"x-api-key", b"x-goog-api-key"),
        b"ocp-apim-subscription-key",
    }
)
"""Headers that LiteLLM reads a key from, each before the next."""

_AWS_CREDENTIAL = re.compile(rb"Credential=(?:Bearer\s+)?([^/\s,]+)")
"""Where LiteLLM finds the key in an AWS signature, as LangChain sends it."""

_SUBPROTOCOL = "openai-insecure-api-key."
"""How a WebSocket client that cannot set headers names its key (OpenAI, Realtime API)."""

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::\d+)?")
"""Host and port (RFC 3986, 3.2), each in its plainest form."""

_ORIGIN = re.compile(rf"https?://{_AUTHORITY.pattern}/?", re.IGNORECASE)


class Guard:
    """An ASGI application before LiteLLM's proxy.

    On loopback a web page could reach the gateway by a name that resolves to 127.0.0.1, so ``Host``
    and ``Origin`` are checked. ``key`` is what every request but those of ``PUBLIC`` must carry;
    LiteLLM itself leaves dozens of routes open. It is ``None`` where others have keys too, which
    only LiteLLM knows. ``refused`` are fields that no request may hold.
    """

    def __init__(
        self,
        app: App,
        scrubber: Scrubber,
        settings: GuardSettings,
        *,
        key: str | None = None,
        refused: Collection[str] = (),
    ) -> None:
        self._app = app
        self._scrubber = scrubber
        self._settings = settings
        self._key = None if key is None else key.encode()
        self._refused = refused
        self._routes = route_pattern(settings.routes or ())

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):  # what is left is the start and the end
            await self._app(scope, receive, send)
            return
        try:
            scope = self._check(scope)
            body: bytes | None = b""
            if scope["type"] == "http":
                body = await read_body(scope, receive, self._settings.max_request_bytes)
            if body is None:  # the client has left
                return
            json_only = self._settings.routes is not None
            await check_fields(scope, body, self._refused, json_only=json_only)
        except RequestRefusedError as error:
            await _send_error(scope["type"], error.status, str(error), send)
            return
        send = _without_keys(send, self._scrubber)
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
        else:
            await _answer(self._app, scope, body, receive, _with_retry_after(send))

    def _check(self, scope: Message) -> Message:
        """Return the scope for LiteLLM. Raises :class:`RequestRefusedError`, as without a key."""
        if self._settings.local_only and not _is_from_here(scope["headers"]):
            raise RequestRefusedError(
                403, "this gateway answers only requests from its own machine"
            )
        # in constant time each: how long a comparison takes must not tell the key
        has_key = self._key is not None and any(
            compare_digest(value, self._key) for value in _credentials(scope)
        )
        is_public = scope.get("method") == "GET" and scope.get("path") in PUBLIC
        if self._key is not None and not has_key and not is_public:
            why = "this gateway needs its key: Authorization: Bearer $(adapter serve --key)"
            raise RequestRefusedError(401, why)
        # a key in an answer that LiteLLM compresses could not be found
        headers = [(k.lower(), v) for k, v in scope["headers"] if k.lower() != b"accept-encoding"]
        if self._settings.routes is not None:
            if not self._routes.fullmatch(scope["path"]):
                why = (
                    f"this gateway does not answer {scope['path']}: "
                    'routes = "all" in [plugin.litellm.gateway] opens all of LiteLLM\'s routes'
                )
                raise RequestRefusedError(404, why)
            if self._key is not None and has_key:  # LiteLLM might not look where the client put it
                headers = [h for h in headers if h[0] not in _KEY_HEADERS]
                headers.append((b"authorization", b"Bearer " + self._key))
        return {**scope, "headers": headers}


async def _answer(app: App, scope: Message, body: bytes, receive: Receive, send: Send) -> None:
    """Let ``app`` answer a request whose body has been read, until its client leaves."""
    is_complete = False
    disconnect = asyncio.Event()
    bodies = [body]

    async def next_message() -> Message:
        if bodies:
            return {"type": "http.request", "body": bodies.pop(), "more_body": False}
        await disconnect.wait()
        return {"type": "http.disconnect"}

    async def pass_on(message: Message) -> None:
        nonlocal is_complete
        await send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            is_complete = True

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        disconnect.set()
        if not is_complete:  # what LiteLLM does after an answer may go on
            answer.cancel()

    answer = asyncio.ensure_future(app(scope, next_message, pass_on))
    watcher = asyncio.ensure_future(watch())
    try:
        await answer
    except asyncio.CancelledError:
        if not disconnect.is_set():  # this task was cancelled, as at the end of the gateway
            raise
    finally:
        answer.cancel()
        watcher.cancel()


def _is_from_here(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a request comes from this machine and from no other site's web page."""
    pairs = [(name.lower(), value.decode("latin-1")) for name, value in headers]
    for header, pattern in ((b"host", _AUTHORITY), (b"origin", _ORIGIN)):
        for match in (pattern.fullmatch(value) for name, value in pairs if name == header):
            if match is None or not is_loopback(match[1]):
                return False
    # a browser sends no Origin with a link or an image, but says this (Fetch Metadata, 2.3)
    is_foreign = (b"sec-fetch-site", "cross-site") in pairs
    return not is_foreign or any(name == b"origin" for name, _ in pairs)


def _credentials(scope: Message) -> Iterator[bytes]:
    """Yield what may be a key, wherever LiteLLM may look for it."""
    first = dict(reversed([(name.lower(), value) for name, value in scope["headers"]]))
    for name, value in first.items():  # of two with one name the first counts
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
        if name == b"sec-websocket-protocol":
            for protocol in value.decode("latin-1").split(","):
                yield protocol.strip().removeprefix(_SUBPROTOCOL).encode()
    query = scope.get("query_string", b"").decode("latin-1")
    with suppress(ValueError):  # thousands of fields, or no UTF-8
        for name, text in parse_qsl(query, max_num_fields=100):
            if name == "key":  # as Google's clients send it
                yield text.encode("utf-8", "replace")


def _with_retry_after(send: Send) -> Send:
    """Return ``send`` with the server's ``Retry-After``, which LiteLLM's proxy gives another name.

    An OpenAI client waits for that long before it tries again.
    """

    async def pass_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = {name.lower(): value for name, value in message["headers"]}
            waits = [
                (name, headers[b"llm_provider-" + name])
                for name in (b"retry-after", b"retry-after-ms")
                if b"llm_provider-" + name in headers and name not in headers
            ]
            message = {**message, "headers": [*message["headers"], *waits]}
        await send(message)

    return pass_on


def _without_keys(send: Send, scrubber: Scrubber) -> Send:
    """Return a ``send`` that removes keys, which servers echo and LiteLLM's lists of models show.

    An answer with a ``Content-Length`` is searched as a whole, since its length may change, and a
    stream piece by piece.
    """
    start: Message | None = None  # of an answer whose length is not known yet
    content = bytearray()
    stream = ScrubbedBytes(scrubber)

    async def pass_on(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            headers = [(k.lower(), scrubber.data(v)) for k, v in message["headers"]]
            by_name = dict(headers)
            message = {**message, "headers": headers}
            if b"content-length" in by_name:
                message["headers"] = [h for h in headers if h[0] != b"content-length"]
                if b"event-stream" not in by_name.get(b"content-type", b""):
                    start = message
                    return
        elif message["type"] == "http.response.body" and start is not None:
            content.extend(message.get("body", b""))
            if message.get("more_body", False):
                return
            data = scrubber.data(bytes(content))
            length = (b"content-length", str(len(data)).encode())
            await send({**start, "headers": [*start["headers"], length]})
            start, message = None, {**message, "body": data}
        elif message["type"] == "http.response.body":
            last = not message.get("more_body", False)
            message = {**message, "body": stream.feed(message.get("body", b""), last=last)}
        elif message["type"] == "websocket.send":
            if message.get("text") is not None:
                message = {**message, "text": scrubber.text(message["text"])}
            else:
                message = {**message, "bytes": scrubber.data(message["bytes"])}
        await send(message)

    return pass_on


async def _send_error(kind: str, status: int, why: str, send: Send) -> None:
    """Answer an HTTP request or a WebSocket's opening with an error in OpenAI's form."""
    if kind == "websocket":
        await send({"type": "websocket.close", "code": 1008})  # RFC 6455, 7.4.1: policy violation
        return
    reason = "auth_error" if status in (401, 403) else "invalid_request_error"
    error = {"message": why, "type": reason, "param": None, "code": str(status)}
    body = json.dumps({"error": error}).encode()
    length = str(len(body)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))  # RFC 9110, 15.5.2
    if status == 413:
        headers.append((b"connection", b"close"))  # the rest of the request is not read
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

"""Take keys out of a gateway's answers, and say when to try again."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any

from adapter.secrets.scrubber import ScrubbedBytes, Scrubber

__all__ = ["App", "Message", "Receive", "Send", "scrubbed", "send_error", "with_retry_after"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Coroutine[Any, Any, None]]


def with_retry_after(send: Send) -> Send:
    """Return ``send`` with the server's ``Retry-After``, which LiteLLM's proxy gives another name.

    An OpenAI client waits for that long before it tries again.
    """

    async def pass_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            named = {name.lower(): value for name, value in message["headers"]}
            waits = [
                (name, named[b"llm_provider-" + name])
                for name in (b"retry-after", b"retry-after-ms")
                if b"llm_provider-" + name in named and name not in named
            ]
            message = {**message, "headers": [*message["headers"], *waits]}
        await send(message)

    return pass_on


def scrubbed(send: Send, scrubber: Scrubber) -> Send:
    """Return ``send`` without keys: LiteLLM's routes for models show headers, servers echo keys.

    An answer whose length is told is searched as a whole, since it may change; a stream piece by
    piece.
    """
    start: Message | None = None  # of an answer whose length is not known yet
    whole = bytearray()
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
            whole.extend(message.get("body", b""))
            if message.get("more_body", False):
                return
            data = scrubber.data(bytes(whole))
            length = (b"content-length", str(len(data)).encode())
            await send({**start, "headers": [*start["headers"], length]})
            start, message = None, {**message, "body": data}
        elif message["type"] == "http.response.body":
            last = not message.get("more_body", False)
            message = {**message, "body": stream.feed(message.get("body", b""), last=last)}
        elif message["type"] == "websocket.send":
            message = {**message, **_scrubbed_frame(message, scrubber)}
        await send(message)

    return pass_on


def _scrubbed_frame(message: Message, scrubber: Scrubber) -> Message:
    """Return what a WebSocket's message holds, as text or bytes, without keys."""
    if message.get("text") is not None:
        return {"text": scrubber.text(message["text"])}
    return {"bytes": scrubber.data(message["bytes"])}


async def send_error(kind: str, status: int, why: str, send: Send) -> None:
    """Answer an HTTP request or a WebSocket's opening with an error in OpenAI's form."""
    if kind == "websocket":
        await send({"type": "websocket.close", "code": 1008})  # RFC 6455, 7.4.1: policy violation
        return
    types = {401: "auth_error", 403: "auth_error"}
    error = {
        "message": why,
        "type": types.get(status, "invalid_request_error"),
        "param": None,
        "code": str(status),
    }
    body = json.dumps({"error": error}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))  # RFC 9110, 15.5.2
    if status == 413:
        headers.append((b"connection", b"close"))  # the rest of the request is not read
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

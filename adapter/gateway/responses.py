"""Take keys out of a gateway's answers, and say when to try again."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, MutableMapping
from typing import Any
from urllib.parse import quote

from adapter.secrets.scrubber import SHORTEST
from adapter.secrets.secret import MASK

__all__ = [
    "App",
    "Hidden",
    "Message",
    "Receive",
    "Send",
    "redacted",
    "send_error",
    "with_retry_after",
]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Coroutine[Any, Any, None]]


class Hidden:
    """The secrets that no answer and no log may show: finds them in bytes, whole or begun."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._sorted = sorted(set(_forms(secrets)))
        self._longest = max(map(len, self._sorted), default=1) - 1
        self._bytes = frozenset(b"".join(self._sorted))
        rests: dict[bytes, list[bytes]] = {}  # by first byte, which spares a thousand comparisons
        for secret in sorted(self._sorted, key=len, reverse=True):
            rests.setdefault(re.escape(secret[:1]), []).append(re.escape(secret[1:]))
        groups = [first + b"(?:" + b"|".join(rest) + b")" for first, rest in rests.items()]
        self._any = re.compile(b"|".join(groups) or rb"(?!)")
        self._first = re.compile(b"|".join(rests) or rb"(?!)")

    def clean(self, data: bytes) -> bytes:
        return self._any.sub(MASK.encode(), data)

    def unfinished(self, data: bytes) -> int:
        """Return how many bytes at the end of ``data`` may be the beginning of a secret."""
        if not data or data[-1] not in self._bytes:  # as nearly each piece of a stream
            return 0
        for match in self._first.finditer(data, max(0, len(data) - self._longest)):
            end = data[match.start() :]
            at = bisect_left(self._sorted, end)
            if at < len(self._sorted) and self._sorted[at].startswith(end):
                return len(end)
        return 0


def _forms(secrets: Iterable[str]) -> Iterator[bytes]:
    """Yield each secret as an answer may hold it: itself, within JSON, within a URL."""
    for secret in secrets:
        if len(secret) >= SHORTEST:
            for form in (secret, json.dumps(secret)[1:-1], quote(secret, safe="")):
                yield form.encode()


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


def redacted(send: Send, hidden: Hidden) -> Send:
    """Return ``send`` that hides keys: LiteLLM's routes for models show headers, servers echo keys.

    An answer whose length is told is searched as a whole, since it may change; a stream piece by
    piece, where the end of one that may be the beginning of a key waits for the next.
    """
    start: Message | None = None
    waiting: list[bytes] = []

    async def pass_on(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            headers = [(k.lower(), hidden.clean(v)) for k, v in message["headers"]]
            by_name = dict(headers)
            message = {**message, "headers": headers}
            if b"content-length" in by_name:
                message["headers"] = [h for h in headers if h[0] != b"content-length"]
                if b"event-stream" not in by_name.get(b"content-type", b""):
                    start = message
                    return
        elif message["type"] == "http.response.body":
            more = message.get("more_body", False)
            waiting.append(message.get("body", b""))
            if start is not None and more:
                return
            data = hidden.clean(b"".join(waiting))
            end = len(data) - (hidden.unfinished(data) if more else 0)
            waiting[:] = [data[end:]]
            message = {**message, "body": data[:end]}
            if start is not None:
                length = (b"content-length", str(len(data)).encode())
                await send({**start, "headers": [*start["headers"], length]})
                start = None
        elif message["type"] == "websocket.send":
            message = {**message, **_clean_frame(message, hidden)}
        await send(message)

    return pass_on


def _clean_frame(message: Message, hidden: Hidden) -> Message:
    frame: Message = {}
    if message.get("text") is not None:
        frame["text"] = hidden.clean(message["text"].encode()).decode()
    if message.get("bytes") is not None:
        frame["bytes"] = hidden.clean(message["bytes"])
    return frame


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

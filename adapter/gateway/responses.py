"""What a gateway's answers say besides LiteLLM's: no key, an error's facts, when to try again."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote

from adapter.call.facts import FACTS_HEADER
from adapter.keys.precedence import MASK, SHORTEST_GUARDED

__all__ = ["Hidden", "Message", "Send", "passing_waits", "redacted", "remember", "telling"]

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

_facts: ContextVar[list[str]] = ContextVar("facts")


def remember(facts: str) -> None:
    """Keep the facts of an error, as JSON, for the client of the request under way."""
    with suppress(LookupError):
        _facts.get().append(facts)


class Hidden:
    """What no answer and no log may show: finds it in bytes, and what has begun at their end."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._sorted = sorted(set(_forms(secrets)))
        self._begun = max(map(len, self._sorted), default=1) - 1
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
        for found in self._first.finditer(data, max(0, len(data) - self._begun)):
            end = data[found.start() :]
            at = bisect_left(self._sorted, end)
            if at < len(self._sorted) and self._sorted[at].startswith(end):
                return len(end)
        return 0


def _forms(secrets: Iterable[str]) -> Iterator[bytes]:
    """Yield each secret as an answer may hold it: itself, within JSON, within a URL."""
    for secret in secrets:
        if len(secret) >= SHORTEST_GUARDED:
            for form in (secret, json.dumps(secret)[1:-1], quote(secret, safe="")):
                yield form.encode()


def passing_waits(send: Send) -> Send:
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
            given = dict(headers)
            message = {**message, "headers": headers}
            if b"content-length" in given:
                message["headers"] = [h for h in headers if h[0] != b"content-length"]
                if b"event-stream" not in given.get(b"content-type", b""):
                    start = message
                    return
        elif message["type"] == "http.response.body":
            more = message.get("more_body", False)
            waiting.append(message.get("body", b""))
            if start is not None and more:
                return
            data = hidden.clean(b"".join(waiting))
            kept = hidden.unfinished(data) if more else 0
            waiting[:] = [data[len(data) - kept :]]
            message = {**message, "body": data[: len(data) - kept]}
            if start is not None:
                length = (b"content-length", str(len(data)).encode())
                await send({**start, "headers": [*start["headers"], length]})
                start = None
        elif message["type"] == "websocket.send":
            message = {**message, **_clean_frame(message, hidden)}
        await send(message)

    return pass_on


def _clean_frame(message: Message, hidden: Hidden) -> Message:
    found: Message = {}
    if message.get("text") is not None:
        found["text"] = hidden.clean(message["text"].encode()).decode()
    if message.get("bytes") is not None:
        found["bytes"] = hidden.clean(message["bytes"])
    return found


def telling(send: Send) -> Send:
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

"""A small, fast server in a process of its own, which answers as an OpenAI-compatible one.

How it answers stands in the base URL: ``/300/20/v1`` waits 300 ms and then sends 20 chunks. Every
answer says "Hello, world" first, so that a benchmark can see that it was answered.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

__all__ = ["ANSWER", "Server", "serving"]

ANSWER = "Hello, world"


class Server:
    """The server as its clients see it."""

    def __init__(self, port: int) -> None:
        self.port = port

    def base_url(self, delay_ms: int = 0, chunks: int = 1) -> str:
        return f"http://127.0.0.1:{self.port}/{delay_ms}/{chunks}/v1"


@contextmanager
def serving() -> Iterator[Server]:
    """Run the server while the context lasts; its pipe closes with this process, and it ends."""
    with subprocess.Popen(
        [sys.executable, "-S", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        try:
            yield Server(int(process.stdout.readline()))
        finally:
            process.terminate()


def _chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choices = [] if more else [{"index": 0, "delta": delta, "finish_reason": finish}]
    base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    event = b"data: " + json.dumps({**base, "choices": choices, **more}).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


@lru_cache
def _whole(chunks: int) -> bytes:
    text = ANSWER + " and more" * (chunks - 1)
    usage = {"prompt_tokens": 1, "completion_tokens": chunks, "total_tokens": chunks + 1}
    message = {"role": "assistant", "content": text}
    body = json.dumps(
        {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage,
        }
    ).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


@lru_cache
def _streamed(chunks: int, usage: bool) -> bytes:
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    parts = [head, _chunk({"role": "assistant", "content": ANSWER})]
    parts += [_chunk({"content": " and more"})] * (chunks - 1)
    parts.append(_chunk({}, "stop"))
    if usage:
        counted = {"prompt_tokens": 1, "completion_tokens": chunks, "total_tokens": chunks + 1}
        parts.append(_chunk({}, usage=counted))
    return b"".join([*parts, b"e\r\ndata: [DONE]\n\n\r\n", b"0\r\n\r\n"])


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            _, found, after = head.partition(b"\r\ncontent-length:")
            length = int(after.partition(b"\r\n")[0]) if found else 0
            if len(self._received) < end + 4 + length:
                return
            body = self._received[end + 4 : end + 4 + length]
            self._received = self._received[end + 4 + length :]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        delay, chunks = map(int, head.split(b" ", 2)[1].split(b"/")[1:3])
        streamed = b'"stream":true' in body or b'"stream": true' in body
        answer = _streamed(chunks, b"include_usage" in body) if streamed else _whole(chunks)
        closing = b"\r\nconnection: close" in head
        if delay:
            loop = asyncio.get_running_loop()
            loop.call_later(delay / 1000, self._send, answer, closing)
        else:
            self._send(answer, closing)

    def _send(self, answer: bytes, closing: bool) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)
            if closing:
                self._transport.close()


async def _main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0, backlog=2048)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


if __name__ == "__main__":
    asyncio.run(_main())

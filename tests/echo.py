"""A fast local server, in a process of its own: each answer says what the request was and carried.

The path's first part names the provider; a key that does not begin with ``sk-<provider>-`` is
refused. The last message is JSON, ``{"nonce": ...}``; with ``"wait"`` the answer takes that many
seconds. ``GET /state`` tells how many connections are open, how many requests are being answered,
and how many were at most.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class Echo:
    """The server's side of :func:`echo_server`."""

    def __init__(self) -> None:
        self.state = {"connections": 0, "answering": 0, "most": 0, "answered": 0, "refused": 0}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state = self.state
        state["connections"] += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                state["answering"] += 1
                state["most"] = max(state["most"], state["answering"])
                try:
                    writer.write(await self._answer(reader, head))
                    await writer.drain()
                finally:
                    state["answering"] -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            state["connections"] -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, head: bytes) -> bytes:
        request, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = request.split(" ")
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        if method == "GET":
            # not counted: the connection that asks
            others = {k: v - (k in ("connections", "answering")) for k, v in self.state.items()}
            return _reply(200, others)
        provider = path.split("/")[1]
        key = headers.get("authorization", "").removeprefix("Bearer ")
        if not key.startswith(f"sk-{provider}-"):
            self.state["refused"] += 1
            return _reply(401, {"error": {"message": f"no key of {provider}", "code": 401}})
        body = json.loads(raw)
        asked = json.loads(body["messages"][-1]["content"])
        if wait := asked.get("wait"):
            await _patience(reader, wait)
        self.state["answered"] += 1
        said = {"nonce": asked["nonce"], "provider": provider, "key": key, "model": body["model"]}
        if body.get("stream"):
            return _stream(json.dumps(said))
        return _reply(200, _completion("chat.completion", "message", json.dumps(said), "stop"))


async def _patience(reader: asyncio.StreamReader, seconds: float) -> None:
    """Wait, unless the client goes away meanwhile."""
    for _ in range(int(seconds * 100)):
        await asyncio.sleep(0.01)
        if reader.at_eof():
            raise ConnectionResetError


def _completion(kind: str, part: str, content: str, finish: str | None) -> dict[str, Any]:
    choice = {
        "index": 0,
        part: {"role": "assistant", "content": content},
        "finish_reason": finish,
    }
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    base = {"id": "c", "object": kind, "created": 1, "model": "m", "choices": [choice]}
    return {**base, "usage": usage} if part == "message" else base


def _reply(status: int, body: dict[str, Any]) -> bytes:
    return _http(status, "application/json", json.dumps(body).encode())


def _stream(content: str) -> bytes:
    middle = len(content) // 2
    pieces = [(content[:middle], None), (content[middle:], None), ("", "stop")]
    chunks = [_completion("chat.completion.chunk", "delta", text, end) for text, end in pieces]
    events = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return _http(200, "text/event-stream", "".join([*events, "data: [DONE]\n\n"]).encode())


def _http(status: int, kind: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _main() -> None:
    server = await asyncio.start_server(Echo().serve, "127.0.0.1", 0, backlog=4096)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    # it ends with the process that started it, however that ends
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


class EchoServer:
    """Where the server is, and what it says of itself."""

    def __init__(self, port: int) -> None:
        self.origin = f"http://127.0.0.1:{port}"

    def base_url(self, provider: str) -> str:
        return f"{self.origin}/{provider}/v1"

    def state(self) -> dict[str, int]:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.origin}/state", timeout=100) as reply:
            found: dict[str, int] = json.load(reply)
        return found


@contextmanager
def echo_server() -> Iterator[EchoServer]:
    """Run the server on a free loopback port for the length of the block."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.echo"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            yield EchoServer(int(process.stdout.readline()))
        finally:
            process.kill()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_main())

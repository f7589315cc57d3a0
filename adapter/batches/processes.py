"""The calls of a batch in processes of our own, which have LiteLLM imported each.

A process gets each request over a socket and sends back how it ended; it ends with that socket.
The parent imports no LiteLLM. Messages are JSON, each a line.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from adapter.batches.calls import Calls, Outcome
from adapter.batches.pool import START_SECONDS
from adapter.errors import AdapterError
from adapter.upstream.loading import set_command_defaults

__all__ = ["Child", "answer_calls"]

LONGEST_MESSAGE = 1 << 31
"""In bytes; the longest reply is shorter, as JSON in JSON, too."""

_ENTRY = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from adapter.batches.processes import answer_calls; answer_calls(int(sys.argv[1]))"
)


class Child:
    """A process that makes calls; ``settings`` are the arguments of :class:`Calls`."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Outcome | None]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._listener: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the process and wait until LiteLLM is imported there."""
        sock, child_sock = socket.socketpair()
        with child_sock:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _ENTRY, str(child_sock.fileno()), *sys.path),
                pass_fds=(child_sock.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=2,
            )
        reader, self._writer = await asyncio.open_connection(sock=sock, limit=LONGEST_MESSAGE)
        _send(self._writer, self._settings)
        try:
            await asyncio.wait_for(_receive(reader), START_SECONDS)
        except (asyncio.TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            raise AdapterError("a process for the calls did not start (see above)") from None
        self._listener = asyncio.create_task(self._listen(reader))

    async def call(self, url: str, body: dict[str, Any]) -> Outcome | None:
        """Have a request made there; ``None`` where the process has died."""
        if self._listener is None or self._listener.done():
            return None
        number = next(self._numbers)
        future: asyncio.Future[Outcome | None]
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            _send(self._writer, [number, url, body])
            return await future
        finally:
            self._waiting.pop(number, None)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                number, outcome = await _receive(reader)
                if (future := self._waiting.get(number)) is not None and not future.done():
                    future.set_result(Outcome(**outcome))
        for future in self._waiting.values():
            if not future.done():
                future.set_result(None)

    async def close(self) -> None:
        """End the process, and what it has in flight."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        if self._listener is not None:
            await self._listener
        self._writer.close()


def _send(writer: asyncio.StreamWriter, message: Any) -> None:
    writer.write(json.dumps(message).encode() + b"\n")


async def _receive(reader: asyncio.StreamReader) -> Any:
    return json.loads(await reader.readuntil())


def answer_calls(descriptor: int) -> None:
    """Make the calls that come over a socket, until its other end is gone; then exit at once."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle
    set_command_defaults()
    try:
        asyncio.run(_serve(socket.socket(fileno=descriptor)))
    finally:
        os._exit(0)  # whatever is still in flight


async def _serve(sock: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=sock, limit=LONGEST_MESSAGE)
    calls = Calls(**await _receive(reader))
    await calls.start()
    _send(writer, "ready")
    running = set()

    async def answer(number: int, url: str, body: dict[str, Any]) -> None:
        _send(writer, [number, vars(await calls.call(url, body))])

    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            task = asyncio.create_task(answer(*await _receive(reader)))
            running.add(task)
            task.add_done_callback(running.discard)

"""The calls of a batch in processes of our own, which have LiteLLM imported each.

A process gets each request over a socket and sends back how it ended; it ends with that socket.
The parent imports no LiteLLM. Messages are JSON, their length in four bytes before them.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from adapter.batches.calls import Calls, Outcome
from adapter.errors import AdapterError, ExitCode
from adapter.upstream.loading import load_for_command

__all__ = ["Processes", "died", "serve"]

START_SECONDS = 120.0
"""How long a process may take to import LiteLLM."""

MOST_DEATHS = 5
"""How many processes may end one after another without an answer in between."""

_ENTRY = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from adapter.batches.processes import serve; serve(int(sys.argv[1]))"
)


def died(what: str) -> Outcome:
    """Return the outcome of a request whose process has ended."""
    message = f"{what} ended before the answer was there"
    return Outcome(
        exit_code=ExitCode.PROVIDER_FAILED,
        code="process_died",
        message=message,
        failure=message,
        is_unknown=True,
    )


class _Child:
    """One process and the requests that it has."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._numbers = itertools.count()
        self.waiting: dict[int, asyncio.Future[Outcome]] = {}
        self.answers = 0
        self.is_alive = False

    async def start(self) -> None:
        """Start the process and wait until LiteLLM is imported there."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _ENTRY, str(theirs.fileno()), *sys.path),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=2,
            )
        self._reader, self._writer = await asyncio.open_connection(sock=ours)
        _send(self._writer, self._settings)
        try:
            await asyncio.wait_for(_receive(self._reader), START_SECONDS)
        except (asyncio.TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            await self.close()
            raise AdapterError("a process for the calls did not start (see above)") from None
        self.is_alive = True
        self._listener = asyncio.create_task(self._listen())

    async def call(self, url: str, body: dict[str, Any]) -> Outcome:
        """Have a request made there."""
        number = next(self._numbers)
        future: asyncio.Future[Outcome]
        future = self.waiting[number] = asyncio.get_running_loop().create_future()
        try:
            _send(self._writer, [number, url, body])
            return await future
        finally:
            self.waiting.pop(number, None)

    async def _listen(self) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                number, outcome = await _receive(self._reader)
                self.answers += 1
                if (future := self.waiting.get(number)) is not None and not future.done():
                    future.set_result(Outcome(**outcome))
        self.is_alive = False
        for future in self.waiting.values():
            if not future.done():
                future.set_result(died("the process that made the call"))

    async def close(self) -> None:
        """End the process, and what it has in flight."""
        self._writer.close()
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        if self.is_alive:
            await self._listener


class Processes:
    """A number of processes; one that ends costs what it had in flight, and is replaced."""

    def __init__(self, number: int, settings: Mapping[str, Any]) -> None:
        self._children = [_Child(settings) for _ in range(number)]
        self._settings = settings
        self._replacing = asyncio.Lock()
        self._deaths = 0

    async def start(self) -> None:
        """Start them all. Raises :class:`AdapterError` where one does not start."""
        starts = [asyncio.create_task(child.start()) for child in self._children]
        done = await asyncio.gather(*starts, return_exceptions=True)
        for result in done:
            if isinstance(result, BaseException):
                await self.close()
                raise result

    async def call(self, url: str, body: dict[str, Any]) -> Outcome:
        """Have a request made by the process that has the fewest."""
        child = min(self._children, key=lambda one: len(one.waiting))
        if not child.is_alive:
            async with self._replacing:
                child = await self._replaced()
        return await child.call(url, body)

    async def _replaced(self) -> _Child:
        """Start a process for each that has ended. Raises where they end one after another."""
        for place, child in enumerate(self._children):
            if not child.is_alive:
                self._deaths = 0 if child.answers else self._deaths + 1
                if self._deaths >= MOST_DEATHS:
                    raise AdapterError("the processes that make the calls end at once (see above)")
                await child.close()
                self._children[place] = _Child(self._settings)
                await self._children[place].start()
        return min(self._children, key=lambda one: len(one.waiting))

    async def close(self) -> None:
        """End them all."""
        started = [child for child in self._children if hasattr(child, "_writer")]
        await asyncio.gather(*(child.close() for child in started))


def _send(writer: asyncio.StreamWriter, message: Any) -> None:
    data = json.dumps(message).encode()
    writer.write(struct.pack("<I", len(data)) + data)


async def _receive(reader: asyncio.StreamReader) -> Any:
    (size,) = struct.unpack("<I", await reader.readexactly(4))
    return json.loads(await reader.readexactly(size))


def serve(descriptor: int) -> None:
    """Make the calls that come over a socket, until its other end is gone; then exit at once."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle
    load_for_command()
    try:
        asyncio.run(_serve(socket.socket(fileno=descriptor)))
    finally:
        os._exit(0)  # whatever is still in flight


async def _serve(sock: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=sock)
    calls = Calls(**await _receive(reader))
    await calls.start()
    _send(writer, "ready")
    running = set()

    async def answer(number: int, url: str, body: dict[str, Any]) -> None:
        _send(writer, [number, asdict(await calls.call(url, body))])

    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            task = asyncio.create_task(answer(*await _receive(reader)))
            running.add(task)
            task.add_done_callback(running.discard)

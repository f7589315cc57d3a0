"""Several workers that make the calls of a batch: processes of this machine, or Ray's actors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from adapter.batches.calls import Outcome
from adapter.errors import AdapterError, ExitCode

__all__ = ["START_SECONDS", "Pool", "Worker"]

START_SECONDS = 120.0
"""How long a worker may take to import LiteLLM."""

MOST_DEATHS = 5
"""How many workers may die one after another, without an answer in between, and be replaced."""


class Worker(Protocol):
    """What makes calls somewhere else, several at the same time."""

    async def start(self) -> None:
        """Get ready. Raises :class:`AdapterError`."""

    async def call(self, url: str, body: dict[str, Any]) -> Outcome | None:
        """Return how a request ended, ``None`` where the worker has died meanwhile."""

    async def close(self) -> None:
        """End it, whatever its state."""


class Pool:
    """Workers; one that dies costs what it had in flight, and is replaced if it can be."""

    def __init__(self, number: int, make: Callable[[], Worker]) -> None:
        self._number = number
        self._make = make
        self._in_flight: dict[Worker, int] = {}
        self._replacing: set[asyncio.Task[None]] = set()
        self._deaths = 0

    async def start(self) -> None:
        """Start them, at least one. Raises :class:`AdapterError`, for a key with its exit code."""
        starts = (self._add() for _ in range(self._number))
        results = await asyncio.gather(*starts, return_exceptions=True)
        errors = [result for result in results if result is not None]
        errors.sort(key=lambda error: getattr(error, "exit_code", 1) == ExitCode.ERROR)
        if errors and (getattr(errors[0], "exit_code", 1) != 1 or not self._in_flight):
            raise errors[0]

    async def _add(self) -> None:
        worker = self._make()
        try:
            await worker.start()
        except BaseException:
            await worker.close()
            raise
        self._in_flight[worker] = 0

    async def call(self, url: str, body: dict[str, Any]) -> Outcome:
        """Have a request made by the worker that has the fewest."""
        while not self._in_flight:
            if not self._replacing:
                raise AdapterError(
                    "every process that makes calls has ended, and none starts again"
                )
            await asyncio.wait(self._replacing)
        worker = min(self._in_flight, key=self._in_flight.__getitem__)
        self._in_flight[worker] += 1
        try:
            outcome = await worker.call(url, body)
        finally:
            if worker in self._in_flight:
                self._in_flight[worker] -= 1
        if outcome is not None:
            self._deaths = 0
            return outcome
        if self._in_flight.pop(worker, None) is not None and self._deaths < MOST_DEATHS:
            self._deaths += 1
            task = asyncio.create_task(self._replace(worker))
            self._replacing.add(task)
            task.add_done_callback(self._replacing.discard)
        message = "the process that made the call ended before the answer arrived"
        return Outcome(
            exit_code=ExitCode.PROVIDER_FAILED,
            code="process_died",
            message=message,
            failure=message,
            is_unknown=True,
        )

    async def _replace(self, dead: Worker) -> None:
        with suppress(AdapterError):  # the others go on
            await dead.close()
            await self._add()

    async def close(self) -> None:
        """End them all."""
        for task in tuple(self._replacing):
            task.cancel()
        await asyncio.gather(*self._replacing, return_exceptions=True)
        await asyncio.gather(*(worker.close() for worker in self._in_flight))

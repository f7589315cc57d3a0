"""The run of a batch: one reader, limiter, journal and writer, wherever the calls are made."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from adapter.batches.calls import Outcome, result_line
from adapter.batches.checking import DONE, PENDING, SENT, Destination, Index
from adapter.batches.files import ASKED_AGAIN, REQUEST, Files, Record, WriteError
from adapter.batches.formats import InputError, Recipe, Request, Source, hash_of
from adapter.batches.limits import Lane, pause
from adapter.batches.progress import BatchSummary
from adapter.errors import AdapterError, ConfigError, ExitCode, Problem

__all__ = ["Engine", "Limits", "Transport"]

LONGEST_WAIT = 60.0
"""In seconds, between two attempts of one request."""


class Transport(Protocol):
    """Where the calls are made."""

    async def start(self) -> None:
        """Get ready; raises :class:`AdapterError` where that is not possible."""

    async def call(self, url: str, body: dict[str, Any]) -> Outcome:
        """Return how one request ended."""

    async def close(self) -> None:
        """Free what was taken."""


@dataclass(frozen=True)
class Limits:
    """How a batch is run, as ``adapter batch --help`` says. ``first_wait`` is in seconds."""

    concurrency: int = 64
    rpm: float | None = None
    tpm: float | None = None
    retries: int = 4
    max_failures: int = 20
    max_refusals: int = 1
    in_order: bool = False
    no_repeat: bool = False
    retry_failed: bool = False
    first_wait: float = 1.0


@dataclass
class _Commit:
    """What is written together, and the event that tells that it is on disk."""

    data: dict[str, list[bytes]] = field(default_factory=dict)
    done: asyncio.Event = field(default_factory=asyncio.Event)


class _Writer:
    """Writes and syncs in a thread, whatever has come meanwhile in one go."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._next = _Commit()
        self._kick = asyncio.Event()
        self._error: AdapterError | None = None

    def put(self, path: str, data: bytes) -> _Commit:
        """Have ``data`` written after all that was put before."""
        commit = self._next
        commit.data.setdefault(path, []).append(data)
        self._kick.set()
        return commit

    async def wait(self, commit: _Commit) -> None:
        """Return once a commit is on disk. Raises :class:`WriteError`, and from then on always."""
        await commit.done.wait()
        if self._error is not None:
            raise self._error

    async def run(self) -> None:
        """Write until this is cancelled."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "batch-writer") as thread:
            while True:
                await self._kick.wait()
                await asyncio.sleep(0)  # what else has come by now goes with it
                self._kick.clear()
                commit, self._next = self._next, _Commit()
                data = {path: b"".join(parts) for path, parts in commit.data.items()}
                try:
                    if self._error is None:
                        await loop.run_in_executor(thread, self._files.append, data)
                except WriteError as error:
                    self._error = error
                finally:
                    commit.done.set()


class Engine:
    """One run: what was done before is taken up, and every line is asked that is left."""

    def __init__(
        self,
        source: Source,
        recipe: Recipe,
        index: Index,
        destinations: list[Destination],
        limits: Limits,
    ) -> None:
        self._source, self._recipe, self._index = source, recipe, index
        self._limits = limits
        self._stopped = asyncio.Event()
        self._in_a_row = 0
        self._unexpected: BaseException | None = None
        self._waiting: dict[int, tuple[str, bytes, asyncio.Future[_Commit]]] = {}
        self._cursor = 0  # what is before it was written, with --in-order
        self._taken: set[int] = set()
        self._destinations = destinations
        self._lanes = [
            Lane(
                limits.concurrency,
                limits.rpm or destination.limit("rpm"),
                limits.tpm or destination.limit("tpm"),
            )
            for destination in destinations
        ]

    def resume(self, files: Files) -> BatchSummary:
        """Take up what ``files``, which are open, say of earlier runs; return the summary so far.

        Raises :class:`ConfigError` where a ``custom_id`` was asked with another request, or stands
        twice in the files.
        """
        index, recent = self._index, time.time() - 60
        changed = []
        for record in files.records():
            position = index.find(record.id_hash)
            if position is None:
                continue
            if record.kind == ASKED_AGAIN:
                index.states[position] = PENDING
                continue
            if record.request != index.requests[position]:
                changed.append(position)
            index.states[position] = SENT
            if record.time > recent:
                self._lanes[index.destinations[position]].restore(record.time, record.tokens)
        self._refuse_changed(dict.fromkeys(changed))
        failed = self._done(files, files.errors)
        if self._limits.retry_failed and failed:
            again = [
                Record(index.ids[p], index.requests[p], time.time(), 0, ASKED_AGAIN) for p in failed
            ]
            files.append({files.journal: b"".join(record.pack() for record in again)})
            files.set_errors_aside()
            for position in failed:
                index.states[position] = PENDING
        self._done(files, files.output)
        self._files = files
        self._journal, self._results = _Writer(files), _Writer(files)  # neither waits for the other
        earlier = index.states.count(DONE)
        self.summary = BatchSummary(files.output, files.errors, len(index), earlier)
        return self.summary

    def _refuse_changed(self, changed: dict[int, None]) -> None:
        """Raise :class:`ConfigError` for lines whose ``custom_id`` was asked something else."""
        message = "an earlier run sent another request with this custom_id"
        fix = "restore it, give it another custom_id, or start over with another OUTPUT"
        numbers = [self._index.numbers[position] for position in changed][:1000]
        if numbers:
            raise ConfigError(Problem(self._source.path, n, None, message, fix) for n in numbers)

    def _done(self, files: Files, path: str) -> list[int]:
        """Note which lines stand in a file of results; return their positions."""
        positions = []
        for custom_id in files.custom_ids(path):
            position = self._index.find(hash_of(custom_id))
            if position is not None:
                if self._index.states[position] == DONE:
                    raise ConfigError(f"{path}: custom_id {custom_id!r} is in the files twice")
                self._index.states[position] = DONE
                positions.append(position)
        return positions

    def interrupt(self) -> None:
        """End the run once what is in flight has ended."""
        self._end(ExitCode.INTERRUPTED, "interrupted; run the same command to continue")

    def _end(self, code: int, why: str) -> None:
        if not self._stopped.is_set():
            self.summary.ended, self.summary.exit_code = why, code
            self._stopped.set()
            for lane in self._lanes:
                lane.wake()
            self._flush()

    async def run(self, transport: Transport) -> BatchSummary:
        """Ask every line that is left, and return what became of the batch."""
        self.summary.begin()
        writers = [asyncio.create_task(one.run()) for one in (self._journal, self._results)]
        numbers = range(len(self._lanes))
        feeds = [asyncio.create_task(self._feed(number, transport)) for number in numbers]
        try:
            await asyncio.gather(*feeds)
        finally:
            for task in (*feeds, *writers):
                task.cancel()
            await asyncio.gather(*feeds, *writers, return_exceptions=True)
            self.summary.seconds = self.summary.passed()
        if self._unexpected is not None:
            raise self._unexpected
        pairs = zip(self._destinations, self._lanes, strict=True)
        refused = [destination.name for destination, lane in pairs if lane.ended]
        if refused:
            self._end(
                ExitCode.AUTHENTICATION,
                f"{', '.join(refused)} refused the key (401 or 403), so no more lines were sent "
                "there; correct the key, then run the same command with --retry-failed",
            )
        if self.summary.ended is None and self._files.size(self._files.errors):
            self.summary.exit_code = ExitCode.ERROR
        return self.summary

    async def _requests(self, number: int) -> AsyncIterator[tuple[int, Request]]:
        """Yield the requests of a destination that are not done, with their positions."""
        index, position = self._index, -1
        for line, record in self._source.records():
            position += 1
            if position == len(index):  # the first of --limit lines
                return
            if index.destinations[position] != number or index.states[position] == DONE:
                if position % 1000 == 0:
                    await asyncio.sleep(0)
                continue
            request = self._recipe.request(line, record)
            if (hash_of(request.custom_id), request.hash()) != (
                index.ids[position],
                index.requests[position],
            ):
                raise ConfigError(f"{self._source.path}:{line}: the file changed during the run")
            yield position, request

    async def _feed(self, number: int, transport: Transport) -> None:
        """Ask the lines of one destination."""
        lane = self._lanes[number]
        running: set[asyncio.Task[None]] = set()
        try:
            async for position, request in self._requests(number):
                if not await lane.place(self._stopped):
                    break
                self._taken.add(position)
                task = asyncio.create_task(self._line(lane, position, request, transport))
                running.add(task)
                task.add_done_callback(running.discard)
            if running:
                await asyncio.wait(running)
        except (ConfigError, InputError) as error:
            self._end(ExitCode.USAGE, f"{error}; restore it, then run the same command to continue")
            if running:
                await asyncio.wait(running)
        finally:  # there are some where this was cancelled
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _line(
        self, lane: Lane, position: int, request: Request, transport: Transport
    ) -> None:
        """Ask one line, as often as that helps, and write how it ended."""
        try:
            if self._limits.no_repeat and self._index.states[position] == SENT:
                message = "it was in flight when an earlier run was killed"
                await self._record(
                    position, request, Outcome(code="unknown", message=message, exit_code=1)
                )
            elif (outcome := await self._ask(lane, position, request, transport)) is not None:
                await self._record(position, request, outcome)
                self._count(lane, outcome)
        except AdapterError as error:  # a disk that is full, no process that makes calls
            self._end(error.exit_code, f"{error}; fix that, then run the same command to continue")
        except Exception as error:  # noqa: BLE001 - raised again at the end of the run
            self._unexpected = self._unexpected or error
            self._end(ExitCode.ERROR, "an internal error")
        finally:
            self._taken.discard(position)
            self._flush()
            lane.release()

    async def _ask(
        self, lane: Lane, position: int, request: Request, transport: Transport
    ) -> Outcome | None:
        """Return how a line ended, ``None`` where the run did, with nothing to tell."""
        index, limits = self._index, self._limits
        size = len(json.dumps(request.body)) if lane.counts_tokens else 0
        for attempt in range(limits.retries + 1):
            tokens = await lane.turn(size, self._stopped)
            if tokens is None:
                return None
            sent = time.monotonic()
            record = Record(
                index.ids[position], index.requests[position], time.time(), tokens, REQUEST
            )
            try:
                await self._journal.wait(self._journal.put(self._files.journal, record.pack()))
                self.summary.requests += 1
                outcome = await transport.call(request.url, request.body)
            finally:
                lane.end_turn()
            used = outcome.input_tokens + outcome.output_tokens
            if outcome.status in (429, 503):
                lane.push_back(outcome.retry_after, sent)
            elif outcome.exit_code == ExitCode.OK:
                lane.count_answer(tokens, size, used)
            if limits.no_repeat:
                if outcome.is_unknown:
                    outcome.code = "unknown"
                return outcome
            if not outcome.is_retried or attempt == limits.retries:
                return outcome
            if outcome.status not in (429, 503):
                wait = limits.first_wait * 2**attempt
                await pause(min(wait, LONGEST_WAIT) * random.uniform(0.5, 1), self._stopped)
        return None

    async def _record(self, position: int, request: Request, outcome: Outcome) -> None:
        """Write the line of a result, and return when it is on disk."""
        failed = outcome.exit_code != ExitCode.OK
        path = self._files.errors if failed else self._files.output
        line = result_line(request.custom_id, outcome)
        if self._limits.in_order:
            turn: asyncio.Future[_Commit] = asyncio.get_running_loop().create_future()
            self._waiting[position] = path, line, turn
            self._flush()
            await self._results.wait(await turn)
        else:
            await self._results.wait(self._results.put(path, line))
        self._index.states[position] = DONE
        summary = self.summary
        summary.failed += failed
        summary.answered += not failed
        summary.input_tokens += outcome.input_tokens
        summary.output_tokens += outcome.output_tokens
        if outcome.cost is not None:
            summary.cost = (summary.cost or 0.0) + outcome.cost

    def _flush(self) -> None:
        """With ``in_order``, have what is next in the input's order written, if it is there.

        What this run will not ask is passed over.
        """
        index = self._index
        while self._waiting:
            position = self._cursor
            if (result := self._waiting.pop(position, None)) is not None:
                commit = self._results.put(*result[:2])
                if not result[2].done():  # cancelled
                    result[2].set_result(commit)
            elif position in self._taken or not (
                index.states[position] == DONE
                or self._stopped.is_set()
                or self._lanes[index.destinations[position]].ended
            ):
                return
            self._cursor += 1

    def _count(self, lane: Lane, outcome: Outcome) -> None:
        """End the run, or what goes to a destination, after too many failures."""
        limits = self._limits
        if outcome.exit_code == ExitCode.OK or outcome.code == "schema_mismatch":
            self._in_a_row = 0
            return
        if outcome.exit_code == ExitCode.AUTHENTICATION:
            lane.refusals += 1
            if lane.refusals == limits.max_refusals:
                lane.ended = True
                lane.wake()
            return
        self._in_a_row += 1
        if self._in_a_row == limits.max_failures:
            self._end(
                outcome.exit_code,
                f"{self._in_a_row} lines in a row failed, the last with: {outcome.failure}; run "
                "the same command to continue, with --retry-failed to send the failed lines again "
                "(--max-failures 0 never ends a run)",
            )

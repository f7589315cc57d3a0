"""One call in a warm process: adapter, LiteLLM, the OpenAI SDK, httpx; and where the time goes.

All in one process, against a server in another; five such processes, since one differs from the
next by more than its rounds do. In each round every case makes one call, in random order, each
after one of its own kind that does not count: a program that makes such calls makes no others in
between, and what they share would be warmer than what only one of them has. Wall time is that of
the call; CPU time is the whole process's until LiteLLM's logging threads are done.
`litellm.completion, again` is the same call as the base: how far its ratio is from 1 is what this
benchmark cannot see. A streamed chunk is the difference between an answer of 101 chunks and one of
a single chunk, by a hundred.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks import breakdown, measuring
from benchmarks.calls import (
    AGAIN,
    BASE,
    AsyncCall,
    Call,
    async_calls,
    sync_calls,
    write_providers,
)
from benchmarks.measuring import Results
from benchmarks.server import ANSWER, Server, serving

__all__ = ["AGAIN", "BASE", "CHUNKS", "LAYERS", "measure"]

CHUNKS = 101
LAYERS = {
    "HTTP and JSON: `httpx` alone": ("httpx", ""),
    "the OpenAI SDK, beyond httpx": ("OpenAI SDK", "httpx"),
    "LiteLLM, beyond the SDK": (BASE, "OpenAI SDK"),
    "adapter, beyond LiteLLM": ("adapter.completion", BASE),
}
PROCESSES = 5
ROUNDS = 50
SETTLE_SECONDS = 0.002


def _check(text: str) -> None:
    if not text.startswith(ANSWER):
        raise SystemExit(f"a call was not answered: {text!r}")


def _is_at_rest(cpu: float) -> bool:
    """Return whether this process took next to no CPU time since it had taken ``cpu`` seconds."""
    return time.process_time() - cpu < SETTLE_SECONDS / 5


def _settle() -> None:
    """Wait until LiteLLM's threads have written the log of the calls before."""
    cpu = -1.0
    while not _is_at_rest(cpu):
        cpu = time.process_time()
        time.sleep(SETTLE_SECONDS)


async def _settle_async() -> None:
    cpu = -1.0
    while not _is_at_rest(cpu):
        cpu = time.process_time()
        await asyncio.sleep(SETTLE_SECONDS)


def _once(call: Call) -> dict[str, float]:
    _check(call())
    _settle()
    cpu, wall = time.process_time(), time.perf_counter()
    _check(call())
    wall = time.perf_counter() - wall
    _settle()
    return {"wall": wall, "cpu": time.process_time() - cpu}


async def _once_async(call: AsyncCall) -> dict[str, float]:
    _check(await call())
    await _settle_async()
    cpu, wall = time.process_time(), time.perf_counter()
    _check(await call())
    wall = time.perf_counter() - wall
    await _settle_async()
    return {"wall": wall, "cpu": time.process_time() - cpu}


async def _async_rounds(base_url: str, stream: bool, number: int) -> measuring.Measured:
    """As `measuring.rounds`, within one event loop."""
    order = random.Random(0)
    async with async_calls(base_url, stream) as calls:
        taken: measuring.Measured = {label: {"wall": [], "cpu": []} for label in calls}
        for count in range(number + 1):
            for label in order.sample(list(calls), len(calls)):
                for what, value in (await _once_async(calls[label])).items():
                    if count:
                        taken[label][what].append(value)
    return taken


def _rows(taken: measuring.Measured) -> Results:
    return {
        label: {
            what: {**measuring.summary(values), **measuring.ratio(values, taken[BASE][what])}
            for what, values in found.items()
        }
        for label, found in taken.items()
    }


def _rounds(base_url: str, number: int) -> dict[str, measuring.Measured]:
    """Measure all calls; run in a process of its own."""
    found = {}
    for stream in (False, True):
        how = "streamed" if stream else "whole"
        calls = sync_calls(base_url, stream)
        cases = {label: (lambda c=call: _once(c)) for label, call in calls.items()}
        found[f"sync, {how}"] = measuring.rounds(cases, number, f"per_call, sync {how}")
        measuring.progress(f"per_call, async {how}")
        found[f"async, {how}"] = asyncio.run(_async_rounds(base_url, stream, number))
    return found


def _calls(server: Server, quick: bool) -> dict[str, measuring.Measured]:
    """Return the rounds of all processes, one after the other."""
    parts = []
    for _ in range(1 if quick else PROCESSES):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            rounds = pool.submit(_rounds, server.base_url(), 20 if quick else ROUNDS)
            parts.append(rounds.result())
    return {how: _joined([part[how] for part in parts]) for how in parts[0]}


def _joined(parts: list[measuring.Measured]) -> measuring.Measured:
    return {
        label: {what: [v for part in parts for v in part[label][what]] for what in found}
        for label, found in parts[0].items()
    }


def _layers(taken: measuring.Measured) -> Results:
    """Return what each layer takes: the median of the rounds' differences to the one below it."""
    cpu = {label: found["cpu"] for label, found in taken.items()}
    cpu[""] = [0.0] * len(cpu[BASE])
    found = {}
    for label, (upper, lower) in LAYERS.items():
        found[label] = statistics.median(x - y for x, y in zip(cpu[upper], cpu[lower], strict=True))
    return found


def _per_chunk(server: Server, quick: bool) -> Results:
    """Return what a chunk takes: an answer of 101 chunks less one of a single chunk, by 100."""
    few = sync_calls(server.base_url(), stream=True)
    many = sync_calls(server.base_url(chunks=CHUNKS), stream=True, provider="many")

    def case(label: str) -> dict[str, float]:
        short, long = _once(few[label]), _once(many[label])
        return {what: (long[what] - short[what]) / (CHUNKS - 1) for what in long}

    cases = {label: (lambda x=label: case(x)) for label in few}
    return _rows(measuring.rounds(cases, 4 if quick else 24, "per_call, chunks"))


def measure(quick: bool) -> Results:
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        # where most have it: at each call adapter looks whether one of three files has changed
        config = Path(folder, ".config/gptme/config.toml")
        config.parent.mkdir(parents=True)
        bases = {"one": server.base_url(), "many": server.base_url(chunks=CHUNKS)}
        write_providers(config, bases)
        # what the process itself reads; run.py gives every benchmark a process of its own
        os.environ.clear()
        os.environ.update(measuring.environment(Path(folder), BENCH_KEY="sk-x"))
        taken = _calls(server, quick)
        return {
            "calls": {how: _rows(cases) for how, cases in taken.items()},
            "layers": {how: _layers(cases) for how, cases in taken.items()},
            "chunks": _per_chunk(server, quick),
            "own": breakdown.own_steps(quick),
            "profile": breakdown.profile(server.base_url(), quick),
        }


if __name__ == "__main__":
    measuring.main(__doc__, measure)

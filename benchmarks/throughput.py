"""Throughput: answers a second with 1 to 1,000 calls in flight, and through a gateway.

The server waits 20 ms before each answer. In process: `acompletion` of adapter and of LiteLLM and
the OpenAI SDK's async client, one event loop. Through a gateway, by a bare client on sockets, so
that the gateway is what is measured: `adapter serve` and LiteLLM's own command on the exported
configuration, each with one worker and with two, and the server itself as the ceiling.
Client, gateway and server share the machine.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks import gateways, measuring
from benchmarks.calls import closing_litellms
from benchmarks.measuring import Results
from benchmarks.server import ANSWER, serving

__all__ = ["BASE", "DELAY_MS", "GATEWAY_BASE", "IN_FLIGHT", "bare_rate", "free_port", "measure"]

BASE = "litellm.acompletion"
GATEWAY_BASE = "adapter serve"
DELAY_MS = 20
IN_FLIGHT = {1: 30, 10: 150, 100: 300, 1000: 1000}
"""Calls in flight -> calls in all."""
GATEWAY_IN_FLIGHT = {1: 30, 10: 150, 100: 300}

REST_SECONDS = 0.005
"""A process is at rest when it takes less than a fifth of this time."""

MESSAGES: list[Any] = [{"role": "user", "content": "q"}]
Call = Callable[[], Awaitable[str]]


async def at_once(calls: list[Call], number: int) -> float:
    """Return how many calls end in a second, each of ``calls`` being made over and over.

    The time ends when this process is at rest: LiteLLM's threads write its log after the answers,
    and how much of that is left at the last answer depends on how the threads took turns. Garbage
    is collected before: all of it at once takes a quarter of a second, about once in 500 calls.
    """
    gc.collect()
    left = iter(range(number))

    async def one_after_another(call: Call) -> None:
        for _ in left:
            if not (await call()).startswith(ANSWER):
                raise SystemExit("a call was not answered")

    started = time.perf_counter()
    await asyncio.gather(*map(one_after_another, calls))
    ended, cpu = time.perf_counter(), -1.0
    while (now := time.process_time()) - cpu > REST_SECONDS / 5:
        ended, cpu = time.perf_counter(), now
        await asyncio.sleep(REST_SECONDS)
    return number / (ended - started)


@asynccontextmanager
async def in_process(base_url: str) -> AsyncIterator[dict[str, Call]]:
    import litellm
    import openai

    import adapter

    client = openai.AsyncOpenAI(base_url=base_url, api_key="sk-x", max_retries=0)
    plain: dict[str, Any] = {"model": "openai/m", "api_base": base_url, "api_key": "sk-x"}

    async def text(made: Awaitable[Any]) -> str:
        return str((await made).choices[0].message.content)

    calls: dict[str, Call] = {
        "adapter.acompletion": lambda: text(adapter.acompletion("bench", messages=MESSAGES)),
        BASE: lambda: text(litellm.acompletion(**plain, messages=MESSAGES)),
        "OpenAI SDK, async": lambda: text(
            client.chat.completions.create(model="m", messages=MESSAGES)
        ),
    }
    async with client, closing_litellms():
        yield calls


class Bare:
    """One connection that asks one question over and over, straight on its socket."""

    def __init__(self, port: int, path: str, key: str, model: str) -> None:
        body = json.dumps({"model": model, "messages": MESSAGES}).encode()
        head = (
            f"POST {path}/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __call__(self) -> str:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise SystemExit(f"a gateway failed: {head!r} {body!r}")
        return str(json.loads(body)["choices"][0]["message"]["content"])

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


async def bare_rate(found: tuple[int, str, str, str], in_flight: int, number: int) -> float:
    """Return the answers a second of a server: its port, path, key and model."""
    calls = [Bare(*found) for _ in range(in_flight)]
    try:
        return await at_once(list(calls), number)
    finally:
        for call in calls:
            call.close()


def _rows(taken: measuring.Measured, base: str) -> Results:
    return {
        label: {
            count: {**measuring.summary(rates), **measuring.ratio(rates, taken[base][count])}
            for count, rates in found.items()
        }
        for label, found in taken.items()
    }


def _in_process(base_url: str, quick: bool) -> Results:
    async def rates(call: Call) -> dict[str, float]:
        levels = {n: c for n, c in IN_FLIGHT.items() if n <= 100 or not quick}
        return {str(n): await at_once([call] * n, total) for n, total in levels.items()}

    running = AsyncExitStack()
    loop = asyncio.new_event_loop()  # one for all rounds, as in a program that runs
    try:
        calls = loop.run_until_complete(running.enter_async_context(in_process(base_url)))
        cases = {x: (lambda c=call: loop.run_until_complete(rates(c))) for x, call in calls.items()}
        return _rows(measuring.rounds(cases, 1 if quick else 3, "throughput, in process"), BASE)
    finally:
        loop.run_until_complete(running.aclose())
        loop.close()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _gateways(home: Path, base_url: str, config: str, quick: bool) -> Results:
    def environ(name: str) -> dict[str, str]:
        return measuring.environment(home / name, ADAPTER_CONFIG=config, BENCH_KEY="sk-x")

    port, path = base_url.removeprefix("http://127.0.0.1:").split("/", 1)
    asked = {"the server itself": (int(port), f"/{path}", "sk-x", "m")}
    with ExitStack() as running:
        started = {GATEWAY_BASE: gateways.adapter_gateway(environ("one"))}
        if not quick:
            two = gateways.adapter_gateway(environ("two"), "--workers", "2")
            started["adapter serve --workers 2"] = two
        for workers in () if quick else (1, 2):
            started[f"litellm --config --num_workers {workers}"] = gateways.litellm_proxy(
                environ(f"proxy-{workers}"), free_port(), workers
            )
        for label, context in started.items():
            measuring.progress(f"throughput: starting {label}")
            found = running.enter_context(context)
            asked[label] = (found.port, "/v1", found.key, "bench")

        def case(label: str) -> dict[str, float]:
            return {
                str(n): asyncio.run(bare_rate(asked[label], n, total))
                for n, total in GATEWAY_IN_FLIGHT.items()
            }

        cases = {label: (lambda x=label: case(x)) for label in asked}
        taken = measuring.rounds(cases, 1 if quick else 2, "throughput, gateways")
    return _rows(taken, GATEWAY_BASE)


def measure(quick: bool) -> Results:
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        base_url = server.base_url(DELAY_MS)
        config = Path(folder, "config.toml")
        config.write_text(
            f'[[providers]]\nname = "bench"\nbase_url = "{base_url}"\n'
            'api_key_env = "BENCH_KEY"\ndefault_model = "m"\n'
        )
        through = _gateways(Path(folder), base_url, str(config), quick)
        # what the process itself reads; run.py gives every benchmark a process of its own
        os.environ.clear()
        os.environ.update(
            measuring.environment(Path(folder), ADAPTER_CONFIG=str(config), BENCH_KEY="sk-x")
        )
        return {"gateways": through, "in_process": _in_process(base_url, quick)}


if __name__ == "__main__":
    measuring.main(__doc__, measure)

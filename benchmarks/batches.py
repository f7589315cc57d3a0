"""A batch of 2,000 completions, 64 in flight, beside calls that write nothing.

The server waits 20 ms before each answer. `adapter.acompletion` is called in one event loop, as a
program would; raw aiohttp posts one body over and over. A batch runs in a process of its own, with
its files and syncs on; what counts is the time from its first request to its last answer on disk,
as its own summary says it. In all of them LiteLLM is imported by then, and has made no call yet.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks import measuring
from benchmarks.calls import closing_litellms
from benchmarks.measuring import Results
from benchmarks.server import serving
from benchmarks.throughput import MESSAGES, at_once

__all__ = ["BASE", "DELAY_MS", "IN_FLIGHT", "measure"]

BASE = "adapter.acompletion"
RAW = "raw aiohttp"
DELAY_MS = 20
IN_FLIGHT = 64
LINES = 2000

BATCHES = {
    "adapter batch, one process": ("--processes", "1"),
    "adapter batch, two processes": ("--processes", "2"),
    "adapter batch --direct": ("--direct",),
    "adapter batch --engine ray, two actors": ("--engine", "ray", "--processes", "2"),
}


def batch_rate(folder: Path, lines: int, *options: str) -> float:
    """Return the lines a second of a run that begins anew."""
    for path in folder.glob("out*"):
        path.unlink()
    source = folder / f"in-{lines}.jsonl"
    if not source.exists():
        body = {"model": "bench", "messages": MESSAGES}
        line = {"method": "POST", "url": "/v1/chat/completions", "body": body}
        source.write_text(
            "".join(json.dumps({"custom_id": str(n), **line}) + "\n" for n in range(lines))
        )
    arguments = ["batch", str(source), str(folder / "out.jsonl"), "--json", *options]
    done = subprocess.run(
        [sys.executable, "-m", "adapter", *arguments, "--concurrency", str(IN_FLIGHT)],
        stdout=subprocess.PIPE,
        check=True,
    )
    summary = json.loads(done.stdout)
    if summary["answered"] != lines:
        raise SystemExit(f"a batch was not answered: {summary}")
    return lines / float(summary["seconds"])


async def acompletion_rate(lines: int) -> float:
    import adapter
    from adapter.upstream.loading import load_litellm

    async def call() -> str:
        reply = await adapter.acompletion("bench", messages=MESSAGES)
        return str(reply.choices[0].message.content)

    load_litellm()
    async with closing_litellms():
        return await at_once([call] * IN_FLIGHT, lines)


async def raw_rate(base_url: str, lines: int) -> float:
    import aiohttp

    content = json.dumps({"model": "m", "messages": MESSAGES}).encode()
    headers = {"Authorization": "Bearer sk-x", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call() -> str:
            url = f"{base_url}/chat/completions"
            async with session.post(url, data=content, headers=headers) as response:
                return str((await response.json())["choices"][0]["message"]["content"])

        return await at_once([call] * IN_FLIGHT, lines)


def _measured(folder: Path, lines: int, options: tuple[str, ...]) -> dict[str, float]:
    return {"rate": batch_rate(folder, lines, *options)}


def measure(quick: bool) -> Results:
    lines = 300 if quick else LINES
    with tempfile.TemporaryDirectory() as name, serving() as server:
        folder, base_url = Path(name), server.base_url(DELAY_MS)
        config = folder / "config.toml"
        config.write_text(
            f'[[providers]]\nname = "bench"\nbase_url = "{base_url}"\n'
            'api_key_env = "BENCH_KEY"\ndefault_model = "m"\n'
        )
        os.environ.update(measuring.environment(folder, ADAPTER_CONFIG=str(config), BENCH_KEY="x"))
        cases: dict[str, Callable[[], dict[str, float]]] = {
            BASE: lambda: {"rate": asyncio.run(acompletion_rate(lines))},
            RAW: lambda: {"rate": asyncio.run(raw_rate(base_url, lines))},
        }
        for label, options in BATCHES.items():
            if "ray" not in options or find_spec("ray") is not None:
                cases[label] = partial(_measured, folder, lines, options)
        taken = measuring.rounds(cases, 1 if quick else 3, "batches")
    base, raw = taken[BASE]["rate"], taken[RAW]["rate"]
    return {
        label: {
            **measuring.summary(found["rate"]),
            **measuring.ratio(found["rate"], base),
            "of_raw": measuring.ratio(found["rate"], raw),
        }
        for label, found in taken.items()
    }


if __name__ == "__main__":
    measuring.main(__doc__, measure)

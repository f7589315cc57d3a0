"""Memory: what a command or a program takes at most, and what a worker and a gateway hold.

Of what ends, the largest resident size. Of what stays, the proportional size (PSS) of its
processes, in which a page that several share counts once: idle after its start, and after calls.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path

from benchmarks import measuring
from benchmarks.gateways import ADAPTER, Gateway, adapter_gateway, litellm_proxy
from benchmarks.measuring import PEERS, Results
from benchmarks.one_shot import LITELLM, name, worker, write_configurations
from benchmarks.server import ANSWER, serving
from benchmarks.throughput import MESSAGES, bare_rate, free_port

__all__ = ["BASE", "CALLS", "LINES", "QUERIES", "measure"]

BASE = 'python -c "import litellm"'
CALLS = 500
"""Of a gateway, before it is looked at again."""
QUERIES = 25
"""Of a worker, each a process of its own."""
LINES = 2_000

Case = Callable[[], dict[str, float]]


def proportional_mb(pid: int) -> float:
    """Return the PSS of a process and of all below it, in MB."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(stat.parent.name))
    pids, total = [pid], 0
    for each in pids:
        pids += parents.get(each, [])
        rollup = Path(f"/proc/{each}/smaps_rollup").read_text(encoding="ascii")
        total += int(rollup.partition("\nPss:")[2].split()[0])
    return total / 1024


def commands(base_url: str, batch: Path) -> dict[str, list[str]]:
    """Return what is run to its end, by label."""
    python = [sys.executable, "-c"]
    lines = [ADAPTER, "batch", str(batch)]
    return {
        "python -c pass": [*python, "pass"],
        'python -c "import adapter"': [*python, "import adapter"],
        'python -c "import openai"': [*python, "import openai"],
        BASE: [*python, "import litellm"],
        "plain LiteLLM script": [*python, LITELLM, base_url],
        "adapter, a query through the worker": [ADAPTER, "-m", name(0), "q"],
        "adapter, a query without a worker": [
            "env",
            "ADAPTER_WORKER=off",
            ADAPTER,
            "-m",
            name(0),
            "q",
        ],
        "llm": [str(PEERS / "llm/bin/llm"), "-m", name(0), "q"],
        f"adapter batch --processes 1, {LINES:,} lines": [*lines, "out.jsonl", "--processes", "1"],
        f"adapter batch --direct, {LINES:,} lines": [*lines, "direct.jsonl", "--direct"],
    }


def write_batch(path: Path, lines: int) -> None:
    body = {"model": name(0), "messages": MESSAGES}
    request = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    path.write_text(
        "".join(f"{json.dumps({'custom_id': str(n), **request})}\n" for n in range(lines))
    )


def _run(line: list[str], environ: Mapping[str, str], home: Path) -> dict[str, float]:
    for path in (*home.glob("out.jsonl*"), *home.glob("direct.jsonl*")):
        path.unlink()
    ran = measuring.run_process(line, environ, ANSWER if "q" in line else "")
    return {"mb": ran.peak_mb, "floor_mb": ran.floor_mb}


def _held(pid: int, work: Callable[[], object]) -> dict[str, float]:
    """Return what a process holds, idle and after ``work``."""
    idle = proportional_mb(pid)
    work()
    return {"mb": idle, "after_mb": proportional_mb(pid)}


@contextmanager
def _cases(quick: bool) -> Iterator[dict[str, Case]]:
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        home = Path(folder)
        calls, lines = (20, 50) if quick else (CALLS, LINES)
        write_configurations(home, server)
        write_batch(home / "in.jsonl", lines)

        def environ(part: str = "") -> dict[str, str]:
            return measuring.environment(
                home / part,
                XDG_CONFIG_HOME=str(home / ".config"),
                BENCH_KEY="sk-x",
                LLM_USER_PATH=str(home / "llm"),
                NO_COLOR="1",
            )

        def ask_worker() -> None:
            for _ in range(1 if quick else QUERIES):
                measuring.run_process([ADAPTER, "-m", name(0), "q"], environ("worker"), ANSWER)

        def hold_worker() -> dict[str, float]:
            with worker(environ("worker")):
                status = [ADAPTER, "worker", "status"]
                told = subprocess.run(
                    status, env=environ("worker"), capture_output=True, text=True, check=True
                )
                return _held(int(told.stdout.partition("pid ")[2].partition(",")[0]), ask_worker)

        def hold(started: AbstractContextManager[Gateway]) -> dict[str, float]:
            with started as gateway:
                model = (gateway.port, "/v1", gateway.key, name(0))
                return _held(gateway.pid, lambda: asyncio.run(bare_rate(model, 10, calls)))

        queries = commands(server.base_url(), home / "in.jsonl")
        cases: dict[str, Case] = {
            label: partial(_run, line, environ(), home) for label, line in queries.items()
        }
        cases["adapter, a worker"] = hold_worker
        cases["adapter serve"] = lambda: hold(adapter_gateway(environ("serve")))
        cases["litellm --config --num_workers 1"] = lambda: hold(
            litellm_proxy(environ("proxy"), free_port(), 1)
        )
        with worker(environ()):
            yield cases


def measure(quick: bool) -> Results:
    with _cases(quick) as cases:
        # memory differs little from run to run: the first round of others is not left out here
        taken = measuring.rounds(cases, 1, "memory")
    return {
        label: {
            **{what: measuring.summary(values) for what, values in found.items()},
            **measuring.ratio(found["mb"], taken[BASE]["mb"]),
        }
        for label, found in taken.items()
    }


if __name__ == "__main__":
    measuring.main(__doc__, measure)

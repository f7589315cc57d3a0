"""All benchmarks, one after another, each in a process of its own: `make bench`.

Usage: python -m benchmarks.run [--quick] [--only NAME ...]. What was measured goes into
benchmarks/results.json, in place of what was there, and from there into docs/ (report.py).
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from benchmarks import measuring, report
from benchmarks.measuring import PEERS, ROOT

__all__ = ["BENCHMARKS", "main"]

BENCHMARKS = (
    *("start_up", "one_shot", "memory", "per_call", "throughput", "batches", "growth"),
    "importing",
)


def _run(name: str, quick: bool) -> Any:
    command = [sys.executable, "-m", f"benchmarks.{name}", *(["--quick"] if quick else [])]
    return json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)


def _peer_version(peer: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({peer!r}))"
    python = str(PEERS / peer / "bin/python")
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _machine() -> dict[str, Any]:
    ours = {x: metadata.version(n) for x, n in (("LiteLLM", "litellm"), ("OpenAI SDK", "openai"))}
    ours["httpx"] = metadata.version("httpx")
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} on {platform.machine()}",
        "python": platform.python_version(),
        "versions": {**ours, **{peer: _peer_version(peer) for peer in ("llm", "gptme")}},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = measuring.arguments(__doc__)
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=BENCHMARKS)
    args = parser.parse_args(arguments)
    results = report.read() if report.RESULTS.exists() else {}
    quick = set(results.get("machine", {}).get("quick", ()))
    for name in args.only:
        started = time.monotonic()
        results[name] = _run(name, args.quick)
        (quick.add if args.quick else quick.discard)(name)
        sys.stdout.write(f"{name}: {time.monotonic() - started:.0f} s\n")
        sys.stdout.flush()
        results["machine"] = {**_machine(), "quick": [n for n in BENCHMARKS if n in quick]}
        report.RESULTS.write_text(json.dumps(_rounded(results), indent=1) + "\n", encoding="utf-8")
    if set(BENCHMARKS) <= set(results):
        subprocess.run([sys.executable, "-m", "benchmarks.report"], cwd=ROOT, check=True)


def _rounded(value: Any) -> Any:
    """Return results with five digits: more is noise, and a difference of files nobody can read."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return value


if __name__ == "__main__":
    main()

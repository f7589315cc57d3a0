"""How things are measured: rounds in which everything runs once, medians, spread, ratios.

A ratio is that of two medians. Its range is a bootstrap interval of 95 %: the rounds are drawn
again, with repetition, and what shared a round stays together, so that a busy moment of the
machine hits both sides of a ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "PEERS",
    "ROOT",
    "SCRIPTS",
    "Ran",
    "Results",
    "arguments",
    "environment",
    "floor_mb",
    "main",
    "progress",
    "ratio",
    "rounds",
    "run_process",
    "summary",
]

ROOT = Path(__file__).parents[1]
SCRIPTS = Path(sys.executable).parent
PEERS = ROOT / ".bench"

Results = dict[str, Any]
Measured = dict[str, dict[str, list[float]]]
"""label -> what was measured -> one value for each round."""


class Ran(NamedTuple):
    """One run of a command: seconds to the first byte of stdout and to the end, and what it took.

    ``peak_mb`` cannot be less than what the measuring process itself took (``floor_mb``): Linux
    counts a process from before its exec.
    """

    first: float
    wall: float
    cpu: float
    peak_mb: float


def floor_mb() -> float:
    """Return the peak memory of this process, which a child's cannot show itself to be under."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_process(command: Sequence[str], environ: Mapping[str, str], expect: bytes = b"") -> Ran:
    """Run ``command``, which must succeed and have ``expect`` in its output."""
    with tempfile.TemporaryFile() as said:  # a pipe that nobody reads would fill up
        started = time.perf_counter()
        with subprocess.Popen(
            command,
            env=dict(environ),
            cwd=environ["HOME"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            bufsize=0,
        ) as process:
            assert process.stdout
            out = process.stdout.read(1 << 16) or b""
            first = time.perf_counter() - started
            out += process.stdout.read() or b""
            _, status, used = os.wait4(process.pid, 0)
            wall = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode or expect not in out:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)} failed: {out!r}\n{said.read().decode()}")
    return Ran(first, wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment of its own for a command: nothing of the caller's, and no network."""
    home.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_RUNTIME_DIR": str(home),
        # else LiteLLM asks the network for prices when it is imported
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        **more,
    }


def rounds(
    cases: Mapping[str, Callable[[], Mapping[str, float]]], number: int, name: str = ""
) -> Measured:
    """Run every case once in each round, in random order; a first round more is left out.

    A single round is kept: that is a trial (``--quick``), not a measurement.
    """
    first = 0 if number > 1 else 1
    order = random.Random(0)
    taken: Measured = {label: {} for label in cases}
    for count in range(first, number + 1):
        progress(f"{name}: round {count} of {number}")
        for label in order.sample(list(cases), len(cases)):
            for what, value in cases[label]().items():
                if count:
                    taken[label].setdefault(what, []).append(value)
    return taken


def progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")


def summary(values: Sequence[float]) -> Results:
    """Return the median and the quartiles."""
    q1, middle, q3 = (
        statistics.quantiles(values, n=4, method="inclusive")
        if len(values) > 1
        else ([values[0]] * 3)
    )
    return {"median": middle, "q1": q1, "q3": q3, "n": len(values)}


def ratio(values: Sequence[float], base: Sequence[float], draws: int = 400) -> Results:
    """Return the ratio of the medians, with its interval of 95 %; both sides round by round."""
    drawn = random.Random(0)
    found = []
    everyone = range(len(values))
    for _ in range(draws):
        chosen = drawn.choices(everyone, k=len(values))
        over = statistics.median([values[i] for i in chosen])
        found.append(over / statistics.median([base[i] for i in chosen]))
    found.sort()
    return {
        "ratio": statistics.median(values) / statistics.median(base),
        "low": found[int(draws * 0.025)],
        "high": found[int(draws * 0.975)],
    }


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with what every benchmark takes."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few rounds, to try it")
    return parser


def main(description: str | None, measure: Callable[[bool], Results]) -> None:
    """Run one benchmark and print what it found as JSON."""
    quick = arguments(description).parse_args().quick
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers are stopped
    json.dump(measure(quick), sys.stdout, indent=1)
    sys.stdout.write("\n")

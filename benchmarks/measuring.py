"""How things are measured: rounds in which everything runs once, medians, spread, ratios.

A ratio is the median of the rounds' ratios: a busy moment of the machine hits both sides of what
shared a round. Its range is a bootstrap interval of 95 %: the rounds are drawn again, with
repetition.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
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

    ``peak_mb`` cannot be less than ``floor_mb``, which is what whoever started it had.
    """

    first: float
    wall: float
    cpu: float
    peak_mb: float
    floor_mb: float


@cache
def _spawner() -> subprocess.Popen[str]:
    command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("spawner.py"))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def run_process(command: Sequence[str], environ: Mapping[str, str], expect: str = "") -> Ran:
    """Run ``command``, which must succeed and have ``expect`` in its output."""
    errors = Path(environ["HOME"], "stderr")
    spawner = _spawner()
    assert spawner.stdin
    assert spawner.stdout
    job = {"command": list(command), "environ": dict(environ), "errors": str(errors)}
    spawner.stdin.write(json.dumps(job) + "\n")
    spawner.stdin.flush()
    told = json.loads(spawner.stdout.readline())
    code, out = told.pop("code"), told.pop("out")
    if code or expect not in out:
        said = errors.read_text(encoding="utf-8", errors="replace")
        raise SystemExit(f"{' '.join(command)} failed ({code}): {out!r}\n{said}")
    return Ran(**told)


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
    """Return the median of the rounds' ratios, with its interval of 95 %."""
    ratios = [value / under for value, under in zip(values, base, strict=True)]
    drawn = random.Random(0)
    found = sorted(statistics.median(drawn.choices(ratios, k=len(ratios))) for _ in range(draws))
    return {
        "ratio": statistics.median(ratios),
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

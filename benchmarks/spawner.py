"""Runs commands for `measuring`, in a process so small that theirs is the memory that is seen.

Linux counts the peak memory of a process from before its exec, so a command cannot show less than
whoever started it. One line of JSON on stdin is one command, one on stdout how it went.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any


def run(job: dict[str, Any]) -> dict[str, Any]:
    command, errors = job["command"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    os.chdir(job["environ"]["HOME"])
    reading, writing = os.pipe()
    started = time.perf_counter()
    pid = os.posix_spawnp(
        command[0],
        command,
        job["environ"],
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, writing, 1),
            (os.POSIX_SPAWN_OPEN, 2, job["errors"], errors, 0o600),
        ],
    )
    os.close(writing)
    out = os.read(reading, 1 << 16)
    first = time.perf_counter() - started
    while data := os.read(reading, 1 << 16):
        out += data
    _, status, used = os.wait4(pid, 0)
    wall = time.perf_counter() - started
    os.close(reading)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "out": out.decode(errors="replace"),
        "first": first,
        "wall": wall,
        "cpu": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1024,
    }


def peak_mb() -> float:
    """Return the peak memory of this process alone, without what came before its exec."""
    with open("/proc/self/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    for asked in sys.stdin:
        told = run(json.loads(asked))
        sys.stdout.write(json.dumps({**told, "floor_mb": peak_mb()}) + "\n")
        sys.stdout.flush()

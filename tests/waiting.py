"""Waiting for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.command import PATIENCE


def is_running(pid: int) -> bool:
    """Whether there is such a process that has not ended, in Linux's ``/proc``."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def come_to(true: Callable[[], bool]) -> bool:
    """Wait until ``true`` is, but not for ever; return what it is then."""
    deadline = time.monotonic() + PATIENCE
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()

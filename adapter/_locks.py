"""Locks that a forked child can use."""

from __future__ import annotations

import os
from threading import Lock

__all__ = ["ForkSafeLock"]


class ForkSafeLock:
    """A lock of this process that is free in a forked child.

    A thread that holds it while another one forks is not in the child to let it go. For locks that
    live as long as the process.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        if hasattr(os, "register_at_fork"):  # not on Windows
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *args: object) -> None:
        self._lock.release()

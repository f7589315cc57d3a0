"""What a query waits for, as a line on the terminal that is gone when the answer begins."""

from __future__ import annotations

import math
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import cycle

from adapter._text import one_line
from adapter.cli.output import fit

__all__ = ["Progress", "awaiting"]

FIRST_SECONDS = 0.2
"""A wait that is over sooner is not shown."""

FRAME_SECONDS = 0.1
FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
ASCII_FRAMES = "|/-\\"

WIDTH = 80
"""In columns, of a terminal that does not tell."""

ERASE = "\r\x1b[K"
"""Back to the beginning of the line, and erase to its end (ECMA-48, EL)."""


@contextmanager
def awaiting(name: str) -> Iterator[Progress]:
    """Show what an answer of ``name`` waits for, LiteLLM's import first, until it is cleared.

    Nothing is shown where stderr is no terminal, or a dumb one.
    """
    progress = Progress()
    if sys.stderr is None or not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        yield progress
        return
    from adapter.upstream.loading import load_for_command
    from adapter.upstream.retries import watch_retries

    def retry(cause: str, seconds: float) -> None:
        progress.show_for(seconds, f"{name} {cause}: trying again in")

    try:
        progress.show("importing LiteLLM")
        load_for_command()
        progress.show(f"waiting for {name}")
        with watch_retries(retry):
            yield progress
    finally:
        progress.clear()


class Progress:
    """A line at the end of stderr, drawn anew by a thread while something is awaited."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._end: threading.Event | None = None
        self._drawn = False
        self._text = ""
        self._since = 0.0
        self._notice = ""
        self._until = 0.0

    def show(self, text: str) -> None:
        """Show ``text``, and for how many seconds it is shown."""
        with self._lock:
            self._text, self._since = text, time.monotonic()
            if self._end is None:
                self._end = threading.Event()
                threading.Thread(target=self._draw, args=(self._end,), daemon=True).start()

    def show_for(self, seconds: float, notice: str) -> None:
        """Show ``notice`` for that time, with what is left of it, then the text as before."""
        with self._lock:
            self._notice, self._until = notice, time.monotonic() + seconds

    def clear(self) -> None:
        """Take the line away, if there is one."""
        with self._lock:
            if self._end is not None:
                self._end.set()
                self._end = None
                if self._drawn:
                    _write(ERASE)

    def _draw(self, end: threading.Event) -> None:
        if hasattr(signal, "pthread_sigmask"):  # signals are for the thread that waits
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        encoding = sys.stderr.encoding or "ascii"
        wait = FIRST_SECONDS
        for frame in cycle(FRAMES if "utf" in encoding.lower() else ASCII_FRAMES):
            if end.wait(wait):
                return
            wait = FRAME_SECONDS
            with self._lock:
                if not end.is_set():
                    self._drawn = True
                    _write(ERASE + fit(f"{frame} {one_line(self._line())}", _columns() - 1))

    def _line(self) -> str:
        now = time.monotonic()
        if now < self._until:
            return f"{self._notice} {math.ceil(self._until - now)} s"
        seconds = int(now - self._since)
        return f"{self._text} ({seconds} s)" if seconds else self._text


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or WIDTH
    except OSError:
        return WIDTH


def _write(text: str) -> None:
    """Write to the terminal, unless it is gone or stopped (Ctrl-S): no answer waits for it."""
    with suppress(OSError, ValueError):
        if select.select([], [sys.stderr], [], FRAME_SECONDS)[1]:
            sys.stderr.write(text)
            sys.stderr.flush()

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
        self._over = threading.Event()
        self._drawn = False
        self._text, self._since = "", 0.0
        self._notice, self._until = "", 0.0

    def show(self, text: str) -> None:
        """Show ``text``, and for how many seconds it is shown."""
        with self._lock:
            if not self._text:
                threading.Thread(target=self._draw, daemon=True).start()
            self._text, self._since = text, time.monotonic()

    def show_for(self, seconds: float, notice: str) -> None:
        """Show ``notice`` for that time, with what is left of it, then the text as before."""
        with self._lock:
            self._notice, self._until = notice, time.monotonic() + seconds

    def clear(self) -> None:
        """Take the line away for good, if there is one."""
        with self._lock:
            if self._drawn and not self._over.is_set():
                _replace("")
            self._over.set()

    def _draw(self) -> None:
        if hasattr(signal, "pthread_sigmask"):  # signals are for the thread that waits
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        is_utf = "utf" in (sys.stderr.encoding or "").lower()
        wait = FIRST_SECONDS
        for frame in cycle(FRAMES if is_utf else ASCII_FRAMES):
            self._over.wait(wait)
            wait = FRAME_SECONDS
            with self._lock:
                if self._over.is_set():
                    return
                self._drawn = True
                _replace(f"{frame} {one_line(self._line())}")

    def _line(self) -> str:
        now = time.monotonic()
        if now < self._until:
            return f"{self._notice} {math.ceil(self._until - now)} s"
        seconds = int(now - self._since)
        return f"{self._text} ({seconds} s)" if seconds else self._text


def _replace(line: str) -> None:
    """Put ``line`` in place of what was drawn; no answer waits for a terminal that is stopped."""
    with suppress(OSError, ValueError, AttributeError):  # it has gone, or Windows has no poll
        terminal = select.poll()
        terminal.register(sys.stderr, select.POLLOUT)
        if terminal.poll(FRAME_SECONDS * 1000):
            columns = os.get_terminal_size(sys.stderr.fileno()).columns or WIDTH
            sys.stderr.write(ERASE + fit(line, columns - 1))
            sys.stderr.flush()

"""What ends the wait for an answer: Ctrl-C, and silence for longer than the time limit.

Both are exceptions that a signal handler raises, and C code may drop those: before Python 3.13
`PyObject_HasAttr <https://docs.python.org/3/c-api/object.html#c.PyObject_HasAttr>`_ does. So each
is raised again every second, until it comes out.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["in_time", "interruptible"]

AGAIN_SECONDS = 1.0

GRACE_SECONDS = 1.0
"""How much longer a chunk may take than a byte, so that silence is told as such."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end the block with ``KeyboardInterrupt``, whatever becomes of the first one.

    Where Ctrl-C is ignored or handled otherwise, and where there are no alarms, nothing changes.
    """
    if not _has_alarms() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS, AGAIN_SECONDS)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if interrupted:
            signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if interrupted:
            raise KeyboardInterrupt  # in place of any error that was made of it


def in_time(chunks: Iterable[Any], limit: Any) -> Iterator[Any]:
    """Yield ``chunks``; raise ``TimeoutError`` when none comes for ``limit`` seconds.

    To a socket a server that sends keep-alive comments is never silent. A limit that is no number
    is LiteLLM's alone, and so is any where there are no alarms.
    """
    if not _has_alarms() or not isinstance(limit, int | float):
        yield from chunks
        return

    def late(*_: object) -> None:
        raise TimeoutError

    handler = signal.signal(signal.SIGALRM, late)
    timer = signal.setitimer(signal.ITIMER_REAL, 0)  # an alarm of the caller's
    iterator = iter(chunks)
    try:
        while True:
            signal.setitimer(signal.ITIMER_REAL, limit + GRACE_SECONDS, AGAIN_SECONDS)
            try:
                chunk = next(iterator)
            except StopIteration:
                return
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                if signal.getsignal(signal.SIGALRM) is not late:
                    raise KeyboardInterrupt  # the alarm has become that of Ctrl-C, see above
            yield chunk
    finally:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *timer)


def _has_alarms() -> bool:
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and hasattr(signal, "setitimer")

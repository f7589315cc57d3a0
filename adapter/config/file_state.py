"""Whether a file has changed since it was read, which every call asks of the configuration.

``os.stat`` lets other threads run while it looks. In a busy program those that write LiteLLM's log
then take their turns before the request is sent: with ten calls in flight, almost a fifth fewer
answers a second. Looking takes a microsecond, so Linux is asked without letting them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from sys import byteorder
from typing import Any

__all__ = ["State", "are_still", "encoded", "look_in_one_go", "settled", "state_of"]

State = bytes
"""Mode, inode, size, and times of change of inode and content, as in Linux's ``struct statx``."""

GRAIN_NS = 20_000_000
"""Two changes of a file this near, in nanoseconds, may bear one time: Linux before 6.13 and other
systems date them by a clock that takes steps of up to 16 ms."""

AT_FDCWD = -100
STATX_BASIC_STATS = 0x7FF
STATX_BYTES = 256
FIRST, SECOND = slice(28, 48), slice(96, 128)
"""Where that stands, on every processor: mode, inode and size; the two times (statx(2))."""


def encoded(path: str) -> bytes:
    """Return what the system calls ``path``; nothing for what can be no file's name."""
    try:
        name = os.fsencode(path)
    except ValueError:
        return b""
    return b"" if b"\0" in name else name


def state_of(name: bytes) -> State | None:
    """Return the state of the file ``name``, links followed; ``None`` where none is found."""
    try:
        info = os.stat(name)
    except OSError:
        return None
    found = info.st_mode.to_bytes(2, byteorder) + bytes(2)
    found += (info.st_ino % 2**64).to_bytes(8, byteorder) + info.st_size.to_bytes(8, byteorder)
    return found + _time(info.st_ctime_ns) + _time(info.st_mtime_ns)


def _time(nanoseconds: int) -> bytes:
    seconds, rest = divmod(nanoseconds, 10**9)
    return seconds.to_bytes(8, byteorder, signed=True) + rest.to_bytes(4, byteorder) + bytes(4)


def settled(state: State | None, now: int) -> State | None:
    """Return ``state``, or what no state is equal to where the file may change and be as it was.

    ``now`` is when it was looked at, in nanoseconds since 1970. A file that had just changed then
    may change once more within one step of the clock (Git calls such a file racily clean).
    """
    if state is None:
        return None
    changes = _nanoseconds(state[20:36]), _nanoseconds(state[36:])
    return b"" if any(abs(now - change) < GRAIN_NS for change in changes) else state


def _nanoseconds(time: bytes) -> int:
    seconds = int.from_bytes(time[:8], byteorder, signed=True)
    return seconds * 10**9 + int.from_bytes(time[8:12], byteorder)


def are_still(names: Iterable[bytes], known: Iterable[State | None]) -> bool:
    """Whether each of the files ``names`` is in the state that is ``known`` of it."""
    return _look(names, known)


def _by_stat(names: Iterable[bytes], known: Iterable[State | None]) -> bool:
    for name, state in zip(names, known, strict=True):
        # ``access`` takes a third of the time that ``stat`` takes to raise
        if os.access(name, os.F_OK) if state is None else state_of(name) != state:
            return False
    return True


_look: Callable[[Iterable[bytes], Iterable[State | None]], bool] = _by_stat


def look_in_one_go() -> None:
    """From now on let no other thread run meanwhile, where the system has ``statx``.

    It needs ctypes, which takes milliseconds to import: for programs that make calls.
    """
    global _look  # noqa: PLW0603 - the one way to look of this process
    try:
        import ctypes

        library = ctypes.PyDLL(None)  # the C library
        statx, access = library.statx, library.access
    except (ImportError, AttributeError, OSError, TypeError):  # not Linux, or an old one
        return
    buffer = ctypes.c_char * STATX_BYTES

    def look(names: Iterable[bytes], known: Iterable[State | None]) -> bool:
        found: Any = buffer()
        for name, state in zip(names, known, strict=True):
            if state is None:
                if access(name, os.F_OK) == 0:
                    return False
            elif statx(AT_FDCWD, name, 0, STATX_BASIC_STATS, found):
                # there is none, or a sandbox knows no statx
                if state_of(name) != state:
                    return False
            elif found[FIRST] + found[SECOND] != state:
                return False
        return True

    _look = look

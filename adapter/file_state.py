"""Whether a file has changed since it was read, which every call asks of the configuration.

``os.stat`` lets other threads run while it looks. In a busy program those that write LiteLLM's log
then take their turns before the request is sent: with ten calls in flight, almost a fifth fewer
answers a second. Looking takes a microsecond, so Linux is asked without letting them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import lru_cache

__all__ = ["State", "is_still", "look_in_one_go", "state_of"]

State = tuple[int, int, int, int, int]
"""Times of change of content and of inode (ns since 1970), size (bytes), inode and mode."""

AT_FDCWD = -100
STATX_BASIC_STATS = 0x7FF
STATX_BYTES = 256
MODE_INODE_SIZE = "=H2xQQ", 28
CTIME_MTIME = "=qI4xqI4x", 96
"""How and where they stand in Linux's ``struct statx``, on every processor (statx(2))."""

_look: Callable[[str], State | None] | None = None


def state_of(path: str) -> State | None:
    """Return the state of the file at ``path``, links followed; ``None`` where none is found."""
    return _by_stat(path) if _look is None else _look(path)


def is_still(path: str, known: State | None) -> bool:
    """Whether the file at ``path`` is in the state ``known``."""
    if known is None and _look is None:
        return not os.access(path, os.F_OK)  # a third of the time that stat takes to raise
    return state_of(path) == known


def _by_stat(path: str) -> State | None:
    try:
        info = os.stat(path)
    except (OSError, ValueError):
        return None
    return info.st_mtime_ns, info.st_ctime_ns, info.st_size, info.st_ino, info.st_mode


def look_in_one_go() -> None:
    """From now on let no other thread run meanwhile, where the system has ``statx``.

    It needs ctypes, which takes milliseconds to import: for programs that make calls.
    """
    global _look  # noqa: PLW0603 - one way to look for the whole process
    from struct import unpack_from

    try:
        import ctypes

        statx = ctypes.PyDLL(None, use_errno=True).statx  # the C library
    except (ImportError, AttributeError, OSError, TypeError):  # not Linux, or an old one
        return
    pointer, number, buffer = ctypes.c_char_p, ctypes.c_int, ctypes.c_char * STATX_BYTES
    statx.argtypes = (number, pointer, number, ctypes.c_uint, pointer)

    def look(path: str) -> State | None:
        if (name := _encoded(path)) is None:
            return None
        found = buffer()
        if statx(AT_FDCWD, name, 0, STATX_BASIC_STATS, found):
            # anything else may be a sandbox that knows no statx
            absent = ctypes.get_errno() in (errno.ENOENT, errno.ENOTDIR)
            return None if absent else _by_stat(path)
        mode, inode, size = unpack_from(MODE_INODE_SIZE[0], found, MODE_INODE_SIZE[1])
        times = unpack_from(CTIME_MTIME[0], found, CTIME_MTIME[1])
        ctime, mtime = times[0] * 10**9 + times[1], times[2] * 10**9 + times[3]
        return mtime, ctime, size, inode, mode

    _look = look


@lru_cache(maxsize=64)
def _encoded(path: str) -> bytes | None:
    """Return what the system calls ``path``, ``None`` for what can be no file's name."""
    try:
        name = os.fsencode(path)
    except ValueError:
        return None
    return None if b"\0" in name else name

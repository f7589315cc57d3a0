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
STATX_LAYOUT = "=28xH2xQQ48xqI4xqI4x"
"""Mode, inode, size and two times in Linux's ``struct statx``, on every processor (statx(2))."""


def state_of(path: str) -> State | None:
    """Return the state of the file at ``path``, links followed; ``None`` where none is found."""
    return _look(path)


def is_still(path: str, known: State | None) -> bool:
    """Whether the file at ``path`` is in the state ``known``."""
    return not _is_there(path) if known is None else _look(path) == known


def _by_stat(path: str) -> State | None:
    try:
        info = os.stat(path)
    except (OSError, ValueError):
        return None
    return info.st_mtime_ns, info.st_ctime_ns, info.st_size, info.st_ino, info.st_mode


def _by_access(path: str) -> bool:
    """Whether there is such a file, in a third of the time that ``stat`` takes to raise."""
    try:
        return os.access(path, os.F_OK)
    except ValueError:  # no file's name
        return False


_look: Callable[[str], State | None] = _by_stat
_is_there: Callable[[str], bool] = _by_access


def look_in_one_go() -> None:
    """From now on let no other thread run meanwhile, where the system has ``statx``.

    It needs ctypes, which takes milliseconds to import: for programs that make calls.
    """
    global _look, _is_there
    from struct import Struct

    try:
        import ctypes

        library = ctypes.PyDLL(None, use_errno=True)  # the C library
        statx, access = library.statx, library.access
    except (ImportError, AttributeError, OSError, TypeError):  # not Linux, or an old one
        return
    buffer, unpack = ctypes.c_char * STATX_BYTES, Struct(STATX_LAYOUT).unpack_from

    def look(path: str) -> State | None:
        name, found = _encoded(path), buffer()
        if name is None:
            return None
        if statx(AT_FDCWD, name, 0, STATX_BASIC_STATS, found):
            # anything else may be a sandbox that knows no statx
            absent = ctypes.get_errno() in (errno.ENOENT, errno.ENOTDIR)
            return None if absent else _by_stat(path)
        mode, inode, size, c_seconds, c_ns, m_seconds, m_ns = unpack(found)
        return m_seconds * 10**9 + m_ns, c_seconds * 10**9 + c_ns, size, inode, mode

    def is_there(path: str) -> bool:
        name = _encoded(path)
        return name is not None and access(name, os.F_OK) == 0

    _look, _is_there = look, is_there


@lru_cache(maxsize=64)
def _encoded(path: str) -> bytes | None:
    """Return what the system calls ``path``, ``None`` for what can be no file's name."""
    try:
        name = os.fsencode(path)
    except ValueError:
        return None
    return None if b"\0" in name else name

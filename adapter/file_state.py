"""Whether a file has changed since it was read, which every call asks of the configuration.

``os.stat`` lets other threads run while it looks. In a busy program those that write LiteLLM's log
then take their turns before the request is sent: with ten calls in flight, almost a fifth fewer
answers a second. Looking takes a microsecond, so Linux is asked without letting them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

__all__ = ["State", "are_still", "encoded", "look_in_one_go", "state_of"]

State = tuple[int, int, int, int, int]
"""Times of change of content and of inode (ns since 1970), size (bytes), inode and mode."""

AT_FDCWD = -100
STATX_BASIC_STATS = 0x7FF
STATX_BYTES = 256
STATX_LAYOUT = "=28xH2xQQ48xqI4xqI4x"
"""Mode, inode, size and two times in Linux's ``struct statx``, on every processor (statx(2))."""


def encoded(path: str) -> bytes:
    """Return what the system calls ``path``; nothing for what can be no file's name."""
    try:
        name = os.fsencode(path)
    except ValueError:
        return b""
    return b"" if b"\0" in name else name


def state_of(name: bytes) -> State | None:
    """Return the state of the file ``name``, links followed; ``None`` where none is found."""
    return _look(name)


def are_still(names: Iterable[bytes], known: Iterable[State | None]) -> bool:
    """Whether each of the files ``names`` is in the state that is ``known`` of it."""
    for name, state in zip(names, known, strict=True):
        if _is_there(name) if state is None else _look(name) != state:
            return False
    return True


def _by_stat(name: bytes) -> State | None:
    try:
        info = os.stat(name)
    except OSError:
        return None
    return info.st_mtime_ns, info.st_ctime_ns, info.st_size, info.st_ino, info.st_mode


def _by_access(name: bytes) -> bool:
    """Whether there is such a file, in a third of the time that ``stat`` takes to raise."""
    return os.access(name, os.F_OK)


_look: Callable[[bytes], State | None] = _by_stat
_is_there: Callable[[bytes], bool] = _by_access


def look_in_one_go() -> None:
    """From now on let no other thread run meanwhile, where the system has ``statx``.

    It needs ctypes, which takes milliseconds to import: for programs that make calls.
    """
    global _look, _is_there
    from struct import Struct

    try:
        import ctypes

        library = ctypes.PyDLL(None)  # the C library
        statx, access = library.statx, library.access
    except (ImportError, AttributeError, OSError, TypeError):  # not Linux, or an old one
        return
    buffer, unpack = ctypes.c_char * STATX_BYTES, Struct(STATX_LAYOUT).unpack_from

    def look(name: bytes) -> State | None:
        found = buffer()
        if statx(AT_FDCWD, name, 0, STATX_BASIC_STATS, found):
            return _by_stat(name)  # there is none, or a sandbox knows no statx
        mode, inode, size, c_seconds, c_ns, m_seconds, m_ns = unpack(found)
        return m_seconds * 10**9 + m_ns, c_seconds * 10**9 + c_ns, size, inode, mode

    def is_there(name: bytes) -> bool:
        return bool(access(name, os.F_OK) == 0)

    _look, _is_there = look, is_there

"""Write a file in one step: a reader sees the old one or the new one, whole.

Writers of the same folder take turns, so that two do not lose each other's change.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from adapter._files import reason
from adapter.config.loading import expire_looks
from adapter.errors import ConfigError, Problem

__all__ = ["SECRET_MODE", "locked", "mode_for", "replace_all", "write_file"]

LOCK_SECONDS = 30.0
"""How long to wait for another writer; one takes milliseconds."""

SECRET_MODE = 0o600
"""For a file that may hold keys: the owner alone reads and writes it."""

TEMPORARY = ".gptme-litellm-tmp-"
LOCK = ".gptme-litellm-lock"
"""Names in the folder of what is written, which nobody else uses; both are gone afterwards."""

FIXES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space, or have your quota raised",
    errno.EROFS: "write to another file system, or mount it writable",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


def write_file(path: str | os.PathLike[str], text: str, *, secret: bool = False) -> None:
    """Write a whole file in one step. Its mode is kept, or 0600 with ``secret``.

    Through a symbolic link the file it points to is written; into a FIFO or a device, directly.
    Raises :class:`ConfigError`.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():  # /dev/stdout, a FIFO: nothing to keep whole
        if secret:
            raise ConfigError(f"{path}: is not a regular file, so other users could read it")
        try:
            target.write_text(text, encoding="utf-8")
        except OSError as error:
            raise unwritable(target, error) from None
        return
    with locked(target):
        replace_all([(target, text.encode(), mode_for(target, secret))])


def mode_for(target: Path, secret: bool) -> int:
    """Return the mode to write ``target`` with: 0600, its own, or that of a new file."""
    if secret:
        return SECRET_MODE
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except OSError:
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask


def replace_all(files: Sequence[tuple[Path, bytes, int]]) -> None:
    """Put ``data`` in place of each ``(target, data, mode)``, in that order.

    All are on disk before the first takes its place, so that a folder that cannot be written or a
    full disk changes none of them. One writer at a time: what an earlier one of this user left
    when it was killed is removed. Raises :class:`ConfigError`.
    """
    staged: list[tuple[str, Path]] = []
    for folder in {target.parent for target, *_ in files}:
        for path in folder.glob(f"{TEMPORARY}????????"):  # of a writer that was killed
            with suppress(OSError):
                if _is_own(path.lstat()):
                    path.unlink()
    try:
        for target, data, mode in files:
            try:
                staged.append((_stage(target, data, mode), target))
            except OSError as error:
                raise unwritable(target, error) from None
        for temporary, target in staged:
            try:
                os.replace(temporary, target)
            except OSError as error:
                raise unwritable(target, error) from None
    finally:
        expire_looks()
        for temporary, _ in staged:
            with suppress(OSError):
                os.unlink(temporary)


def _is_own(info: os.stat_result) -> bool:
    """Return whether ``info`` is of a regular file of this user's."""
    owner = getattr(os, "geteuid", lambda: info.st_uid)()  # not on Windows
    return stat.S_ISREG(info.st_mode) and info.st_uid == owner


def _stage(target: Path, data: bytes, mode: int) -> str:
    """Write ``data`` to a new file beside ``target``, with the same owner, and return its path."""
    import tempfile  # costs milliseconds, and a dry run does not write

    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=TEMPORARY)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            with suppress(OSError):  # a new file; or only root may give it away
                owner = target.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        os.unlink(temporary)
        raise
    return temporary


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold a lock on the folder of ``target``, so that writers of any file in it take turns.

    The lock is on a file of this user's own, which nobody else can open, and hold, in the folder
    of a user. Where another user has made that file (in ``/tmp``) there is no lock.
    """
    path = target.parent / LOCK
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle = _lock(path)
    except OSError as error:
        raise unwritable(target, error) from None
    try:
        yield
    finally:
        if handle is not None:
            with suppress(OSError):
                path.unlink()
            os.close(handle)


def _lock(path: Path) -> int | None:
    """Return a descriptor that holds the lock, ``None`` where the file is another user's."""
    import fcntl  # not on Windows, where writers do not take turns

    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, SECRET_MODE)
        except OSError:
            if not path.is_symlink() and (not path.exists() or _is_own(path.lstat())):
                raise
            return None
        try:
            if not _is_own(os.fstat(handle)):
                os.close(handle)
                return None
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if path.lstat().st_ino == os.fstat(handle).st_ino:
                    return handle
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(handle)
                what = f"another program has been writing in {path.parent} for too long"
                fix = f"end it (lsof {path} shows which), then try again"
                raise ConfigError([Problem(str(path), None, None, what, fix)]) from None
            time.sleep(0.01)
        os.close(handle)  # another has the lock, or has removed the file that this one locked


def unwritable(target: Path, error: OSError) -> ConfigError:
    fix = FIXES.get(error.errno or 0, "check its permissions")
    what = f"cannot be written: {reason(error)}"
    return ConfigError([Problem(str(target), None, None, what, fix)])

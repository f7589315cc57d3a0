"""Writing a file in one step: a reader sees the old one or the new one, whole.

Writers of the same folder take turns, so that two do not lose each other's change.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from adapter.errors import ConfigError, Problem

__all__ = ["SECRET_MODE", "locked", "mode_for", "replace", "write_file"]

SECRET_MODE = 0o600
"""For a file that may hold keys: the owner alone reads and writes it."""


def write_file(path: str | os.PathLike[str], text: str, *, secret: bool = False) -> None:
    """Write a whole file in one step. Its mode is kept, or 0600 with ``secret``.

    Through a symbolic link the file it points to is written; into a FIFO or a device, directly.
    Raises :class:`ConfigError`.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():  # /dev/stdout, a FIFO: nothing to keep whole
        if secret:
            raise ConfigError(f"{path}: is no regular file, which could be kept from others")
        try:
            target.write_text(text, encoding="utf-8")
        except OSError as error:
            raise unwritable(target, error) from None
        return
    with locked(target):
        replace(target, text.encode(), mode_for(target, secret))


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


def replace(target: Path, data: bytes, mode: int) -> None:
    """Put ``data`` in place of ``target`` in one step, on disk before it is visible."""
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise unwritable(target, error) from None
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        with suppress(OSError):
            os.unlink(temporary)
        raise unwritable(target, error) from None
    except BaseException:
        os.unlink(temporary)
        raise


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold a lock on the folder itself, so that writers of any file in it take turns."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(target.parent, os.O_RDONLY)
    except OSError as error:
        raise unwritable(target, error) from None
    try:
        import fcntl  # not on Windows, where writers do not take turns

        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def unwritable(target: Path, error: OSError) -> ConfigError:
    why = error.strerror or str(error)
    return ConfigError(
        [Problem(str(target), None, None, f"cannot be written: {why}", "check its permissions")]
    )

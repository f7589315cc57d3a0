"""Read a regular file without ever waiting for it; the XDG base folders."""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False  # not typing's, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import BinaryIO

__all__ = [
    "NotRegularError",
    "open_regular",
    "read_regular",
    "reason",
    "runtime_folder",
    "write_access",
    "xdg_folder",
]


class NotRegularError(OSError):
    """A folder, a FIFO or a device stands where a file was expected."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(errno.EINVAL, "not a regular file", os.fspath(path))


def open_regular(path: str | os.PathLike[str], *, follow_links: bool = True) -> BinaryIO:
    """Open a regular file to read its bytes.

    A FIFO or a device in its place is not opened, since it could keep the program waiting. Raises
    :class:`NotRegularError`, another :class:`OSError`, or :class:`ValueError` for a path that no
    system takes; :func:`reason` says why.
    """
    if not stat.S_ISREG(os.stat(path, follow_symlinks=follow_links).st_mode):
        raise NotRegularError(path)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)  # not on Windows
    handle = os.open(path, flags | (0 if follow_links else getattr(os, "O_NOFOLLOW", 0)))
    if not stat.S_ISREG(os.fstat(handle).st_mode):  # another has taken its place since then
        os.close(handle)
        raise NotRegularError(path)
    return open(handle, "rb")


def read_regular(path: str | os.PathLike[str], limit: int) -> tuple[bytes, os.stat_result]:
    """Return the content of a regular file and its state, raising as :func:`open_regular` does.

    At most ``limit`` + 1 bytes are read, so that a longer file can be told from others.
    """
    with open_regular(path) as file:
        return file.read(limit + 1), os.fstat(file.fileno())


def write_access(path: str) -> str | None:
    """Return why another user could replace the file at ``path``, in words, or ``None``.

    The file or a folder of it belongs to neither this user nor root, or a group or everybody may
    write it (not a folder with the sticky bit, where only owners remove files), or it cannot be
    looked at. Links are followed. ``None`` also where files have no owners (Windows).
    """
    if os.name != "posix":
        return None
    real = os.path.realpath(path)
    for place in dict.fromkeys((real, os.path.dirname(real), os.path.dirname(path))):
        try:
            info = os.stat(place)
        except OSError as error:
            return f"{place}: {reason(error)}"
        if info.st_uid not in (0, os.getuid()):
            return f"{place} belongs to another user"
        sticky = stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_ISVTX
        if info.st_mode & 0o022 and not sticky:
            return f"{place} can be written by other users"
    return None


def reason(error: Exception) -> str:
    """Return why a file cannot be used, in the system's words without path and number."""
    return getattr(error, "strerror", None) or str(error)


def xdg_folder(*variables: str, default: str) -> str:
    """Return the folder that the first of ``variables`` names, else ``default`` in the home folder.

    A relative path counts as unset (XDG base directory specification, "Basics").
    """
    for variable in variables:
        if os.path.isabs(folder := os.environ.get(variable, "")):
            return folder
    return os.path.join(os.environ.get("HOME") or os.path.expanduser("~"), default)


def runtime_folder() -> str:
    """Return the folder of the gateway's and the worker's runtime files: it may not exist yet.

    ``$XDG_RUNTIME_DIR/gptme-litellm``, which ends with the session (XDG base directory
    specification), else ``gptme-litellm`` in the state folder, ``~/.local/state``.
    """
    folder = xdg_folder("XDG_RUNTIME_DIR", "XDG_STATE_HOME", default=".local/state")
    return f"{folder}/gptme-litellm"

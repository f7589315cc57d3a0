"""The runtime folder: which gateways run, where, and with which key.

A file for each, which only this user can read. Its gateway holds a lock on it for as long as it
lives, however it ends, so that a file left behind by a killed one, or a process number used again,
is not taken for a gateway.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from adapter._files import open_regular, xdg_folder
from adapter.errors import GatewayError
from adapter.keys.precedence import Secret

__all__ = ["Gateway", "Slot", "folder", "is_alive", "left_behind", "new_file", "running"]

FORMAT = 4
"""Of the file. One of another version of this package is not read."""

KEPT_LOGS = 3
"""How many logs of gateways that have ended stay: the newest, to find out why."""


class Gateway(NamedTuple):
    """A gateway that runs: where, its master key, and what it was started with.

    ``fingerprints`` are of the configuration and of each key, made with ``salt``. ``config`` are
    the files it is made from, or would be if they were there. ``workers`` is how many processes
    answer. ``started`` is in seconds since 1970. ``path`` is the file of all this.
    """

    url: str
    port: int
    pid: int
    key: Secret
    salt: str
    fingerprints: Mapping[str, str]
    config: tuple[str, ...]
    workers: int
    detached: bool
    log: str | None
    started: float
    path: str

    def __repr__(self) -> str:
        return f"Gateway({self.url!r}, pid={self.pid})"


def folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder of the runtime files: it may not exist yet.

    ``$XDG_RUNTIME_DIR/gptme-litellm``, which ends with the session (XDG base directory
    specification), else ``gptme-litellm`` in the state folder, ``~/.local/state``.
    """
    variables = "XDG_RUNTIME_DIR", "XDG_STATE_HOME"
    base = xdg_folder(*variables, default=".local/state", environ=environ)
    return Path(base, "gptme-litellm")


def private_folder() -> Path:
    """Return :func:`folder`, made with mode 0700. Raises :class:`GatewayError` if it is not ours.

    Whoever made it first could read the key in it, or put another gateway's address there.
    """
    path = folder()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_ISDIR(path.lstat().st_mode):
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(handle).st_uid == os.getuid():
                    os.fchmod(handle, 0o700)
                    return path
            finally:
                os.close(handle)
    except OSError as error:
        why = error.strerror or str(error)
        raise GatewayError(f"{path}: cannot be made a folder for runtime files: {why}") from None
    raise GatewayError(f"{path}: is not a folder of yours; remove it, or set XDG_RUNTIME_DIR")


def new_file(path: Path) -> int:
    """Open a file that nobody else made; what stands in its place, or is linked there, goes."""
    with suppress(FileNotFoundError):
        path.unlink()
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)


class Slot:
    """A locked file for a gateway that is being started; the lock goes to whoever holds ``fd``."""

    def __init__(self) -> None:
        import fcntl
        import tempfile  # costs milliseconds, which a query need not pay

        from adapter.editing.writing import locked

        self.folder = private_folder()
        # or another start would take this file, not locked yet, for one left behind
        with locked(self.folder / "start"):
            self._sweep()
            self.fd, name = tempfile.mkstemp(prefix=".starting-", dir=self.folder)  # mode 0600
            self.path = Path(name)
            fcntl.flock(self.fd, fcntl.LOCK_EX)

    def publish(self, **facts: Any) -> Gateway:
        """Write what is known of the gateway and make it visible to :func:`running`."""
        path = self.folder / f"gateway-{facts['port']}.json"
        gateway = Gateway(path=str(path), **facts)
        data = {"format": FORMAT, **gateway._asdict(), "key": str(gateway.key)}
        os.write(self.fd, json.dumps(data).encode())
        self.path.replace(path)
        self.path = path
        return gateway

    def close(self, *, discard: bool) -> None:
        """Close this process's handle; ``discard`` removes the file of a gateway that failed."""
        if discard:
            self.path.unlink(missing_ok=True)
        os.close(self.fd)

    def _sweep(self) -> None:
        """Remove what killed gateways, and killed starts, left behind."""
        for path in (*self.folder.glob(".starting-*"), *self.folder.glob("gateway-*.json")):
            with suppress(OSError):
                if not _is_locked(path):
                    path.unlink()
        # what a start under way has made has no file of its own beside it yet
        left = [] if list(self.folder.glob(".starting-*")) else self._without_gateway("yaml")
        logs = sorted(self._without_gateway("log"), key=_age)
        for path in (*left, *logs[KEPT_LOGS:]):
            with suppress(OSError):
                path.unlink()

    def _without_gateway(self, kind: str) -> list[Path]:
        paths = self.folder.glob(f"gateway-*.{kind}")
        return [path for path in paths if not path.with_suffix(".json").exists()]


def _age(path: Path) -> float:
    try:
        return -path.lstat().st_mtime
    except OSError:
        return 0.0


def running() -> Iterator[Gateway]:
    """Yield the gateways of this user that run now, in the order of their ports."""
    for path in _files():
        gateway = _read(path)
        if gateway is not None:
            yield gateway


def left_behind() -> Iterator[str]:
    """Yield the URLs of gateways that ended without removing their file; the next start does."""
    for path in _files():
        with suppress(*UNREADABLE):
            held, data = _content(path)
            if data and not held:
                yield str(json.loads(data)["url"])


def _files() -> list[Path]:
    """Return the files of gateways, none where others could have put them there."""
    path = folder()
    try:
        info = path.lstat()
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid() or info.st_mode & 0o022:
            return []
        names = sorted(n for n in os.listdir(path) if n.startswith("gateway-"))
    except (OSError, AttributeError):  # it is not there; Windows, where no gateway is started
        return []
    return [path / name for name in names if name.endswith(".json")]


def is_alive(gateway: Gateway) -> bool:
    """Whether ``gateway`` still runs, and its file is still its own."""
    found = _read(Path(gateway.path))
    return found is not None and found.pid == gateway.pid


UNREADABLE = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What reading a file raises that went away, or that another version wrote."""


def _read(path: Path) -> Gateway | None:
    try:
        held, content = _content(path)
        if not held:
            return None
        data = json.loads(content)
        if data.pop("format") != FORMAT:
            return None
        key = Secret(data.pop("key"))
        return Gateway(key=key, config=tuple(data.pop("config")), **data)
    except UNREADABLE:
        return None


def _is_locked(path: Path) -> bool:
    """Whether a living gateway holds the file."""
    return _content(path)[0]


def _content(path: Path) -> tuple[bool, bytes]:
    """Return whether a living gateway holds the file, and what it says.

    Only a regular file counts that this user alone can write and that has no other name: one that
    is somebody else's, or a link to one of ours that others can write, may name any server.
    """
    try:
        import fcntl
    except ImportError:  # Windows, where no gateway is started
        return False, b""
    with open_regular(path, follow_links=False) as file:
        info = os.fstat(file.fileno())
        if info.st_uid != os.getuid() or info.st_mode & 0o022 or info.st_nlink != 1:
            return False, b""
        held = False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            held = True
        return held, file.read()

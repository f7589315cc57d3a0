"""The runtime folder: which gateways run, where, and with which key.

A file for each, which only this user can read. Its gateway holds a lock on it for as long as it
lives, however it ends, so that a file left behind by a killed one, or a process number used again,
is not taken for a gateway.
"""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapter._files import open_regular, runtime_folder
from adapter.errors import GatewayError
from adapter.secrets.secret import Secret

__all__ = [
    "Gateway",
    "RuntimeFile",
    "create_file",
    "ended_gateways",
    "is_alive",
    "private_folder",
    "remove_files",
    "running",
]

FORMAT = 6
"""Of the file. One of another version of this package is not read."""

LOG_COUNT = 3
"""How many logs of gateways that have ended stay: the newest, to find out why."""

UNREADABLE = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What reading a file raises that went away, or that another version wrote."""


@dataclass(frozen=True)
class Gateway:
    """A gateway that runs: where, its master key, and what it was started with.

    ``host`` is the address that it listens on. ``fingerprint`` is of the configuration, made with
    ``salt``. ``config`` are the files it is made from, or would be if they were there. ``workers``
    is how many processes answer. ``started`` is in seconds since 1970. ``path`` is the file of all
    this.
    """

    url: str
    host: str
    port: int
    pid: int
    key: Secret = field(repr=False)
    salt: str = field(repr=False)
    fingerprint: str = field(repr=False)
    config: tuple[str, ...]
    workers: int
    detached: bool
    log: str | None
    started: float
    path: str


def private_folder() -> Path:
    """Return :func:`runtime_folder`, made with mode 0700.

    Whoever made it first could read the key in it, or put another gateway's address there: raises
    :class:`GatewayError` if it is not this user's.
    """
    path = Path(runtime_folder())
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


def create_file(path: Path) -> int:
    """Open a file that nobody else made; what stands in its place, or is linked there, goes."""
    with suppress(FileNotFoundError):
        path.unlink()
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)


class RuntimeFile:
    """A locked file for a gateway that is being started; the lock goes to whoever holds ``fd``."""

    def __init__(self) -> None:
        import fcntl
        import tempfile

        from adapter.editing.writing import locked

        self.folder = private_folder()
        # or another start would take this file, not locked yet, for one left behind
        with locked(self.folder / "start"):
            self._sweep()
            self.fd, name = tempfile.mkstemp(prefix=".starting-", dir=self.folder)  # mode 0600
            self.path = Path(name)
            fcntl.flock(self.fd, fcntl.LOCK_EX)

    def publish(self, **fields: Any) -> Gateway:
        """Write what is known of the gateway and make it visible to :func:`running`."""
        path = self.folder / f"gateway-{fields['port']}.json"
        gateway = Gateway(path=str(path), **fields)
        data = {"format": FORMAT, **dataclasses.asdict(gateway), "key": str(gateway.key)}
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
                is_locked, _ = _read_file(path)
                if not is_locked:
                    path.unlink()
        # what a start under way has made has no file of its own beside it yet
        files = [] if list(self.folder.glob(".starting-*")) else self._without_gateway("yaml")
        logs = sorted(self._without_gateway("log"), key=_age)
        for path in (*files, *logs[LOG_COUNT:]):
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


def remove_files(lock: int) -> None:
    """Remove the files of the gateway that holds ``lock``, unless they are another's by now."""
    own = os.fstat(lock)
    for path in Path(runtime_folder()).glob("gateway-*.json"):
        with suppress(OSError):
            if os.path.samestat(path.lstat(), own):
                path.unlink()
                path.with_suffix(".yaml").unlink()


def running() -> Iterator[Gateway]:
    """Yield the gateways of this user that run now, in the order of their ports."""
    for path in _files():
        gateway = _read_gateway(path)
        if gateway is not None:
            yield gateway


def ended_gateways() -> Iterator[str]:
    """Yield the URLs of gateways that ended without removing their file; the next start does."""
    for path in _files():
        with suppress(*UNREADABLE):
            is_locked, data = _read_file(path)
            if data and not is_locked:
                yield str(json.loads(data)["url"])


def is_alive(gateway: Gateway) -> bool:
    """Return whether ``gateway`` still runs, and its file is still its own."""
    current = _read_gateway(Path(gateway.path))
    return current is not None and current.pid == gateway.pid


def _files() -> list[Path]:
    """Return the files of gateways, none where others could have put them there."""
    path = Path(runtime_folder())
    try:
        info = path.lstat()
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid() or info.st_mode & 0o022:
            return []
        names = sorted(n for n in os.listdir(path) if n.startswith("gateway-"))
    except (OSError, AttributeError):  # it is not there; Windows, where no gateway is started
        return []
    return [path / name for name in names if name.endswith(".json")]


def _read_gateway(path: Path) -> Gateway | None:
    try:
        is_locked, content = _read_file(path)
        if not is_locked:
            return None
        data = json.loads(content)
        if data.pop("format") != FORMAT:
            return None
        key = Secret(data.pop("key"))
        return Gateway(key=key, config=tuple(data.pop("config")), **data)
    except UNREADABLE:
        return None


def _read_file(path: Path) -> tuple[bool, bytes]:
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
        is_locked = False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            is_locked = True
        return is_locked, file.read()

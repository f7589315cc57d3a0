"""The command's side: hand a query to the worker of this user, where one runs and takes it.

This is the first thing a query does, so nothing is imported here but what the interpreter has in
itself: a query through the worker loads fewer modules than ``import click`` does.
"""

from __future__ import annotations

import os
import sys

from adapter._files import xdg_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

__all__ = [
    "MODES",
    "Outcome",
    "credentials",
    "environ",
    "in_memory",
    "interpreter",
    "mode_of",
    "query",
    "request",
    "runtime_folder",
    "socket_name",
]

MODES = ("auto", "on", "off")
"""``auto`` starts a worker only for a person at a terminal; both use one that runs."""

LOOK_SECONDS = 0.4
"""How long to wait for the worker before looking whether it is stopped."""

BUSY_SECONDS = 6.0
"""How long a worker that runs may take to accept a query; else the command answers it itself."""

LOST = 7
"""The exit code when the process that answers a query ends in the middle of it."""

ENDED = "the worker has ended, or cannot fork"

outcome = "in this process"
"""How the query of this process was answered, in words."""

leave: Callable[[str], None] | None = None
"""In a child of the worker: leaves a query to the command, before anything was read or said."""

environ: dict[bytes, bytes] = dict(os.environb) if os.name == "posix" else {}
"""The variables that the command was started with."""


class Outcome:
    """What the worker said: the ``code`` of a query, a ``reply``, or ``why`` there is neither."""

    def __init__(self, why: str = "", code: int | None = None, reply: Any = None) -> None:
        self.why = why
        self.code = code
        self.reply = reply


def query(arguments: Sequence[str]) -> int | None:
    """Run a query in the worker; return its exit code, or ``None`` when it is not answered there.

    In that case nothing was written, and :data:`outcome` says why.
    """
    global outcome  # noqa: PLW0603 - one process has one query
    off = environ.get(b"ADAPTER_WORKER") == b"off"
    done = Outcome("ADAPTER_WORKER is off") if off else request("query", arguments)
    outcome = f"in this process ({done.why})"
    return done.code


def mode_of(settings: Mapping[str, Any]) -> str:
    """Return the mode that ``ADAPTER_WORKER``, else ``[plugin.litellm.worker]``, asks for."""
    named = os.environ.get("ADAPTER_WORKER")
    return named if named in MODES else str(settings.get("mode", MODES[0]))


def request(kind: str, arguments: Sequence[str] = ()) -> Outcome:
    """Ask the worker for a ``"query"``, its ``"status"``, or to ``"stop"``."""
    opened: list[int] = []
    try:
        return _request(kind, arguments, opened)
    except (FileNotFoundError, ConnectionRefusedError):
        return Outcome("no worker runs")
    except (ConnectionResetError, BrokenPipeError):
        return Outcome(ENDED)
    except (TimeoutError, BlockingIOError):
        return Outcome("the worker does not answer")
    except (OSError, ValueError, AttributeError) as error:  # a system may lack a function
        return Outcome(f"the worker cannot be asked: {error}")
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _request(kind: str, arguments: Sequence[str], opened: list[int]) -> Outcome:
    import _socket
    import marshal

    streams = [number for number in (0, 1, 2) if _is_open(number)]
    opened.append(os.open(runtime_folder(), os.O_PATH | os.O_NOFOLLOW))
    state = os.fstat(opened[0])
    if state.st_uid != os.getuid() or state.st_mode & 0o170077 != 0o040000:
        raise OSError("its folder is not a private folder of yours")
    opened.append(os.open(".", os.O_PATH | os.O_DIRECTORY))
    umask = os.umask(0o077)
    os.umask(umask)
    facts = {
        "argv": [sys.argv[0], *arguments],
        "environ": environ,
        "umask": umask,
        "streams": streams,
        "first_path": sys.path[:1],
        "executable": sys.executable,
        "interpreter": interpreter(),
    }
    opened.append(in_memory(marshal.dumps(facts)))
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        connection.settimeout(LOOK_SECONDS)
        # by the open folder: that is the one which was looked at, and its path may be too long
        connection.connect(f"/proc/self/fd/{opened[0]}/{socket_name()}")
        worker, user, _ = credentials(connection)
        if user != os.getuid():
            raise OSError("it is another user's")
        # only one that lives is sent descriptors: they would stay open while it is stopped
        if _receive(connection, worker) != b"H":
            return Outcome(ENDED)
        rights = b"".join(n.to_bytes(4, sys.byteorder) for n in (*opened[1:], *streams))
        message = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)
        connection.sendmsg([kind.encode()], [message])
        answer = _receive(connection, worker)
        if answer[:1] == b"R":
            return _wait(connection, int(answer[1:]))
        if answer[:1] == b"A":
            return Outcome(reply=marshal.loads(answer[1:]))
        return Outcome(answer[1:].decode() or ENDED)
    finally:
        connection.close()


def _receive(connection: _socket.socket, worker: int) -> bytes:
    """Return what the worker says. Raises ``TimeoutError`` if it is stopped, or says nothing."""
    for _ in range(int(BUSY_SECONDS / LOOK_SECONDS)):
        try:
            return connection.recv(65536)
        except TimeoutError:
            with open(f"/proc/{worker}/stat", "rb") as file:
                if file.read().rpartition(b") ")[2][:1] in b"Tt":  # `proc_pid_stat(5)`
                    break
    raise TimeoutError


def _wait(connection: _socket.socket, child: int) -> Outcome:
    """Let the process ``child`` answer the query, and return how it did."""
    restore = _forward_signals(connection, child)
    try:
        connection.settimeout(None)
        connection.send(b"go")
        answer = connection.recv(2000)
    except OSError:  # it ended before it had read that, so it has not begun
        restore()
        raise
    if answer[:1] == b"X":
        return Outcome(code=answer[1])
    if answer[:1] == b"N":
        restore()
        return Outcome(answer[1:].decode())
    os.write(2, b"Error: the worker's process ended in the middle of the query\n")
    return Outcome(code=LOST)


def _forward_signals(connection: _socket.socket, child: int) -> Callable[[], None]:
    """Pass Ctrl-C and Ctrl-Z on to ``child`` and all that it started; return what ends that.

    A signal that ends this process needs no passing on: the child ends with the connection.
    """
    import _signal  # type: ignore[import-not-found]  # what `signal` wraps in an enum
    import _socket

    def tell(number: int) -> None:
        try:
            # not when it has ended: its number may be another's by now
            connection.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT)
        except BlockingIOError:
            os.killpg(child, number)

    def interrupt(*_: object) -> None:
        tell(_signal.SIGINT)

    def suspend(*_: object) -> None:
        tell(_signal.SIGSTOP)
        _signal.signal(_signal.SIGTSTP, _signal.SIG_DFL)
        os.kill(os.getpid(), _signal.SIGTSTP)  # and here until somebody says `fg`
        _signal.signal(_signal.SIGTSTP, suspend)
        tell(_signal.SIGCONT)

    before = []
    for number, handler in ((_signal.SIGINT, interrupt), (_signal.SIGTSTP, suspend)):
        if _signal.getsignal(number) not in (_signal.SIG_IGN, None):
            before.append((number, _signal.signal(number, handler)))

    def restore() -> None:
        for number, handler in before:
            _signal.signal(number, handler)

    return restore


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def credentials(connection: _socket.socket) -> tuple[int, int, int]:
    """Return process, user and group of the other side (``unix(7)``, ``SO_PEERCRED``)."""
    import _socket

    data = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    numbers = [int.from_bytes(data[i : i + 4], sys.byteorder) for i in (0, 4, 8)]
    return numbers[0], numbers[1], numbers[2]


def interpreter() -> tuple[Any, ...]:
    """Return what of the interpreter a query must find as it is in a process of its own."""
    safe = getattr(sys.flags, "safe_path", False)
    options = sorted(map(str, sys._xoptions.items()))
    path = sys.path if safe else sys.path[1:]
    return sys.prefix, sys.version, tuple(sys.flags), options, list(sys.warnoptions), path


def runtime_folder() -> str:
    """Return the folder of runtime files, the gateway's too; it may not exist yet."""
    base = xdg_folder("XDG_RUNTIME_DIR", "XDG_STATE_HOME", default=".local/state")
    return f"{base}/gptme-litellm"


def socket_name() -> str:
    """Return the name of the worker's socket: each Python environment has a worker of its own."""
    number = 0
    for byte in os.fsencode(f"{sys.prefix}:{sys.version}"):
        number = (number * 257 + byte) % (1 << 61)
    return f"worker-{number:x}.sock"


def in_memory(data: bytes) -> int:
    """Return the descriptor of a file that has no name and holds ``data``."""
    descriptor = os.memfd_create("adapter")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)
    return descriptor

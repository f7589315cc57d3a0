"""The command's side: hand a query to the worker of this user, where one runs and takes it.

This is the first thing a query does, so it imports only what the interpreter has in itself: a
query through the worker loads fewer modules than ``import click`` does.
"""

from __future__ import annotations

import os
import sys

from adapter._files import runtime_folder

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
    "socket_name",
]

MODES = ("auto", "on", "off")
"""``auto`` starts a worker only for a person at a terminal; both use one that runs."""

LOOK_SECONDS = 0.8
"""How long the worker may be silent before this process looks at what it does."""

LOOKS = 8
"""How often it may be found waiting for a CPU: as long as importing LiteLLM takes then."""

LOST = 7
"""The exit code when the process that answers a query ends in the middle of it."""

outcome = "in this process"
"""How the query of this process was answered, in words."""

leave: Callable[[str], None] | None = None
"""In a child of the worker: leaves a query to the command, before anything was read or said."""

environ: dict[bytes, bytes] = dict(os.environb) if os.name == "posix" else {}
"""The variables that the command was started with."""


class Outcome:
    """What came of asking the worker: the ``code`` of a query, its ``state``, or ``why`` neither.

    The state is its process, when it started (in seconds since 1970), how many queries it has
    answered, and why it did not serve the last one that it refused.
    """

    def __init__(self, why: str = "", code: int | None = None, state: Any = None) -> None:
        self.why = why
        self.code = code
        self.state: tuple[int, float, int, str] | None = state


def query(arguments: Sequence[str]) -> int | None:
    """Run a query in the worker; return its exit code, or ``None`` when it is not answered there.

    In that case nothing was written, and :data:`outcome` says why.
    """
    global outcome  # noqa: PLW0603 - one process has one query
    off = environ.get(b"ADAPTER_WORKER") == b"off"
    done = Outcome("ADAPTER_WORKER is off") if off else request(arguments)
    outcome = f"in this process ({done.why})"
    return done.code


def mode_of(settings: Mapping[str, Any]) -> str:
    """Return the mode that ``ADAPTER_WORKER``, else ``[plugin.litellm.worker]``, asks for."""
    named = os.environ.get("ADAPTER_WORKER")
    return named if named in MODES else str(settings.get("mode", MODES[0]))


def request(arguments: Sequence[str] | None = None) -> Outcome:
    """Let the worker run a query with these ``arguments``; with ``None`` only ask for its state."""
    opened: list[int] = []
    try:
        return _request(arguments, opened)
    except (FileNotFoundError, ConnectionRefusedError):
        why = "no worker runs"
    except (ConnectionResetError, BrokenPipeError):
        why = "the worker has ended, or cannot fork"
    except (TimeoutError, BlockingIOError):
        why = "the worker does not answer"
    except (
        OSError,
        ValueError,
        EOFError,
        AttributeError,
    ) as error:  # or the system lacks something
        why = f"the worker cannot be asked: {error}"
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return Outcome(why)


def _request(arguments: Sequence[str] | None, opened: list[int]) -> Outcome:
    import _socket
    import marshal

    streams = [number for number in (0, 1, 2) if os.path.lexists(f"/proc/self/fd/{number}")]
    opened.append(os.open(runtime_folder(), os.O_PATH | os.O_NOFOLLOW))
    folder = os.fstat(opened[0])
    if folder.st_uid != os.getuid() or folder.st_mode & 0o170077 != 0o040000:
        raise OSError("its folder is not a private folder of yours")
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        connection.settimeout(LOOK_SECONDS)
        # by the open folder: that is the one which was looked at, and its path may be too long
        connection.connect(f"/proc/self/fd/{opened[0]}/{socket_name()}")
        worker, user = credentials(connection)
        if user != os.getuid():
            raise OSError("it is another user's")
        # only one that lives is sent descriptors: they would stay open while it is stopped
        child, *state = marshal.loads(_receive(connection, worker))
        if arguments is None:
            return Outcome(state=(worker, *state))
        facts = {
            "argv": [sys.argv[0], *arguments],
            "environ": environ,
            "streams": streams,
            "first_path": sys.path[:1],
            "executable": sys.executable,
            "interpreter": interpreter(),
        }
        opened.append(in_memory(marshal.dumps(facts)))
        rights = b"".join(n.to_bytes(4, sys.byteorder) for n in (opened[1], *streams))
        connection.sendmsg([b"Q"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
        answer = _receive(connection, child)
        return _wait(connection, child) if answer == b"R" else Outcome(answer[1:].decode())
    finally:
        connection.close()


def _receive(connection: _socket.socket, process: int) -> bytes:
    """Return what the worker says. Raises ``TimeoutError`` if it is stopped, or says nothing.

    While its ``process`` waits for a CPU it is waited for: this process would wait for one, too.
    """
    for _ in range(LOOKS):
        try:
            answer = connection.recv(65536)
        except TimeoutError:
            with open(f"/proc/{process}/stat", "rb") as file:
                if file.read().rpartition(b") ")[2][:1] != b"R":  # `proc_pid_stat(5)`
                    break
        else:
            if not answer:
                raise ConnectionResetError
            return answer
    raise TimeoutError


def _wait(connection: _socket.socket, child: int) -> Outcome:
    """Let the process ``child`` answer the query, and return how it did.

    Ctrl-C and Ctrl-Z are passed on to it and all that it started. A signal that ends this process
    needs no passing on: the child ends with the connection.
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

    before = {
        number: _signal.signal(number, handler)
        for number, handler in ((_signal.SIGINT, interrupt), (_signal.SIGTSTP, suspend))
        if _signal.getsignal(number) not in (_signal.SIG_IGN, None)
    }
    connection.settimeout(None)
    try:
        answer = connection.recv(2000)
    except OSError:
        answer = b""
    for number, handler in before.items():
        _signal.signal(number, handler)
    if answer[:1] == b"N":
        return Outcome(answer[1:].decode())
    if answer[:1] == b"X":
        return Outcome(code=answer[1])
    from contextlib import suppress

    with suppress(OSError):  # nobody reads it, and what was sent is not sent again
        os.write(2, b"Error: the worker's process ended in the middle of the query\n")
    return Outcome(code=LOST)


def credentials(connection: _socket.socket) -> tuple[int, int]:
    """Return process and user of the other side (``unix(7)``, ``SO_PEERCRED``)."""
    import _socket

    data = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    return int.from_bytes(data[:4], sys.byteorder), int.from_bytes(data[4:8], sys.byteorder)


def interpreter() -> tuple[Any, ...]:
    """Return what of the interpreter a query must find as it is in a process of its own."""
    safe = getattr(sys.flags, "safe_path", False)
    options = sorted(map(str, sys._xoptions.items()))
    path = sys.path if safe else sys.path[1:]
    return sys.prefix, sys.version, tuple(sys.flags), options, list(sys.warnoptions), path


def socket_name() -> str:
    """Return the name of the worker's socket: each Python environment has a worker of its own."""
    from binascii import crc32

    return f"worker-{crc32(os.fsencode(f'{sys.prefix}:{sys.version}')):x}.sock"


def in_memory(data: bytes) -> int:
    """Return the descriptor of a file that has no name and holds ``data``, at its beginning."""
    descriptor = os.memfd_create("adapter")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)
        file.seek(0)
    return descriptor

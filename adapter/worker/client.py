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
    from typing import Any, TypeVar

    State = tuple[int, float, int, str]
    T = TypeVar("T")

__all__ = ["BY_WORKER", "NoWorkerError", "environ", "in_memory", "mode_of", "query", "state"]

MODES = ("auto", "on", "off")
"""``auto`` starts a worker only for a person at a terminal; both use one that runs."""

LOOK_SECONDS = 0.8
"""How long the worker may be silent before this process looks at what it does."""

LOOKS = 8
"""How often it may be found waiting for a CPU: as long as importing LiteLLM takes then."""

LOST = 7
"""The exit code when the process that answers a query ends in the middle of it."""

BY_WORKER = "through the worker"

outcome = "in this process"
"""How the query of this process was answered, in words: :data:`BY_WORKER`, or why not."""

environ: dict[bytes, bytes] = dict(os.environb) if os.name == "posix" else {}
"""The variables that the command was started with."""

_REASONS = {
    "no worker runs": (FileNotFoundError, ConnectionRefusedError),
    "the worker has ended, or cannot fork": (ConnectionResetError, BrokenPipeError),
    "the worker does not answer": (TimeoutError, BlockingIOError),
}
"""The meaning of the connection's errors."""


class NoWorkerError(Exception):
    """The worker does not take a query, for the reason in words; nothing was read or written."""


def query(arguments: Sequence[str]) -> int | None:
    """Run a query in the worker; return its exit code, or ``None`` when it is not answered there.

    In that case nothing was written, and :data:`outcome` says why.
    """
    global outcome  # noqa: PLW0603 - one process has one query
    streams = [number for number in (0, 1, 2) if os.path.lexists(f"/proc/self/fd/{number}")]
    try:
        if environ.get(b"ADAPTER_WORKER") == b"off":
            raise NoWorkerError("ADAPTER_WORKER is off")
        return _with_worker(lambda socket, child, _: _run(socket, child, arguments, streams))
    except NoWorkerError as why:
        outcome = f"in this process ({why})"
        return None


def state() -> State:
    """Return the worker's process, when it started, how many queries it answered, and a refusal.

    The time is in seconds since 1970; the refusal is the last one, in words, or empty. Raises
    :class:`NoWorkerError`, which says why the worker does not tell.
    """
    return _with_worker(lambda socket, child, state: state)


def mode_of(settings: Mapping[str, Any]) -> str:
    """Return the mode that ``ADAPTER_WORKER``, else ``[plugin.litellm.worker]``, asks for."""
    mode = os.environ.get("ADAPTER_WORKER")
    return mode if mode in MODES else str(settings.get("mode", MODES[0]))


def _with_worker(use: Callable[[_socket.socket, int, State], T]) -> T:
    """Return what ``use`` does with the worker's connection, the child behind it, and the state."""
    try:
        import _socket
        import marshal

        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        try:
            connection.settimeout(LOOK_SECONDS)
            _connect(connection)
            pid, user = credentials(connection)
            if user != os.getuid():
                raise OSError("it is another user's")
            # only one that lives is sent descriptors: they would stay open while it is stopped
            child, started, queries, refusal = marshal.loads(_receive(connection, pid))
            return use(connection, child, (pid, started, queries, refusal))
        finally:
            connection.close()
    except (OSError, ValueError, EOFError, AttributeError) as error:  # or the system lacks it
        reasons = (why for why, errors in _REASONS.items() if isinstance(error, errors))
        raise NoWorkerError(next(reasons, f"the worker cannot be asked: {error}")) from None


def _connect(connection: _socket.socket) -> None:
    folder = os.open(runtime_folder(), os.O_PATH | os.O_NOFOLLOW)
    try:
        info = os.fstat(folder)
        if info.st_uid != os.getuid() or info.st_mode & 0o170077 != 0o040000:
            raise OSError("its folder is not a private folder of yours")
        # by the open folder: that is the one which was looked at, and its path may be too long
        connection.connect(f"/proc/self/fd/{folder}/{socket_name()}")
    finally:
        os.close(folder)


def _receive(connection: _socket.socket, process: int) -> bytes:
    """Return what the worker says. Raises ``TimeoutError`` if it is stopped, or says nothing.

    While its ``process`` waits for a CPU it is waited for: this process would wait for one, too.
    """
    for _ in range(LOOKS):
        try:
            if answer := connection.recv(65536):
                return answer
            raise ConnectionResetError
        except TimeoutError:
            with open(f"/proc/{process}/stat", "rb") as file:
                if file.read().rpartition(b") ")[2][:1] != b"R":  # `proc_pid_stat(5)`
                    raise
    raise TimeoutError


def _run(
    connection: _socket.socket, child: int, arguments: Sequence[str], streams: Sequence[int]
) -> int:
    """Let the process ``child`` answer the query; return its exit code."""
    import _socket
    import marshal

    facts = {
        "argv": [sys.argv[0], *arguments],
        "environ": environ,
        "streams": streams,
        "first_path": sys.path[:1],
        "executable": sys.executable,
        "interpreter": interpreter(),
    }
    with open(in_memory(marshal.dumps(facts)), "rb") as file:
        rights = b"".join(n.to_bytes(4, sys.byteorder) for n in (file.fileno(), *streams))
        connection.sendmsg([b"Q"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
    answer = _receive(connection, child)
    if answer == b"R":
        answer = _wait(connection, child)
    if answer[:1] == b"N":
        raise NoWorkerError(answer[1:].decode())
    if answer:
        return answer[1]
    from contextlib import suppress

    with suppress(OSError):  # nobody reads it, and what was sent is not sent again
        os.write(2, b"Error: the worker's process ended in the middle of the query\n")
    return LOST


def _wait(connection: _socket.socket, child: int) -> bytes:
    """Return what the process ``child`` says at its end: nothing if it was killed.

    Ctrl-C and Ctrl-Z are passed on to it and all that it started. A signal that ends this process
    needs no passing on: the child ends with the connection.
    """
    import _signal  # type: ignore[import-not-found]  # what `signal` wraps in an enum
    import _socket

    def send(number: int) -> None:
        try:
            # not when it has ended: its number may be another's by now
            connection.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT)
        except BlockingIOError:
            os.killpg(child, number)

    def pass_on(number: int, _: object) -> None:
        if number == _signal.SIGINT:
            return send(number)
        send(_signal.SIGSTOP)
        _signal.signal(number, _signal.SIG_DFL)
        os.kill(os.getpid(), number)  # and here until somebody says `fg`
        _signal.signal(number, pass_on)
        return send(_signal.SIGCONT)

    handlers = {number: _signal.getsignal(number) for number in (_signal.SIGINT, _signal.SIGTSTP)}
    numbers = [n for n, handler in handlers.items() if handler not in (_signal.SIG_IGN, None)]
    connection.settimeout(None)
    try:
        for number in numbers:
            _signal.signal(number, pass_on)
        return connection.recv(2000)
    except OSError:
        return b""
    finally:
        for number in numbers:
            _signal.signal(number, handlers[number])


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

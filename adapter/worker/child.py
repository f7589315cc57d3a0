"""A child of the worker: checks that it may run the query of a command, and runs it."""

from __future__ import annotations

import atexit
import fcntl
import marshal
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from adapter.worker import client
from adapter.worker.client import NoWorkerError
from adapter.worker.environment import Origin, installed_files

__all__ = ["REFUSED", "SERVED", "STALE", "serve_connection"]

SERVED, REFUSED, STALE = b"S", b"R", b"E"
"""A child's report: it answered; it did not, for the reason that follows; nor will any other."""

HELLO_SECONDS = 10.0
"""How long a command may take to send its query."""

_RIGHTS = ("Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp", "root", "ns/")
"""How those lines of ``/proc/PID/status`` (``proc_pid_status(5)``) and those links in ``/proc/PID``
(``namespaces(7)``) begin that a caller must share."""


def serve_connection(
    connection: socket.socket, worker: socket.socket, origin: Origin, main: Callable[[], object]
) -> None:
    """Answer one connection, and report to the ``worker``. ``main`` is the command's."""
    pid, uid = client.credentials(connection)
    connection.settimeout(HELLO_SECONDS)
    _, descriptors, _, _ = socket.recv_fds(connection, 1, 4, socket.MSG_CMSG_CLOEXEC)
    if uid != os.getuid() or not descriptors:  # not this user's, or one that asks for the state
        return
    end = REFUSED
    try:
        with open(descriptors[0], "rb") as file:
            facts = marshal.load(file)
        caller = _process(pid)
        if origin.files != installed_files():
            end = STALE
            raise NoWorkerError("a package was installed after the worker started")
        origin.compare(facts)
        _take_rights(pid, caller)
        connection.settimeout(None)
        _end_with(connection)
        os.chdir(f"/proc/{pid}/cwd")
        os.umask(int(caller["Umask"], 8))
        _ignore_signals(int(caller["SigIgn"], 16))
        _take_over(facts, descriptors[1:])
        client.outcome = client.BY_WORKER
        connection.send(b"R")
        code = _run(main)
        signal.signal(signal.SIGIO, signal.SIG_IGN)  # the command ends as soon as it knows
        connection.send(b"X%c" % (code & 0xFF))
        worker.send(SERVED)
    except NoWorkerError as error:
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        why = str(error).encode(errors="replace")[:1000]
        worker.send(end + why)
        connection.send(b"N" + why)


def _process(pid: int) -> dict[str, str]:
    """Return what ``/proc`` says of a process: its status, root and namespaces."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    state = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    for name in ("root", *(f"ns/{space}" for space in os.listdir(f"/proc/{pid}/ns"))):
        state[name] = os.readlink(f"/proc/{pid}/{name}")
    return state


def _take_rights(pid: int, caller: Mapping[str, str]) -> None:
    """Take the limits of the process ``pid``. A child can give itself limits, but no rights.

    Raises :class:`NoWorkerError` where it may do or see what this one may not, or the reverse.
    """
    own = _process(os.getpid())
    for name in sorted({*caller, *own}):
        if name.startswith(_RIGHTS) and caller.get(name) != own.get(name):
            raise NoWorkerError(f"the command has another {name} than the worker")
    try:
        for name in dir(resource):
            if name.startswith("RLIMIT_"):
                resource.setrlimit(limit := getattr(resource, name), resource.prlimit(pid, limit))
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, pid))
    except (OSError, ValueError):
        raise NoWorkerError("the command has other limits than the worker") from None


def _end_with(connection: socket.socket) -> None:
    """End this process when the other side of ``connection`` goes: ``SIGIO`` does, by itself."""
    fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(connection, fcntl.F_GETFL)
    fcntl.fcntl(connection, fcntl.F_SETFL, flags | os.O_ASYNC)
    with suppress(BlockingIOError):
        if not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
            os._exit(0)  # it went before


def _ignore_signals(ignored: int) -> None:
    """Ignore the signals whose bits are set in ``ignored``, and none else."""
    for number in map(int, signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}):
        if ignored >> (number - 1) & 1:
            signal.signal(number, signal.SIG_IGN)
        elif signal.getsignal(number) == signal.SIG_IGN:
            interrupts = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if interrupts else signal.SIG_DFL)


def _take_over(facts: Mapping[str, Any], streams: Sequence[int]) -> None:
    """Give this process the streams, variables, arguments and module path of the command's."""
    os.setpgid(0, 0)
    os.closerange(0, 3)
    for number, descriptor in zip(facts["streams"], streams, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environb.update(facts["environ"])
    time.tzset()
    sys.argv = facts["argv"]
    sys.executable = facts["executable"]
    if not getattr(sys.flags, "safe_path", False):
        sys.path[:0] = facts["first_path"]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = _open_stream(number, getattr(sys, name)) if number in facts["streams"] else None
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _open_stream(number: int, model: TextIOWrapper) -> TextIOWrapper:
    """Return a stream as the interpreter makes it, in the encoding that it has chosen."""
    unbuffered = number > 0 and model.write_through  # PYTHONUNBUFFERED
    binary = os.fdopen(number, "wb" if number else "rb", 0 if unbuffered else -1, closefd=False)
    return TextIOWrapper(
        binary,
        model.encoding,
        model.errors,
        newline="\n" if number else None,
        line_buffering=number == 2 or binary.isatty(),
        write_through=unbuffered,
    )


def _run(main: Callable[[], object]) -> int:
    """Run the command, and what the interpreter does at its end; return the exit code."""
    code: Any = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    except NoWorkerError:
        raise
    except BaseException:  # noqa: BLE001 - as the interpreter does
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter calls at its end
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    return int(code or 0)

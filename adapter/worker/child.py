"""A child of the worker: looks whether it may stand for the command, and becomes it."""

from __future__ import annotations

import array
import atexit
import fcntl
import io
import marshal
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from adapter.worker import client
from adapter.worker.environment import inherited, installed_files
from adapter.worker.server import REFUSED, SERVED, STALE, Worker

__all__ = ["Origin", "serve"]

HELLO_SECONDS = 10.0
"""How long a command may take to say what it wants."""

_RIGHTS = frozenset({"Uid", "Gid", "Groups", "CapEff", "NoNewPrivs", "Seccomp"})
"""Lines of ``/proc/PID/status`` (``proc_pid_status(5)``) that a caller must share."""

_SPACES = ("mnt", "net", "user", "pid", "ipc", "uts")
"""Namespaces (``namespaces(7)``) that a caller must share."""


class Origin(NamedTuple):
    """What the worker was started with; ``reads`` are the variables that LiteLLM's import read."""

    interpreter: tuple[Any, ...]
    inherited: Mapping[bytes, bytes]
    reads: Mapping[str, str | None]
    files: Mapping[str, tuple[int, int]]

    @classmethod
    def now(cls, reads: Mapping[str, str | None]) -> Origin:
        """Return that of this process, before LiteLLM is imported; ``reads`` fills meanwhile."""
        return cls(client.interpreter(), inherited(os.environb), reads, installed_files())

    def difference(self, facts: Mapping[str, Any]) -> str | None:
        """Return what a caller has that differs, in words."""
        environ: Mapping[bytes, bytes] = facts["environ"]
        early = inherited(environ)
        names = {n for n in {*early, *self.inherited} if early.get(n) != self.inherited.get(n)}
        for name, value in self.reads.items():
            current = environ.get(os.fsencode(name))
            if (None if current is None else os.fsdecode(current)) != value:
                names.add(os.fsencode(name))
        if names:
            return f"{os.fsdecode(min(names))} differs from when the worker started"
        if facts["interpreter"] != self.interpreter:
            return "the worker runs another Python, or with other options or folders"
        return None


def serve(
    worker: Worker, connection: socket.socket, origin: Origin, main: Callable[[], object]
) -> int:
    """Answer one connection; return how this process exits. ``main`` is the command's."""
    pid, uid, _ = client.credentials(connection)
    if uid != os.getuid():
        return REFUSED
    connection.settimeout(HELLO_SECONDS)
    connection.send(b"H")
    kind, facts, descriptors = _receive(connection)
    if kind != "query":
        _reply(worker, connection, kind)
        return REFUSED
    stale = origin.files != installed_files()
    why = "a package was installed after the worker started" if stale else origin.difference(facts)
    why = why or next(_other_rights(pid), None)
    if why:
        _refuse(worker, connection, why)
        return STALE if stale else REFUSED
    connection.send(b"R%d" % os.getpid())
    if connection.recv(2) != b"go":
        return REFUSED
    connection.settimeout(None)
    _end_with(connection)
    _take_over(pid, facts, descriptors)

    def leave(why: str) -> None:
        signal.signal(signal.SIGIO, signal.SIG_IGN)  # the command hangs up, and this is no answer
        _refuse(worker, connection, why)
        os._exit(REFUSED)

    client.leave = leave
    client.outcome = "through the worker"
    code = _run(main)
    connection.send(b"X%c" % (code & 0xFF))
    return SERVED


def _receive(connection: socket.socket) -> tuple[str, dict[str, Any], list[int]]:
    numbers = array.array("i")
    kind, messages, _, _ = connection.recvmsg(64, socket.CMSG_SPACE(5 * 4), socket.MSG_CMSG_CLOEXEC)
    for level, what, data in messages:
        if (level, what) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers.frombytes(data)
    folder, content, *streams = numbers
    os.lseek(content, 0, os.SEEK_SET)
    with open(content, "rb") as file:
        facts = marshal.load(file)
    return kind.decode(), facts, [folder, *streams]


def _refuse(worker: Worker, connection: socket.socket, why: str) -> None:
    data = why.encode()[:1000]
    worker.reason[: len(data) + 1] = data + b"\0"
    connection.send(b"N" + data)


def _reply(worker: Worker, connection: socket.socket, kind: str) -> None:
    if kind == "stop":
        os.kill(os.getppid(), signal.SIGTERM)
    details = {
        "pid": os.getppid(),
        "started": worker.started,
        "queries": worker.queries,
        "bytes": _resident(os.getppid()),
        "refused": worker.reason[:].split(b"\0")[0].decode(errors="replace"),
    }
    connection.send(b"A" + marshal.dumps(details))


def _resident(pid: int) -> int:
    """Return how much memory a process has, in bytes (``proc_pid_statm(5)``)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _other_rights(pid: int) -> Iterator[str]:
    """Yield what the process ``pid`` may do, or see, that this one may not, or the reverse."""
    try:
        theirs, ours = _status(pid), _status(os.getpid())
        for name in _RIGHTS:
            if theirs.get(name) != ours.get(name):
                yield f"the command has another {name} than the worker"
        for space in _SPACES:
            if os.readlink(f"/proc/{pid}/ns/{space}") != os.readlink(f"/proc/self/ns/{space}"):
                yield f"the command runs in another namespace ({space})"
        for name in dir(resource):
            if name.startswith("RLIMIT_"):
                number = getattr(resource, name)
                limits = resource.prlimit(pid, number)
                if limits != resource.getrlimit(number):
                    resource.setrlimit(number, limits)
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, pid))
    except (OSError, ValueError):
        yield "the command has other limits than the worker"


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _end_with(connection: socket.socket) -> None:
    """End this process when the other side of ``connection`` goes: ``SIGIO`` does, by itself."""
    fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(connection, fcntl.F_GETFL)
    fcntl.fcntl(connection, fcntl.F_SETFL, flags | os.O_ASYNC)
    with suppress(BlockingIOError):
        if not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
            os._exit(REFUSED)  # it went before


def _take_over(pid: int, facts: Mapping[str, Any], descriptors: list[int]) -> None:
    """Make this process what the command's is, but for its number and its terminal's session."""
    folder, *streams = descriptors
    os.setpgid(0, 0)
    ignored = int(_status(pid)["SigIgn"], 16)
    for number in map(int, signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}):
        if ignored >> (number - 1) & 1:
            signal.signal(number, signal.SIG_IGN)
        elif signal.getsignal(number) == signal.SIG_IGN:
            interrupts = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if interrupts else signal.SIG_DFL)
    os.fchdir(folder)
    os.umask(facts["umask"])
    for number in (0, 1, 2):
        os.close(number)
    for number, descriptor in zip(facts["streams"], streams, strict=True):
        os.dup2(descriptor, number)
    for descriptor in descriptors:
        os.close(descriptor)
    os.environ.clear()
    os.environb.update(facts["environ"])
    time.tzset()
    sys.argv = facts["argv"]
    sys.executable = facts["executable"]
    if not getattr(sys.flags, "safe_path", False):
        sys.path[:0] = facts["first_path"]
    _open_streams(facts["streams"])


def _open_streams(numbers: list[int]) -> None:
    """Make ``sys.stdin`` and the others anew, as the interpreter does when it starts."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream: Any = None
        if number in numbers:
            model: Any = getattr(sys, f"__{name}__")
            unbuffered = number > 0 and model.write_through  # PYTHONUNBUFFERED
            raw: Any = io.FileIO(number, "r" if number == 0 else "w", closefd=False)
            if not unbuffered:
                raw = io.BufferedReader(raw) if number == 0 else io.BufferedWriter(raw)
            stream = io.TextIOWrapper(
                raw,
                model.encoding,
                model.errors,
                newline="\n" if number else None,
                line_buffering=number == 2 or raw.isatty(),
                write_through=unbuffered,
            )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _run(main: Callable[[], object]) -> int:
    """Run the command to the end, as its own process would end; return its exit code."""
    code: Any = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - as the interpreter does
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter calls at its end
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    return int(code or 0)

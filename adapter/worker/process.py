"""The worker's process: imports LiteLLM and all that a query needs, and forks a child for each.

It is a process of its own from the beginning, so that nothing of a query is ever in it, and it
reads nothing that a caller sends: its children do. It has no thread, so that a fork is safe.
"""

from __future__ import annotations

import fcntl
import gc
import marshal
import os
import platform
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from importlib import import_module
from threading import Thread
from typing import Any, NoReturn

from adapter._files import reason
from adapter.gateway.runtime import private_folder
from adapter.secrets.policy import is_secret
from adapter.upstream.loading import import_litellm, set_again, set_command_defaults
from adapter.worker.child import SERVED, STALE, serve_connection
from adapter.worker.client import environ, in_memory, socket_name
from adapter.worker.environment import record_variables, startup_variables

__all__ = ["listen", "run_worker", "serve_queries", "start_worker"]

IDLE_MINUTES = 10

LOOK_SECONDS = 10.0
"""How often the worker looks whether its socket is still there."""

ENTRY = "import adapter.cli.main as cli, adapter.worker.process as p; p.run_worker(cli.main)"

_COERCED = (b"C.UTF-8", b"C.utf8", b"UTF-8")
"""What Python sets ``LC_CTYPE`` to where there is no locale (PEP 538), and sets again."""

_CHUNK = b'{"choices": [{"index": 0, "delta": {"content": "-"}, "finish_reason": "stop"}]}'
_REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: %b\n\n" % _CHUNK


def start_worker(
    settings: Mapping[str, Any], stderr: int | None = subprocess.DEVNULL
) -> subprocess.Popen[bytes] | None:
    """Start the worker, which outlives this process; ``None`` where one runs or starts already.

    ``settings`` are ``[plugin.litellm.worker]``. Raises :class:`GatewayError` where the runtime
    folder is not this user's, and ``OSError``.
    """
    folder = private_folder()
    path = str(folder / socket_name())
    early = startup_variables(environ)
    if sys.flags.utf8_mode and early.get(b"LC_CTYPE") in _COERCED:
        del early[b"LC_CTYPE"]
    # no secret: who has set a variable of such a name that LiteLLM's import reads is not served
    entries = [e for e in environ.items() if not is_secret((os.fsdecode(e[0]),), os.fsdecode(e[1]))]
    lock = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    variables = in_memory(b"\0" + b"".join(b"%b=%b\0" % entry for entry in entries))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        idle_seconds = 60 * float(settings.get("idle_minutes", IDLE_MINUTES))
        return subprocess.Popen(
            [sys.executable, "-c", ENTRY, path, str(lock), str(variables), str(idle_seconds)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            cwd=folder,  # where Python looks for modules first, and nobody else puts any
            env=early,
            pass_fds=(lock, variables),
            start_new_session=True,
        )
    except BlockingIOError:
        return None
    finally:
        os.close(lock)
        os.close(variables)


def run_worker(main: Callable[[], object]) -> NoReturn:
    """Run as the worker, until it ends; each child runs ``main``, the command's."""
    path, lock, variables, idle_seconds = sys.argv[1:]
    gc.disable()  # an import makes many objects and no garbage
    with record_variables(int(variables)) as origin:
        if not getattr(sys.flags, "safe_path", False):
            del sys.path[0]
        set_command_defaults()
        import_litellm()
        _prepare(main)
    set_again(origin.writes)
    if len(os.listdir("/proc/self/task")) > 1:
        sys.exit("LiteLLM started a thread, which makes forking unsafe: no worker runs")
    gc.collect()
    gc.freeze()
    try:
        listener = listen(os.path.basename(path))
    except OSError as error:
        sys.exit(f"Error: {path}: {reason(error)}")
    os.dup2(1, 2)
    answer = partial(serve_connection, origin=origin, main=main)
    serve_queries(listener, int(lock), float(idle_seconds), answer)


def listen(name: str) -> socket.socket:
    """Return the socket ``name`` in the working directory, which this user alone may connect to."""
    with suppress(FileNotFoundError):
        os.unlink(name)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    os.umask(0o177)  # a child takes its caller's
    listener.bind(name)
    listener.setblocking(False)
    listener.listen(128)
    return listener


def serve_queries(
    listener: socket.socket,
    lock: int,
    idle_seconds: float,
    answer: Callable[[socket.socket, socket.socket], None],
) -> NoReturn:
    """Fork a child for each connection, until this process is idle for too long or of no use.

    Then it ends, and its children go on. ``lock`` is a descriptor that they do not keep. Each calls
    ``answer`` with the connection, and with one to this process for its report.
    """
    name, refusal = listener.getsockname(), ""
    place = os.stat(name)
    started, last, queries = time.time(), time.monotonic(), 0
    reports, child_side = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that an ended one is gone
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        while _is_at(name, place) and (left := last + idle_seconds - time.monotonic()) > 0:
            ready, _, _ = select.select([reports, listener], [], [], min(left, LOOK_SECONDS))
            if reports in ready:
                report = reports.recv(1001)
                if report[:1] == STALE:
                    break
                if report == SERVED:
                    queries, last = queries + 1, time.monotonic()
                else:
                    refusal = report[1:].decode(errors="replace")
                continue
            with suppress(OSError):  # none comes, or it cannot fork: no memory, too many processes
                connection, _ = listener.accept()
                with connection:
                    pid = os.fork()
                    if pid == 0:
                        _become_child(partial(answer, connection, child_side), listener, lock)
                    connection.send(marshal.dumps((pid, started, queries, refusal)))
    finally:
        if _is_at(name, place):
            os.unlink(name)
        os._exit(0)


def _is_at(name: str, place: os.stat_result) -> bool:
    with suppress(OSError):
        return os.path.samestat(os.stat(name), place)
    return False


def _become_child(answer: Callable[[], None], listener: socket.socket, lock: int) -> NoReturn:
    """Answer, and end whatever happens: nothing goes on as the worker."""
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        listener.close()
        os.close(lock)
        answer()
    except OSError:
        pass  # the command has gone
    except BaseException:  # noqa: BLE001 - as the interpreter does
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(0)


def _prepare(main: Callable[[], object]) -> None:
    """Import and build what each query would else do anew, which takes longer than all the rest.

    A child makes a query and tells which modules it took, and which pydantic models, most of
    which are built when they are first used. Its connections and threads go with it.
    """
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            _make_query(main)
            built = {name for name, model in _models().items() if model.__pydantic_complete__}
            with open(writer, "wb") as file:
                marshal.dump((list(sys.modules), built), file)
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        modules, built = marshal.load(file)
    os.wait()
    for name in modules:
        with suppress(Exception):  # then a query imports it, and says what is wrong
            import_module(name)
    for name, model in _models().items():
        if name in built:
            with suppress(Exception):
                model.model_rebuild()
    platform.platform()  # of which the SDK makes a header; Python runs `uname`, and remembers


def _models() -> dict[str, Any]:
    """Return all of pydantic's models that there are, by their names."""
    from pydantic import BaseModel

    models: list[Any] = [BaseModel]
    for model in models:
        models += model.__subclasses__()
    return {f"{model.__module__}:{model.__qualname__}": model for model in models}


def _make_query(main: Callable[[], object]) -> None:
    """Send a query to a server in this process, which streams an answer."""
    os.dup2(1, 2)
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(_REPLY)

    Thread(target=answer, daemon=True).start()
    os.environ.update(
        ADAPTER_CONFIG=f"/proc/self/fd/{in_memory(b'')}",  # an empty one, not the user's
        ADAPTER_WORKER="off",
        NO_PROXY="*",
        OPENAI_BASE_URL=f"http://127.0.0.1:{listener.getsockname()[1]}/v1",
    )
    sys.argv[1:] = ["-m", "local/m", "--timeout", "10", "-u", "-v", "-"]
    with suppress(SystemExit):
        main()

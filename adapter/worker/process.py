"""The worker's process: import LiteLLM, and all that a query needs, with no query in it."""

from __future__ import annotations

import gc
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from threading import Thread

from adapter.upstream.loading import import_litellm, set_again, set_command_defaults
from adapter.worker.child import Origin, serve
from adapter.worker.client import in_memory
from adapter.worker.environment import recorded
from adapter.worker.server import Worker

__all__ = ["run_worker"]

_CHUNK = b'{"choices": [{"index": 0, "delta": {"content": "-"}, "finish_reason": "stop"}]}'
_REPLIES = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: %b\n\n" % _CHUNK,
    b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\n{}",
)
"""Of a server that closes the connection after each."""


def run_worker(main: Callable[[], object]) -> None:
    """Be the worker, until it ends; ``main`` is the command's, which each child runs.

    The arguments are those of :func:`adapter.worker.starting.start`.
    """
    path, lock, variables, idle_seconds = sys.argv[1:]
    gc.disable()  # an import makes many objects and no garbage
    with recorded(int(variables)) as (asked, written):
        origin = Origin.now(asked)
        if not getattr(sys.flags, "safe_path", False):
            del sys.path[0]
        set_command_defaults()
        import_litellm()
        for name in _imported_by_queries(main):
            with suppress(Exception):  # then a query imports it, and says what is wrong
                import_module(name)
    set_again(written)
    gc.collect()
    gc.freeze()
    os.chdir("/")
    worker = Worker(path, float(idle_seconds), partial(serve, origin=origin, main=main))
    os.set_inheritable(int(lock), False)  # held for as long as this process lives
    os.dup2(1, 2)
    worker.run()


def _imported_by_queries(main: Callable[[], object]) -> list[str]:
    """Return the modules that queries import, as a child found out that made some and has ended."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            before = set(sys.modules)
            _make_queries(main)
            names = [name for name in sys.modules if name not in before]
            os.write(writing, "\n".join(names).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as file:
        names = file.read().split()
    os.waitpid(pid, 0)
    return names


def _make_queries(main: Callable[[], object]) -> None:
    """Ask a server of this process's own: one answer that is streamed, and one error."""
    os.dup2(1, 2)
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        for reply in _REPLIES:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(reply)

    Thread(target=answer, daemon=True).start()
    os.environ.update(
        ADAPTER_CONFIG=f"/proc/self/fd/{in_memory(b'')}",  # an empty one, not the user's
        ADAPTER_WORKER="off",
        NO_PROXY="*",
        OPENAI_BASE_URL=f"http://127.0.0.1:{listener.getsockname()[1]}/v1",
    )
    for _ in _REPLIES:
        sys.argv[1:] = ["-m", "local/m", "--timeout", "10", "-u", "-v", "-"]
        with suppress(SystemExit):
            main()

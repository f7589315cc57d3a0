"""The worker's process: import LiteLLM, and all that a query needs, with no query in it."""

from __future__ import annotations

import gc
import linecache
import marshal
import os
import socket
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from importlib import import_module
from threading import Thread
from typing import Any

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
    with recorded(int(variables)) as (reads, writes):
        origin = Origin.now(reads)
        if not getattr(sys.flags, "safe_path", False):
            del sys.path[0]
        set_command_defaults()
        import_litellm()
        _prepare(*_made_by_queries(main))
    set_again(writes)
    if len(os.listdir("/proc/self/task")) > 1:
        sys.exit("LiteLLM has started a thread, and to fork beside one is not safe: no worker runs")
    gc.collect()
    gc.freeze()
    os.chdir("/")
    worker = Worker(path, float(idle_seconds), partial(serve, origin=origin, main=main))
    os.set_inheritable(int(lock), False)  # held for as long as this process lives
    os.dup2(1, 2)
    worker.run()


def _made_by_queries(main: Callable[[], object]) -> tuple[list[str], list[str], list[str]]:
    """Return modules, source files and pydantic models that queries import, read and build.

    A child makes some queries, tells, and is gone: connections and threads of theirs go with it.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _make_queries(main)
            models = [f"{m.__module__}:{m.__qualname__}" for m in _models() if _is_built(m)]
            with open(writing, "wb") as file:
                marshal.dump((list(sys.modules), list(linecache.cache), models), file)
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as file:
        result: tuple[list[str], list[str], list[str]] = marshal.load(file)
    os.waitpid(pid, 0)
    return result


def _prepare(modules: Iterable[str], files: Iterable[str], models: Iterable[str]) -> None:
    """Import, read and build here what each query would else do anew: a third of its time."""
    for name in modules:
        if name not in sys.modules:
            with suppress(Exception):  # then a query imports it, and says what is wrong
                import_module(name)
    for path in files:
        linecache.getlines(path)  # which LiteLLM's tracebacks show
    names = set(models)
    for model in _models():
        if f"{model.__module__}:{model.__qualname__}" in names and not _is_built(model):
            with suppress(Exception):
                model.model_rebuild()


def _models() -> list[Any]:
    """Return all of pydantic's models there are; most are built when they are first used."""
    from pydantic import BaseModel

    models: list[Any] = [BaseModel]
    for model in models:
        models += model.__subclasses__()
    return models


def _is_built(model: Any) -> bool:
    return bool(vars(model).get("__pydantic_complete__"))


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

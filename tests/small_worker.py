"""A worker without LiteLLM, whose command tells what it finds: it starts at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.command import PATIENCE

__all__ = ["NOBODY", "SmallWorker", "small_worker"]

NOBODY = """\
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"""
"""Code for a worker or a query: become another user, whom limits hold."""

WORKER = """\
import json, os, resource, select, sys, time
from functools import partial
from adapter.worker.child import serve_connection
from adapter.worker.client import in_memory, socket_name
from adapter.worker.environment import record_variables
from adapter.worker.process import listen, serve_queries

def main():
    umask = os.umask(0o077)
    found = dict(
        arguments=sys.argv[1:],
        encodings=[(stream.encoding, stream.errors) for stream in (sys.stdin, sys.stderr)],
        folder=os.getcwd(),
        hour=time.localtime(0).tm_hour,
        seen=os.environ.get("SEEN"),
        umask=umask,
        unbuffered=sys.stdout.write_through,
    )
    print(json.dumps(found))

with record_variables(in_memory(b"\\0")) as origin:
    pass
if not getattr(sys.flags, "safe_path", False):
    del sys.path[0]
name = socket_name()
{first}
listener, answer = listen(name), partial(serve_connection, origin=origin, main=main)
print("ready", flush=True)
{then}
serve_queries(listener, os.open(os.devnull, os.O_RDONLY), 60.0, answer)
"""

QUERY = """\
import _socket, binascii, marshal, os, signal, sys  # another user may not read where these are
from adapter.worker import client
{first}
code = client.query(sys.argv[1:])
if code is None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    print('"' + client.outcome + '"')
sys.exit(code or 0)
"""


class SmallWorker:
    """A worker in ``folder``; ``environ`` are its variables."""

    def __init__(self, folder: Path, environ: dict[str, str], pid: int) -> None:
        self.folder = folder
        self.environ = environ
        self.pid = pid

    def ask(self, *args: str, first: str = "", prefix: tuple[str, ...] = (), **options: Any) -> Any:
        """Return what the worker's command finds, as a dictionary, else the outcome in words.

        ``first`` is code that the query's process runs before, ``prefix`` a command that runs it.
        """
        environ = {**self.environ, **options.pop("env", {})}
        line = [*prefix, sys.executable, "-c", QUERY.format(first=first), *args]
        options = {"stdin": subprocess.DEVNULL, "timeout": PATIENCE, **options}
        return json.loads(subprocess.check_output(line, env=environ, **options))


@contextmanager
def small_worker(
    runtime: Path, first: str = "", then: str = "", **variables: str
) -> Iterator[SmallWorker]:
    """Run one in the runtime folder ``runtime``, which exists.

    ``first`` and ``then`` are code that it runs before and after it listens.
    """
    folder = runtime / "gptme-litellm"
    folder.mkdir(mode=0o700, exist_ok=True)
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(runtime), **variables}
    environ.pop("ADAPTER_WORKER", None)
    code = WORKER.format(first=first, then=then)
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=-1
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield SmallWorker(folder, environ, process.pid)
        finally:
            process.kill()

"""A Ctrl-C that is dropped on its way, as C code may drop any exception."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["DROPPED", "dropping"]

HOOK = """\
import os, signal, socket

real, received = socket.socket.recv, b""

def recv(self, *args):
    global received
    after = os.environ.get("DROP_AFTER")  # a worker's child has no variables at first
    if after is not None and after.encode() in received:
        socket.socket.recv = real
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            os.write(2, b"dropped\\n")
    data = real(self, *args)
    received += data
    return data

socket.socket.recv = recv
"""

DROPPED = b"dropped\n"
"""What such a command writes to stderr when it drops one."""


def dropping(
    folder: Path, environ: Mapping[str, str] = os.environ, after: str = ""
) -> dict[str, str]:
    """Return ``environ`` for a command that presses Ctrl-C on itself once, and drops that.

    It does when it waits for a server that has said ``after``. The code for it is put into
    ``folder``.
    """
    (folder / "sitecustomize.py").write_text(HOOK)
    path = os.pathsep.join(filter(None, (str(folder), environ.get("PYTHONPATH"))))
    return {**environ, "PYTHONPATH": path, "DROP_AFTER": after}

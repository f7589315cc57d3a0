"""Starting the worker, and what its user says about when."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from adapter.gateway.runtime import private_folder
from adapter.worker.client import environ, in_memory, socket_name
from adapter.worker.environment import inherited

__all__ = ["start"]

IDLE_MINUTES = 10

ENTRY = "from adapter.cli.worker import serve; serve()"


def start(
    settings: Mapping[str, Any], stderr: int | None = subprocess.DEVNULL
) -> subprocess.Popen[bytes] | None:
    """Start the worker, which outlives this process; ``None`` where one runs or starts already.

    ``settings`` are ``[plugin.litellm.worker]``. Raises :class:`GatewayError` where the runtime
    folder is not this user's, and ``OSError``.
    """
    path = str(private_folder() / socket_name())
    flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.open(f"{path}.lock", flags, 0o600)
    variables = in_memory(b"\0" + b"".join(b"%b=%b\0" % entry for entry in environ.items()))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        idle_seconds = 60 * float(settings.get("idle_minutes", IDLE_MINUTES))
        return subprocess.Popen(
            [sys.executable, "-c", ENTRY, path, str(lock), str(variables), str(idle_seconds)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            cwd="/",  # where Python looks for modules first
            env=inherited(environ),
            pass_fds=(lock, variables),
            start_new_session=True,
        )
    except BlockingIOError:
        return None
    finally:
        os.close(lock)
        os.close(variables)

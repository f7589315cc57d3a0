"""A gateway's process: LiteLLM's proxy behind the guard, in one worker or several."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, TextIO

from adapter._text import printable
from adapter.gateway.guard import Guard
from adapter.gateway.requests import ALWAYS_REFUSED, ROUTING_FIELDS, App
from adapter.gateway.runtime import remove_files
from adapter.gateway.settings import GuardSettings
from adapter.secrets.scrubber import Scrubber
from adapter.upstream.proxy import proxy_app, refused_fields

__all__ = ["ScrubbedLog", "make_app", "run"]

GRACE_SECONDS = 5
"""How long an answer under way may go on after SIGTERM."""

_COLOURS = re.compile(r"\x1b\[[\d;]*m")
"""Of LiteLLM's own logger, which would show as symbols."""

HEALTH_SECONDS = 60
"""How long a worker may be too busy to say that it lives; then uvicorn replaces it."""


def run(listener: int, lock: int, workers: int, guard: Mapping[str, Any]) -> None:
    """Serve until SIGTERM, or until the parent of an attached gateway is gone.

    ``listener`` and ``lock`` are descriptors, of the socket and of the locked runtime file. With
    more than one worker this process answers nothing; uvicorn's supervisor starts them, puts
    another in the place of one that ends, and ends them all.
    """
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    for fd in (listener, lock):
        os.set_inheritable(fd, False)  # nobody but this process keeps the lock
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # uvicorn raises it again when it is done
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    config = uvicorn.Config(
        partial(make_app, GuardSettings(**guard)),
        factory=True,
        lifespan="on",
        workers=workers,
        http="h11",  # the same on every machine
        log_config=None,  # its own would write past ScrubbedLog
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_worker_healthcheck=HEALTH_SECONDS,
    )
    sockets = [socket.socket(fileno=listener)]
    try:
        if workers == 1:
            uvicorn.Server(config).run(sockets)
        else:
            logging.basicConfig(level=logging.INFO, format="%(message)s")
            logging.getLogger("uvicorn.error").setLevel(logging.INFO)  # which worker has died
            Multiprocess(config, sockets).run()
    finally:
        remove_files(lock)


def _end_with_stdin() -> None:
    """End this process when its stdin does, unless the parent says that it is to stay."""
    if os.read(0, 16) != b"stay\n":
        os.kill(os.getpid(), signal.SIGTERM)


def _end_with_parent() -> None:
    """End a worker when the process that started it is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS + 2)
    os._exit(1)  # it hangs


def make_app(settings: GuardSettings) -> App:
    """Return LiteLLM's proxy behind the guard.

    What this process writes holds no key from now on.
    """
    if multiprocessing.parent_process() is not None:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    scrubber = Scrubber(settings.secrets)
    sys.stdout = ScrubbedLog(sys.stdout, scrubber)
    sys.stderr = ScrubbedLog(sys.stderr, scrubber)
    app = proxy_app(settings.max_response_bytes)
    key = os.environ["LITELLM_MASTER_KEY"] if settings.master_key_only else None
    refused = ALWAYS_REFUSED if settings.client_credentials else ROUTING_FIELDS | refused_fields()
    return Guard(app, scrubber, settings, key=key, refused=refused)


class ScrubbedLog:
    """A text stream for what LiteLLM logs, which may be a server's words.

    It writes no key, and no control character but the end of a line.
    """

    def __init__(self, stream: TextIO, scrubber: Scrubber) -> None:
        self._stream = stream
        self._scrubber = scrubber

    def write(self, text: str) -> int:
        plain = _COLOURS.sub("", text)  # first: they could stand within a key
        return self._stream.write(printable(self._scrubber.text(plain)))

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

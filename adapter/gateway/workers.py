"""A gateway's process, or several of them for one gateway, which answer on one socket."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from adapter.errors import ExitCode
from adapter.gateway.child import start_child
from adapter.gateway.process import GRACE_SECONDS, end_with_parent, remove_files, serve

__all__ = ["run"]

POLL_SECONDS = 0.5
"""How often is looked whether a worker has ended."""


def run(settings: Mapping[str, Any]) -> None:
    """Serve until SIGTERM, or until the parent of an attached gateway is gone.

    With more than one worker this process answers nothing: it starts them, puts another in the
    place of one that ends, and ends them all. They end, too, when it is killed.
    """
    if settings["workers"] == 1:
        serve(settings)
    else:
        _Workers(settings).run()


class _Workers:
    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._workers: list[subprocess.Popen[bytes]] = []
        self._ended = threading.Event()

    def run(self) -> None:
        for fd in (self._settings["listener"], self._settings["lock"], self._settings["ready"]):
            os.set_inheritable(fd, False)
        signal.signal(signal.SIGTERM, lambda *_: self._ended.set())
        threading.Thread(target=end_with_parent, daemon=True).start()
        try:
            waiting = [self._start() for _ in range(self._settings["workers"])]
            for worker, ready in waiting:
                self._wait(worker, ready)
            os.write(self._settings["ready"], b"1")
            os.close(self._settings["ready"])
            while not self._ended.wait(POLL_SECONDS):
                self._replace()
        finally:
            self._stop()
            remove_files(self._settings["lock"])

    def _start(self) -> tuple[subprocess.Popen[bytes], int]:
        """Start a worker, which ends when its stdin does; return where it says that it is ready."""
        settings = {**self._settings, "workers": 1, "lock": None}
        worker, said = start_child(settings, (self._settings["listener"],))
        self._workers.append(worker)
        return worker, said

    def _wait(self, worker: subprocess.Popen[bytes], said: int) -> None:
        """Wait until ``worker`` answers; where it ends instead, the gateway does, with its code."""
        try:
            while not self._ended.is_set():
                if select.select([said], [], [], POLL_SECONDS)[0]:
                    if not os.read(said, 1):
                        sys.exit(worker.wait() or ExitCode.ERROR)
                    return
        finally:
            os.close(said)

    def _replace(self) -> None:
        for worker in [w for w in self._workers if w.poll() is not None]:
            code = worker.returncode
            sys.stderr.write(f"a worker ended (exit code {code}); another takes its place\n")
            sys.stderr.flush()
            self._workers.remove(worker)
            self._wait(*self._start())

    def _stop(self) -> None:
        """End the workers: what they are answering may go on for some seconds."""
        for worker in self._workers:
            worker.terminate()
        deadline = time.monotonic() + GRACE_SECONDS + 2
        for worker in self._workers:
            try:
                worker.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()

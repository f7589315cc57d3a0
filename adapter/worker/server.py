"""The worker: a process with LiteLLM imported, which forks a child for each query.

It is a process of its own from the beginning, so that nothing of a query is ever in it, and it
reads nothing that a caller sends: its children do. It starts no thread, so that a fork is safe.
"""

from __future__ import annotations

import mmap
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

__all__ = ["REFUSED", "SERVED", "STALE", "Worker"]

LOOK_SECONDS = 10.0
"""How often the worker looks whether its socket is still there."""

SERVED, REFUSED, STALE = 0, 1, 2
"""How a child exits: it answered; it did not; nobody can be served any more."""


class Worker:
    """Accepts connections and forks, until it is idle for too long or of no use any more.

    ``serve`` is called in each child with this object and the connection, and returns how the
    child exits. ``reason`` is memory to which a child writes why it did not answer.
    """

    def __init__(
        self, path: str, idle_seconds: float, serve: Callable[[Worker, socket.socket], int]
    ) -> None:
        self.started = time.time()
        self.queries = 0
        self.reason = mmap.mmap(-1, mmap.PAGESIZE)
        self._path = path
        self._idle_seconds = idle_seconds
        self._serve = serve
        self._children: set[int] = set()
        self._last = time.monotonic()
        self._ending = False
        with suppress(FileNotFoundError):
            os.unlink(path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        folder = os.open(os.path.dirname(path), os.O_PATH)
        umask = os.umask(0o177)
        self._listener.bind(f"/proc/self/fd/{folder}/{os.path.basename(path)}")  # it may be long
        os.umask(umask)
        os.close(folder)
        self._socket = os.stat(path)
        self._listener.setblocking(False)
        self._listener.listen(128)

    def run(self) -> None:
        """Serve until the end; the queries under way then are answered before it."""
        woken, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # that it came is in the pipe
        signal.signal(signal.SIGTERM, self._end)
        events = select.poll()
        events.register(woken, select.POLLIN)
        events.register(self._listener, select.POLLIN)
        while not self._ending and (self._children or self._seconds_left() > 0):
            if not self._is_reachable():
                break
            events.poll(1000 * min(LOOK_SECONDS, max(self._seconds_left(), 0.1)))
            with suppress(BlockingIOError):
                os.read(woken, 4096)
            self._reap(os.WNOHANG)
            self._accept()
        if self._is_reachable():
            os.unlink(self._path)
        self._listener.close()
        self._reap(0)

    def _end(self, *_: object) -> None:
        self._ending = True

    def _seconds_left(self) -> float:
        return self._last + self._idle_seconds - time.monotonic()

    def _is_reachable(self) -> bool:
        """Whether the socket is still in its place, and this worker's."""
        with suppress(OSError):
            return os.path.samestat(os.stat(self._path), self._socket)
        return False

    def _accept(self) -> None:
        with suppress(OSError):
            connection = self._listener.accept()[0]
            with connection:
                pid = os.fork()  # or it fails: no memory, too many processes
                if pid == 0:
                    self._become_child(connection)
                self._children.add(pid)

    def _become_child(self, connection: socket.socket) -> None:
        code = REFUSED
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._listener.close()
            code = self._serve(self, connection)
        except OSError:
            pass  # the command has gone
        except BaseException:  # noqa: BLE001 - a child must never go on as the worker
            traceback.print_exception(*sys.exc_info())
        finally:
            os._exit(code)

    def _reap(self, options: int) -> None:
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, options)
                if pid == 0:
                    return
                self._children.discard(pid)
                code = os.waitstatus_to_exitcode(status)
                if code == STALE:
                    self._ending = True
                elif code != REFUSED:
                    self.queries += 1
                    self._last = time.monotonic()

"""Run functions in threads that nothing waits for when the command is interrupted.

The threads are daemons, unlike those of an executor, which Python joins at its end: Ctrl-C would
take as long as the slowest server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from threading import Thread
from typing import TypeVar

__all__ = ["map_concurrently", "run_within"]

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_THREADS = 16


def map_concurrently(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return ``function(item)`` for each item, in their order. Raise the first error of any."""
    calls = [(Future[Result](), partial(function, item)) for item in items]
    pending = iter(calls)  # a list's iterator is safe to share between threads

    def work() -> None:
        for future, call in pending:
            _run(future, call)

    for _ in calls[:MAX_THREADS]:
        Thread(target=work, daemon=True).start()
    return [future.result() for future, _ in calls]


def run_within(seconds: float, function: Callable[[], Result]) -> Result:
    """Return ``function()``; raise ``TimeoutError`` when it takes longer than ``seconds``.

    A look-up of a name, or a server that sends a byte now and then, has no limit of its own.
    """
    future = Future[Result]()
    Thread(target=_run, args=(future, function), daemon=True).start()
    from concurrent.futures import TimeoutError as NotDoneError  # before 3.11 no TimeoutError

    try:
        return future.result(timeout=seconds)
    except NotDoneError:
        if future.done():
            raise  # the function's own
        raise TimeoutError(f"no answer within {seconds:g} s") from None


def _run(future: Future[Result], function: Callable[[], Result]) -> None:
    try:
        future.set_result(function())
    except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
        future.set_exception(error)

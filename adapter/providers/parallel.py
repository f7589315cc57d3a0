"""Several things at once, in threads that nothing waits for when the command is interrupted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

__all__ = ["at_once", "within"]

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST = 16
"""How many threads there are at a time."""


def at_once(do: Callable[[Item], Result], items: Iterable[Item], most: int = MOST) -> list[Result]:
    """Return what ``do`` returns for each item, in their order. Raises the first error of any.

    Not an executor's threads, which Python waits for at its end: Ctrl-C would take as long as the
    slowest server.
    """
    todo = deque(enumerate(items))
    count = len(todo)
    done: SimpleQueue[tuple[int, Result | None, BaseException | None]] = SimpleQueue()

    def work() -> None:
        while True:
            try:
                index, item = todo.popleft()
            except IndexError:
                return
            try:
                done.put((index, do(item), None))
            except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
                done.put((index, None, error))

    for _ in range(min(most, count)):
        Thread(target=work, daemon=True).start()
    results: dict[int, Result] = {}
    for _ in range(count):
        index, result, error = done.get()
        if error is not None:
            raise error
        results[index] = result  # type: ignore[assignment]  # None only beside an error
    return [results[i] for i in range(count)]


def within(seconds: float, do: Callable[[], Result]) -> Result:
    """Return what ``do`` returns, or raise ``TimeoutError`` when that takes longer.

    Looking up a name, or a server that sends a byte now and then, has no limit of its own.
    """
    done: SimpleQueue[tuple[Result | None, BaseException | None]] = SimpleQueue()

    def work() -> None:
        try:
            done.put((do(), None))
        except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
            done.put((None, error))

    Thread(target=work, daemon=True).start()
    try:
        result, error = done.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # None only beside an error

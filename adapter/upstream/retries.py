"""Telling that a request is about to be sent again, which the OpenAI SDK says in its log only."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from adapter.upstream.exceptions import is_timeout

__all__ = ["watch_retries"]


@contextmanager
def watch_retries(tell: Callable[[str, float], None]) -> Iterator[None]:
    """Call ``tell`` with the cause and the seconds of each wait before a retry.

    The SDK logs it, at level INFO, where it handles the error (``openai._base_client``). What it
    says in other words some day is not told.
    """

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            args = record.args if isinstance(record.args, tuple) else ()
            seconds = next((value for value in args if isinstance(value, float)), None)
            if seconds is not None and str(record.msg).startswith("Retrying request"):
                tell(_cause(sys.exc_info()[1]), seconds)

    logger = logging.getLogger("openai")
    handler, level = Handler(), logger.level
    logger.addHandler(handler)
    logger.setLevel(min(logger.getEffectiveLevel(), logging.INFO))
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


def _cause(error: BaseException | None) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return f"answered {status}"
    return "did not answer in time" if error and is_timeout(error) else "cannot be reached"

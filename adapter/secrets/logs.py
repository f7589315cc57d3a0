"""Known secrets are taken out of log records, and of what a process writes to a stream.

LiteLLM masks what looks like a key; it cannot know what one looks like that a server made up.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, TextIO

from adapter.secrets.scrubber import Scrubber, scrub

__all__ = ["ScrubbedStream", "scrub_logs"]


class _Filter(logging.Filter):
    """Changes only records that hold a key."""

    _formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 - wrong arguments are reported by the handler
            return True
        if (scrubbed := scrub(text)) != text:
            record.msg, record.args = scrubbed, ()
        trace = record.exc_text
        if record.exc_info and not trace:
            trace = self._formatter.formatException(record.exc_info)
        if trace and (scrubbed := scrub(trace)) != trace:
            record.exc_text = scrubbed
        return True


_filter = _Filter()  # one, which a logger takes once


def scrub_logs(loggers: Iterable[str]) -> None:
    """Take the keys that this process reads out of what ``loggers`` record from now on.

    By name: a filter on a logger does not see what a logger below it records.
    """
    for name in loggers:
        logging.getLogger(name).addFilter(_filter)


class ScrubbedStream:
    """A text stream that never writes a secret: servers echo keys in errors, which LiteLLM logs."""

    def __init__(self, stream: TextIO, scrubber: Scrubber) -> None:
        self._stream = stream
        self._scrubber = scrubber

    def write(self, text: str) -> int:
        return self._stream.write(self._scrubber.text(text))

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

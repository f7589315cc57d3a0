"""Remove known API keys from log records.

LiteLLM masks what looks like a key; it cannot know what a key looks like that a server made up.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from adapter.secrets.scrubber import scrub

__all__ = ["scrub_logs"]


class _Filter(logging.Filter):
    """Removes keys from a record; other records stay as they are."""

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
    """Remove the keys that this process reads from what ``loggers`` record from now on.

    Each is named, since a filter on a logger does not see the records of loggers below it.
    """
    for name in loggers:
        logging.getLogger(name).addFilter(_filter)

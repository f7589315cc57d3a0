"""No key in a line of LiteLLM's log, nor in one of the libraries with which it sends.

LiteLLM masks what looks like a key; it cannot know what one looks like that a server made up.
"""

from __future__ import annotations

import logging

from adapter.keys.precedence import without_keys

__all__ = ["hide_keys_in_logs"]

LOGGERS = (
    *("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"),
    *("openai._base_client", "openai._response", "openai._legacy_response"),
    *("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy"),
)
"""By name: a filter on a logger does not see what a logger below it says."""


class _Filter(logging.Filter):
    """Changes only records that hold a key."""

    _formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 - wrong arguments are reported by the handler
            return True
        if (cleaned := without_keys(text)) != text:
            record.msg, record.args = cleaned, ()
        told = record.exc_text
        if record.exc_info and not told:
            told = self._formatter.formatException(record.exc_info)
        if told and (cleaned := without_keys(told)) != told:
            record.exc_text = cleaned
        return True


_filter = _Filter()  # one, which a logger takes once


def hide_keys_in_logs() -> None:
    """Keep keys out of the logs of LiteLLM and what it sends with, however they are set up."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_filter)

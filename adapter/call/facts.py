"""What an error and its causes say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = ["Facts", "error_words", "facts_of"]


class Facts(NamedTuple):
    """What an explanation is made from.

    ``kinds`` are the class names of the error and its causes, nearest first; ``status`` is the
    HTTP status, which is the server's own when ``answered``; ``said`` is the message.
    """

    kinds: tuple[str, ...]
    status: int | None
    answered: bool
    said: str


def facts_of(error: BaseException) -> Facts:
    """Return what ``error`` and its causes say. The message may hold a key the server echoed."""
    # LiteLLM's Router takes this wrapper off, so that without one it would be named instead
    original = getattr(error, "original_exception", None)
    if type(error).__name__ == "MidStreamFallbackError" and isinstance(original, Exception):
        error = original
    return Facts(
        kinds=tuple(c.__name__ for cause in causes(error) for c in type(cause).__mro__),
        status=getattr(error, "status_code", None),
        answered=_answered(error),
        said=_message(error),
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and what it came from, nearest first; a cycle ends it."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _answered(error: BaseException) -> bool:
    """Whether the status of ``error`` is the server's: LiteLLM makes one up where there is none."""
    return any(
        hasattr(cause, "response") and not type(cause).__module__.startswith("litellm")
        for cause in causes(error)
    )


def _message(error: BaseException) -> str:
    """Return what the server said, else LiteLLM's words without its class names."""
    for cause in causes(error):
        response = getattr(cause, "response", None)
        text = _response_words(response) if response is not None else None
        if text:
            return text
    # an error under status 200 has its words in the innermost of LiteLLM's exceptions only
    said = (str(error), *(str(getattr(cause, "message", "")) for cause in causes(error)))
    # LiteLLM puts a traceback into the message of a reply that it cannot read
    heads = (
        text.splitlines()[0].partition(" Traceback (most recent call last)")[0]
        for text in said
        if text
    )
    lines = (head.rpartition("Exception - ")[2] for head in heads)
    return next(filter(None, lines), "no reason was given" if str(error) else type(error).__name__)


def _response_words(response: Any) -> str | None:
    try:
        text = str(response.text)
    except Exception:  # noqa: BLE001 - an unread stream: no message to take
        return None
    try:
        return error_words(json.loads(text))
    except ValueError:  # a page of a server in between, say; from openai 3 on no error quotes it
        return text.strip() if response.status_code >= 400 else None


def error_words(body: Any) -> str | None:
    """Return the message in the JSON body of an error, or ``None``."""
    words = body.get("error", body) if isinstance(body, dict) else None
    if isinstance(words, dict):
        words = words.get("message") or words.get("detail")
    if isinstance(words, str) and words.startswith("litellm."):
        # a LiteLLM proxy's: its class names, and what its router tried
        words = words.partition("\n\nLiteLLM: ")[0].rpartition("Exception - ")[2]
    return words if isinstance(words, str) else None

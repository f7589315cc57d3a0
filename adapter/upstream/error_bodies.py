"""What the JSON body of an error says: its words, and the status that it names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["error_status", "error_words"]

MOST_ENTRIES = 5
"""Of a list of errors; a server that checks a request names each field that is wrong."""

DEEPEST = 8
"""How deep errors lie inside each other; those of a proxy before a proxy take four."""

_FIELDS = ("error", "errors", "message", "msg", "detail", "details")


def error_words(body: Any) -> str | None:
    """Return the message in an error's JSON body with the causes inside it, or ``None``.

    Known are OpenAI's form, ``detail`` (FastAPI, as text or as a list of validation errors),
    ``metadata.raw`` (OpenRouter's provider), a list of errors, and JSON in a text.
    """
    return ": ".join(dict.fromkeys(_words(body, DEEPEST))) or None


def _words(value: Any, deep: int) -> Iterator[str]:
    """Yield the messages in ``value``, outermost first."""
    if deep == 0:
        return
    if isinstance(value, str):
        yield from _words_of_text(value, deep)
    elif isinstance(value, list):
        entries = (": ".join(_words(entry, deep - 1)) for entry in value[:MOST_ENTRIES])
        if text := "; ".join(filter(None, entries)):
            yield text
    elif isinstance(value, Mapping):
        place = value.get("loc")  # pydantic's validation errors, as FastAPI sends them
        if isinstance(place, list):
            yield ".".join(map(str, place))
        for field in _FIELDS:
            yield from _words(value.get(field), deep - 1)
        metadata = value.get("metadata")
        if isinstance(metadata, Mapping):
            yield from _words(metadata.get("raw"), deep - 1)


def _words_of_text(text: str, deep: int) -> Iterator[str]:
    if text.lstrip().startswith(("{", "[")):
        try:
            inner = json.loads(text)
        except (ValueError, RecursionError):
            inner = None
        if words := list(_words(inner, deep - 1)):
            yield from words
            return
    if text.startswith("litellm."):
        # a LiteLLM proxy's: its class names, and what its router tried
        text = text.partition("\n\nLiteLLM: ")[0].rpartition("Exception - ")[2]
    if text.strip():
        yield text


def error_status(error: Any) -> int | None:
    """Return the HTTP status that an error object names, 400 to 599, which may be in quotes."""
    if not isinstance(error, Mapping):
        return None
    for field in ("code", "status", "status_code"):
        text = str(error.get(field))
        if len(text) == 3 and text.isdecimal() and text[0] in "45":
            return int(text)
    return None

"""A query, and the text of its answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["CONNECT_SECONDS", "TIMEOUT_SECONDS", "Kept", "Query", "pieces"]

TIMEOUT_SECONDS = 600.0
"""How long the server may be silent, as in LiteLLM."""

CONNECT_SECONDS = 10.0
"""How long connecting may take. An address that swallows packets would else hang for minutes."""


class Query(NamedTuple):
    """One query. ``params`` are LiteLLM's, ``timeout`` is in seconds.

    ``retries`` is how often a failed request is tried again; ``None`` leaves it to the
    configuration. ``gateway`` is the URL of a LiteLLM proxy to ask.
    """

    model: str
    messages: list[dict[str, Any]]
    params: Mapping[str, Any]
    timeout: float | None = None
    retries: int | None = None
    gateway: str | None = None


class Kept:
    """What an answer has besides its text: a whole ``response``, and its ``usage``, as JSON."""

    def __init__(self) -> None:
        self.response: dict[str, Any] | None = None
        self.usage: dict[str, Any] | None = None

    def see(self, chunk: Any) -> None:
        """Keep what is in ``chunk``."""
        if getattr(chunk, "usage", None) is not None:
            self.usage = _plain(chunk.usage)
        if chunk.choices and getattr(chunk.choices[0], "message", None) is not None:
            self.response = _plain(chunk)


def _plain(value: Any) -> dict[str, Any] | None:
    """Return LiteLLM's object as dictionaries and lists, ``None`` for what is no JSON object."""
    if callable(getattr(value, "model_dump", None)):
        value = value.model_dump(mode="json", exclude_none=True)
    found = json.loads(json.dumps(value, default=vars))
    return found if isinstance(found, dict) else None


def pieces(chunks: Iterable[Any], kept: Kept | None = None) -> Iterator[str]:
    """Yield the text in ``chunks``, then the tools the model calls, as JSON, one call a line.

    A chunk has OpenAI's shape: a whole response with a ``message``, or a streamed part with a
    ``delta``. Calls come in parts, too, and are joined by their ``index``. ``kept`` takes what
    there is besides.
    """
    said = ""
    calls: dict[int, Any] = {}
    for chunk in chunks:
        if kept is not None:
            kept.see(chunk)
        choice = chunk.choices[0] if chunk.choices else None
        if choice is None:
            continue
        part = getattr(choice, "delta", None) or getattr(choice, "message", None)
        if part is None:
            continue
        if part.content:
            said = part.content
            yield said
        for position, call in enumerate(part.tool_calls or ()):
            index = getattr(call, "index", None)
            index = position if index is None else index
            if index in calls:
                known = calls[index].function
                known.arguments = (known.arguments or "") + (call.function.arguments or "")
            else:
                calls[index] = call
    yield _tool_calls(calls, said)


def _tool_calls(calls: Mapping[int, Any], said: str) -> str:
    """Return the calls, one a line; the first does not go on the line of what was said before."""
    lines = [
        json.dumps({"name": c.function.name, "arguments": c.function.arguments}, ensure_ascii=False)
        for _, c in sorted(calls.items())
    ]
    gap = "\n" if lines and said and not said.endswith("\n") else ""
    return gap + "\n".join(lines)

"""The text of an answer, from LiteLLM's objects or from a gateway's JSON: they have one shape."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["pieces"]


def pieces(chunks: Iterable[Any]) -> Iterator[str]:
    """Yield the text in ``chunks``, then the tools the model calls, as JSON, one call a line.

    A chunk has OpenAI's shape: a whole response with a ``message``, or a streamed part with a
    ``delta``. Calls come in parts, too, and are joined by their ``index``.
    """
    said = ""
    calls: dict[int, Any] = {}
    for chunk in chunks:
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

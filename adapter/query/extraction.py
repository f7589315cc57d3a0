"""The first fenced code block of an answer in Markdown (CommonMark 0.31, 4.5)."""

from __future__ import annotations

import re

__all__ = ["first_block"]

_OPEN = re.compile(r" {0,3}(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*)")


def first_block(text: str) -> str | None:
    """Return the code in the first fenced block, without its fences; ``None`` if there is none.

    A block that is not closed goes on to the end.
    """
    lines = text.split("\n")
    for number, line in enumerate(lines):
        opening = _OPEN.fullmatch(line.rstrip("\r"))
        if opening is None or (opening["fence"][0] == "`" and "`" in opening["info"]):
            continue
        fence = opening["fence"]
        close = re.compile(rf" {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}[ \t\r]*")
        inside = lines[number + 1 :]
        end = next((n for n, inner in enumerate(inside) if close.fullmatch(inner)), len(inside))
        return "\n".join(inside[:end])
    return None

"""The fenced blocks of a page, with the headings they stand under."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

_LINE = re.compile(
    r"^(?:## (?P<heading>[^\n]*)"
    r'|```(?P<language>\w*)(?: title="(?P<title>[^"]*)")?\n(?P<text>.*?)^```)$',
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A block; ``heading`` is that of the second level before it, ``title`` its file's name."""

    language: str
    text: str
    heading: str = ""
    title: str = ""


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page in order."""
    found = []
    heading = ""
    for match in _LINE.finditer(page.read_text(encoding="utf-8")):
        if match["heading"] is None:
            found.append(Block(match["language"], match["text"], heading, match["title"] or ""))
        else:
            heading = match["heading"]
    return found


def printed(program: str, page: str, names: dict[str, Any] | None = None) -> str:
    """Execute a program in this process, in ``names`` or a new namespace; return what it prints."""
    out = io.StringIO()
    with redirect_stdout(out):
        namespace = {} if names is None else names
        namespace["__name__"] = "__main__"
        exec(compile(program, page, "exec"), namespace)
    return out.getvalue()

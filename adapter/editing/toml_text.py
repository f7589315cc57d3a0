"""The text of a TOML file before and after a change: comments, order and layout are kept.

tomlkit does nearly all of it. What it does not: comments above a header stay with that header,
``[[providers]]`` tables that stand apart stay apart, and tables are set off by blank lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, MutableMapping
from typing import Any

import tomli
import tomlkit
from tomlkit.exceptions import TOMLKitError

from adapter.config.files import excess

__all__ = ["changed", "provider_arrays"]

_HEADER = re.compile(r"^([ \t]*\[\[[ \t]*)providers([ \t]*\]\])", re.MULTILINE)
_ABOVE = "#above: "
"""Marks a comment that stood above the header under which it stands while the file is edited."""

_APART = "providers-apart-"
"""tomlkit moves ``[[providers]]`` tables that stand apart together. Under names of their own,
``providers-apart-1`` and so on while the document is edited, they stay where they are."""


def changed(old: str, change: Callable[[MutableMapping[str, Any]], None]) -> str | None:
    """Return the text of a TOML file after ``change``, or ``None`` where it cannot be made safely.

    ``change`` is called twice, on the document and on plain dictionaries; the new text has been
    read back and means what the second became. ``old`` has plain newlines and is valid TOML.
    """
    wanted = tomli.loads(old)
    change(wanted)
    if wanted == tomli.loads(old):
        return old
    try:
        # tomlkit adds a table after a last line without an end to that line
        sunk = _sink_comments(f"{old}\n" if old and not old.endswith("\n") else old)
        document = tomlkit.parse(_set_apart(sunk))
        change(document)
        new = re.sub(rf"(\[\[[ \t]*){_APART}\d+", r"\1providers", tomlkit.dumps(document))
        new = _raise_comments(_tidy(sunk, new.replace("\r\n", "\n")))
        new.encode()
        # tomlkit moves arrays of tables that stand apart together, and may lose the header
        same = _ABOVE in old or _ABOVE not in new
        same = same and tomli.loads(new) == wanted and excess(wanted) is None
    except (TOMLKitError, tomli.TOMLDecodeError, ValueError, TypeError, AttributeError):
        # ValueError: an inline table cannot take a table; a surrogate cannot be encoded
        same = False
    return new if same else None


def _sink_comments(text: str) -> str:
    """Move the comments right above each header below it, where they belong to its table.

    To tomlkit they end the table before: they would go when that is removed, and stay behind when
    another is put after it. Comments at the top of the file are about the file.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        start = len(lines)
        if re.match(r"[ \t]*\[", line):
            while start and re.match(r"[ \t]*#", lines[start - 1]):
                start -= 1
        above = lines[start:] if start else []
        lines[start or len(lines) :] = [line, *(_ABOVE + comment for comment in above)]
    sunk = "\n".join(lines)
    # inside a multi-line string it was no header: then leave all as it is
    return sunk if _ABOVE not in text and tomli.loads(sunk) == tomli.loads(text) else text


def _raise_comments(text: str) -> str:
    """Move what :func:`_sink_comments` moved back above its header."""
    lines: list[str] = []
    header = 0
    for line in text.split("\n"):
        if line.startswith(_ABOVE):
            lines.insert(header, line.removeprefix(_ABOVE))
            header += 1
            continue
        if re.match(r"[ \t]*\[", line):
            header = len(lines)
        lines.append(line)
    return "\n".join(lines)


def _set_apart(text: str) -> str:
    """Give each run of ``[[providers]]`` tables after the first a name of its own."""
    runs = 0
    lines = text.split("\n")
    inside = True
    for number, line in enumerate(lines):
        if _HEADER.match(line):
            runs += not inside
            if runs:
                lines[number] = _HEADER.sub(rf"\g<1>{_APART}{runs}\2", line)
            inside = True
        elif re.match(r"[ \t]*\[", line):
            # before the first of them there is nothing to be apart from
            inside = not any(_HEADER.match(earlier) for earlier in lines[:number])
    changed = "\n".join(lines)
    # inside a multi-line string it was no header: then leave all as it is
    return changed if tomli.loads(text) == _joined(tomli.loads(changed)) else text


def _joined(data: dict[str, Any]) -> dict[str, Any]:
    apart = [key for key in data if key.startswith(_APART)]
    extra = [table for key in apart for table in data.pop(key)]
    return {**data, "providers": [*data.get("providers", []), *extra]} if extra else data


def _tidy(old: str, new: str) -> str:
    """Put a blank line between a table's end and a header that was added after or before it."""
    lines = new.rstrip("\n").split("\n")
    known = set(old.split("\n"))
    out: list[str] = []
    for line in lines:
        header = re.match(r"\[[^\[\]=]+\]|\[\[[^\[\]=]+\]\]", line)
        # a comment that stood last would else stand above the new header, and go with it
        close = header and out and out[-1].strip() and not out[-1].startswith(_ABOVE)
        pair = f"{out[-1]}\n{line}" if close else ""
        if close and (line not in known or new.count(pair) > old.count(pair)):
            out.append("")
        out.append(line)
    end = len(old) - len(old.rstrip("\n")) or 1
    return "\n".join(out) + "\n" * end


def provider_arrays(document: MutableMapping[str, Any]) -> dict[str, Any]:
    """Return the arrays that hold the providers, by their key, in the order of the file."""
    return {k: document[k] for k in document if k == "providers" or k.startswith(_APART)}

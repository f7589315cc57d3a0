"""Writes to the user's TOML files: comments, order, unknown tables and file mode are kept.

A write is atomic (a reader sees the old file or the new one, whole) and taken under a lock, so
that two writers do not lose each other's change.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping, MutableMapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import tomli
import tomlkit
import tomlkit.items
from tomlkit.exceptions import TOMLKitError

from adapter.diffs import masked_diff
from adapter.errors import ConfigError, Problem
from adapter.files import Document, config_paths, read_document
from adapter.providers import FIELDS
from adapter.writing import locked, mode_for, replace

__all__ = [
    "edit",
    "merge_table",
    "prune",
    "remove_provider",
    "set_extras",
    "set_provider",
    "shared_file",
]

_HEADER = re.compile(r"^([ \t]*\[\[[ \t]*)providers([ \t]*\]\])", re.MULTILINE)
_APART = "providers-apart-"
"""tomlkit moves ``[[providers]]`` tables that stand apart together. Under names of their own,
``providers-apart-1`` and so on while the document is edited, they stay where they are."""


def edit(
    path: str | os.PathLike[str],
    change: Callable[[MutableMapping[str, Any]], None],
    *,
    dry_run: bool = False,
    secret: bool = False,
) -> str:
    """Apply ``change`` to the TOML file at ``path``; return the unified diff, ``""`` for none.

    The diff shows ``***`` for what may be a key. The file is created where it is missing, with
    its folder. ``secret`` makes its mode 0600; otherwise the mode is kept. Through a symbolic
    link the file it points to is written. ``dry_run`` writes nothing. ``change`` is called twice,
    on the document and on plain dictionaries, and the new text must mean what the second became:
    a layout that cannot be edited safely is refused. Raises :class:`ConfigError` when the file
    cannot be parsed, edited or written, and leaves it as it was.
    """
    target = Path(os.path.realpath(path))
    with nullcontext() if dry_run else locked(target):
        old = _read(target)
        bom, newline = _layout(target)
        new = _changed(target, old, change)
        mode = mode_for(target, secret)
        if new != old and not dry_run:
            replace(target, (bom + new.replace("\n", newline)).encode(), mode)
        elif secret and not dry_run and target.exists():
            os.chmod(target, mode)
        return masked_diff(old, new, str(path))


def _changed(target: Path, old: str, change: Callable[[MutableMapping[str, Any]], None]) -> str:
    """Return the new text, having read it back and compared."""
    wanted = tomli.loads(old)
    change(wanted)
    if wanted == tomli.loads(old):
        return old
    try:
        document = tomlkit.parse(_set_apart(old))
        change(document)
        new = re.sub(rf"(\[\[[ \t]*){_APART}\d+", r"\1providers", tomlkit.dumps(document))
        new = _tidy(old, new.replace("\r\n", "\n"))
        new.encode()
        same = tomli.loads(new) == wanted
    except (TOMLKitError, tomli.TOMLDecodeError, ValueError, TypeError, AttributeError):
        # ValueError: an inline table cannot take a table; a surrogate cannot be encoded
        same = False
    if not same:
        what = "its layout (dotted keys, inline or scattered tables) cannot be edited safely"
        fix = "write these tables as [headers], or make the change by hand"
        raise ConfigError([Problem(str(target), None, None, what, fix)])
    return new


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
    return {**data, "providers": [*data["providers"], *extra]} if extra else data


def _tidy(old: str, new: str) -> str:
    """Put a blank line between a table's end and a header that was added after or before it."""
    lines = new.rstrip("\n").split("\n")
    known = set(old.split("\n"))
    out: list[str] = []
    for line in lines:
        header = re.match(r"\[[^\[\]=]+\]|\[\[[^\[\]=]+\]\]", line)
        close = header and out and out[-1].strip() and not out[-1].startswith("#")
        if close and (line not in known or f"{out[-1]}\n{line}" not in old):
            out.append("")
        out.append(line)
    end = len(old) - len(old.rstrip("\n")) or 1
    return "\n".join(out) + "\n" * end


def _provider_tables(document: MutableMapping[str, Any]) -> list[Any]:
    """Return the arrays that hold the providers, in the order of the file."""
    names = [key for key in document if key == "providers" or key.startswith(_APART)]
    return [document[name] for name in names]


def set_provider(
    document: MutableMapping[str, Any], fields: Mapping[str, str], remove: Collection[str] = ()
) -> None:
    """Add a ``[[providers]]`` table, or set ``fields`` of the one that has the same name.

    Fields of ``remove`` are deleted from it; any other that is not given stays.
    """
    arrays = _provider_tables(document)
    tables = [table for array in arrays for table in array]
    given = {name: fields[name] for name in FIELDS if fields.get(name)}
    table = next((t for t in tables if t.get("name") == fields["name"]), None)
    if table is None:
        if arrays:
            arrays[-1].append(given)
        else:
            document["providers"] = [given]
        return
    for name in remove:
        if name in table:
            del table[name]
    for name, value in given.items():
        if table.get(name) != value:
            table[name] = value


def set_extras(
    document: MutableMapping[str, Any], provider: str, params: Mapping[str, Any]
) -> None:
    """Set LiteLLM parameters under ``[plugin.litellm.providers.<provider>]``."""
    merge_table(document, ("plugin", "litellm", "providers", provider), params)


def merge_table(
    document: MutableMapping[str, Any], path: tuple[str, ...], values: Mapping[str, Any]
) -> None:
    """Lay ``values`` on the table at ``path``, key by key and table by table."""
    if not values:
        return
    table: Any = document
    for number, key in enumerate(path):
        if key not in table:
            last = number == len(path) - 1
            plain = any(not isinstance(value, Mapping) for value in values.values())
            table[key] = _new_table(table, header=last and plain)
        table = table[key]
    for name, value in values.items():
        if isinstance(value, Mapping) and isinstance(table.get(name), MutableMapping):
            merge_table(table, (name,), value)
        elif table.get(name) != value or type(table.get(name)) is bool is not type(value):
            table[name] = _plain(value)


def _new_table(parent: Any, *, header: bool) -> Any:
    """Return an empty table for ``parent``: one with a header only where the file has headers."""
    if isinstance(parent, tomlkit.TOMLDocument | tomlkit.items.Table):
        return tomlkit.table(is_super_table=not header)
    return {}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def shared_file() -> Path:
    """Return the file that new providers go to; what holds secrets is never chosen.

    The one file named by ``--config`` or ``ADAPTER_CONFIG``; else, of the default files, the one
    of highest precedence that has ``[[providers]]``; else the specification's ``gptme.toml``.
    """
    paths, named = config_paths()
    if named:
        return Path(paths[0])
    *shared, _ = paths
    for path in reversed(shared):
        document = read_document(path, required=False)
        if isinstance(document, Document) and document.data.get("providers"):
            return Path(path)
    return Path(shared[-1])


def _read(target: Path) -> str:
    """Return the file's text with plain newlines, ``""`` where there is none."""
    document = read_document(str(target), required=False)
    if isinstance(document, Problem):
        raise ConfigError([document])
    if document is None:
        return ""
    text = document.text.replace("\r\n", "\n")
    try:
        tomlkit.parse(text)
    except TOMLKitError as error:
        fix = "correct the syntax there"
        raise ConfigError(
            [Problem(str(target), None, None, f"not valid TOML: {error}", fix)]
        ) from None
    return text


def _layout(target: Path) -> tuple[str, str]:
    """Return the byte order mark and the line end to write the file with: those it has."""
    try:
        raw = target.read_bytes()
    except OSError:
        return "", "\n"
    return "\ufeff" if raw.startswith(b"\xef\xbb\xbf") else "", "\r\n" if b"\r\n" in raw else "\n"


def remove_provider(document: MutableMapping[str, Any], name: str) -> None:
    """Remove the ``[[providers]]`` table of that name, and ours under ``[plugin.litellm]``."""
    keys = [k for k in document if k == "providers" or k.startswith(_APART)]
    for key in keys:
        array = document[key]
        for number in reversed(range(len(array))):
            if array[number].get("name") == name:
                del array[number]
        if not array:
            del document[key]
    prune(document, ("plugin", "litellm", "providers", name))


def prune(table: MutableMapping[str, Any], path: tuple[str, ...]) -> None:
    """Delete what is at ``path``, and each table around it that is empty then."""
    key, *rest = path
    inner = table.get(key)
    if rest and isinstance(inner, MutableMapping):
        prune(inner, tuple(rest))
    if key in table and (not rest or inner == {}):
        del table[key]

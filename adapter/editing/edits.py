"""Change the user's TOML files: comments, order, unknown tables and file mode are kept.

A write is atomic (a reader sees the old file or the new one, whole) and taken under a lock, so
that two writers do not lose each other's change. What changes is told as a diff without keys.
"""

from __future__ import annotations

import codecs
import difflib
import os
import re
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import tomli
import tomlkit
import tomlkit.items
from tomlkit.exceptions import TOMLKitError

from adapter._tables import leaves, value_at
from adapter.config.files import PROVIDERS, read_document
from adapter.config.provider import FIELDS
from adapter.editing.toml_text import changed, provider_arrays
from adapter.editing.writing import locked, mode_for, replace_all
from adapter.errors import ConfigError, Problem
from adapter.secrets.policy import is_secret
from adapter.secrets.scrubber import SHORTEST, Scrubber
from adapter.secrets.secret import MASK

__all__ = [
    "Edit",
    "edit",
    "edit_all",
    "merge_table",
    "prune",
    "remove_provider",
    "set_extras",
    "set_provider",
    "set_providers",
]


LARGE = 100
"""Keys of a table, from which tomlkit's time for adding them (their square) begins to show."""


class Edit(NamedTuple):
    """A change to a TOML file. ``secret`` makes its mode 0600; otherwise the mode is kept.

    ``change`` is called twice, on the document and on plain dictionaries, under the lock: what it
    raises stops the edit.
    """

    path: str | os.PathLike[str]
    change: Callable[[MutableMapping[str, Any]], None]
    secret: bool = False


def edit(
    path: str | os.PathLike[str],
    change: Callable[[MutableMapping[str, Any]], None],
    *,
    dry_run: bool = False,
    secret: bool = False,
) -> str:
    """Apply one :class:`Edit` as :func:`edit_all` does; return its diff."""
    return edit_all([Edit(path, change, secret)], dry_run=dry_run)[str(path)]


def edit_all(edits: Sequence[Edit], *, dry_run: bool = False) -> dict[str, str]:
    """Apply changes to several TOML files; return each file's unified diff, ``""`` for none.

    Either all are written or none, in the order given. A diff shows ``***`` for what may be a key.
    A file is created where it is missing, with its folder. Through a symbolic link the file it
    points to is written. ``dry_run`` writes nothing. The new text must mean what the change made
    of plain dictionaries: a layout that cannot be edited safely is refused. Raises
    :class:`ConfigError` when a file cannot be parsed, edited or written.
    """
    targets = [Path(os.path.realpath(edit.path)) for edit in edits]
    diffs: dict[str, str] = {}
    files: list[tuple[Path, bytes, int]] = []
    with ExitStack() as locks:
        one_of_each = {target.parent: target for target in targets}
        for _, target in sorted(one_of_each.items() if not dry_run else ()):
            locks.enter_context(locked(target))
        for target, (path, change, secret) in zip(targets, edits, strict=True):
            mark, old, newline = _read(target)
            new = changed(old, change)
            if new is None:
                what = (
                    "its layout (dotted keys, inline or scattered tables) cannot be edited safely"
                )
                fix = "write these tables as [headers], or make the change by hand"
                raise ConfigError([Problem(str(target), None, None, what, fix)])
            mode = mode_for(target, secret)
            diffs[str(path)] = masked_diff(old, new, str(path))
            if new != old or (secret and target.exists() and mode != mode_for(target, False)):
                files.append((target, (mark + new.replace("\n", newline)).encode(), mode))
        if not dry_run:
            replace_all(files)
    return diffs


def set_provider(document: MutableMapping[str, Any], fields: Mapping[str, str]) -> None:
    """Set one provider, as :func:`set_providers` does."""
    set_providers(document, [(fields, ())])


def set_providers(
    document: MutableMapping[str, Any],
    providers: Iterable[tuple[Mapping[str, str], Collection[str]]],
) -> None:
    """Add a ``[[providers]]`` table for each, or set the fields of the one with the same name.

    Each is (fields to set, names of fields to delete); any other that is not given stays.
    """
    arrays = list(provider_arrays(document).values())
    # of several with one name the first counts
    tables = {t.get("name"): t for array in reversed(arrays) for t in reversed(array)}
    for fields, remove in providers:
        filled = {name: fields[name] for name in FIELDS if fields.get(name)}
        table = tables.get(fields["name"])
        if table is not None:
            for name in remove:
                table.pop(name, None)
            for name, value in filled.items():
                if table.get(name) != value:
                    table[name] = value
            continue
        if arrays:
            arrays[-1].append(filled)
        else:
            document["providers"] = [filled]
            arrays.append(document["providers"])
        tables[fields["name"]] = arrays[-1][-1]


def set_extras(
    document: MutableMapping[str, Any], provider: str, params: Mapping[str, Any]
) -> None:
    """Set LiteLLM parameters under ``[plugin.litellm.providers.<provider>]``."""
    merge_table(document, (*PROVIDERS, provider), params)


def merge_table(
    document: MutableMapping[str, Any], path: tuple[str, ...], values: Mapping[str, Any]
) -> None:
    """Lay ``values`` on the table at ``path``, key by key and table by table."""
    if not values:
        return
    table: Any = document
    for number, key in enumerate(path):
        if key not in table:
            has_values = any(not isinstance(value, Mapping) for value in values.values())
            header = has_values and number == len(path) - 1
            # only where the file has headers
            tables = isinstance(table, tomlkit.TOMLDocument | tomlkit.items.Table)
            table[key] = tomlkit.table(is_super_table=not header) if tables else {}
        table = table[key]
    for name, value in values.items():
        if isinstance(value, Mapping) and isinstance(table.get(name), MutableMapping):
            merge_table(table, (name,), value)
        elif table.get(name) != value or type(table.get(name)) is bool is not type(value):
            table[name] = _plain(value, table)


def _plain(value: Any, into: Any) -> Any:
    """Return ``value`` for tomlkit, and for plain dictionaries where ``into`` is one."""
    if isinstance(value, list):
        return [_plain(item, None) for item in value]
    if not isinstance(value, Mapping):
        return value
    is_flat = len(value) >= LARGE and all(isinstance(item, str) for item in value.values())
    if not (is_flat and isinstance(into, tomlkit.items.Table)):
        return {key: _plain(item, None) for key, item in value.items()}
    table = tomlkit.table()
    table.value.parsing(True)  # else tomlkit looks through all of it for each key
    for key, item in value.items():
        table.append(key, item)
    table.value.parsing(False)
    return table


def _read(target: Path) -> tuple[str, str, str]:
    """Return the file's byte order mark, its text with plain newlines, and its line end."""
    document = read_document(str(target), required=False)
    if isinstance(document, Problem):
        raise ConfigError([document])
    if document is None:
        return "", "", "\n"
    text = document.text.replace("\r\n", "\n")
    try:
        tomlkit.parse(text)
    except TOMLKitError as error:
        what, fix = f"not valid TOML: {error}", "correct the syntax there"
        raise ConfigError([Problem(str(target), None, None, what, fix)]) from None
    mark = "\ufeff" if target.read_bytes().startswith(codecs.BOM_UTF8) else ""
    return mark, text, "\r\n" if "\r\n" in document.text else "\n"


def keep_tables(
    document: MutableMapping[str, Any], is_kept: Callable[[MutableMapping[str, Any]], bool]
) -> None:
    """Remove the ``[[providers]]`` tables that are not kept, and an array that is empty then."""
    for key, array in provider_arrays(document).items():
        for number in reversed(range(len(array))):
            if not is_kept(array[number]):
                del array[number]
        if not array:
            del document[key]


def remove_provider(document: MutableMapping[str, Any], name: str) -> None:
    """Remove the ``[[providers]]`` table of that name, and ours under ``[plugin.litellm]``."""
    keep_tables(document, lambda table: table.get("name") != name)
    ours = (*PROVIDERS, name)
    if value_at(document, ours) is not None:  # else an empty table is the user's own
        prune(document, ours)


def prune(table: MutableMapping[str, Any], path: tuple[str, ...]) -> None:
    """Delete what is at ``path``, and each table around it that is empty then."""
    key, *rest = path
    inner = table.get(key)
    if rest and isinstance(inner, MutableMapping):
        prune(inner, tuple(rest))
    if key in table and (not rest or inner == {}):
        del table[key]


_ASSIGNMENT = re.compile(r"""([\w-]+)(["']?\s*=\s*)(["'])(.*?)(\3)""")

_NO_SECRETS = ("api_key_env", "name", "default_model")


def masked_diff(old: str, new: str, name: str) -> str:
    """Return the unified diff of two TOML texts, ``""`` for none, with ``***`` for each secret.

    A secret is what :func:`adapter.secrets.policy.is_secret` says, and any value of ``[env]``.
    """
    secrets = {s for text in (old, new) for s in _secrets(tomli.loads(text))}
    # as it may stand in the file: line by line, or escaped
    forms = [(*s.splitlines(), tomlkit.string(s).as_string()[1:-1]) for s in secrets]
    pieces = {piece for form in forms for piece in form if piece}
    short = sorted((p for p in pieces if len(p) < SHORTEST), key=len, reverse=True)
    scrubber = Scrubber(pieces)
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), fromfile=name, tofile=name
    )
    return "".join(_masked(line, scrubber, short) for line in lines)


def _masked(line: str, scrubber: Scrubber, short: list[str]) -> str:
    sign, text = line[0], line[1:]
    if not text.endswith("\n"):
        text += "\n"
    if line.startswith(("---", "+++", "@@")):
        return sign + text
    # what is commented out is not parsed, but may be a key all the same
    text = _ASSIGNMENT.sub(_hide, text) if "#" in text else text
    text = scrubber.text(text)
    for secret in short:  # only as a whole value: the letter "a" is everywhere
        text = re.sub(rf"""(["']){re.escape(secret)}\1""", rf"\g<1>{MASK}\1", text)
    return sign + text


def _hide(assignment: re.Match[str]) -> str:
    name, equals, quote, value, _ = assignment.groups()
    if name in _NO_SECRETS or not is_secret((name,), value):
        return assignment[0]
    return f"{name}{equals}{quote}{MASK}{quote}"


def _secrets(document: Mapping[str, Any]) -> Iterator[str]:
    for at, value in leaves(document):
        # what a provider is called says nothing about its settings
        path = ("provider", *at[4:]) if at[:3] == PROVIDERS else at
        if isinstance(value, str) and value and path[-1] not in _NO_SECRETS:
            yield from [value] if path[0] == "env" or is_secret(path, value) else ()

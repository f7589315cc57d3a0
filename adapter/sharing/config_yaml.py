"""Reading a LiteLLM ``config.yaml``: as LiteLLM reads it, but executing and fetching nothing.

The rules are those of LiteLLM's proxy (``ProxyConfig.get_config``, ``config_includes.py``):
``yaml.safe_load``, then the files under ``include``, each once, next to the file that names them
or else next to the first one; their lists are appended, every other value replaces. Secret
managers, buckets and ``oidc/`` tokens are never asked.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import yaml

from adapter._files import NotRegularError, read_regular, reason
from adapter.config.files import MAX_BYTES
from adapter.sharing.yaml_limits import Loader, Place, check_depth, check_nodes, fail, line_of

__all__ = ["Loaded", "Place", "read_config_yaml", "reference", "variable_in"]

MAX_FILES = 100

REFERENCE = "os.environ/"

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What YAML allows in no file (YAML 1.1, 5.1); looked for here because the parser names no line."""


class Loaded(NamedTuple):
    """A file with all it includes. ``entries`` has the place of each item of ``model_list``.

    ``sections`` has that of each top-level key, ``notes`` what a reader should know about the file.
    """

    data: Mapping[str, Any]
    entries: tuple[Place, ...]
    sections: Mapping[str, Place]
    notes: tuple[tuple[Place, str], ...]

    def __repr__(self) -> str:
        return f"Loaded({list(self.data)!r})"  # the values may be keys


def reference(value: Any) -> str | None:
    """Return X of ``os.environ/X``, or ``None`` for any other value.

    LiteLLM takes a string for a reference only when all of it is one, and strips every
    ``os.environ/`` in it (``get_secret``).
    """
    if isinstance(value, str) and value.startswith(REFERENCE):
        return value.replace(REFERENCE, "").strip()
    return None


def variable_in(value: str) -> str | None:
    """Return X of ``${X}``, ``os.getenv("X")`` and the like, which LiteLLM takes as text."""
    name = r"([A-Za-z_][A-Za-z0-9_]*)"
    quoted = rf"""["']?{name}["']?"""
    call = rf"os\.(?:getenv|environ\.get)\(\s*{quoted}\s*\)|os\.environ\[\s*{quoted}\s*\]"
    spellings = (
        rf"\$\{{{name}(?::?-[^}}]*)?\}}|\$([A-Z_][A-Z0-9_]*)|{call}|env:{name}|os\.environ\.{name}"
    )
    found = re.fullmatch(spellings, value.strip())
    return next(filter(None, found.groups())) if found else None


def read_config_yaml(path: str | os.PathLike[str]) -> Loaded:
    """Return what LiteLLM would make of the file and its includes.

    Raises :class:`ConfigError`, with file, line and fix, for a file that cannot be read, is no
    YAML, is not a mapping, or includes what is not there.
    """
    root = os.path.abspath(path)
    shown = os.fspath(path)
    merged = _read(root, shown)
    seen = {root}
    pending = deque(_includes(merged, root, shown))
    while pending:
        entry, declared_in, place = pending.popleft()
        found = os.path.abspath(os.path.join(os.path.dirname(declared_in), entry))
        beside_root = os.path.abspath(os.path.join(os.path.dirname(root), entry))
        if not os.path.exists(found) and os.path.exists(beside_root):
            found = beside_root
        if found in seen:
            again = (place, f"include {entry!r} is read already; LiteLLM reads each file once")
            merged = merged._replace(notes=(*merged.notes, again))
            continue
        seen.add(found)
        if len(seen) > MAX_FILES:
            fail(place.path, place.line, f"more than {MAX_FILES} files", "include fewer files")
        name = os.path.join(os.path.dirname(place.path), entry)
        included = _read(found, name, included_by=place)
        pending += _includes(included, found, name)
        merged = _merge(merged, included)
    data = {key: value for key, value in merged.data.items() if key != "include"}
    return merged._replace(data=data)


def _merge(base: Loaded, over: Loaded) -> Loaded:
    """Lay an included file over what was read: lists are extended, all else is replaced."""
    data = dict(base.data)
    notes = [*base.notes, *over.notes]
    entries = base.entries
    for key, value in over.data.items():
        if key == "include":
            continue
        old = data.get(key)
        extends = isinstance(old, list) and isinstance(value, list)
        if extends:
            data[key] = [*data[key], *value]
        else:
            data[key] = value
            if old is not None:
                place = base.sections[key]
                notes.append((over.sections[key], f"{key} replaces that of {place}, as in LiteLLM"))
        if key == "model_list":
            entries = (*base.entries, *over.entries) if extends else over.entries
    return Loaded(data, entries, {**base.sections, **over.sections}, tuple(notes))


def _includes(loaded: Loaded, path: str, shown: str) -> Iterator[tuple[str, str, Place]]:
    if "include" not in loaded.data:
        return
    place = loaded.sections["include"]
    entries = loaded.data["include"]
    if not isinstance(entries, list) or not all(isinstance(e, str) for e in entries):
        fix = "write include: [models.yaml, ...]"
        fail(shown, place.line, "include is not a list of file names", fix)
    for entry in entries:
        yield entry, path, place


def _read(path: str, shown: str, included_by: Place | None = None) -> Loaded:
    text = _text(path, shown, included_by)
    if bad := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        fail(shown, line, "a control character, which YAML does not allow", "remove it")
    try:
        check_depth(text, shown)
        loader = Loader(text)
        try:
            node = loader.get_single_node()
            notes = check_nodes(node, shown)
            data = loader.construct_document(node) if node is not None else None
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        # not str(error): it quotes the line, which may hold a key
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "a bad value"
        at = mark.line + 1 if mark else None
        fix = "correct the syntax there"
        if "python/" in problem or "constructor" in problem:
            fix = "use plain values: tags are not executed here, nor by LiteLLM"
        fail(shown, at, f"not valid YAML: {problem}", fix)
    except (ValueError, RecursionError, OverflowError):
        # a date like 2024-13-01, an integer of thousands of digits; the text may quote the file
        fail(shown, None, "not usable YAML: a number or date that does not exist", "quote it")
    if not isinstance(data, dict) or not isinstance(node, yaml.MappingNode):
        what = "the file is empty" if data is None else "the file is not a mapping"
        fail(shown, 1, what, "begin it with model_list:")
    sections = {}
    entries: tuple[Place, ...] = ()
    for key, value in node.value:
        sections[str(key.value)] = Place(shown, line_of(key))
        if key.value == "model_list" and isinstance(value, yaml.SequenceNode):
            entries = tuple(Place(shown, line_of(n)) for n in value.value)
    data = {str(key): value for key, value in data.items()}
    for key in data:  # what came by a merge key has no line of its own
        sections.setdefault(key, Place(shown, 1))
    return Loaded(data, entries, sections, notes)


def _text(path: str, shown: str, included_by: Place | None) -> str:
    where, line = included_by or (shown, None)
    what = f"include {shown!r}: " if included_by else ""
    try:
        raw, _ = read_regular(path, MAX_BYTES)
    except NotRegularError as error:
        fail(where, line, what + reason(error), "name a YAML file")
    except (OSError, ValueError) as error:
        fix = "check the path and its permissions"
        fail(where, line, f"{what}cannot be read: {reason(error)}", fix)
    if len(raw) > MAX_BYTES:
        fix = f"keep it under {MAX_BYTES:,} bytes"
        fail(where, line, f"{what}too large for a configuration", fix)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        bad = error.object.count(b"\n", 0, error.start) + 1
        fail(shown, bad, "not valid UTF-8", "save the file as UTF-8")

"""Read a LiteLLM ``config.yaml`` as LiteLLM reads it, but execute and fetch nothing.

The rules are those of LiteLLM's proxy (``ProxyConfig.get_config``, ``config_includes.py``):
``yaml.safe_load``, then the files under ``include``, each once, next to the file that names them
or else next to the first one; their lists are appended, every other value replaces. Secret
managers, buckets and ``oidc/`` tokens are never asked. What a file may hold is bounded before
anything is built from it: a few lines of nested aliases can stand for billions of values, and deep
nesting overflows the parser's stack.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, NoReturn

import yaml

from adapter._files import read_regular, reason
from adapter.config.files import MAX_BYTES
from adapter.errors import ConfigError, Problem

__all__ = ["ConfigYaml", "Place", "fail", "parse_yaml", "read_config_yaml", "read_text"]

MAX_FILES = 100

MAX_DEPTH = 100
"""LiteLLM follows references no deeper; no hand-written file comes near."""

TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"

MAX_NODES = 200_000
"""Values after every alias is written out."""

MAX_INTEGER_LENGTH = 100
"""In characters: Python takes hours for ``1:1:1...``, a number of base 60, and prints no long one.
"""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What YAML allows in no file (YAML 1.1, 5.1); looked for here because the parser names no line."""


class Place(NamedTuple):
    """A file and a line, shown as ``config.yaml:12``."""

    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, repr=False)
class ConfigYaml:
    """A file with all it includes; its values may be keys, which no ``repr`` shows.

    ``entries`` has the place of each item of ``model_list``, ``sections`` that of each top-level
    key, ``notes`` what a reader should know about the file, ``lost`` what has no place in it.
    """

    data: Mapping[str, Any]
    entries: tuple[Place, ...]
    sections: Mapping[str, Place] = field(default_factory=dict)
    notes: tuple[tuple[Place, str], ...] = ()
    lost: tuple[tuple[Place, str], ...] = ()

    def place(self, section: str) -> str:
        """Return where a section stands, with its name, to begin a line of a report."""
        return f"{self.sections.get(section)}: {section}"

    def table(self, section: str) -> Mapping[str, Any]:
        """Return a section that is a mapping, an empty one where it is not."""
        value = self.data.get(section)
        return value if isinstance(value, Mapping) else {}

    def list(self, section: str) -> list[Any]:
        """Return a section that is a list, an empty one where it is not."""
        value = self.data.get(section)
        return value if isinstance(value, list) else []


def fail(path: str, line: int | None, message: str, fix: str) -> NoReturn:
    """Raise :class:`ConfigError` for one problem in a file."""
    raise ConfigError([Problem(path, line, None, message, fix)])


def read_config_yaml(path: str | os.PathLike[str]) -> ConfigYaml:
    """Return what LiteLLM would make of the file and its includes.

    Raises :class:`ConfigError`, with file, line and fix, for a file that cannot be read, is no
    YAML, is not a mapping, or includes what is not there.
    """
    root, shown = os.path.abspath(path), os.fspath(path)
    merged = _read(root, shown)
    read = {root}
    pending = deque(_includes(merged, root, shown))
    while pending:
        entry, declared_in, place = pending.popleft()
        target = os.path.abspath(os.path.join(os.path.dirname(declared_in), entry))
        beside_root = os.path.abspath(os.path.join(os.path.dirname(root), entry))
        if not os.path.exists(target) and os.path.exists(beside_root):
            target = beside_root
        if target in read:
            again = (place, f"include {entry!r} is read already; LiteLLM reads each file once")
            merged = replace(merged, notes=(*merged.notes, again))
            continue
        read.add(target)
        if len(read) > MAX_FILES:
            fail(place.path, place.line, f"more than {MAX_FILES} files", "include fewer files")
        name = os.path.join(os.path.dirname(place.path), entry)
        included = _read(target, name, included_by=place)
        pending += _includes(included, target, name)
        merged = _merge(merged, included)
    return replace(merged, data={k: v for k, v in merged.data.items() if k != "include"})


def _merge(base: ConfigYaml, over: ConfigYaml) -> ConfigYaml:
    """Lay an included file over what was read: lists are extended, all else is replaced."""
    data = dict(base.data)
    notes = [*base.notes, *over.notes]
    entries = base.entries
    for key, value in over.data.items():
        if key == "include":
            continue
        old = data.get(key)
        extends = isinstance(old, list) and isinstance(value, list)
        data[key] = [*data[key], *value] if extends else value
        if key == "model_list":
            entries = (*base.entries, *over.entries) if extends else over.entries
        if old is not None and not extends:
            replaced = f"{key} replaces that of {base.sections[key]}, as in LiteLLM"
            notes.append((over.sections[key], replaced))
    return ConfigYaml(data, entries, {**base.sections, **over.sections}, tuple(notes))


def _includes(config: ConfigYaml, path: str, shown: str) -> Iterator[tuple[str, str, Place]]:
    if "include" not in config.data:
        return
    place = config.sections["include"]
    entries = config.data["include"]
    if not isinstance(entries, list) or not all(isinstance(e, str) for e in entries):
        fix = "write include: [models.yaml, ...]"
        fail(shown, place.line, "include is not a list of file names", fix)
    for entry in entries:
        yield entry, path, place


def _read(path: str, shown: str, included_by: Place | None = None) -> ConfigYaml:
    node, data, notes = parse_yaml(read_text(path, shown, included_by), shown)
    if not isinstance(data, dict) or not isinstance(node, yaml.MappingNode):
        what = "the file is empty" if data is None else "the file is not a mapping"
        fail(shown, 1, what, "begin it with model_list:")
    sections = {}
    entries: tuple[Place, ...] = ()
    for key, value in node.value:
        sections[str(key.value)] = Place(shown, _line(key))
        if key.value == "model_list" and isinstance(value, yaml.SequenceNode):
            entries = tuple(Place(shown, _line(n)) for n in value.value)
    data = {str(key): value for key, value in data.items()}
    for key in data:  # what came by a merge key has no line of its own
        sections.setdefault(key, Place(shown, 1))
    return ConfigYaml(data, entries, sections, notes)


def read_text(path: str, shown: str, included_by: Place | None = None) -> str:
    """Return the text of a file; raises :class:`ConfigError` with the place that names it."""
    where, line = included_by or (shown, None)
    what = f"include {shown!r}: " if included_by else ""
    try:
        raw, _ = read_regular(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        why = f"{what}cannot be read: {reason(error)}"
        fail(where, line, why, "check the path and its permissions")
    if len(raw) > MAX_BYTES:
        fix = f"keep it under {MAX_BYTES:,} bytes"
        fail(where, line, f"{what}too large for a configuration", fix)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        bad = error.object.count(b"\n", 0, error.start) + 1
        fail(shown, bad, "not valid UTF-8", "save the file as UTF-8")


def parse_yaml(text: str, shown: str) -> tuple[Any, Any, tuple[tuple[Place, str], ...]]:
    """Return the node and the value of a YAML text, and notes about keys that are given twice.

    ``shown`` names the file. Raises :class:`ConfigError`, which quotes nothing of the text.
    """
    if bad := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        fail(shown, line, "a control character, which YAML does not allow", "remove it")
    try:
        _check_events(text, shown)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            notes = _check_nodes(node, shown)
            return node, loader.construct_document(node) if node is not None else None, notes
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        # not str(error): it quotes the line, which may hold a key
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "a bad value"
        if "nesting depth" in problem:  # from 6.0.4 on PyYAML has a limit of its own
            fail(shown, mark.line + 1 if mark else None, TOO_DEEP, "simplify it")
        fix = "correct the syntax there"
        if "python/" in problem or "constructor" in problem:
            fix = "use plain values: tags are not executed here, nor by LiteLLM"
        fail(shown, mark.line + 1 if mark else None, f"not valid YAML: {problem}", fix)
    except (ValueError, RecursionError, OverflowError):
        # a date like 2024-13-01, an integer of thousands of digits; the text may quote the file
        fail(shown, None, "not usable YAML: a number or date that does not exist", "quote it")


def _check_events(text: str, shown: str) -> None:
    """Refuse deep nesting before anything recursive sees it: the C parser would overflow.

    Refuse too many values before they are held in memory, where one takes 300 bytes; the parser
    has at most two events for a value.
    """
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if number > 2 * MAX_NODES:
            fail(shown, _line(event), f"more than {MAX_NODES:,} values", "shorten it")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                fail(shown, _line(event), TOO_DEEP, "simplify it")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _check_nodes(root: Any, shown: str) -> tuple[tuple[Place, str], ...]:
    """Refuse alias bombs and cycles; return notes about keys that are given twice."""
    sizes: dict[int, int] = {}
    notes: list[tuple[Place, str]] = []

    def size(node: Any) -> int:
        if isinstance(node, yaml.ScalarNode):
            if node.tag == "tag:yaml.org,2002:int" and len(node.value) > MAX_INTEGER_LENGTH:
                what = f"an integer of more than {MAX_INTEGER_LENGTH} characters"
                fail(shown, _line(node), what, "quote it")
            return 1
        total = sizes.get(id(node))
        if total is None:
            sizes[id(node)] = 0  # it is open: met again before its end, it contains itself
            pairs = isinstance(node, yaml.MappingNode)
            notes.extend(_repeated_keys(node, shown) if pairs else ())
            children = [c for pair in node.value for c in pair] if pairs else node.value
            total = sizes[id(node)] = 1 + sum(map(size, children))
            if total > MAX_NODES:
                what = f"more than {MAX_NODES:,} values, aliases written out"
                fail(shown, _line(node), what, "shorten it")
        elif not total:
            fail(shown, _line(node), "an alias that contains itself", "write the value out")
        return total

    if root is not None:
        size(root)
    return tuple(notes)


def _repeated_keys(node: Any, shown: str) -> Iterator[tuple[Place, str]]:
    keys: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            if key.value in keys:
                yield Place(shown, _line(key)), f"{key.value!r} is given twice; the last one counts"
            keys.add(key.value)


def _line(part: Any) -> int:
    """Return the line, from 1, on which a node or event of the parser begins."""
    return int(part.start_mark.line) + 1

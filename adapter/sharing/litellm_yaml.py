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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, NoReturn

import yaml

from adapter._files import read_regular, reason
from adapter.config.files import MAX_BYTES
from adapter.errors import ConfigError, Problem

__all__ = [
    "ConfigYaml",
    "Place",
    "Report",
    "fail",
    "line_of",
    "parse_yaml",
    "read_config_yaml",
    "read_text",
]

MAX_FILES = 100

MAX_DEPTH = 100
"""LiteLLM follows references no deeper; no hand-written file comes near."""

TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"

MAX_NODES = 200_000
"""Values after every alias is written out."""

MAX_NAMES = 3
"""Of the entries to which one note applies; the others are counted."""

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


@dataclass
class Report:
    """What an import says: ``left_out`` has a line for each route or setting that is lost.

    ``compatible`` counts the entries that only ``compatible=True`` would take. Notes that say the
    same of several entries become one line.
    """

    left_out: list[str] = field(default_factory=list)
    compatible: int = 0
    _notes: dict[str, list[tuple[Place | None, str]]] = field(default_factory=dict)

    def note(self, text: str, place: Place | None = None, name: str = "") -> None:
        """Add what is worth knowing of the entry ``name`` at ``place``, or of the file."""
        self._notes.setdefault(text, []).append((place, name))

    @property
    def notes(self) -> Iterator[str]:
        """The notes, one line each."""
        for text, entries in self._notes.items():
            places: list[str] = []
            path = None
            for place in dict.fromkeys(place for place, _ in entries if place):
                places.append(str(place.line) if place.path == path else str(place))
                path = place.path
            names = list(dict.fromkeys(name for _, name in entries if name))
            yield ": ".join(filter(None, (_listed(places), _listed(names), text)))


def _listed(words: Sequence[str]) -> str:
    more = [f"and {len(words) - MAX_NAMES} more"] if len(words) > MAX_NAMES else []
    return ", ".join([*words[:MAX_NAMES], *more])


@dataclass(frozen=True, repr=False)
class ConfigYaml:
    """A file with all it includes; its values may be keys, which no ``repr`` shows.

    ``entries`` has the place of each item of ``model_list``, ``sections`` that of each top-level
    key.
    """

    data: Mapping[str, Any]
    entries: tuple[Place, ...]
    sections: Mapping[str, Place] = field(default_factory=dict)

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


def read_config_yaml(path: str | os.PathLike[str], report: Report) -> ConfigYaml:
    """Return what LiteLLM would make of the file and its includes; adds notes to ``report``.

    Raises :class:`ConfigError`, with file, line and fix, for a file that cannot be read, is no
    YAML, is not a mapping, or includes what is not there.
    """
    root = os.fspath(path)
    merged = _read(root, report)
    read = {os.path.abspath(root)}
    pending = deque(_includes(merged))
    while pending:
        entry, place = pending.popleft()
        name = os.path.join(os.path.dirname(place.path), entry)
        beside_root = os.path.join(os.path.dirname(root), entry)
        if not os.path.exists(name) and os.path.exists(beside_root):
            name = beside_root
        if os.path.abspath(name) in read:
            what = f"include {entry!r} is read already; LiteLLM reads each file once"
            report.note(what, place)
            continue
        read.add(os.path.abspath(name))
        if len(read) > MAX_FILES:
            fail(place.path, place.line, f"more than {MAX_FILES} files", "include fewer files")
        included = _read(name, report, included_by=place)
        pending += _includes(included)
        merged = _merge(merged, included, report)
    return replace(merged, data={k: v for k, v in merged.data.items() if k != "include"})


def _merge(base: ConfigYaml, over: ConfigYaml, report: Report) -> ConfigYaml:
    """Lay an included file over what was read: lists are extended, all else is replaced."""
    data = dict(base.data)
    entries = base.entries
    for key, value in over.data.items():
        old = data.get(key)
        extends = isinstance(old, list) and isinstance(value, list)
        data[key] = [*data[key], *value] if extends else value
        if key == "model_list":
            entries = (*base.entries, *over.entries) if extends else over.entries
        if old is not None and not extends:
            replaced = f"{key} replaces that of {base.sections[key]}, as in LiteLLM"
            report.note(replaced, over.sections[key])
    return ConfigYaml(data, entries, {**base.sections, **over.sections})


def _includes(config: ConfigYaml) -> Iterator[tuple[str, Place]]:
    place = config.sections.get("include")
    if place is None:
        return
    names = config.data["include"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        fix = "write include: [models.yaml, ...]"
        fail(place.path, place.line, "include is not a list of file names", fix)
    yield from ((name, place) for name in names)


def _read(shown: str, report: Report, included_by: Place | None = None) -> ConfigYaml:
    node, data = parse_yaml(read_text(shown, included_by), shown, report)
    if not isinstance(data, dict) or not isinstance(node, yaml.MappingNode):
        what = "the file is empty" if data is None else "the file is not a mapping"
        fail(shown, 1, what, "begin it with model_list:")
    # what came by a merge key has no line of its own
    sections = {str(key): Place(shown, 1) for key in data}
    entries: tuple[Place, ...] = ()
    for key, value in node.value:
        sections[str(key.value)] = Place(shown, line_of(key))
        if key.value == "model_list" and isinstance(value, yaml.SequenceNode):
            entries = tuple(Place(shown, line_of(n)) for n in value.value)
    return ConfigYaml({str(key): value for key, value in data.items()}, entries, sections)


def read_text(shown: str, included_by: Place | None = None) -> str:
    """Return the text of a file; raises :class:`ConfigError` with the place that names it."""
    where, line = included_by or (shown, None)
    what = f"include {shown!r}: " if included_by else ""
    try:
        raw, _ = read_regular(shown, MAX_BYTES)
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


def parse_yaml(text: str, shown: str, report: Report) -> tuple[Any, Any]:
    """Return the node and the value of a YAML text; keys that are given twice are noted.

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
            if node is None:
                return None, None
            _check_nodes(node, shown, report)
            return node, loader.construct_document(node)
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
            fail(shown, line_of(event), f"more than {MAX_NODES:,} values", "shorten it")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                fail(shown, line_of(event), TOO_DEEP, "simplify it")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _check_nodes(root: Any, shown: str, report: Report) -> None:
    """Refuse alias bombs and cycles; note keys that are given twice."""
    sizes: dict[int, int] = {}

    def size(node: Any) -> int:
        if isinstance(node, yaml.ScalarNode):
            if node.tag == "tag:yaml.org,2002:int" and len(node.value) > MAX_INTEGER_LENGTH:
                what = f"an integer of more than {MAX_INTEGER_LENGTH} characters"
                fail(shown, line_of(node), what, "quote it")
            return 1
        total = sizes.get(id(node))
        if total is None:
            sizes[id(node)] = 0  # it is open: met again before its end, it contains itself
            children = node.value
            if isinstance(node, yaml.MappingNode):
                children = [part for pair in node.value for part in pair]
                _note_repeated_keys(node, shown, report)
            total = sizes[id(node)] = 1 + sum(map(size, children))
            if total > MAX_NODES:
                what = f"more than {MAX_NODES:,} values, aliases written out"
                fail(shown, line_of(node), what, "shorten it")
        elif not total:
            fail(shown, line_of(node), "an alias that contains itself", "write the value out")
        return total

    size(root)


def _note_repeated_keys(node: Any, shown: str, report: Report) -> None:
    keys: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            if key.value in keys:
                what = f"{key.value!r} is given twice; the last one counts"
                report.note(what, Place(shown, line_of(key)))
            keys.add(key.value)


def line_of(part: Any) -> int:
    """Return the line, from 1, on which a node or event of the parser begins."""
    return int(part.start_mark.line) + 1

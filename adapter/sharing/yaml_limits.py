"""What a YAML file may not hold, looked for before anything is built from it.

A few lines of nested aliases can stand for billions of values, and deep nesting overflows the
parser's stack.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

import yaml

from adapter.errors import ConfigError, Problem

__all__ = ["Loader", "Place", "check_depth", "check_nodes", "fail", "line_of"]

MAX_DEPTH = 100
"""LiteLLM follows references no deeper; no hand-written file comes near."""

MAX_NODES = 200_000
"""Values after every alias is written out: a few lines of nested aliases can stand for billions."""

MOST_EVENTS = 2 * MAX_NODES
"""Of the parser, which has at most two for a value: they take no memory, as the values do."""

LONGEST_INTEGER = 100
"""In characters: Python takes hours for ``1:1:1...``, a number of base 60, and prints no long one.
"""

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_MERGE = "tag:yaml.org,2002:merge"
_INTEGER = "tag:yaml.org,2002:int"


class Place(NamedTuple):
    """Where something stands: a file and a line, shown as ``config.yaml:12``."""

    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


def check_depth(text: str, shown: str) -> None:
    """Refuse deep nesting before anything recursive sees it: the C parser would overflow.

    And what is too long before it is held in memory, where a value takes 300 bytes.
    """
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=Loader)):
        if number > MOST_EVENTS:
            fail(shown, line_of(event), f"more than {MAX_NODES:,} values", "shorten it")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                line = line_of(event)
                fail(shown, line, f"nested deeper than {MAX_DEPTH} levels", "simplify it")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def check_nodes(root: Any, shown: str) -> tuple[tuple[Place, str], ...]:
    """Refuse alias bombs and cycles; return notes about keys that are given twice."""
    sizes: dict[int, int] = {}
    notes: list[tuple[Place, str]] = []

    def size(node: Any) -> int:
        if isinstance(node, yaml.ScalarNode):
            if node.tag == _INTEGER and len(node.value) > LONGEST_INTEGER:
                what = f"an integer of more than {LONGEST_INTEGER} characters"
                fail(shown, line_of(node), what, "quote it")
            return 1
        known: int | None = sizes.get(id(node))
        if known is None:
            sizes[id(node)] = 0  # it is open: met again before its end, it contains itself
            pairs = isinstance(node, yaml.MappingNode)
            notes.extend(_twice(node, shown) if pairs else ())
            children = [c for pair in node.value for c in pair] if pairs else node.value
            known = sizes[id(node)] = 1 + sum(map(size, children))
            if known > MAX_NODES:
                what = f"more than {MAX_NODES:,} values, aliases written out"
                fail(shown, line_of(node), what, "shorten it")
        elif not known:
            fail(shown, line_of(node), "an alias that contains itself", "write the value out")
        return known

    if root is not None:
        size(root)
    return tuple(notes)


def _twice(node: Any, shown: str) -> Iterator[tuple[Place, str]]:
    keys: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
            if key.value in keys:
                place = Place(shown, line_of(key))
                yield place, f"{key.value!r} is given twice; the last one counts"
            keys.add(key.value)


def line_of(found: Any) -> int:
    """Return the line, from 1, on which a node or event of the parser begins."""
    return int(found.start_mark.line) + 1


def fail(path: str, line: int | None, message: str, fix: str) -> NoReturn:
    raise ConfigError([Problem(path, line, None, message, fix)])

"""Walk and merge nested tables, as TOML, YAML and JSON have them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

__all__ = ["leaves", "map_leaves", "merge", "value_at"]

Path = tuple[str, ...]
"""The names that lead to a value; an item of a list has the path of the list."""


def leaves(value: Any, path: Path = (), *, whole_lists: bool = False) -> Iterator[tuple[Path, Any]]:
    """Yield each value in ``value`` that is no table, nor a list but with ``whole_lists``."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from leaves(item, (*path, str(name)), whole_lists=whole_lists)
    elif isinstance(value, list | tuple | set | frozenset) and not whole_lists:
        for item in value:
            yield from leaves(item, path)
    else:
        yield path, value


def map_leaves(change: Callable[[Path, Any], Any], value: Any, path: Path = ()) -> Any:
    """Return a copy of ``value`` in which ``change(path, leaf)`` stands for each leaf."""
    if isinstance(value, Mapping):
        return {k: map_leaves(change, v, (*path, str(k))) for k, v in value.items()}
    if isinstance(value, list):
        return [map_leaves(change, item, path) for item in value]
    return change(path, value)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``over`` laid on it: tables key by key, everything else replaced."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        tables = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(merged[key], value) if tables else value
    return merged


def value_at(value: Any, path: Iterable[str]) -> Any:
    """Return what stands under ``path`` in ``value``, table by table, or ``None``."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value

"""The environment's variables, read in every call, and whether they have changed since then.

``os.environ.get`` takes four times as long: it raises and catches two exceptions where a variable
is not set. What is read here instead is Python's own (``os._Environ``), and where another mapping
stands in for that, the mapping.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

__all__ = ["Variables", "getenvs"]


def getenvs(
    variables: tuple[str, ...], environ: Mapping[str, str] | None = None
) -> tuple[str | None, ...]:
    """Return the values of ``variables``, of this process's where ``environ`` is ``None``."""
    if environ is not None:
        return tuple(map(environ.get, variables))
    try:
        return _decoded(_read(_encoded(variables)))
    except AttributeError:
        return tuple(map(os.environ.get, variables))


class Variables:
    """The values that variables have now."""

    __slots__ = ("_names", "_values")

    def __init__(self, variables: tuple[str, ...]) -> None:
        self._names: tuple[Any, ...] = ()
        self._values: tuple[Any, ...] | None = None
        with suppress(AttributeError):
            self._names = _encoded(variables)
            self._values = _read(self._names)

    def are_still(self) -> bool:
        """Whether they have these values still; not where that cannot be told."""
        try:
            return _read(self._names) == self._values
        except AttributeError:
            return False


def _read(names: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(map(os.environ._data.get, names))  # type: ignore[attr-defined]  # private


@lru_cache(maxsize=1024)
def _encoded(variables: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(map(os.environ.encodekey, variables))


@lru_cache(maxsize=1024)
def _decoded(values: tuple[Any, ...]) -> tuple[str | None, ...]:
    return tuple(None if v is None else str(os.environ.decodevalue(v)) for v in values)

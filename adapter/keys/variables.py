"""The environment's variables, and whether they have changed since they were read."""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["Variables", "getenvs"]


def getenvs(
    variables: tuple[str, ...], environ: Mapping[str, str] | None = None
) -> tuple[str | None, ...]:
    """Return the values of ``variables``, of this process's where ``environ`` is ``None``."""
    return tuple(map((os.environ if environ is None else environ).get, variables))


class Variables:
    """The values that variables have now."""

    __slots__ = ("_names", "_values")

    def __init__(self, variables: tuple[str, ...]) -> None:
        self._names = variables
        self._values = getenvs(variables)

    def are_still(self) -> bool:
        """Whether they have these values still."""
        return getenvs(self._names) == self._values

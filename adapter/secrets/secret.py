"""A string that does not show itself."""

from __future__ import annotations

from typing import NoReturn

__all__ = ["MASK", "Secret"]

MASK = "***"
"""What is shown in place of a secret."""


class Secret(str):
    """A string that is used as any other but whose ``repr`` shows ``'***'``.

    Tracebacks with locals, debug logs and ``repr`` of the parameters print containers with
    ``repr``, so a key inside them stays hidden. It cannot be pickled, which would write it out
    in the clear: resolve the key in the process that uses it.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("an API key is not pickled; resolve it in the process that uses it")

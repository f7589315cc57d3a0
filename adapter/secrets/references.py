"""References to a variable, which stand in a setting in place of a secret."""

from __future__ import annotations

import re

__all__ = ["is_variable", "reference_to", "referenced_variable", "variable_of"]

_PREFIX = "os.environ/"

_VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")


def is_variable(name: str) -> bool:
    """Whether a shell can export a variable of this name (POSIX 2024, XBD 3.216)."""
    return _VARIABLE.fullmatch("$" + name) is not None


def reference_to(variable: str) -> str:
    """Return how LiteLLM's Router and Proxy are told to take a value from ``variable``."""
    return _PREFIX + variable


def referenced_variable(value: object) -> str | None:
    """Return X of ``os.environ/X``, which may be no variable's name; ``None`` for other values.

    LiteLLM takes a string for a reference only when all of it is one, and strips every
    ``os.environ/`` in it (``litellm.get_secret``).
    """
    if isinstance(value, str) and value.startswith(_PREFIX):
        return value.replace(_PREFIX, "").strip()
    return None


def variable_of(value: object) -> str | None:
    """Return VAR of a header's value ``"$VAR"``, ``None`` for any other value."""
    match = _VARIABLE.fullmatch(value) if isinstance(value, str) else None
    return match[1] if match else None

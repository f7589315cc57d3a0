"""Every error this package raises on purpose, as one tree.

::

    AdapterError                 exit 1   base of all of ours; catch this to catch them all
    ├── ConfigError              exit 2   the configuration cannot be used; carries every problem
    ├── MissingModelError        exit 2   no model was named and none could be chosen
    ├── EmbeddedError            exit 2   the embedded model is not installed or does not load
    ├── GatewayError             exit 2   a gateway or the worker cannot start, or cannot be used
    ├── MissingKeyError          exit 3   the source of a provider's key gives no key
    └── UnknownProviderError     exit 4   a provider was asked for by a name nobody configured

LiteLLM's own exceptions are not part of the tree: they reach the caller unchanged in type.
Messages never contain a key.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from functools import partial
from typing import NamedTuple

from adapter._text import did_you_mean, one_line, printable

__all__ = [
    "AdapterError",
    "ConfigError",
    "EmbeddedError",
    "ExitCode",
    "GatewayError",
    "MissingKeyError",
    "MissingModelError",
    "Problem",
    "UnknownProviderError",
]


class ExitCode(IntEnum):
    """What the command exits with, and what that means."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> ExitCode:
        self = int.__new__(cls, value)
        self._value_ = value
        self.meaning = meaning
        return self

    OK = 0, "done"
    ERROR = 1, "another error"
    USAGE = 2, "usage or configuration"
    AUTHENTICATION = 3, "authentication (401, 403, a key that is not set)"
    NOT_FOUND = 4, "not found (unknown provider, model or path)"
    RATE_LIMITED = 5, "rate limited"
    UNREACHABLE = 6, "timeout, or cannot connect"
    PROVIDER_FAILED = (
        7,
        "the provider failed (5xx, a malformed, cut or filtered reply, or one against --schema)",
    )
    INTERRUPTED = 130, "interrupted"

    __str__ = int.__repr__  # this and the next as an IntEnum's from Python 3.11 on

    def __format__(self, spec: str) -> str:
        return int.__format__(self, spec)


class Problem(NamedTuple):
    """One thing that is wrong in a configuration file, and how to fix it.

    ``line`` is counted from 1, and ``None`` if there is no line to point at. A ``warning`` is
    reported, but does not stop anything. As text it begins with ``warning: ``, which tells it from
    an error in the same list.
    """

    path: str
    line: int | None
    provider: str | None
    message: str
    fix: str
    warning: bool = False

    def __str__(self) -> str:
        label = "warning: " if self.warning else ""
        where = self.path if self.line is None else f"{self.path}:{self.line}"
        who = f"provider {self.provider!r}: " if self.provider else ""
        lines = f"{label}{where}: {who}{self.message}", f"    fix: {self.fix}"
        return "\n".join(map(one_line, lines))


class AdapterError(Exception):
    """Base of every error that this package raises. ``exit_code`` is the command's exit code."""

    exit_code: int = ExitCode.ERROR


class ConfigError(AdapterError):
    """The configuration cannot be used. ``problems`` has every problem, not only the first."""

    exit_code: int = ExitCode.USAGE

    def __init__(self, problems: Iterable[Problem] | str) -> None:
        self.problems: tuple[Problem, ...] = () if isinstance(problems, str) else tuple(problems)
        super().__init__(
            problems if isinstance(problems, str) else "\n".join(map(str, self.problems))
        )


class MissingModelError(AdapterError):
    """No model was named, and there is no default. The message says how to set one."""

    exit_code = ExitCode.USAGE


class EmbeddedError(AdapterError):
    """The embedded model is not installed, or its file does not load."""

    exit_code = ExitCode.USAGE


class GatewayError(AdapterError):
    """A gateway or the worker cannot be started or stopped, or a proxy cannot be asked."""

    exit_code: int = ExitCode.USAGE

    def __init__(self, message: str, exit_code: int = ExitCode.USAGE) -> None:
        self.exit_code = exit_code
        super().__init__(message)


class MissingKeyError(AdapterError):
    """The configured source of a provider's key gives none, such as a variable that is not set.

    ``provider`` is the provider's name, and ``variable`` the variable, or the setting that names
    another source.
    """

    exit_code = ExitCode.AUTHENTICATION

    def __init__(self, message: str, *, provider: str, variable: str) -> None:
        self.provider = provider
        self.variable = variable
        super().__init__(message)

    def __reduce__(self) -> tuple[object, ...]:
        # Exception's own pickling calls cls(*args) and would lose the keyword arguments.
        rebuild = partial(MissingKeyError, provider=self.provider, variable=self.variable)
        return rebuild, (str(self),)


class UnknownProviderError(AdapterError):
    """No provider of that name is configured. The message names a similar one, or how to add it.

    ``name`` is the unknown name, and ``known`` has the names of the configured providers.
    """

    exit_code = ExitCode.NOT_FOUND

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        self.name = name
        self.known = tuple(known)
        hint = did_you_mean(name, self.known)
        if not hint:
            listed = ", ".join(self.known) or "none"
            hint = f" (configured: {printable(listed)})"
            if name.replace("-", "").replace("_", "").isalnum():  # else no word for a shell
                hint += f"; `adapter providers add {name}` adds it"
        super().__init__(f"no provider named {name!r} is configured{hint}")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.name, self.known)

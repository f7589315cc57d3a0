"""What is fixed in the worker: the variables that LiteLLM's import read, and what is installed.

It serves only callers for whom all of that is the same.
"""

from __future__ import annotations

import mmap
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from adapter.secrets.policy import is_secret
from adapter.worker.client import NoWorkerError, interpreter

__all__ = ["Origin", "installed_files", "record_variables", "startup_variables"]

_EARLY = (
    *("LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LD_PRELOAD", "GLIBC_TUNABLES"),
    *("OPENSSL_CONF", "OPENSSL_MODULES", "OPENSSL_ENGINES"),
)
"""Variables that the interpreter and its libraries read before any Python code could look."""


class Origin(dict[bytes, bytes]):
    """What the worker was started with; ``os.environ`` looks here while LiteLLM is imported.

    Variables that the worker itself was not given stand in ``source``, a file that is mapped, so
    that none that nobody asks for is ever in this process's own memory. ``reads`` are those that
    the import asked for, ``writes`` those that it set.
    """

    def __init__(self, source: mmap.mmap) -> None:
        super().__init__(os.environb)
        self._source = source
        self._early = startup_variables(self)
        self._interpreter = interpreter()
        self.reads: dict[bytes, bytes | None] = {}
        self.writes: dict[str, str] = {}
        self.files = installed_files()

    def __missing__(self, name: bytes) -> bytes:
        if name not in self.reads:
            entry = re.search(b"\0%b=([^\0]*)" % re.escape(name), self._source)
            self.reads[name] = entry[1] if entry else None
        if (value := self.reads[name]) is None:
            raise KeyError(name)
        return value

    def compare(self, facts: Mapping[str, Any]) -> None:
        """Raise :class:`NoWorkerError` for a caller that has something else."""
        environ: Mapping[bytes, bytes] = facts["environ"]
        at_start = {**self.reads, **self._early}
        present = {**{name: environ.get(name) for name in self.reads}, **startup_variables(environ)}
        names = [n for n in {*at_start, *present} if at_start.get(n) != present.get(n)]
        if names:
            raise NoWorkerError(f"{os.fsdecode(min(names))} differs from when the worker started")
        if facts["interpreter"] != self._interpreter:
            raise NoWorkerError("the worker runs another Python, or with other options or folders")


@contextmanager
def record_variables(descriptor: int) -> Iterator[Origin]:
    """Let ``os.environ`` have the variables in the file ``descriptor``, and record their use.

    The file holds ``\\0NAME=value\\0`` for each. When the block has ended, ``os.environ`` is empty.
    """
    environ: Any = os.environ
    variables = environ._data  # what is looked up there, by this object's every user
    with open(descriptor, "rb"), mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as source:
        environ._data = origin = Origin(source)
        yield origin
        writes = origin.items() - variables.items()
        origin.writes = {os.fsdecode(name): os.fsdecode(value) for name, value in writes}
        environ.clear()
        environ._data = variables
        variables.clear()


def startup_variables(environ: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Return the variables that a worker is started with, and that its callers must share."""
    return {
        name: value
        for name, value in environ.items()
        if (text := os.fsdecode(name)) in _EARLY
        or (text.startswith(("PYTHON", "LC_", "MALLOC_")) and not is_secret((text,), ""))
    }


def installed_files() -> dict[str, tuple[int, int]]:
    """Return the state of each installed package's list of files, and of our own files.

    Installing a package makes its list anew (PyPA, "Recording installed projects"); our own may
    be edited where they lie. The time of a change of state cannot be set by a program.
    """
    paths = [str(path) for path in Path(__file__).parents[1].rglob("*.py")]
    for folder in {*sys.path} - {""}:
        with suppress(OSError):
            names = [name for name in os.listdir(folder) if name.endswith(".dist-info")]
            paths += [f"{folder}/{name}/RECORD" for name in names]
    states = {}
    for path in paths:
        with suppress(OSError):
            state = os.stat(path)
            states[path] = state.st_ino, state.st_ctime_ns
    return states

"""What the worker was started with: which variables LiteLLM's import read, which files there were.

Both are fixed in the worker, so it serves only callers for whom they are the same.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from adapter.secrets.policy import is_secret

__all__ = ["inherited", "installed_files", "recorded"]

_EARLY = frozenset(
    {
        *("LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LD_PRELOAD", "GLIBC_TUNABLES"),
        *("OPENSSL_CONF", "OPENSSL_MODULES", "OPENSSL_ENGINES"),
    }
)
"""Variables that the interpreter and its libraries read before any Python code could look."""

_Environ = type(os.environ)


class _Recording(_Environ):  # type: ignore[misc, valid-type]  # the class of os.environ
    """``os.environ`` while LiteLLM is imported: notes each name that is asked for.

    The values stand in a file that is mapped, so that no other is ever in this process's own
    memory. A secret is not given out; who has set one of that name is not served.
    """

    reads: dict[str, str | None]
    source: mmap.mmap

    def __getitem__(self, name: str) -> str:
        if name not in self.reads:
            value = self._find(name)
            self.reads[name] = None if value and is_secret((name,), value) else value
        value = self._data.get(self.encodekey(name))
        result = self.reads[name] if value is None else self.decodevalue(value)
        if result is None:
            raise KeyError(name)
        return result

    def _find(self, name: str) -> str | None:
        entry = b"\0" + os.fsencode(name) + b"="
        at = self.source.find(entry)
        if at < 0:
            return None
        start = at + len(entry)
        return os.fsdecode(self.source[start : self.source.find(b"\0", start)])


@contextmanager
def recorded(descriptor: int) -> Iterator[tuple[dict[str, str | None], dict[str, str]]]:
    """Let ``os.environ`` be what stands in the file ``descriptor``; yield two tables that fill.

    The first is of what was asked for, the second, once the block has ended, of what was set in
    it. Then ``os.environ`` is empty. The file holds ``\\0NAME=value\\0`` for each variable.
    """
    reads: dict[str, str | None] = {}
    writes: dict[str, str] = {}
    environ = os.environ
    before = dict(environ)
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as source:
        os.close(descriptor)
        # the class, since modules that are imported meanwhile keep the object itself
        environ.__class__ = _Recording
        vars(environ).update(reads=reads, source=source)
        try:
            yield reads, writes
        finally:
            environ.__class__ = _Environ
            writes.update(dict(environ.items() - before.items()))
            del environ.reads, environ.source  # type: ignore[attr-defined]  # set above
            environ.clear()


def inherited(environ: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
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
    own = Path(__file__).parents[1]
    paths = [str(path) for path in own.rglob("*.py")]
    for folder in {*sys.path} - {""}:
        with suppress(OSError):
            names = [n for n in os.listdir(folder) if n.endswith((".dist-info", ".egg-info"))]
            paths += [f"{folder}/{name}/RECORD" for name in names]
    states: dict[str, tuple[int, int]] = {}
    for path in paths:
        with suppress(OSError):
            state = os.stat(path)
            states[path] = state.st_ino, state.st_ctime_ns
    return states

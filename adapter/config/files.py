"""Configuration files: where they are, how one is read safely, and the line a thing stands on.

Reading never writes. The list and its order are gptme's, with the file name of its
custom-providers specification added.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import tomli

from adapter._files import NotRegularError, read_regular, reason, xdg_folder
from adapter.config.toml_lines import bare, places
from adapter.errors import Problem

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "FILE_NAMES",
    "LONGEST_INTEGER",
    "PATH_VARIABLES",
    "SECRETS_FILE",
    "Document",
    "config_paths",
    "documents",
    "excess",
    "files_with",
    "gptme_folder",
    "read_document",
    "secrets_file",
    "shared_file",
    "value_at",
]

SECRETS_FILE = "config.local.toml"

FILE_NAMES = ("config.runtime.toml", "config.toml", "gptme.toml", SECRETS_FILE)
"""Lowest precedence first: the two that gptme 0.35 reads, the name in its specification, and its
file for secrets."""

PATH_VARIABLES = ("ADAPTER_CONFIG", "XDG_CONFIG_HOME", "HOME")
"""What the files' paths depend on."""

MAX_BYTES = 4 * 1024 * 1024
"""Larger files are refused: no hand-written configuration comes near, and parsing takes memory."""

MAX_DEPTH = 100
TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
MAX_VALUES = 100_000
"""Of all tables together; ten thousand providers take half of it."""

LONGEST_INTEGER = 64
"""In bits, as in TOML 1.0; Python would not even print those of a few thousand digits."""


class Document(NamedTuple):
    """One parsed file: its path, its text (for line numbers), its tables, and its mode bits."""

    path: str
    text: str
    data: Mapping[str, Any]
    mode: int

    def __repr__(self) -> str:
        return f"Document({self.path!r})"  # the text may hold keys

    def at(self, *keys: str) -> Any:
        """Return what stands under ``keys``, as :func:`value_at` does."""
        return value_at(self.data, keys)

    def line(self, provider: int | None = None, key: str | None = None) -> int | None:
        """Return the line (from 1) of a top-level key, of the nth provider, or of a key in it.

        TOML keeps no positions, so this looks for the usual spellings and returns the nearest
        enclosing line, or ``None`` where there is none.
        """
        found = places(self.text)
        name = bare(key or "")
        if provider is None:
            return found.get(("", name))
        head = found.get((provider, ""))
        if head is None:
            return found.get(("=", "providers"))
        return (found.get((provider, name)) if key is not None else None) or head

    def header(self, name: str) -> int | None:
        """Return the line of the first header ``[name]``, or of a table in it."""
        return places(self.text).get(("[", bare(name)))


def value_at(value: Any, keys: Iterable[str]) -> Any:
    """Return what stands under ``keys`` in ``value``, table by table, or ``None``."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def config_paths(
    path: str | os.PathLike[str] | None = None, environ: Mapping[str, str] | None = None
) -> tuple[tuple[str, ...], bool]:
    """Return the files to read, lowest precedence first, and whether they were asked for by name.

    ``path``, else ``ADAPTER_CONFIG``, names one file and only that file is read. Without them, the
    folder is ``$XDG_CONFIG_HOME/gptme`` where there is one, else gptme's own. Nothing in the
    working directory is ever read by itself: a cloned repository must not redirect a key.
    """
    environ = os.environ if environ is None else environ
    named = environ.get("ADAPTER_CONFIG") if path is None else os.fspath(path)
    if path is not None or named:
        return (os.path.abspath(os.path.expanduser(named or "")),), True
    folder = _xdg_folder(environ)
    if not os.path.isdir(folder):
        folder = gptme_folder(environ)
    return tuple(os.path.join(folder, name) for name in FILE_NAMES), False


def _xdg_folder(environ: Mapping[str, str]) -> str:
    return os.path.join(xdg_folder("XDG_CONFIG_HOME", default=".config", environ=environ), "gptme")


def gptme_folder(environ: Mapping[str, str] | None = None) -> str:
    """Return the folder of gptme's own configuration, which is not ``XDG_CONFIG_HOME``'s."""
    return os.path.join(xdg_folder(default=".config", environ=environ), "gptme")


def read_document(path: str, *, required: bool) -> Document | Problem | None:
    """Read and parse one TOML file: the document, what is wrong with it, or ``None`` (absent).

    UTF-8 with or without BOM, LF or CRLF line ends. Refuses what is not a regular file without
    opening it, so that a FIFO in its place cannot hang the program.
    """
    try:
        raw, info = read_regular(path, MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        if not required:
            return None
        return Problem(path, None, None, "no such file", "check the path given by --config")
    except NotRegularError as error:
        return Problem(path, None, None, reason(error), "put a TOML file in its place")
    except (OSError, ValueError) as error:
        what, fix = f"cannot be read: {reason(error)}", "check the path and its permissions"
        return Problem(path, None, None, what, fix)
    if len(raw) > MAX_BYTES:
        size = f"{info.st_size:,} bytes is too large for a configuration file"
        return Problem(path, None, None, size, f"keep it under {MAX_BYTES:,} bytes")
    return _parse(path, raw, info.st_mode)


def _parse(path: str, raw: bytes, mode: int) -> Document | Problem:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # error.object, not raw: it begins after the BOM, as error.start does
        line = error.object.count(b"\n", 0, error.start) + 1
        return Problem(path, line, None, "not valid UTF-8", "save the file as UTF-8")
    try:
        data = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        # tomli's own message ends in "(at line 3, column 7)", which the problem says already
        message = re.sub(r" \(at [^()]*\)$", "", str(error))
        line = getattr(error, "lineno", None) or _line_in(str(error)) or text.count("\n") + 1
        return Problem(path, line, None, f"not valid TOML: {message}", "correct the syntax there")
    except (ValueError, RecursionError) as error:
        # ValueError: an integer of thousands of digits; RecursionError: thousands of brackets
        what = TOO_DEEP if isinstance(error, RecursionError) else str(error)
        return Problem(path, None, None, f"not usable TOML: {what}", "simplify the file")
    if too_much := excess(data):
        return Problem(path, None, None, f"not usable TOML: {too_much}", "simplify the file")
    return Document(path, text, data, mode)


def excess(data: Mapping[str, Any]) -> str | None:
    """Return what is too much in a file: what follows may then recurse, print and compare."""
    level: list[Any] = [data]
    depth = count = 0
    while level:
        depth, count = depth + 1, count + len(level)
        if depth > MAX_DEPTH:
            return TOO_DEEP
        if count > MAX_VALUES:
            return f"more than {MAX_VALUES:,} values"
        if any(isinstance(v, int) and v.bit_length() > LONGEST_INTEGER for v in level):
            return f"an integer of more than {LONGEST_INTEGER} bits"
        inner = [
            v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)
        ]
        level = [item for items in inner for item in items]
    return None


def _line_in(message: str) -> int | None:
    found = re.search(r"\bline (\d+)", message)
    return int(found.group(1)) if found else None


def documents(paths: Iterable[str]) -> Iterator[Document]:
    """Yield those of the files that are there and can be read, in their order."""
    for path in paths:
        found = read_document(path, required=False)
        if isinstance(found, Document):
            yield found


def files_with(name: str, paths: Iterable[str]) -> list[str]:
    """Return the files that hold a provider, or its ``[plugin.litellm.providers.NAME]`` alone."""
    found = []
    for document in documents(paths):
        named = any(table.get("name") == name for table in document.data.get("providers", []))
        if named or document.at("plugin", "litellm", "providers", name) is not None:
            found.append(document.path)
    return found


def shared_file() -> Path:
    """Return the file that new providers go to; what holds secrets is never chosen.

    The one file named by ``--config`` or ``ADAPTER_CONFIG``; else, of the default files, the one
    of highest precedence that has ``[[providers]]``; else the specification's ``gptme.toml``.
    """
    from pathlib import Path  # costs milliseconds, and only a command that writes asks

    paths, named = config_paths()
    if named:
        return Path(paths[0])
    _, *shared, _ = paths  # gptme itself writes the first
    holding = [d.path for d in documents(shared) if d.data.get("providers")]
    return Path(holding[-1] if holding else shared[-1])


def secrets_file() -> Path:
    """Return the file for what may hold keys: ``config.local.toml``, or the one file named."""
    from pathlib import Path

    paths, named = config_paths()
    return Path(paths[0] if named else paths[-1])

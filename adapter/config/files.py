"""Configuration files: where they are, how one is read safely, and the line a thing stands on.

Reading never writes. The list and its order are gptme's, with the file name of its
custom-providers specification added.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import tomli

from adapter._files import NotRegularError, read_regular, reason, xdg_folder
from adapter._tables import value_at
from adapter.errors import Problem

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "FILE_NAMES",
    "MAX_INTEGER_BITS",
    "OURS",
    "OUR_TABLES",
    "PROVIDERS",
    "SECRETS_FILE",
    "SECTIONS",
    "Document",
    "config_paths",
    "documents",
    "excess",
    "files_with",
    "gptme_folder",
    "read_document",
    "secrets_file",
    "shared_file",
]

OURS = ("plugin", "litellm")
PROVIDERS = (*OURS, "providers")
"""The tables of what is ours, which gptme leaves alone."""

SECTIONS = ("router_settings", "litellm_settings", "general_settings")
"""LiteLLM's own section names, passed through from ``[plugin.litellm]``."""

OUR_TABLES = ("providers", "models", *SECTIONS, "worker", "gateway")
"""The tables ``[plugin.litellm]`` may hold."""

SECRETS_FILE = "config.local.toml"

FILE_NAMES = ("config.runtime.toml", "config.toml", "gptme.toml", SECRETS_FILE)
"""Lowest precedence first: the two that gptme 0.35 reads, the name in its specification, and its
file for secrets."""

MAX_BYTES = 4 * 1024 * 1024
"""Larger files are refused: no hand-written configuration comes near, and parsing takes memory."""

MAX_DEPTH = 100
TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
MAX_VALUES = 100_000
"""Of all tables together; ten thousand providers take half of it."""

MAX_INTEGER_BITS = 64
"""In bits, as in TOML 1.0; Python would not even print those of a few thousand digits."""

LONGEST_LINE = 300
MOST_PARTS = 6
"""Within which a key is found, in characters of a line and parts of a dotted key."""


@dataclass(frozen=True, slots=True)
class Document:
    """One parsed file: its path, its text (for line numbers), its tables, its mode and owner."""

    path: str
    text: str = field(repr=False)  # it may hold keys
    data: Mapping[str, Any] = field(repr=False)
    info: os.stat_result = field(repr=False)

    def at(self, *keys: str) -> Any:
        """Return what stands under ``keys``, table by table, or ``None``."""
        return value_at(self.data, keys)

    def line(self, *path: str | int) -> int | None:
        """Return the line (from 1) of what stands at ``path``, or of what encloses it.

        ``"providers", 1, "name"`` is the name of the second provider. TOML parsers tell no lines,
        so this looks for the usual spellings; ``None`` where not even the first name is found.
        """
        lines = _lines(self.text)
        ends = range(len(path), 0, -1)
        return next((lines[path[:end]] for end in ends if path[:end] in lines), None)


_PART = r"""(?:[\w-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_KEY = re.compile(rf"(\[{{0,2}})\s*({_PART}(?:\s*\.\s*{_PART})*)\s*[\]=]")
"""A header, ``[a."b.c"]`` or ``[[a]]``, or a key with what it is given, at a line's beginning."""


@lru_cache(maxsize=4)  # a file may have thousands of problems, each with its line
def _lines(text: str) -> dict[tuple[str | int, ...], int]:
    """Return the line, from 1, that each key and table stands on first.

    Lines are an editor's: ``splitlines`` also splits at U+2028 and others.
    """
    lines: dict[tuple[str | int, ...], int] = {}
    table: tuple[str | int, ...] = ()
    providers = 0
    for number, line in enumerate(text.split("\n"), 1):
        match = _KEY.match(line[:LONGEST_LINE].lstrip())
        if match is None:
            continue
        parts = [part.strip("\"'") for part in re.findall(_PART, match[2])[:MOST_PARTS]]
        if not match[1]:
            path = (*table, *parts)
        elif match[1] == "[[" and parts == ["providers"]:
            path = table = ("providers", providers)
            providers += 1
        else:
            path = table = tuple(parts)
        for end in range(1, len(path) + 1):
            lines.setdefault(path[:end], number)
    return lines


def config_paths(path: str | os.PathLike[str] | None = None) -> tuple[tuple[str, ...], bool]:
    """Return the files to read, lowest precedence first, and whether they were asked for by name.

    ``path``, else ``ADAPTER_CONFIG``, names one file and only that file is read. Without them, the
    folder is ``$XDG_CONFIG_HOME/gptme`` where there is one, else gptme's own. Nothing in the
    working directory is ever read by itself: a cloned repository must not redirect a key.
    """
    named = os.environ.get("ADAPTER_CONFIG") if path is None else os.fspath(path)
    if path is not None or named:
        return (os.path.abspath(os.path.expanduser(named or "")),), True
    folder = os.path.join(xdg_folder("XDG_CONFIG_HOME", default=".config"), "gptme")
    if not os.path.isdir(folder):
        folder = gptme_folder()
    return tuple([f"{folder}{os.sep}{name}" for name in FILE_NAMES]), False  # asked often


def gptme_folder() -> str:
    """Return the folder of gptme's own configuration, which is not ``XDG_CONFIG_HOME``'s."""
    return os.path.join(xdg_folder(default=".config"), "gptme")


def read_document(path: str, *, required: bool) -> Document | Problem | None:
    """Read and parse one TOML file: the document, what is wrong with it, or ``None`` (absent).

    UTF-8 with or without BOM, LF or CRLF line ends.
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
    return _parse(path, raw, info)


def _parse(path: str, raw: bytes, info: os.stat_result) -> Document | Problem:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # error.object, not raw: it begins after the BOM, as error.start does
        line = error.object.count(b"\n", 0, error.start) + 1
        return Problem(path, line, None, "not valid UTF-8", "save the file as UTF-8")
    try:
        data = tomli.loads(text)
        too_much = excess(data)
    except tomli.TOMLDecodeError as error:
        # tomli's own message ends in "(at line 3, column 7)", which the problem says already
        message = re.sub(r" \(at [^()]*\)$", "", str(error))
        at = re.search(r"\bline (\d+)", str(error))
        line = int(at[1]) if at else text.count("\n") + 1
        return Problem(path, line, None, f"not valid TOML: {message}", "correct the syntax there")
    except RecursionError:  # thousands of brackets
        too_much = TOO_DEEP
    except ValueError as error:  # an integer of thousands of digits
        too_much = str(error)
    if too_much:
        return Problem(path, None, None, f"not usable TOML: {too_much}", "simplify the file")
    return Document(path, text, data, info)


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
        if any(isinstance(v, int) and v.bit_length() > MAX_INTEGER_BITS for v in level):
            return f"an integer of more than {MAX_INTEGER_BITS} bits"
        inner = [
            v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)
        ]
        level = [item for items in inner for item in items]
    return None


def documents(paths: Iterable[str]) -> Iterator[Document]:
    """Yield those of the files that are there and can be read, in their order."""
    for path in paths:
        document = read_document(path, required=False)
        if isinstance(document, Document):
            yield document


def files_with(name: str, paths: Iterable[str]) -> list[str]:
    """Return the files that hold a provider, or its ``[plugin.litellm.providers.NAME]`` alone."""
    return [
        document.path
        for document in documents(paths)
        if any(table.get("name") == name for table in document.data.get("providers", []))
        or document.at(*PROVIDERS, name) is not None
    ]


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

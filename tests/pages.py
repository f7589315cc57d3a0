"""The blocks of the documentation's pages, and how a reader would follow a page."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from unittest import mock

from tests.command import ROOT, run
from tests.snippets import Block, blocks_of

DOCS = ROOT / "docs"

HOME = "/home/me"
"""The home folder that the pages show."""

PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def blocks(page: str, language: str = "", title: str = "") -> list[Block]:
    """Return the blocks of a page in order, of one language or title where it is given."""
    found = blocks_of(DOCS / page)
    return [b for b in found if language in ("", b.language) and title in ("", b.title)]


def table(page: str, head: str) -> list[list[str]]:
    """Return the rows, cell by cell, of the first table of a page that begins with ``head``."""
    text = (DOCS / page).read_text(encoding="utf-8")
    _, found, rest = text.partition(f"\n{head}")
    assert found, f"{page} has no table {head}"
    rows = rest.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def generator(name: str) -> ModuleType:
    """Return the module docs/NAME.py."""
    spec = spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    with mock.patch.object(sys, "path", [str(DOCS), *sys.path]):  # as where it runs as a script
        spec.loader.exec_module(module)
    return module


def place(title: str) -> Path:
    """Return the file that a block's title names, in this test's home or working folder."""
    return Path(os.path.expanduser(title))


@contextmanager
def followed(page: str) -> Iterator[None]:
    """Do what the page says: write its files, run its commands, compare what they print.

    A file that is there already, written by a command, is compared. Commands whose output is not
    shown are left out, but for ``export`` and ``unset``, which hold until the context ends.
    """
    with mock.patch.dict(os.environ):
        for block in blocks(page):
            if block.title:
                _keep(place(block.title), block.text)
            for line in block.text.splitlines() if block.language == "bash" else ():
                if found := re.fullmatch(r'export (\w+)="(.*)"', line):
                    os.environ[found[1]] = found[2]
                elif line.startswith("unset "):
                    os.environ.pop(line.removeprefix("unset "), None)
            if block.language == "console":
                for command in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                    line, expected = command.split("\n", 1)
                    assert said_by(line) == expected
        yield


def _keep(path: Path, text: str) -> None:
    if path.exists():
        assert path.read_text(encoding="utf-8") == text
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def said_by(command: str) -> str:
    """Return what a command prints, stderr first, with this test's home as the pages show it."""
    program, *words = shlex.split(command)
    if program == "adapter":
        outcome = run(*words)
        text = outcome.err + outcome.out
    else:
        shell = ["sh", "-c", command]
        text = subprocess.run(shell, capture_output=True, text=True, check=True).stdout
    return text.replace(os.environ["HOME"], HOME)


def commands(page: str) -> list[list[str]]:
    """Return the words after ``adapter`` of each line for a shell that begins with it."""
    lines = [
        line.partition("$ ")[2] if block.language == "console" else line
        for language in ("bash", "sh", "console")
        for block in blocks(page, language)
        for line in block.text.replace("\\\n", " ").splitlines()
    ]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("adapter ")]

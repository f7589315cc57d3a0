"""What CONTRIBUTING and the architecture page say of the size of files, functions and packages."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.command import ROOT
from tests.pages import table

FILES = sorted((ROOT / "adapter").rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_and_its_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    functions = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]

    assert len(text.splitlines()) <= 400
    assert not [f.name for f in functions if (f.end_lineno or 0) - f.lineno >= 60]


def test_the_architecture_page_has_every_package_and_its_size() -> None:
    packages = {path.parent.name for path in (ROOT / "adapter").glob("*/__init__.py")}
    rows = table("architecture.md", "| package |")
    assert {row[0].strip("`") for row in rows} == packages
    for name, _, lines in rows:
        own = [p for p in FILES if p.parent.name == name.strip("`")]
        counted = sum(len(p.read_text(encoding="utf-8").splitlines()) for p in own)
        assert abs(int(lines) - counted) <= 0.25 * counted, name

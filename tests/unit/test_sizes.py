"""What CONTRIBUTING says of the size of files and functions."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.command import ROOT

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

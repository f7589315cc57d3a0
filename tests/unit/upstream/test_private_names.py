"""Names of other packages without a public form: in adapter/upstream/, each in the table."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TypeGuard

import pytest

ROOT = Path(__file__).parents[3]
SOURCES = sorted((ROOT / "adapter").rglob("*.py"))
UPSTREAM = ROOT / "adapter" / "upstream"
LIBRARIES = ("litellm", "openai", "httpx", "httpx2", "httpcore", "aiohttp")
PYTHON = {
    *("_data", "_exit", "_getframe", "_replace", "_run_exitfuncs", "_shutdown", "_value_"),
    "_xoptions",
}
"""Python's own: public for all their underscore, or what it calls at its end."""


def is_own(node: ast.expr) -> bool:
    """Whether an attribute of ``node`` is of a class or module of ours."""
    if isinstance(node, ast.Name):
        return node.id in ("self", "cls")
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == "super"


def is_hidden(node: ast.expr) -> TypeGuard[ast.Constant]:
    """Whether ``node`` is a string that names something with an underscore."""
    return (
        isinstance(node, ast.Constant)
        and re.fullmatch(r"_[a-zA-Z]\w+", str(node.value)) is not None
    )


def private_names(path: Path) -> set[str]:
    """Return the private or undocumented names of other packages that a module mentions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            library, _, inner = node.module.partition(".")
            if library in LIBRARIES and inner:
                found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute):
            hidden = node.attr.startswith("_") and not node.attr.startswith("__")
            if hidden and not is_own(node.value):
                found.add(node.attr)
            if node.attr == "in_memory_llm_clients_cache":
                found.add(node.attr)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr"):
            found |= {str(a.value) for a in node.args[1:2] if is_hidden(a)}
        elif isinstance(node, ast.Assign) and path.parent == UPSTREAM and is_hidden(node.value):
            found.add(str(node.value.value))  # a parameter that is passed by this name
    return found


@cache
def own_names(folder: Path) -> set[str]:
    """Return the names with an underscore that modules of this package define."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names |= {node.attr} if is_own(node.value) else set()
            elif isinstance(node, ast.alias):
                names.add(node.asname or node.name)
    return {name for name in names if name.startswith("_")}


def registered() -> set[str]:
    """Return the names in the first column of the table in docs/architecture.md."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition("## Names of other packages")[2].partition("\n\n`translate()`")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, flags=re.MULTILINE)
    words = [word for row in rows for word in re.findall(r"`(?:[^`]*: )?([^`]+)`", row)]
    return {word.rpartition(".")[2] for word in words}


def test_the_table_names_what_the_code_uses() -> None:
    used = set().union(*map(private_names, UPSTREAM.glob("*.py")))
    overridden = {"_get_client", "_make_sse_decoder"}  # by methods of ours

    assert used - own_names(UPSTREAM) - PYTHON | overridden == registered()


@pytest.mark.parametrize("path", [p for p in SOURCES if p.parent != UPSTREAM], ids=lambda p: p.stem)
def test_no_other_module_knows_one(path: Path) -> None:
    assert private_names(path) - own_names(ROOT / "adapter") - PYTHON == set()

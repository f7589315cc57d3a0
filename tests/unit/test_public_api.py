"""What the package exports, and how little importing it costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
import tomli

import adapter
from adapter import errors
from adapter.call.drop_ins import FUNCTIONS

ROOT = Path(adapter.__file__).parents[1]
PACKAGE = ROOT / "adapter"

# What takes seconds, or much of one, and must wait for the first completion call.
HEAVY = {"litellm", "openai", "httpx", "aiohttp", "pydantic", "tomlkit", "yaml", "xllamacpp"}


def modules() -> dict[str, Path]:
    """Return the package's modules, without packages themselves, by their name inside it."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py")
    }


def top_level(path: Path, typing_only: bool = False) -> list[ast.stmt]:
    """Return the statements run on import, or those under ``if TYPE_CHECKING``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guarded: list[ast.stmt] = []
    plain: list[ast.stmt] = []
    for node in tree.body:
        is_guard = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if is_guard and isinstance(node, ast.If):
            guarded += node.body
        else:
            plain.append(node)
    return guarded if typing_only else plain


def test_every_exported_name_is_there() -> None:
    for name in adapter.__all__:
        assert getattr(adapter, name) is not None, name


def test_every_exported_name_is_exported_once_and_listed_by_dir() -> None:
    assert len(set(adapter.__all__)) == len(adapter.__all__)
    assert set(adapter.__all__) <= set(dir(adapter))


def test_a_star_import_gives_exactly_what_is_exported() -> None:
    namespace: dict[str, Any] = {}
    exec("from adapter import *", namespace)
    del namespace["__builtins__"]

    assert namespace == {name: getattr(adapter, name) for name in adapter.__all__}


def test_what_type_checkers_see_is_what_is_exported() -> None:
    seen = {
        alias.name
        for node in top_level(PACKAGE / "__init__.py", typing_only=True)
        if isinstance(node, ast.ImportFrom) and node.module != "typing"
        for alias in node.names
    }

    assert seen == set(adapter.__all__) - {"__version__"}


@pytest.mark.parametrize("name", sorted(set(adapter.__all__) - {"__version__", *FUNCTIONS}))
def test_an_exported_name_is_public_where_it_lives(name: str) -> None:
    value = getattr(adapter, name)
    home = import_module(value.__module__)

    assert name in home.__all__
    assert getattr(home, name) is value


def test_every_drop_in_is_exported_as_a_function_of_its_own_name() -> None:
    for name in FUNCTIONS:
        function = getattr(adapter, name)
        assert name in adapter.__all__
        assert isinstance(function, FunctionType)
        assert function.__name__ == name
        assert f"litellm.{name}" in (function.__doc__ or "")
        assert getattr(adapter, name) is function


def test_every_error_of_ours_can_be_caught_by_its_exported_name() -> None:
    ours = {n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, Exception)}

    assert ours <= set(adapter.__all__)


def test_every_module_has_the_names_it_lists() -> None:
    for name in modules():
        module = import_module(f"adapter.{name}")
        missing = [n for n in module.__all__ if not hasattr(module, n)]
        assert not missing, name


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="module 'adapter' has no attribute 'completions'"):
        _ = adapter.completions
    assert not hasattr(adapter, "anything_else")


def test_the_version_is_that_of_the_project() -> None:
    project = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert adapter.__version__ == project["version"]


def test_the_package_says_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()


def imports_of(code: str) -> set[str]:
    """Run ``code`` in a Python of its own and return all modules it had imported at its end."""
    report = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr))"
    done = subprocess.run(
        [sys.executable, "-c", f"{report}\n{code}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    return set(done.stderr.splitlines()[-1].split())


def command(*args: str) -> str:
    """Return code that runs ``python -m adapter *args``."""
    run = "runpy.run_module('adapter', run_name='__main__', alter_sys=True)"
    return f"import runpy; sys.argv[1:] = {list(args)}; {run}"


LIGHT = (
    "errors",
    "keys.precedence",
    "config.provider",
    "config.files",
    "config.checks",
    "config.loading",
    "call.resolution",
    "call.translation",
)


@pytest.mark.parametrize(
    ("code", "proof"),
    [
        *((f"import adapter.{name}", f"adapter.{name}") for name in LIGHT),
        ("import adapter", "adapter"),
        ("from adapter import completion, router, resolve, ConfigError", "adapter.call.drop_ins"),
        ("from adapter import translate; translate('a/b')", "adapter.call.translation"),
        (command("--help"), "adapter.cli.main"),
        (command("--version"), "adapter.cli.main"),
        (command("providers", "list"), "adapter.cli.providers"),
        (command("providers", "list", "--json"), "adapter.cli.providers"),
    ],
    ids=lambda value: value.rpartition("argv")[2][:30],
)
def test_nothing_heavy_is_imported_before_the_first_call(code: str, proof: str) -> None:
    names = imports_of(code)

    assert proof in names
    assert {name.partition(".")[0] for name in names} & HEAVY == set()


def test_importing_the_package_imports_none_of_its_modules() -> None:
    names = imports_of("import adapter")

    assert {name for name in names if name.startswith("adapter")} == {"adapter"}

"""What docs/install.md says: the extras there are, and what is left after all is uninstalled."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command import PROJECT, run, run_apart
from tests.pages import table
from tests.recorder import Recorder


def test_the_page_has_every_extra() -> None:
    shown = [row[0].strip("`") for row in table("install.md", "| extra |")]

    assert sorted(shown) == sorted(PROJECT["optional-dependencies"])


@pytest.fixture
def environ() -> Iterator[dict[str, str]]:
    """The environment of a user without XDG's variables; a worker of it ends with the test."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "NO_PROXY")}
    yield kept
    run_apart(kept, "worker", "stop")


def test_nothing_stays_but_what_the_page_names(
    environ: dict[str, str], server: Recorder, config_dir: Path, write: Callable[..., Path]
) -> None:
    assert run("providers", "add", "p", "--base-url", server.base_url).code == 0
    assert run("models").code == 0
    for words in (("worker", "start"), ("worker", "stop")):
        done = run_apart(environ, *words)
        assert done.returncode == 0, done.stderr

    home = Path.home()
    assert {path.relative_to(home).as_posix() for path in home.glob(".*/*")} == {
        ".config/gptme",
        ".cache/gptme-litellm",
        ".local/state",
    }
    for _, where, remedy in table("install.md", "| what stays |")[1:3]:
        folder = remedy.removeprefix("`rm -r ").removesuffix("`")
        assert folder in where
        shutil.rmtree(Path(folder).expanduser())
    left = [path for path in home.rglob("*") if not path.is_dir()]
    assert left == [config_dir / "gptme.toml"]

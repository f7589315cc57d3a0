"""``models`` with nothing configured, and ``models default``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tomli

from tests.command import run
from tests.recorder import Recorder
from tests.unit.cli.samples import FILE, P

Write = Callable[..., Path]


def test_models_with_nothing_configured_says_how_to_begin(config_dir: Path) -> None:
    done = run("models")
    assert (done.code, done.out) == (0, "")
    assert "no provider is configured" in done.err
    assert "adapter providers add groq" in done.err
    assert "adapter providers discover" in done.err
    assert run("models", "--json") == (0, "[]\n", "")
    assert "adapter providers add groq" in run("providers", "test").err


def test_models_default(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(FILE)
    assert run("models", "default") == (0, "a\n", "")
    done = run("models", "default", "b/x:free", "--dry-run")
    assert '-default = "a"  # kept\n+default = "b/x:free"  # kept\n' in done.out
    assert path.read_text() == FILE
    done = run("models", "default", "b/x:free")
    assert (done.code, done.out, done.err) == (0, "", f"wrote {path}\n")
    assert path.read_text() == FILE.replace('default = "a"', 'default = "b/x:free"')
    assert run("models", "default").out == "b/x:free\n"
    assert run("models", "default", "nosuch/m").err.startswith(
        f"wrote {path}\nwarning: {path}:9: models.default is 'nosuch/m', but no provider is named"
    )
    done = run("models", "default", "b")  # it has no default_model
    assert (done.code, run("models", "default").out) == (2, "nosuch/m\n")


def test_models_default_is_written_where_it_stands(write: Write) -> None:
    path = write(FILE)
    local = write('[models]\ndefault = "b/y"\n', "config.local.toml")
    run("models", "default", "a")
    assert path.read_text() == FILE
    assert local.read_text() == '[models]\ndefault = "a"\n'


def test_models_default_that_is_not_set(write: Write, config_dir: Path) -> None:
    path = write(P + 'default_model = "m"\n')
    done = run("models", "default")
    assert (done.code, done.out) == (0, "")
    assert done.err == "[models] default is not set; without -m the model is p\n"
    run("models", "default", "p/n")
    assert tomli.loads(path.read_text())["models"] == {"default": "p/n"}


def test_a_provider_may_have_the_name_of_a_command(write: Write, server: Recorder) -> None:
    write(P.replace('"p"', '"default"').replace("http://localhost", server.base_url))
    assert run("models", "list", "default").out == "default/m\n"
    assert run("models").out == "default/m\n"

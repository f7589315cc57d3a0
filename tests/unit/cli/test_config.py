"""``config check`` and ``config path``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from adapter.config.loading import load_config
from tests.command import run
from tests.unit.cli.samples import FILE

Write = Callable[..., Path]


GROQ = '[[providers]]\nname = "groq"\nbase_url = "https://h/v1"\ndefault_model = "m"\n'


def test_check(write: Write) -> None:
    assert run("config", "check").code == 0
    path = write(FILE + "[plugin.litellm.providers.c]\ntimeout = 1\n")
    done = run("config", "check")
    assert done.code == 0
    assert f"warning: {path}:" in done.out
    assert "1 file(s), 2 provider(s), 1 warning(s)" in done.out
    write('[[providers]]\nname = "x y"\n', "config.local.toml")
    done = run("config", "check")
    assert done.code == 2
    assert "name contains white space" in done.err
    assert "base_url is missing" in done.err


@pytest.mark.parametrize(
    ("default", "head", "hint"),
    [("grok/llama", "grok", " (did you mean 'groq'?)"), ("gone", "gone", ""), ("a/b/c", "a", "")],
)
def test_check_warns_of_a_default_model_that_is_nobodys(
    write: Write, default: str, head: str, hint: str
) -> None:
    write(GROQ, "config.toml")
    path = write(f'# default = 3\n[models]\ndefault = "{default}"\n')
    write("[models]\n", "config.local.toml")

    done = run("config", "check")

    assert (done.code, done.err) == (0, "")
    said = f"models.default is {default!r}, but no provider is named {head!r}{hint}"
    assert f"warning: {path}:3: {said}\n" in done.out
    assert "2 file(s)" not in done.out
    assert "3 file(s), 1 provider(s), 1 warning(s)" in done.out
    assert not load_config().warnings


@pytest.mark.parametrize(
    "default",
    [
        *("groq", "groq/x", "local/llama3.2", "embedded", "openai/gpt-4o", "anthropic/claude-x"),
        *(
            "openrouter/a/b",
            "nvidia/x",
            "openai-subscription/x",
            "azure/x",
            "text-completion-openai/x",
        ),
        *("gpt-4o", "o3", "ft:gpt-4o:org::id", "github_copilot/x", "aliased"),
    ],
)
def test_check_says_nothing_about_a_default_that_somebody_knows(write: Write, default: str) -> None:
    alias = "[plugin.litellm.router_settings]\nmodel_group_alias = { aliased = 'groq' }\n"
    write(f'{GROQ}[models]\ndefault = "{default}"\n{alias}')

    assert run("config", "check").out == "1 file(s), 1 provider(s), 0 warning(s)\n"


def test_check_imports_no_litellm(write: Write) -> None:
    write('[models]\ndefault = "gone"\n')
    code = (
        "import sys; from adapter.cli.main import run; run(['config', 'check']); "
        "sys.exit('litellm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == 0
    assert b"no provider is named 'gone'" in done.stdout


def test_an_error_and_a_warning_in_one_list_can_be_told_apart(write: Write) -> None:
    """Each warning is labelled, once, whether it comes with errors or alone."""
    path = write(FILE + "[plugin.litellm.providers.c]\ntimeout = 1\n")
    assert run("providers", "list").err.startswith(f"warning: {path}:")
    assert run("config", "check").out.startswith(f"warning: {path}:")
    broken = write('[[providers]]\nname = "x y"\n', "config.local.toml")

    for args in (["config", "check"], ["providers", "list"]):
        lines = [line for line in run(*args).err.splitlines() if line[:1] != " "]
        assert [line.partition(": p")[0] for line in lines] == [
            f"Error: {broken}:2",
            f"{broken}:1",
            f"warning: {path}:20",
        ]


def test_path_says_what_stands_in_a_files_place(config_dir: Path, write: Write) -> None:
    (config_dir / "config.toml").mkdir()
    os.mkfifo(config_dir / "gptme.toml")
    write("a = [\n", "config.local.toml")
    _, first, second, third = run("config", "path").out.splitlines()
    assert first == f"{config_dir}/config.toml  (a directory)"
    assert second == f"{config_dir}/gptme.toml  (not a regular file)"
    assert third.startswith(f"{config_dir}/config.local.toml  (not valid TOML: ")


def test_path_says_why_a_file_cannot_be_read(
    config_dir: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("", mode=0)
    if os.access(path, os.R_OK):  # as root may read all
        refused = PermissionError(13, "Permission denied")
        monkeypatch.setattr("adapter._files.os.open", mock.Mock(side_effect=refused))
    line = f"{path}  (cannot be read: Permission denied)\n"
    assert line in run("config", "path").out


def test_path(config_dir: Path, write: Write) -> None:
    write("")
    assert run("config", "path").out == (
        f"{config_dir}/config.runtime.toml  (not there)\n"
        f"{config_dir}/config.toml  (not there)\n"
        f"{config_dir}/gptme.toml  (read)\n"
        f"{config_dir}/config.local.toml  (not there)\n"
    )
    assert run("config", "path", "--config", "/x.toml").out == "/x.toml  (not there)\n"


def test_path_says_that_gptme_looks_elsewhere(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("")
    assert "gptme itself" not in run("config", "path").err
    (tmp_path / "elsewhere" / "gptme").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "elsewhere"))

    done = run("config", "path")

    assert done.out.startswith(f"{tmp_path}/elsewhere/gptme/config.runtime.toml  (not there)\n")
    folder = f"{os.environ['HOME']}/.config/gptme"
    assert done.err.startswith(f"note: gptme itself reads the files in {folder}, not those in ")
    assert "gptme itself" not in run("config", "path", "--config", "/x.toml").err

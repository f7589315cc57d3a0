"""The command line itself: which words mean what, ``--help``, ``--version``, ``--config``."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from adapter.cli import COMMANDS
from adapter.cli.main import cli
from adapter.errors import ExitCode
from tests.command import PROJECT, console_script, provider, run, started, terminal
from tests.recorder import Recorder

Write = Callable[..., Path]
Adapter = Callable[..., subprocess.CompletedProcess[str]]


def options_of(*names: str) -> list[click.Option]:
    command: click.Command = cli
    for name in names:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    return [p for p in command.params if isinstance(p, click.Option)]


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_the_help_shows_every_option_command_and_exit_code(flag: str) -> None:
    code, out, err = run(flag)

    assert (code, err) == (0, "")
    words = " ".join(out.split())
    for option in options_of("query"):
        assert all(name in words for name in (*option.opts, *option.secondary_opts))
        assert option.help
        assert option.help in words
    for name, (_, _, line) in COMMANDS.items():
        assert f"{name} {line}" in words
    assert "Exit codes: " + " ".join(f"{code:d} {code.meaning}" for code in ExitCode) in words


@pytest.mark.parametrize("command", [("query",), ("providers",), ("providers", "list")])
def test_every_command_has_a_help_of_its_own(command: tuple[str, ...]) -> None:
    code, out, err = run(*command, "--help")

    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: adapter {' '.join(command)} [OPTIONS]")
    words = " ".join(out.split())
    for option in options_of(*command):
        assert option.help
        assert option.help in words


def test_the_exit_codes_are_those_that_were_promised() -> None:
    assert list(ExitCode) == [0, 1, 2, 3, 4, 5, 6, 7, 130]


def test_the_version_is_that_of_the_distribution() -> None:
    assert run("--version") == (0, f"adapter {PROJECT['version']}\n", "")


def test_without_a_prompt_a_terminal_on_stdin_gets_the_help() -> None:
    with terminal() as (_, program), started(stdin=program) as process:
        out, err = process.communicate()

    assert (process.returncode, err) == (0, b"")
    assert out.decode() == run("--help").out


@pytest.mark.parametrize("args", [("-m", "p"), ("--no-stream",), ("",)])
def test_a_forgotten_prompt_at_a_terminal_is_one_line(args: tuple[str, ...]) -> None:
    with terminal() as (_, program), started(*args, stdin=program) as process:
        out, err = process.communicate()

    assert (process.returncode, out) == (2, b"")
    assert err.startswith(b"Error: the prompt is missing, as in: adapter ")
    assert err.count(b"\n") == 1


@pytest.mark.parametrize(
    ("args", "meant"),
    [
        (["provider", "list"], "adapter providers list"),
        (["provider", "add", "groq", "--local"], "adapter providers add groq --local"),
        (["key", "set", "a b"], "adapter keys set 'a b'"),
        (["modles"], "adapter models"),
        (["provider", "ls"], "adapter providers list"),
        (["help"], "adapter --help"),
        (["help", "keys", "set"], "adapter keys --help"),
        (["--config", "x.toml", "provider", "list"], "adapter providers list"),
    ],
)
def test_a_misspelt_command_is_no_prompt(args: list[str], meant: str) -> None:
    code, out, err = run(*args)

    words = args[2:] if args[0] == "--config" else args
    assert (code, out) == (2, "")
    assert f"Error: there is no command '{words[0]}': did you mean `{meant}`?" in err
    assert err.endswith(f"adapter query {shlex.join(words)}\n")


@pytest.mark.parametrize("args", [["provider", "news"], ["provider list"], ["help", "me"]])
def test_a_prompt_that_resembles_a_command_is_a_prompt(
    args: list[str], server: Recorder, write: Callable[..., Path]
) -> None:
    write(provider(server.base_url, default_model="m"))
    assert run(*args).code == 0
    assert server.only.body["messages"][-1]["content"] == " ".join(args)


@pytest.mark.parametrize("piped", [b"", b" \n\t\n"])
@pytest.mark.parametrize("args", [(), ("query",), ("-m", "p"), ("",), ("-m", "p", " ")])
def test_without_a_prompt_and_nothing_piped_in_it_is_a_usage_error(
    args: tuple[str, ...], piped: bytes
) -> None:
    code, out, err = run(*args, stdin=piped)

    assert (code, out) == (2, "")
    assert err.startswith("Usage: adapter ")
    assert err.endswith("Error: there is no prompt: give one as an argument or on stdin\n")


def test_a_closed_stdin_is_an_empty_one() -> None:
    with started("-m", "p", stdin=None, preexec_fn=lambda: os.close(0)) as process:
        out, err = process.communicate()

    assert (process.returncode, out) == (2, b"")
    assert b"there is no prompt" in err


def test_a_stdin_that_cannot_be_read_is_one_line_on_stderr(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        with started("-m", "p", "hi", stdin=folder) as process:
            out, err = process.communicate()
    finally:
        os.close(folder)

    assert process.returncode == 1
    assert out == b""
    assert err.decode().startswith("Error: Is a directory") or b"directory" in err
    assert b"Traceback" not in err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--bogus", "hi"], "No such option"),
        (["-m"], "Option '-m' requires an argument"),
        (["--config"], "Option '--config' requires an argument"),
        (["--config", "", "hi"], "Invalid value for '--config': the file name is empty"),
        (["providers", "list", "--config="], "the file name is empty"),
        (["-o", "temperature"], "Option '-o' requires 2 arguments"),
        (["--timeout", "soon", "hi"], "'soon' is not a valid float"),
        (["--timeout", "0", "hi"], "0 is not a valid number of seconds"),
        (["--timeout", "-1", "hi"], "-1 is not a valid number of seconds"),
        (["--timeout", "nan", "hi"], "nan is not a valid number of seconds"),
        (["--timeout", "inf", "hi"], "inf is not a valid number of seconds"),
        (["--timeout", "1e300", "hi"], "1e+300 is not a valid number of seconds"),
        (["providers", "shoe"], "No such command 'shoe'"),
        (["providers", "list", "--yaml"], "No such option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_understood_is_a_usage_error(args: list[str], said: str) -> None:
    code, out, err = run(*args)

    assert (code, out) == (2, "")
    assert said in err
    if said == "No such option":  # then its name, in quotes from click 8.4 on
        assert next(arg for arg in args if arg.startswith("--")) in err
    assert err.endswith("\n")
    assert "Traceback" not in err


def test_a_group_without_its_command_shows_the_groups_help() -> None:
    code, out, err = run("providers")

    assert code == 2
    assert re.search(r"list +List the configured providers", out + err)


LISTED = "📡 mine\n"


@pytest.mark.parametrize(
    "args",
    [
        ["--config", "FILE", "providers", "list"],
        ["--config=FILE", "providers", "list"],
        ["providers", "list", "--config", "FILE"],
        ["providers", "list", "--config=FILE"],
        ["--config", "/nowhere", "providers", "list", "--config", "FILE"],
    ],
    ids=" ".join,
)
def test_config_is_taken_before_and_after_the_command(
    args: list[str], write: Write, tmp_path: Path
) -> None:
    """Only that file is read, whatever else is configured."""
    write(provider("https://default.example/v1", "default"))
    file = tmp_path / "mine.toml"
    file.write_text(provider("https://mine.example/v1", "mine"), encoding="utf-8")

    code, out, err = run(*(a.replace("FILE", str(file)) for a in args))

    assert (code, err) == (0, "")
    assert "Found 1 custom provider(s)" in out
    assert LISTED in out


def test_config_wins_over_the_variable_and_the_variable_over_the_default_files(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(provider("https://default.example/v1", "default"))
    for name in ("mine", "variable"):
        (tmp_path / name).write_text(provider("https://x.example/v1", name), encoding="utf-8")
    monkeypatch.setenv("ADAPTER_CONFIG", str(tmp_path / "variable"))

    assert "📡 variable\n" in run("providers", "list").out
    assert LISTED in run("providers", "list", "--config", str(tmp_path / "mine")).out


@pytest.mark.parametrize("args", [["providers", "list"], ["-m", "p", "hi"]], ids=" ".join)
def test_a_missing_file_named_by_config_is_an_error_that_names_it(args: list[str]) -> None:
    code, out, err = run("--config", "/no/such.toml", *args)

    assert (code, out) == (2, "")
    assert err.startswith("Error: /no/such.toml: no such file\n")


@pytest.mark.parametrize("args", [["--help"], ["providers", "list"], ["--version"]], ids=" ".join)
def test_a_reader_that_has_left_ends_the_command_quietly(args: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with started(*args, stdout=writer) as process:
            _, err = process.communicate()
    finally:
        os.close(writer)

    assert (process.returncode, err) == (0, b"")


def test_an_empty_config_is_a_mistake_not_the_default_files() -> None:
    code, out, err = run("--config", "", "providers", "list")

    assert (code, out) == (2, "")
    assert "the file name is empty" in err


def test_a_home_relative_config_is_found(tmp_path: Path) -> None:
    (tmp_path / "home" / "mine.toml").write_text(provider("https://mine.example/v1", "mine"))

    assert LISTED in run("providers", "list", "--config=~/mine.toml").out


def test_python_dash_m_adapter_is_the_command(
    tmp_path: Path, write: Write, adapter: Adapter
) -> None:
    write(provider("https://a.example/v1", "a"))
    script = console_script(tmp_path)

    for args in (["providers", "list"], ["--help"], ["--timeout", "x", "hi"]):
        made = subprocess.run(
            [script, *args], capture_output=True, text=True, encoding="utf-8", check=False
        )
        module = adapter(*args)
        assert (made.returncode, made.stdout, made.stderr) == (
            module.returncode,
            module.stdout,
            module.stderr,
        )


def test_modules_in_the_working_directory_do_not_replace_ours(tmp_path: Path, write: Write) -> None:
    """``python -m adapter`` takes them, as Python does for every ``-m``; the script does not."""
    write(provider("https://a.example/v1", "a"))
    for name in ("adapter", "click", "tomli", "json", "litellm"):
        Path(f"{name}.py").write_text("raise SystemExit('evil')\n", encoding="utf-8")

    done = subprocess.run(
        [console_script(tmp_path), "providers", "list"], capture_output=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert "📡 a\n" in done.stdout.decode()


def test_help_and_version_do_not_import_litellm(tmp_path: Path) -> None:
    """A ``litellm`` that cannot be imported stands in the way of the real one."""
    (tmp_path / "litellm.py").write_text("raise SystemExit('litellm was imported')\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])

    for args in (["--help"], ["--version"]):
        with started(*args, env={**os.environ, "PYTHONPATH": path}) as process:
            out, err = process.communicate()
        assert (process.returncode, err) == (0, b"")
        assert out

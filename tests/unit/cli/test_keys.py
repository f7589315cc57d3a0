"""``keys set`` and ``unset``: keys in the OS keyring."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli

from adapter.config.loading import load_config
from adapter.editing.writing import LOCK
from tests.command import at_a_terminal, run
from tests.recorder import Recorder
from tests.unit.cli.conftest import Memory
from tests.unit.cli.samples import KEYRING, P

Write = Callable[..., Path]


def test_a_key_in_the_keyring(write: Write, ring: Memory, server: Recorder) -> None:
    path = write(f'[[providers]]\nname = "p"\nbase_url = "{server.base_url}"\n')
    done = run("keys", "set", "p", stdin=b"sk-canary\n")
    assert (done.code, done.out) == (0, "")
    assert "canary" not in done.err + path.read_text()
    assert ring.kept == {("gptme-litellm", "p"): "sk-canary"}
    assert "API Key: (from the keyring)" in run("providers", "list").out
    run("-m", "p/m", "hi")
    assert server.only.key == "sk-canary"
    assert run("keys", "unset", "p").code == 0
    assert ring.kept == {}
    assert "api_key_keyring" not in path.read_text()
    assert load_config().provider("p").resolve_key().found is False


def test_a_keyring_without_the_key(write: Write, ring: Memory) -> None:
    write(
        '[[providers]]\nname = "p"\nbase_url = "http://localhost"\n'
        "[plugin.litellm.providers.p]\napi_key_keyring = true\n"
    )
    done = run("-m", "p/m", "hi")
    assert done.code == 3
    assert "it has no key of that name: adapter keys set p" in done.err


@pytest.mark.parametrize(
    ("field", "where"),
    [
        ('api_key = "sk-canary"', 4),
        ('api_key_env = "OTHER"', 4),
        ('[plugin.litellm.providers.p]\napi_key_cmd = "echo canary"', None),
        ('[plugin.litellm.providers.p]\napi_key_file = "/canary"', None),
    ],
)
def test_a_source_that_comes_before_the_keyring(
    write: Write, ring: Memory, field: str, where: int | None
) -> None:
    write(P)
    text = P + field + "\n"
    path = write(text, "config.local.toml")
    done = run("keys", "set", "p", stdin=b"sk-canary\n")
    assert (done.code, ring.kept, path.read_text()) == (2, {}, text)
    name = field.rpartition("\n")[2].partition(" ")[0]
    assert f"{path}:{where}: " in done.err if where else f"{path}: " in done.err
    assert f"{name} takes precedence over the keyring" in done.err
    assert "canary" not in done.err


SOURCES = {
    "gptme.toml": P
    + 'api_key_env = "OTHER"\n# kept\n'
    + '[plugin.litellm.providers.p]\napi_key_cmd = "echo canary"\ntimeout = 3\n',
    "config.local.toml": '# mine\n[[providers]]\nname = "p"\napi_key = "sk-canary"\n'
    '[[providers]]\nname = "q"\nbase_url = "http://localhost"\napi_key_env = "Q"\n',
}


def test_replace_removes_the_sources_that_come_first(write: Write, ring: Memory) -> None:
    paths = {name: write(text, name) for name, text in SOURCES.items()}
    assert "or use --replace" in run("keys", "set", "p", stdin=b"sk-canary\n").err
    dry = run("keys", "set", "p", "--replace", "--dry-run")
    assert '-api_key_env = "OTHER"\n' in dry.out
    assert {name: path.read_text() for name, path in paths.items()} == SOURCES
    done = run("keys", "set", "p", "--replace", stdin=b"sk-canary\n")
    assert (done.code, ring.kept) == (0, {("gptme-litellm", "p"): "sk-canary"})
    shared, local = (path.read_text() for path in paths.values())
    assert tomli.loads(shared) == {
        "providers": [{"name": "p", "base_url": "http://localhost"}],
        "plugin": {"litellm": {"providers": {"p": {"timeout": 3, "api_key_keyring": True}}}},
    }
    assert "# kept" in shared
    assert [table["name"] for table in tomli.loads(local)["providers"]] == ["q"]
    assert tomli.loads(local)["providers"][0]["api_key_env"] == "Q"
    assert load_config().provider("p").key_source == "(from the keyring)"


@pytest.mark.parametrize("answer", ["y", "n"])
def test_a_terminal_is_asked_whether_to_put_it_in_order(
    write: Write, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """``providers add groq`` names a variable, which takes precedence over the keyring."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    run("providers", "add", "groq")
    answers: dict[str, str | list[str]] = {"Remove that": answer}
    code, shown = at_a_terminal(
        *("keys", "set", "groq"), answers=answers | ({"Key": "sk-canary"} if answer == "y" else {})
    )
    assert "api_key_env takes precedence over the keyring" in shown
    assert "canary" not in shown
    source = load_config().provider("groq").key_source
    assert (code, source) == ((0, "(from the keyring)") if answer == "y" else (2, "$GROQ_API_KEY"))


def test_a_later_file_that_turns_the_keyring_off(write: Write, ring: Memory) -> None:
    write(P + KEYRING)
    local = write(KEYRING.replace("true", "false"), "config.local.toml")
    assert run("keys", "set", "p", stdin=b"sk\n").code == 0
    assert local.read_text() == KEYRING
    assert load_config().provider("p").key_source == "(from the keyring)"


def test_unset_of_a_key_that_is_gone_takes_the_setting_from_every_file(
    write: Write, ring: Memory
) -> None:
    path = write(P + KEYRING)
    local = write("[env]\nX = 1\n" + KEYRING, "config.local.toml")
    config = write("# mine\n" + KEYRING + "timeout = 3\n", "config.toml")
    done = run("keys", "unset", "p")
    assert done.code == 0
    assert "the keyring holds no key of provider p" in done.err
    assert tomli.loads(path.read_text()) == tomli.loads(P)
    assert "plugin" not in path.read_text() + local.read_text()
    assert config.read_text() == "# mine\n[plugin.litellm.providers.p]\ntimeout = 3\n"


@pytest.mark.parametrize("before", [{}, {("gptme-litellm", "p"): "sk-before"}])
@pytest.mark.parametrize("command", ["set", "unset"])
def test_a_file_that_cannot_be_written_leaves_the_keyring_as_it_is(
    write: Write,
    ring: Memory,
    command: str,
    before: dict[tuple[str, str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write(P + (KEYRING if command == "unset" else ""))
    ring.kept.update(before)
    monkeypatch.setattr("adapter.editing.writing.LOCK_SECONDS", 0.01)
    handle = os.open(path.parent / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)  # somebody else who writes, for too long
    done = run("keys", command, "p", stdin=b"sk-after\n")
    os.close(handle)
    assert done.code == 2
    assert "another program has been writing" in done.err
    assert ring.kept == before


def test_a_terminal_is_asked_for_the_key_of_the_keyring(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    path = write(P)
    code, shown = at_a_terminal("keys", "set", "p", answers={"Key": " "})
    assert (code, path.read_text()) == (2, P)
    assert "the key is empty" in shown
    code, shown = at_a_terminal("keys", "set", "p", answers={"Key": ["sk-ü", "sk-canary"]})
    assert code == 0
    assert "cannot be sent" in shown
    assert "canary" not in shown
    assert load_config().provider("p").key_source == "(from the keyring)"


@pytest.mark.parametrize("args", [("keys", "set", "p"), ("providers", "add", "groq", "--keyring")])
def test_without_a_keyring_no_key_is_asked_for(
    write: Write, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    path = write(P)
    code, shown = at_a_terminal(*args, answers={})
    assert (code, path.read_text()) == (1, P)
    assert shown.startswith("Error: the keyring: ")


def test_dry_runs_of_keys(write: Write, ring: Memory) -> None:
    path = write(P)
    done = run("keys", "set", "p", "--dry-run", stdin=b"sk\n")
    assert (done.code, ring.kept, path.read_text()) == (0, {}, P)
    assert f"+++ {path}\n" in done.out
    assert "+[plugin.litellm.providers.p]\n+api_key_keyring = true\n" in done.out
    run("keys", "set", "p", stdin=b"sk\n")
    before = path.read_text()
    done = run("keys", "unset", "p", "--dry-run")
    assert (done.code, path.read_text()) == (0, before)
    assert "-api_key_keyring = true\n" in done.out
    assert ring.kept == {("gptme-litellm", "p"): "sk"}


def test_keys_of_nobody_and_nothing(write: Write, ring: Memory) -> None:
    write('[[providers]]\nname = "p"\nbase_url = "http://localhost"\n')
    assert run("keys", "set", "q", stdin=b"x").code == 4
    assert run("keys", "set", "p", stdin=b"\n").code == 2
    assert run("keys", "set", "p", stdin="sk-ü".encode()).code == 3
    assert ring.kept == {}
    assert run("keys", "unset", "p").code == 0


def test_without_keyring(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write('[[providers]]\nname = "p"\nbase_url = "http://localhost"\n')
    monkeypatch.setitem(sys.modules, "keyring", None)
    done = run("keys", "set", "p", stdin=b"x")
    assert done.code == 1
    assert 'pip install "gptme-litellm[keyring]"' in done.err

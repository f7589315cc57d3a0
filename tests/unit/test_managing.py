"""``providers add/remove/show/discover``, ``config check/path`` and ``keys``, as commands."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

import keyring
import keyring.backend
import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.config.loading import Config, load_config
from adapter.errors import AdapterError, ConfigError
from adapter.providers.discovery import find_local
from adapter.providers.known import KNOWN, LOCAL
from adapter.providers.registration import NewProvider, add, remove
from adapter.secrets.secret import Secret
from adapter.sharing.applying import write_import
from adapter.sharing.importing import plan_import
from adapter.upstream.prefixes import OPENAI_COMPATIBLE
from tests.command import ROOT, at_a_terminal, run, run_apart
from tests.recorder import Recorder, Reply, recording_server

Write = Callable[..., Path]

GROQ = '[[providers]]\nname = "groq"\nbase_url = "https://h/v1"\ndefault_model = "m"\n'

FILE = """\
# mine

[[providers]]  # the first
name = "a"
base_url = "http://localhost:1/v1"
default_model = "m"

[models]
default = "a"  # kept

[[providers]]
name = "b"
base_url = "http://localhost:2/v1"

[plugin.litellm.providers.b]
timeout = 3

[theirs]
x = 1
"""


# ---- known providers


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_known_agrees_with_the_examples_and_with_litellm(name: str) -> None:
    row = KNOWN[name]
    tables = [
        table
        for path in sorted((ROOT / "config_examples").glob("*.toml"))
        for table in tomli.loads(path.read_text(encoding="utf-8"))["providers"]
    ]
    for table in tables:
        if table["name"] == name:
            assert (table["base_url"], table.get("api_key_env")) == row[1:3]
    if row.prefix:
        theirs = OPENAI_COMPATIBLE[row.prefix]
        assert theirs.base_url == row.base_url
        assert theirs.api_key_env == row.api_key_env or name == "aimlapi"


def test_the_names_of_the_issue_are_known() -> None:
    names = {"groq", "openrouter", "ollama", "vllm", "lmstudio", "requesty", "aimlapi", "chutes"}
    assert {*names, "deepseek"} <= set(KNOWN)


# ---- add


def test_a_known_name_is_enough(config_dir: Path) -> None:
    done = run("providers", "add", "groq")
    path = config_dir / "gptme.toml"
    assert (done.code, done.out) == (0, "")
    assert done.err == f"wrote {path}\nits key is not set yet: export GROQ_API_KEY=...\n"
    assert tomli.loads(path.read_text()) == {
        "providers": [
            {
                "name": "groq",
                "base_url": "https://api.groq.com/openai/v1",
                "api_key_env": "GROQ_API_KEY",
            }
        ]
    }


def test_another_base_url_does_not_get_the_known_key(config_dir: Path) -> None:
    run("providers", "add", "groq", "--base-url", "http://localhost:9/v1")
    assert load_config().provider("groq").api_key_env is None


def test_every_field(write: Write) -> None:
    path = write(FILE)
    done = run(
        "providers",
        "add",
        "new",
        "--base-url",
        "https://h/v1",
        "--api-key-env",
        "NEW_KEY",
        "--default-model",
        "org/m:free",
    )
    assert done.code == 0
    new = load_config().provider("new")
    assert (new.base_url, new.api_key_env, new.default_model) == (
        "https://h/v1",
        "NEW_KEY",
        "org/m:free",
    )
    kept = iter(path.read_text().splitlines())
    assert all(line in kept for line in FILE.splitlines())


def test_a_key_goes_to_the_private_file(write: Write) -> None:
    path = write(FILE)
    done = run(
        "providers",
        "add",
        "new",
        "--base-url",
        "https://h/v1",
        "--api-key-stdin",
        stdin=b"sk-canary\nmore\n",
    )
    local = path.with_name("config.local.toml")
    assert "canary" not in done.out + done.err + path.read_text()
    assert local.stat().st_mode & 0o777 == 0o600
    assert load_config().provider("new").api_key == "sk-canary"
    assert load_config().warnings == ()


def test_local_is_the_private_file(config_dir: Path) -> None:
    run("providers", "add", "x", "--base-url", "http://localhost:9/v1", "--local")
    assert [p.name for p in config_dir.iterdir()] == ["config.local.toml"]
    assert load_config().find("x") is not None


def test_the_local_provider_gets_a_name(config_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "OPENAI_BASE_URL" in run("providers", "add", "home", "--from-local").err
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:11434/v1")
    monkeypatch.setenv("MODEL", "local/llama3.2")
    run("providers", "add", "home", "--from-local")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    run("providers", "add", "keyed", "--from-local")
    home, keyed = load_config().providers
    assert (home.base_url, home.api_key_env, home.default_model) == (
        "http://localhost:11434/v1",
        None,
        "llama3.2",
    )
    assert keyed.api_key_env == "OPENAI_API_KEY"
    assert "canary" not in (config_dir / "gptme.toml").read_text()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["a", "--base-url", "http://h"], "provider 'a': is configured already"),
        (["x/y", "--base-url", "http://h"], "name contains '/'"),
        (["x", "--base-url", "h:80"], "base_url is not an absolute http(s) URL"),
        (["x", "--base-url", "http://u:canary@h"], "carries a user name or password"),
        (["x"], "x is no known provider: give --base-url URL"),
        ([], "name the provider"),
        (["x", "--base-url", "http://h", "--api-key-stdin"], "stdin holds no key"),
    ],
)
def test_what_cannot_be_added(write: Write, args: list[str], words: str) -> None:
    path = write(FILE)
    done = run("providers", "add", *args)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert "canary" not in done.err
    assert path.read_text() == FILE
    assert [p.name for p in path.parent.iterdir()] == ["gptme.toml"]


def test_a_dry_run(write: Write) -> None:
    path = write(FILE)
    done = run(
        "providers",
        "add",
        "new",
        "--base-url",
        "https://h/v1",
        "--api-key-stdin",
        "--dry-run",
        stdin=b"sk-canary",
    )
    assert '+name = "new"\n' in done.out
    assert '+api_key = "***"\n' in done.out
    assert path.read_text() == FILE
    assert [p.name for p in path.parent.iterdir()] == ["gptme.toml"]


def test_a_terminal_is_asked_for_what_is_missing(config_dir: Path) -> None:
    answers: dict[str, str | list[str]] = {
        "Name": "new",
        "Base URL": "https://h/v1",
        "Variable": "",
        "Key": "sk-canary",
        "Default model": "the-model",
    }
    code, shown = at_a_terminal("providers", "add", answers=answers)
    assert code == 0, shown
    assert "canary" not in shown
    new = load_config().provider("new")
    assert (new.base_url, new.api_key, new.default_model) == (
        "https://h/v1",
        "sk-canary",
        "the-model",
    )
    assert "canary" not in (config_dir / "gptme.toml").read_text()


def test_a_terminal_is_not_asked_for_what_is_known(config_dir: Path) -> None:
    code, shown = at_a_terminal("providers", "add", "groq", answers={"Default model": ""})
    assert code == 0
    assert "Base URL" not in shown
    assert "Key (" not in shown


# ---- add: what is no key, no variable, no server


def test_a_key_instead_of_a_variable_is_not_shown(write: Write) -> None:
    path = write(FILE)
    done = run("providers", "add", "groq", "--api-key-env", "sk-proj-canary")
    assert done.code == 2
    assert "is not the name of a variable" in done.err
    assert "--api-key-stdin" in done.err
    assert "canary" not in done.out + done.err
    assert path.read_text() == FILE


def test_a_terminal_asks_again_for_a_variable_and_a_url(config_dir: Path) -> None:
    answers: dict[str, str | list[str]] = {
        "Base URL": ["h:80", "http://u:canary@h", "https://h/v1"],
        "Variable": ["sk-proj-canary", "NEW_KEY"],
        "Default model": "",
    }
    code, shown = at_a_terminal("providers", "add", "new", answers=answers)
    assert code == 0, shown
    assert "is not an absolute http(s) URL" in shown
    assert "is not the name of a variable" in shown
    assert "Key (" not in shown
    assert load_config().provider("new").api_key_env == "NEW_KEY"


@pytest.mark.parametrize("name", ["a", "x/y"])
@pytest.mark.parametrize("more", [[], ["--base-url", "https://h/v1"]])
def test_a_name_is_refused_before_a_key_is_asked_for(
    write: Write, name: str, more: list[str]
) -> None:
    write(FILE)
    code, shown = at_a_terminal("providers", "add", name, *more, answers={})
    assert code == 2
    assert "is configured already" in shown or "name contains" in shown


def test_a_url_is_refused_before_a_key_is_asked_for(config_dir: Path) -> None:
    code, shown = at_a_terminal("providers", "add", "x", "--base-url", "h:80", answers={})
    assert code == 2
    assert "is not an absolute http(s) URL" in shown


def test_blank_input_is_no_key_and_a_key_that_cannot_be_sent_is_asked_for_again(
    config_dir: Path,
) -> None:
    known = ["--base-url", "https://h/v1", "--default-model", "m"]
    code, shown = at_a_terminal("providers", "add", "x", *known, answers={"Key": "   "})
    assert code == 0, shown
    assert [p.name for p in config_dir.iterdir()] == ["gptme.toml"]
    code, shown = at_a_terminal(
        "providers", "add", "y", *known, answers={"Key": ["sk-ü", "sk-canary"]}
    )
    assert code == 0, shown
    assert "cannot be sent" in shown
    assert load_config().provider("y").api_key == "sk-canary"


@pytest.mark.parametrize("args", [["providers", "add", "groq", "--api-key-stdin"], ["keys", "set"]])
def test_a_closed_stdin(write: Write, args: list[str]) -> None:
    path = write(FILE)
    args = [*args, "a"] if args == ["keys", "set"] else args
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "-m", "adapter", *args],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "there is no stdin" in done.stderr
    assert "Traceback" not in done.stderr
    assert path.read_text() == FILE


@pytest.mark.parametrize(
    ("stdin", "code", "words"),
    [
        (b"\xff\xfecanary\n", 2, "stdin holds no UTF-8 text"),
        (b" \n", 2, "stdin holds no key"),
        ("sk-canaryü".encode(), 3, "the key of provider 'groq' from stdin cannot be sent"),
        (b"sk-ca\x00nary", 3, "cannot be sent"),
        (b"c" * 10**6, 2, "is too long for a key"),
    ],
)
def test_what_is_no_key(write: Write, stdin: bytes, code: int, words: str) -> None:
    path = write(FILE)
    done = run("providers", "add", "groq", "--api-key-stdin", stdin=stdin)
    assert done.code == code
    assert words in done.err
    assert "canary" not in done.err
    assert path.read_text() == FILE
    assert [p.name for p in path.parent.iterdir()] == ["gptme.toml"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--api-key-env", "X_KEY", "--api-key-stdin"], "--api-key-env and --api-key-stdin"),
        (["--from-local", "--base-url", "http://h/v1"], "--from-local and --base-url"),
    ],
)
def test_options_that_exclude_each_other(
    config_dir: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], words: str
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    done = run("providers", "add", "groq", *args, stdin=b"sk-canary\n")
    assert (done.code, list(config_dir.iterdir())) == (2, [])
    assert words in done.err


@pytest.mark.parametrize(
    ("model", "default"), [("mylocal/llama", None), ("local/a/local/b", "a/local/b"), ("x", None)]
)
def test_only_a_leading_local_is_the_local_provider(
    config_dir: Path, monkeypatch: pytest.MonkeyPatch, model: str, default: str | None
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    monkeypatch.setenv("MODEL", model)
    run("providers", "add", "home", "--from-local")
    assert load_config().provider("home").default_model == default


def test_a_known_key_that_another_server_would_get_is_told(config_dir: Path) -> None:
    done = run("providers", "add", "groq", "--base-url", "http://localhost:9/v1")
    assert "warning: $GROQ_API_KEY, when it is set, is sent to http://localhost:9/v1" in done.err
    for args in (
        ["mistral", "--base-url", "http://localhost:9/v1", "--api-key-env", "X"],
        ["ollama", "--base-url", "http://localhost:9/v1"],
        ["xai", "--base-url", "https://api.x.ai/v1/"],
    ):
        assert "warning" not in run("providers", "add", *args).err
    assert load_config().provider("xai").api_key_env == "XAI_API_KEY"


# ---- add: names that are known


def test_known_names_are_told_wherever_one_is_wanted(config_dir: Path) -> None:
    names = ", ".join(KNOWN)
    assert names in " ".join(run("providers", "add", "--help").out.split())
    done = run("providers", "add", "grok")
    assert "grok is no known provider (did you mean 'groq'?): give --base-url URL, or" in done.err
    assert names in done.err
    answers: dict[str, str | list[str]] = {"Name": "groq", "Default model": ""}
    code, shown = at_a_terminal("providers", "add", answers=answers)
    assert code == 0, shown
    assert names in shown
    complete = {"COMP_TYPED": "adapter providers add gr", "_ADAPTER_COMPLETE": "bash_complete"}
    assert run_apart({**os.environ, **complete}).stdout == "plain,groq\n"


def test_add_with_the_keyring(config_dir: Path, ring: Memory, server: Recorder) -> None:
    done = run("providers", "add", "groq", "--keyring", stdin=b"sk-canary\n")
    assert (done.code, done.out) == (0, "")
    path = config_dir / "gptme.toml"
    assert done.err == f"wrote {path}\n"
    assert [p.name for p in config_dir.iterdir()] == ["gptme.toml"]
    assert "canary" not in path.read_text()
    groq = load_config().provider("groq")
    assert (groq.api_key_env, groq.key_source) == (None, "(from the keyring)")
    assert groq.resolve_key().value == "sk-canary"


def test_a_terminal_is_asked_for_the_key_that_goes_to_the_keyring(
    config_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    answers: dict[str, str | list[str]] = {"Base URL": "https://h/v1", "Key": "sk-canary"}
    args = ["providers", "add", "mine", "--keyring", "--default-model", "m"]
    code, shown = at_a_terminal(*args, answers=answers)
    assert code == 0, shown
    assert "Variable" not in shown
    assert load_config().provider("mine").key_source == "(from the keyring)"
    assert [p.name for p in config_dir.iterdir()] == ["gptme.toml"]


def test_add_with_the_keyring_stores_nothing_that_cannot_be_added(
    config_dir: Path, ring: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("providers", "add", "groq", "--keyring", "--dry-run", stdin=b"sk-canary\n").code == 0
    assert run("providers", "add", "x/y", "--keyring", stdin=b"sk-canary\n").code == 2
    assert run("providers", "add", "groq", "--keyring", stdin=b"\n").code == 2
    for args in (["--api-key-env", "X"], ["--from-local"]):
        done = run("providers", "add", "groq", "--keyring", *args, stdin=b"sk-canary\n")
        assert done.code == 2
        assert "exclude each other" in done.err
    monkeypatch.setattr("adapter.editing.writing.LOCK_SECONDS", 0.01)
    handle = os.open(config_dir, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)  # somebody else who writes, for too long
    done = run("providers", "add", "groq", "--keyring", stdin=b"sk-canary\n")
    os.close(handle)
    assert done.code == 2
    assert (ring.kept, list(config_dir.iterdir())) == ({}, [])


# ---- remove


def test_remove_takes_all_of_it(write: Write) -> None:
    path = write(FILE)
    local = write('[[providers]]\nname = "b"\napi_key = "sk-canary"\n', "config.local.toml")
    done = run("providers", "remove", "b")
    assert (done.code, done.out) == (0, "")
    text = path.read_text()
    assert [p.name for p in load_config().providers] == ["a"]
    assert "timeout" not in text
    for kept in ("# mine", "# the first", "# kept", "[theirs]\nx = 1"):
        assert kept in text
    assert "canary" not in local.read_text()
    assert load_config().warnings == ()


def test_remove_of_nobody(write: Write) -> None:
    path = write(FILE)
    done = run("providers", "remove", "c")
    assert done.code == 4
    assert path.read_text() == FILE
    assert run("providers", "remove", "b", "--dry-run").out.count('-name = "b"') == 1
    assert path.read_text() == FILE


# ---- show


def test_show(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(FILE)
    write(
        '[[providers]]\nname = "groq"\nbase_url = "https://g/v1"\napi_key = "sk-canary"\n'
        '[plugin.litellm.providers.groq.extra_headers]\nAuthorization = "canary"\nX-Team = "t"\n',
        "config.local.toml",
    )
    shown = run("providers", "show", "b").out
    assert f"Files: {path}" in shown
    assert "Key source: $B_API_KEY (default)" in shown
    assert "Key: not set, so a placeholder is sent" in shown
    assert "timeout: 3" in shown
    assert "has no default_model" in shown
    data = json.loads(run("providers", "show", "groq", "--json").out)
    assert data["api_key"] == data["litellm"]["api_key"] == "***"
    assert data["litellm"]["extra_headers"] == {"Authorization": "***", "X-Team": "***"}
    assert "shadows LiteLLM's built-in groq: groq/... goes here" in data["warnings"]
    assert "canary" not in str(data) + run("providers", "show", "groq").out
    monkeypatch.setenv("B_API_KEY", "sk-canary")
    assert "Key: set" in run("providers", "show", "b").out
    assert run("providers", "show", "nobody").code == 4


def test_show_says_what_is_missing(write: Write) -> None:
    write('[[providers]]\nname = "x"\nbase_url = "http://localhost"\napi_key_env = "NOT_SET"\n')
    assert (
        "Key: missing: provider 'x' takes its key from $NOT_SET"
        in run("providers", "show", "x").out
    )


def test_show_hides_every_header_that_is_written_out(write: Write) -> None:
    path = write(FILE)
    local = write(
        "[plugin.litellm.providers.a]\n"
        'extra_headers = { X-Team = "canary", X-Key = "$HEADER_KEY", X-Cost = "$5canary" }\n'
        'headers = { X-Other = "canary" }\n',
        "config.local.toml",
    )
    data = json.loads(run("providers", "show", "a", "--json").out)
    headers = {"X-Team": "***", "X-Key": "$HEADER_KEY", "X-Cost": "***"}
    assert data["litellm"]["extra_headers"] == headers
    assert data["litellm"]["headers"] == {"X-Other": "***"}
    assert data["files"] == [str(path), str(local)]
    shown = run("providers", "show", "a").out
    assert "canary" not in shown
    assert (
        "Warning: the header X-Key takes its value from $HEADER_KEY, which is not set: calls fail"
        in shown
    )


# ---- discover


def test_servers_on_this_machine(server: Recorder) -> None:
    port = int(server.origin.rpartition(":")[2])
    (found,) = find_local(Config(), {"ollama": port, "vllm": 1})
    assert found == ("ollama", f"http://localhost:{port}/v1", ["m"])
    assert "authorization" not in server.only.headers


def test_servers_that_are_configured_are_not_offered(server: Recorder, write: Write) -> None:
    port = int(server.origin.rpartition(":")[2])
    write(f'[[providers]]\nname = "mine"\nbase_url = "http://127.0.0.1:{port}/v1/"\n')
    assert list(find_local(load_config(), {"ollama": port})) == []


@pytest.mark.parametrize("host", ["LOCALHOST", "[::1]", "127.0.0.1", "127.1.2.3", "a.localhost"])
def test_this_machine_has_many_names(server: Recorder, write: Write, host: str) -> None:
    port = int(server.origin.rpartition(":")[2])
    write(f'[[providers]]\nname = "mine"\nbase_url = "http://{host}:{port}/v1"\n')
    assert list(find_local(load_config(), {"ollama": port})) == []
    write(f'[[providers]]\nname = "mine"\nbase_url = "http://{host}:1/v1"\n')
    assert [f.name for f in find_local(load_config(), {"ollama": port})] == ["ollama"]
    write(f'[[providers]]\nname = "mine"\nbase_url = "http://elsewhere:{port}/v1"\n')
    assert [f.name for f in find_local(load_config(), {"ollama": port})] == ["ollama"]


def test_a_proxy_is_not_asked_for_this_machine(
    server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    port = int(server.origin.rpartition(":")[2])
    assert [f.name for f in find_local(Config(), {"ollama": port})] == ["ollama"]


def test_what_discover_prints_can_be_pasted(
    write: Write, server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = "a 'b'; echo $(id) `id`"
    server.script = lambda request: Reply(200, json.dumps({"data": [{"id": model}]}).encode())
    url = server.base_url
    for name in LOCAL:  # all other ports stay closed
        base_url = url if name == "ollama" else "http://127.0.0.1:1/v1"
        monkeypatch.setitem(KNOWN, name, KNOWN[name]._replace(base_url=base_url))
    write(
        '[[providers]]\nname = "ollama"\nbase_url = "http://h"\n'
        '[[providers]]\nname = "ollama-2"\nbase_url = "http://h"\n'
    )
    done = run("providers", "discover")
    assert done.code == 0
    lines = [line.partition(": ")[2] for line in done.err.splitlines()]
    assert shlex.split(lines[0]) == [
        *("adapter", "providers", "add", "ollama-3"),
        *("--base-url", url, "--default-model", model),
    ]
    assert len(lines) == 1
    assert run(*shlex.split(lines[0])[1:]).code == 0
    assert load_config().provider("ollama-3").default_model == model


# ---- config check, config path


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


# ---- keys in the keyring


class Memory(keyring.backend.KeyringBackend):
    """A keyring in memory, with the interface of those of operating systems."""

    priority = 1.0

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def ring() -> Iterator[Memory]:
    before = keyring.get_keyring()
    memory = Memory()
    keyring.set_keyring(memory)
    yield memory
    keyring.set_keyring(before)


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
    assert "it holds no key of that name: adapter keys set p" in done.err


KEYRING = "[plugin.litellm.providers.p]\napi_key_keyring = true\n"
P = '[[providers]]\nname = "p"\nbase_url = "http://localhost"\n'


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
    assert f"{name} comes before the keyring" in done.err
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
    assert "or give --replace" in run("keys", "set", "p", stdin=b"sk-canary\n").err
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
    """``providers add groq`` names a variable, which comes before the keyring."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    run("providers", "add", "groq")
    answers: dict[str, str | list[str]] = {"Remove that": answer}
    code, shown = at_a_terminal(
        *("keys", "set", "groq"), answers=answers | ({"Key": "sk-canary"} if answer == "y" else {})
    )
    assert "api_key_env comes before the keyring" in shown
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
    handle = os.open(path.parent, os.O_RDONLY)
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


# ---- models default, and nothing configured


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
    assert done.err == "[models] default is not set; without -m it is p\n"
    run("models", "default", "p/n")
    assert tomli.loads(path.read_text())["models"] == {"default": "p/n"}


def test_a_provider_may_have_the_name_of_a_command(write: Write, server: Recorder) -> None:
    write(P.replace('"p"', '"default"').replace("http://localhost", server.base_url))
    assert run("models", "list", "default").out == "default/m\n"
    assert run("models").out == "default/m\n"


# ---- all of it


@settings(max_examples=1, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "remove", "import"]), st.integers(0, 4)),
        min_size=1000,
        max_size=1000,
    )
)
def test_a_thousand_edits_keep_what_is_not_ours(steps: list[tuple[str, int]]) -> None:
    folder = Path("edits")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    path, source = folder / "gptme.toml", folder / "x.yaml"
    path.write_text(FILE)
    expected = {"a", "b"}
    os.environ["ADAPTER_CONFIG"] = str(path)
    try:
        for step, number in steps:
            name, base = f"n{number}", f"http://h{number}/v1"
            with suppress(AdapterError):  # there already, or not there
                if step == "add":
                    expected.add(name)
                    add(NewProvider(name, base), load_config())
                elif step == "remove":
                    remove(name, load_config())
                    expected.discard(name)
                else:
                    expected.add(name)
                    params = {"model": "openai/*", "api_base": base}
                    entry = {"model_name": f"{name}/*", "litellm_params": params}
                    source.write_text(json.dumps({"model_list": [entry]}))
                    write_import(plan_import(source, load_config()), load_config(), path)
            assert {p.name for p in load_config().providers} == expected
    finally:
        del os.environ["ADAPTER_CONFIG"]
    text = path.read_text()
    for kept in ("# mine", "# the first", "# kept", "[theirs]\nx = 1", "timeout = 3"):
        assert kept in text


def test_no_command_here_imports_litellm(write: Write) -> None:
    write(FILE)
    commands: list[Any] = [
        ["providers", "add", "groq"],
        ["providers", "show", "a"],
        ["providers", "remove", "b"],
        ["config", "check"],
        ["config", "path"],
    ]
    code = (
        "import sys; from adapter.cli.main import run\n"
        f"for args in {commands!r}: run(args)\n"
        "sys.exit('litellm' in sys.modules or 'httpx' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr


def test_of_two_who_add_the_same_name_one_is_told(config_dir: Path) -> None:
    config = load_config()
    key = Secret("sk-canary-of-the-first")
    add(NewProvider("same", "http://localhost:1/v1", api_key=key), config)
    before = {p: p.read_text() for p in config_dir.iterdir()}
    with pytest.raises(ConfigError, match="'same': is configured already"):  # as it was read before
        add(NewProvider("same", "http://localhost:2/v1", api_key=Secret("sk-other")), config)
    assert {p: p.read_text() for p in config_dir.iterdir()} == before


def test_an_add_that_cannot_write_one_file_writes_none(config_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file")
    config_dir.mkdir(parents=True, exist_ok=True)
    (config_dir / "config.local.toml").symlink_to(tmp_path / "folder" / "local.toml")
    new = NewProvider("new", "http://localhost:1/v1", api_key=Secret("sk-canary"))
    with pytest.raises(ConfigError, match="cannot be written"):
        add(new, load_config())
    assert not (config_dir / "gptme.toml").exists()


@pytest.mark.parametrize("command", ["add", "import"])
def test_a_file_that_is_named_but_not_there_is_made(config_dir: Path, command: str) -> None:
    if command == "add":
        done = run("providers", "add", "groq", "--config", "new.toml")
    else:
        Path("config.yaml").write_text(
            "model_list:\n- model_name: groq\n  litellm_params:\n    model: groq/llama\n"
        )
        done = run("config", "import", "config.yaml", "--config", "new.toml")
    assert done.code == 0, done.err
    assert load_config("new.toml").provider("groq").key_source == "$GROQ_API_KEY"
    assert not list(config_dir.iterdir())


def test_a_diff_keeps_tabs_and_nothing_else_of_a_terminal(write: Write) -> None:
    write('# a\ttab \u202e and a turn\n[[providers]]\nname = "a"\nbase_url = "http://a"\n')
    done = run("providers", "remove", "a", "--dry-run")
    assert " # a\ttab \\u202e and a turn\n" in done.out


def test_remove_says_that_a_key_stays_in_the_keyring(write: Write, ring: Memory) -> None:
    write(P + KEYRING)
    assert (
        "stays in the keyring: service gptme-litellm, user p" in run("providers", "remove", "p").err
    )


def test_discover_offers_what_it_finds(config_dir: Path) -> None:
    """On LM Studio's own port, where none of these servers runs."""
    if list(find_local(load_config())):
        pytest.skip("a model server runs on this machine")
    try:
        with recording_server(1234) as found:
            code, shown = at_a_terminal("providers", "discover", answers={"Add lmstudio?": "y"})
            assert code == 0
            assert found.only.path == "/v1/models"
    except OSError:
        pytest.skip("port 1234 is taken")
    assert "lmstudio: http://localhost:1234/v1 (m)" in shown
    provider = load_config().provider("lmstudio")
    assert (provider.base_url, provider.default_model) == ("http://localhost:1234/v1", "m")

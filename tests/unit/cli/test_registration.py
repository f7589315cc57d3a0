"""``providers add``, ``remove`` and ``discover``, as commands."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.config.loading import Config, load_config
from adapter.config.presets import LOCAL, PRESETS
from adapter.config.provider import Provider
from adapter.editing.writing import LOCK
from adapter.errors import AdapterError, ConfigError
from adapter.providers.discovery import find_local
from adapter.providers.registration import add, remove
from adapter.secrets.secret import Secret
from adapter.sharing.applying import write_import
from adapter.sharing.importing import plan_import
from adapter.upstream.prefixes import COMPATIBLE_BASES, OPENAI_COMPATIBLE
from tests.command import ROOT, at_a_terminal, run, run_apart
from tests.recorder import Recorder, Reply, recording_server
from tests.unit.cli.conftest import Memory
from tests.unit.cli.samples import FILE, KEYRING, P

Write = Callable[..., Path]

ADD_NEW = ("providers", "add", "new", "--base-url", "https://h/v1")


# ---- known providers


LITELLMS_NAMES = {"aimlapi": "aiml", "fireworks": "fireworks_ai", "together": "together_ai"}


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_known_agrees_with_the_examples_and_with_litellm(name: str) -> None:
    row = PRESETS[name]
    tables = [
        table
        for path in sorted((ROOT / "config_examples").glob("*.toml"))
        for table in tomli.loads(path.read_text(encoding="utf-8"))["providers"]
    ]
    for table in tables:
        if table["name"] == name:
            assert (table["base_url"], table.get("api_key_env")) == (
                row.base_url,
                row.api_key_env,
            )
    theirs = {**COMPATIBLE_BASES, **OPENAI_COMPATIBLE}.get(LITELLMS_NAMES.get(name, name))
    if row.api_key_env and name not in ("deepseek", "litellm-proxy", "requesty"):
        assert theirs is not None
        assert theirs.base_url == row.base_url
        assert theirs.api_key_env == row.api_key_env or name == "aimlapi"


def test_the_names_of_the_issue_are_known() -> None:
    names = {"groq", "openrouter", "ollama", "vllm", "lmstudio", "requesty", "aimlapi", "chutes"}
    assert {*names, "deepseek"} <= set(PRESETS)


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
        *ADD_NEW,
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
        *ADD_NEW,
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
        (["a", "--base-url", "http://h"], "provider 'a': is already configured"),
        (["x/y", "--base-url", "http://h"], "name contains '/'"),
        (["x", "--base-url", "h:80"], "base_url is not an absolute http(s) URL"),
        (["x", "--base-url", "http://u:canary@h"], "contains a user name or password"),
        (["x"], "x is not a known provider: give --base-url URL"),
        ([], "name the provider"),
        (["x", "--base-url", "http://h", "--api-key-stdin"], "stdin contains no key"),
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
        *ADD_NEW,
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
    code, shown = at_a_terminal("providers", "add", "ollama", answers={"Default model": "m"})
    assert code == 0
    assert "Key (" not in shown  # it needs none


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
    assert "is already configured" in shown or "name contains" in shown


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
        (b"\xff\xfecanary\n", 2, "stdin is not UTF-8 text"),
        (b" \n", 2, "stdin contains no key"),
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
    assert "warning: if $GROQ_API_KEY is set, it is sent to http://localhost:9/v1" in done.err
    for args in (
        ["mistral", "--base-url", "http://localhost:9/v1", "--api-key-env", "X"],
        ["ollama", "--base-url", "http://localhost:9/v1"],
        ["xai", "--base-url", "https://api.x.ai/v1/"],
    ):
        assert "warning" not in run("providers", "add", *args).err
    assert load_config().provider("xai").api_key_env == "XAI_API_KEY"


# ---- add: names that are known


def test_known_names_are_told_wherever_one_is_wanted(config_dir: Path) -> None:
    names = ", ".join(PRESETS)
    assert names in " ".join(run("providers", "add", "--help").out.split())
    done = run("providers", "add", "grok")
    assert (
        "grok is not a known provider (did you mean 'groq'?): give --base-url URL, or" in done.err
    )
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
        assert "cannot be used together" in done.err
    monkeypatch.setattr("adapter.editing.writing.LOCK_SECONDS", 0.01)
    handle = os.open(config_dir / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)  # somebody else who writes, for too long
    done = run("providers", "add", "groq", "--keyring", stdin=b"sk-canary\n")
    os.close(handle)
    assert done.code == 2
    assert (ring.kept, list(config_dir.iterdir())) == ({}, [config_dir / LOCK])


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


# ---- discover


@pytest.fixture
def port(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> int:
    """The port on which ``server`` is found as Ollama; all other usual ones are closed."""
    port = int(server.origin.rpartition(":")[2])
    for name in LOCAL:
        base_url = f"http://localhost:{port if name == 'ollama' else 1}/v1"
        monkeypatch.setitem(PRESETS, name, replace(PRESETS[name], base_url=base_url))
    return port


def names_of_local(config: Config) -> list[str]:
    return [provider.name for provider, _ in find_local(config)]


def test_servers_on_this_machine(server: Recorder, port: int) -> None:
    ((found, models),) = find_local(Config())
    assert (found.name, found.base_url) == ("ollama", f"http://localhost:{port}/v1")
    assert models == ["m"]
    assert "authorization" not in server.only.headers


def test_servers_that_are_configured_are_not_offered(write: Write, port: int) -> None:
    write(f'[[providers]]\nname = "mine"\nbase_url = "http://127.0.0.1:{port}/v1/"\n')
    assert names_of_local(load_config()) == []


@pytest.mark.parametrize("host", ["LOCALHOST", "[::1]", "127.0.0.1", "127.1.2.3", "a.localhost"])
def test_this_machine_has_many_names(write: Write, port: int, host: str) -> None:
    write(f'[[providers]]\nname = "mine"\nbase_url = "http://{host}:{port}/v1"\n')
    assert names_of_local(load_config()) == []
    write(f'[[providers]]\nname = "mine"\nbase_url = "http://{host}:1/v1"\n')
    assert names_of_local(load_config()) == ["ollama"]
    write(f'[[providers]]\nname = "mine"\nbase_url = "http://elsewhere:{port}/v1"\n')
    assert names_of_local(load_config()) == ["ollama"]


@pytest.mark.usefixtures("port")
def test_a_proxy_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert names_of_local(Config()) == ["ollama"]


def test_what_discover_prints_can_be_pasted(
    write: Write, server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = "a 'b'; echo $(id) `id`"
    server.script = lambda request: Reply(200, json.dumps({"data": [{"id": model}]}).encode())
    url = server.base_url
    for name in LOCAL:  # all other ports stay closed
        base_url = url if name == "ollama" else "http://127.0.0.1:1/v1"
        monkeypatch.setitem(PRESETS, name, replace(PRESETS[name], base_url=base_url))
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
                    add(Provider(name, base), load_config())
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
    add(Provider("same", "http://localhost:1/v1", api_key=key), config)
    before = {p: p.read_text() for p in config_dir.iterdir()}
    with pytest.raises(ConfigError, match="'same': is already configured"):  # as it was read before
        add(Provider("same", "http://localhost:2/v1", api_key=Secret("sk-other")), config)
    assert {p: p.read_text() for p in config_dir.iterdir()} == before


def test_an_add_that_cannot_write_one_file_writes_none(config_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file")
    config_dir.mkdir(parents=True, exist_ok=True)
    (config_dir / "config.local.toml").symlink_to(tmp_path / "folder" / "local.toml")
    new = Provider("new", "http://localhost:1/v1", api_key=Secret("sk-canary"))
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


def test_remove_says_that_the_default_model_was_the_providers(write: Write) -> None:
    write(FILE)
    assert "note" not in run("providers", "remove", "b").err
    note = "note: the default model is still a: `adapter models default MODEL` sets another\n"
    assert run("providers", "remove", "a").err.endswith(note)


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

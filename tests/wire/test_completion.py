"""``adapter completion``: the scripts in real shells."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from adapter.config.loading import load_config
from adapter.providers.model_cache import cache_models
from tests.command import console_script, is_readable, provider, run

WORDS = [
    (["adapter", "pro"], {"providers"}),
    (["adapter", "-m", "gr"], {"groq"}),
    (["adapter", "-m", "groq/"], {"groq/llama", "groq/org/model"}),
    (["adapter", "providers", "show", ""], {"groq", "vllm-local"}),
    (["adapter", "providers", "te"], {"test"}),
    (["adapter", "config", "export", "vl"], {"vllm-local"}),
    (["adapter", "--sch"], {"--schema", "--schema-multi"}),
    (["adapter", "--fallback", "vllm"], {"vllm-local"}),
    (["adapter", "hello", "wor"], set()),
]


@pytest.fixture
def environ(write: Callable[..., Path], tmp_path: Path) -> dict[str, str]:
    write(provider("http://localhost:1/v1", "groq") + provider("http://localhost:2", "vllm-local"))
    providers = load_config().providers
    cache_models({"groq": ["llama", "org/model"]}, providers)
    folder = tmp_path / "bin"
    folder.mkdir()
    console_script(folder)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PATH": path, "PYTHONPATH": root}


def shell(name: str) -> str:
    found = shutil.which(name)
    if not found:
        pytest.skip(f"there is no {name} (Debian: apt install {name})")
    return found


def output(command: list[str], environ: dict[str, str]) -> str:
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


EQUALS = [
    (["adapter", "--model=groq/"], {"groq/llama", "groq/org/model"}),
    (["adapter", "query", "--fallback=vllm"], {"vllm-local"}),
]
"""Of which bash takes what follows the sign for a word of its own."""

BASH = [*WORDS, *EQUALS]


@pytest.mark.parametrize(("words", "expected"), BASH, ids=[" ".join(w) for w, _ in BASH])
def test_bash(environ: dict[str, str], words: list[str], expected: set[str]) -> None:
    line = " ".join(words)
    script = (
        'eval "$(adapter completion bash)"\n'
        f"COMP_LINE='{line}'\nCOMP_POINT={len(line)}\n"
        '_adapter_completion adapter\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    found = output([shell("bash"), "--norc", "-c", script], environ)
    assert set(filter(None, found.splitlines())) == expected


@pytest.mark.parametrize(("words", "expected"), WORDS, ids=[" ".join(w) for w, _ in WORDS])
def test_fish(environ: dict[str, str], words: list[str], expected: set[str]) -> None:
    line = " ".join(words)
    script = f"adapter completion fish | source; complete -C '{line}'"
    found = output([shell("fish"), "--no-config", "-c", script], environ)
    offered = {row.partition("\t")[0] for row in found.splitlines()}
    assert expected <= offered
    if expected:
        assert offered <= expected


@pytest.mark.parametrize(("words", "expected"), WORDS, ids=[" ".join(w) for w, _ in WORDS])
def test_zsh(environ: dict[str, str], words: list[str], expected: set[str]) -> None:
    quoted = " ".join(f"'{word}'" for word in words)
    # the function of the script, with what zsh's completion system would give and take
    script = (
        "compdef() { : }\n"
        'eval "$(adapter completion zsh)"\n'
        "compadd() { while [[ $1 == -* ]]; do "
        "if [[ $1 == -d ]]; then shift; fi; "
        "if [[ $1 == -a || $1 == -- ]]; then shift; break; fi; shift; done; "
        'for name in $@; do print -l -- "${(@P)name}"; done }\n'
        '_describe() { local n=$3; for item in "${(@P)n}"; do print -r -- "${item%%:*}"; done }\n'
        f"words=({quoted}); CURRENT={len(words)}\n_adapter_completion\n"
    )
    found = output([shell("zsh"), "-f", "-c", script], environ)
    offered = set(filter(None, found.splitlines()))
    assert expected <= offered, found


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_script_is_printed_and_says_where_it_goes(name: str) -> None:
    done = run("completion", name)
    assert (done.code, done.err) == (0, "")
    assert "_ADAPTER_COMPLETE" in done.out
    assert done.out.startswith("# ")
    assert run("completion", "tcsh").code == 2


def test_a_broken_configuration_completes_nothing_and_says_nothing(
    environ: dict[str, str], write: Callable[..., Path]
) -> None:
    write("[broken")
    asked = {"_ADAPTER_COMPLETE": "bash_complete", "COMP_TYPED": "adapter -m g"}
    assert output(["adapter"], {**environ, **asked}).strip() == ""


def test_aliases_are_completed_as_models(
    environ: dict[str, str], write: Callable[..., Path]
) -> None:
    aliases = "[plugin.litellm.router_settings.model_group_alias]\n"
    write(f'{aliases}claude-sonnet-4-6 = "groq"\n"cl $(x)" = "groq"\n')
    asked = {"_ADAPTER_COMPLETE": "bash_complete", "COMP_TYPED": "adapter -m cl"}
    done = output(["adapter"], {**environ, **asked})
    assert done.split() == ["plain,claude-sonnet-4-6"]


def test_completing_imports_nothing_heavy(environ: dict[str, str]) -> None:
    code = (
        "import sys\nfrom adapter.cli.main import main\ntry:\n    main()\nexcept SystemExit:\n"
        "    sys.exit(any(m in sys.modules for m in ('litellm', 'httpx', 'yaml', 'tomlkit')))\n"
    )
    asked = {"_ADAPTER_COMPLETE": "bash_complete", "COMP_TYPED": "adapter -m g"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**environ, **asked}, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"plain,groq\n")


def type_into(
    command: list[str], environ: dict[str, str], setup: str, keys: str, until: str
) -> str:
    """Type ``keys`` into an interactive shell; return what it shows until ``until`` is there."""
    user, program = pty.openpty()
    calm = {**environ, "PS1": "ready> ", "TERM": "dumb"}
    process = subprocess.Popen(
        command, env=calm, stdin=program, stdout=program, stderr=program, start_new_session=True
    )
    os.close(program)
    shown = ""

    def wait_for(text: str) -> None:
        nonlocal shown
        while text not in shown:
            assert is_readable(user), f"{text!r} did not come: {shown!r}"
            shown += os.read(user, 65536).decode()

    try:
        wait_for("ready> ")
        os.write(user, f'{setup}; echo set""up\n'.encode())
        wait_for("setup\r\n")
        wait_for("ready> ")
        shown = ""
        os.write(user, keys.encode())
        wait_for(until)
        return shown
    finally:
        process.kill()
        process.wait()
        os.close(user)


def type_into_bash(environ: dict[str, str], keys: str, until: str) -> str:
    command = [shell("bash"), "--norc", "--noprofile", "-i"]
    return type_into(command, environ, 'eval "$(adapter completion bash)"', keys, until)


@pytest.mark.parametrize(
    ("typed", "until"),
    [
        ("adapter pro\t", "adapter providers "),
        ("adapter providers rem\t", "adapter providers remove "),
        ("adapter -m gr\t", "adapter -m groq"),
        ("adapter -m groq/l\t", "adapter -m groq/llama "),
        ("adapter -m groq/a\t", "adapter -m groq/a:b "),
        ("adapter --fallback v\t", "adapter --fallback vllm-local"),
    ],
)
def test_zsh_as_a_user_types(environ: dict[str, str], typed: str, until: str) -> None:
    """zsh's own completion system, which knows nothing of ours but the script."""
    cache_models({"groq": ["llama", "a:b"]}, load_config().providers)
    setup = 'autoload -U compinit; compinit -u -D; eval "$(adapter completion zsh)"'
    # without its line editor's bracketed paste and its mark for a missing newline
    command = [shell("zsh"), "-f", "-i", "+o", "prompt_sp", "+o", "prompt_cr"]
    shown = type_into(command, environ, setup, typed, until)
    assert until in shown


@pytest.mark.parametrize("option", ["-m ", "--model "])
def test_bash_completes_past_a_colon(environ: dict[str, str], option: str) -> None:
    """Readline breaks words at a colon: only what follows it is replaced."""
    cache_models({"groq": ["llama3.2:1b", "llama3.2:3b"]}, load_config().providers)
    typed = f"adapter {option}groq/llama3.2:1\t"
    shown = type_into_bash(environ, typed, "1b ")
    assert shown.endswith(f"adapter {option}groq/llama3.2:1b ")


def test_what_a_server_calls_its_models_is_not_run(environ: dict[str, str]) -> None:
    """Bash inserts a completion as it is, so that `$(...)` would be run with the line."""
    evil = ["$(touch${IFS}made)", "`id`", "a;b", "a b", "x*", "a,b", "a\nb", "a'b", 'a"b', "fine"]
    cache_models({"groq": evil}, load_config().providers)
    asked = {"_ADAPTER_COMPLETE": "bash_complete", "COMP_TYPED": "adapter -m groq/"}
    assert output(["adapter"], {**environ, **asked}) == "plain,groq/fine\n"
    shown = type_into_bash(environ, 'adapter -m groq/\t; echo en""d\n', "end\r\n")
    assert "groq/fine ;" in shown
    assert not Path("made").exists()

"""``adapter completion``: the scripts in real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from adapter.config import load_config
from adapter.model_cache import remember
from tests.command import console_script, provider, run

WORDS = [
    (["adapter", "pro"], {"providers"}),
    (["adapter", "-m", "gr"], {"groq"}),
    (["adapter", "-m", "groq/"], {"groq/llama", "groq/org/model"}),
    (["adapter", "providers", "show", ""], {"groq", "vllm-local"}),
    (["adapter", "providers", "te"], {"test"}),
    (["adapter", "config", "export", "vl"], {"vllm-local"}),
    (["adapter", "--sch"], {"--schema"}),
    (["adapter", "--fallback", "vllm"], {"vllm-local"}),
    (["adapter", "hello", "wor"], set()),
]


@pytest.fixture
def environ(write: Callable[..., Path], tmp_path: Path) -> dict[str, str]:
    write(provider("http://localhost:1/v1", "groq") + provider("http://localhost:2", "vllm-local"))
    providers = load_config().providers
    remember({"groq": ["llama", "org/model"]}, providers)
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


@pytest.mark.parametrize(("words", "expected"), WORDS, ids=" ".join)
def test_bash(environ: dict[str, str], words: list[str], expected: set[str]) -> None:
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        'eval "$(adapter completion bash)"\n'
        f"COMP_WORDS=({quoted})\nCOMP_CWORD={len(words) - 1}\n"
        '_adapter_completion adapter\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    found = output([shell("bash"), "--norc", "-c", script], environ)
    assert set(filter(None, found.splitlines())) == expected


@pytest.mark.parametrize(("words", "expected"), WORDS, ids=" ".join)
def test_fish(environ: dict[str, str], words: list[str], expected: set[str]) -> None:
    line = " ".join(words)
    script = f"adapter completion fish | source; complete -C '{line}'"
    found = output([shell("fish"), "--no-config", "-c", script], environ)
    offered = {row.partition("\t")[0] for row in found.splitlines()}
    assert expected <= offered
    if expected:
        assert offered <= expected


@pytest.mark.parametrize(("words", "expected"), WORDS, ids=" ".join)
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
    asked = {"_ADAPTER_COMPLETE": "bash_complete", "COMP_WORDS": "adapter -m g", "COMP_CWORD": "2"}
    assert output(["adapter"], {**environ, **asked}).strip() == ""


def test_completing_imports_nothing_heavy(environ: dict[str, str]) -> None:
    code = (
        "import sys\nfrom adapter.cli.main import main\ntry:\n    main()\nexcept SystemExit:\n"
        "    sys.exit(any(m in sys.modules for m in ('litellm', 'httpx', 'yaml', 'tomlkit')))\n"
    )
    asked = {"_ADAPTER_COMPLETE": "bash_complete", "COMP_WORDS": "adapter -m g", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**environ, **asked}, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"plain,groq\n")

"""A query for a provider that LiteLLM knows and nobody has configured."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import adapter
from adapter import Resolution, UnknownProviderError, resolve
from tests.command import provider, run

Write = Callable[..., Path]

NAMES = ("groq", "ollama", "openrouter", "deepseek", "mistral", "azure", "vllm", "openai")


@pytest.mark.parametrize("name", [*NAMES, "anthropic", "github_copilot", "lmstudio", "together"])
def test_the_command_says_how_to_add_it(config_dir: Path, name: str) -> None:
    done = run("-m", name, "hi")
    assert (done.code, done.out) == (4, "")
    assert done.err == (
        f"Error: no provider named {name!r} is configured (configured: none); "
        f"`adapter providers add {name}` adds it\n"
    )


def test_it_says_so_without_importing_litellm(config_dir: Path) -> None:
    code = (
        "import sys; from adapter.cli.main import run\n"
        "assert run(['-m', 'groq', 'hi']) == 4\n"
        "sys.exit('litellm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0


def test_python_raises_the_same(write: Write) -> None:
    write(provider("http://localhost:1/v1", "grok"))
    with pytest.raises(UnknownProviderError, match=r"'groq' is configured .did you mean 'grok'"):
        adapter.completion("groq", messages=[{"role": "user", "content": "hi"}])


@pytest.mark.parametrize("model", ["groq/llama", "gpt-4o", "claude-x", "nosuch"])
def test_other_models_are_left_to_litellm(config_dir: Path, model: str) -> None:
    assert resolve(model) == Resolution(None, model)


def test_an_alias_may_have_the_name_of_a_provider(write: Write) -> None:
    write('[plugin.litellm.router_settings.model_group_alias]\ngroq = "p/m"\n')
    assert resolve("groq") == Resolution(None, "p/m")

"""The configuration examples: each is read without a complaint, translates and lists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from adapter import Provider, load_config, translate
from adapter.call.translation import api_base
from tests.command import run
from tests.conftest import ROOT

EXAMPLES = sorted((ROOT / "config_examples").iterdir())

WANTED = {
    "aimlapi",
    "azure",
    "chutes",
    "deepseek",
    "groq",
    "litellm-proxy",
    "llamacpp",
    "lmstudio",
    "mistral",
    "ollama",
    "openrouter",
    "requesty",
    "several",
    "together",
    "vllm",
}

every_example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


def key_variable(provider: Provider) -> str:
    return provider.key_source.removeprefix("$").removesuffix(" (default)")


def test_there_is_one_example_for_each_kind_of_provider() -> None:
    assert {path.name for path in EXAMPLES} == {f"{name}.toml" for name in WANTED}


@every_example
def test_an_example_is_read_without_an_error_or_a_warning(path: Path) -> None:
    config = load_config(path)

    assert config.warnings == ()
    assert config.files == (str(path),)
    assert config.providers
    assert all(provider.default_model for provider in config.providers)


@every_example
def test_an_example_holds_no_key(path: Path) -> None:
    config = load_config(path)

    assert [provider.api_key for provider in config.providers] == [None] * len(config.providers)
    assert config.env == {}


@every_example
def test_every_provider_of_an_example_translates(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(path)

    for provider in config.providers:
        monkeypatch.setenv(key_variable(provider), f"key-of-{provider.name}")
        params = translate(provider.name, config)
        assert params == {
            "model": f"openai/{provider.default_model}",
            "api_base": api_base(provider.base_url),
            "api_key": f"key-of-{provider.name}",
            **provider.extras,
        }


@every_example
def test_an_example_is_listed_as_in_the_specification(path: Path) -> None:
    config = load_config(path)

    outcome = run("--config", str(path), "providers", "list")

    blocks = [
        f"📡 {p.name}\n   Base URL: {p.base_url}\n   API Key: {p.key_source}\n"
        f"   Default Model: {p.default_model}\n"
        for p in config.providers
    ]
    assert outcome.err == ""
    assert outcome.out == f"🔌 Found {len(blocks)} custom provider(s):\n\n" + "\n".join(blocks)
    assert outcome.code == 0


@every_example
def test_an_example_says_where_its_key_comes_from_and_how_to_try_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tries = re.findall(r"adapter --config (\S+)(?: -m (\S+))? \"", text)

    for provider in load_config(path).providers:
        assert key_variable(provider) in text
        assert f"{provider.name} " in text or f'"{provider.name}"' in text
    assert tries
    assert {file for file, _ in tries} == {f"config_examples/{path.name}"}
    names = {provider.name for provider in load_config(path).providers}
    assert {model.partition("/")[0] for _, model in tries if model} <= names


@every_example
def test_what_an_example_offers_as_a_comment_is_right_too(path: Path, tmp_path: Path) -> None:
    """The parameters under ``# [plugin.litellm.providers.NAME]``, with the comment sign taken."""
    text = path.read_text(encoding="utf-8")
    offered = re.sub(
        r"^# (?=\[plugin\.litellm\.|\w+ = )",
        "",
        text.partition("Anything else")[2],
        flags=re.MULTILINE,
    )
    if "[plugin" not in offered:
        assert path.stem == "several"  # where the parameters stand uncommented
        return
    copy = tmp_path / path.name
    copy.write_text(f"{text}\n# {offered}", encoding="utf-8")

    config = load_config(copy)

    assert config.warnings == ()
    assert config.providers[0].extras


def test_the_example_of_azure_is_the_specifications() -> None:
    (azure,) = load_config(ROOT / "config_examples" / "azure.toml").providers

    assert (azure.name, azure.api_key_env, azure.default_model) == (
        "azure-gpt4",
        "AZURE_API_KEY",
        "gpt-4",
    )
    assert azure.base_url == "https://my-azure-endpoint.openai.azure.com/openai/deployments"


def test_the_example_with_several_chooses_its_default_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = load_config(ROOT / "config_examples" / "several.toml")
    monkeypatch.setenv("GROQ_API_KEY", "k")

    assert len(config.providers) > 1
    assert translate(None, config) == {
        "model": "openai/openai/gpt-oss-120b",
        "api_base": "https://api.groq.com/openai/v1",
        "api_key": "k",
        **config.provider("groq").extras,
    }

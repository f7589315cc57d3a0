"""The migration pages: what they show after says the same as what they show before."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapter import load_config, resolve, translate
from adapter.call.resolution import local_provider
from tests.pages import blocks, followed, table

AFTER = "~/.config/gptme/gptme.toml"


def before(page: str) -> Any:
    (block,) = blocks(page, "yaml")
    return yaml.safe_load(block.text)


def typed(page: str) -> dict[str, str | None]:
    """Return what is typed before -> the model of what is typed after."""
    rows = [[cell.strip("`").split() for cell in row] for row in table(page, "| before |")]
    return {" ".join(old): new[2] if len(new) > 2 else None for old, new in rows}


@pytest.mark.parametrize("page", ["local", "litellm-config", "llm", "aichat"])
def test_the_page_can_be_followed(page: str) -> None:
    with followed(f"migration/{page}.md"):
        config = load_config()

    assert config.warnings == ()
    assert config.files == (str(Path(AFTER).expanduser()),)
    assert config.providers


def test_local_goes_to_the_same_server_with_the_same_model() -> None:
    (variables,) = blocks("migration/local.md", "bash", "~/.bashrc")
    given = dict(
        line.removeprefix("export ").replace('"', "").split("=")
        for line in variables.text.splitlines()
    )
    with followed("migration/local.md"):
        model = os.environ["MODEL"]
        found = resolve(None)
        old = dict.fromkeys(given) | given
    assert found.provider is not None
    assert model == found.provider.name
    assert f"local/{found.model}" == old["MODEL"]
    assert found.provider.base_url == old["OPENAI_BASE_URL"]
    assert found.provider.api_key_env is None


def test_local_with_a_key_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As the page says of OPENAI_API_KEY; OPENAI_API_BASE wins over OPENAI_BASE_URL."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:2/v1")
    monkeypatch.setenv("OPENAI_API_BASE", "http://localhost:1/v1")
    config = load_config()
    provider = local_provider(config)

    assert provider.base_url == "http://localhost:1/v1"
    assert provider.resolve_key().value == "ollama"
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert local_provider(config).resolve_key().value == "k"


def test_llm_models_reach_the_same_server_with_the_same_key_and_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "bin" / "llm"
    script.parent.mkdir()
    script.write_text('#!/bin/sh\n[ "$1 $2" = "keys get" ] && echo "key-of-$3"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    entries = before("migration/llm.md")
    after = typed("migration/llm.md")

    assert after.keys() == {f"llm -m {entry['model_id']}" for entry in entries}
    with followed("migration/llm.md"):
        for entry in entries:
            params = translate(after[f"llm -m {entry['model_id']}"])
            key = entry.get("api_key_name")
            assert params.pop("extra_headers", None) == entry.get("headers")
            assert params == {
                "model": f"openai/{entry['model_name']}",
                "api_base": entry["api_base"],
                "api_key": f"key-of-{key}" if key else "default-key",
            }


def test_aichat_models_reach_the_same_server_with_the_same_key_and_body(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = before("migration/aichat.md")
    after = typed("migration/aichat.md")
    expected = {}
    for client in given["clients"]:
        monkeypatch.setenv(f"{client['name']}_API_KEY".upper(), f"key-of-{client['name']}")
        patch = client.get("patch", {}).get("chat_completions", {}).get(".*", {})
        for model in client["models"]:
            expected[f"aichat -m {client['name']}:{model['name']}"] = {
                "model": f"openai/{model.get('real_name', model['name'])}",
                "api_base": client["api_base"],
                "api_key": f"key-of-{client['name']}",
                **({"extra_body": patch["body"]} if patch else {}),
            }
    expected["aichat"] = expected.pop(f"aichat -m {given['model']}")

    assert after.keys() == expected.keys()
    with followed("migration/aichat.md"):
        assert {old: translate(new) for old, new in after.items()} == expected


def test_litellm_models_reach_the_same_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """``adapter config import`` has made exactly the file the page shows, or following fails."""
    monkeypatch.setenv("GROQ_API_KEY", "k")
    given = {
        e["model_name"]: e["litellm_params"]
        for e in before("migration/litellm-config.md")["model_list"]
    }
    with followed("migration/litellm-config.md"):
        config = load_config()
        aliases = config.settings["router_settings"]["model_group_alias"]
        assert given.keys() - {"claude"} == {*aliases, "desk"}
        for name in given.keys() - {"claude"}:
            model = aliases.get(name, name)
            _, _, model_id = given[name]["model"].partition("/")
            found = resolve(model, config)
            assert found.provider is not None
            assert found.model == model_id
            base = given[name].get("api_base", "https://api.groq.com/openai/v1")
            assert found.provider.base_url == base
    assert not Path("exported.yaml").exists()

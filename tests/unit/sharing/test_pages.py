"""What docs/sharing.md and docs/scaling.md show of files, and of what an import says.

Their gateway runs in tests/wire/test_readme.py and tests/live/test_scaling.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command import provider, run
from tests.conftest import ROOT
from tests.snippets import blocks_of

SHARING = blocks_of(ROOT / "docs" / "sharing.md")
SCALING = blocks_of(ROOT / "docs" / "scaling.md")

# what the import of sharing.md reads: its lines 9 and 13 are those that are told of
IMPORTED = """\
# one machine here, the rest elsewhere
model_list:
  - model_name: fast
    litellm_params: {model: groq/openai/gpt-oss-20b, api_key: os.environ/GROQ_API_KEY}
  - model_name: large
    litellm_params: {model: groq/openai/gpt-oss-120b, api_key: os.environ/GROQ_API_KEY}

  # this machine
  - model_name: desk
    litellm_params: {model: openai/qwen3, api_base: "http://localhost:8000/v1", api_key: NONE}

  # elsewhere
  - model_name: claude
    litellm_params: {model: anthropic/claude-sonnet-4-5}
"""


def test_an_import_says_what_sharing_shows(config_dir: Path) -> None:
    (shown,) = [b.text for b in SHARING if b.text.startswith("$ adapter config import")]
    Path("config.yaml").write_text(IMPORTED, encoding="utf-8")

    outcome = run("config", "import", "config.yaml")

    said = (outcome.out + outcome.err).replace(str(config_dir), "/home/me/.config/gptme")
    assert sorted(said.splitlines()) == sorted(shown.splitlines()[1:])
    assert outcome.code == 1


def test_the_configuration_of_scaling_is_exported(
    config_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (toml,) = [b.text for b in SCALING if b.language == "toml"]
    (command,) = [b.text for b in SCALING if b.text.startswith("adapter ")]
    base = provider("http://127.0.0.1:9/v1", "groq", api_key_env="GROQ_API_KEY", default_model="m")
    (config_dir / "gptme.toml").write_text(base + toml, encoding="utf-8")
    monkeypatch.setenv("GROQ_API_KEY", "gsk_test")

    outcome = run(*command.split()[1:])

    assert outcome.code == 0, outcome.err
    written = yaml.safe_load(Path("config.yaml").read_text(encoding="utf-8"))
    assert written["router_settings"]["redis_password"] == "os.environ/REDIS_PASSWORD"
    assert written["litellm_settings"]["cache_params"]["ttl"] == 600
    assert written["general_settings"]["master_key"] == "os.environ/LITELLM_MASTER_KEY"
    assert {e["litellm_params"]["rpm"] for e in written["model_list"]} == {300}
    compose, *objects = [d for b in SCALING if b.language == "yaml" for d in docs_of(b.text)]
    # each variable of the exported file is given to the gateways of the page
    named = {v for v in outcome_variables(written) if v != "REDIS_PORT"}
    given = compose["services"]["litellm"]["environment"].keys()
    secret, deployment = objects[:2]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert named <= given
    assert named <= secret["stringData"].keys() | {e["name"] for e in container["env"]}


def docs_of(text: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(text))


def outcome_variables(value: object) -> set[str]:
    """Return the variables that a ``config.yaml`` takes from its environment."""
    if isinstance(value, dict):
        return {v for inner in value.values() for v in outcome_variables(inner)}
    if isinstance(value, list):
        return {v for inner in value for v in outcome_variables(inner)}
    return {str(value).removeprefix("os.environ/")} if "os.environ/" in str(value) else set()

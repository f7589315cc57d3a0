"""What known programs are given, and which variables none of them gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli
import yaml

from adapter.config.loading import load_config
from adapter.gateway.runtime import Gateway
from adapter.programs.env import TAKEN, environment
from adapter.programs.run import KNOWN, command_line
from adapter.secrets.secret import Secret
from tests.command import needs_gateway, run

MODEL = """groq/a "b" 'c'"""
NAMES = {"url": "http://127.0.0.1:4000", "key": "sk-gateway", "model": MODEL}
GATEWAY = Gateway(
    url=NAMES["url"],
    host="127.0.0.1",
    port=4000,
    pid=1,
    key=Secret(NAMES["key"]),
    salt="",
    fingerprint="",
    config=(),
    workers=1,
    detached=True,
    log=None,
    started=0.0,
    path="",
)


def test_codex_is_told_a_provider_of_its_own(tmp_path: Path) -> None:
    arguments, environ = command_line(["/usr/bin/codex", "exec", "hi"], NAMES, tmp_path)

    assert arguments[4:] == ["-m", MODEL, "exec", "hi"]
    told = tomli.loads("\n".join(arguments[1:4:2]))
    assert told["model_provider"] == "adapter"
    assert told["model_providers"]["adapter"]["base_url"] == "http://127.0.0.1:4000/v1"
    assert told["model_providers"]["adapter"]["env_key"] == "OPENAI_API_KEY"
    assert environ == {}


def test_opencode_llm_and_claude_are_told_the_model(tmp_path: Path) -> None:
    arguments, environ = command_line(["opencode", "run", "hi"], NAMES, tmp_path)
    assert arguments == ["run", "hi", "-m", f"adapter/{MODEL}"]
    [provider] = json.loads(environ["OPENCODE_CONFIG_CONTENT"])["provider"].values()
    assert list(provider["models"]) == [MODEL]
    assert "sk-gateway" not in environ["OPENCODE_CONFIG_CONTENT"]

    arguments, environ = command_line(["llm", "hi"], NAMES, tmp_path)
    assert arguments == ["-m", MODEL, "hi"]
    [entry] = yaml.safe_load((tmp_path / "extra-openai-models.yaml").read_text())
    assert entry["model_id"] == entry["model_name"] == MODEL
    assert environ == {"LLM_USER_PATH": str(tmp_path)}

    arguments, environ = command_line(["claude"], NAMES, tmp_path)
    assert arguments == []
    assert environ["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:4000"


def test_cn_and_promptfoo_are_told_the_model(tmp_path: Path) -> None:
    arguments, environ = command_line(["cn", "-p", "hi"], NAMES, tmp_path)
    assert arguments == ["--config", str(tmp_path / "config.yaml"), "-p", "hi"]
    text = (tmp_path / "config.yaml").read_text()
    [entry] = yaml.safe_load(text)["models"]
    assert (entry["model"], entry["apiBase"]) == (MODEL, "http://127.0.0.1:4000/v1")
    assert "sk-gateway" not in text
    assert environ == {}

    arguments, environ = command_line(["promptfoo", "eval"], NAMES, tmp_path)
    assert arguments == ["eval", "-r", f"openai:chat:{MODEL}"]
    assert environ == {}


@pytest.mark.parametrize("program", [*KNOWN, "other"])
def test_without_a_model_only_settings_are_added(program: str, tmp_path: Path) -> None:
    arguments, environ = command_line([program, "x"], {**NAMES, "model": ""}, tmp_path)
    assert arguments[-1] == "x"
    assert (len(arguments) > 1) == ("settings" in KNOWN.get(program, {}))
    assert environ == {}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--bogus", "--", "true"], 2, "No such option"),
        (["--", ""], 127, "'': there is no such command"),
        (["--", "true"], 2, "nothing to serve: no provider is configured"),
        (["-m", "embedded", "--", "true"], 1, "no embedded model"),
    ],
)
@needs_gateway
def test_what_cannot_be_run_is_told(
    arguments: list[str], code: int, message: str, config_dir: Path
) -> None:
    done = run("run", *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_no_key_of_a_provider_reaches_a_command(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        '[[providers]]\nname = "a"\nbase_url = "http://a/v1"\napi_key_env = "A_KEY"\n'
        '[[providers]]\nname = "b-1"\nbase_url = "http://b/v1"\n'
        '[plugin.litellm.providers.b-1]\nextra_headers = { X-Team = "$TEAM" }\n'
    )
    hidden = ("A_KEY", "GPTME_A_KEY", "B_1_API_KEY", "TEAM", "COPY", *TAKEN)
    for name in hidden:
        monkeypatch.setenv(name, f"secret-{name}")
    monkeypatch.setenv("COPY", "secret-GPTME_A_KEY")
    monkeypatch.setenv("PLAIN", "default-key")
    monkeypatch.setenv("OPENAI_API_KEY", "own")
    import os

    environ = environment(load_config(), GATEWAY).applied(os.environ)
    assert not set(hidden) & set(environ)
    assert not [v for v in environ.values() if v.startswith("secret-")]
    assert environ["PLAIN"] == "default-key"
    assert environ["OPENAI_API_KEY"] == environ["LITELLM_PROXY_API_KEY"] == "sk-gateway"
    assert environ["OPENAI_BASE_URL"] == environ["OPENAI_API_BASE"] == NAMES["url"] + "/v1"
    assert environ["LITELLM_PROXY_API_BASE"] == NAMES["url"]
    shell = environment(load_config(), GATEWAY, hide_keys=False).applied(os.environ)
    assert shell["A_KEY"] == "secret-A_KEY"
    assert not set(TAKEN) & set(shell)

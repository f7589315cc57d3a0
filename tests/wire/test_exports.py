"""What LiteLLM's Router sends for an export, and what an import sends in its place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import litellm
import pytest
import yaml

import adapter
from adapter.sharing.importing import plan_import
from tests.command import provider, read_terminal, run, terminal
from tests.recorder import Recorder, Reply, chat_reply


@pytest.mark.parametrize("key", [None, "sk-set-where-it-runs"])
def test_a_reference_that_is_not_set_never_becomes_openais_key(
    server: Recorder,
    write: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    key: str | None,
) -> None:
    write(f'[[providers]]\nname = "relay"\nbase_url = "{server.base_url}"\n')
    exported = yaml.safe_load(run("config", "export", "--reference-all").out)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    if key:
        monkeypatch.setenv("RELAY_API_KEY", key)
    for name, value in exported["litellm_settings"].items():  # as LiteLLM's proxy does
        monkeypatch.setattr(litellm, name, value)
    router = litellm.Router(model_list=exported["model_list"])
    router.completion("relay/m", messages=[{"role": "user", "content": "hi"}])
    assert server.only.key == (key or "default-key")


@pytest.mark.parametrize(
    "model",
    [
        *("openrouter/openai/o1-pro", "groq/openai/gpt-oss-20b", "openai/o1-pro"),
        *("openai/responses/x", "groq/responses/x", "hosted_vllm/o1-pro"),
    ],
)
def test_an_imported_model_goes_where_litellm_sends_it(
    server: Recorder, config_dir: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setenv("RELAY_KEY", "sk-relay")
    params = {"model": model, "api_base": server.base_url, "api_key": "os.environ/RELAY_KEY"}
    entry = {"model_name": "mine", "litellm_params": params}
    if model.startswith("groq/"):
        server.script = lambda request: Reply(200, {**chat_reply(), "service_tier": "default"})
    messages = [{"role": "user", "content": "hi"}]
    litellm.Router(model_list=[entry]).completion("mine", messages=messages)

    Path("config.yaml").write_text(yaml.safe_dump({"model_list": [entry]}))
    done = run("config", "import", "config.yaml")
    assert done.code == 0, done.err
    (provider,) = adapter.load_config().providers
    adapter.completion(f"{provider.name}/{provider.default_model}", messages=messages)

    theirs, ours = server.requests
    assert (ours.path, ours.key, ours.body["model"]) == (
        theirs.path,
        theirs.key,
        theirs.body["model"],
    )


@pytest.mark.parametrize("model", ["o1-pro", "gpt-5-codex", "o3-mini"])
def test_an_exported_model_is_asked_for_chat_elsewhere_too(
    server: Recorder, write: Callable[..., Path], model: str
) -> None:
    write(f'[[providers]]\nname = "p"\nbase_url = "{server.base_url}"\ndefault_model = "{model}"\n')
    exported = yaml.safe_load(run("config", "export").out)
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    messages = [{"role": "user", "content": "hi"}]

    litellm.Router(model_list=exported["model_list"]).completion(
        "p", messages=messages, tools=tools, reasoning_effort="low"
    )

    assert server.only.path == "/v1/chat/completions"
    assert (server.only.body["model"], server.only.key) == (model, "default-key")
    assert (server.only.body["tools"], server.only.body["reasoning_effort"]) == (tools, "low")
    Path("exported.yaml").write_text(yaml.safe_dump(exported))
    (provider,) = plan_import("exported.yaml").providers
    (wanted,) = adapter.load_config().providers
    assert (provider.name, provider.base_url) == (wanted.name, wanted.base_url)
    assert (provider.default_model, provider.extras) == (model, {})


def test_an_export_turns_no_text_around_on_a_terminal(write: Callable[..., Path]) -> None:
    """A pipe gets the bytes."""
    model = "a\u202eb\u2066c"
    write(provider("http://localhost:1/v1", default_model=model))
    with terminal() as (user, program):
        with os.fdopen(os.dup(program), "w", encoding="utf-8") as stdout:
            assert run("config", "export", stdout=stdout).code == 0
        seen = read_terminal(user, program).decode()
    assert "openai/a\\u202eb\\u2066c" in seen
    assert not {"\u202e", "\u2066"} & {*seen}
    assert f"openai/{model}" in run("config", "export").out

"""What LiteLLM's Router sends for an export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import litellm
import pytest
import yaml

from tests.command import run
from tests.recorder import Recorder


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

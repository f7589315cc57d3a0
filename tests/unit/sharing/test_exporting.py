"""``adapter config export``: what the file says, and that it agrees with ``model_list``."""

from __future__ import annotations

import os
import re
import stat
import string
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from adapter.call.translation import model_list
from adapter.config.loading import Config, load_config
from adapter.config.provider import Provider
from adapter.errors import UnknownProviderError
from adapter.secrets.secret import Secret
from adapter.sharing.exporting import entries, export
from tests.command import PATIENCE, run

BASIC = """\
[[providers]]
name = "groq"
base_url = "https://api.groq.com/openai/v1/"
api_key_env = "MY_KEY"
default_model = "llama"

[[providers]]
name = "vllm-local"
base_url = "http://localhost:8000/v1"

[[providers]]
name = "relay"
base_url = "https://relay.example/v1"
api_key = "sk-literal-canary"
default_model = "m"

[plugin.litellm.providers.relay]
timeout = 30
extra_headers = { X-Team = "blue", Authorization = "Basic canary-header" }

[plugin.litellm.router_settings]
routing_strategy = "least-busy"
redis_password = "canary-redis"

[plugin.litellm.general_settings]
master_key = "sk-canary-master"
database_url = "postgresql://u:canary-db@db/x"
"""


def loaded(text: str) -> Any:
    return yaml.safe_load(text)


def test_the_file_to_the_letter(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(BASIC)
    monkeypatch.setenv("MY_KEY", "sk-groq-canary")
    done = run("config", "export")
    assert (
        done.out
        == """\
# LiteLLM configuration, written by `adapter config export`.
# From gptme.toml.
model_list:
  # groq (gptme.toml)
  - model_name: groq
    litellm_params:
      model: openai/llama
      api_base: https://api.groq.com/openai/v1
      api_key: os.environ/MY_KEY
  - model_name: groq/*
    litellm_params:
      model: openai/*
      api_base: https://api.groq.com/openai/v1
      api_key: os.environ/MY_KEY
  # vllm-local (gptme.toml)
  # no key: $VLLM_LOCAL_API_KEY is not set; with one, os.environ/VLLM_LOCAL_API_KEY
  - model_name: vllm-local/*
    litellm_params:
      model: openai/*
      api_base: http://localhost:8000/v1
      api_key: default-key
  # relay (gptme.toml)
  - model_name: relay
    litellm_params:
      model: openai/m
      api_base: https://relay.example/v1
      api_key: os.environ/RELAY_API_KEY
      timeout: 30
      extra_headers:
        X-Team: blue
        Authorization: os.environ/RELAY_EXTRA_HEADERS_AUTHORIZATION
  - model_name: relay/*
    litellm_params:
      model: openai/*
      api_base: https://relay.example/v1
      api_key: os.environ/RELAY_API_KEY
      timeout: 30
      extra_headers:
        X-Team: blue
        Authorization: os.environ/RELAY_EXTRA_HEADERS_AUTHORIZATION

router_settings:
  routing_strategy: least-busy
  redis_password: os.environ/ROUTER_SETTINGS_REDIS_PASSWORD

litellm_settings:
  models_by_provider:
    openai: []

general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
  database_url: os.environ/GENERAL_SETTINGS_DATABASE_URL
"""
    )
    assert done.err.splitlines() == [
        "note: set RELAY_API_KEY: the key of provider 'relay' was not written",
        (
            "note: set RELAY_EXTRA_HEADERS_AUTHORIZATION: "
            "relay.extra_headers.Authorization was not written"
        ),
        "note: set ROUTER_SETTINGS_REDIS_PASSWORD: router_settings.redis_password was not written",
        "note: set LITELLM_MASTER_KEY: general_settings.master_key was not written",
        "note: set GENERAL_SETTINGS_DATABASE_URL: general_settings.database_url was not written",
    ]
    assert "canary" not in done.out + done.err
    assert done.code == 0
    assert run("config", "export") == done


def test_secrets_are_written_to_a_private_file_only(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    write(BASIC)
    refused = run("config", "export", "--include-secrets")
    assert (refused.code, refused.out) == (2, "")
    assert "-o FILE" in refused.err
    target = tmp_path / "config.yaml"
    target.write_text("old")
    target.chmod(0o644)
    done = run("config", "export", "--include-secrets", "-o", str(target))
    assert (done.code, done.out) == (0, "")
    assert target.stat().st_mode & 0o777 == 0o600
    written = loaded(target.read_text())
    assert written["model_list"][-1]["litellm_params"]["api_key"] == "sk-literal-canary"
    assert written["general_settings"]["master_key"] == "sk-canary-master"
    assert "canary" not in done.err


def test_a_file_without_secrets_keeps_its_mode(write: Callable[..., Path], tmp_path: Path) -> None:
    write(BASIC)
    target = tmp_path / "config.yaml"
    target.write_text("old")
    target.chmod(0o640)
    assert run("config", "export", "-o", str(target)).code == 0
    assert target.stat().st_mode & 0o777 == 0o640
    assert loaded(target.read_text())["model_list"]


def test_an_unset_variable_is_told(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(BASIC)
    assert "set MY_KEY: it is not set" in run("config", "export", "groq").err
    monkeypatch.setenv("GPTME_MY_KEY", "x")
    assert "LiteLLM reads neither GPTME_MY_KEY nor [env]" in run("config", "export", "groq").err
    monkeypatch.setenv("MY_KEY", "x")
    assert "MY_KEY" not in run("config", "export", "groq").err


def test_only_those_named(write: Callable[..., Path]) -> None:
    write(BASIC)
    names = [e["model_name"] for e in loaded(run("config", "export", "relay").out)["model_list"]]
    assert names == ["relay", "relay/*"]
    wrong = run("config", "export", "rely")
    assert (wrong.code, wrong.out) == (4, "")
    assert "did you mean 'relay'?" in wrong.err
    with pytest.raises(UnknownProviderError):
        export(load_config(), ["nobody"])


def test_own_fallbacks_are_told_to_be_left_out(write: Callable[..., Path]) -> None:
    write(BASIC + '[plugin.litellm.providers.groq]\nfallbacks = ["relay"]\n')
    done = run("config", "export", "groq")
    assert "fallbacks" not in done.out
    assert "fallbacks of provider 'groq' is not in the file" in done.err


def test_no_providers(config_dir: Path) -> None:
    done = run("config", "export")
    assert loaded(done.out)["model_list"] == []
    assert done.code == 0


def test_litellm_is_not_imported(write: Callable[..., Path], adapter: Callable[..., Any]) -> None:
    write(BASIC)
    code = (
        "import sys; from adapter.cli.main import run; run(['config', 'export']); "
        "sys.exit('litellm' in sys.modules or 'httpx' in sys.modules)"
    )
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == 0


NAMES = st.text(string.ascii_lowercase + string.digits + "-_.é日", min_size=1, max_size=12)
WORDS = st.text(string.ascii_letters + string.digits + "-_/:.@", min_size=1, max_size=20)
EXTRAS = st.dictionaries(
    st.sampled_from(["timeout", "rpm", "max_tokens", "temperature"]), st.integers(0, 10**6)
)
PROVIDERS = st.builds(
    Provider,
    name=NAMES,
    base_url=st.sampled_from(["http://localhost:8000/v1", "https://api.example/v1/", "http://h"]),
    api_key=st.none() | st.just("sk-literal"),
    default_model=st.none() | WORDS,
    extras=EXTRAS,
)


@given(st.lists(PROVIDERS, max_size=6, unique_by=lambda p: p.name))
def test_file_and_model_list_agree_entry_by_entry(providers: list[Provider]) -> None:
    config = Config(providers=tuple(providers))
    written = loaded(export(config).text)["model_list"]
    expected = model_list(config)
    for entry, other in zip(expected, written, strict=True):
        name = entry["model_name"].partition("/")[0]
        params = entry["litellm_params"]
        params["api_key"] = str(params["api_key"])
        if next(p for p in providers if p.name == name).api_key:
            variable = re.sub(r"^(?=\d)|[^A-Z0-9_]", "_", f"{name.upper()}_API_KEY")
            params["api_key"] = other["litellm_params"]["api_key"]
            # numbered where another provider's key has the name
            assert re.fullmatch(rf"os\.environ/{variable}(_\d)?", params["api_key"])
    assert written == expected


@given(PROVIDERS, st.lists(WORDS, max_size=5))
def test_discovered_models_are_listed_before_the_wildcard(
    provider: Provider, models: list[str]
) -> None:
    made = entries(provider, "k", {}, models)
    assert made[-1]["model_name"] == f"{provider.name}/*"
    listed = [e for e in made if e["model_name"] not in (provider.name, f"{provider.name}/*")]
    assert [e["litellm_params"]["model"] for e in listed] == [
        f"openai/{m}" for m in sorted(set(models))
    ]


def test_keys_of_the_env_table_are_not_written(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write('[env]\nMY_KEY = "canary"\n' + BASIC.split("\n\n", maxsplit=1)[0])
    done = run("config", "export")
    assert "canary" not in done.out + done.err
    assert "os.environ/MY_KEY" in done.out
    assert isinstance(load_config().env["MY_KEY"], Secret)
    assert "MY_KEY" not in os.environ


@pytest.mark.parametrize("field", ["", 'api_key_env = "P_API_KEY"\n'])
def test_a_key_that_cannot_be_sent_is_no_matter_of_an_export(
    field: str, write: Callable[..., Path]
) -> None:
    write(
        '[env]\nP_API_KEY = "canary\\u001b"\n[[providers]]\nname = "p"\n'
        f'base_url = "https://h/v1"\n{field}'
    )
    done = run("config", "export")
    assert done.code == 0
    assert "api_key: os.environ/P_API_KEY" in done.out
    assert "canary" not in done.out + done.err


def test_a_key_in_a_section_is_not_written(write: Callable[..., Path]) -> None:
    write('[plugin.litellm.litellm_settings]\napi_key = "canary"\n')
    done = run("config", "export")
    assert "canary" not in done.out + done.err


def test_each_secret_has_a_variable_of_its_own(write: Callable[..., Path]) -> None:
    write(
        '[[providers]]\nname = "foo"\nbase_url = "http://a/v1"\napi_key = "canary-1"\n'
        '[[providers]]\nname = "bar"\nbase_url = "http://b/v1"\napi_key_env = "FOO_API_KEY"\n'
        '[[providers]]\nname = "my-gpu"\nbase_url = "http://c/v1"\napi_key = "canary-2"\n'
        '[[providers]]\nname = "my_gpu"\nbase_url = "http://d/v1"\napi_key = "canary-3"\n'
        "[plugin.litellm.general_settings]\npass_through_endpoints = [\n"
        '  { path = "/a", headers = { Authorization = "canary-4" } },\n'
        '  { path = "/b", headers = { Authorization = "canary-5" } },\n'
        '  { path = "/c", headers = { Authorization = "canary-5" } },\n]\n'
    )
    done = run("config", "export")
    made = loaded(done.out)
    assert [e["litellm_params"]["api_key"] for e in made["model_list"]] == [
        "os.environ/FOO_API_KEY_2",
        "os.environ/FOO_API_KEY",
        "os.environ/MY_GPU_API_KEY",
        "os.environ/MY_GPU_API_KEY_2",
    ]
    base = "os.environ/GENERAL_SETTINGS_PASS_THROUGH_ENDPOINTS_HEADERS_AUTHORIZATION"
    endpoints = made["general_settings"]["pass_through_endpoints"]
    assert [e["headers"]["Authorization"] for e in endpoints] == [base, f"{base}_2", f"{base}_2"]
    assert "note: set FOO_API_KEY_2: the key of provider 'foo'" in done.err
    assert "canary" not in done.out + done.err


def test_a_secret_may_be_a_whole_table(write: Callable[..., Path]) -> None:
    write(
        "[plugin.litellm.general_settings.alert_to_webhook_url]\n"
        'budget = ["https://hooks.example/canary"]\n'
    )
    done = run("config", "export")
    assert "canary" not in done.out + done.err
    assert "set GENERAL_SETTINGS_ALERT_TO_WEBHOOK_URL_BUDGET" in done.err


def test_dates_and_times_are_text(write: Callable[..., Path]) -> None:
    write(
        "[plugin.litellm.general_settings]\n"
        "at = 07:32:00\non = 1979-05-27\nboth = 1979-05-27T07:32:00Z\n"
    )
    done = run("config", "export")
    assert done.code == 0, done.err
    assert loaded(done.out)["general_settings"] == {
        "at": "07:32:00",
        "on": "1979-05-27",
        "both": "1979-05-27T07:32:00+00:00",
    }


@pytest.mark.parametrize("name", ["../gptme/gptme.toml", "link.toml", "config.local.toml"])
def test_the_configuration_itself_is_not_overwritten(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = write(BASIC)
    (path.parent / "link.toml").symlink_to(path)
    monkeypatch.chdir(path.parent)
    done = run("config", "export", "-o", name)
    assert done.code == 2
    assert "is the configuration itself" in done.err
    assert path.read_text() == BASIC


def test_into_what_is_no_regular_file(write: Callable[..., Path], tmp_path: Path) -> None:
    write(BASIC)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        reader = pool.submit(pipe.read_text)
        done = run("config", "export", "-o", str(pipe))
        assert loaded(reader.result(timeout=PATIENCE))["model_list"]
    assert done.code == 0
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    done = run("config", "export", "--include-secrets", "-o", str(pipe))
    assert done.code == 2
    assert "is not a regular file" in done.err
    done = run("config", "export", "-o", str(tmp_path))
    assert done.code == 2
    assert "is a directory" in done.err


@pytest.mark.parametrize(
    "key",
    ['api_key = "literal"\n', '[plugin.litellm.providers."api.example.com"]\napi_key_cmd = "x"\n'],
)
def test_the_variable_to_set_is_one_that_a_shell_can_export(
    key: str, write: Callable[..., Path]
) -> None:
    write(f'[[providers]]\nname = "api.example.com"\nbase_url = "https://h/v1"\n{key}')

    done = run("config", "export")

    assert "api_key: os.environ/API_EXAMPLE_COM_API_KEY\n" in done.out
    assert "note: set API_EXAMPLE_COM_API_KEY: the key of provider 'api.example.com' " in done.err

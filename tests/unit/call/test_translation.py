"""From a provider and a model id to LiteLLM's parameters."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter import (
    Config,
    MissingKeyError,
    Provider,
    UnknownProviderError,
    model_list,
    resolve,
    translate,
)
from adapter.call.translation import api_base, deployments, params_for, target_of

Write = Callable[..., Path]

URL = "https://h/v1"

PLAIN = Provider("plain", URL, api_key="own", default_model="d")
LOADED = Provider(
    "loaded",
    f"{URL}//",
    extras={"timeout": 30, "extra_headers": {"X-A": "1"}, "extra_body": {"top_k": 1}},
)
BOTH = Config(providers=(PLAIN, LOADED))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("plain", {"model": "openai/d", "api_base": URL, "api_key": "own"}),
        ("plain/a/b:c", {"model": "openai/a/b:c", "api_base": URL, "api_key": "own"}),
        ("plain/openai/m", {"model": "openai/openai/m", "api_base": URL, "api_key": "own"}),
        (
            "loaded/m",
            {
                "model": "openai/m",
                "api_base": URL,
                "api_key": "default-key",
                "timeout": 30,
                "extra_headers": {"X-A": "1"},
                "extra_body": {"top_k": 1},
            },
        ),
        ("gpt-4o", {"model": "gpt-4o"}),
        ("anthropic/claude", {"model": "anthropic/claude"}),
    ],
)
def test_a_model_string_becomes_litellms_parameters(model: str, expected: dict[str, Any]) -> None:
    assert translate(model, BOTH) == expected


@settings(deadline=None)
@given(st.text(min_size=1, max_size=20))
def test_the_model_id_follows_the_prefix_unchanged(model: str) -> None:
    assert translate(f"plain/{model}", BOTH)["model"] == "openai/" + model


def test_the_users_configuration_is_used_and_the_key_read_at_each_call(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(f'[[providers]]\nname = "p"\nbase_url = "{URL}"\ndefault_model = "m"\n')

    monkeypatch.setenv("P_API_KEY", "first")
    assert translate("p") == {"model": "openai/m", "api_base": URL, "api_key": "first"}
    monkeypatch.setenv("P_API_KEY", "rotated")
    assert translate()["api_key"] == "rotated"


def test_a_missing_key_is_an_error_before_any_call() -> None:
    config = Config(providers=(Provider("p", URL, api_key_env="NOWHERE"),))

    with pytest.raises(MissingKeyError):
        translate("p/m", config)


def test_the_key_is_never_empty_so_that_no_other_is_sent_in_its_place() -> None:
    """With an empty key LiteLLM sends ``$OPENAI_API_KEY`` to whatever ``api_base`` is."""
    config = Config(providers=(Provider("p", URL, api_key="  "),))

    assert translate("p/m", config)["api_key"] == "default-key"


def test_the_parameters_do_not_show_the_key_when_printed() -> None:
    params = translate("plain", BOTH)

    assert "own" not in repr(params)
    assert json.loads(json.dumps(params))["api_key"] == "own"


def test_what_a_caller_does_to_the_parameters_stays_with_the_caller() -> None:
    """LiteLLM itself adds to the headers it is given; the configuration is shared and cached."""
    params = translate("loaded/m", BOTH)
    params["extra_headers"]["Authorization"] = "leaked"
    params["timeout"] = 0
    entries = model_list(BOTH)
    entries[-1]["litellm_params"]["extra_body"]["top_k"] = 2

    again = translate("loaded/m", BOTH)

    assert again["extra_headers"] == {"X-A": "1"}
    assert again["extra_body"] == {"top_k": 1}
    assert again["timeout"] == 30


def test_no_setting_that_says_where_a_key_is_becomes_a_parameter() -> None:
    """Not a misspelt one either: LiteLLM would send it to the provider, in the request's body."""
    extras = {"api_key_cmd": "true", "api_key_comand": "pass show groq", "api_keys": 1}
    provider = Provider("p", URL, api_key="k", extras=extras)

    assert set(params_for(provider, "m", "k")) == {"model", "api_base", "api_key", "api_keys"}


def test_another_of_litellms_providers_can_be_chosen_for_a_provider() -> None:
    config = Config(
        providers=(Provider("p", URL, extras={"custom_llm_provider": "hosted_vllm", "timeout": 1}),)
    )

    assert translate("p/gpt-5-codex", config) == {
        "model": "hosted_vllm/gpt-5-codex",
        "api_base": URL,
        "api_key": "default-key",
        "timeout": 1,
    }


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("https://h/v1", "https://h/v1"),
        ("https://h/v1/", "https://h/v1"),
        ("https://h///", "https://h"),
        (
            "https://my-endpoint.openai.azure.com/openai/deployments",
            "https://my-endpoint.openai.azure.com/openai/v1",
        ),
        (
            "https://my-endpoint.openai.azure.com/openai/deployments/",
            "https://my-endpoint.openai.azure.com/openai/v1",
        ),
        (
            "https://MY.OPENAI.AZURE.COM:443/openai/deployments",
            "https://MY.OPENAI.AZURE.COM:443/openai/v1",
        ),
        (
            "https://my-endpoint.openai.azure.com/openai/v1",
            "https://my-endpoint.openai.azure.com/openai/v1",
        ),
        (
            "https://my.openai.azure.com/x/openai/deployments",
            "https://my.openai.azure.com/x/openai/deployments",
        ),
        (
            "https://my.openai.azure.com/openai/deployments/gpt-4",
            "https://my.openai.azure.com/openai/deployments/gpt-4",
        ),
        (
            "https://openai.azure.com.evil.example/openai/deployments",
            "https://openai.azure.com.evil.example/openai/deployments",
        ),
        (
            "https://evilopenai.azure.com/openai/deployments",
            "https://evilopenai.azure.com/openai/deployments",
        ),
    ],
)
def test_only_trailing_slashes_and_azures_deployments_path_are_changed(
    base_url: str, expected: str
) -> None:
    assert api_base(base_url) == expected
    config = Config(providers=(Provider("p", base_url),))
    assert translate("p/m", config)["api_base"] == expected
    assert config.providers[0].base_url == base_url


def test_a_target_names_what_the_user_wrote() -> None:
    target = target_of(resolve("loaded/m", BOTH))

    assert target is not None
    assert (target.name, target.base_url, target.model) == ("loaded", f"{URL}//", "m")
    assert str(target.key) == "no key ($LOADED_API_KEY is not set)"


def test_what_is_litellms_has_no_target() -> None:
    assert target_of(resolve("anthropic/claude", BOTH)) is None


def test_each_provider_is_listed_under_its_name_and_with_any_model() -> None:
    assert deployments(PLAIN) == [("plain", "d"), ("plain/*", "*")]
    assert deployments(LOADED) == [("loaded/*", "*")]
    assert model_list(BOTH) == [
        {"model_name": "plain", "litellm_params": translate("plain", BOTH)},
        {"model_name": "plain/*", "litellm_params": translate("plain/*", BOTH)},
        {"model_name": "loaded/*", "litellm_params": translate("loaded/*", BOTH)},
    ]


def test_a_list_can_be_of_some_providers_in_the_order_asked_for() -> None:
    entries = model_list(BOTH, ["loaded", "plain"])

    assert [e["model_name"] for e in entries] == ["loaded/*", "plain", "plain/*"]
    with pytest.raises(UnknownProviderError, match="did you mean 'plain'"):
        model_list(BOTH, ["plane"])


def test_a_provider_without_its_key_can_be_left_out_of_a_list() -> None:
    config = Config(providers=(PLAIN, Provider("keyless", URL, api_key_env="NOWHERE")))

    with pytest.raises(MissingKeyError):
        model_list(config)
    assert len(model_list(config, ["plain"])) == 2

"""What a caller gives wins, and a key goes to its own base and nowhere else."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from adapter import Config, Provider, resolve, translate
from adapter.call.overrides import call_of, target_of_call, translate_deployments, with_overrides
from adapter.call.translation import Target, target_of
from adapter.secrets.scrubber import Scrubber, scrub

URL = "https://h/v1"

PLAIN = Provider("plain", URL, api_key="own", default_model="d")
LOADED = Provider(
    "loaded",
    URL,
    extras={"timeout": 30, "extra_headers": {"X-A": "1"}, "extra_body": {"top_k": 1}},
)
HEADED = Provider("headed", URL, extras={"headers": {"api-key": "sk-in-headers"}})
BODIED = Provider("bodied", URL, extras={"extra_body": {"top_k": 1}})
BOTH = Config(providers=(PLAIN, LOADED, HEADED, BODIED))


def test_a_callers_own_list_is_translated_and_wins() -> None:
    entries: list[dict[str, Any]] = [
        {"model_name": "a", "litellm_params": {"model": "loaded/m", "timeout": 5}, "x": 1},
        {"model_name": "b", "litellm_params": {"model": "anthropic/claude", "api_key": "k"}},
        {"model_name": "c"},
    ]

    assert translate_deployments(entries, BOTH) == [
        {
            "model_name": "a",
            "litellm_params": {**translate("loaded/m", BOTH), "timeout": 5},
            "x": 1,
        },
        {"model_name": "b", "litellm_params": {"model": "anthropic/claude", "api_key": "k"}},
        {"model_name": "c", "litellm_params": {}},
    ]
    assert entries[0]["litellm_params"] == {"model": "loaded/m", "timeout": 5}


def target(model: str = "loaded/m") -> Target:
    found = target_of(resolve(model, BOTH))
    assert found is not None
    return found


def test_what_the_caller_gives_wins_and_headers_are_joined() -> None:
    given_params = {
        "model": "loaded/m",
        "timeout": 5,
        "extra_headers": {"X-B": "2"},
        "extra_body": None,
        "seed": 1,
    }

    assert with_overrides(target(), given_params) == {
        **target().params,
        "timeout": 5,
        "extra_headers": {"X-A": "1", "X-B": "2"},
        "seed": 1,
    }
    assert given_params["extra_headers"] == {"X-B": "2"}


@pytest.mark.parametrize("absent", [None, ""])
@pytest.mark.parametrize("name", ["api_key", "api_base", "base_url"])
def test_what_is_empty_counts_as_not_given(name: str, absent: str | None) -> None:
    assert with_overrides(target("plain"), {"model": "plain", name: absent}) == translate(
        "plain", BOTH
    )


ELSEWHERE = "https://elsewhere/v1"


@pytest.mark.parametrize(
    ("given_params", "base", "key"),
    [
        ({}, URL, "own"),
        ({"api_key": "given"}, URL, "given"),
        ({"api_base": f"{URL}/"}, URL, "own"),
        ({"base_url": URL}, URL, "own"),
        ({"api_base": ELSEWHERE}, ELSEWHERE, "default-key"),
        ({"base_url": ELSEWHERE}, ELSEWHERE, "default-key"),
        ({"base_url": ELSEWHERE, "api_key": "given"}, ELSEWHERE, "given"),
        ({"base_url": ELSEWHERE, "api_base": URL}, ELSEWHERE, "default-key"),
        ({"base_url": URL, "api_base": ELSEWHERE}, URL, "own"),
    ],
)
def test_a_key_goes_to_its_own_base_and_nowhere_else(
    given_params: dict[str, str], base: str, key: str
) -> None:
    """Of two bases ``base_url`` counts, as in LiteLLM."""
    params = with_overrides(target("plain"), given_params)

    assert (params["api_base"], params["api_key"]) == (base, key)
    assert "base_url" not in params


def test_headers_and_key_stay_behind_when_the_call_goes_elsewhere() -> None:
    params = with_overrides(target("loaded/m"), {"api_base": ELSEWHERE})

    assert "extra_headers" not in params
    assert params["timeout"] == 30


PLACES = ("api_key", "api_base", "base_url", "custom_llm_provider")
TABLES = ("extra_body", "extra_headers", "headers")
NAMES = ["messages", "timeout", *PLACES, *TABLES]
VALUES = [None, "", "x", 0, f"{URL}/", ELSEWHERE, {"api-key": "a-secret-header"}]


@pytest.mark.parametrize("model", ["plain", "loaded/m", "headed/m", "bodied/m"])
def test_the_short_way_of_most_calls_leads_where_the_long_one_does(model: str) -> None:
    going = target(model)

    for name, value in product(NAMES, VALUES):
        given_params = {"model": model, "seed": 1, name: value}
        params, there = call_of(going, given_params)

        expected = with_overrides(going, given_params)
        assert params == expected, given_params
        long = target_of_call(going, expected)
        assert (there.base_url, there.key) == (long.base_url, long.key), given_params


@pytest.mark.parametrize(
    ("model", "given_params"),
    [("headed/m", {"seed": 1}), ("plain", {"extra_headers": {"api-key": "sk-in-headers"}})],
)
def test_a_key_among_the_headers_is_found_in_texts(
    model: str, given_params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapter.secrets.scrubber._process", Scrubber())

    call_of(target(model), given_params)

    assert scrub("it is sk-in-headers") == "it is ***"

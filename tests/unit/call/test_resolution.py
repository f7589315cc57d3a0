"""Model strings: which provider and which model id a string means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adapter import (
    Config,
    ConfigError,
    MissingModelError,
    Provider,
    Resolution,
    load_config,
    resolve,
)
from adapter.call.resolution import choose_model
from adapter.config.presets import PRESETS
from adapter.config.provider import name_fault
from adapter.upstream.prefixes import is_litellm_provider

Write = Callable[..., Path]

URL = "https://h/v1"


def config_of(*providers: Provider, default: str | None = None, **env: str) -> Config:
    return Config(providers=providers, default_model=default, env=env)


GROQ = Provider("groq", URL, default_model="openai/gpt-oss:free")
BARE = Provider("bare", URL)
TWO = config_of(GROQ, BARE)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("groq", Resolution(GROQ, "openai/gpt-oss:free")),
        ("groq/m", Resolution(GROQ, "m")),
        ("groq/openai/gpt-oss:free", Resolution(GROQ, "openai/gpt-oss:free")),
        ("groq/groq", Resolution(GROQ, "groq")),
        ("groq/groq/m", Resolution(GROQ, "groq/m")),
        ("groq//m/", Resolution(GROQ, "/m/")),
        ("groq/ m ", Resolution(GROQ, " m ")),
        ("bare/m", Resolution(BARE, "m")),
        ("gpt-4o", Resolution(None, "gpt-4o")),
        ("anthropic/claude", Resolution(None, "anthropic/claude")),
        ("openai/groq/m", Resolution(None, "openai/groq/m")),
        ("Groq/m", Resolution(None, "Groq/m")),
        ("groq-2/m", Resolution(None, "groq-2/m")),
        ("/groq", Resolution(None, "/groq")),
        ("embedded", Resolution(None, "embedded", embedded=True)),
        ("embedded/any/thing", Resolution(None, "any/thing", embedded=True)),
    ],
)
def test_a_model_string_means(model: str, expected: Resolution) -> None:
    assert resolve(model, TWO) == expected


@pytest.mark.parametrize("name", ["openai", "groq", "azure", "local", "embedded"])
def test_a_configured_name_beats_a_built_in_of_the_same_name(name: str) -> None:
    provider = Provider(name, URL, default_model="d")
    config = config_of(provider)

    assert resolve(name, config) == Resolution(provider, "d")
    assert resolve(f"{name}/m", config) == Resolution(provider, "m")


NAMES = st.text(min_size=1, max_size=8).filter(lambda name: name_fault(name) is None)


@settings(deadline=None)
@given(name=NAMES, model=st.text(min_size=1, max_size=20))
def test_whatever_stands_after_the_first_slash_is_the_model_id(name: str, model: str) -> None:
    provider = Provider(name, URL, default_model="d")

    found = resolve(f"{name}/{model}", config_of(provider))

    assert found.provider is provider
    assert found.model.encode("utf-8", "surrogatepass") == model.encode("utf-8", "surrogatepass")


@settings(deadline=None)
@given(name=NAMES, model=st.text(min_size=1, max_size=20))
def test_what_names_no_provider_of_ours_is_left_as_it_is(name: str, model: str) -> None:
    first = model.partition("/")[0]
    assume(first not in (name, "local", "embedded"))
    assume(model not in PRESETS and not is_litellm_provider(model))

    assert resolve(model, config_of(Provider(name, URL))) == Resolution(None, model)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("bare", r"provider 'bare' has no default_model: name one, as in bare/MODEL"),
        ("groq/", r"'groq/' names no model: write groq/MODEL"),
        ("local", r"local needs a model, as in local/llama3.2"),
        ("local/", r"local needs a model"),
    ],
)
def test_a_model_that_is_missing_is_asked_for(model: str, message: str) -> None:
    with pytest.raises(MissingModelError, match=message):
        resolve(model, TWO)


def test_the_users_configuration_is_used_when_none_is_given(write: Write) -> None:
    write(f'[[providers]]\nname = "p"\nbase_url = "{URL}"\ndefault_model = "d"\n')

    assert resolve("p") == Resolution(load_config().providers[0], "d")
    assert resolve(None).model == "d"
    assert resolve("").model == "d"


@pytest.mark.parametrize(
    ("variables", "table", "url", "key"),
    [
        ({"OPENAI_API_BASE": "http://a/v1", "OPENAI_BASE_URL": "http://b/v1"}, {}, "http://a/v1",
         "ollama"),
        ({"OPENAI_BASE_URL": "http://b/v1"}, {}, "http://b/v1", "ollama"),
        ({"OPENAI_API_BASE": "", "OPENAI_BASE_URL": "http://b/v1"}, {}, "http://b/v1", "ollama"),
        ({"GPTME_OPENAI_BASE_URL": "http://g/v1", "OPENAI_BASE_URL": "http://b/v1"}, {},
         "http://g/v1", "ollama"),
        ({"OPENAI_BASE_URL": "http://b/v1"}, {"OPENAI_API_BASE": "http://t/v1"}, "http://t/v1",
         "ollama"),
        ({}, {"OPENAI_BASE_URL": "http://t/v1", "OPENAI_API_KEY": "in-table"}, "http://t/v1",
         "in-table"),
        ({"OPENAI_API_KEY": "k"}, {"OPENAI_BASE_URL": "http://t/v1", "OPENAI_API_KEY": "t"},
         "http://t/v1", "k"),
        ({"OPENAI_API_KEY": " "}, {"OPENAI_BASE_URL": "http://t/v1", "OPENAI_API_KEY": " "},
         "http://t/v1", "ollama"),
        ({"GPTME_OPENAI_API_KEY": "g", "OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://b/v1"}, {},
         "http://b/v1", "g"),
    ],
)  # fmt: skip
def test_local_is_gptmes_provider_of_the_environment(
    variables: dict[str, str],
    table: dict[str, str],
    url: str,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    found = resolve("local/org/model:7b", config_of(**table))

    assert found.provider is not None
    assert found.model == "org/model:7b"
    assert found.provider.base_url == url
    assert found.provider.resolve_key().value == key


def test_local_without_a_base_url_says_which_variable_to_set() -> None:
    with pytest.raises(ConfigError, match="export OPENAI_BASE_URL=http"):
        resolve("local/m", config_of())


@pytest.mark.parametrize("variable", ["OPENAI_API_BASE", "OPENAI_BASE_URL"])
def test_local_with_an_unusable_base_url_names_the_variable_and_the_fix(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "https://user:s3cr3t@h/v1")

    with pytest.raises(ConfigError) as caught:
        resolve("local/m", config_of())

    assert str(caught.value).startswith(f"${variable}: base_url contains a user name")
    assert "write https://h/v1" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "environ", "chosen"),
    [
        (config_of(GROQ, default="bare/m", MODEL="t"), {"MODEL": "e"}, "e"),
        (config_of(GROQ, default="bare/m"), {}, "bare/m"),
        (config_of(GROQ, MODEL="t"), {"MODEL": "e", "GPTME_MODEL": "g"}, "g"),
        (config_of(GROQ, MODEL="t"), {"MODEL": "e"}, "e"),
        (config_of(GROQ, MODEL="t"), {"MODEL": ""}, "t"),
        (config_of(BARE, GROQ), {}, "groq"),
    ],
)
def test_a_model_is_chosen_when_none_is_named(
    config: Config, environ: dict[str, str], chosen: str
) -> None:
    assert choose_model(config, environ) == chosen


OTHER = Provider("other", URL, default_model="o")


def test_the_embedded_model_is_chosen_where_no_provider_is_and_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "xllamacpp.py").write_text("raise AssertionError('choosing must not import it')\n")
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ADAPTER_EMBEDDED_MODEL", str(tmp_path / "model.gguf"))

    assert choose_model(config_of()) == "embedded"
    assert resolve(None, config_of()) == Resolution(None, "embedded", embedded=True)
    for config in (config_of(BARE), config_of(GROQ, OTHER)):
        with pytest.raises(MissingModelError, match="no model was named"):
            choose_model(config)


ALIASES = {
    "fast": "groq/m",
    "best": {"model": "groq", "hidden": True},
    "loop": "loop2",
    "loop2": "loop",
}


def test_an_alias_of_the_routers_is_a_model_string() -> None:
    config = replace(
        config_of(GROQ, BARE), settings={"router_settings": {"model_group_alias": ALIASES}}
    )

    assert resolve("fast", config) == Resolution(GROQ, "m")
    assert resolve("best", config) == resolve("groq", config)
    assert resolve("a", config) == Resolution(None, "a")
    assert resolve("bare/fast", config) == Resolution(BARE, "fast")


@pytest.mark.parametrize(
    ("config", "choices"),
    [(config_of(), "none is configured"), (config_of(GROQ, BARE, OTHER), "groq, other")],
)
def test_without_a_choice_the_error_shows_how_to_choose(
    config: Config, choices: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADAPTER_EMBEDDED_MODEL", "/no/such/model.gguf")

    with pytest.raises(MissingModelError) as caught:
        choose_model(config)

    for words in ("-m PROVIDER", choices, "adapter models default PROVIDER"):
        assert words in str(caught.value)
    assert ("adapter providers add" in str(caught.value)) == (not config.providers)

"""What ``config import`` makes of single entries, as LiteLLM reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapter.config.loading import load_config
from adapter.config.provider import Provider
from adapter.sharing.exporting import export
from adapter.sharing.importing import Import, plan_import
from adapter.upstream.prefixes import COMPATIBLE_BASES
from tests.command import Outcome, at_a_terminal, run

Write = Callable[..., Path]


def entry(name: str, model: str, **params: Any) -> dict[str, Any]:
    info = params.pop("model_info", None)
    made = {"model_name": name, "litellm_params": {"model": model, **params}}
    return {**made, "model_info": info} if info else made


def write_yaml(*entries: dict[str, Any], **sections: Any) -> Path:
    path = Path("config.yaml")
    path.write_text(json.dumps({"model_list": list(entries), **sections}), encoding="utf-8")
    return path


def plan(*entries: dict[str, Any], environ: dict[str, str] | None = None, **more: Any) -> Import:
    return plan_import(write_yaml(*entries), None, environ or {}, **more)


def imported(*entries: dict[str, Any], args: tuple[str, ...] = (), **sections: Any) -> Outcome:
    write_yaml(*entries, **sections)
    return run("config", "import", "config.yaml", "--to", "new.toml", *args)


def only(*entries: dict[str, Any], environ: dict[str, str] | None = None, **more: Any) -> Any:
    made = plan(*entries, environ=environ, **more)
    assert made.left_out == ()
    (provider,) = made.providers
    return provider


# ---- noise


def test_model_info_is_a_note_of_one_line_and_what_a_model_can_do_is_kept() -> None:
    info = {"id": "x", "team_public_model_name": "t", "mode": "chat", "max_input_tokens": 8192}
    entries = [
        entry(f"m{n}", f"groq/m{n}", model_info={**info, "supports_vision": n == 1})
        for n in range(5)
    ]
    done = imported(*entries)
    assert done.code == 0
    assert done.err.count("model_info") == 1
    assert "config.yaml:1: m0, m1, m2, and 2 more: model_info, of which" in done.err
    models = load_config("new.toml").models
    assert models["groq/m1"] == {"mode": "chat", "max_input_tokens": 8192, "supports_vision": True}
    assert models["groq/m2"]["supports_vision"] is False


def test_what_litellm_ignores_is_a_note() -> None:
    made = plan({**entry("a", "groq/a"), "description": "mine", "tags": ["x"]})
    assert made.left_out == ()
    assert any("description, which LiteLLM ignores there" in note for note in made.notes)


def test_a_credential_that_no_entry_names_is_a_note() -> None:
    data = {"credential_list": [{"credential_name": "x", "credential_values": {"api_key": "k"}}]}
    Path("config.yaml").write_text(json.dumps({"model_list": [entry("a", "groq/a")], **data}))
    done = run("config", "import", "config.yaml", "--to", "new.toml")
    assert done.code == 0
    assert "note: config.yaml:1: x: a credential that no entry names" in done.err


def test_nothing_to_change_is_exit_code_0() -> None:
    entries = [entry("a", "groq/a"), entry("b", "bedrock/b")]
    assert imported(*entries).code == 1
    again = imported(*entries)
    assert (again.code, again.out) == (0, "")
    assert "nothing to change in new.toml" in again.err
    assert "left out: config.yaml" in again.err


def test_an_import_of_nothing_is_exit_code_1() -> None:
    assert imported(entry("b", "bedrock/b")).code == 1


@pytest.mark.parametrize(
    "text", ["{}\nmcp: {}\n", '{"mcp": {}}', "model_list: []\n", "clients: []\n"]
)
def test_a_file_without_models_is_told(text: str) -> None:
    Path("source").write_text(text.removeprefix("{}\n"))
    done = run("config", "import", "source", "--to", "new.toml")
    assert (done.code, "note: source:1: no models in it" in done.err) == (0, True)


def test_a_model_that_is_there_and_differs_stops_the_import() -> None:
    imported(entry("a", "groq/a", model_info={"max_tokens": 1}))
    done = imported(entry("a", "groq/a", model_info={"max_tokens": 2}))
    assert done.code == 2
    assert "models.groq/a.max_tokens is 1, and the import says 2" in done.err


# ---- exactness


def test_a_model_name_may_be_a_reference() -> None:
    made = plan(entry("os.environ/NAME", "groq/a"), environ={"NAME": "mine"})
    assert made.routes == {"mine": "groq/a"}
    made = plan(entry("os.environ/NAME", "groq/a"))
    assert "model_name is $NAME, which is not set" in made.left_out[0]


def test_cloudflare_takes_its_account_from_a_variable() -> None:
    provider = only(entry("a", "cloudflare/a"), environ={"CLOUDFLARE_ACCOUNT_ID": "abc"})
    assert provider.base_url == "https://api.cloudflare.com/client/v4/accounts/abc/ai/v1"
    assert provider.api_key_env == "CLOUDFLARE_API_KEY"
    made = plan(entry("a", "cloudflare/a"))
    assert "account is $CLOUDFLARE_ACCOUNT_ID, which is not set" in made.left_out[0]


@pytest.mark.parametrize(
    ("base", "prefix"),
    [
        ("https://api.deepseek.com/v1", "deepseek"),
        ("https://api.groq.com/openai/v1/", "groq"),
        ("https://api.deepseek.com", None),
        ("https://api.deepseek.com/v1evil", None),
        ("https://api.deepseek.com.evil.example/v1", None),
    ],
)
def test_a_model_without_a_prefix_goes_by_its_base(base: str, prefix: str | None) -> None:
    made = plan(entry("a", "deepseek-chat", api_base=base, api_key="os.environ/K"))
    if prefix is None:
        assert "'deepseek-chat' has no prefix, and LiteLLM drops" in made.left_out[0]
    else:
        assert made.notes[0].endswith(f"no prefix: LiteLLM goes by its api_base, {prefix}")
        assert made.providers[0].base_url == base.rstrip("/")


def test_the_lowest_order_gets_the_name() -> None:
    one = {"api_base": "http://one:1/v1", "api_key": "none"}
    two = {"api_base": "http://two:1/v1", "api_key": "none"}
    made = plan(
        entry("m", "openai/m", **one), entry("m", "openai/m", **two, order=1), entry("n", "groq/n")
    )
    assert made.routes["m"] == "two-1/m"
    assert made.left_out == ("m: load balancing over two-1/m, one-1/m; it goes to two-1/m",)
    assert all("order" not in provider.extras for provider in made.providers)
    made = plan(
        entry("m", "openai/m", **one, model_info={"order": 2}),
        entry("m", "openai/m", **two, model_info={"order": 1}),
    )
    assert made.routes["m"] == "two-1/m"


@pytest.mark.parametrize(
    "key", ["ollama", "api-key", "my-fake-key", "fake_api_key", "lm-studio", "dummy-token", "EMPTY"]
)
def test_a_stand_in_is_no_key(key: str) -> None:
    provider = only(entry("a", "openai/a", api_base="http://h:1/v1", api_key=key))
    assert (provider.api_key, provider.api_key_env) == (None, None)


@pytest.mark.parametrize("key", ["ollama-9f3a77c2", "my-key-9f3a", "fakery", "apikey-77aa01"])
def test_what_only_begins_like_a_stand_in_is_a_key(key: str) -> None:
    provider = only(entry("a", "openai/a", api_base="http://h:1/v1", api_key=key))
    assert provider.api_key == key


def test_two_keyless_providers_with_one_base_come_back_as_two(write: Write) -> None:
    base = 'base_url = "http://h:1/v1"\n'
    write(
        f'[[providers]]\nname = "a"\n{base}default_model = "m"\n\n'
        f'[[providers]]\nname = "b"\n{base}default_model = "n"\n'
    )
    Path("exported.yaml").write_text(export(load_config()).text)
    done = run("config", "import", "exported.yaml", "--to", "new.toml")
    assert done.code == 0
    back = load_config("new.toml").providers
    assert [(p.name, p.base_url, p.default_model) for p in back] == [
        ("a", "http://h:1/v1", "m"),
        ("b", "http://h:1/v1", "n"),
    ]


def test_a_base_that_is_not_set_is_litellms_own_where_it_has_one() -> None:
    made = plan(entry("a", "groq/a", api_base="os.environ/GROQ_BASE"))
    assert made.providers[0].base_url == "https://api.groq.com/openai/v1"
    assert any("its api_base is $GROQ_BASE, which is not set" in note for note in made.notes)
    made = plan(entry("a", "openai/a", api_base="os.environ/VLLM_BASE", api_key="none"))
    assert "api_base is $VLLM_BASE, which is not set: set it" in made.left_out[0]


# ---- --compatible


@pytest.mark.parametrize(
    ("model", "params", "base", "variable"),
    [
        ("anthropic/claude-x", {}, "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
        ("claude-x", {"api_key": "os.environ/MINE"}, "https://api.anthropic.com/v1", "MINE"),
        (
            "anthropic/claude-x",
            {"api_base": "https://api.anthropic.com"},
            "https://api.anthropic.com/v1",
            "ANTHROPIC_API_KEY",
        ),
        (
            "gemini/gemini-x",
            {},
            "https://generativelanguage.googleapis.com/v1beta/openai",
            "GEMINI_API_KEY",
        ),
        ("ollama/llama3", {}, "http://localhost:11434/v1", None),
        ("ollama_chat/l", {"api_base": "http://gpu:11434/"}, "http://gpu:11434/v1", None),
        ("ollama/l", {"api_base": "http://gpu/ollama/v1"}, "http://gpu/ollama/v1", None),
        (
            "azure/my-gpt",
            {"api_base": "https://r.openai.azure.com/", "api_version": "2024-10-21"},
            "https://r.openai.azure.com/openai/v1",
            "AZURE_API_KEY",
        ),
        ("cohere_chat/c", {}, "https://api.cohere.ai/compatibility/v1", "COHERE_API_KEY"),
        ("openai_like/m", {"api_base": "http://h:1/v1"}, "http://h:1/v1", "OPENAI_LIKE_API_KEY"),
    ],
)
def test_entries_of_other_apis_are_taken_by_a_compatible_base(
    model: str, params: dict[str, Any], base: str, variable: str | None
) -> None:
    refused = plan(entry("a", model, **params))
    assert (refused.providers, refused.compatible) == ((), 1)
    assert "--compatible imports it through" in refused.left_out[0]
    made = plan(entry("a", model, **params), compatible=True)
    assert (made.left_out, made.compatible) == ((), 0)
    (provider,) = made.providers
    assert (provider.base_url, provider.api_key_env) == (base, variable)
    assert provider.default_model == model.rpartition("/")[2]
    assert provider.extras == {}
    prefix = model.partition("/")[0] if "/" in model else "anthropic"
    assert any(COMPATIBLE_BASES[prefix].ignores in note for note in made.notes)


@pytest.mark.parametrize(
    ("model", "base"),
    [
        ("anthropic/c", "https://relay.example/anthropic"),
        ("gemini/g", "https://generativelanguage.googleapis.com.evil.example"),
        ("azure/a", "https://gateway.example/azure"),
        ("azure/a", "https://x.openai.azure.com.evil.example"),
    ],
)
def test_another_host_has_no_compatible_api_that_we_know(model: str, base: str) -> None:
    made = plan(entry("a", model, api_base=base), compatible=True)
    assert made.providers == ()
    assert "OpenAI-compatible API on its maker's host only" in made.left_out[0]


def test_the_report_ends_with_the_command_that_takes_them() -> None:
    done = imported(entry("a", "ollama/a"), entry("b", "gemini/b"), entry("c", "bedrock/c"))
    last = done.err.splitlines()[-1]
    assert last == (
        "to import 2 of these by an OpenAI-compatible API: "
        "adapter config import config.yaml --compatible"
    )
    done = imported(entry("a", "ollama/a"), entry("b", "gemini/b"), args=("--compatible",))
    assert done.code == 0
    assert [p.name for p in load_config("new.toml").providers] == ["ollama", "gemini"]
    assert "--compatible" not in done.err


# ---- names


@pytest.mark.parametrize("name", ["openai", "groq", "anthropic", "openai/*", "azure/*"])
@pytest.mark.parametrize("key", ["EMPTY", "sk-0123456789abcdefghij"])
@pytest.mark.parametrize("base", ["http://10.0.0.1:8000/v1", "https://vllm.corp.example/v1"])
def test_no_server_gets_a_name_whose_variable_is_a_vendors(name: str, key: str, base: str) -> None:
    model = "openai/*" if "*" in name else "openai/m"
    for args in ((), ("--include-secrets",)):
        made = plan(entry(name, model, api_base=base, api_key=key))
        (provider,) = made.providers
        assert provider.name in ("host-10-0-0-1-8000", "vllm-corp-example"), args


def test_a_local_server_may_be_called_like_its_software() -> None:
    local = entry("ollama", "openai/m", api_base="http://10.0.0.1:11434/v1", api_key="none")
    assert only(local).name == "ollama"
    public = entry("ollama", "openai/m", api_base="https://llm.example/v1", api_key="none")
    assert only(public).name == "llm-example"


def test_a_vendors_own_base_keeps_its_name() -> None:
    assert only(entry("x", "groq/x", api_key="gsk_0123456789abcdefgh")).name == "groq"
    assert only(entry("groq/*", "groq/*", api_key="gsk_0123456789abcdefgh")).name == "groq"


def test_a_name_that_gptme_answers_itself_is_told() -> None:
    made = plan(entry("a", "openai/a", api_key="os.environ/MY_KEY"), entry("b", "groq/b"))
    assert [p.name for p in made.providers] == ["openai", "groq"]
    (note,) = made.notes
    assert note == (
        "gptme has a provider 'openai' of its own and asks that, with $OPENAI_API_KEY: for use in "
        "gptme rename this one, to 'openai-2' for example"
    )


# ---- an export travels


def test_what_a_model_can_do_is_exported_and_comes_back(write: Write) -> None:
    write(
        '[[providers]]\nname = "a"\nbase_url = "http://h:1/v1"\ndefault_model = "m"\n\n'
        '[plugin.litellm.models."a/m"]\nsupports_vision = true\n\n'
        '[plugin.litellm.models."a/e"]\nmode = "embedding"\n'
    )
    text = run("config", "export").out
    infos = {e["model_name"]: e.get("model_info") for e in yaml.safe_load(text)["model_list"]}
    assert infos == {"a": {"supports_vision": True}, "a/e": {"mode": "embedding"}, "a/*": None}
    Path("exported.yaml").write_text(text)
    assert run("config", "import", "exported.yaml", "--to", "new.toml").code == 0
    back = load_config("new.toml")
    assert back.models == load_config().models
    assert [p.default_model for p in back.providers] == ["m"]


def test_rules_for_virtual_keys_are_no_secrets() -> None:
    rules = {"team_key_generation": {"allowed_team_member_roles": ["admin"]}}
    done = imported(entry("a", "groq/a"), litellm_settings={"key_generation_settings": rules})
    assert done.code == 0
    assert load_config("new.toml").settings["litellm_settings"] == {
        "key_generation_settings": rules
    }


def test_a_provider_without_a_key_is_written_with_a_comment(write: Write) -> None:
    write('[[providers]]\nname = "relay"\nbase_url = "https://relay.example/v1"\n')
    text = run("config", "export").out
    comment = "# no key: $RELAY_API_KEY is not set; with one, os.environ/RELAY_API_KEY"
    assert f"  {comment}\n  - model_name: relay/*\n" in text
    assert yaml.safe_load(text)["model_list"][0]["litellm_params"]["api_key"] == "default-key"


def test_references_for_all_never_become_openais_key(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write('[[providers]]\nname = "relay"\nbase_url = "https://relay.example/v1"\n')
    done = run("config", "export", "--reference-all")
    made = yaml.safe_load(done.out)
    assert made["model_list"][0]["litellm_params"]["api_key"] == "os.environ/RELAY_API_KEY"
    assert made["litellm_settings"]["openai_key"] == "default-key"
    assert "set RELAY_API_KEY: it is not set, and without it LiteLLM sends the placeholder" in (
        done.err
    )
    Path("exported.yaml").write_text(done.out)
    again = run("config", "import", "exported.yaml", "--to", "new.toml")
    assert again.code == 0, again.err
    (back,) = load_config("new.toml").providers
    assert back == Provider(
        "relay", "https://relay.example/v1", api_key_env="RELAY_API_KEY", origin=back.origin
    )


def test_an_export_on_a_terminal_shows_what_would_turn_its_text_around(write: Write) -> None:
    write('[[providers]]\nname = "a"\nbase_url = "http://h/v1"\ndefault_model = "m\u202ex"\n')
    code, shown = at_a_terminal("config", "export")
    assert code == 0
    assert "\\u202e" in shown
    assert "\u202e" not in shown
    assert "\u202e" in run("config", "export").out

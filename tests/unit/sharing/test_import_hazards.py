"""Imports of files that are wrong, hostile, or collide with what is there: nothing gets lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli
import yaml

from adapter.config.loading import load_config
from adapter.sharing.exporting import export
from tests.command import Outcome, run

BASE = "https://relay.example/v1"


def entry(name: str, model: str, base: str = BASE, key: str | None = None, **more: Any) -> Any:
    given = {"api_base": base, **({"api_key": key} if key else {}), **more}
    return {"model_name": name, "litellm_params": {"model": model, **given}}


def imports(*entries: Any, args: tuple[str, ...] = (), **sections: Any) -> Outcome:
    path = Path("config.yaml")
    path.write_text(yaml.safe_dump({"model_list": list(entries), **sections}, allow_unicode=True))
    return run("config", "import", str(path), *args)


def providers() -> dict[str, dict[str, Any]]:
    loaded = load_config()
    return {
        p.name: {"base": p.base_url, "key": p.key_source, "model": p.default_model}
        for p in loaded.providers
    }


@pytest.mark.parametrize(
    "setting", ["api_key_cmd", "api_key_file", "api_key_keyring", "api_key_what"]
)
def test_no_file_makes_us_run_a_command(config_dir: Path, setting: str) -> None:
    value = "os.environ/X; touch PWNED; echo k"
    done = imports(entry("gpu/*", "openai/*", **{setting: value}), args=("--include-secrets",))
    assert done.code == 1
    assert f"{setting} is a setting of ours that an import never writes" in done.err
    assert "gpu/*" in done.err
    assert providers() == {"gpu": {"base": BASE, "key": "$GPU_API_KEY (default)", "model": None}}
    run("-m", "gpu/x", "hi", "--timeout", "1")
    assert not Path("PWNED").exists()


def test_a_keyless_server_is_not_named_after_anothers_variable(config_dir: Path) -> None:
    done = imports(
        entry("big", "openai/big", "https://api.mycorp.com/v1", "os.environ/MYCORP_API_KEY"),
        entry("mycorp", "openai/small", "http://127.0.0.1:18111/v1", "none"),
        entry("mycorp/*", "openai/*", "http://127.0.0.1:18112/v1", "none"),
    )
    assert done.code == 1
    assert "a pattern of names" in done.err
    found = {p["base"]: p["key"] for p in providers().values()}
    assert found["https://api.mycorp.com/v1"] == "$MYCORP_API_KEY"
    assert "MYCORP_API_KEY" not in found["http://127.0.0.1:18111/v1"]
    assert "MYCORP_API_KEY" not in found["http://127.0.0.1:18112/v1"]


def test_each_literal_key_has_a_variable_of_its_own(config_dir: Path) -> None:
    hosts = [f"https://{letter}.example/v1" for letter in "abc"]
    done = imports(
        entry("my-gpu", "openai/m", hosts[0], "sk-canary-first-key"),
        entry("my_gpu", "openai/m", hosts[1], "sk-canary-second-key"),
        entry("My-GPU", "openai/m", hosts[2], "EMPTY"),
    )
    assert done.code == 1
    assert len({p["key"] for p in providers().values()}) == 3
    assert "canary" not in done.err + done.out
    told = [line for line in done.err.splitlines() if ": set " in line]
    assert len(told) == 2
    assert len({line.partition(": set ")[2].split()[0] for line in told}) == 2


def test_two_servers_behind_one_wildcard_are_told(config_dir: Path) -> None:
    done = imports(
        entry("gpu/*", "openai/*", "http://gpu1:8000/v1", "os.environ/K1"),
        entry("gpu/*", "openai/*", "http://gpu2:8000/v1", "os.environ/K2"),
    )
    assert done.code == 1
    assert "gpu/*: load balancing over gpu/MODEL, gpu2-8000/MODEL; it goes to gpu/MODEL" in done.err
    assert providers()["gpu"]["base"] == "http://gpu1:8000/v1"
    assert providers()["gpu2-8000"] == {
        "base": "http://gpu2:8000/v1",
        "key": "$K2",
        "model": None,
    }
    again = run("config", "import", "config.yaml")
    assert "nothing to change in" in again.err


SECRETS: list[dict[str, Any]] = [
    {"general_settings": {"database_url": "postgresql://db/l?user=u&password=canary"}},
    {"general_settings": {"alert_to_webhook_url": {"budget": "https://hooks.example/canary"}}},
    {"litellm_settings": {"cache_params": {"url": "redis://h:6379/0?password=canary"}}},
    {"router_settings": {"tag_routing_prefix": "postgresql://llm:p#ss/canary@db:5432/l"}},
    {"router_settings": {"cache_kwargs": {"startup_nodes": [[{"password": "canary"}]]}}},
    {"general_settings": {"pass_through_endpoints": [{"headers": {"X-F": "Bearer canary-1"}}]}},
]


@pytest.mark.parametrize("section", SECRETS)
def test_no_secret_of_a_section_reaches_a_shared_file(
    config_dir: Path, section: dict[str, Any]
) -> None:
    done = imports(**section)
    assert done.code == 1
    assert "holds a secret: --include-secrets writes it" in done.err
    assert "canary" not in done.err + done.out
    assert not [p for p in config_dir.glob("*") if "canary" in p.read_text()]
    imports(args=("--include-secrets",), **section)
    assert "canary" in (config_dir / "config.local.toml").read_text()
    assert "canary" not in export(load_config()).text
    assert list(config_dir.iterdir()) == [config_dir / "config.local.toml"]


def test_a_difference_shows_no_secret(config_dir: Path) -> None:
    node = {"host": "h", "password": "canary-old"}
    nodes = {"router_settings": {"cache_kwargs": {"startup_nodes": [node]}}}
    imports(args=("--include-secrets",), **nodes)
    node["password"] = "canary-new"
    done = imports(args=("--include-secrets",), **nodes)
    assert done.code == 2
    assert "startup_nodes is a secret, and the import says a secret" in done.err
    assert "canary" not in done.err


@pytest.mark.parametrize("args", [(), ("--include-secrets",)])
@pytest.mark.parametrize(
    "entries",
    [
        [
            entry("a", "openai/a", key="sk-0123456789abcdef"),
            entry("b", "openai/b", key="sk-0123456789abcdef"),
        ],
        [
            entry("a", "openai/a", key="os.environ/KB"),
            entry("b", "openai/b", key="os.environ/KB"),
            entry("c", "openai/c"),
            entry("d", "openai/d"),
        ],
        [
            entry("a", "openai/a", key="sk-0123456789abcdef"),
            entry("b", "openai/b"),
            entry("c", "openai/c"),
        ],
    ],
)
def test_again_there_is_nothing_to_do(
    config_dir: Path, entries: list[Any], args: tuple[str, ...]
) -> None:
    first = imports(*entries, args=args)
    assert first.code in (0, 1)
    before = providers()
    again = imports(*entries, args=args)
    assert (again.code, providers()) == (0, before), again.err
    assert "wrote" not in again.err


def test_a_key_of_ones_own_is_not_taken_by_a_keyless_entry(write: Callable[..., Path]) -> None:
    write(f'[[providers]]\nname = "relay"\nbase_url = "{BASE}"\napi_key_env = "RELAY_KEY"\n')
    done = imports(
        entry("a", "openai/a"),
        entry("a2", "openai/a2"),
        entry("b", "openai/b", key="os.environ/RELAY_KEY"),
    )
    assert done.code == 0, done.err
    assert providers()["relay"]["key"] == "$RELAY_KEY"
    assert len(providers()) == 2


def test_an_alias_of_an_exact_name_beats_the_wildcard(config_dir: Path) -> None:
    done = imports(
        entry("groq/*", "openai/*", "https://groq.example/v1", "os.environ/GROQ_API_KEY"),
        entry("groq/special", "openai/x", BASE, "os.environ/RELAY_KEY"),
        router_settings={"model_group_alias": {"s": "groq/special", "u": "groq/any"}},
    )
    assert done.code == 1, done.err
    what = (
        "groq/special: means a model of provider 'groq', except in a gateway: use relay-example/x"
    )
    assert f"left out: {what}" in done.err
    aliases = load_config().settings["router_settings"]["model_group_alias"]
    assert aliases["s"] == aliases["groq/special"] == "relay-example/x"
    assert aliases["u"] == "groq/any"


def test_an_alias_does_not_hide_a_provider(write: Callable[..., Path]) -> None:
    path = write('[[providers]]\nname = "fast"\nbase_url = "http://mine:8000/v1"\n')
    before = path.read_text()
    given = entry("fast", "groq/llama", "https://api.groq.com/openai/v1", "os.environ/GROQ_API_KEY")
    done = imports(
        given, entry("other", "groq/o", "https://api.groq.com/openai/v1", "os.environ/GROQ_API_KEY")
    )
    assert done.code == 2
    assert "the alias 'fast' would hide the provider 'fast'" in done.err
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("section", "value", "words"),
    [
        ("model_list", {"a": "b"}, "model_list: is not a list"),
        ("router_settings", ["fallbacks"], "router_settings: is not a mapping"),
        ("litellm_settings", "drop_params", "litellm_settings: is not a mapping"),
        ("credential_list", {"a": 1}, "credential_list: is not a list"),
        ("credential_list", [{"credential_name": "x"}], "item 1: has no credential_values"),
        ("environment_variables", ["A=b"], "environment_variables: is not a mapping"),
        ("agents", [1], "agents: a section of LiteLLM's gateway only"),
        ("default_vertex_config", {"a": 1}, "default_vertex_config: a section of LiteLLM's"),
        ("router_settings", {"model_group_alias": "x"}, "model_group_alias: is not a mapping"),
        ("router_settings", {"model_group_alias": {"u": "x"}}, "its target 'x' does not exist"),
        (
            "litellm_settings",
            {"custom_provider_map": [{"provider": "x", "custom_handler": "my_mod.handler"}]},
            "my_mod.handler: Python code, which is not imported",
        ),
        (
            "litellm_settings",
            {"x": b"binary"},
            "litellm_settings.x: a value that cannot be written",
        ),
    ],
)
def test_what_cannot_be_said_is_told(
    config_dir: Path, section: str, value: Any, words: str
) -> None:
    done = imports(**{section: value})
    assert done.code == 1
    assert words in done.err
    assert "canary" not in done.err
    assert not load_config().settings.get(section)


def test_odd_types_are_no_traceback(config_dir: Path) -> None:
    Path("config.yaml").write_text(
        "model_list:\n"
        "- model_name: m\n"
        f"  litellm_params: {{model: openai/m, api_base: {BASE}, timeout: .nan,\n"
        "    extra_body: {1: x, ~: y, gone: ~, set: !!set {b, a}, day: 2024-01-01}}\n"
        "environment_variables: {BUILD: 2024-01-01, NOTHING: ~}\n"
        "general_settings: {1: x}\n"
    )
    done = run("config", "import", "config.yaml", "--include-secrets")
    assert done.code == 1
    assert "left out: timeout of provider 'm': a value that cannot be written\n" in done.err
    data = tomli.loads((config_dir / "gptme.toml").read_text())
    body = data["plugin"]["litellm"]["providers"]["m"]["extra_body"]
    assert body.keys() == {"1", "None", "set", "day"}
    assert body["set"] == ["a", "b"]
    assert data["plugin"]["litellm"]["general_settings"] == {"1": "x"}
    assert "BUILD = " in (config_dir / "config.local.toml").read_text()


def test_a_header_from_a_variable_goes_both_ways(config_dir: Path) -> None:
    headers = {"Authorization": "os.environ/MY_HEADER", "X-Team": "blue"}
    done = imports(entry("m/*", "openai/*", extra_headers=headers))
    assert done.code == 0, done.err
    (provider,) = load_config().providers
    assert provider.extras["extra_headers"] == {"Authorization": "$MY_HEADER", "X-Team": "blue"}
    made = yaml.safe_load(export(load_config()).text)["model_list"]
    assert made[0]["litellm_params"]["extra_headers"] == headers


@pytest.mark.parametrize("target", ["elsewhere.toml", "{config}/shared.toml"])
def test_keys_are_not_written_beside_a_file_that_is_not_read(config_dir: Path, target: str) -> None:
    target = target.format(config=config_dir)
    given = entry("m", "openai/m", key="sk-canary")
    done = imports(given, args=("--to", target, "--include-secrets"))
    assert done.code == 2
    assert "which is read only beside" in done.err
    assert not list(config_dir.glob("*"))
    assert not Path(target).exists()


@pytest.mark.parametrize(
    ("base", "variable"),
    [
        ("http://192.168.1.20:8000/v1", "HOST_192_168_1_20_8000_API_KEY"),
        ("http://[::1]:8000/v1", "HOST_1_8000_API_KEY"),
        ("https://gpu.example/v1", "GPU_EXAMPLE_API_KEY"),
    ],
)
def test_the_variable_to_set_can_be_set_in_a_shell(
    config_dir: Path, base: str, variable: str
) -> None:
    done = imports(entry("模型", "openai/m", base, "sk-canary-0123456789"))
    assert f": set {variable} to it" in done.err
    assert providers()[variable.removesuffix("_API_KEY").lower().replace("_", "-")]


def test_fallbacks_of_an_entry_follow_the_names(config_dir: Path) -> None:
    done = imports(
        entry("pf", "openai/pf", "http://a:1/v1", fallbacks=["big", {"model": "big"}, "gpt-4o"]),
        entry("big", "openai/bigm", "http://b:2/v1"),
        entry("big2", "openai/bigm2", "http://b:2/v1"),
    )
    assert done.code == 0, done.err
    assert "name 'gpt-4o', which the file lacks" in done.err
    assert load_config().provider("pf").extras["fallbacks"] == [
        "b-2/bigm",
        {"model": "b-2/bigm"},
        "gpt-4o",
    ]


def test_the_default_is_a_model_that_chats(config_dir: Path) -> None:
    embedding = {**entry("emb", "openai/embed"), "model_info": {"mode": "embedding"}}
    imports(embedding, {**entry("chat", "openai/gpt"), "model_info": {"mode": "chat"}})
    assert [p["model"] for p in providers().values()] == ["gpt"]


def test_a_target_that_cannot_be_written_is_named(config_dir: Path) -> None:
    done = imports(entry("m", "openai/m"), args=("--to", "/proc/x.toml"))
    assert done.code == 2
    assert "/proc/x.toml" in done.err
    assert "cannot be written" in done.err


def test_headers_are_text(config_dir: Path) -> None:
    done = imports(
        entry("a", "openai/a", "http://a:1/v1", extra_headers={"X-N": 3}),
        entry("b", "openai/b", "http://b:1/v1", extra_headers="X: y"),
    )
    assert done.code == 1
    assert "extra_headers of provider 'b': is not a mapping" in done.err
    assert load_config().provider("a").extras["extra_headers"] == {"X-N": "3"}
    assert run("config", "check").code == 0

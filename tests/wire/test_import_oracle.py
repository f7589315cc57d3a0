"""Imports against LiteLLM's own Router: the same URL, the same id on the wire, the same key."""

from __future__ import annotations

import json
import math
import re
import string
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from litellm.llms.openai_like.json_loader import JSONProviderRegistry

from adapter.call.resolution import resolve
from adapter.config.loading import Config, load_config
from adapter.config.provider import Provider
from adapter.sharing.applying import write_import
from adapter.sharing.importing import Import, plan_import
from adapter.upstream.prefixes import NOT_EXPRESSIBLE, OPENAI_COMPATIBLE
from tests.command import ROOT
from tests.router_oracle import Ask, Sent, router_oracle

SAMPLES = sorted((ROOT / "tests" / "samples").glob("*.yaml*"))

ENVIRON = {"GATEWAY_BASE": "https://gateway.example/v1", "CLOUDFLARE_ACCOUNT_ID": "account"}
ELSEWHERE = {"BASE": "http://from-variable:1/v1"}
ENVIRON["OPENAI_API_KEY"] = "value-OPENAI_API_KEY"  # what LiteLLM falls back on

SPECIAL = {"ai21", "aiohttp_openai", "gradient_ai", "huggingface"}
"""Prefixes that are as the table says for some ids, or for asynchronous calls, only, or that
LiteLLM's Router fails on (it gives each call ``max_retries``)."""

DROPPED = ("LiteLLM drops", "which drops the entry", "does not start with")


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    with router_oracle() as oracle:
        yield oracle


def samples() -> Iterator[Any]:
    for path in SAMPLES:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        for number, entry in enumerate(data.get("model_list") or ()):
            credentials = data.get("credential_list") or []
            yield pytest.param(entry, credentials, id=f"{path.name}-{number}")


@pytest.mark.timeout(330)
@pytest.mark.parametrize(("entry", "credentials"), samples())
def test_every_entry_of_every_sample(ask: Ask, entry: Any, credentials: list[Any]) -> None:
    check(ask, entry, credentials)


ID = st.text(string.ascii_letters + string.digits + "-_.:@", min_size=1, max_size=12)
LISTED = {str(getattr(p, "value", p)) for p in litellm.provider_list}
KNOWN = LISTED | set(JSONProviderRegistry.list_providers())
PREFIX = st.sampled_from(sorted(KNOWN & ({*OPENAI_COMPATIBLE, *NOT_EXPRESSIBLE} - SPECIAL)))
ALIKE_IN_RELEASES = {"groq", "hosted_vllm", "litellm_proxy", "meta", "openai", "xai"}
"""Prefixes with which every supported LiteLLM does the same for an id ``responses/X``."""

MARKED = st.sampled_from(["o1-pro", "gpt-5-codex", "responses/x", "responses/o1-pro"])
PLAIN = st.builds("/".join, st.lists(ID, min_size=1, max_size=2))
BASE = st.sampled_from(
    [
        *("http://gpu:8000/v1", "http://gpu:8000/v1/", "http://gpu:8000", "https://h.example/api"),
        *("https://api.groq.com/openai/v1", "https://api.deepseek.com/v1", "os.environ/BASE"),
    ]
)
KEY = st.sampled_from(["os.environ/KEY", "sk-literal-0123456789", "EMPTY", "my-fake-key"])
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "api_base": BASE,
        "base_url": BASE,
        "api_key": KEY,
        "order": st.integers(0, 3),
        "timeout": st.just(30),
    },
)


@st.composite
def entries(draw: st.DrawFn, models: st.SearchStrategy[str]) -> dict[str, Any]:
    """An entry as LiteLLM's schema allows it: with and without prefix, wildcards, references."""
    prefix = draw(PREFIX)
    shape = draw(st.sampled_from(["prefix", "prefix", "prefix", "none", "wild", "provider"]))
    params: dict[str, Any] = draw(PARAMS)
    name, model = "name", draw(models)
    assume(prefix in ALIKE_IN_RELEASES or not model.startswith("responses/"))
    assume(shape != "wild" or prefix != "fireworks_ai")  # told: it wants the full id
    if shape == "wild":
        name, params["model"] = "name/*", f"{prefix}/*"
    elif shape == "none":
        params["model"] = model
    elif shape == "provider":
        params |= {"model": model, "custom_llm_provider": prefix}
    else:
        params["model"] = f"{prefix}/{model}"
    return {"model_name": name, "litellm_params": params}


@pytest.mark.timeout(330)
@settings(max_examples=250, deadline=None)
@given(entries(PLAIN | MARKED))
def test_any_entry(ask: Ask, entry: dict[str, Any]) -> None:
    check(ask, entry, [])


NAMES = ("one", "two", "groq/fast", "w/x", "w/*")
CREDENTIALS = st.sampled_from(
    [
        {"api_key": "os.environ/KEY"},
        {"api_key": "sk-of-a-credential-01", "api_base": "http://desk:1234/v1"},
        {"api_base": "os.environ/BASE"},
    ]
)
ALIASES = st.dictionaries(
    st.sampled_from(["al", "two", "gpt-4o", "w/y"]), st.sampled_from(NAMES[:-1])
)


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    """A file with entries that share names, bases, keys and a credential, and with settings."""
    listed = []
    for entry in draw(st.lists(entries(PLAIN), min_size=1, max_size=4)):
        wild = entry["model_name"].endswith("/*")
        name = NAMES[-1] if wild else draw(st.sampled_from(NAMES[:-1]))
        params = entry["litellm_params"]
        if draw(st.booleans()):
            params["litellm_credential_name"] = "shared"
        listed.append({**entry, "model_name": name})
    values = draw(CREDENTIALS)
    router = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "model_group_alias": ALIASES,
                "enable_cost_tracking": st.booleans(),
                "routing_strategy": st.sampled_from(["simple-shuffle", "least-busy", "fastest"]),
                "redis_host": st.just("os.environ/REDIS_HOST"),
                "num_retries": st.integers(0, 3),
            },
        )
    )
    return {
        "model_list": listed,
        "credential_list": [{"credential_name": "shared", "credential_values": values}],
        "router_settings": router,
    }


WILD_BY_ORDER = {
    "model_list": [
        {"model_name": "w/*", "litellm_params": {"model": "deepseek/*"}},
        {"model_name": "w/*", "litellm_params": {"model": "groq/*", "order": 0}},
    ],
    "router_settings": {},
}


@pytest.mark.timeout(330)
@settings(max_examples=150, deadline=None)
@given(configurations())
@example(WILD_BY_ORDER)
def test_every_name_of_any_configuration(ask: Ask, config: dict[str, Any]) -> None:
    """What is written means by each name what the Router means, where it has one meaning."""
    environ = {**ENVIRON, **ELSEWHERE}
    source, target = Path("any.yaml"), Path("any.toml")
    source.write_text(json.dumps(config))
    target.unlink(missing_ok=True)
    plan = plan_import(source, None, environ)
    write_import(plan, Config(), target)
    loaded = load_config(target) if target.exists() else Config()
    refused = [name for name in NAMES if any(f": {name}: " in line for line in plan.left_out)]
    listed = Counter((e["model_name"], rank(e)) for e in config["model_list"])
    environ |= {p.api_key_env: f"value-{p.api_key_env}" for p in plan.providers if p.api_key_env}
    aliases = config["router_settings"].get("model_group_alias", {})
    for name in (*plan.routes, *(a for a in aliases if a in plan_aliases(plan))):
        group = aliases.get(name, name)
        of_group = {key: n for key, n in listed.items() if key[0] == group}
        told = any(line.startswith(f"{name}: means a model of") for line in plan.left_out)
        if told or group in refused or not of_group or of_group[min(of_group)] > 1:
            continue  # it has no meaning here, or several there
        asked = name.replace("*", "any-model")
        resolution = resolve(asked, loaded)
        provider = resolution.provider
        assert provider is not None
        (planned,) = (p for p in plan.providers if p.name == provider.name)
        sent = ask(config, asked, environ)
        compare(sent, plan, planned, resolution.model, resolution.mode, environ, config)


def rank(entry: dict[str, Any]) -> float:
    """Return the order of an entry; those without one come last."""
    return float(entry["litellm_params"].get("order", math.inf))


def plan_aliases(plan: Import) -> dict[str, Any]:
    return dict(plan.sections.get("router_settings", {}).get("model_group_alias", {}))


def check(ask: Ask, entry: Any, credentials: list[Any]) -> None:
    """Import one entry, ask the Router for it, and compare."""
    path = Path("one.yaml")
    config = {"model_list": [entry], "credential_list": credentials}
    path.write_text(json.dumps(config))
    environ = {**ENVIRON, **ELSEWHERE}
    plan = plan_import(path, None, environ)
    environ |= {p.api_key_env: f"value-{p.api_key_env}" for p in plan.providers if p.api_key_env}
    name = str(entry.get("model_name") if isinstance(entry, dict) else None)
    sent = ask(config, name.replace("*", "any-model"), environ)
    if not plan.providers:
        assert plan.left_out
        if any(words in plan.left_out[0] for words in DROPPED):
            assert sent is None
        return
    (provider,) = plan.providers
    mode = next((info.get("mode") for info in plan.models.values()), None)
    compare(sent, plan, provider, provider.default_model or "any-model", mode, environ, config)


def compare(
    sent: Sent | None,
    plan: Import,
    provider: Provider,
    model: str,
    mode: str | None,
    environ: dict[str, str],
    config: dict[str, Any],
) -> None:
    """Compare what the Router sent with the provider and model of an import."""
    assert sent is not None, plan
    notes = "\n".join(plan.notes)
    path = "/completions" if "/completions" in notes else "/chat/completions"
    path = "/responses" if mode == "responses" else path
    if "was cut from its api_base" not in notes:  # a mistake that is mended
        rows = [r for r in OPENAI_COMPATIBLE.values() if r.base_url == provider.base_url]
        bases = {provider.base_url, *(base for row in rows for base in row.moved)}
        if '/"' in json.dumps(config):
            # some prefixes double that slash, or add a version that they do not see before it
            bases |= {f"{provider.base_url}/v1"}
        url = re.sub("(?<!:)//", "/", sent.url)
        if len(config["model_list"]) > 1 and path == "/completions":  # for one of them
            url = re.sub("/(chat/)?completions$", path, url)
        assert url in {base + path for base in bases}
    assert sent.model == model
    key = environ.get(provider.api_key_env or "") or provider.api_key
    if key is not None and "LiteLLM sends the text" not in notes:
        assert sent.key == key

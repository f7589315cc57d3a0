"""Imports against LiteLLM's own Router: the same URL, the same id on the wire, the same key."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from litellm.llms.openai_like.json_loader import JSONProviderRegistry

from adapter.sharing.importing import Import, plan_import
from adapter.upstream.prefixes import NOT_EXPRESSIBLE, OPENAI_COMPATIBLE
from tests.command import ROOT
from tests.router_oracle import Ask, router_oracle

SAMPLES = sorted((ROOT / "tests" / "samples").glob("*.yaml*"))

ENVIRON = {"GATEWAY_BASE": "https://gateway.example/v1", "CLOUDFLARE_ACCOUNT_ID": "account"}
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
BEFORE_RESPONSES = {"fireworks_ai", "openrouter", "perplexity", "volcengine"}
"""LiteLLM leaves these before an id ``responses/X``, or asks elsewhere for it."""

MARKED = st.sampled_from(["o1-pro", "gpt-5-codex", "responses/x", "responses/o1-pro"])
MODEL = st.one_of(st.builds("/".join, st.lists(ID, min_size=1, max_size=2)), MARKED)
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
def entries(draw: st.DrawFn) -> dict[str, Any]:
    """An entry as LiteLLM's schema allows it: with and without prefix, wildcards, references."""
    prefix = draw(PREFIX)
    shape = draw(st.sampled_from(["prefix", "prefix", "prefix", "none", "wild", "provider"]))
    params: dict[str, Any] = draw(PARAMS)
    name, model = "name", draw(MODEL)
    assume(prefix not in BEFORE_RESPONSES or not model.startswith("responses/"))
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
@given(entries())
def test_any_entry(ask: Ask, entry: dict[str, Any]) -> None:
    check(ask, entry, [])


def check(ask: Ask, entry: Any, credentials: list[Any]) -> None:
    """Import one entry, ask the Router for it, and compare."""
    path = Path("one.yaml")
    path.write_text(json.dumps({"model_list": [entry], "credential_list": credentials}))
    environ = {**ENVIRON, "BASE": "http://from-variable:1/v1"}
    plan = plan_import(path, None, environ)
    environ |= {p.api_key_env: f"value-{p.api_key_env}" for p in plan.providers if p.api_key_env}
    sent = ask(entry, environ, credentials)
    if not plan.providers:
        assert plan.left_out
        if any(words in plan.left_out[0] for words in DROPPED):
            assert sent is None
        return
    assert sent is not None, plan
    (provider,) = plan.providers
    key = environ.get(provider.api_key_env or "") or provider.literal
    path_of_chat = "/completions" if "/completions" in notes(plan) else "/chat/completions"
    if any(info.get("mode") == "responses" for info in plan.models.values()):
        path_of_chat = "/responses"
    if "was cut from its api_base" not in notes(plan):  # a mistake that is mended
        rows = [r for r in OPENAI_COMPATIBLE.values() if r.base_url == provider.base_url]
        bases = {provider.base_url, *(base for row in rows for base in row.moved)}
        params = entry["litellm_params"]
        if str(params.get("base_url") or params.get("api_base")).endswith("/"):
            # some prefixes double that slash, or add a version that they do not see before it
            bases |= {f"{provider.base_url}/v1"}
        assert re.sub("(?<!:)//", "/", sent.url) in {base + path_of_chat for base in bases}
    assert sent.model == (provider.default_model or "any-model")
    if key is not None and "LiteLLM sends the text" not in notes(plan):
        assert sent.key == key


def notes(plan: Import) -> str:
    return "\n".join(plan.notes)

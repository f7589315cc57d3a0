"""What LiteLLM sends for each prefix of adapter/upstream/prefixes.json."""

from __future__ import annotations

import asyncio
import json
import re
from importlib.metadata import version
from typing import Any

import pytest

from adapter.upstream.prefixes import LOGINS, NOT_EXPRESSIBLE, OPENAI_COMPATIBLE
from tests.litellm_prefixes import LISTS, OWN_BASE, PREFIXES_FILE, laid_on, measured, newest
from tests.recorder import Recorder, Reply, Request, chat_reply

DATA = json.loads(PREFIXES_FILE.read_text(encoding="utf-8"))

MODEL = "org/a-model:7b"
MODELS = {
    "ai21": "jamba-mini-1.7",  # LiteLLM sends ids it does not know to OpenAI
    "fireworks_ai": "accounts/org/models/a-model",
    "huggingface": "org/a-model",
}
LOOKS_UP = ("huggingface", "lemonade")
"""LiteLLM asks huggingface.co, or the default server, about their models from another thread, so
they are called only in a process that can reach nothing but the recorder."""

MESSAGES = [{"role": "user", "content": "hi"}]

CHOOSES_BY_MODEL = {
    *("azure_ai", "bedrock_mantle", "opencode_go", "snowflake", "text-completion-inception")
}
"""Not expressible as a whole, though a model may be plain, with an ``api_base`` and key."""


def older_than_measured(release: str) -> bool:
    """Whether prefixes.json was measured on a newer LiteLLM, too."""
    return newest(release, *DATA["litellm"]) != release


def litellm_knows(prefix: str) -> bool:
    """Whether the installed LiteLLM has the prefix: a row may be of a newer one."""
    import litellm
    from litellm.llms.openai_like.json_loader import JSONProviderRegistry

    return prefix in litellm.provider_list or JSONProviderRegistry.exists(prefix)


def complete(answer: Recorder, prefix: str, base: str, is_async: bool, **options: Any) -> Request:
    """Call LiteLLM with the prefix and return the one request that arrived."""
    import litellm

    # LiteLLM's groq handler fails on an answer without a service tier.
    answer.script = lambda request: Reply(200, {**chat_reply(), "service_tier": "default"})
    model = options.pop("model", MODELS.get(prefix, MODEL))
    arguments = {"model": f"{prefix}/{model}", "messages": MESSAGES, "api_base": base, **options}
    if is_async:
        asyncio.run(litellm.acompletion(api_key="secret", **arguments))
    else:
        litellm.completion(api_key="secret", **arguments)
    return answer.only


def calls() -> list[Any]:
    return [
        pytest.param(prefix, is_async, id=f"{prefix}-{'async' if is_async else 'sync'}")
        for prefix, row in OPENAI_COMPATIBLE.items()
        for is_async in (False, True)
        if not row.text
        and prefix not in LOOKS_UP
        and (prefix, is_async) != ("aiohttp_openai", False)
    ]


@pytest.mark.parametrize(("prefix", "is_async"), calls())
def test_a_prefix_is_a_plain_chat_completion(server: Recorder, prefix: str, is_async: bool) -> None:
    if not litellm_knows(prefix):
        with pytest.raises(Exception, match="LLM Provider NOT provided"):
            complete(server, prefix, server.base_url, is_async)
        return
    suffix = OPENAI_COMPATIBLE[prefix].suffix
    path = "/base"  # the async calls show what LiteLLM adds to a base without a version
    if not is_async and not OPENAI_COMPATIBLE[prefix].suffix_always:
        path += suffix or "/v1"
    request = complete(server, prefix, server.origin + path, is_async)
    added = "" if path.endswith(suffix) else suffix
    assert request.method == "POST"
    assert request.path == f"{path}{added}/chat/completions"
    assert request.headers["authorization"] == "Bearer secret"
    assert request.body["model"] == MODELS.get(prefix, MODEL)
    assert request.body["messages"] == MESSAGES


def test_text_completion_openai_posts_a_prompt(server: Recorder) -> None:
    import litellm

    (prefix,) = [row.prefix for row in OPENAI_COMPATIBLE.values() if row.text]
    litellm.completion(
        f"{prefix}/{MODEL}", messages=MESSAGES, api_base=server.base_url, api_key="secret"
    )
    assert server.only.path == "/v1/completions"
    assert server.only.key == "secret"
    assert server.only.body["model"] == MODEL


@pytest.mark.parametrize(
    "model",
    [
        "a-model",
        "org/a-model",
        "accounts/org/models/a-model",
        "accounts/org/models/a-model#accounts/org/deployments/d",
        "models/a-model",
        "routers/a-router",
        "glm-5p1-fast",
        "auto",
        "auto-instant",
        "firerouter/x",
        "FW-GLM-5",
    ],
)
def test_the_first_pattern_says_what_stands_before_a_model_id(server: Recorder, model: str) -> None:
    (row,) = [row for row in OPENAI_COMPATIBLE.values() if row.before_id]
    before = next(b for pattern, b in row.before_id if re.fullmatch(pattern, model))
    request = complete(server, row.prefix, server.base_url, is_async=False, model=model)
    wanted = {before + model}
    if older_than_measured(version("litellm")):  # the later patterns are newer
        wanted.add(row.before_id[-1][1] + model)
    assert request.body["model"] in wanted


@pytest.mark.parametrize(
    ("prefix", "model"),
    [
        ("perplexity", "preset/pro-search"),
        ("perplexity", "openai/gpt-5.2"),
        ("xai", "grok-4.20-multi-agent"),
    ],
)
def test_an_id_that_is_not_plain_goes_to_responses(
    server: Recorder, prefix: str, model: str
) -> None:
    import litellm

    assert re.fullmatch(OPENAI_COMPATIBLE[prefix].ids["pattern"], model)
    litellm.completion(
        f"{prefix}/{model}", messages=MESSAGES, api_base=server.base_url, api_key="secret"
    )
    assert server.only.path.endswith("/responses")


@pytest.mark.parametrize("prefix", [r.prefix for r in OPENAI_COMPATIBLE.values() if r.ids])
def test_other_ids_are_plain(prefix: str) -> None:
    pattern = OPENAI_COMPATIBLE[prefix].ids["pattern"]
    for model in (MODELS.get(prefix, "a-model"), "sonar-pro"):
        assert not re.fullmatch(pattern, model)


@pytest.fixture(scope="module")
def measurement() -> dict[str, Any]:
    return measured()


@pytest.mark.timeout(330)
@pytest.mark.parametrize("prefix", OPENAI_COMPATIBLE)
def test_a_row_says_what_the_installed_litellm_sends(
    measurement: dict[str, Any], prefix: str
) -> None:
    """Its base, the variables of base and key in their order, its suffix; run `make prefixes`."""
    ours = dict(DATA["openai_compatible"][prefix])
    older = older_than_measured(measurement["version"])
    if prefix not in measurement["rows"]:
        assert older
        return
    theirs = dict(measurement["rows"][prefix])
    if older:  # one release reads a variable more than another
        for field in ("keys", "bases"):
            both = set(ours.get(field, ())) & set(theirs.get(field, ()))
            for row in (ours, theirs):
                row[field] = [name for name in row.get(field, ()) if name in both]
    bases = {ours.pop("base_url", None), *ours.pop("moved", ())}
    assert theirs.pop("base_url", None) in bases
    assert theirs == {k: v for k, v in ours.items() if k not in ("ids", "before_id")}


@pytest.mark.timeout(330)
def test_every_prefix_of_litellm_has_a_verdict(measurement: dict[str, Any]) -> None:
    if newest(*DATA["litellm"], measurement["version"]) in DATA["litellm"]:
        known = {*OPENAI_COMPATIBLE, *NOT_EXPRESSIBLE, *LOGINS}
        assert set(measurement["rows"]) - known == set()
        assert set(measurement["logins"]) <= LOGINS
    assert len(measurement["rows"]) >= 150


@pytest.mark.timeout(330)
@pytest.mark.parametrize("table", LISTS)
def test_a_list_has_what_the_installed_litellm_does(
    measurement: dict[str, Any], table: str
) -> None:
    assert set(measurement[table]) <= set(DATA[table])
    assert len(measurement[table]) >= 8


@pytest.mark.timeout(330)
def test_ids_with_a_base_of_their_own(measurement: dict[str, Any]) -> None:
    for prefix, model in OWN_BASE.items():
        row = OPENAI_COMPATIBLE[prefix]
        assert re.fullmatch(row.ids["pattern"], model)
        assert f"{row.base_url}/chat/completions" not in measurement["ids"][prefix]


@pytest.mark.timeout(330)
@pytest.mark.parametrize("prefix", sorted(set(NOT_EXPRESSIBLE) - CHOOSES_BY_MODEL))
def test_what_we_call_not_expressible_is_not_a_plain_chat_completion(
    measurement: dict[str, Any], prefix: str
) -> None:
    assert measurement["rows"].get(prefix) is None


@pytest.mark.timeout(330)
def test_measuring_again_changes_no_row(measurement: dict[str, Any]) -> None:
    if measurement["version"] in DATA["litellm"]:
        assert laid_on(DATA, measurement) == DATA

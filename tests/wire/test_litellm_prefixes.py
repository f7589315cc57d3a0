"""What LiteLLM sends for each prefix of adapter.upstream.prefixes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from adapter.upstream.prefixes import (
    BASE_SUFFIX,
    KEY_ALTERNATIVES,
    MODEL_ID_PREFIXES,
    NOT_PLAIN_IDS,
    OPENAI_COMPATIBLE,
    TEXT_COMPLETION,
    OpenAICompatible,
)
from adapter.upstream.refused_prefixes import NOT_EXPRESSIBLE
from tests.recorder import Recorder, Reply, Request, chat_reply, recording_server

ROOT = Path(__file__).parents[2]

MODEL = "org/a-model:7b"
MODELS = {
    "ai21": "jamba-mini-1.7",  # LiteLLM sends ids it does not know to OpenAI
    "fireworks_ai": "accounts/org/models/a-model",
    "huggingface": "org/a-model",
}
LOOKS_UP = ("huggingface", "lemonade")
"""LiteLLM asks huggingface.co, or the default server, about their models from another thread, so
they are called only in a process that can reach nothing but the recorder."""

MOVED = {"crusoe": "https://managed-inference-api-proxy.crusoecloud.com/v1"}
"""Bases of LiteLLM before 1.109; the row has the newer one."""

ALWAYS_ADDED = ("gradient_ai", "heroku")
"""LiteLLM adds the suffix to the base of these even where it is there."""

MESSAGES = [{"role": "user", "content": "hi"}]

CHOOSES_BY_MODEL = {"azure_ai", "bedrock_mantle", "opencode_go"}
"""Not expressible as a whole, though some of their models are plain with an ``api_base``."""

RECORDED = "what the recorder got"
REFUSED_BASE = "http://127.0.0.1:9/base/v1"

OWN_BASE = {"baseten": "abcd1234", "huggingface": "together/org/a-model"}
"""Ids whose base is not the row's."""


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
        for prefix in OPENAI_COMPATIBLE
        for is_async in (False, True)
        if prefix not in LOOKS_UP and (prefix, is_async) != ("aiohttp_openai", False)
    ]


@pytest.mark.parametrize(("prefix", "is_async"), calls())
def test_a_prefix_is_a_plain_chat_completion(server: Recorder, prefix: str, is_async: bool) -> None:
    if not litellm_knows(prefix):
        with pytest.raises(Exception, match="LLM Provider NOT provided"):
            complete(server, prefix, server.base_url, is_async)
        return
    suffix = BASE_SUFFIX.get(prefix, "")
    path = "/base"  # the async calls show what LiteLLM adds to a base without a version
    if not is_async and prefix not in ALWAYS_ADDED:
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

    (prefix,) = TEXT_COMPLETION
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
@pytest.mark.parametrize("prefix", MODEL_ID_PREFIXES)
def test_the_first_pattern_says_what_stands_before_a_model_id(
    server: Recorder, prefix: str, model: str
) -> None:
    before = next(b for pattern, b in MODEL_ID_PREFIXES[prefix] if re.fullmatch(pattern, model))
    request = complete(server, prefix, server.base_url, is_async=False, model=model)
    assert request.body["model"] == before + model


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

    assert re.fullmatch(NOT_PLAIN_IDS[prefix][0], model)
    litellm.completion(
        f"{prefix}/{model}", messages=MESSAGES, api_base=server.base_url, api_key="secret"
    )
    assert server.only.path.endswith("/responses")


@pytest.mark.parametrize("prefix", NOT_PLAIN_IDS)
def test_other_ids_are_plain(prefix: str) -> None:
    assert not re.fullmatch(NOT_PLAIN_IDS[prefix][0], MODELS.get(prefix, "a-model"))
    assert not re.fullmatch(NOT_PLAIN_IDS[prefix][0], "sonar-pro")


class Call(NamedTuple):
    """One call of LiteLLM in a process of its own: the arguments and its own variables."""

    name: str
    arguments: dict[str, Any]
    variables: dict[str, str]


def run_calls() -> None:
    """Make the calls on stdin and write what was sent; only $REACHABLE is reached.

    The body of that process: it can send what LiteLLM would send to a provider's own host.
    """
    import httpx

    real = httpx.HTTPTransport.handle_request
    sent: list[dict[str, Any]] = []

    def handle(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            body = request.read()
            chat = json.loads(body) if body.startswith(b"{") else {}
            key = request.headers.get("authorization")
            sent.append({"url": str(request.url), "key": key, "model": chat.get("model")})
        if str(request.url).startswith(os.environ["REACHABLE"]):
            return real(transport, request)
        return httpx.Response(200, json={**chat_reply(), "service_tier": "default"})

    look_up = socket.getaddrinfo

    def resolve(host: Any, *args: Any, **options: Any) -> Any:
        if host != "127.0.0.1":
            raise OSError(f"{host} is not to be reached")
        return look_up(host, *args, **options)

    setattr(httpx.HTTPTransport, "handle_request", handle)  # noqa: B010 - mypy: not a method
    socket.getaddrinfo = resolve
    import litellm

    litellm.suppress_debug_info = True
    results = {}
    for name, arguments, variables in (Call(*call) for call in json.load(sys.stdin)):
        sent.clear()
        os.environ.update(variables)
        error = None
        try:
            litellm.completion(messages=MESSAGES, **arguments)
        except Exception as exc:  # noqa: BLE001 - which one is the result
            error = str(exc)
        for variable in variables:
            del os.environ[variable]
        results[name] = {"sent": list(sent), "error": error}
    json.dump(results, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # without waiting for LiteLLM's threads


def isolated(made: list[Call], reachable: str) -> dict[str, Any]:
    """Make the calls in a process whose environment has nothing but what they say."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "SYSTEMROOT")}
    path = os.pathsep.join([str(ROOT), *(p for p in sys.path if p)])
    fixed = {
        "AWS_EC2_METADATA_DISABLED": "true",  # botocore asks a cloud machine's metadata server
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "PYTHONPATH": path,
        "REACHABLE": reachable,
    }
    done = subprocess.run(
        [sys.executable, "-c", f"import {__name__} as tests; tests.run_calls()"],
        input=json.dumps(made),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=kept | fixed,
    )
    assert done.returncode == 0, done.stderr
    results: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return results


def defaults() -> list[Call]:
    """For each row a call with each of its variables alone; for the other prefixes a plain try."""
    made = []
    for row in OPENAI_COMPATIBLE.values():
        model = {"model": f"{row.prefix}/{MODELS.get(row.prefix, MODEL)}"}
        key = {row.api_key_env: f"key of {row.prefix}"} if row.api_key_env else {}
        made.append(Call(row.prefix, model, key))
        if row.api_base_env:
            base = {row.api_base_env: f"http://127.0.0.1:9/{row.prefix}"}
            made.append(Call(f"{row.prefix} base", {**model, "api_key": "secret"}, base))
        names = KEY_ALTERNATIVES.get(row.prefix, ())
        made += [Call(f"{row.prefix} {name}", model, {name: f"value of {name}"}) for name in names]
    for prefix, model_id in OWN_BASE.items():
        made.append(Call(f"{prefix} id", {"model": f"{prefix}/{model_id}", "api_key": "k"}, {}))
    for prefix in NOT_EXPRESSIBLE:
        arguments = {"model": f"{prefix}/{MODEL}", "api_base": REFUSED_BASE, "api_key": "secret"}
        made.append(Call(f"{prefix} refused", arguments, {}))
    return made


def look_ups(origin: str) -> list[Call]:
    return [
        Call(
            f"{prefix} look-up",
            {
                "model": f"{prefix}/{MODELS.get(prefix, MODEL)}",
                "api_base": f"{origin}/{prefix}/v1",
                "api_key": "secret",
            },
            {},
        )
        for prefix in LOOKS_UP
    ]


@pytest.fixture(scope="module")
def said() -> dict[str, Any]:
    """What LiteLLM sends when an entry says little more than its model, by the call's name."""
    with recording_server() as recorder:
        made = defaults() + look_ups(recorder.origin)
        results = isolated(made, recorder.origin)
    posted = [request for request in recorder.requests if request.method == "POST"]
    return {**results, RECORDED: [(r.path, r.key, r.body["model"]) for r in posted]}


def rows(*, with_base_env: bool = False) -> list[Any]:
    return [
        pytest.param(row, id=row.prefix)
        for row in OPENAI_COMPATIBLE.values()
        if row.api_base_env or not with_base_env
    ]


@pytest.mark.timeout(330)
@pytest.mark.parametrize("row", rows())
def test_without_api_base_and_key_litellm_takes_those_of_the_row(
    said: dict[str, Any], row: OpenAICompatible
) -> None:
    result = said[row.prefix]
    if not litellm_knows(row.prefix):
        assert "LLM Provider NOT provided" in result["error"]
    elif row.base_url is None or row.api_key_env is None:
        # No base of its own: an error, or OpenAI's, where the row says that api_base is required.
        assert all("://api.openai.com/" in sent["url"] for sent in result["sent"])
        assert result["sent"] or result["error"]
    else:
        (sent,) = result["sent"]
        base = sent["url"].removesuffix("/chat/completions")
        assert base in (row.base_url, MOVED.get(row.prefix))
        assert sent["key"] == f"Bearer key of {row.prefix}"
        if row.prefix != "aiohttp_openai":
            assert sent["model"] == MODELS.get(row.prefix, MODEL)


@pytest.mark.timeout(330)
@pytest.mark.parametrize("row", rows(with_base_env=True))
def test_the_base_variable_of_the_row_names_the_base(
    said: dict[str, Any], row: OpenAICompatible
) -> None:
    if not litellm_knows(row.prefix):
        return
    (sent,) = said[f"{row.prefix} base"]["sent"]
    suffix = BASE_SUFFIX.get(row.prefix, "")
    assert sent["url"] == f"http://127.0.0.1:9/{row.prefix}{suffix}/chat/completions"
    assert sent["key"] == "Bearer secret"


@pytest.mark.timeout(330)
@pytest.mark.parametrize(
    ("prefix", "name"),
    [(prefix, name) for prefix, names in KEY_ALTERNATIVES.items() for name in names],
)
def test_an_alternative_variable_gives_the_key(
    said: dict[str, Any], prefix: str, name: str
) -> None:
    (sent,) = said[f"{prefix} {name}"]["sent"]
    assert sent["key"] == f"Bearer value of {name}"


@pytest.mark.timeout(330)
def test_ids_with_a_base_of_their_own(said: dict[str, Any]) -> None:
    for prefix, model in OWN_BASE.items():
        assert re.fullmatch(NOT_PLAIN_IDS[prefix][0], model)
        base = OPENAI_COMPATIBLE[prefix].base_url
        urls = [sent["url"] for sent in said[f"{prefix} id"]["sent"]]
        assert f"{base}/chat/completions" not in urls
        assert urls or said[f"{prefix} id"]["error"]


@pytest.mark.timeout(330)
@pytest.mark.parametrize("prefix", sorted(set(NOT_EXPRESSIBLE) - CHOOSES_BY_MODEL))
def test_what_we_call_not_expressible_is_not_a_plain_chat_completion(
    said: dict[str, Any], prefix: str
) -> None:
    plain = {"url": f"{REFUSED_BASE}/chat/completions", "key": "Bearer secret", "model": MODEL}
    result = said[f"{prefix} refused"]
    assert plain not in result["sent"]
    assert result["sent"] or result["error"]


@pytest.mark.timeout(330)
def test_prefixes_that_look_their_models_up_are_plain_too(said: dict[str, Any]) -> None:
    assert [said[f"{prefix} look-up"]["error"] for prefix in LOOKS_UP] == [None, None]
    assert said[RECORDED] == [
        (f"/{prefix}/v1/chat/completions", "secret", MODELS.get(prefix, MODEL))
        for prefix in LOOKS_UP
    ]

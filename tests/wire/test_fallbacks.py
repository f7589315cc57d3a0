"""Fallbacks, context-window fallbacks, retries and the Router, as the servers see them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import litellm
import openai
import pytest

import adapter
from tests.recorder import ANSWER, Recorder, Reply

Write = Callable[..., Path]

MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture(autouse=True)
def two_providers(write: Write, server: Recorder, other_server: Recorder) -> None:
    """``first`` at ``server``, ``second`` at ``other_server``, each with a key of its own."""
    write(
        f'[[providers]]\nname = "first"\nbase_url = "{server.base_url}"\n'
        'api_key = "first-key"\ndefault_model = "one"\n'
        f'[[providers]]\nname = "second"\nbase_url = "{other_server.base_url}"\n'
        'api_key = "second-key"\ndefault_model = "two"\n'
        "[plugin.litellm.providers.first]\nmax_retries = 0\n"
        'extra_headers = {"X-First" = "1"}\n'
    )


def text_of(result: Any, stream: bool) -> str:
    if not stream:
        content: str = result.choices[0].message.content
        return content
    return "".join(chunk.choices[0].delta.content or "" for chunk in result)


async def atext_of(result: Any, stream: bool) -> str:
    return text_of([c async for c in result] if stream else result, stream)


def ask(is_async: bool, stream: bool, **arguments: Any) -> str:
    arguments = {"model": "first", "messages": MESSAGES, "stream": stream, **arguments}
    if not is_async:
        return text_of(adapter.completion(**arguments), stream)

    async def run() -> str:
        return await atext_of(await adapter.acompletion(**arguments), stream)

    return asyncio.run(run())


every_way = pytest.mark.parametrize(
    ("is_async", "stream"), [(False, False), (False, True), (True, False), (True, True)]
)


@every_way
@pytest.mark.parametrize("fallback", ["second", {"model": "second/two", "temperature": 0}])
def test_a_fallback_goes_to_its_own_base_with_its_own_key(
    is_async: bool, stream: bool, fallback: Any, server: Recorder, other_server: Recorder
) -> None:
    server.fail(500)

    answer = ask(is_async, stream, fallbacks=[fallback])

    assert answer == ANSWER
    assert server.only.key == "first-key"
    assert other_server.only.key == "second-key"
    assert other_server.only.body["model"] == "two"
    assert "x-first" not in other_server.only.headers


def test_a_fallback_alone_is_a_list_of_one(server: Recorder, other_server: Recorder) -> None:
    """Letter by letter, it would be models of LiteLLM's."""
    server.fail(500)

    assert ask(False, False, fallbacks="second") == ANSWER
    assert other_server.only.key == "second-key"


def test_fallbacks_may_stand_in_the_configuration(
    write: Write, server: Recorder, other_server: Recorder
) -> None:
    write('[plugin.litellm.providers.first]\nfallbacks = ["second"]\n', name="config.local.toml")
    server.fail(500)

    assert ask(False, False) == ANSWER
    assert ask(False, True) == ANSWER
    assert [r.key for r in other_server.requests] == ["second-key"] * 2


def test_the_callers_headers_for_the_first_do_not_reach_the_fallback(
    server: Recorder, other_server: Recorder
) -> None:
    server.fail(500)

    ask(False, False, fallbacks=["second"], extra_headers={"X-Api-Key": "for-the-first"})

    assert server.only.headers["x-api-key"] == "for-the-first"
    assert "x-api-key" not in other_server.only.headers


def test_models_that_name_each_other_as_wider_end(server: Recorder, other_server: Recorder) -> None:
    for recorder in (server, other_server):
        recorder.fail(400, "This model's maximum context length is 4096 tokens")

    with pytest.raises(litellm.ContextWindowExceededError):
        ask(False, False, context_window_fallback_dict={"first": "second", "second": "first"})

    assert len(server.requests) == 2
    assert len(other_server.requests) == 1


def test_what_the_caller_says_of_the_first_does_not_reach_the_fallback(
    server: Recorder, other_server: Recorder
) -> None:
    server.fail(500)

    ask(False, False, fallbacks=["second"], api_key="callers-key", api_base=server.base_url)

    assert server.only.key == "callers-key"
    assert other_server.only.key == "second-key"


@every_way
def test_the_last_error_keeps_its_type_and_names_what_was_tried(
    is_async: bool, stream: bool, server: Recorder, other_server: Recorder
) -> None:
    server.fail(500)
    other_server.fail(401)

    with pytest.raises(litellm.AuthenticationError) as caught:
        ask(is_async, stream, fallbacks=["second"])

    notes = "\n".join(caught.value.__notes__)
    assert f"provider 'second', base_url {other_server.base_url}" in notes
    assert "first (InternalServerError)" in notes
    assert "key" in notes
    assert "second-key" not in notes


def test_a_fallback_is_tried_when_the_first_has_no_key(
    write: Write, other_server: Recorder
) -> None:
    write(
        '[[providers]]\nname = "keyless"\nbase_url = "http://127.0.0.1:9/v1"\n'
        'api_key_env = "UNSET_KEY"\ndefault_model = "m"\n',
        name="config.toml",
    )

    assert ask(False, False, model="keyless", fallbacks=["second"]) == ANSWER


@pytest.mark.parametrize("function", ["completion", "text_completion"])
def test_an_answer_after_a_fallback_says_so_as_litellms_does(
    function: str, server: Recorder
) -> None:
    server.fail(500)
    asked = {"prompt": "q"} if function == "text_completion" else {"messages": MESSAGES}

    result = getattr(adapter, function)(model="first", fallbacks=["second"], **asked)

    headers = result._hidden_params["additional_headers"]
    assert headers["x-litellm-attempted-fallbacks"] == 1


@pytest.mark.parametrize("is_async", [False, True])
def test_a_prompt_too_long_goes_to_the_wider_model_of_another_provider(
    is_async: bool, server: Recorder, other_server: Recorder
) -> None:
    server.fail(400, "This model's maximum context length is 4096 tokens")

    answer = ask(is_async, False, context_window_fallback_dict={"first": "second/wide"})

    assert answer == ANSWER
    assert other_server.only.key == "second-key"
    assert other_server.only.body["model"] == "wide"


def test_in_a_batch_only_the_failed_prompts_go_on(server: Recorder, other_server: Recorder) -> None:
    def fail_b(request: Any) -> Reply | None:
        return Reply(500, {"error": {"message": "no"}}) if b"bad" in request.raw else None

    server.script = fail_b
    prompts = [[{"role": "user", "content": c}] for c in ("good", "bad")]

    results = adapter.batch_completion(model="first", messages=prompts, fallbacks=["second"])

    assert [text_of(r, False) for r in results] == [ANSWER, ANSWER]
    assert b"bad" in other_server.only.raw
    assert other_server.only.key == "second-key"


KEYLESS = (
    '[[providers]]\nname = "keyless"\nbase_url = "http://127.0.0.1:9/v1"\n'
    'api_key_env = "UNSET_KEY"\ndefault_model = "m"\n'
)


def test_a_batch_whose_provider_has_no_key_falls_back_whole(
    write: Write, other_server: Recorder
) -> None:
    write(KEYLESS, name="config.toml")

    results = adapter.batch_completion(
        model="keyless", messages=[MESSAGES, MESSAGES], fallbacks=["second"]
    )

    assert [text_of(r, False) for r in results] == [ANSWER, ANSWER]
    assert len(other_server.requests) == 2
    with pytest.raises(adapter.MissingKeyError):
        adapter.batch_completion(model="keyless", messages=[MESSAGES])


def test_a_batch_keeps_its_answers_when_the_fallback_has_no_key(
    write: Write, server: Recorder
) -> None:
    write(KEYLESS, name="config.toml")
    server.script = lambda r: Reply(500, {"error": {"message": "no"}}) if b"bad" in r.raw else None
    prompts = [[{"role": "user", "content": c}] for c in ("good", "bad")]

    good, bad = adapter.batch_completion(model="first", messages=prompts, fallbacks=["keyless"])

    assert text_of(good, False) == ANSWER
    assert isinstance(bad, adapter.MissingKeyError)


def test_a_batch_returns_its_errors_with_a_note(server: Recorder) -> None:
    server.fail(429)

    (error,) = adapter.batch_completion(model="first", messages=[MESSAGES])

    assert isinstance(error, litellm.RateLimitError)
    assert "provider 'first'" in error.__notes__[0]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(("status", "attempts"), [(500, 3), (429, 3), (401, 1), (400, 1)], ids=str)
@pytest.mark.parametrize("argument", ["max_retries", "num_retries"])
def test_retries_are_made_exactly_and_only_where_they_may_help(
    argument: str, status: int, attempts: int, is_async: bool, server: Recorder
) -> None:
    server.fail(status, **{"Retry-After": "0"})
    retries: dict[str, Any] = {argument: 2}

    with pytest.raises(openai.APIStatusError) as caught:
        ask(is_async, False, **retries)

    assert len(server.requests) == attempts
    assert caught.value.status_code == status


def test_the_timeout_of_the_call_wins_over_the_configured_one(
    write: Write, server: Recorder
) -> None:
    import threading

    release = threading.Event()

    def stall(request: Any) -> None:
        release.wait(20)

    server.script = stall
    write("[plugin.litellm.providers.first]\ntimeout = 60\n", name="config.local.toml")
    try:
        with pytest.raises(litellm.Timeout):
            ask(False, False, timeout=0.2)
    finally:
        release.set()


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_the_router_reaches_every_provider_and_any_of_its_models(
    is_async: bool,
    stream: bool,
    server: Recorder,
    other_server: Recorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_ORGANIZATION", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "decoy")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Decoy: decoy")
    router = adapter.router()
    assert isinstance(router, litellm.Router)

    async def run(model: str) -> str:
        result = await router.acompletion(model=model, messages=MESSAGES, stream=stream)
        return await atext_of(result, stream)

    for model in ("first", "second/openai/a:b"):
        if is_async:
            answer = asyncio.run(run(model))
        else:
            result = router.completion(model=model, messages=MESSAGES, stream=stream)
            answer = text_of(result, stream)
        assert answer == ANSWER

    assert server.only.key == "first-key"
    assert server.only.body["model"] == "one"
    assert other_server.only.key == "second-key"
    assert other_server.only.body["model"] == "openai/a:b"
    assert "decoy" not in str(server.only.headers) + str(other_server.only.headers)


def test_the_router_embeds_without_openais_headers(
    server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "decoy")
    router = adapter.router(providers=["first"])

    router.embedding(model="first/e", input=["hi"])
    asyncio.run(router.aembedding(model="first/e", input=["hi"]))

    assert [r.body["model"] for r in server.requests] == ["e", "e"]
    assert all("decoy" not in str(r.headers) for r in server.requests)


def test_a_routers_own_model_list_may_name_our_providers(
    server: Recorder, other_server: Recorder
) -> None:
    router = adapter.router(
        model_list=[
            {"model_name": "fast", "litellm_params": {"model": "first/tiny"}},
            {"model_name": "good", "litellm_params": {"model": "second"}},
        ],
        fallbacks=[{"fast": ["good"]}],
        num_retries=0,
    )
    server.fail(500)

    result = router.completion(model="fast", messages=MESSAGES)

    assert text_of(result, False) == ANSWER
    assert server.only.body["model"] == "tiny"
    assert other_server.only.key == "second-key"


def test_a_router_entry_without_a_key_gets_the_placeholder(
    server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "decoy")
    entry = {"model": "openai/m", "api_base": server.base_url}
    router = adapter.router(model_list=[{"model_name": "q", "litellm_params": entry}])

    router.completion(model="q", messages=MESSAGES)

    assert server.only.key == "default-key"


def test_model_list_offers_each_default_model_and_a_wildcard(
    server: Recorder, other_server: Recorder
) -> None:
    entries = adapter.model_list()

    assert [(e["model_name"], e["litellm_params"]["model"]) for e in entries] == [
        ("first", "openai/one"),
        ("first/*", "openai/*"),
        ("second", "openai/two"),
        ("second/*", "openai/*"),
    ]
    assert entries[0]["litellm_params"]["api_base"] == server.base_url
    assert entries[0]["litellm_params"]["api_key"] == "first-key"
    assert "first-key" not in repr(entries)

"""Every model id arrives byte for byte, at the path of the function that was called."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import litellm
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import adapter
from tests.command import provider
from tests.recorder import Recorder

MESSAGES = [{"role": "user", "content": "q"}]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]

IDS = (
    *("gpt-mini-latest", "gpt-5-codex", "o1-pro", "gpt-5.4"),
    *("responses/x", "responses/responses/x", "a/b/c", "a:b", "m@v1", "openai/gpt-4o", "p/m"),
)

CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "completion": ("/v1/chat/completions", {"messages": MESSAGES}),
    "text_completion": ("/v1/completions", {"prompt": "q"}),
    "embedding": ("/v1/embeddings", {"input": ["q"]}),
    "responses": ("/v1/responses", {"input": "q"}),
    "moderation": ("/v1/moderations", {"input": "q"}),
    "image_generation": ("/v1/images/generations", {"prompt": "q"}),
    "speech": ("/v1/audio/speech", {"input": "q", "voice": "v"}),
}
ASKED_WITH: tuple[dict[str, Any], ...] = (
    {},
    {"tools": TOOLS, "reasoning_effort": "low"},
    {"stream": True},
)


@pytest.fixture(autouse=True)
def config(write: Callable[..., Path], server: Recorder) -> None:
    write(provider(server.base_url, api_key="sk-of-p", default_model="m"))


def sent(server: Recorder) -> list[tuple[str, str]]:
    found = [(request.path, request.body["model"]) for request in server.requests]
    server.requests.clear()
    return found


@pytest.mark.parametrize("model", IDS)
@pytest.mark.parametrize("name", CALLS)
def test_an_id_arrives_as_it_was_written(name: str, model: str, server: Recorder) -> None:
    path, arguments = CALLS[name]

    getattr(adapter, name)(model=f"p/{model}", **arguments)
    asyncio.run(getattr(adapter, f"a{name}")(model=f"p/{model}", **arguments))

    assert sent(server) == [(path, model)] * 2


@pytest.mark.parametrize("model", IDS)
@pytest.mark.parametrize("more", ASKED_WITH, ids=str)
def test_no_parameter_takes_a_chat_elsewhere(
    more: dict[str, Any], model: str, server: Recorder
) -> None:
    reply = adapter.completion(f"p/{model}", messages=MESSAGES, **more)
    if "stream" in more:
        list(reply)

    assert sent(server) == [("/v1/chat/completions", model)]


@pytest.mark.parametrize("model", IDS)
def test_a_router_and_a_batch_send_it_too(model: str, server: Recorder) -> None:
    router = adapter.router()
    router.completion(f"p/{model}", messages=MESSAGES)
    asyncio.run(router.acompletion(f"p/{model}", messages=MESSAGES))
    list(router.completion(f"p/{model}", messages=MESSAGES, stream=True))
    router.embedding(f"p/{model}", input=["q"])
    adapter.batch_completion(f"p/{model}", messages=[MESSAGES, MESSAGES])

    chats = [("/v1/chat/completions", model)]
    assert sent(server) == [*chats * 3, ("/v1/embeddings", model), *chats * 2]


def known_ids() -> list[str]:
    """Return ids of LiteLLM's own model map, its aliases included, with and without prefixes."""
    names = sorted(litellm.model_cost)
    bare = [name.partition("/")[2] for name in names if "/" in name]
    return [name for name in itertools.chain(names, bare) if name and not name.isspace()]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(data=st.data())
def test_ids_that_litellm_knows_are_sent_as_they_are(data: st.DataObject, server: Recorder) -> None:
    model = data.draw(st.sampled_from(known_ids()))
    adapter.completion(f"p/{model}", messages=MESSAGES)

    assert sent(server) == [("/v1/chat/completions", model)]


def test_a_mode_lets_litellm_ask_the_responses_api(
    write: Callable[..., Path], server: Recorder
) -> None:
    """As for a deployment that Azure has under /responses alone."""
    table = '[plugin.litellm.models."p/gpt-5-codex"]\nmode = "responses"\n'
    write(provider(server.base_url, api_key="sk-of-p") + table)

    reply = adapter.completion("p/gpt-5-codex", messages=MESSAGES)
    asyncio.run(adapter.acompletion("p/gpt-5-codex", messages=MESSAGES))

    assert reply.choices[0].message.content
    assert sent(server) == [("/v1/responses", "gpt-5-codex")] * 2
    adapter.completion("p/o1-pro", messages=MESSAGES)
    assert sent(server) == [("/v1/chat/completions", "o1-pro")]

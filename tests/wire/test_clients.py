"""The clients that requests are sent with: made once, kept, and guarded."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import litellm
import pytest

import adapter
from adapter.upstream.http import scope
from tests.command import provider
from tests.recorder import Recorder

MESSAGES = [{"role": "user", "content": "q"}]
KEY = "sk-of-the-provider-p"


@pytest.fixture(autouse=True)
def config(write: Callable[..., Path], server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    write(provider(server.base_url, api_key_env="P_KEY", default_model="m"))
    monkeypatch.setenv("P_KEY", KEY)


@pytest.fixture(autouse=True)
def forget_clients() -> None:
    kept().clear()


def kept() -> dict[Any, Any]:
    """The clients of the OpenAI SDK that synchronous calls have in common."""
    return scope(is_async=False).clients


def test_one_client_serves_the_same_call_again_and_its_name_shows_no_key() -> None:
    for _ in range(3):
        adapter.completion("p", messages=MESSAGES)

    assert len(kept()) == 1
    assert KEY not in str(kept())


def test_a_rotated_key_and_what_the_caller_names_get_clients_of_their_own(
    server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where two of them would read alike, one after the other."""
    adapter.completion("p", messages=MESSAGES)
    adapter.completion("p", messages=MESSAGES, organization="a, 'b", project="c")
    adapter.completion("p", messages=MESSAGES, organization="a", project="b', 'c")
    monkeypatch.setenv("P_KEY", f"{KEY}-2")
    adapter.completion("p", messages=MESSAGES)

    sent = [
        tuple(r.headers.get(h) for h in ("authorization", "openai-organization", "openai-project"))
        for r in server.requests
    ]
    assert sent == [
        (f"Bearer {KEY}", None, None),
        (f"Bearer {KEY}", "a, 'b", "c"),
        (f"Bearer {KEY}", "a", "b', 'c"),
        (f"Bearer {KEY}-2", None, None),
    ]


@pytest.mark.parametrize(
    ("function", "given"),
    [("completion", {"messages": MESSAGES}), ("speech", {"input": "q", "voice": "v"})],
)
def test_retries_that_are_no_number_fail_as_in_litellm(
    server: Recorder, function: str, given: dict[str, object]
) -> None:
    plain = {"model": "openai/m", "api_base": server.base_url, "api_key": KEY}
    refused = "max retries must be an int"
    with pytest.raises(Exception, match=refused) as theirs:
        getattr(litellm, function)(**plain, **given, max_retries="2")
    with pytest.raises(Exception, match=refused) as ours:
        getattr(adapter, function)("p/m", **given, max_retries="2")

    assert type(ours.value) is type(theirs.value)
    assert server.requests == []


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    with httpx.Client(headers={"X-Session": "the caller's"}) as client:
        monkeypatch.setattr(litellm, "client_session", client)
        yield client


def test_a_session_of_the_callers_is_used_and_is_not_closed(
    session: httpx.Client, server: Recorder
) -> None:
    adapter.completion("p", messages=MESSAGES)
    kept().clear()
    scope(is_async=False).handlers.clear()
    gc.collect()

    assert server.requests[0].headers["x-session"] == "the caller's"
    assert not session.is_closed


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("others", ["", "elsewhere.example"])
def test_calls_to_this_machine_go_through_no_proxy(
    server: Recorder,
    other_server: Recorder,
    host: str,
    others: str,
    write: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It cannot reach this machine, and would get key and prompt."""
    port = server.origin.rpartition(":")[2]
    write(provider(f"http://{host}:{port}/v1", api_key_env="P_KEY", default_model="m"))
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, others)
    monkeypatch.setenv("HTTP_PROXY", other_server.origin)

    adapter.completion("p", messages=MESSAGES)
    asyncio.run(adapter.acompletion("p", messages=MESSAGES))
    adapter.responses(model="p", input="q")
    adapter.router().completion(model="p", messages=MESSAGES)

    assert not other_server.requests
    assert [r.key for r in server.requests] == [KEY] * 4
    write(provider(f"http://of-{port}.test/v1", api_key_env="P_KEY", default_model="m"))
    adapter.completion("p", messages=MESSAGES)
    assert len(other_server.requests) == 1

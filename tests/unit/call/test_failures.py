"""What an error means, told from the errors that real calls to real servers raise."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import adapter
from adapter.call.failures import Failure, add_note, add_text, explain, explain_details
from adapter.call.resolution import resolve
from adapter.call.translation import Target, target_of
from adapter.errors import ExitCode, MissingModelError, UnknownProviderError
from adapter.keys.precedence import ResolvedKey
from adapter.secrets.secret import Secret
from adapter.upstream.exceptions import ErrorDetails
from tests.command import provider
from tests.recorder import Recorder, Reply, Request, chat_stream

Write = Callable[..., Path]

KEY = "sk-the-providers-own-key"
MESSAGES = [{"role": "user", "content": "hi"}]


def complete(**more: Any) -> Any:
    return adapter.completion(model="p/m", messages=MESSAGES, max_retries=0, **more)


def stream(**more: Any) -> Any:
    return list(complete(stream=True, **more))


def complete_async(**more: Any) -> Any:
    return asyncio.run(adapter.acompletion(model="p/m", messages=MESSAGES, max_retries=0, **more))


def stream_async(**more: Any) -> Any:
    async def run() -> list[Any]:
        chunks = await adapter.acompletion(
            model="p/m", messages=MESSAGES, max_retries=0, stream=True, **more
        )
        return [chunk async for chunk in chunks]

    return asyncio.run(run())


def embed(**more: Any) -> Any:
    return adapter.embedding(model="p/m", input=["hi"], max_retries=0, **more)


def respond(**more: Any) -> Any:
    return adapter.responses(model="p/m", input="hi", **more)


CALLS = [complete, stream, complete_async, stream_async, embed, respond]
EVERY_CALL = pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
STREAMS = pytest.mark.parametrize("call", [stream, stream_async], ids=lambda call: call.__name__)


@pytest.fixture(autouse=True)
def configured(write: Write, server: Recorder) -> None:
    """One provider, ``p``, at the recording server."""
    write(provider(server.base_url, api_key=KEY))


def failure_of(call: Callable[..., Any], **more: Any) -> Failure:
    """Return what the error of a call to ``p`` means."""
    target = target_of(resolve("p/m"))
    assert target is not None
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which class it is must not matter
        call(**more)
    failure = explain(caught.value, target, "p/m", ["p"])
    assert failure.exit_code in set(ExitCode)
    assert failure.what.startswith(f"provider 'p' ({target.base_url}, key (configured directly))")
    assert KEY not in str(failure)
    assert len(str(failure)) < 600
    return failure


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, 1), (401, 3), (403, 3), (404, 4), (408, 6), (422, 1), (429, 5), (500, 7), (503, 7)],
)
@EVERY_CALL
def test_the_status_decides_whatever_class_litellm_made_of_it(
    call: Callable[..., Any], status: int, code: int, server: Recorder
) -> None:
    server.fail(status, f"not with {KEY}")

    failure = failure_of(call)

    assert failure.exit_code == code
    if status != 408:  # a time limit to LiteLLM, whoever's it was
        assert failure.what.endswith(f" answered {status}: not with ***")


@EVERY_CALL
def test_a_refused_connection_is_told_as_one(call: Callable[..., Any], write: Write) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        write(provider(f"http://127.0.0.1:{closed.getsockname()[1]}/v1", api_key=KEY))
        failure = failure_of(call)

    assert failure.exit_code == 6
    assert failure.what.endswith("): the connection was refused")


@EVERY_CALL
def test_an_unknown_host_is_told_as_one(call: Callable[..., Any], write: Write) -> None:
    write(provider("https://no-such-host.invalid/v1", api_key=KEY))

    failure = failure_of(call)

    assert failure.exit_code == 6
    assert failure.what.endswith("): the name of the host no-such-host.invalid is not known")
    assert "https://no-such-host.invalid/v1" in failure.fix


@EVERY_CALL
def test_silence_is_told_as_a_time_limit(call: Callable[..., Any], server: Recorder) -> None:
    released = threading.Event()

    def silent(request: Request) -> None:
        released.wait()

    server.script = silent
    try:
        failure = failure_of(call, timeout=0.2)
    finally:
        released.set()

    assert failure.exit_code == 6
    assert failure.what.endswith("): no answer within the time limit")


@EVERY_CALL
def test_a_reply_cut_short_is_told_as_one(call: Callable[..., Any], server: Recorder) -> None:
    server.script = lambda request: Reply(body=b'{"data', cut=True)

    failure = failure_of(call)

    assert failure.exit_code == 7
    assert failure.what.endswith("ended before all of the reply was there")


@STREAMS
def test_a_stream_cut_short_is_told_as_one(call: Callable[..., Any], server: Recorder) -> None:
    server.script = lambda request: Reply(body=chat_stream(["half"], done=False), cut=True)

    failure = failure_of(call)

    assert failure.exit_code == 7
    assert failure.what.endswith("ended before all of the reply was there")


@STREAMS
def test_an_event_that_is_not_json_is_told_as_one(
    call: Callable[..., Any], server: Recorder
) -> None:
    server.script = lambda request: Reply(body=chat_stream(["half"], done=False) + b"data: {\n\n")

    assert failure_of(call).exit_code == 7
    assert failure_of(call).what.endswith("): the reply is not JSON")


def test_a_number_that_litellm_made_up_is_not_said_to_be_the_servers(server: Recorder) -> None:
    server.script = lambda request: Reply(200, {})

    failure = failure_of(complete)

    assert failure.exit_code == 7
    assert " failed (" in failure.what
    assert "answered" not in failure.what


def test_a_server_that_gives_no_reason_is_said_to_give_none(server: Recorder) -> None:
    server.script = lambda request: Reply(200, {"error": {"message": "", "code": 400}})

    assert failure_of(complete).what.endswith(": no reason was given")


def test_an_error_of_ours_speaks_for_itself() -> None:
    error = UnknownProviderError("grok", ["groq"])

    assert explain(error, None, "grok") == Failure(4, str(error), "")
    assert str(explain(MissingModelError("none"), None, "")) == "none"


def test_an_error_of_nobody_is_exit_code_1() -> None:
    failure = explain(ValueError("odd\nlater"), None, "some/model")

    assert failure == Failure(1, "model 'some/model' failed (ValueError): odd", "")
    assert explain(ValueError(), None, "m").what == "model 'm' failed (ValueError): ValueError"


def test_after_a_fallback_the_last_provider_is_the_one_that_is_named(
    write: Write, server: Recorder, other_server: Recorder
) -> None:
    write(provider(server.base_url, api_key=KEY) + provider(other_server.base_url, "other"))
    server.fail(500)
    other_server.fail(401)
    target = target_of(resolve("p/m"))

    with pytest.raises(Exception, match="no") as caught:
        complete(fallbacks=["other/n"])
    failure = explain(caught.value, target, "p/m")

    assert failure.exit_code == 3
    assert failure.what.startswith(f"provider 'other' ({other_server.base_url}, no key")
    assert failure.fix == "no key was found: export OTHER_API_KEY=..."


def test_what_is_remembered_of_an_error_keeps_neither_it_nor_its_provider_alive() -> None:
    class FailedError(Exception):
        pass

    error, target = FailedError(), made_target("some-key")
    seen = weakref.ref(error)
    add_note(error, target)
    del error
    gc.collect()

    assert seen() is None


# Words


def made_target(key: str, found: bool = True) -> Target:
    resolved = ResolvedKey(Secret(key), "$A_KEY", "A_KEY", found)
    return Target("a", "https://a.example/v1", "m", resolved, {})


# without what messages themselves are made of: the mask and escapes
KEYS = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="*\\"),
    min_size=8,
    max_size=40,
)


@given(KEYS, st.lists(st.text(max_size=80), min_size=2, max_size=4))
def test_no_message_shows_the_key_or_drives_a_terminal(key: str, around: list[str]) -> None:
    """Whatever the server puts around the key it echoes."""
    failure = explain(RuntimeError(key.join(around)), made_target(key), "a/m")

    said = failure.what.partition("): ")[2]
    assert key not in said
    assert said.isprintable()
    assert len(said) <= 301


def test_keys_of_the_environment_are_not_shown_and_short_ones_do_not_spoil_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server without keys is often given ``none``."""
    monkeypatch.setenv("LONG_API_KEY", "secret-of-litellms-own")
    monkeypatch.setenv("LONGER_API_KEY", "secret-of-litellms-own-and-more")
    monkeypatch.setenv("VLLM_API_KEY", "none")
    text = "none of secret-of-litellms-own, secret-of-litellms-own-and-more"

    assert explain(ValueError(text), None, "m").what.endswith(": none of ***, ***")


def test_a_long_message_is_cut() -> None:
    assert explain(ValueError("long " * 1000), None, "m").what.endswith("long long …")


def test_a_cycle_of_causes_ends() -> None:
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__context__ = second, first

    assert explain(first, None, "m").exit_code == 1


# Notes


def notes(error: BaseException) -> list[str]:
    found: list[str] = getattr(error, "__notes__", [])
    return found


def test_the_note_says_where_the_call_went_once_and_shows_no_key() -> None:
    error = ValueError("odd")

    add_note(error, made_target(KEY))
    add_note(error, made_target(KEY))

    assert error.args == ("odd",)
    assert notes(error) == [
        "gptme-litellm: provider 'a', base_url https://a.example/v1, key $A_KEY"
    ]


def test_the_note_of_a_key_that_was_not_found_names_the_variable() -> None:
    error = ValueError()

    add_note(error, made_target("default-key", found=False))

    assert notes(error) == [
        "gptme-litellm: provider 'a', base_url https://a.example/v1, no key ($A_KEY is not set)"
    ]


def test_notes_add_up_without_repeating_themselves() -> None:
    error = ValueError()
    for note in ("one", "two", "one"):
        add_text(error, note)

    assert notes(error) == ["one", "two"]


@EVERY_CALL
def test_the_error_of_every_call_carries_the_note(
    call: Callable[..., Any], server: Recorder
) -> None:
    server.fail(401)

    with pytest.raises(Exception, match="no") as caught:
        call()

    assert notes(caught.value) == [
        f"gptme-litellm: provider 'p', base_url {server.base_url}, key (configured directly)"
    ]


@pytest.mark.parametrize("headers", ["$VAR", ["$VAR"], None, 3])
def test_headers_that_are_no_table_do_not_hide_the_failure(headers: object) -> None:
    key = ResolvedKey(Secret(KEY), "(configured directly)", None)
    target = Target("p", "https://h/v1", "m", key, {"extra_headers": headers})

    failure = explain_details(ErrorDetails("E", 500, True, f"no {KEY}"), target, "p/m")

    assert failure.what.endswith("answered 500: no ***")

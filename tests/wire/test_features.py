"""What callers do with completion(): tools, schemas, images, errors, LiteLLM's banners."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import litellm
import pytest
from litellm.exceptions import MidStreamFallbackError

import adapter
from tests.command import provider as table
from tests.recorder import Recorder, Reply, chat_chunk, chat_reply

Write = Callable[..., Path]

MESSAGES = [{"role": "user", "content": "hi"}]

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "answer",
        "strict": True,
        "schema": {"type": "object", "properties": {"n": {"type": "integer"}}},
    },
}
IMAGE = {
    "role": "user",
    "content": [
        {"type": "text", "text": "what is this"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ],
}


def notes(error: BaseException) -> list[str]:
    """Return PEP 678's notes, which Python 3.10 has only as an attribute."""
    found: list[str] = getattr(error, "__notes__", [])
    return found


@pytest.fixture(autouse=True)
def provider(write: Write, server: Recorder) -> None:
    write(
        f'[[providers]]\nname = "p"\nbase_url = "{server.base_url}"\ndefault_model = "m"\n'
        'api_key_env = "P_KEY"\n[env]\nP_KEY = "own-key"\n'
        "[plugin.litellm.providers.p]\nmax_retries = 0\n"
    )


def test_tools_go_out_and_tool_calls_come_back(server: Recorder) -> None:
    server.script = lambda request: Reply(200, chat_reply(None, tool_calls=[CALL]))

    result = adapter.completion(model="p", messages=MESSAGES, tools=[TOOL], tool_choice="auto")

    assert server.only.body["tools"] == [TOOL]
    call = result.choices[0].message.tool_calls[0]
    assert (call.function.name, json.loads(call.function.arguments)) == (
        "weather",
        {"city": "Oslo"},
    )


def test_a_streamed_tool_call_comes_back_whole(server: Recorder) -> None:
    parts = [
        {
            "index": 0,
            "id": "call_1",
            "type": "function",
            "function": {"name": "weather", "arguments": ""},
        },
        {"index": 0, "function": {"arguments": '{"city": '}},
        {"index": 0, "function": {"arguments": '"Oslo"}'}},
    ]
    events = [chat_chunk({"tool_calls": [part]}) for part in parts]
    body = b"".join([*events, chat_chunk({}, "tool_calls"), b"data: [DONE]\n\n"])
    server.script = lambda request: Reply(200, body)

    chunks = list(adapter.completion(model="p", messages=MESSAGES, tools=[TOOL], stream=True))

    built = litellm.stream_chunk_builder(chunks)
    assert built.choices[0].message.tool_calls[0].function.arguments == '{"city": "Oslo"}'


def test_schema_and_images_arrive_as_given(server: Recorder) -> None:
    adapter.completion(model="p", messages=[IMAGE], response_format=SCHEMA)

    assert server.only.body["response_format"] == SCHEMA
    assert server.only.body["messages"] == [IMAGE]


ERRORS = [
    (400, litellm.BadRequestError),
    (401, litellm.AuthenticationError),
    (404, litellm.NotFoundError),
    (429, litellm.RateLimitError),
    (500, litellm.InternalServerError),
    (503, litellm.ServiceUnavailableError),
]


@pytest.mark.parametrize(("status", "expected"), ERRORS)
@pytest.mark.parametrize("is_async", [False, True])
def test_litellms_exceptions_keep_their_type_and_gain_a_note(
    status: int, expected: type[Exception], is_async: bool, server: Recorder
) -> None:
    server.fail(status)

    with pytest.raises(expected) as caught:
        if is_async:
            asyncio.run(adapter.acompletion(model="p", messages=MESSAGES))
        else:
            adapter.completion(model="p", messages=MESSAGES)

    assert type(caught.value) is expected
    (note,) = notes(caught.value)
    assert note == f"gptme-litellm: provider 'p', base_url {server.base_url}, key $P_KEY"


@pytest.mark.parametrize("is_async", [False, True])
def test_an_error_in_the_middle_of_a_stream_gains_the_note_too(
    is_async: bool, server: Recorder
) -> None:
    server.script = lambda request: Reply(200, chat_chunk({"content": "half"}), cut=True)
    received = []

    def read(chunk: Any) -> None:
        received.append(chunk.choices[0].delta.content)

    async def run() -> None:
        async for chunk in await adapter.acompletion(model="p", messages=MESSAGES, stream=True):
            read(chunk)

    with pytest.raises(Exception, match=r"(?i)connection|closed|payload") as caught:
        if is_async:
            asyncio.run(run())
        else:
            for chunk in adapter.completion(model="p", messages=MESSAGES, stream=True):
                read(chunk)

    assert received[0] == "half"
    assert "provider 'p'" in notes(caught.value)[0]


def test_a_stream_is_still_litellms_own_class(server: Recorder) -> None:
    stream = adapter.completion(model="p", messages=MESSAGES, stream=True)

    assert isinstance(stream, litellm.CustomStreamWrapper)
    assert [c.choices[0].delta.content for c in stream][:3] == ["Hello", ", ", "world"]


def test_keys_are_read_when_the_call_is_made(
    server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("one", "two"):
        monkeypatch.setenv("P_KEY", key)
        adapter.completion(model="p", messages=MESSAGES)

    assert [r.key for r in server.requests] == ["one", "two"]


def test_a_changed_file_is_noticed(write: Write, server: Recorder, other_server: Recorder) -> None:
    adapter.completion(model="p", messages=MESSAGES)
    write(f'[[providers]]\nname = "p"\nbase_url = "{other_server.base_url}"\ndefault_model = "n"\n')
    adapter.completion(model="p", messages=MESSAGES)

    assert server.only.body["model"] == "m"
    assert other_server.only.body["model"] == "n"


def test_threads_get_their_own_answers(server: Recorder) -> None:
    server.script = lambda request: Reply(
        200, chat_reply(request.body["messages"][0]["content"] + request.body["model"])
    )

    def ask(number: int) -> bool:
        messages = [{"role": "user", "content": f"{number}:"}]
        result = adapter.completion(model=f"p/m{number}", messages=messages)
        return bool(result.choices[0].message.content == f"{number}:m{number}")

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(64)))
    assert {r.key for r in server.requests} == {"own-key"}


def test_no_banner_of_litellm_is_printed(server: Recorder) -> None:
    """In a process of its own: a LiteLLM Router made by another test turns the banners off too."""
    server.fail(400)
    script = (
        "import adapter, contextlib\n"
        "for model in ('p', 'nobody-knows-this'):\n"
        "    with contextlib.suppress(Exception):\n"
        "        adapter.completion(model=model, messages=[{'role': 'user', 'content': 'hi'}])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert len(server.requests) == 1
    assert done.stdout == ""
    assert "Give Feedback" not in done.stderr
    assert "Provider List" not in done.stderr


def test_responses_go_through_another_litellm_provider_where_configured(
    write: Write, server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "decoy")
    write(
        '[plugin.litellm.providers.p]\ncustom_llm_provider = "hosted_vllm"\n', "config.local.toml"
    )

    adapter.completion(model="p/gpt-5-codex", messages=MESSAGES, temperature=0.5)

    assert server.only.path == "/v1/chat/completions"
    assert server.only.body["model"] == "gpt-5-codex"
    assert server.only.key == "own-key"
    assert "decoy" not in str(server.only.headers)


def test_importing_litellm_late_leaves_the_collector_and_the_path_as_they_were(
    tmp_path: Path,
) -> None:
    script = (
        "import gc, os, sys, adapter\n"
        "from adapter.upstream.loading import load_litellm\n"
        "gc.disable() if {off} else gc.enable()\n"
        "before = list(sys.path)\n"
        "load_litellm()\n"
        "print(gc.isenabled(), os.environ['LITELLM_LOCAL_MODEL_COST_MAP'], sys.path == before)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "LITELLM_LOCAL_MODEL_COST_MAP"}
    for off in (True, False):
        run = [sys.executable, "-c", script.format(off=off)]
        done = subprocess.run(run, capture_output=True, text=True, check=True, env=environment)
        assert done.stdout.split() == [str(not off), "True", "True"]
    assert gc.isenabled()


def test_what_litellm_loads_is_seen_by_the_first_call(
    server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(".env").write_text("P_KEY=from-dotenv\n")
    script = (
        "import adapter\n"
        "adapter.completion(model='p', messages=[{'role': 'user', 'content': 'hi'}])\n"
        "adapter.completion(model='p', messages=[{'role': 'user', 'content': 'hi'}])\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)

    assert [r.key for r in server.requests] == ["from-dotenv", "from-dotenv"]


@pytest.fixture
def collector_off() -> Iterator[None]:
    """No garbage is collected, as if its turn had not come."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("collector_off")
@pytest.mark.parametrize(
    ("prefix", "last", "ends"),
    [
        ("hosted_vllm", chat_chunk({}, "stop") + b"data: [DONE]\n\n", nullcontext()),
        ("openai", b'data: {"choices": 7}\n\n', pytest.raises(MidStreamFallbackError)),
    ],
)
def test_a_stream_lets_its_connection_go_when_it_ends(
    prefix: str, last: bytes, ends: AbstractContextManager[Any], write: Write, server: Recorder
) -> None:
    """Else the collector closes it, at any moment, and that can hang the process."""
    extras = '[plugin.litellm.providers.p]\ncustom_llm_provider = "PREFIX"\n'
    write(table(server.base_url, default_model="m") + extras.replace("PREFIX", prefix))
    may_end = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield chat_chunk({"content": "a"})
        yield last
        may_end.wait(100)

    server.script = lambda request: Reply(200, pieces())
    stream = adapter.completion("p", messages=MESSAGES, stream=True)
    try:
        with ends:
            list(stream)
        assert connections_to(server) == 0
    finally:
        may_end.set()


def connections_to(server: Recorder) -> int:
    """Return how many connections of this machine to ``server`` are established (Linux)."""
    port = f":{int(server.origin.rpartition(':')[2]):04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(remote.endswith(port) and state == "01" for _, _, remote, state, *_ in lines)


SWITCH = """\
import sys, adapter
stream = adapter.completion("p", [{"role": "user", "content": "q"}], stream=True)
said = [chunk.choices[0].delta.content or "" for chunk in stream]
print("".join(said), sys.modules["litellm"].disable_streaming_logging)
"""


@pytest.mark.parametrize("setting", ["true", "false", None])
def test_streaming_logging_can_be_switched_off_in_the_configuration(
    setting: str | None, write: Write, server: Recorder
) -> None:
    section = "[plugin.litellm.litellm_settings]\n"
    settings = f"{section}disable_streaming_logging = {setting}\n" if setting else ""
    write(table(server.base_url, default_model="m") + settings)

    done = subprocess.run(
        [sys.executable, "-c", SWITCH], capture_output=True, text=True, check=True
    )

    assert done.stdout == f"Hello, world {setting == 'true'}\n"

"""Queries to a LiteLLM proxy named with ``--gateway``, at the wire."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import PATIENCE, Outcome, provider, run
from tests.recorder import Recorder, Reply, chat_chunk, chat_stream


def ask(server: Recorder, *args: str) -> Outcome:
    return run("-m", "any/model", "--gateway", server.base_url, *args, "hi")


def test_the_request(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_PROXY_API_KEY", " sk-proxy-key\n")
    done = ask(server, "-s", "Be brief", "-o", "temperature", "0")
    assert done == Outcome(0, "Hello, world\n", "")
    assert server.only.path == "/v1/chat/completions"
    assert server.only.key == "sk-proxy-key"
    assert server.only.body == {
        "model": "any/model",
        "messages": [
            {"role": "system", "content": "Be brief"},
            {"role": "user", "content": "hi"},
        ],
        "temperature": 0,
        "stream": True,
    }


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/team"])
def test_a_url_with_and_without_v1(server: Recorder, path: str) -> None:
    run("-m", "m", "--gateway", f"{server.origin}{path}", "hi")
    root = "/team" if path == "/team" else ""
    assert server.only.path == f"{root}/v1/chat/completions"


def test_the_placeholder_is_sent_where_no_key_is_set(
    server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-openai")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-for-openai")
    assert ask(server).code == 0
    assert server.only.key == "default-key"
    assert "for-openai" not in str(server.only.headers)


def test_a_provider_of_that_name_does_not_stand_for_the_proxy(
    server: Recorder, other_server: Recorder, write: Callable[..., Path]
) -> None:
    write(provider(other_server.base_url, name="litellm_proxy", api_key="sk-other"))
    assert ask(server).code == 0
    assert server.only.key == "default-key"
    assert not other_server.requests


def test_the_variables_of_litellm(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_PROXY_API_BASE", server.origin)
    monkeypatch.setenv("LITELLM_PROXY_API_KEY", "sk-proxy-key")
    assert run("-m", "m", "hi").out == "Hello, world\n"
    assert server.only.key == "sk-proxy-key"
    assert run("-m", "m", "--gateway", f"{server.origin}/v1/", "hi").code == 0


def test_the_key_of_another_proxy_is_not_sent(
    server: Recorder, other_server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITELLM_PROXY_API_BASE", other_server.base_url)
    monkeypatch.setenv("LITELLM_PROXY_API_KEY", "sk-proxy-key")
    done = ask(server)
    assert done.code == 2
    assert "LITELLM_PROXY_API_KEY is the key of" in done.err
    assert not server.requests
    assert not other_server.requests


def test_no_gateway_turns_the_variables_off(
    server: Recorder, other_server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITELLM_PROXY_API_BASE", other_server.base_url)
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    assert run("-m", "local/m", "--no-gateway", "hi").out == "Hello, world\n"
    assert server.only.path == "/v1/chat/completions"
    assert not other_server.requests


@pytest.mark.parametrize("url", ["localhost:4000", "ftp://h", "http://u:pw@h/v1", "http://h?x=1"])
def test_a_url_that_is_none(url: str) -> None:
    done = run("-m", "m", "--gateway", url, "hi")
    assert done.code == 2
    assert "--gateway: the URL" in done.err
    assert "pw" not in done.err


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (400, 1, ""),
        (401, 3, "no key was found: export LITELLM_PROXY_API_KEY"),
        (404, 4, ""),
        (429, 5, "wait"),
        (500, 7, ""),
        (503, 7, ""),
    ],
)
def test_errors(server: Recorder, status: int, code: int, advice: str) -> None:
    words = "litellm.X: OpenAIException - it broke\n\nLiteLLM: model group 'm' failed"
    server.fail(status, words)
    done = ask(server)
    assert (done.code, done.out) == (code, "")
    assert f"({server.base_url}, no key ($LITELLM_PROXY_API_KEY is not set)) answered" in done.err
    assert f"answered {status}: it broke\n" in done.err
    assert advice in done.err
    assert len(server.requests) == 1


ODD = {
    "html": (Reply(502, b"<html>Bad\x1b[31m gateway</html>"), "<html>Bad\\x1b[31m gateway</html>"),
    "nothing": (Reply(500, b""), "answered 500: Error code: 500"),
    "json": (Reply(500, {"detail": "x"}), "answered 500: x\n"),
    "string": (Reply(500, {"error": "words"}), "words"),
    "not JSON": (Reply(200, b"<html>"), "the reply held no answer"),
    "a list": (Reply(200, []), "the reply held no answer"),
    "cut": (Reply(200, {"a": 1}, cut=True), "the connection ended before all of the reply"),
    "bad event": (Reply(200, b"data: {nonsense\n\n"), "the reply is not JSON"),
    "error event": (Reply(200, b'data: {"error": {"message": "full", "code": "503"}}\n\n'), "full"),
    "error text": (Reply(200, b'data: {"error": "full"}\n\n'), "failed (APIConnectionError)"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_answers_end_in_one_message(server: Recorder, name: str) -> None:
    reply, words = ODD[name]
    server.script = lambda request: reply
    done = ask(server)
    assert done.code == 7
    assert words in done.err
    assert done.err.startswith("Error: ")
    assert "Traceback" not in done.err


def test_comments_and_other_fields_of_a_stream_are_passed_by(server: Recorder) -> None:
    body = b": ping\n\nevent: x\nid: 1\n" + chat_stream(["Hello"]).replace(b"\n", b"\r\n")
    server.script = lambda request: Reply(
        200, b"data: {}\n\n" + body, {"Content-Type": "text/event-stream"}
    )
    assert ask(server) == Outcome(0, "Hello\n", "")


def test_a_partial_answer_stays(server: Recorder) -> None:
    server.script = lambda request: Reply(200, chat_chunk({"content": "Hel"}), cut=True)
    done = ask(server)
    assert (done.code, done.out) == (7, "Hel\n")
    assert "the answer above is not complete" in done.err


def test_silence(server: Recorder) -> None:
    def slow() -> Iterator[bytes]:
        time.sleep(1)
        yield b""

    server.script = lambda request: Reply(200, slow())
    done = ask(server, "--timeout", "0.2")
    assert done.code == 6
    assert "no answer within the time limit" in done.err


def test_a_proxy_that_is_not_there() -> None:
    done = run("-m", "m", "--gateway", "http://127.0.0.1:1", "hi")
    assert done.code == 6
    assert "provider 'gateway' (http://127.0.0.1:1, no key" in done.err
    assert "the connection was refused" in done.err


def test_a_redirect_is_not_followed(server: Recorder, other_server: Recorder) -> None:
    server.script = lambda request: Reply(307, b"", {"Location": f"{other_server.base_url}/x"})
    assert ask(server).code == 6
    assert not other_server.requests


def test_tool_calls_in_parts(server: Recorder) -> None:
    first: dict[str, Any] = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}
    parts = [first, {"index": 0, "function": {"arguments": "}"}}]
    events = [chat_chunk({"tool_calls": [part]}) for part in parts]
    events.append(chat_chunk({}, "tool_calls"))
    server.script = lambda request: Reply(200, b"".join(events) + b"data: [DONE]\n\n")
    assert json.loads(ask(server).out) == {"name": "f", "arguments": "{}"}


@pytest.mark.parametrize("key", ["sk-canary1\nsk-canary2", "sk-canary\u201d"])
def test_a_key_that_no_header_can_carry_is_not_shown(
    server: Recorder, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("LITELLM_PROXY_API_KEY", key)
    done = ask(server)
    assert done.code == 3
    assert "from $LITELLM_PROXY_API_KEY cannot be sent" in done.err
    assert "canary" not in done.err
    assert not server.requests


def test_an_error_under_200_is_told(server: Recorder) -> None:
    server.script = lambda request: Reply(200, {"error": {"message": "budget is used up"}})
    done = ask(server, "--no-stream")
    assert done.code == 1
    assert "budget is used up" in done.err
    done = ask(server, "--stream")
    assert (done.code, done.out) == (7, "")


@pytest.mark.parametrize(("retries", "code"), [("0", 6), ("1", 0)])
def test_a_silent_proxy_is_asked_again(server: Recorder, retries: str, code: int) -> None:
    over = threading.Event()

    def late_once(request: Any) -> None:
        if len(server.requests) == 1:
            over.wait(PATIENCE)

    server.script = late_once
    done = ask(server, "--timeout", "2", "--retries", retries)
    over.set()
    assert done.code == code
    assert len(server.requests) == int(retries) + 1


def test_an_http_proxy_of_the_environment_is_used(
    server: Recorder, other_server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTP_PROXY", other_server.origin)
    done = run("-m", "m", "--gateway", "http://litellm.example", "hi")
    assert done.out == "Hello, world\n"
    assert other_server.only.path.endswith("/v1/chat/completions")
    assert not server.requests


def test_a_redirect_takes_no_key_elsewhere(
    server: Recorder, other_server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITELLM_PROXY_API_KEY", "sk-proxy-key")
    where = {"Location": f"{other_server.base_url}/chat/completions"}
    server.script = lambda request: Reply(302, b"", where)
    done = ask(server)
    assert done.code == 6
    assert "it redirects to another host" in done.err
    assert not other_server.requests

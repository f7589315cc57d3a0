"""What stands before LiteLLM's proxy: who may ask, and that no answer holds a key."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from adapter.gateway_guard import guarded

SECRET = "canary-0123456789"


def ask(
    answers: list[dict[str, Any]], headers: dict[str, str], kind: str = "http", local: bool = True
) -> list[dict[str, Any]]:
    """Send one request to an application that gives ``answers``; return what its client gets."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for answer in answers:
            await send(answer)

    async def receive() -> Any:
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(dict(message))

    given = [(k.encode(), v.encode()) for k, v in headers.items()]
    scope = {"type": kind, "headers": given}
    asyncio.run(guarded(app, [SECRET, "short"], local=local)(scope, receive, send))
    return sent


def response(kind: str, *bodies: str) -> list[dict[str, Any]]:
    length = str(sum(map(len, bodies))).encode()
    headers = [(b"content-type", kind.encode()), (b"content-length", length), (b"x", b"y")]
    parts = [
        {"type": "http.response.body", "body": body.encode(), "more_body": n < len(bodies) - 1}
        for n, body in enumerate(bodies)
    ]
    return [{"type": "http.response.start", "status": 200, "headers": headers}, *parts]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:4000", "127.0.0.2:4801", "localhost", "LOCALHOST:1", "[::1]:4000", "[::1]"]
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_this_machine_may_ask(host: str, kind: str) -> None:
    answers = [{"type": "anything"}]
    assert ask(answers, {"host": host, "origin": f"http://{host}"}, kind) == answers


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "localhost.evil"},
        {"host": "[::1].evil"},
        {"host": "[::2]:80"},
        {"host": "192.168.1.2"},
        {"host": ""},
        {"host": "127.0.0.1", "origin": "http://evil.example"},
        {"host": "127.0.0.1", "origin": "null"},
        {"host": "[", "origin": "http://["},
    ],
)
def test_others_may_not(headers: dict[str, str]) -> None:
    start, _ = ask([], headers)
    assert start["status"] == 403
    assert ask([], headers, "websocket") == [{"type": "websocket.close", "code": 1008}]
    answers = [{"type": "anything"}]
    assert ask(answers, headers, local=False) == answers


def test_no_key_is_in_an_answer() -> None:
    cut = len(SECRET) // 2
    bodies = (f'{{"a": "{SECRET}", "b": "short {SECRET[:cut]}', f'{SECRET[cut:]}"}}')
    start, body = ask(response("application/json", *bodies), {})
    assert body["body"] == b'{"a": "***", "b": "short ***"}'
    assert (b"content-length", str(len(body["body"])).encode()) in start["headers"]
    assert len([h for h in start["headers"] if h[0] == b"content-length"]) == 1
    assert (b"x", b"y") in start["headers"]


def test_a_stream_is_passed_on_piece_by_piece() -> None:
    sent = ask(response("text/event-stream", "data: a\n\n", f"data: {SECRET}\n\n"), {})
    assert [m.get("body") for m in sent[1:]] == [b"data: a\n\n", b"data: ***\n\n"]
    assert sent[1]["more_body"]

"""What stands before LiteLLM's proxy: who may ask, and that no answer holds a key."""

from __future__ import annotations

import asyncio
import io
import json
from base64 import b64encode
from collections.abc import Sequence
from time import perf_counter
from typing import Any
from urllib.parse import quote

import pytest

from adapter.gateway.guard import PUBLIC, Guard
from adapter.gateway.process import ScrubbedLog
from adapter.gateway.settings import GuardSettings, guard_settings
from adapter.secrets.scrubber import Scrubber

SECRET = "canary-0123456789"
ODD = 'canary/"quoted"+0123456789'
KEY = "sk-0123456789abcdef"
AWS = "AWS4-HMAC-SHA256"


def basic(pair: str) -> str:
    return f"Basic {b64encode(pair.encode()).decode()}"


def ask(
    answers: list[dict[str, Any]],
    headers: dict[str, str],
    kind: str = "http",
    local: bool = True,
    key: str | None = None,
    secrets: Sequence[str] = (SECRET, "short", ODD),
    **scope: Any,
) -> list[dict[str, Any]]:
    """Send one request to an application that gives ``answers``; return what its client gets."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert b"accept-encoding" not in dict(scope["headers"])
        for answer in answers:
            await send(answer)

    messages = [{"type": "http.request", "body": b""}]

    async def receive() -> Any:
        if not messages:
            await asyncio.Event().wait()  # the client stays
        return messages.pop()

    async def send(message: Any) -> None:
        sent.append(dict(message))

    settings = GuardSettings(local_only=local, master_key_only=key is not None, secrets=())
    given = [(k.encode(), v.encode()) for k, v in headers.items()]
    scope = {"type": kind, "headers": given, "path": "/v1/models", **scope}
    asyncio.run(Guard(app, Scrubber(secrets), settings, key=key)(scope, receive, send))
    return sent


def response(kind: str, *bodies: str) -> list[dict[str, Any]]:
    length = str(sum(map(len, bodies))).encode()
    headers = [(b"content-type", kind.encode()), (b"content-length", length), (b"x", b"y")]
    headers = [h for h in headers if "stream" not in kind or h[0] != b"content-length"]
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
        {"host": "127.0.0.1", "sec-fetch-site": "cross-site"},
        {"host": "evil://127.0.0.1"},
        {"host": "http://127.0.0.1"},
        {"host": "127.0.0.1/"},
        {"host": "127.0.0.1", "origin": "evil://127.0.0.1"},
        {"host": "127.0.0.1", "origin": "127.0.0.1"},
        {"host": "127.0.0.1", "origin": "http://evil.example://127.0.0.1"},
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


@pytest.mark.parametrize("kind", ["application/json", "text/html", "text/plain"])
def test_a_key_is_hidden_in_whatever_form_it_stands(kind: str) -> None:
    forms = (ODD, json.dumps(ODD), quote(ODD, safe=""))
    start, body = ask(response(kind, *forms), {"accept-encoding": "gzip"})
    assert body["body"] == b'***"***"***'
    assert (b"content-length", b"11") in start["headers"]


def test_a_key_in_a_header_is_hidden() -> None:
    answers = response("text/event-stream", "data")
    answers[0]["headers"] += [(b"X-Echo", f"a {SECRET}".encode())]
    start, _ = ask(answers, {})
    assert (b"x-echo", b"a ***") in start["headers"]


@pytest.mark.parametrize("cut", range(1, len(SECRET)))
def test_a_key_cut_in_two_is_hidden_in_a_stream(cut: int) -> None:
    pieces = (f"a {SECRET[:cut]}", f"{SECRET[cut:]} b", "c")
    sent = ask(response("text/event-stream", *pieces), {})
    assert b"".join(m["body"] for m in sent[1:]) == b"a *** bc"
    assert sent[1]["body"] == b"a "


def test_what_only_begins_like_a_key_arrives_whole() -> None:
    sent = ask(response("text/event-stream", "a canary-01", "x", "canary-"), {})
    assert [m["body"] for m in sent[1:]] == [b"a ", b"canary-01x", b"canary-"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one-key-abcdefgh", "***"),
        ("one-key-abcdefghij", "***"),
        ("one-key-abcdefg", "one-key-abcdefg"),
        ("other.key[0-9]+", "***"),
        ("other-key5", "other-key5"),
    ],
)
def test_each_of_many_keys_is_hidden_the_longest_first(text: str, shown: str) -> None:
    many = [
        "one-key-abcdefgh",
        "one-key-abcdefghij",
        "other.key[0-9]+",
        *map(str, range(10**8, 10**8 + 99)),
    ]
    (_, *whole) = ask(response("application/json", text), {}, secrets=many)
    assert b"".join(m["body"] for m in whole) == shown.encode()
    for cut in range(len(text) - 2):  # not where the longer key begins with the whole of the other
        pieces = (text[:cut], text[cut:], "\n\n")
        (_, *parts) = ask(response("text/event-stream", *pieces), {}, secrets=many)
        assert b"".join(m["body"] for m in parts) == f"{shown}\n\n".encode()


def test_many_keys_do_not_hold_up_a_stream(record_property: Any) -> None:
    many = [f"sk-{n:032x}" for n in range(1000)]
    pieces = [f'data: {{"delta": "asks {n}"}}\n\n' for n in range(1000)]
    began = perf_counter()
    (_, *parts) = ask(response("text/event-stream", *pieces), {}, secrets=many)
    spent = perf_counter() - began
    assert [m["body"].decode() for m in parts] == pieces
    assert spent < 5  # it was 15 s
    record_property("figure", f"1000 keys looked for in 1000 pieces of a stream: {spent:.2f} s")


def test_without_keys_to_hide_an_answer_is_passed_on() -> None:
    for secrets in ([], ["short"]):
        sent = ask(response("text/event-stream", "data: a", "short"), {}, secrets=secrets)
        assert [m["body"] for m in sent[1:]] == [b"data: a", b"short"]


def test_a_key_in_a_websocket_message_is_hidden() -> None:
    messages: list[dict[str, Any]] = [
        {"type": "websocket.accept"},
        {"type": "websocket.send", "text": f"it is {SECRET}"},
        {"type": "websocket.send", "bytes": SECRET.encode(), "text": None},
    ]
    sent = ask(messages, {}, "websocket")
    assert sent[0] == messages[0]
    assert sent[1]["text"] == "it is ***"
    assert sent[2]["bytes"] == b"***"


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"authorization": f"Bearer {KEY}"}, ""),
        ({"authorization": f"bearer {KEY}"}, ""),
        ({"x-api-key": KEY}, ""),
        ({"a-header-of-my-own": f"Bearer {KEY}"}, ""),
        ({"authorization": f"{AWS} Credential=Bearer {KEY}/20260101/x/aws4_request, S=1"}, ""),
        ({"authorization": f"{AWS} Credential={KEY}, SignedHeaders=host"}, ""),
        ({"authorization": f"Basic {KEY}"}, ""),
        ({"authorization": basic(f"{KEY}:secret")}, ""),
        ({"authorization": basic(f"public:{KEY}")}, ""),
        ({"sec-websocket-protocol": f"realtime, openai-insecure-api-key.{KEY}"}, ""),
        ({}, f"alt=sse&key={KEY}"),
    ],
)
def test_the_key_opens(headers: dict[str, str], query: str) -> None:
    answers = [{"type": "anything"}]
    for kind in ("http", "websocket"):
        given = ask(answers, headers, kind, key=KEY, query_string=query.encode())
        assert given == answers


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, ""),
        ({"authorization": "Bearer "}, ""),
        ({"authorization": f"Bearer {KEY[:-1]}"}, ""),
        ({"authorization": f"Bearer {KEY}x"}, ""),
        ({"authorization": f"Token {KEY}"}, ""),
        ({"authorization": f"{AWS} Credential=Bearer {KEY}x/20260101"}, ""),
        ({"authorization": f"{AWS} Signature={KEY}"}, ""),
        ({"authorization": basic(f"public:{KEY}x")}, ""),
        ({"authorization": basic(f"public:secret:{KEY}")}, ""),
        ({"authorization": "Basic a"}, ""),
        ({"cookie": f"token={KEY}"}, ""),
        ({"x-api-key": "\xe9" * 19}, ""),
        ({"sec-websocket-protocol": f"realtime, openai-insecure-api-key.{KEY[1:]}"}, ""),
        ({}, f"key={KEY[:-1]}"),
        ({}, f"token={KEY}"),
        ({}, "a=b&" * 1000 + f"key={KEY}"),
        ({}, "key=%ff%00"),
    ],
)
def test_nothing_else_does(headers: dict[str, str], query: str) -> None:
    scope: dict[str, Any] = {"method": "GET", "query_string": query.encode()}
    start, body = ask([], headers, key=KEY, **scope)
    assert (start["status"], b"needs its key" in body["body"]) == (401, True)
    assert (b"www-authenticate", b"Bearer") in start["headers"]
    closed = [{"type": "websocket.close", "code": 1008}]
    assert ask([], headers, "websocket", key=KEY, **scope) == closed


def test_of_two_headers_with_one_name_the_first_counts() -> None:
    right, wrong = f"Bearer {KEY}", f"Bearer {KEY}x"
    # a name in another case is the same one
    assert ask([], {"authorization": wrong, "Authorization": right}, key=KEY)[0]["status"] == 401
    answers = [{"type": "anything"}]
    assert ask(answers, {"authorization": right, "Authorization": wrong}, key=KEY) == answers


def test_a_probe_needs_no_key() -> None:
    answers = [{"type": "anything"}]
    for path in PUBLIC:
        assert ask(answers, {}, key=KEY, path=path, method="GET") == answers
        assert ask([], {}, key=KEY, path=path, method="POST")[0]["status"] == 401
        assert ask([], {}, key=KEY, path=f"{path}/", method="GET")[0]["status"] == 401


ONLY = {"LITELLM_MASTER_KEY": KEY, "GATEWAY_KEY_1": SECRET, "REDIS_PW": "of-redis"}


@pytest.mark.parametrize(
    ("settings", "environ", "only"),
    [
        ({}, {}, True),
        ({"alerting": ["slack"], "enable_jwt_auth": False}, {}, True),
        ({"database_url": "os.environ/DATABASE_URL"}, {}, False),
        ({"enable_jwt_auth": True}, {}, False),
        ({"custom_auth": "module.function"}, {}, False),
        ({"public_routes": ["/v1/models"]}, {}, False),
        ({}, {"DATABASE_URL": "postgresql://"}, False),
    ],
)
def test_the_master_key_is_asked_for_unless_there_are_others(
    settings: dict[str, Any], environ: dict[str, str], only: bool
) -> None:
    content = {"general_settings": settings}
    assert guard_settings(content, {**ONLY, **environ}, "127.0.0.1").master_key_only is only


def test_what_answers_must_not_show_is_found_in_the_configuration() -> None:
    params = {
        "api_key": "os.environ/GATEWAY_KEY_1",
        "model": "openai/m",
        "extra_headers": {"X-Token": "literal-token", "X-Team": "blue"},
        "extra_body": {"password": ["in-a-list"]},
    }
    content = {
        "model_list": [{"litellm_params": params}, {"litellm_params": {"api_key": "default-key"}}],
        "router_settings": {"redis_password": "os.environ/REDIS_PW", "redis_host": "localhost"},
        "general_settings": {},
    }
    given = guard_settings(content, ONLY, "0.0.0.0")
    assert given.secrets == sorted({KEY, SECRET, "literal-token", "in-a-list", "of-redis"})
    assert given.local_only is False


def test_a_setting_that_only_sounds_like_a_secret_leaves_answers_alone() -> None:
    params = {
        "api_key": "os.environ/GATEWAY_KEY_1",
        "prompt_cache_key": "gptme-main",
        "extra_body": {"stop_token": "<|endoftext|>", "sort_key": "relevance"},
    }
    content = {"model_list": [{"litellm_params": params}], "general_settings": {}}
    given = guard_settings(content, ONLY, "127.0.0.1")
    assert given.secrets == sorted({KEY, SECRET})
    text = "gptme-main <|endoftext|> relevance"
    _, body = ask(response("text/plain", f"{text} {SECRET}"), {}, secrets=given.secrets)
    assert body["body"] == f"{text} ***".encode()


@pytest.mark.parametrize("form", [ODD, json.dumps(ODD)[1:-1], quote(ODD, safe="")])
def test_the_log_holds_a_key_in_no_form(form: str) -> None:
    kept = io.StringIO()
    log = ScrubbedLog(kept, Scrubber([SECRET, "short", ODD]))
    log.write(f"é \udcff {form} short\n")
    log.writelines([f"{SECRET}{form}"])
    # as ASCII: a report with half a character in it cannot be sent from one process to another
    assert ascii(kept.getvalue()) == ascii("é \\udcff *** short\n******")


def test_the_log_holds_no_escape_of_a_server() -> None:
    kept = io.StringIO()
    log = ScrubbedLog(kept, Scrubber([SECRET]))
    log.write(f"{SECRET[:5]}\033[1m{SECRET[5:]}\n")
    assert kept.getvalue() == "***\n"
    kept.truncate(0)
    kept.seek(0)
    log.write("\033[92m12:00 ERROR\033[0m: \033]0;owned\007\033[2J \x9b31m \u202eabc\r\n")
    text = kept.getvalue()
    assert text.startswith("12:00 ERROR: ")
    assert text.endswith("\n")
    assert text[:-1].isprintable()

"""What a gateway may be asked: which routes, how much, and no field that says where a call goes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from adapter.gateway.guard import Guard
from adapter.gateway.requests import ROUTING_FIELDS
from adapter.gateway.settings import GuardSettings, guard_settings
from adapter.secrets.scrubber import Scrubber
from tests.command import needs_gateway

pytestmark = needs_gateway

KEY = "sk-0123456789abcdef"
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
PARTS = {"content-type": "multipart/form-data; boundary=b"}
CHAT = "/v1/chat/completions"


class Outcome:
    """What LiteLLM and the client were sent."""

    def __init__(self) -> None:
        self.scope: dict[str, Any] | None = None
        self.body = b""
        self.sent: list[dict[str, Any]] = []

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.sent[1]["body"])["error"]
        return error


def ask(
    body: Any = b"",
    path: str = CHAT,
    headers: dict[str, str] | None = None,
    query: str = "",
    pieces: int = 1,
    kind: str = "http",
    **settings: Any,
) -> Outcome:
    """Send one request with the right key; LiteLLM's part answers 200."""
    outcome = Outcome()
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    step = max(1, -(-len(data) // pieces))
    chunks = [data[n : n + step] for n in range(0, len(data), step)] or [b""]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        outcome.scope = scope
        outcome.body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Any:
        if not chunks:
            await asyncio.Event().wait()
        body = chunks.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(chunks)}

    async def send(message: Any) -> None:
        outcome.sent.append(dict(message))

    given = {"authorization": f"Bearer {KEY}", **(headers or JSON)}
    scope = {
        "type": kind,
        "method": "POST",
        "path": path,
        "query_string": query.encode(),
        "headers": [(k.encode(), v.encode()) for k, v in given.items()],
    }
    options = {"local_only": True, "master_key_only": True, "secrets": (), **settings}
    guard = Guard(app, Scrubber([]), GuardSettings(**options), key=KEY, refused=ROUTING_FIELDS)
    asyncio.run(guard(scope, receive, send))
    return outcome


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "p", "messages": [{"role": "user", "content": "q"}], **fields}


def test_a_request_arrives_as_it_was_sent() -> None:
    body = json.dumps(chat(base_urls=["https://x"], tools=[{"base_url": {"type": "string"}}]))
    outcome = ask(body.encode(), pieces=3)
    assert (outcome.status, outcome.body) == (200, body.encode())


@pytest.mark.parametrize(
    "path",
    [
        *(CHAT, "/chat/completions", "/v1/embeddings", "/v1/responses", "/v1/audio/speech"),
        *("/v1/models", "/v1/models/groq", "/model/info", "/health", "/health/readiness"),
        *("/v1/messages", "/v1beta/models/a/b:generateContent", "/engines/a/b/chat/completions"),
        *("/openai/deployments/groq/chat/completions", "/v1/rerank", "/v1/images/edits"),
    ],
)
def test_the_routes_of_a_gateway_are_answered(path: str) -> None:
    assert ask({"model": "p"}, path).status == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/cache/settings/test", "/coordination_redis/settings/test", "/get/latest_release_info"),
        *("/config/update", "/key/generate", "/v1/mcp/tools/test", "/mcp-rest/test/tools/list"),
        *("/openai/v1/chat/completions", "/anthropic/v1/messages", "/health/test_connection"),
        *(f"{CHAT}/", f"/{CHAT}", "/V1/CHAT/COMPLETIONS", f"/x{CHAT}", "/v1/models/a/b", "/", ""),
        *(f"{CHAT}\n", f"/engines/{CHAT}x", "/v1/files", "/utils/transform_request"),
    ],
)
def test_no_other_route_is(path: str) -> None:
    outcome = ask({"model": "p"}, path)
    assert (outcome.status, outcome.scope) == (404, None)
    assert 'routes = "all"' in outcome.error["message"]
    assert ask({"model": "p"}, path, routes=None).status == 200


def test_routes_can_be_added_one_by_one() -> None:
    routes = ("/v1/files/{file_id}", "/v1/{any:path}/x")
    assert ask({}, "/v1/files/a", routes=routes).status == 200
    assert ask({}, "/v1/a/b/x", routes=routes).status == 200
    assert ask({}, CHAT, routes=routes).status == 200
    assert ask({}, "/v1/files/a/b", routes=routes).status == 404
    assert ask({}, "/v1/files", routes=routes).status == 404


def parts(name: str, value: str) -> bytes:
    return (
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n--b--\r\n'
    ).encode()


@pytest.mark.parametrize("routes", [(), None])
@pytest.mark.parametrize("field", sorted(ROUTING_FIELDS))
def test_no_field_says_where_a_call_goes(field: str, routes: Any) -> None:
    value = "https://evil.example"
    nested: list[Any] = [
        {"metadata": {field: value}},
        {"litellm_metadata": json.dumps({field: value})},
        {"litellm_params": {"metadata": {field: value}}},
        {"fallbacks": [{"model": "p", field: value}]},
        {"fallbacks": [{"p": [{"model": "q", field: value}]}]},
        {"router_settings_override": {"fallbacks": [{"model": "p", field: value}]}},
    ]
    outcomes = [ask(chat(**extra), routes=routes) for extra in [{field: value}, *nested]]
    outcomes += [
        ask(chat(), query=f"a=b&{field}={value}", routes=routes),
        ask(chat(), headers={**JSON, field.replace("_", "-"): value}, routes=routes),
        ask(path="/v1/realtime", query=f"{field}={value}", kind="websocket", routes=routes),
        ask(f"model=p&{field}=x".encode(), headers=FORM, routes=routes),
        ask(parts(field, value), headers=PARTS, routes=routes),
        ask(parts(f"metadata[{field}]", value), headers=PARTS, routes=routes),
        ask(parts("metadata", json.dumps({field: value})), headers=PARTS, routes=routes),
    ]
    for outcome in outcomes:
        assert outcome.scope is None
        if outcome.sent == [{"type": "websocket.close", "code": 1008}]:
            continue
        assert outcome.status == 400
        assert f"{field} cannot be set in a request" in outcome.error["message"]
        assert outcome.error["type"] == "invalid_request_error"


REFERENCE = "os.environ/ANTHROPIC_API_KEY"


@pytest.mark.parametrize("routes", [(), None])
def test_no_value_names_a_variable(routes: Any) -> None:
    escaped = json.dumps(chat(password=REFERENCE)).replace("os.", "\\u006fs\\u002e").encode()
    for body, headers in (
        (json.dumps(chat(password=REFERENCE)).encode(), JSON),
        (escaped, JSON),
        (escaped, {"content-type": "text/plain"}),
        (json.dumps(chat(a=[{"b": [f" {REFERENCE}"]}])).encode(), JSON),
        (json.dumps(chat(metadata=json.dumps({"a": REFERENCE}))).encode(), JSON),
        (f"password={REFERENCE}".encode(), FORM),
        (b"password=os%2Eenviron%2FX", FORM),
        (parts("password", REFERENCE), PARTS),
        (parts("metadata", escaped.decode()), PARTS),
    ):
        outcome = ask(body, headers=headers, routes=routes)
        assert (outcome.status, outcome.scope) == (400, None), body
        assert "cannot name a variable" in outcome.error["message"]
    assert ask(chat(), query=f"x={REFERENCE}", routes=routes).status == 400
    binary = {"content-type": "application/octet-stream"}
    assert ask(b"\xff os.environ/X", headers=binary, routes=routes).status == 400


def test_a_prompt_may_be_about_them() -> None:
    text = f"What does api_key: {REFERENCE} mean in a config.yaml with api_base and model_list?"
    message = {"role": "user", "content": [{"type": "text", "text": text}]}
    document = json.dumps({"api_key": REFERENCE, "base_url": "x"})
    tool = {"type": "function", "function": {"parameters": {"properties": {"base_url": {}}}}}
    body = {"model": "p", "messages": [message, {"content": document}], "tools": [tool]}
    assert ask(body).status == 200


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[]", b"3", b'"x"', b"[" * 100_000, b"{}{}"])
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    outcome = ask(body)
    assert (outcome.status, outcome.scope) == (400, None)
    assert "JSON" in outcome.error["message"]
    assert ask(body, "/any", routes=None).status == 200


def test_a_form_that_cannot_be_read_is_refused() -> None:
    outcome = ask(b"--x\r\nnonsense", headers=PARTS)
    assert (outcome.status, outcome.scope) == (400, None)


@pytest.mark.parametrize("pieces", [1, 5])
@pytest.mark.parametrize("told", [True, False])
def test_a_large_body_is_refused(pieces: int, told: bool) -> None:
    body = json.dumps(chat(x="y" * 1000)).encode()
    headers = {**JSON, **({"content-length": str(len(body))} if told else {})}
    outcome = ask(body, headers=headers, pieces=pieces, max_request_bytes=len(body) - 1)
    assert (outcome.status, outcome.scope) == (413, None)
    assert "max_request_bytes" in outcome.error["message"]
    assert (b"connection", b"close") in outcome.sent[0]["headers"]
    assert ask(body, headers=headers, pieces=pieces, max_request_bytes=len(body)).status == 200


def test_a_body_that_is_told_to_be_large_is_not_read() -> None:
    outcome = ask(b"", headers={**JSON, "content-length": str(2**62)})
    assert (outcome.status, outcome.scope) == (413, None)


def test_the_configuration_sets_routes_and_limits() -> None:
    environ = {"LITELLM_MASTER_KEY": KEY}
    content: dict[str, Any] = {"general_settings": {}}
    default = guard_settings(content, environ, "127.0.0.1")
    assert (default.routes, default.max_request_bytes) == ((), 64 * 1024 * 1024)
    own = {"routes": ["/v1/files"], "max_request_bytes": 5}
    chosen = guard_settings(content, environ, "127.0.0.1", own)
    assert (chosen.routes, chosen.max_request_bytes) == (["/v1/files"], 5)
    assert guard_settings(content, environ, "127.0.0.1", {"routes": "all"}).routes is None


def test_clients_name_a_server_only_where_litellm_is_told_that_they_may() -> None:
    environ = {"LITELLM_MASTER_KEY": KEY}
    entry = {"litellm_params": {"configurable_clientside_auth_params": ["api_base"]}}
    for content, allowed in (
        ({"general_settings": {}}, False),
        ({"general_settings": {"allow_client_side_credentials": True}}, True),
        ({"general_settings": {}, "model_list": [entry]}, True),
    ):
        assert guard_settings(content, environ, "::1").client_credentials is allowed


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"authorization": f"bEARER {KEY}"}, ""),
        ({"authorization": KEY}, ""),
        ({"authorization": f"Basic {KEY}"}, ""),
        ({"authorization": "Bearer wrong", "x-api-key": KEY}, ""),
        ({"authorization": "", "x-mine": f"Bearer {KEY}", "x-litellm-api-key": "wrong"}, ""),
        ({"authorization": "", "x-goog-api-key": KEY}, ""),
        ({"authorization": ""}, f"key={KEY}"),
    ],
)
def test_litellm_gets_the_key_where_it_looks_for_it(headers: dict[str, str], query: str) -> None:
    outcome = ask(chat(), headers={**JSON, **headers}, query=query)
    assert outcome.scope is not None
    given = [
        (k, v) for k, v in outcome.scope["headers"] if b"mine" not in k and k != b"content-type"
    ]
    assert given == [(b"authorization", f"Bearer {KEY}".encode())]


def run_until_left(app: Any, messages: list[dict[str, Any]]) -> None:
    """Run a guard whose client sends a request and leaves when ``app`` waits for nothing else."""

    async def main() -> None:
        async def receive() -> Any:
            if len(messages) == 1:
                for _ in range(20):
                    await asyncio.sleep(0)
            return messages.pop(0)

        async def send(message: Any) -> None:
            pass

        settings = GuardSettings(local_only=False, master_key_only=False, secrets=())
        scope = {"type": "http", "method": "POST", "path": CHAT, "headers": [], "query_string": b""}
        await Guard(app, Scrubber([]), settings)(scope, receive, send)

    asyncio.run(main())


REQUEST = {"type": "http.request", "body": b"{}", "more_body": False}
LEFT = {"type": "http.disconnect"}


def test_a_client_that_leaves_ends_what_is_done_for_it() -> None:
    ended = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    run_until_left(app, [REQUEST, LEFT])
    assert ended == [True]


def test_a_client_that_leaves_while_it_sends_is_not_answered() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    run_until_left(app, [{**REQUEST, "more_body": True}, LEFT])


def test_what_goes_on_after_the_answer_is_not_ended() -> None:
    steps = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        steps.append((await receive())["type"])
        for _ in range(5):
            await asyncio.sleep(0)
        steps.append("done")

    run_until_left(app, [REQUEST, LEFT])
    assert steps == ["http.disconnect", "done"]


def test_the_application_s_own_error_is_not_swallowed() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        run_until_left(app, [REQUEST, LEFT])


def test_the_end_of_the_gateway_ends_an_answer_under_way() -> None:
    ended = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def main() -> None:
        messages = [REQUEST]

        async def receive() -> Any:
            if not messages:
                await asyncio.Event().wait()
            return messages.pop()

        async def send(message: Any) -> None:
            pass

        settings = GuardSettings(local_only=False, master_key_only=False, secrets=())
        scope = {"type": "http", "method": "POST", "path": CHAT, "headers": [], "query_string": b""}
        task = asyncio.ensure_future(Guard(app, Scrubber([]), settings)(scope, receive, send))
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)

    asyncio.run(main())
    assert ended == [True]

"""A gateway under attack: without its key, from a web page, with requests out of shape.

The routes are those of LiteLLM's own application, with every feature that it loads on demand.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest

from adapter.gateway.runtime import Gateway, running
from adapter.gateway.settings import OWN_SETTINGS
from tests.command import PATIENCE, gateway_environ, run_apart
from tests.recorder import Recorder, Reply, chat_chunk, recording_server

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

KEY, OTHER_KEY = "sk-canary-of-groq-123456", "canary/with+odd=characters-123456"
HEADER_TOKEN, LITERAL_TOKEN = "canary-of-a-header-123456", "Bearer canary-of-another-header"
PASSWORD = "canary-of-a-redis-password"
VARIABLE = "canary-of-a-variable-123456"
SECRETS = (KEY, OTHER_KEY, HEADER_TOKEN, LITERAL_TOKEN, PASSWORD, VARIABLE)

CONFIG = """\
[[providers]]
name = "groq"
base_url = "{upstream}"
api_key_env = "FIRST_KEY"
default_model = "openai/gpt-oss-20b"

[[providers]]
name = "vllm-local"
base_url = "{upstream}"
api_key = "{other}"
default_model = "org/model:free"

[[providers]]
name = "played"
base_url = "http://127.0.0.1:{played}/v1"
default_model = "m"

[plugin.litellm.providers.vllm-local]
extra_headers = {{ X-Tok = "$HEADER_TOKEN", Authorization = "{literal}" }}
extra_body = {{ api_token = "{password}" }}
"""

PUBLIC = {
    # for probes; the answer is a fixed sentence
    ("GET", "/health/liveliness"): b'"I\'m alive!"',
    ("GET", "/health/liveness"): b'"I\'m alive!"',
}
"""All that is answered without a key. A route that a newer LiteLLM adds is not among them."""

LIST_ROUTES = """\
import asyncio, json, sys
sys.path[:] = json.loads(sys.argv[1])
from litellm.proxy.proxy_server import app
from litellm.proxy import _lazy_features as lazy
if hasattr(lazy, "register_all_features"):
    lazy.register_all_features(app)
else:  # LiteLLM 1.101
    for feature in lazy.LAZY_FEATURES:
        asyncio.run(lazy._force_load(app, feature))

def walk(routes, prefix=""):
    for route in routes:
        if hasattr(route, "effective_candidates"):  # a router within FastAPI's application
            yield from walk(route.effective_candidates(), prefix)
            yield from walk(route.effective_low_priority_routes(), prefix)
            continue
        original = getattr(route, "original_route", route)
        path = prefix + (getattr(route, "path", "") or getattr(original, "path", ""))
        kind = type(original).__name__
        yield kind, path, sorted(getattr(route, "methods", None) or [])
        yield from walk(getattr(getattr(route, "app", None), "routes", ()), path)

print(json.dumps(list(walk(app.routes))))
"""


class Target(NamedTuple):
    """A running gateway, the server behind it, and every route there is.

    ``played`` is a server that the provider ``played`` names and that a test itself plays.
    """

    upstream: Recorder
    played: socket.socket
    gateway: Gateway
    routes: frozenset[tuple[str, str]]
    sockets: frozenset[str]

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=PATIENCE)

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: Any = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = self.connect()
        try:
            return exchange(connection, method, path, headers, body)
        finally:
            connection.close()

    def raw(self, data: bytes) -> bytes:
        """Send bytes as they are; return all that is answered until the gateway has no more."""
        with socket.create_connection(("127.0.0.1", self.gateway.port), PATIENCE) as connection:
            answer = b""
            with suppress(ConnectionError):  # it need not read all of what it refuses
                connection.sendall(data)
            with suppress(OSError):  # it may have hung up by now
                connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                while piece := connection.recv(65536):
                    answer += piece
            return answer


def exchange(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: Any = None,
) -> tuple[int, dict[str, str], bytes]:
    connection.request(method, path, body, dict(headers))
    response = connection.getresponse()
    found = {name.lower(): value for name, value in response.getheaders()}
    return response.status, found, response.read()


def concrete(path: str) -> str:
    """Return a path that its pattern matches, or a model's where that is what it names."""
    return re.sub(r"\{[^}]*\}", "groq", path) or "/"


class Routes(NamedTuple):
    """Methods and paths of LiteLLM's own application."""

    http: frozenset[tuple[str, str]]
    sockets: frozenset[str]


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Routes:
    home = str(tmp_path_factory.mktemp("routes"))
    listing = subprocess.run(
        [sys.executable, "-I", "-c", LIST_ROUTES, json.dumps(sys.path)],
        env={**gateway_environ(), **OWN_SETTINGS, "HOME": home, "LITELLM_MASTER_KEY": "sk-no" * 9},
        cwd="/",
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )
    rows = json.loads(listing.stdout)
    return Routes(
        frozenset(
            (method, concrete(path))
            for kind, path, methods in rows
            for method in (methods or ["GET", "POST"])
            if "WebSocket" not in kind
        ),
        frozenset(concrete(path) for kind, path, _ in rows if "WebSocket" in kind),
    )


@contextmanager
def started(folder: Path, more: str, routes: Routes) -> Iterator[Target]:
    """A gateway of its own, with ``more`` in its configuration."""
    with recording_server() as upstream, socket.create_server(("127.0.0.1", 0)) as played:
        config = folder / "gptme.toml"
        text = CONFIG.format(
            upstream=upstream.base_url,
            other=OTHER_KEY,
            literal=LITERAL_TOKEN,
            password=PASSWORD,
            played=played.getsockname()[1],
        )
        config.write_text(text + more)
        config.chmod(0o600)
        environ = {
            **gateway_environ(),
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "ADAPTER_CONFIG": str(config),
            "FIRST_KEY": KEY,
            "HEADER_TOKEN": HEADER_TOKEN,
            "ANTHROPIC_API_KEY": VARIABLE,
            # some of LiteLLM's routes ask the internet; nothing leaves this machine
            **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:1"),
            "NO_PROXY": "127.0.0.1",
        }
        start = run_apart(environ, "serve", "--detach", "--port", "0")
        assert start.returncode == 0, start.stderr
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("XDG_RUNTIME_DIR", str(folder))
                (gateway,) = running()
            yield Target(upstream, played, gateway, routes.http, routes.sockets)
        finally:
            run_apart(environ, "serve", "--stop")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, routes: Routes) -> Iterator[Target]:
    with started(tmp_path_factory.mktemp("attacks"), "", routes) as target:
        yield target


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory, routes: Routes) -> Iterator[Target]:
    """A gateway whose configuration opens all of LiteLLM's routes."""
    more = '\n[plugin.litellm.gateway]\nroutes = "all"\n'
    with started(tmp_path_factory.mktemp("opened"), more, routes) as target:
        yield target


@pytest.fixture
def target(shared: Target) -> Target:
    shared.upstream.requests.clear()
    shared.upstream.script = None
    return shared


def chat(model: str = "groq", **params: Any) -> bytes:
    messages = [{"role": "user", "content": "hi"}]
    return json.dumps({"model": model, "messages": messages, **params}).encode()


JSON = {"Content-Type": "application/json"}


def log_of(target: Target) -> str:
    assert target.gateway.log is not None
    return Path(target.gateway.log).read_text()


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


# ---- keys


def flipped(key: str) -> str:
    return key[:-1] + ("a" if key[-1] != "a" else "b")


WRONG: dict[str, Callable[[str], dict[str, str]]] = {
    "none": lambda key: {},
    "empty": lambda key: {"Authorization": ""},
    "no value": lambda key: {"Authorization": "Bearer "},
    "other": lambda key: bearer("sk-1234"),
    "a provider's": lambda key: bearer(KEY),
    "default": lambda key: bearer("default-key"),
    "prefix": lambda key: bearer(key[:-1]),
    "longer": lambda key: bearer(key + "a"),
    "other case": lambda key: bearer(key.swapcase()),
    "one character": lambda key: bearer(flipped(key)),
    "without sk-": lambda key: bearer(key[3:]),
    "space inside": lambda key: bearer(f"{key[:9]} {key[9:]}"),
    "space before": lambda key: bearer(f" {key}"),
    "twice": lambda key: bearer(f"{key}, {key}"),
    "Basic": lambda key: {"Authorization": "Basic " + b64encode(flipped(key).encode()).decode()},
    "Digest": lambda key: {"Authorization": f"Digest {key}"},
    "x-api-key": lambda key: {"x-api-key": flipped(key)},
    "api-key": lambda key: {"api-key": flipped(key)},
    "x-goog-api-key": lambda key: {"x-goog-api-key": flipped(key)},
    "Azure": lambda key: {"Ocp-Apim-Subscription-Key": flipped(key)},
    "LiteLLM": lambda key: {"x-litellm-api-key": f"Bearer {flipped(key)}"},
    "cookie": lambda key: {"Cookie": f"token={key}"},
    "non-ASCII": lambda key: bearer("\xff" * len(key)),
}
"""Headers of a client without the key, made from the key."""


def test_all_of_litellms_routes_are_known(
    target: Target, record_property: Callable[[str, object], None]
) -> None:
    known = {
        *(("POST", "/v1/chat/completions"), ("GET", "/v1/models"), ("GET", "/model/info")),
        *(("POST", "/anthropic/groq"), ("GET", "/config/yaml"), ("POST", "/key/generate")),
        *(("POST", "/v1/messages"), ("GET", "/public/model_hub"), ("GET", "/routes")),
    }
    assert known <= target.routes
    assert "/v1/realtime" in target.sockets
    count = f"{len(target.routes)} routes and methods, {len(target.sockets)} WebSocket paths"
    record_property("figure", f"LiteLLM's proxy: {count}, each asked without its key")


@pytest.mark.parametrize("wrong", ["none", "one character"])
def test_no_route_answers_without_the_key(target: Target, wrong: str) -> None:
    headers = {**JSON, **WRONG[wrong](target.gateway.key)}
    answered = {}
    connection = target.connect()
    for method, path in sorted(target.routes):
        body = None if method in ("GET", "HEAD") else chat()
        status, _, data = exchange(connection, method, path, headers, body)
        if status != 401 or (b"this gateway needs its key" not in data and method != "HEAD"):
            answered[method, path] = data
    connection.close()
    assert answered == PUBLIC
    assert not target.upstream.requests


ANSWERED = {
    *(
        ("POST", f"{version}/{call}")
        for version in ("", "/v1")
        for call in (
            *("chat/completions", "completions", "embeddings", "responses", "moderations"),
            *("rerank", "images/generations", "images/edits"),
            *("audio/speech", "audio/transcriptions"),
        )
    ),
    *(
        ("POST", f"{base}/groq/{call}")
        for base in ("/engines", "/openai/deployments")
        for call in ("chat/completions", "completions", "embeddings")
    ),
    *(
        ("POST", f"{base}/groq:{verb}")
        for base in ("/models", "/v1beta/models")
        for verb in ("generateContent", "streamGenerateContent", "countTokens")
    ),
    *(("POST", "/v1/messages"), ("POST", "/v1/messages/count_tokens"), ("POST", "/v2/rerank")),
    *(("GET", f"{version}/models{name}") for version in ("", "/v1") for name in ("", "/groq")),
    *(("GET", f"{version}/model/info") for version in ("", "/v1", "/v2")),
    *(("GET", "/model_group/info"), ("GET", "/health")),
    *(
        (method, f"/health/{probe}")
        for method in ("GET", "OPTIONS")
        for probe in ("readiness", "liveliness", "liveness")
    ),
}
"""All that is answered with the key: a route that a newer LiteLLM adds is not."""


def test_only_the_routes_of_a_gateway_are_answered(target: Target) -> None:
    headers = {**JSON, **bearer(target.gateway.key)}
    answered = set()
    connection = target.connect()
    for method, path in sorted(target.routes - ANSWERED):
        body = None if method in ("GET", "HEAD") else chat()
        status, _, data = exchange(connection, method, path, headers, body)
        if status != 404 or (b"this gateway does not answer" not in data and method != "HEAD"):
            answered.add((method, path))
    connection.close()
    assert answered == set()
    assert target.routes >= ANSWERED
    assert not target.upstream.requests
    for method, path in sorted(ANSWERED - {("GET", "/health")}):
        body = None if method == "GET" else chat()
        assert b"this gateway does not answer" not in target.send(method, path, headers, body)[2]


REFERENCE = "os.environ/ANTHROPIC_API_KEY"


@pytest.mark.parametrize(
    "path",
    [
        *("/cache/settings/test", "/coordination_redis/settings/test", "/v1/chat/completions"),
        *("/config/update", "/health/test_connection", "/model/new"),
    ],
)
def test_no_route_sends_a_variable_of_the_gateway(
    target: Target, opened: Target, path: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        settings = {
            "type": "redis",
            "host": "127.0.0.1",
            "port": str(listener.getsockname()[1]),
            "password": REFERENCE,
        }
        body = {"cache_settings": settings, "coordination_redis_settings": settings, **settings}
        for gateway in (target, opened):
            headers = {**JSON, **bearer(gateway.gateway.key)}
            for data in (json.dumps(body), json.dumps(body).replace("os.", "\\u006fs.")):
                status, _, answer = gateway.send("POST", path, headers, data)
                closed = gateway is target and "chat" not in path
                assert status == (404 if closed else 400), answer
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_request_does_not_say_where_it_goes(target: Target, opened: Target) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        fields: list[dict[str, Any]] = [
            *({"custom_llm_provider": name} for name in ("replicate", "bytez", "openai")),
            *({name: url} for name in ("api_base", "base_url", "aws_sts_endpoint")),
            *({name: url} for name in ("langfuse_host", "s3_endpoint_url", "sagemaker_base_url")),
            {"user_config": {"model_list": [{"model_name": "groq", "litellm_params": {}}]}},
            {"model_list": [{"model": "groq", "api_base": url}]},
            {"metadata": {"api_base": url}},
            {"fallbacks": [{"model": "groq", "custom_llm_provider": "replicate"}]},
            {"use_litellm_proxy": True},
        ]
        for gateway in (target, opened):
            before = log_of(gateway)
            headers = {**JSON, **bearer(gateway.gateway.key)}
            for field in fields:
                for path in ("/v1/chat/completions", "/v1/embeddings", "/v1/responses"):
                    body = chat(input="q", **field)
                    status, _, data = gateway.send("POST", path, headers, body)
                    assert status == 400, (field, path, data)
                    assert b"cannot be set in a request" in data
            assert log_of(gateway) == before
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert not target.upstream.requests


@pytest.mark.parametrize("wrong", WRONG)
def test_a_key_that_is_not_quite_the_key_is_refused(target: Target, wrong: str) -> None:
    headers = {**JSON, **WRONG[wrong](target.gateway.key)}
    for method, path in (
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/messages"),
        ("POST", "/v1beta/models/groq:generateContent"),
        ("POST", "/openai/v1/chat/completions"),
        ("GET", "/v1/models"),
        ("GET", "/model/info"),
        ("GET", "/routes"),
        ("GET", "/no/such/route"),
    ):
        body = chat() if method == "POST" else None
        status, _, data = target.send(method, path, headers, body)
        assert (status, b"this gateway needs its key" in data) == (401, True), path
    assert not target.upstream.requests


@pytest.mark.parametrize("query", ["key={}", "api_key={}", "token={}", "key=a&key={}", "&" * 500])
def test_a_wrong_key_in_the_address_is_refused(target: Target, query: str) -> None:
    path = f"/v1beta/models/groq:generateContent?{query.format(flipped(target.gateway.key))}"
    assert target.send("POST", path, JSON, chat())[0] == 401
    assert not target.upstream.requests


RIGHT: dict[str, Callable[[str], dict[str, str]]] = {
    "Bearer": bearer,
    "bearer": lambda key: {"authorization": f"bearer {key}"},
    "x-api-key": lambda key: {"x-api-key": key},
    "api-key": lambda key: {"api-key": key},
    "x-goog-api-key": lambda key: {"x-goog-api-key": key},
    "Azure": lambda key: {"Ocp-Apim-Subscription-Key": key},
    "LiteLLM": lambda key: {"x-litellm-api-key": f"Bearer {key}"},
    "bEARER": lambda key: {"Authorization": f"bEARER {key}"},
    "alone": lambda key: {"Authorization": key},
    "Basic": lambda key: {"Authorization": f"Basic {key}"},
    "pair": lambda key: {"Authorization": "Basic " + b64encode(f"a:{key}".encode()).decode()},
    "AWS": lambda key: {"Authorization": f"AWS4-HMAC-SHA256 Credential={key}/2026/x, S=1"},
    "of my own": lambda key: {"X-Mine": key},
    "beside another": lambda key: {"Authorization": "Bearer sk-other", "x-api-key": key},
    "address": lambda key: {},
}


@pytest.mark.parametrize("place", RIGHT)
def test_the_key_may_stand_wherever_litellm_looks(target: Target, place: str) -> None:
    headers = {**JSON, **RIGHT[place](target.gateway.key)}
    query = f"?key={target.gateway.key}" if place == "address" else ""
    for path in ("/v1/chat/completions", "/v1/embeddings", "/v1/messages"):
        target.upstream.requests.clear()
        body = chat(input="q", max_tokens=5)
        status, _, data = target.send("POST", f"{path}{query}", headers, body)
        assert (status, b"0.5" in data or b"Hello, world" in data) == (200, True), data
        assert target.upstream.only.key == KEY


def test_clients_of_other_kinds_work_with_the_key(target: Target) -> None:
    headers = {**JSON, "x-api-key": target.gateway.key, "anthropic-version": "2023-06-01"}
    body = chat(max_tokens=5)
    status, _, data = target.send("POST", "/v1/messages", headers, body)
    assert (status, b"Hello, world" in data) == (200, True), data
    path = f"/v1beta/models/groq:generateContent?key={target.gateway.key}"
    google = json.dumps({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}).encode()
    status, _, data = target.send("POST", path, JSON, google)
    assert (status, b"Hello, world" in data) == (200, True), data
    with openai.OpenAI(base_url=f"{target.gateway.url}/v1", api_key=target.gateway.key) as client:
        assert client.models.list().data


# ---- answers


def test_no_answer_holds_a_key(opened: Target) -> None:
    """Every GET route, and the POST routes that tell of models; with the right key."""
    target = opened
    headers = {**JSON, **bearer(target.gateway.key), "Accept-Encoding": "gzip, deflate, br, zstd"}
    asked = [(m, p) for m, p in target.routes if m == "GET" and not p.startswith("/health/drain")]
    asked += [(m, p) for m, p in target.routes if m == "POST" and "info" in p]
    asked += [("GET", f"/model/info?litellm_model_id={n}") for n in ("groq", "x")]
    found, told = [], b""
    connection = target.connect()
    for method, path in sorted(asked):
        body = chat() if method == "POST" else None
        try:
            status, given, data = exchange(connection, method, path, headers, body)
        except (OSError, http.client.HTTPException):  # such as a stream without end
            connection.close()
            continue
        if given.get("content-encoding"):
            found.append((path, "is compressed"))
        whole = repr(given).encode() + data
        told += data if status == 200 else b""
        found += [(path, s) for s in (*SECRETS, target.gateway.key) if s.encode() in whole]
    connection.close()
    assert found == []
    assert b'"extra_headers"' in told  # LiteLLM does show them: /model/info
    assert b"***" in told


def test_a_server_that_sends_its_key_back_does_not_get_it_through(target: Target) -> None:
    headers = {**JSON, **bearer(target.gateway.key)}
    echo = {"X-Echo": OTHER_KEY, "X-Token": HEADER_TOKEN}
    target.upstream.script = lambda request: Reply(401, {"error": {"message": OTHER_KEY}}, echo)
    for gzip in ({}, {"Accept-Encoding": "gzip"}):
        sent = {**headers, **gzip}
        status, given, data = target.send("POST", "/v1/chat/completions", sent, chat("vllm-local"))
        assert status == 401
        assert not [s for s in SECRETS if s in repr(given) + data.decode()]
        assert b"***" in data


def test_a_key_in_a_stream_is_hidden_however_it_is_cut(target: Target) -> None:
    pieces = [chat_chunk({"content": f"it is {OTHER_KEY}, yes"}), b"data: [DONE]\n\n"]
    target.upstream.script = lambda request: Reply(200, iter(pieces))
    headers = {**JSON, **bearer(target.gateway.key)}
    body = chat("vllm-local", stream=True)
    status, _, data = target.send("POST", "/v1/chat/completions", headers, body)
    assert status == 200
    assert b"it is ***, yes" in data
    assert OTHER_KEY.encode() not in data


# ---- web pages

SITE = "https://evil.example"
FOREIGN: dict[str, dict[str, str]] = {
    "another origin": {"Origin": SITE},
    "an opaque origin": {"Origin": "null"},
    "another scheme": {"Origin": "evil://127.0.0.1"},
    "a host with a scheme": {"Host": "evil://127.0.0.1"},
    "a name like ours": {"Origin": "http://localhost.evil.example"},
    "a name before an at sign": {"Origin": "http://127.0.0.1@evil.example"},
    "another host": {"Host": "evil.example"},
    "another host with our port": {"Host": "evil.example:4000"},
    "an address of this network": {"Host": "192.168.1.2"},
    "an extension": {"Origin": "chrome-extension://abcdefgh"},
    "a link": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    "an image": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    "a form": {"Origin": SITE, "Content-Type": "text/plain"},
    "a form of ours": {"Origin": "null", "Content-Type": "application/x-www-form-urlencoded"},
}


@pytest.mark.parametrize("page", FOREIGN)
@pytest.mark.parametrize("keyed", [True, False])
def test_a_web_page_cannot_drive_it(target: Target, page: str, keyed: bool) -> None:
    headers = {**JSON, **(bearer(target.gateway.key) if keyed else {}), **FOREIGN[page]}
    for method, path in (
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/models"),
        ("GET", "/health/liveliness"),
        ("GET", "/"),
    ):
        body = chat() if method == "POST" else None
        status, given, _ = target.send(method, path, headers, body)
        assert status == 403, path
        assert not [name for name in given if name.startswith("access-control-")]
    assert not target.upstream.requests


@pytest.mark.parametrize("origin", [SITE, "null", "http://localhost:3000"])
@pytest.mark.parametrize("keyed", [True, False])
def test_a_preflight_permits_nothing(target: Target, origin: str, keyed: bool) -> None:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
        "Access-Control-Request-Private-Network": "true",
        **(bearer(target.gateway.key) if keyed else {}),
    }
    for path in ("/v1/chat/completions", "/model/info", "/config/update", "/health/liveliness"):
        given = target.send("OPTIONS", path, headers)[1]
        assert "access-control-allow-origin" not in given
        assert given.get("access-control-allow-credentials") != "true"


@pytest.mark.parametrize("host", ["127.0.0.1:{}", "localhost:{}", "[::1]:{}", "LOCALHOST"])
@pytest.mark.parametrize("origin", [None, "http://localhost:3000", "http://127.0.0.1"])
def test_programs_of_this_machine_go_on_working(
    target: Target, host: str, origin: str | None
) -> None:
    headers = {**bearer(target.gateway.key), "Host": host.format(target.gateway.port)}
    if origin:
        headers |= {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    assert target.send("GET", "/v1/models", headers)[0] == 200


def upgrade(path: str, *lines: str, host: str = "127.0.0.1") -> bytes:
    """Return the opening of a WebSocket (RFC 6455, 4.1)."""
    head = [
        *(f"GET {path}?model=groq HTTP/1.1", f"Host: {host}", "Upgrade: websocket"),
        *("Connection: Upgrade", "Sec-WebSocket-Version: 13"),
        *("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *lines, "", ""),
    ]
    return "\r\n".join(head).encode()


def test_no_websocket_opens_without_the_key_or_from_a_page(target: Target) -> None:
    assert target.sockets
    key = target.gateway.key
    protocol = f"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{flipped(key)}"
    for path in sorted(target.sockets):
        for opening in (
            upgrade(path),
            upgrade(path, f"Authorization: Bearer {flipped(key)}"),
            upgrade(path, protocol),
            upgrade(path, f"Authorization: Bearer {key}", f"Origin: {SITE}"),
            upgrade(path, f"Authorization: Bearer {key}", "Origin: null"),
            upgrade(path, f"Authorization: Bearer {key}", host="evil.example"),
        ):
            assert target.raw(opening).startswith(b"HTTP/1.1 403 "), (path, opening)
    assert not target.upstream.requests


# ---- requests out of shape


@pytest.mark.parametrize(
    "path",
    [
        "//v1/models",
        "/v1/models/",
        "/V1/MODELS",
        "/health/../config/yaml",
        "/health/liveliness/../../v1/models",
        "/health/%2e%2e/v1/models",
        "/health/liveliness%2f..%2f..%2fv1/models",
        "/health/liveliness/",
        "/health/liveliness;/v1/models",
        "/health/liveliness%00",
        "/HEALTH/LIVELINESS",
        "//health/liveliness",
        "/v1/models?/health/liveliness",
        "/v1/models#/health/liveliness",
        "http://127.0.0.1/v1/models",
        "http://evil.example/health/liveliness",
        "*",
    ],
)
def test_no_spelling_of_a_path_goes_past_the_key(target: Target, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    answer = target.raw(request)
    assert answer.startswith((b"HTTP/1.1 401 ", b"HTTP/1.1 400 ")), answer
    assert b"groq" not in answer


BODY = chat()
LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
INNER = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n"

SHAPES: dict[str, tuple[bytes, tuple[int | None, ...]]] = {
    # one request of a client without the key, each in a form that some server misreads; ``None``
    # where the connection may end without an answer
    "two Host headers": (b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nHost: x\r\n\r\n", (400,)),
    "no Host": (b"GET /v1/models HTTP/1.1\r\n\r\n", (400,)),
    "HTTP/1.0 without Host": (b"GET /v1/models HTTP/1.0\r\n\r\n", (401,)),
    "HTTP/0.9": (b"GET /v1/models\r\n", (400, 401, None)),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 401)),
    "header folded": (
        b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX: a\r\n Authorization: b\r\n\r\n",
        (400, 401),
    ),
    "line break in the path": (
        b"GET /v1/models\r\nAuthorization: x HTTP/1.1\r\nHost: localhost\r\n\r\n",
        (400,),
    ),
    "bare line feeds in a value": (
        b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX: a\nAuthorization: b\r\n\r\n",
        (400, 401),
    ),
    "space before the colon": (
        b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization : x\r\n\r\n",
        (400,),
    ),
    "length and chunks": (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED,
        (400, 401),
    ),
    "two lengths": (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
        b"Content-Length: 6\r\n\r\n" + BODY,
        (400,),
    ),
    "a length that is none": (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: +5\r\n\r\n",
        (400,),
    ),
    "an unknown coding": (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKED,
        (400, 501),
    ),
    "giant header": (
        b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        (400, 431, None),
    ),
    "many headers": (
        b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n"
        + b"Authorization: a\r\n" * 2000
        + b"\r\n",
        (400, 401, 431),
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_request_out_of_shape_gets_nothing(target: Target, shape: str) -> None:
    request, statuses = SHAPES[shape]
    answer = target.raw(request)
    assert (int(answer.split()[1]) if answer else None) in statuses, answer
    assert b"groq" not in answer
    assert not target.upstream.requests
    assert target.send("GET", "/v1/models", bearer(target.gateway.key))[0] == 200


def test_of_two_keys_a_wrong_one_first_is_refused(target: Target) -> None:
    key = target.gateway.key
    lines = [f"Authorization: Bearer {k}" for k in (flipped(key), key)]
    head = "\r\n".join(["GET /v1/models HTTP/1.1", "Host: localhost", *lines])
    answer = target.raw(f"{head}\r\nConnection: close\r\n\r\n".encode())
    assert not answer.startswith(b"HTTP/1.1 200 "), answer
    assert b"groq" not in answer


def test_a_request_hidden_in_a_body_is_not_carried_out(target: Target) -> None:
    """The body of a refused request is no second request on the connection."""
    inner = INNER.replace(b"{key}", target.gateway.key.encode())
    outer = f"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(inner)}\r\n\r\n"
    answer = target.raw(outer.encode() + inner)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"groq" not in answer


@pytest.mark.parametrize("size", [100 * 1024 * 1024, 2**62])
def test_a_large_body_is_refused_before_it_is_sent(target: Target, size: int) -> None:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}"
    with socket.create_connection(("127.0.0.1", target.gateway.port), PATIENCE) as connection:
        connection.sendall(f"{head}\r\nExpect: 100-continue\r\n\r\n".encode())
        with connection.makefile("rb") as file:
            assert file.readline().startswith(b"HTTP/1.1 401 ")


def read_request(connection: socket.socket) -> bytes:
    """Read a request and return its first line."""
    with connection.makefile("rb") as file:
        first, length = file.readline(), 0
        while line := file.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        file.read(length)
    return first


BEGUN = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    + chat_chunk({"role": "assistant", "content": "Hel"})
)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_ends_the_request_to_the_server(target: Target, stream: bool) -> None:
    before = log_of(target)
    target.played.settimeout(PATIENCE)
    body = chat("played", stream=stream)
    head = [
        *("POST /v1/chat/completions HTTP/1.1", "Host: localhost"),
        *(f"Authorization: Bearer {target.gateway.key}", "Content-Type: application/json"),
        *(f"Content-Length: {len(body)}", "", ""),
    ]
    with socket.create_connection(("127.0.0.1", target.gateway.port), PATIENCE) as client:
        client.sendall("\r\n".join(head).encode() + body)
        server, _ = target.played.accept()
        while not read_request(server).startswith(b"POST "):  # for models, as the gateway started
            server.close()
            server, _ = target.played.accept()
        with server:
            server.settimeout(PATIENCE)
            if stream:
                server.sendall(BEGUN)
                assert b"200 OK" in client.recv(65536)
            client.close()
            with suppress(ConnectionError):
                assert server.recv(1) == b""
    assert "Traceback" not in log_of(target)[len(before) :]


def test_a_body_without_end_is_cut_off(target: Target) -> None:
    """Its chunks are no longer taken once they are more than a request may have."""
    head = [
        *("POST /v1/chat/completions HTTP/1.1", "Host: localhost", "Transfer-Encoding: chunked"),
        *(f"Authorization: Bearer {target.gateway.key}", "Content-Type: application/json", "", ""),
    ]
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    sent = 0
    with socket.create_connection(("127.0.0.1", target.gateway.port), PATIENCE) as connection:
        connection.sendall("\r\n".join(head).encode())
        with suppress(ConnectionError):
            while sent < 1024:
                connection.sendall(chunk)
                sent += 1
    assert sent < 1024


def test_no_escape_of_a_server_reaches_the_log(target: Target) -> None:
    escapes = "\033]0;owned\007\033[2J\u202eabc\x9b31m and more"
    target.upstream.fail(500, escapes)
    headers = {**JSON, **bearer(target.gateway.key)}
    assert target.send("POST", "/v1/chat/completions", headers, chat())[0] == 500
    log = log_of(target)
    assert "and more" in log
    assert [c for c in log if not c.isprintable() and c != "\n"] == []


def test_its_log_says_nothing_of_a_key(target: Target) -> None:
    """The last of these tests: what all the others made it write."""
    log = log_of(target)
    assert not [s for s in (*SECRETS, target.gateway.key) if s in log]

"""A real LiteLLM Proxy, started by ``adapter serve --detach``, and queries through it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest

from adapter.config.loading import load_config
from adapter.gateway.runtime import Gateway, is_alive, running
from tests.command import PATIENCE, Outcome, gateway_environ, provider, run, run_apart
from tests.recorder import Recorder, Reply, chat_reply, chat_stream, recording_server
from tests.waiting import come_to, is_running

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

KEY, OTHER_KEY = "sk-canary-of-groq-123456", "canary-without-prefix-123456"
OPENAI_KEY = "sk-canary-of-openai-123456"

CONFIG = """\
[[providers]]
name = "groq"
base_url = "{first}"
api_key_env = "FIRST_KEY"
default_model = "openai/gpt-oss-20b"

[[providers]]
name = "vllm-local"
base_url = "{second}"
api_key = "{other_key}"
default_model = "org/model:free"

[[providers]]
name = "openai"
base_url = "{second}"

[[providers]]
name = "refused"
base_url = "http://127.0.0.1:1/v1"
default_model = "m"

[[providers]]
name = "keyless"
base_url = "http://127.0.0.1:1/v1"
api_key_env = "NEVER_SET"

[[providers]]
name = "raw"
base_url = "http://127.0.0.1:{raw}/v1"

[[providers]]
name = "hurried"
base_url = "{second}"
default_model = "m"

[plugin.litellm.providers.vllm-local]
max_tokens = 77
num_retries = 2
extra_headers = {{ "X-Team" = "blue", "X-Tok" = "$HEADER_TOKEN" }}

[plugin.litellm.providers.hurried]
timeout = 0.4

[plugin.litellm.router_settings]
routing_strategy = "no-such-strategy"
enable_cost_tracking = true

[plugin.litellm.router_settings.model_group_alias]
claude-sonnet-4-6 = {{ model = "groq/x/aliased:1", hidden = true }}
"""

HEADER_TOKEN = "canary-of-a-header-123456"


class Setup(NamedTuple):
    """A running gateway with two upstream servers."""

    first: Recorder
    second: Recorder
    gateway: Gateway
    started: subprocess.CompletedProcess[str]
    raw: socket.socket
    environ: dict[str, str]

    def ask(self, key: str | None, body: Any = None, path: str = "/v1/chat/completions") -> Any:
        """Send a request as any HTTP client would; return the response, read."""
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=PATIENCE)
        headers = {"Content-Type": "application/json"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        sent = json.dumps(body) if body else None
        connection.request("POST" if body else "GET", path, sent, headers)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response.status, data


def serve(environ: dict[str, str], *args: str) -> subprocess.CompletedProcess[str]:
    return run_apart(environ, "serve", *args)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    folder = tmp_path_factory.mktemp("gateway")
    with (
        recording_server() as first,
        recording_server() as second,
        socket.create_server(("127.0.0.1", 0)) as raw,
    ):
        config = folder / "gptme.toml"
        config.write_text(
            CONFIG.format(
                first=first.base_url,
                second=second.base_url,
                other_key=OTHER_KEY,
                raw=raw.getsockname()[1],
            )
        )
        config.chmod(0o600)
        environ = {
            **gateway_environ(),
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "ADAPTER_CONFIG": str(config),
            "FIRST_KEY": KEY,
            "HEADER_TOKEN": HEADER_TOKEN,
            "NO_PROXY": "*",
            # none of these may reach a provider, nor change what the gateway does
            "OPENAI_API_KEY": OPENAI_KEY,
            "OPENAI_ORG_ID": "org-secret",
            "OPENAI_PROJECT_ID": "proj-secret",
            "OPENAI_CUSTOM_HEADERS": "X-Secret: yes",
            "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
            "CONFIG_FILE_PATH": "/nonexistent.yaml",
        }
        started = serve(environ, "--detach", "--port", "0")
        assert started.returncode == 0, started.stderr
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_RUNTIME_DIR", str(folder))
            (gateway,) = running()
        try:
            yield Setup(first, second, gateway, started, raw, environ)
        finally:
            serve(environ, "--stop")


@pytest.fixture
def setup(shared: Setup, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setup]:
    for name in (
        *("XDG_RUNTIME_DIR", "ADAPTER_CONFIG", "FIRST_KEY", "OPENAI_API_KEY", "HEADER_TOKEN"),
    ):
        monkeypatch.setenv(name, shared.environ[name])
    for recorder in (shared.first, shared.second):
        recorder.requests.clear()
        recorder.script = None
    yield shared
    assert is_alive(shared.gateway)


def chat(model: str, **params: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], **params}


# ---- starting


def test_the_start_up_text_says_how_to_call_it_without_a_key(setup: Setup) -> None:
    out = setup.started.stdout
    assert f"Gateway: {setup.gateway.url} (LiteLLM Proxy, pid {setup.gateway.pid})" in out
    assert "groq, vllm-local, refused, hurried, groq/MODEL, vllm-local/MODEL, openai/MODEL" in out
    assert f"curl {setup.gateway.url}/v1/chat/completions" in out
    assert setup.gateway.key not in out + setup.started.stderr
    assert "left out: provider 'keyless' takes its key from $NEVER_SET" in setup.started.stderr


def test_the_curl_command_works_as_printed(setup: Setup) -> None:
    lines = setup.started.stdout.split("\n\n")[1]
    environ = {**setup.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", lines], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == "Hello, world"
    assert setup.first.only.key == KEY


def test_files_are_private_and_hold_no_provider_key(setup: Setup) -> None:
    folder = Path(setup.environ["XDG_RUNTIME_DIR"], "gptme-litellm")
    assert folder.stat().st_mode & 0o777 == 0o700
    files = list(folder.iterdir())
    assert {f.suffix for f in files} == {".json", ".yaml", ".log"}
    for file in files:
        text = file.read_text()
        assert file.stat().st_mode & 0o777 == 0o600
        assert KEY not in text
        assert OTHER_KEY not in text
        assert (setup.gateway.key in text) is (file.suffix == ".json")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_key_is_in_an_argument(setup: Setup) -> None:
    argv = Path(f"/proc/{setup.gateway.pid}/cmdline").read_text()
    for key in (KEY, OTHER_KEY, setup.gateway.key):
        assert key not in argv


def test_a_second_gateway_on_the_port_is_refused(setup: Setup) -> None:
    done = serve(setup.environ, "--port", str(setup.gateway.port))
    assert done.returncode == 2
    assert f"a gateway already runs at {setup.gateway.url}" in done.stderr
    assert "Traceback" not in done.stderr


def test_status_shows_it(setup: Setup) -> None:
    shown = run("serve", "--status")
    assert shown.code == 0
    assert f"Gateway: {setup.gateway.url} (pid {setup.gateway.pid}, in the background" in shown.out
    assert "(up to date)" in shown.out
    assert setup.gateway.key not in shown.out + shown.err


def test_the_key_is_printed_on_request(setup: Setup) -> None:
    assert run("serve", "--key") == Outcome(0, f"{setup.gateway.key}\n", "")


# ---- routing


@pytest.mark.parametrize(
    ("model", "server", "key", "wire_model"),
    [
        ("groq", "first", KEY, "openai/gpt-oss-20b"),
        ("groq/a/b/c:d", "first", KEY, "a/b/c:d"),
        ("vllm-local", "second", OTHER_KEY, "org/model:free"),
        ("vllm-local/other", "second", OTHER_KEY, "other"),
        ("openai/gpt-4o", "second", OPENAI_KEY, "gpt-4o"),  # ${PROVIDER}_API_KEY of `openai`
        ("openai/openai/x", "second", OPENAI_KEY, "openai/x"),
        ("claude-sonnet-4-6", "first", KEY, "x/aliased:1"),
    ],
)
def test_every_name_reaches_its_base_with_its_key(
    setup: Setup, model: str, server: str, key: str, wire_model: str
) -> None:
    status, data = setup.ask(setup.gateway.key, chat(model))
    assert status == 200, data
    received: Recorder = getattr(setup, server)
    assert received.only.path == "/v1/chat/completions"
    assert received.only.key == key
    assert received.only.body["model"] == wire_model
    foreign = {"openai-organization", "openai-project", "x-secret"}
    assert not foreign & received.only.headers.keys()


def test_extras_go_with_the_request(setup: Setup) -> None:
    setup.ask(setup.gateway.key, chat("vllm-local"))
    assert setup.second.only.body["max_tokens"] == 77
    assert setup.second.only.headers["x-team"] == "blue"


def test_the_openai_sdk_streams_through_it(setup: Setup) -> None:
    client = openai.OpenAI(base_url=f"{setup.gateway.url}/v1", api_key=setup.gateway.key)
    with client:
        stream = client.chat.completions.create(**chat("groq"), stream=True)
        words = [chunk.choices[0].delta.content for chunk in stream if chunk.choices]
    assert [w for w in words if w] == ["Hello", ", ", "world"]
    assert setup.first.only.key == KEY


def test_it_lists_the_configured_models_only(setup: Setup) -> None:
    status, data = setup.ask(setup.gateway.key, path="/v1/models")
    assert status == 200
    listed = sorted(m["id"] for m in json.loads(data)["data"])
    assert listed == ["groq", "hurried", "refused", "vllm-local"]


@pytest.mark.parametrize("stream", [False, True])
def test_it_does_not_follow_a_server_to_another_host(setup: Setup, stream: bool) -> None:
    """The prompt and the configured headers would go there."""
    target = f"{setup.first.origin}/v1/chat/completions"
    setup.second.script = lambda request: Reply(307, b"", {"Location": target})
    status, _ = setup.ask(setup.gateway.key, chat("vllm-local", stream=stream))
    assert status >= 400
    assert setup.second.requests
    assert not setup.first.requests


@pytest.mark.parametrize(
    "model", ["gpt-5-codex", "o1-pro", "responses/x", "gpt-mini-latest", "a:b"]
)
def test_a_model_id_arrives_as_it_is(setup: Setup, model: str) -> None:
    status, data = setup.ask(setup.gateway.key, chat(f"groq/{model}"))
    assert (status, setup.first.only.path) == (200, "/v1/chat/completions"), data
    assert setup.first.only.body["model"] == model


# ---- who may ask


@pytest.mark.parametrize("wrong", [None, "", "sk-1234", "near", "upstream"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/model/info"])
def test_a_wrong_key_is_refused(setup: Setup, wrong: str | None, path: str) -> None:
    near = {"near": setup.gateway.key[:-1], "upstream": KEY}.get(wrong or "", wrong)
    body = chat("groq") if path.endswith("completions") else None
    status, data = setup.ask(near, body, path)
    assert status in (400, 401, 403, 500)
    assert b"Hello" not in data
    assert not setup.first.requests


@pytest.mark.parametrize("name", ["Host", "Origin"])
def test_a_web_page_cannot_reach_it(setup: Setup, name: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", setup.gateway.port, timeout=PATIENCE)
    value = "http://evil.example" if name == "Origin" else "evil.example"
    headers = {name: value, "Authorization": f"Bearer {setup.gateway.key}"}
    connection.request("GET", "/v1/models", headers=headers)
    response = connection.getresponse()
    assert response.status == 403
    assert "access-control-allow-origin" not in response.headers
    connection.close()


# ---- what it was started with, and as a proxy to ask


def test_a_rotated_key_makes_it_stale(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_KEY", "sk-rotated")
    assert "stale" in run("serve", "--status").out


def test_a_changed_file_makes_it_stale(setup: Setup, tmp_path: Path) -> None:
    path = Path(setup.environ["ADAPTER_CONFIG"])
    text = path.read_text()
    try:
        path.write_text(text.replace("gpt-oss-20b", "gpt-oss-120b"))
        done = run("serve", "--status")
    finally:
        path.write_text(text)
    assert "stale" in done.out


def test_it_can_be_named_as_any_litellm_proxy(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITELLM_PROXY_API_KEY", setup.gateway.key)
    for url in (setup.gateway.url, f"{setup.gateway.url}/v1/"):
        done = run("-m", "groq", "-v", "--gateway", url, "hi")
        assert (done.code, done.out) == (0, "Hello, world\n")
        assert f"provider gateway, model groq, base_url {url}, key $LITELLM" in done.err
    monkeypatch.setenv("LITELLM_PROXY_API_BASE", setup.gateway.url)
    assert run("-m", "groq", "hi").out == "Hello, world\n"


def test_a_wrong_key_for_a_named_proxy(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_PROXY_API_KEY", "sk-wrong-but-long-enough")
    done = run("-m", "groq", "--gateway", setup.gateway.url, "hi")
    assert done.code != 0
    assert f"provider 'gateway' ({setup.gateway.url}, key $LITELLM_PROXY_API_KEY)" in done.err
    assert not setup.first.requests


def test_its_log_holds_no_key(setup: Setup) -> None:
    for key, model, recorder in ((KEY, "groq", setup.first), (OTHER_KEY, "openai", setup.second)):
        recorder.fail(500, f"your key {key} is bad")
        setup.ask(setup.gateway.key, chat(f"{model}/m"))
    assert setup.gateway.log is not None
    log = Path(setup.gateway.log).read_text()
    assert "is bad" in log
    for key in (KEY, OTHER_KEY, setup.gateway.key):
        assert key not in log


@pytest.mark.parametrize("path", ["/model/info", "/v1/model/info"])
def test_no_route_tells_a_providers_secret(setup: Setup, path: str) -> None:
    status, data = setup.ask(str(setup.gateway.key), path=path)
    assert status == 200
    assert b"vllm-local" in data
    assert not [s for s in (KEY, OTHER_KEY, HEADER_TOKEN) if s.encode() in data]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/messages"])
def test_no_route_passes_on_a_key_that_a_server_repeats(setup: Setup, path: str) -> None:
    setup.second.fail(401, f"your key is {OTHER_KEY}, and that is wrong")
    messages = [{"role": "user", "content": "q"}]
    body = {"model": "vllm-local", "messages": messages, "prompt": "q", "max_tokens": 5}
    status, data = setup.ask(str(setup.gateway.key), body, path)
    assert status >= 400
    assert OTHER_KEY.encode() not in data


def test_a_web_page_opens_no_websocket(setup: Setup) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", setup.gateway.port, timeout=PATIENCE)
    headers = {
        "Host": "evil.example",
        "Origin": "http://evil.example",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Authorization": f"Bearer {setup.gateway.key}",
    }
    connection.request("GET", "/v1/realtime?model=groq", headers=headers)
    assert connection.getresponse().status == 403
    connection.close()


def test_its_port_is_taken_on_any_address(setup: Setup) -> None:
    port = str(setup.gateway.port)
    done = serve(setup.environ, "--detach", "--host", "127.0.0.2", "--port", port)
    assert done.returncode == 2
    assert f"a gateway already runs at {setup.gateway.url}" in done.stderr
    assert [g.url for g in running()] == [setup.gateway.url]


# ---- ending; each starts a gateway of its own


def own_environ(setup: Setup, folder: Path) -> dict[str, str]:
    return {**setup.environ, "XDG_RUNTIME_DIR": str(folder)}


def test_a_killed_gateway_breaks_nothing(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = own_environ(setup, tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert serve(environ, "--detach", "--port", "0").returncode == 0
    (gateway,) = running()
    os.kill(gateway.pid, signal.SIGKILL)
    while is_alive(gateway):
        pass
    assert Path(gateway.path).exists()
    assert run("-m", "groq", "-v", "hi").out == "Hello, world\n"
    status = run("serve", "--status")
    assert (status.code, status.out) == (1, "")
    assert f"the gateway at {gateway.url} ended without being stopped" in status.err
    again = serve(environ, "--detach", "--port", str(gateway.port))
    assert again.returncode == 0, again.stderr
    (second,) = running()
    assert second.port == gateway.port
    stopped = serve(environ, "--stop")
    assert (stopped.returncode, "has ended" in stopped.stderr) == (0, True)
    assert not is_alive(second)
    assert [p.suffix for p in Path(tmp_path, "gptme-litellm").iterdir()] == [".log"]


def test_restart_keeps_address_key_and_workers(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "gptme.toml"
    environ = {**own_environ(setup, tmp_path), "ADAPTER_CONFIG": str(config)}
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    config.write_text(provider(setup.first.base_url, "one", api_key_env="FIRST_KEY"))
    address = ("--host", "127.0.0.2", "--port", "0")
    started = serve(environ, "--restart", *address, "--workers", "2")  # none runs: it starts one
    assert started.returncode == 0, started.stderr
    (first,) = running()
    try:
        config.write_text(provider(setup.first.base_url, "two", api_key_env="NOT_SET"))
        refused = serve(environ, "--restart")
        assert refused.returncode == 2
        assert refused.stderr.startswith("Error: there is nothing to serve: provider 'two'")
        assert is_alive(first)
        config.write_text(provider(setup.first.base_url, "two", default_model="m"))
        again = serve(environ, "--restart")
        assert again.returncode == 0, again.stderr
        (second,) = running()
        assert (second.url, second.host, second.workers) == (first.url, "127.0.0.2", 2)
        assert second.key == first.key
        assert second.pid != first.pid
        assert "Models:  two" in again.stdout
    finally:
        serve(environ, "--stop")


def in_the_foreground(setup: Setup, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "adapter", "serve", "--port", "0"],
        env=own_environ(setup, folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_sigterm_ends_a_gateway_in_the_foreground(setup: Setup, tmp_path: Path) -> None:
    with in_the_foreground(setup, tmp_path) as process:
        assert process.stdout is not None
        assert "Gateway: http://127.0.0.1:" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert list(Path(tmp_path, "gptme-litellm").iterdir()) == []


@pytest.mark.parametrize("starting", [True, False])
def test_ctrl_c_ends_a_gateway_in_the_foreground(
    setup: Setup, tmp_path: Path, starting: bool
) -> None:
    with in_the_foreground(setup, tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "Starting the gateway" in process.stderr.readline()
        folder = Path(tmp_path, "gptme-litellm")
        while starting and not list(folder.glob("*.yaml")):
            time.sleep(0.01)
        if not starting:
            assert "Gateway: http://127.0.0.1:" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert "Traceback" not in process.stderr.read()
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_a_gateway_in_the_foreground_ends_with_its_command(setup: Setup, tmp_path: Path) -> None:
    with in_the_foreground(setup, tmp_path) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.kill()
    pid = int(line.partition("pid ")[2].rstrip(")\n"))
    assert come_to(lambda: not is_running(pid))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_crash_at_start_is_one_message(setup: Setup, tmp_path: Path, workers: str) -> None:
    config = tmp_path / "gptme.toml"
    config.write_text(
        '[[providers]]\nname = "x"\nbase_url = "http://127.0.0.1:1/v1"\n'
        '[plugin.litellm.litellm_settings]\ncallbacks = ["no_such_module.handler"]\n'
    )
    environ = {**own_environ(setup, tmp_path), "ADAPTER_CONFIG": str(config)}
    done = serve(environ, "--detach", "--port", "0", "--workers", workers)
    assert done.returncode == 2
    assert "the gateway ended while it started" in done.stderr
    assert "no_such_module" in done.stderr
    assert "its log is" in done.stderr
    assert "Traceback" not in done.stderr
    assert load_config(config).settings


CACHED = """\
[[providers]]
name = "one"
base_url = "{one}"
api_key = "key-of-the-first"
default_model = "same/model"

[[providers]]
name = "two"
base_url = "{two}"
api_key = "key-of-the-second"
default_model = "same/model"

[plugin.litellm.litellm_settings]
cache = true
cache_params = {{ type = "local" }}
"""


def test_a_cached_answer_is_of_the_provider_that_is_asked(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiteLLM's cache knows a call by the model's id, which two providers may share."""
    config = tmp_path / "gptme.toml"
    config.write_text(CACHED.format(one=setup.first.base_url, two=setup.second.base_url))
    config.chmod(0o600)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    environ = {**own_environ(setup, tmp_path), "ADAPTER_CONFIG": str(config)}
    start = serve(environ, "--detach", "--port", "0")
    assert start.returncode == 0, start.stderr
    try:
        (gateway,) = running()
        cached = setup._replace(gateway=gateway)
        servers = {"one": setup.first, "two": setup.second}
        for name, recorder in servers.items():
            recorder.script = partial(answer_as, name)

        def ask(path: str, model: str, extra: dict[str, Any]) -> int:
            """Ask both providers; return how many requests reached a server."""
            for recorder in servers.values():
                recorder.requests.clear()
            for name in servers:
                body = chat(model.format(name), **extra)
                status, data = cached.ask(gateway.key, body, path)
                assert (status, answered_by(data)) == (200, name), (path, extra, model, data)
            return sum(len(recorder.requests) for recorder in servers.values())

        for path, extra in (
            ("/v1/chat/completions", {}),
            ("/v1/chat/completions", {"stream": True}),
            ("/v1/embeddings", {"input": "text"}),
        ):
            for model in ("{}", "{}/same/model", "{}/other"):
                assert ask(path, model, extra) == 2
                # LiteLLM writes what it caches when it has answered
                assert come_to(lambda again=(path, model, extra): ask(*again) == 0)  # type: ignore[misc]  # bound now
    finally:
        serve(environ, "--stop")


def answer_as(name: str, request: Any) -> Reply:
    """Answer so that :func:`answered_by` tells the server."""
    if request.path.endswith("/embeddings"):
        data = [{"object": "embedding", "index": 0, "embedding": [VALUES[name]]}]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return Reply(200, {"object": "list", "model": "m", "data": data, "usage": usage})
    if request.body.get("stream"):
        return Reply(200, chat_stream([f"said-by-{name}"]))
    return Reply(200, chat_reply(f"said-by-{name}"))


VALUES = {"one": 1.5, "two": 2.5}


def answered_by(data: bytes) -> str | None:
    text = data.decode()
    return next((n for n, v in VALUES.items() if f"said-by-{n}" in text or f"[{v}]" in text), None)

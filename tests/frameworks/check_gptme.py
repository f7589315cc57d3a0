"""gptme with models that only LiteLLM knows, and with this package in one environment.

``make frameworks`` runs this. Amazon's and Google's servers are played by one of this machine's;
LiteLLM's proxy, this package's gateway and gptme are the real ones.
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zlib import crc32

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.command import gateway_environ, run_apart
from tests.frameworks.__main__ import DECOYS, PAGE, QUIET, make_environment
from tests.recorder import ANSWER, Recorder, Reply, Request, recording_server

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

MASTER_KEY = "sk-master"
CLAUDE = "bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0"
GEMINI = "vertex_ai/gemini-2.5-flash"
USAGE = {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18}
ENTRY = """
[[providers]]
name = "{name}"
base_url = "{base_url}"
api_key_env = "{variable}"
"""


def event(kind: str, payload: dict[str, Any]) -> bytes:
    """Return an event of Amazon's binary streams (application/vnd.amazon.eventstream)."""
    fields = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        bytes([len(name)])
        + name.encode()
        + b"\x07"
        + struct.pack(">H", len(value))
        + value.encode()
        for name, value in fields.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", len(headers) + len(body) + 16, len(headers))
    message = prelude + struct.pack(">I", crc32(prelude)) + headers + body
    return message + struct.pack(">I", crc32(message))


def clouds(request: Request) -> Reply | None:
    """Answer as Bedrock's Converse, Vertex's generateContent and Google's tokens do."""
    if request.path.endswith("/converse"):
        message = {"role": "assistant", "content": [{"text": ANSWER}]}
        more = {"stopReason": "end_turn", "usage": USAGE, "metrics": {"latencyMs": 1}}
        return Reply(200, {"output": {"message": message}, **more})
    if request.path.endswith("/converse-stream"):
        deltas = [{"contentBlockIndex": 0, "delta": {"text": t}} for t in (ANSWER[:7], ANSWER[7:])]
        events = [
            event("messageStart", {"role": "assistant"}),
            *(event("contentBlockDelta", delta) for delta in deltas),
            event("contentBlockStop", {"contentBlockIndex": 0}),
            event("messageStop", {"stopReason": "end_turn"}),
            event("metadata", {"usage": USAGE, "metrics": {"latencyMs": 1}}),
        ]
        kind = "application/vnd.amazon.eventstream"
        return Reply(200, b"".join(events), {"Content-Type": kind})
    content = {"role": "model", "parts": [{"text": ANSWER}]}
    counts = {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18}
    said = {
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
        "usageMetadata": counts,
    }
    if ":generateContent" in request.path:
        return Reply(200, said)
    if ":streamGenerateContent" in request.path:
        data = f"data: {json.dumps(said)}\n\n".encode()
        return Reply(200, data, {"Content-Type": "text/event-stream"})
    if request.path == "/token":
        return Reply(200, {"access_token": "vertex-token", "expires_in": 3600})
    return None


@pytest.fixture(scope="module")
def cloud() -> Iterator[Recorder]:
    with recording_server() as server:
        server.script = clouds
        yield server


def write_account(path: Path, origin: str) -> None:
    """Write a service account of Google's whose tokens are of ``origin``."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "project_id": "my-project",
        "private_key_id": "1",
        "private_key": key.decode(),
        "client_email": "a@example.com",
        "token_uri": f"{origin}/token",
    }
    path.write_text(json.dumps(account), encoding="utf-8")


def page_config(cloud: Recorder) -> dict[str, Any]:
    """Return the page's config.yaml, with the servers of this machine for Amazon's and Google's."""
    page = PAGE.read_text(encoding="utf-8")
    block = re.search(r'```yaml title="config.yaml"\n(.*?)```', page, re.DOTALL)
    assert block is not None
    config: dict[str, Any] = yaml.safe_load(block[1])
    bedrock, vertex = (entry["litellm_params"] for entry in config["model_list"])
    bedrock["aws_bedrock_runtime_endpoint"] = cloud.origin
    vertex["api_base"] = f"{cloud.origin}/vertex"
    return config


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    (home / "run").mkdir(mode=0o700)
    return home


@pytest.fixture(scope="module")
def proxy(cloud: Recorder, home: Path) -> Iterator[str]:
    """The base of LiteLLM's own proxy on the page's configuration."""
    (home / "config.yaml").write_text(yaml.safe_dump(page_config(cloud)), encoding="utf-8")
    write_account(home / "account.json", cloud.origin)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    programs = make_environment("proxy")
    command = [str(programs / "litellm"), "--config", "config.yaml", "--host", "127.0.0.1"]
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LITELLM_MASTER_KEY": MASTER_KEY,
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "aws-secret",
        "GOOGLE_APPLICATION_CREDENTIALS": str(home / "account.json"),
        "NO_PROXY": "127.0.0.1",
        **QUIET,
    }
    with (
        open(home / "proxy.log", "w", encoding="utf-8") as log,
        subprocess.Popen(
            [*command, "--port", str(port)], env=environ, cwd=home, stdout=log, stderr=log
        ) as process,
    ):
        try:
            base = f"http://127.0.0.1:{port}"
            wait_for(f"{base}/health/liveliness", process)
            yield f"{base}/v1"
        finally:
            process.terminate()


def wait_for(url: str, process: subprocess.Popen[Any]) -> None:
    while process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"LiteLLM's proxy has ended: {process.returncode}")


@contextmanager
def gateway(environ: dict[str, str], home: Path, base_url: str) -> Iterator[dict[str, Any]]:
    """Run this package's gateway on one provider, ``proxy``; yield what ``adapter env`` says."""
    path = home / "adapter.toml"
    path.write_text(ENTRY.format(name="proxy", base_url=base_url, variable="PROXY_KEY"))
    environ["ADAPTER_CONFIG"] = str(path)
    started = run_apart(environ, "serve", "--detach", "--port", "0")
    assert started.returncode == 0, started.stderr
    try:
        yield json.loads(run_apart(environ, "env", "--json").stdout)
    finally:
        run_apart(environ, "serve", "--stop")


def ask_gptme(environ: dict[str, str], home: Path, model: str, *options: str) -> str:
    """Return what the real gptme prints of an answer."""
    programs = make_environment("gptme")
    done = subprocess.run(
        [programs / "gptme", "-n", "--no-confirm", *options, "-m", model, "hi"],
        env={**environ, **QUIET},
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def own_environ(home: Path, **more: str) -> dict[str, str]:
    return gateway_environ(
        HOME=str(home), XDG_RUNTIME_DIR=str(home / "run"), NO_PROXY="*", **DECOYS, **more
    )


def write_entry(home: Path, name: str, base_url: str, variable: str) -> None:
    """Write gptme's configuration with one provider."""
    path = home / ".config" / "gptme" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(ENTRY.format(name=name, base_url=base_url, variable=variable))


@pytest.mark.parametrize("options", [["--no-stream"], []], ids=["plain", "streamed"])
@pytest.mark.parametrize("model", [CLAUDE, GEMINI])
def test_gptme_has_models_of_bedrock_and_vertex_by_one_entry(
    model: str, options: list[str], proxy: str, cloud: Recorder, home: Path
) -> None:
    environ = own_environ(home, LITELLM_MASTER_KEY=MASTER_KEY)
    write_entry(home, "proxy", proxy, "LITELLM_MASTER_KEY")
    cloud.requests.clear()
    assert ANSWER in ask_gptme(environ, home, f"proxy/{model}", *options)
    check_wire(model, bool(not options), cloud)


def test_a_gateway_of_ours_may_stand_between(proxy: str, cloud: Recorder, home: Path) -> None:
    environ = own_environ(home, PROXY_KEY=MASTER_KEY)
    with gateway(environ, home, proxy) as variables:
        environ["GATEWAY_KEY"] = variables["OPENAI_API_KEY"]
        write_entry(home, "gateway", variables["OPENAI_BASE_URL"], "GATEWAY_KEY")
        cloud.requests.clear()
        assert ANSWER in ask_gptme(environ, home, f"gateway/proxy/{CLAUDE}")
    check_wire(CLAUDE, True, cloud)


def check_wire(model: str, streamed: bool, cloud: Recorder) -> None:
    """Check the model, the signature and the question in what the cloud received."""
    calls = [request for request in cloud.requests if request.path != "/token"]
    for call in calls:  # gptme asks for a title of the conversation, too
        authorization = call.headers["authorization"]
        if model == CLAUDE:
            assert call.path.startswith(f"/model/{quote(model.partition('/')[2], safe='')}/")
            assert authorization.startswith("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/")
            assert "/us-east-1/bedrock/aws4_request" in authorization
        else:
            assert call.path.startswith("/vertex")
            assert authorization == "Bearer vertex-token"
        for alien in (MASTER_KEY, "aws-secret", "decoy"):
            assert alien not in f"{call.headers}{call.raw!r}"
    asked = [call for call in calls if last_words(call.body).startswith("hi")]
    assert asked
    assert any("tream" in call.path for call in asked) is streamed


def last_words(body: dict[str, Any]) -> str:
    """Return the text of a request's last message, in Bedrock's words or in Vertex's."""
    message = (body.get("messages") or body["contents"])[-1]
    parts = message.get("content") or message["parts"]
    text: str = parts[-1]["text"]
    return text


def test_adapter_and_gptme_answer_in_one_environment(home: Path) -> None:
    programs = make_environment("gptme")
    versions = subprocess.check_output(
        [programs / "python", "-c", "import openai, gptme, adapter; print(openai.__version__)"],
        text=True,
        cwd=home,
    )
    assert int(versions.split(".")[0]) < 3  # what gptme wants
    check = ["uv", "pip", "check", "--python", str(programs / "python")]
    subprocess.run(check, check=True, capture_output=True)
    with recording_server() as server:
        environ = own_environ(home, P_1_KEY="own-key", ADAPTER_WORKER="off")
        write_entry(home, "p-1", server.base_url, "P_1_KEY")
        assert ANSWER in ask_gptme(environ, home, "p-1/org/m")
        assert {r.key for r in server.requests if r.method == "POST"} == {"own-key"}
        server.requests.clear()
        done = subprocess.run(
            [programs / "adapter", "-m", "p-1/org/m", "hi"],
            env=environ,
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, f"{ANSWER}\n"), done.stderr
        assert server.only.key == "own-key"
        assert "decoy" not in str(server.only.headers)

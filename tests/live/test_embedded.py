"""The embedded server with its real model: what it answers, and how it comes and goes."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from adapter.embedded import EmbeddedServer, model_path, start_server, stop_servers
from adapter.errors import EmbeddedError

ROOT = Path(__file__).parents[2]
VARIABLE = "ADAPTER_EMBEDDED_MODEL"
QUESTION = "Explain quantum computing in one sentence."


def missing() -> str:
    """Return what keeps these tests from running, or ``""``."""
    if importlib.util.find_spec("xllamacpp") is None:
        return "xllamacpp is not installed"
    try:
        model_path({})
    except EmbeddedError as error:
        return str(error)
    return ""


pytestmark = [pytest.mark.live, pytest.mark.skipif(bool(missing()), reason=missing() or "-")]


@pytest.fixture
def server() -> EmbeddedServer:
    """The server of this process, which all tests here share."""
    return start_server()


@pytest.fixture
def params(server: EmbeddedServer) -> dict[str, Any]:
    """What LiteLLM needs to call it."""
    return {
        "model": f"openai/{server.model}",
        "api_base": server.base_url,
        "api_key": server.api_key,
        "max_tokens": 48,
    }


@pytest.fixture
def litellm() -> Any:
    """LiteLLM, imported when the first test needs it."""
    return importlib.import_module("litellm")


def ask(content: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": content}]


def post(server: EmbeddedServer, key: str | None, **body: Any) -> httpx.Response:
    """Send a chat request by hand."""
    return httpx.post(
        f"{server.base_url}/chat/completions",
        headers={} if key is None else {"Authorization": f"Bearer {key}"},
        json={"messages": ask("Say hello."), "max_tokens": 4, **body},
        timeout=60,
    )


def answers(server: EmbeddedServer) -> bool:
    try:
        return httpx.get(server.base_url + "/health").status_code == 200
    except httpx.TransportError:
        return False


def gone(server: EmbeddedServer) -> bool:
    """Wait a little for the server to end."""
    deadline = time.monotonic() + 10
    while answers(server):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class TestAnswers:
    """Calls through LiteLLM, as the adapter makes them."""

    def test_a_question_is_answered(self, litellm: Any, params: dict[str, Any]) -> None:
        response = litellm.completion(messages=ask(QUESTION), **params)
        assert "quantum" in response.choices[0].message.content.lower()
        assert response.choices[0].finish_reason == "stop"
        assert response.usage.completion_tokens > 5

    def test_an_answer_is_streamed(self, litellm: Any, params: dict[str, Any]) -> None:
        chunks = list(litellm.completion(messages=ask(QUESTION), stream=True, **params))
        pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
        assert "quantum" in "".join(pieces).lower()
        assert len(pieces) > 5
        assert chunks[-1].choices[0].finish_reason == "stop"

    def test_async_and_async_streamed(self, litellm: Any, params: dict[str, Any]) -> None:
        async def both() -> tuple[str, str]:
            whole = await litellm.acompletion(messages=ask(QUESTION), **params)
            stream = await litellm.acompletion(messages=ask(QUESTION), stream=True, **params)
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
            return whole.choices[0].message.content, "".join(pieces)

        whole, streamed = asyncio.run(both())
        assert whole == streamed  # greedy unless asked otherwise, so the same each time
        assert "quantum" in whole.lower()

    @pytest.mark.parametrize("count", [4, 10])  # as many as it has slots, and more
    def test_requests_at_the_same_time(
        self, litellm: Any, params: dict[str, Any], count: int
    ) -> None:
        async def all_at_once() -> list[Any]:
            calls = (litellm.acompletion(messages=ask(f"Say {n}."), **params) for n in range(count))
            return await asyncio.gather(*calls)

        params["max_tokens"] = 8
        for response in asyncio.run(all_at_once()):
            assert response.choices[0].message.content

    def test_a_schema_shapes_the_answer(self, litellm: Any, params: dict[str, Any]) -> None:
        schema = {
            "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
            "required": ["name", "age"],
            "additionalProperties": False,
        }
        response = litellm.completion(
            messages=ask("Bob is 30 years old. Who is he?"),
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "person", "schema": schema},
            },
            **params,
        )
        person = json.loads(response.choices[0].message.content)
        assert person == {"name": person["name"], "age": int(person["age"])}

    def test_characters_of_several_bytes_arrive_whole(
        self, litellm: Any, params: dict[str, Any]
    ) -> None:
        text = "héllo 日本語 🎉👩‍🚀"  # the last is three characters joined
        schema = {"type": "object", "properties": {"t": {"enum": [text]}}, "required": ["t"]}
        stream = litellm.completion(
            messages=ask("Go."),
            response_format={"type": "json_schema", "json_schema": {"name": "t", "schema": schema}},
            stream=True,
            **params,
        )
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
        assert json.loads("".join(pieces)) == {"t": text}
        assert "\ufffd" not in "".join(pieces)

    @pytest.mark.parametrize("choice", ["auto", "required", "none"])
    def test_tools_do_no_harm(self, litellm: Any, params: dict[str, Any], choice: str) -> None:
        # The model's template has no place for tools: it answers in words.
        parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
        tool = {
            "type": "function",
            "function": {"name": "weather", "description": "Weather.", "parameters": parameters},
        }
        response = litellm.completion(
            messages=ask("How is the weather in Paris?"), tools=[tool], tool_choice=choice, **params
        )
        message = response.choices[0].message
        assert message.content or message.tool_calls

    def test_what_does_not_fit_is_refused(self, litellm: Any, params: dict[str, Any]) -> None:
        with pytest.raises(litellm.BadRequestError, match="context size"):
            litellm.completion(messages=ask("word " * 9000), **params)

    def test_embeddings_are_refused(self, litellm: Any, params: dict[str, Any]) -> None:
        del params["max_tokens"]
        with pytest.raises(litellm.exceptions.APIError, match="does not support embeddings"):
            litellm.embedding(input=["hello"], max_retries=0, **params)


class TestAccess:
    """Who can use the server."""

    @pytest.mark.parametrize("key", [None, "wrong"])
    def test_only_the_key_opens_it(self, server: EmbeddedServer, key: str | None) -> None:
        refused = post(server, key)
        assert refused.status_code == 401
        assert server.api_key not in refused.text
        assert post(server, server.api_key).status_code == 200

    def test_the_key_is_in_no_argument_and_no_variable(self, server: EmbeddedServer) -> None:
        if sys.platform != "linux":
            pytest.skip("reads /proc")
        for process in Path("/proc").glob("[0-9]*"):
            for file in ("cmdline", "environ"):
                try:
                    assert server.api_key.encode() not in (process / file).read_bytes()
                except OSError:  # another user's, or just gone
                    continue

    def test_it_listens_on_one_loopback_address(self, server: EmbeddedServer) -> None:
        url = urlsplit(server.base_url)
        assert url.hostname == "127.0.0.1"
        if sys.platform == "linux":  # where all of 127/8 is this machine
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"http://127.0.0.2:{url.port}/health")

    def test_no_web_page_may_read_it(self, server: EmbeddedServer) -> None:
        response = httpx.get(server.base_url + "/health", headers={"Origin": "http://evil.example"})
        assert response.headers.get("Access-Control-Allow-Origin", "") == ""


class TestLife:
    """One server for each process and model file."""

    def test_it_is_started_once(self, server: EmbeddedServer) -> None:
        with ThreadPoolExecutor(8) as pool:
            assert {id(own) for own in pool.map(lambda _: start_server(), range(8))} == {id(server)}

    def test_threads_that_come_first_start_one(self) -> None:
        stop_servers()
        with ThreadPoolExecutor(8) as pool:
            assert len({own.base_url for own in pool.map(lambda _: start_server(), range(8))}) == 1

    def test_after_stop_it_is_gone_and_starts_anew(self, server: EmbeddedServer) -> None:
        stop_servers()
        assert not answers(server)
        again = start_server()
        assert again.api_key != server.api_key
        assert post(again, again.api_key).status_code == 200

    def test_another_model_gets_a_server_of_its_own(
        self, server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "my own modèl.gguf"
        file.symlink_to(model_path())
        monkeypatch.setenv(VARIABLE, str(file))
        own = start_server()
        assert own.model == "my own modèl"
        assert own.base_url != server.base_url
        assert start_server() is own
        assert post(own, own.api_key, model=own.model).json()["model"] == own.model
        monkeypatch.delenv(VARIABLE)
        assert start_server() is server
        assert answers(server)

    @pytest.mark.parametrize("kept", [0.5, 0.001])  # the weights cut short, the header cut short
    def test_a_broken_model_is_an_error_that_says_why(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: float
    ) -> None:
        whole = model_path().read_bytes()
        file = tmp_path / "broken.gguf"
        file.write_bytes(whole[: int(len(whole) * kept)])
        monkeypatch.setenv(VARIABLE, str(file))
        with pytest.raises(EmbeddedError) as caught:
            start_server()
        assert str(file) in str(caught.value)
        assert "incomplete" in str(caught.value) or "read" in str(caught.value)
        assert f"export {VARIABLE}=" in str(caught.value)


# What the programs below begin with.
PRELUDE = """\
import contextlib, json, os, sys, threading, time, urllib.request
from adapter import embedded

def stream(server):
    body = {"messages": [{"role": "user", "content": "Count to five hundred."}], "stream": True}
    headers = {"Authorization": "Bearer " + server.api_key, "Content-Type": "application/json"}
    request = urllib.request.Request(
        server.base_url + "/chat/completions", json.dumps(body).encode(), headers)
    response = urllib.request.urlopen(request)
    response.readline()
    return response

def show(server):
    print(server.base_url, flush=True)

server = embedded.start_server()
show(server)
"""

Run = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def run() -> Iterator[Run]:
    """Run a program that has started the server and printed its address."""
    processes: list[subprocess.Popen[str]] = []

    def program(code: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + code],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a process group, as a terminal's Ctrl-C finds one
        )
        processes.append(process)
        return process

    yield program
    for process in processes:
        with process:
            process.kill()


def announced(process: subprocess.Popen[str]) -> EmbeddedServer:
    assert process.stdout is not None
    return EmbeddedServer(process.stdout.readline().strip(), "", "")


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Return what else it wrote; ``communicate`` would lose what ``readline`` read ahead."""
    assert process.stdout is not None
    assert process.stderr is not None
    written = process.stdout.read(), process.stderr.read()
    process.wait(timeout=60)
    return written


class TestExit:
    """Programs that end while the server runs; a gentle end would take 30 s in some of them."""

    @pytest.mark.parametrize(
        "code",
        [
            pytest.param("", id="idle"),
            pytest.param("left = stream(server)", id="half-read stream"),
            pytest.param(
                "def read():\n"
                "    with contextlib.suppress(Exception):\n"  # the server ends before the thread
                "        stream(server).read()\n"
                "threading.Thread(target=read, daemon=True).start()\n"
                "time.sleep(1)",
                id="stream in a daemon thread",
            ),
        ],
    )
    def test_a_program_ends_at_once_and_in_silence(self, run: Run, code: str) -> None:
        process = run(code + "\nprint(time.time())")
        server = announced(process)
        out, err = ended(process)
        assert time.time() - float(out) < 8  # its last line is when it had no more to do
        assert err == ""
        assert process.returncode == 0
        assert gone(server)

    def test_ctrl_c_is_for_the_program_alone(self, run: Run) -> None:
        process = run(
            "try:\n    show(server); stream(server).read()\n"
            "except KeyboardInterrupt:\n"
            "    urllib.request.urlopen(server.base_url + '/health'); print('still there')\n"
        )
        announced(process)
        server = announced(process)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        out, err = ended(process)
        assert (out, err) == ("still there\n", "")
        assert gone(server)

    def test_ctrl_c_ends_the_program_as_usual(self, run: Run) -> None:
        process = run("stream(server).read()")
        server = announced(process)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        _, err = ended(process)
        assert err.rstrip().endswith("KeyboardInterrupt")
        assert process.returncode == -signal.SIGINT
        assert gone(server)

    @pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
    def test_a_killed_program_leaves_no_server(self, run: Run, end: signal.Signals) -> None:
        process = run("left = stream(server)\ntime.sleep(60)")
        server = announced(process)
        process.send_signal(end)
        process.wait(timeout=60)
        assert gone(server)

    def test_a_server_that_was_killed_is_replaced(self, run: Run) -> None:
        process = run(
            "process, _ = next(iter(embedded._servers._running.values()))\n"
            "process.kill(); process.wait()\n"
            "show(embedded.start_server())\nstream(embedded.start_server())\n"
        )
        first, second = announced(process), announced(process)
        _, err = ended(process)
        assert (process.returncode, err) == (0, "")
        assert first.base_url != second.base_url

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
    def test_a_forked_process_has_its_own(self, run: Run) -> None:
        process = run(
            "left = stream(server)\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    own = embedded.start_server(); show(own); stream(own); sys.exit(3)\n"
            "status = os.waitpid(child, 0)[1]\n"
            "assert embedded.start_server() is server\n"
            "stream(server)\n"
            "print(os.waitstatus_to_exitcode(status))\n"
        )
        parents, childs = announced(process), announced(process)
        out, err = ended(process)
        assert (process.returncode, out, err) == (0, "3\n", "")
        assert parents.base_url != childs.base_url
        assert gone(parents)
        assert gone(childs)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
    def test_a_forked_process_that_stays_does_not_keep_the_server(self, run: Run) -> None:
        process = run(
            "if os.fork() == 0:\n    show(server); time.sleep(20); os._exit(0)\ntime.sleep(60)"
        )
        announced(process)
        server = announced(process)  # the child is up
        process.kill()
        assert gone(server)

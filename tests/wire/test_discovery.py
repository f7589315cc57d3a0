"""``GET {base_url}/models``, and ``adapter config export --discover``."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapter.config.provider import Provider
from adapter.errors import AdapterError, MissingKeyError
from adapter.providers.discovery import discover, models_of
from tests.command import run
from tests.recorder import Recorder, Reply


def provider(server: Recorder, **fields: Any) -> Provider:
    return Provider(name="p", base_url=f"{server.base_url}/", **{"api_key": "sk-canary", **fields})


def test_it_asks_with_key_and_headers(server: Recorder) -> None:
    asked = provider(server, extras={"extra_headers": {"X-Team": "blue"}})
    assert models_of(asked) == ["m"]
    assert (server.only.method, server.only.path) == ("GET", "/v1/models")
    assert server.only.key == "sk-canary"
    assert server.only.headers["x-team"] == "blue"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_this_machine_is_not_asked_through_a_proxy(
    server: Recorder, other_server: Recorder, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTP_PROXY", other_server.origin)
    port = server.origin.rpartition(":")[2]
    models_of(Provider("p", f"http://{host}:{port}/v1", "sk-canary"))
    assert server.only.key == "sk-canary"
    assert not other_server.requests
    models_of(Provider("p", "http://elsewhere.example/v1", "sk-canary"))
    assert len(other_server.requests) == 1


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        ({"object": "list", "data": [{"id": "b"}, {"id": "a/c:d"}]}, ["b", "a/c:d"]),
        ({"models": [{"name": "x"}]}, ["x"]),
        ([{"id": "x"}, "y"], ["x", "y"]),
        ({"data": [{"id": "ok"}, {"id": "evil\x1b[2J"}, {"id": 7}, {}, None]}, ["ok"]),
        ({"data": []}, []),
    ],
)
def test_lists_of_several_shapes(server: Recorder, body: Any, ids: list[str]) -> None:
    server.script = lambda request: Reply(200, body)
    assert models_of(provider(server)) == ids


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        (Reply(401, {"error": {"message": "bad key sk-canary-long"}}), 3, "answered 401: bad key"),
        (Reply(404, {"error": "no such path"}), 4, "often it ends in /v1"),
        (Reply(404, b"<html>"), 4, "answered 404"),
        (Reply(429, {"error": {"message": "slow"}}), 5, "answered 429: slow"),
        (Reply(500, b""), 7, "answered 500"),
        (Reply(200, b"<html>"), 7, "is no list of models"),
        (Reply(200, {"hello": 1}), 7, "is no list of models"),
        (Reply(307, b"", {"Location": "http://127.0.0.1:9/v1/models"}), 1, "answered 307"),
    ],
)
def test_failures_are_explained(server: Recorder, reply: Reply, code: int, words: str) -> None:
    server.script = lambda request: reply
    with pytest.raises(AdapterError, match="provider 'p'") as caught:
        models_of(provider(server, api_key="sk-canary-long"))
    assert caught.value.exit_code == code
    assert words in str(caught.value)
    assert "sk-canary" not in str(caught.value)
    assert len(server.requests) == 1


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(AdapterError, match="the connection was refused") as caught:
        models_of(Provider(name="p", base_url="http://127.0.0.1:1/v1"))
    assert caught.value.exit_code == 6


def test_a_key_that_is_not_set_is_not_asked_with(server: Recorder) -> None:
    with pytest.raises(MissingKeyError):
        models_of(provider(server, api_key=None, api_key_env="NOT_SET"))
    assert not server.requests


def test_all_are_asked_and_one_failure_stops_no_other(server: Recorder) -> None:
    dead = Provider(name="dead", base_url="http://127.0.0.1:1/v1")
    found, failed = discover([dead, provider(server)])
    assert found == {"p": ["m"]}
    assert list(failed) == ["dead"]


def test_export_lists_what_the_servers_have(
    server: Recorder, other_server: Recorder, write: Callable[..., Path]
) -> None:
    write(
        f'[[providers]]\nname = "a"\nbase_url = "{server.base_url}"\ndefault_model = "z"\n'
        f'[[providers]]\nname = "b"\nbase_url = "{other_server.base_url}"\n'
    )
    other_server.fail(500)
    done = run("config", "export", "--discover")
    entries = yaml.safe_load(done.out)["model_list"]
    assert [e["model_name"] for e in entries] == ["a", "a/m", "a/*", "b/*"]
    assert entries[1]["litellm_params"]["model"] == "openai/m"
    assert done.code == 1
    assert "warning: provider 'b'" in done.err
    assert run("config", "export", "--discover", "a").code == 0


def test_a_redirect_takes_no_key_elsewhere(server: Recorder, other_server: Recorder) -> None:
    where = {"Location": f"{other_server.base_url}/models"}
    server.script = lambda request: Reply(302, b"", where)
    with pytest.raises(AdapterError, match="answered 302"):
        models_of(provider(server))
    assert not other_server.requests


def test_it_says_who_asks(server: Recorder) -> None:
    models_of(provider(server))
    assert server.only.headers["user-agent"] == "gptme-litellm"
    own = provider(server, extras={"extra_headers": {"User-Agent": "mine"}})
    models_of(own)
    assert server.last.headers["user-agent"] == "mine"


def test_a_list_that_is_too_long(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapter.providers.discovery.MAX_BYTES", 1000)
    server.script = lambda request: Reply(200, {"data": [{"id": "m" * 2000}]})
    with pytest.raises(AdapterError, match="over 1,000 bytes"):
        models_of(provider(server))


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_server_that_sends_a_byte_now_and_then(head: bytes) -> None:
    """Each wait is short, and all of them are without end."""
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(head)
        with suppress(OSError):
            while not over.wait(0.05):
                connection.sendall(b"a")
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: drip(listener.accept()[0]))
        thread.start()
        try:
            base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
            with pytest.raises(AdapterError, match="no answer within the time limit") as caught:
                models_of(Provider(name="p", base_url=base_url), timeout=0.4)
        finally:
            over.set()
            thread.join()
    assert caught.value.exit_code == 6


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"", "the connection ended"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
            "ended before all of the reply was there",
        ),
        (b"what is this?\r\n\r\n", "no HTTP"),
    ],
)
def test_replies_that_are_cut_or_none(reply: bytes, words: str) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(reply)
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: answer(listener.accept()[0]))
        thread.start()
        base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        with pytest.raises(AdapterError) as caught:
            models_of(Provider(name="p", base_url=base_url))
        thread.join()
    assert words in str(caught.value)
    assert caught.value.exit_code == 7

"""``GET {base_url}/models``, and ``adapter config export --discover``."""

from __future__ import annotations

import gzip
import os
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
from tests.recorder import Recorder, Reply, Request


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
        ({"models": [{"name": "Big One", "model": "big"}, {"model": "x"}]}, ["big", "x"]),
        ({"data": [{"id": 7, "name": "x"}, {"id": "", "model": "y"}]}, ["x", "y"]),
        ({"data": None, "models": [{"name": "x"}]}, ["x"]),
        ({"error": None, "data": [{"id": "x"}, {"id": "x"}]}, ["x"]),
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
        (Reply(200, b"<html>"), 7, "is not a list of models"),
        (Reply(200, {"hello": 1}), 7, "is not a list of models"),
        (Reply(200, {"error": {"message": "bad key sk-canary-long", "code": 401}}), 3, "bad key"),
        (Reply(200, {"error": {"message": "slow", "code": "429"}}), 5, "answered 429: slow"),
        (Reply(200, {"error": "no credits"}), 7, "status 200): no credits"),
        (Reply(200, {"error": "no", "data": []}), 7, "status 200): no"),
        (Reply(200, {"object": "error", "message": "gone", "code": 404}), 4, "answered 404: gone"),
        (Reply(200, {"error": {"code": 42, "detail": "odd"}}), 7, "status 200): odd"),
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


@pytest.mark.parametrize(
    ("path", "fix"),
    [("/models", 'write base_url = "{}"'), ("/login", "a page that asks you to log in")],
)
def test_a_redirect_takes_no_key_elsewhere(
    server: Recorder, other_server: Recorder, path: str, fix: str
) -> None:
    where = {"Location": f"{other_server.base_url}{path}?token=sk-canary"}
    server.script = lambda request: Reply(302, b"", where)
    with pytest.raises(AdapterError, match="answered 302: it redirects to") as caught:
        models_of(provider(server))
    assert fix.format(other_server.base_url) in str(caught.value)
    assert "canary" not in str(caught.value)
    assert not other_server.requests


def test_a_redirect_on_the_same_server_is_followed(server: Recorder) -> None:
    def script(request: Request) -> Reply | None:
        moved = request.path == "/v1/models"
        return Reply(307, b"", {"Location": "/v1/models/"}) if moved else Reply(200, ["x"])

    server.script = script
    assert models_of(provider(server)) == ["x"]
    assert server.last.key == "sk-canary"
    server.script = lambda request: Reply(307, b"", {"Location": "/v1/models"})
    with pytest.raises(AdapterError, match="over 5 redirects"):
        models_of(provider(server))


def page(ids: list[str], **more: Any) -> dict[str, Any]:
    return {"data": [{"id": i, **({"type": "model"} if "t" in more else {})} for i in ids], **more}


@pytest.mark.parametrize(
    ("first", "headers", "query"),
    [
        (page(["a"], has_more=True, last_id="a"), {}, "?after=a"),
        (page(["a"], has_more=True, last_id="a", t=1), {}, "?after_id=a"),
        ({"models": [{"name": "a"}], "nextPageToken": "x/y"}, {}, "?pageToken=x%2Fy"),
        ({"models": [{"name": "a"}], "next_page_token": "t"}, {}, "?page_token=t"),
        (["a"], {"Link": '</v1/models?page=2>; rel="next"'}, "?page=2"),
    ],
)
def test_further_pages_are_fetched(
    server: Recorder, first: Any, headers: dict[str, str], query: str
) -> None:
    last = Reply(200, page(["b", "c"], has_more=False, last_id="c"))
    server.script = lambda request: last if "?" in request.path else Reply(200, first, headers)
    assert models_of(provider(server)) == ["a", "b", "c"]
    assert [r.path for r in server.requests] == ["/v1/models", f"/v1/models{query}"]
    assert {r.key for r in server.requests} == {"sk-canary"}


def test_pages_end(server: Recorder, other_server: Recorder) -> None:
    """Where a server knows no pages, or leads to another one."""
    server.script = lambda request: Reply(200, page(["a"], has_more=True, last_id="a"))
    assert models_of(provider(server)) == ["a"]
    assert len(server.requests) == 2
    away = {"Link": f'<{other_server.base_url}/models>; rel="next"'}
    server.script = lambda request: Reply(200, ["a"], away)
    assert models_of(provider(server)) == ["a"]
    assert not other_server.requests


def test_pages_are_too_long_together(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapter.providers.discovery.MAX_BYTES", 1000)

    def script(request: Request) -> Reply:
        last = f"{len(server.requests)}".zfill(300)
        return Reply(200, page([last], has_more=True, last_id=last))

    server.script = script
    with pytest.raises(AdapterError, match="longer than 1,000 bytes"):
        models_of(provider(server))
    assert len(server.requests) < 4


def test_an_ipv6_address_in_no_proxy(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """httpx takes it without brackets and raises InvalidURL for any request otherwise."""
    entries = "localhost, [::1],::1/128,[fe80::1]:80,example.com:80,a:b,.lan,10.0.0.0/8"
    monkeypatch.setenv("NO_PROXY", entries)
    monkeypatch.setenv("no_proxy", entries)
    monkeypatch.setenv("HTTP_PROXY", server.origin)
    assert models_of(Provider("p", "http://elsewhere.example/v1", "sk-canary")) == ["m"]
    repaired = "localhost,::1,::1,all://[fe80::1]:80,example.com:80,.lan,10.0.0.0/8"
    assert (os.environ["NO_PROXY"], os.environ["no_proxy"]) == (repaired, repaired)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY", "http_proxy"])
def test_a_proxy_that_is_not_there_is_named_by_its_variable(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "localhost")
    monkeypatch.setenv(variable, "http://me:sk-canary@127.0.0.1:1")
    with pytest.raises(AdapterError, match="the connection was refused") as caught:
        models_of(Provider("p", "http://elsewhere.example/v1", "sk-canary"))
    assert caught.value.exit_code == 6
    assert f"through the proxy http://127.0.0.1:1 of ${variable}" in str(caught.value)
    assert "set NO_PROXY=elsewhere.example" in str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_proxy_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("HTTP_PROXY", "gopher://127.0.0.1:1")
    with pytest.raises(AdapterError, match=r"HTTP_PROXY, .* cannot be used: .*gopher") as caught:
        models_of(Provider("p", "http://elsewhere.example/v1", "sk-canary"))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("setting", ["SSL_CERT_FILE", "SSL_VERIFY", "ssl_verify"])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_of_certificates_that_cannot_be_used(
    setting: str, content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    extras = {"ssl_verify": str(path)} if setting == "ssl_verify" else {}
    monkeypatch.setenv(setting, str(path))
    with pytest.raises(AdapterError, match=f"{setting} names {path}, which cannot") as caught:
        models_of(Provider("p", "https://127.0.0.1:1/v1", "sk-canary", extras=extras))
    assert caught.value.exit_code == 2


def test_it_says_who_asks(server: Recorder) -> None:
    models_of(provider(server))
    assert server.only.headers["user-agent"] == "gptme-litellm"
    own = provider(server, extras={"extra_headers": {"User-Agent": "mine"}})
    models_of(own)
    assert server.last.headers["user-agent"] == "mine"


def test_a_list_that_is_too_long(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapter.providers.discovery.MAX_BYTES", 1000)
    server.script = lambda request: Reply(200, {"data": [{"id": "m" * 2000}]})
    with pytest.raises(AdapterError, match="longer than 1,000 bytes"):
        models_of(provider(server))


@pytest.mark.parametrize(
    ("encoding", "words"),
    [("gzip", "longer than 16,777,216 bytes"), ("gzip, gzip", "was not asked for")],
)
def test_a_list_of_a_thousandfold_length(server: Recorder, encoding: str, words: str) -> None:
    data = gzip.compress(bytes(32 * 2**20))
    server.script = lambda request: Reply(200, data, {"Content-Encoding": encoding})
    with pytest.raises(AdapterError, match=words):
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
        (b"what is this?\r\n\r\n", "not HTTP"),
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

"""Errors and keys: what servers repeat and libraries keep goes, what is the caller's own stays."""

from __future__ import annotations

import asyncio
import gzip
import logging
import pickle
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import litellm
import pytest

import adapter
from adapter.secrets.errors import scrub_error, scrub_logs
from adapter.secrets.scrubber import MOST, register, scrub
from adapter.upstream.http import RedirectRefusedError
from tests.command import provider
from tests.recorder import Recorder, Reply

KEY = "sk-of-the-provider-itself"
MESSAGES = [{"role": "user", "content": "q"}]

Write = Callable[..., Path]


@pytest.fixture
def base(server: Recorder, write: Write, monkeypatch: pytest.MonkeyPatch) -> str:
    """The base URL of ``p``, whose key is ``KEY``."""
    write(provider(server.base_url, "p", api_key_env="P_KEY", default_model="m"))
    monkeypatch.setenv("P_KEY", KEY)
    register(KEY)
    return server.base_url


def shown(error: BaseException) -> str:
    """Return all that a debugger or an error tracker may show of ``error`` and its causes."""
    found = "".join(
        traceback.TracebackException.from_exception(error, capture_locals=True).format()
    )
    for one in causes(error):
        found += f"{one!r} {one.args!r} {vars(one)!r} {getattr(one, 'object', '')!r}"
    return found


def causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def test_the_servers_headers_may_be_of_any_bytes(base: str, server: Recorder) -> None:
    server.script = lambda request: Reply(
        400, {"error": {"message": KEY}}, {"X-Echo": f"Bearer {KEY}", "X-Message": "caf\u00e9"}
    )

    with pytest.raises(litellm.BadRequestError) as raised:
        adapter.completion("p", messages=MESSAGES)

    assert KEY not in shown(raised.value)


class FixedError(Exception):
    """An error whose arguments cannot be set."""

    @property
    def args(self) -> Any:
        return (f"{KEY} is fixed",)

    @args.setter
    def args(self, value: Any) -> None:
        raise AttributeError("fixed")


def test_what_cannot_be_cleaned_does_not_replace_the_error(base: str) -> None:
    error = ValueError(f"{KEY} is wrong")
    error.__cause__ = FixedError()

    scrub_error(error)

    assert error.args == ("*** is wrong",)


def test_bytes_of_a_reply_that_is_no_text(base: str) -> None:
    error = UnicodeDecodeError(
        "utf-8", f"{KEY} \xff".encode("latin-1"), len(KEY) + 1, 99, "invalid"
    )

    scrub_error(error)

    assert error.object == b"*** \xff"
    assert "invalid" in str(error)


def test_the_bodies_of_a_request_and_its_reply_are_scrubbed(base: str) -> None:
    register(KEY)
    request = httpx.Request("POST", base, content=f"the key is {KEY}".encode())
    body = gzip.compress(f"é: {KEY} is wrong".encode())
    headers = {"Content-Encoding": "gzip", "X-Echo": KEY}
    reply = httpx.Response(401, headers=headers, content=body, request=request)
    error = httpx.HTTPStatusError("refused", request=request, response=reply)

    scrub_error(error)

    assert (error.response.status_code, error.response.text) == (401, "é: *** is wrong")
    assert error.response.headers["X-Echo"] == "***"
    assert error.request.content == error.response.request.content == b"the key is ***"
    assert KEY not in repr(pickle.dumps(error.response))


@pytest.mark.parametrize("streamed", [False, True])
def test_what_the_caller_was_handling_stays(streamed: bool, base: str, server: Recorder) -> None:
    server.fail(401, f"{KEY} is wrong")
    request = httpx.Request("GET", base, headers={"Authorization": f"Bearer {KEY}"})
    mine = httpx.RequestError(f"{KEY} is mine", request=request)

    def handle() -> None:
        try:
            raise mine
        except httpx.RequestError:
            list(adapter.completion("p", messages=MESSAGES, stream=streamed))

    with pytest.raises(litellm.AuthenticationError, match="is wrong") as raised:
        handle()

    assert KEY not in str(raised.value)
    assert mine in list(causes(raised.value))
    assert mine.args == (f"{KEY} is mine",)
    assert request.headers["Authorization"] == f"Bearer {KEY}"


@contextmanager
def raw_server(reply: bytes) -> Iterator[str]:
    """Serve ``reply`` to each connection; yield the base URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    "reply",
    [b"HTTP/1.1 garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"],
    ids=["status", "length"],
)
def test_a_reply_that_is_no_http_shows_no_key_either(
    reply: bytes, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("P_KEY", KEY)
    with raw_server(reply) as base:
        write(provider(base, "p", api_key_env="P_KEY", default_model="m"))
        with pytest.raises(Exception, match=r".") as raised:
            asyncio.run(adapter.acompletion("p", messages=MESSAGES, max_retries=0))

    assert KEY not in shown(raised.value)


def test_a_call_that_is_cancelled_shows_no_key(base: str, server: Recorder) -> None:
    arrived, may_end = threading.Event(), threading.Event()

    def wait(request: Any) -> Reply:
        arrived.set()
        may_end.wait(100)
        return Reply(200, {})

    server.script = wait

    async def call() -> None:
        task = asyncio.ensure_future(adapter.acompletion("p", messages=MESSAGES))
        await asyncio.to_thread(arrived.wait, 100)
        task.cancel()
        await task

    try:
        with pytest.raises(asyncio.CancelledError) as raised:
            asyncio.run(call())
    finally:
        may_end.set()

    assert KEY not in shown(raised.value)


def test_a_secret_header_of_the_call_is_hidden_too(base: str, server: Recorder) -> None:
    server.fail(400, "the header was of-the-call-alone")

    with pytest.raises(litellm.BadRequestError, match=r"the header was \*\*\*") as raised:
        adapter.completion("p", MESSAGES, extra_headers={"x-api-key": "of-the-call-alone"})

    assert server.last.headers["x-api-key"] == "of-the-call-alone"
    kept = repr([vars(one) for one in causes(raised.value)])
    assert "of-the-call-alone" not in kept


def test_the_keys_read_last_are_known() -> None:
    register("the-oldest-key")
    register("read-again-later")
    for number in range(MOST):
        register(f"filler-{number:06}")
        if number == 5:
            register("read-again-later")

    assert scrub("the-oldest-key read-again-later") == "the-oldest-key ***"


def test_a_log_has_one_filter_however_often_it_is_set() -> None:
    before = len(logging.getLogger("httpx").filters)
    scrub_logs(["httpx"])
    once = len(logging.getLogger("httpx").filters)
    scrub_logs(["httpx"])

    assert before <= once == len(logging.getLogger("httpx").filters)


def test_requests_of_the_callers_own_are_redirected(
    base: str, server: Recorder, other_server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image of the same host, say: neither a prompt nor a key is in it."""
    with httpx.Client(follow_redirects=True) as session:
        monkeypatch.setattr(litellm, "client_session", session)
        adapter.completion("p", messages=MESSAGES)
        away = {"Location": f"{other_server.base_url}/models"}
        server.script = lambda request: Reply(302, {}, away)

        assert session.get(f"{base}/x").status_code == 200
        for headers in ({"api-key": KEY}, {"Authorization": "Bearer x"}):
            with pytest.raises(RedirectRefusedError, match="is not followed"):
                session.get(f"{base}/x", headers=headers)
    assert len(other_server.requests) == 1

"""How much of a reply is read, and for how long: through each function, as the server plays it."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import litellm
import openai
import pytest

import adapter
from adapter.cli.main import run as run_command
from adapter.upstream.exceptions import causes
from tests.command import PATIENCE, provider
from tests.recorder import ANSWER, REPLIES, Recorder, Reply, chat_reply, write_certificate
from tests.wire.test_drop_ins import CASES, Case, case_id

Write = Callable[..., Path]

MESSAGES = [{"role": "user", "content": "hi"}]
LIMIT = 1_000_000
KEY = "sk-of-the-provider"


@pytest.fixture
def config(write: Write, server: Recorder) -> Path:
    """One provider, whose replies have a million bytes at most."""
    table = f"[plugin.litellm.providers.p]\nmax_response_bytes = {LIMIT}\n"
    return write(provider(server.base_url, api_key=KEY, default_model="m") + table)


TRIES_AGAIN = openai.__version__.startswith("2.")
"""The SDK takes any error of its HTTP client for one of the connection, and says so."""


def refusal(call: Callable[[], Any]) -> str:
    """Return what the error of ``call`` says, and what its causes say."""
    with pytest.raises(Exception, match=r".") as caught:  # each function has a class of its own
        call()
    return " ".join(map(str, causes(caught.value)))


TOO_LONG = "longer than 1,000,000 bytes"


def ask(is_async: bool, **more: Any) -> Any:
    given = {"model": "p", "messages": MESSAGES, "max_retries": 0, **more}

    async def answer() -> Any:
        result = await adapter.acompletion(**given)
        return [part async for part in result] if given.get("stream") else result

    if is_async:
        return asyncio.run(answer())
    result = adapter.completion(**given)
    return list(result) if given.get("stream") else result


BOTH = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


def raw_deflate(data: bytes) -> bytes:
    """Without the header of zlib, as some servers send it."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


ENCODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "none": ("identity", bytes),
    "gzip": ("gzip", gzip.compress),
    "upper case": ("GZIP", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "deflate": ("deflate", raw_deflate),
    "followed by more": ("gzip", lambda data: gzip.compress(data) + b"more"),
}


@BOTH
@pytest.mark.parametrize("name", ENCODINGS)
def test_a_reply_is_decompressed(config: Path, server: Recorder, name: str, is_async: bool) -> None:
    """Of three megabytes of text, in many packets: within a wider limit."""
    config.write_text(config.read_text().replace(str(LIMIT), str(4 * LIMIT)))
    text = "naïve 日本 🙂" * 200_000
    encoding, compress = ENCODINGS[name]
    body = json.dumps(chat_reply(text), ensure_ascii=False).encode()
    assert len(body) > 3 * LIMIT
    server.script = lambda request: Reply(200, compress(body), {"Content-Encoding": encoding})

    assert ask(is_async).choices[0].message.content == text
    assert server.only.headers["accept-encoding"] == "gzip, deflate"


@BOTH
@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "gzip, br", "x"])
def test_an_encoding_that_was_not_asked_for_is_refused(
    config: Path, server: Recorder, encoding: str, is_async: bool
) -> None:
    """No length of what it stands for could be told before it is there."""
    body = gzip.compress(json.dumps(chat_reply()).encode())
    server.script = lambda request: Reply(200, body, {"Content-Encoding": encoding})

    assert "was not asked for" in refusal(lambda: ask(is_async))
    assert len(server.requests) == 1


@BOTH
@pytest.mark.parametrize("zipped", [False, True])
def test_the_limit_is_exact(config: Path, server: Recorder, is_async: bool, zipped: bool) -> None:
    whole = json.dumps(chat_reply()).encode()
    for length in (LIMIT, LIMIT + 1):
        body = whole + b" " * (length - len(whole))
        headers = {"Content-Encoding": "gzip"} if zipped else {}
        data = gzip.compress(body) if zipped else body
        server.script = lambda request, data=data, headers=headers: Reply(200, data, headers)
        if length == LIMIT:
            assert ask(is_async).choices[0].message.content == ANSWER
        else:
            assert TOO_LONG in refusal(lambda: ask(is_async))


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_a_long_reply_of_any_function_is_refused(
    config: Path, server: Recorder, case: Case
) -> None:
    def reply(request: Any) -> Reply:
        if case.stream:
            return Reply(200, b"data: " + b" " * LIMIT + b"\n\n")
        tail = next(tail for tail in REPLIES if case.path.endswith(tail))
        body = REPLIES[tail]
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return Reply(200, data + b" " * LIMIT)

    server.script = reply
    function = getattr(adapter, case.function)
    given = {**case.arguments, "model": "p/m", "stream": case.stream, "max_retries": 0}
    if not case.stream:
        del given["stream"]

    async def answer() -> Any:
        result = await function(**given)
        return [part async for part in result] if case.stream else result

    def call() -> Any:
        if case.function.startswith("a"):
            return asyncio.run(answer())
        result = function(**given)
        return list(result) if case.stream else result

    if case.function == "batch_completion":
        (error,) = call()
        text = " ".join(map(str, causes(error)))
    else:
        text = refusal(call)
    assert TOO_LONG in text
    assert len(server.requests) == 1 or TRIES_AGAIN


@BOTH
def test_other_provider_classes_keep_to_the_limit(
    config: Path, server: Recorder, is_async: bool
) -> None:
    """They send with an HTTP handler of LiteLLM's, not with the OpenAI SDK."""
    server.script = lambda request: Reply(200, b" " * (LIMIT + 1))
    assert TOO_LONG in refusal(lambda: ask(is_async, custom_llm_provider="hosted_vllm"))


@BOTH
def test_a_router_keeps_to_the_limit(config: Path, server: Recorder, is_async: bool) -> None:
    server.script = lambda request: Reply(200, b" " * (LIMIT + 1))
    router = adapter.router(num_retries=0)
    if is_async:
        text = refusal(lambda: asyncio.run(router.acompletion("p", MESSAGES)))
    else:
        text = refusal(lambda: router.completion("p", MESSAGES))
    assert TOO_LONG in text or TRIES_AGAIN  # its Router keeps no cause then


@BOTH
@pytest.mark.parametrize("stream", [False, True])
def test_of_an_error_a_megabyte_is_read(
    config: Path, server: Recorder, is_async: bool, stream: bool
) -> None:
    sent: list[int] = []

    def endless() -> Iterator[bytes]:
        while True:
            yield b"0123456789abcdef" * 4096
            sent.append(65536)

    server.script = lambda request: Reply(401, endless())
    with pytest.raises(litellm.AuthenticationError):
        ask(is_async, stream=stream)
    # the rest is what the sockets of both sides hold
    assert sum(sent) < 32 * 2**20


def test_the_setting_stays_here(
    config: Path, server: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(is_async=False)
    assert "max_response_bytes" not in server.only.body
    assert "max_response_bytes" not in adapter.translate("p")
    assert "max_response_bytes" not in str(adapter.model_list())
    assert run_command(["config", "export"]) == 0
    out, err = capsys.readouterr()
    assert "max_response_bytes" not in out
    assert "max_response_bytes of provider 'p' is not in the file" in err


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[int]:
    """A TLS server that says 100 Continue for ever; its port."""
    certificate = tmp_path / "certificate.pem"
    write_certificate(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def play(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                plain, _ = listener.accept()
                with suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
                    connection.recv(65536)
                    while True:
                        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=play, args=(listener,))
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@BOTH
@pytest.mark.parametrize("stream", [False, True])
def test_the_time_limit_bounds_what_comes_over_tls(
    write: Write, secure: int, is_async: bool, stream: bool
) -> None:
    table = "[plugin.litellm.providers.p]\nssl_verify = false\n"
    write(provider(f"https://127.0.0.1:{secure}/v1", default_model="m") + table)

    began = time.monotonic()
    with pytest.raises(litellm.Timeout):
        ask(is_async, stream=stream, timeout=1)
    assert time.monotonic() - began < PATIENCE


@BOTH
def test_a_stream_may_take_longer_than_the_time_limit(
    config: Path, server: Recorder, is_async: bool
) -> None:
    """It goes on as long as the server is not silent."""
    from tests.recorder import chat_chunk

    def words() -> Iterator[bytes]:
        for _ in range(8):
            yield chat_chunk({"content": "x"})
            time.sleep(0.25)
        yield chat_chunk({}, "stop")
        yield b"data: [DONE]\n\n"

    server.script = lambda request: Reply(200, words())
    parts = ask(is_async, stream=True, timeout=1)
    assert "".join(part.choices[0].delta.content or "" for part in parts) == "x" * 8

"""Every way a query can fail: its exit code, and one short message that says what to do."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.command import PATIENCE, Outcome, provider, run, run_apart
from tests.recorder import ANSWER, Recorder, Reply, Request, chat_chunk, chat_stream

Write = Callable[..., Path]

KEY = "sk-the-providers-own-key"
STREAMED = pytest.mark.parametrize("stream", ["--stream", "--no-stream"])


@pytest.fixture(autouse=True)
def configured(write: Write, server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """One provider, ``p``, at the recording server."""
    write(provider(server.base_url, api_key_env="P_KEY", default_model="org/m"))
    monkeypatch.setenv("P_KEY", KEY)


def check_message(outcome: Outcome, base_url: str) -> str:
    """Check what holds for every failure's message, and return the message."""
    err = outcome.err
    assert err.startswith(f"Error: provider 'p' ({base_url}, key $P_KEY)"), err
    assert err.endswith("\n")
    assert len(err.splitlines()) <= 3
    assert max(map(len, err.splitlines())) < 450
    assert KEY not in err
    assert "Traceback" not in err
    assert "litellm" not in err.lower()
    assert outcome.out == ""
    return err


def test_an_answer_is_exit_code_0(server: Recorder) -> None:
    assert run("-m", "p", "hi") == (0, f"{ANSWER}\n", "")
    assert len(server.requests) == 1


STATUSES = {
    400: (1, ""),
    401: (3, "check the key $P_KEY"),
    402: (1, ""),
    403: (3, "check the key $P_KEY"),
    404: (4, "check the model id 'org/m' and base_url (often it ends in /v1)"),
    409: (1, ""),
    413: (1, ""),
    422: (1, ""),
    429: (5, "wait, or use another provider"),
    500: (7, "try again, or see the server's log"),
    502: (7, "try again, or see the server's log"),
    503: (7, "try again, or see the server's log"),
    529: (7, "try again, or see the server's log"),
}


@pytest.mark.parametrize("status", STATUSES)
@STREAMED
def test_a_status_decides_the_exit_code_after_one_request(
    status: int, stream: str, server: Recorder
) -> None:
    """The server echoes the key, as some do, and tries to drive the terminal."""
    server.fail(status, f"key {KEY} was\n not  liked\x1b[31m")

    outcome = run("-m", "p", stream, "hi")

    err = check_message(outcome, server.base_url)
    code, fix = STATUSES[status]
    assert outcome.code == code
    assert f" answered {status}: key *** was not liked\\x1b[31m\n" in err
    assert err.endswith(f"\n  {fix}\n" if fix else "[31m\n")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "code"), [(401, 3), (404, 4), (408, 6), (418, 1), (429, 5), (502, 7), (599, 7)]
)
@STREAMED
def test_a_status_with_a_page_instead_of_json_decides_as_well(
    status: int, code: int, stream: str, server: Recorder
) -> None:
    page = f"<html>\n<h1>Bad gateway</h1> {KEY} {'long ' * 500}</html>".encode()
    server.script = lambda request: Reply(status, page, {"Content-Type": "text/html"})

    outcome = run("-m", "p", stream, "hi")

    check_message(outcome, server.base_url)
    assert outcome.code == code
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body", [{"error": "so it is"}, {"detail": "so it is"}, {"message": "so it is"}], ids=str
)
def test_the_servers_words_are_found_in_other_forms(body: dict[str, str], server: Recorder) -> None:
    server.script = lambda request: Reply(400, body)

    assert " answered 400: so it is\n" in run("-m", "p", "hi").err


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, {"error": "Unexpected endpoint or method. (POST /chat/completions)"}, 7),  # LM Studio
        (200, b"<html>Open WebUI</html>", 7),
        (200, {}, 7),
        (404, {"detail": "Not Found"}, 4),
        (405, {"detail": "Method Not Allowed"}, 1),
    ],
    ids=str,
)
@STREAMED
def test_a_base_url_without_its_version_is_told(
    stream: str, status: int, body: object, code: int, write: Write, server: Recorder
) -> None:
    server.script = lambda request: Reply(status, body)
    write(provider(server.origin, "bare") + provider(server.base_url))

    outcome = run("-m", "bare/m", stream, "hi")

    assert outcome.code == code
    assert outcome.err.endswith(
        f'often base_url ends in /v1: write base_url = "{server.base_url}"\n'
    )
    assert "write base_url" not in run("-m", "p/m", stream, "hi").err


@pytest.mark.parametrize("status", [401, 429, 500])
def test_an_error_of_an_api_says_nothing_of_base_url(
    status: int, write: Write, server: Recorder
) -> None:
    write(provider(server.origin, default_model="m"))
    server.fail(status)

    assert "base_url =" not in run("-m", "p", "hi").err


# 2 and 3: before any request


def test_a_key_that_is_not_set_is_exit_code_3(
    server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("P_KEY")

    code, out, err = run("-m", "p", "hi")

    assert (code, out) == (3, "")
    assert err.startswith("Error: provider 'p' takes its key from $P_KEY, which is not set: export")
    assert server.requests == []


def test_a_server_that_wants_a_key_nobody_has_names_the_variable(
    write: Write, server: Recorder
) -> None:
    write(provider(server.base_url, "no-key"))
    server.fail(401)

    code, out, err = run("-m", "no-key/m", "hi")

    assert (code, out) == (3, "")
    assert err == (
        f"Error: provider 'no-key' ({server.base_url}, no key ($NO_KEY_API_KEY is not set)) "
        "answered 401: no\n  no key was found: export NO_KEY_API_KEY=...\n"
    )


@pytest.mark.parametrize(
    ("text", "model", "said"),
    [
        (provider("https://a.example", "a"), "a", "provider 'a' has no default_model: name one"),
        (provider("https://a.example", "a"), "a/", "'a/' names no model"),
        (provider("https://a.example", "a"), "local/m", "local/... needs OPENAI_BASE_URL"),
        (provider("a.example", "a"), "a/m", "base_url is not an absolute http(s) URL"),
        ("[[providers", "a/m", "not valid TOML"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_exit_code_2(
    text: str, model: str, said: str, write: Write
) -> None:
    write(text)

    code, out, err = run("-m", model, "hi")

    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert said in err


LITELLMS_OWN = [
    ("gpt-4o", "OPENAI_API_KEY"),
    ("openai/gpt-4o", "OPENAI_API_KEY"),
    ("anthropic/x", "ANTHROPIC_API_KEY"),
    ("gemini/x", "GOOGLE_API_KEY or GEMINI_API_KEY"),
    ("azure/x", "AZURE_API_KEY, AZURE_API_BASE, AZURE_API_VERSION"),
]


@pytest.mark.parametrize(("model", "variables"), LITELLMS_OWN)
def test_a_model_of_litellms_own_without_its_key(model: str, variables: str) -> None:
    done = run("-m", model, "hi")
    told = f"Error: model {model!r}: LiteLLM finds no key for it\n  set {variables}\n"
    assert done == (3, "", told)


def test_a_server_that_wants_the_key_of_a_model_of_litellms_own(server: Recorder) -> None:
    server.fail(401, "who are you")
    done = run("-m", "groq/x", "-o", "api_base", server.base_url, "hi")
    assert done.code == 3
    assert done.err.endswith(" answered 401: who are you\n  set GROQ_API_KEY\n")
    server.fail(500, "down")
    done = run("-m", "groq/x", "-o", "api_base", server.base_url, "hi")
    assert done.code == 7
    done = run("-m", "groq/x", "-o", "api_base", "https://no-such-host.invalid/v1", "hi")
    assert (done.code, done.out) == (6, "")
    assert done.err == (
        "Error: model 'groq/x' (https://no-such-host.invalid): the name of the host "
        "no-such-host.invalid is not known\n"
        "  LiteLLM finds no key for it either: set GROQ_API_KEY\n"
    )


# 4


@pytest.mark.parametrize(
    ("model", "hint"),
    [("groqq/m", " (did you mean 'groq'?)"), ("groqq", " (did you mean 'groq'?)"), ("zzz/m", "")],
)
@STREAMED
def test_a_model_nobody_knows_is_exit_code_4(
    model: str, hint: str, stream: str, write: Write, server: Recorder
) -> None:
    write(provider(server.base_url, "groq"))

    code, out, err = run("-m", model, stream, "hi")

    assert (code, out) == (4, "")
    assert err == (
        f"Error: unknown model {model!r}: no provider of that name, and LiteLLM knows none{hint}\n"
        "  `adapter providers list` shows the configured ones, `adapter providers add` adds one\n"
    )
    assert server.requests == []


def test_a_litellm_proxy_that_does_not_know_the_model_is_not_us(server: Recorder) -> None:
    """It says so in LiteLLM's own words."""
    server.fail(400, "litellm.BadRequestError: LLM Provider NOT provided. You passed model=x")

    code, _, err = run("-m", "p", "hi")

    assert code == 1
    assert err.startswith(f"Error: provider 'p' ({server.base_url}, key $P_KEY) answered 400: ")


# 6


@STREAMED
def test_a_refused_connection_fails_after_one_attempt(
    stream: str, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as closed:  # bound, so that nobody else gets the port; not listening
        closed.bind(("127.0.0.1", 0))
        base_url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        write(provider(base_url, api_key_env="P_KEY"))
        with caplog.at_level(logging.DEBUG, logger="httpcore.connection"):
            outcome = run("-m", "p/m", stream, "hi")

    err = check_message(outcome, base_url)
    assert outcome.code == 6
    assert "): the connection was refused\n  check base_url and the network: " in err
    assert [r.getMessage().split()[0] for r in caplog.records].count("connect_tcp.started") == 1


@STREAMED
def test_an_unknown_host_is_exit_code_6(stream: str, write: Write) -> None:
    base_url = "https://no-such-host.invalid/v1"  # RFC 6761: .invalid never resolves
    write(provider(base_url, api_key_env="P_KEY"))

    outcome = run("-m", "p/m", stream, "hi")

    assert outcome.code == 6
    told = "): the name of the host no-such-host.invalid is not known\n"
    assert told in check_message(outcome, base_url)


def test_a_server_that_does_not_speak_tls_is_exit_code_6(write: Write, server: Recorder) -> None:
    base_url = server.base_url.replace("http:", "https:")
    write(provider(base_url, api_key_env="P_KEY"))

    outcome = run("-m", "p/m", "hi")

    assert outcome.code == 6
    assert "): the TLS handshake failed\n" in check_message(outcome, base_url)


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """An event that the server waits for, and that is set when the test is over."""
    event = threading.Event()
    yield event
    event.set()


@STREAMED
def test_a_silent_server_is_exit_code_6_when_the_time_is_up(
    stream: str, server: Recorder, released: threading.Event
) -> None:
    """The server stays silent for as long as the test runs: it ends by the time limit or not."""
    arrived = threading.Event()

    def silent(request: Request) -> None:
        arrived.set()
        released.wait()

    server.script = silent

    outcome = run("-m", "p", stream, "--timeout", "0.2", "hi")

    assert outcome.code == 6
    assert "): no answer within the time limit\n" in check_message(outcome, server.base_url)
    assert arrived.wait(PATIENCE)
    assert len(server.requests) == 1


def test_a_server_that_falls_silent_is_exit_code_7_and_the_answer_so_far_stays(
    server: Recorder, released: threading.Event
) -> None:
    def pieces() -> Iterator[bytes]:
        yield chat_stream(["One ", "two"], done=False)
        released.wait()

    server.script = lambda request: Reply(body=pieces())

    # long enough for the first words to come, however busy the machine is
    code, out, err = run("-m", "p", "--timeout", "2", "hi")

    assert (code, out) == (7, "One two\n")
    assert "no answer within the time limit\n" in err
    assert err.endswith("\n  the answer above is not complete\n")


# 7


class Broken(NamedTuple):
    """A reply that cannot be used."""

    name: str
    reply: Reply


HTML = {"Content-Type": "text/html"}
SSE = {"Content-Type": "text/event-stream"}
BROKEN = [
    Broken("empty", Reply(body=b"")),
    Broken("null", Reply(body=None)),
    Broken("object", Reply(body={})),
    Broken("page", Reply(body=f"<html>Log in with {KEY}</html>".encode(), headers=HTML)),
    Broken("half JSON", Reply(body=b'{"choices": [')),
    Broken("cut JSON", Reply(body=b'{"choices": [', cut=True)),
    Broken("half an event", Reply(body=b'data: {"choices": [\n\n', headers=SSE)),
    Broken("no event", Reply(body=b": nothing\n\n", headers=SSE)),
    Broken("cut at once", Reply(body=b"", cut=True)),
    Broken("cut events", Reply(body=b"data: ", cut=True)),
    Broken("events of nothing", Reply(body=b"data: [DONE]\n\n")),
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
@STREAMED
def test_a_reply_that_cannot_be_used_is_exit_code_7(
    broken: Broken, stream: str, server: Recorder
) -> None:
    server.script = lambda request: broken.reply

    code, out, err = run("-m", "p", stream, "hi")

    assert (code, out) == (7, "")
    assert err.startswith(f"Error: provider 'p' ({server.base_url}")
    assert len(err.splitlines()) <= 2
    assert KEY not in err
    assert " answered 500" not in err, "the server did not say so: it is LiteLLM's number"
    assert len(server.requests) == 1


@STREAMED
def test_a_server_that_hangs_up_is_exit_code_7(stream: str, write: Write) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        base_url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        write(provider(base_url, api_key_env="P_KEY"))
        accepted = []

        def hang_up() -> None:
            with suppress(OSError):  # of the shutdown
                while True:
                    connection, _ = listening.accept()
                    accepted.append(connection.recv(65536))
                    connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        outcome = run("-m", "p/m", stream, "hi")
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()

    assert outcome.code == 7
    assert "the connection ended before all of the reply" in check_message(outcome, base_url)
    assert len(accepted) == 1


ERROR_EVENT = b'data: {"error": {"message": "overloaded, %s", "code": 503}}\n\n' % KEY.encode()


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(body=chat_stream(["One ", "two"], done=False), cut=True), "the connection ended"),
        (Reply(body=chat_stream(["One ", "two"], done=False) + b"data: {\n\n"), "is not JSON"),
        (Reply(body=chat_stream(["One ", "two"], done=False) + ERROR_EVENT), "overloaded, ***"),
    ],
    ids=["cut", "malformed", "error"],
)
def test_a_stream_that_breaks_leaves_the_answer_so_far_and_says_it_is_incomplete(
    reply: Reply, said: str, server: Recorder
) -> None:
    server.script = lambda request: reply

    code, out, err = run("-m", "p", "hi")

    assert (code, out) == (7, "One two\n")
    assert err.startswith(f"Error: provider 'p' ({server.base_url}, key $P_KEY)")
    assert said in err
    assert err.endswith("\n  the answer above is not complete\n")
    assert KEY not in err


# Retries and fallbacks


@pytest.mark.parametrize("name", ["max_retries", "num_retries"])
@pytest.mark.parametrize(("status", "requests"), [(500, 3), (429, 3), (401, 1)])
def test_retries_are_made_when_they_are_asked_for_and_only_where_they_may_help(
    name: str, status: int, requests: int, server: Recorder
) -> None:
    server.fail(status, **{"retry-after-ms": "1"})

    code, _, err = run("-m", "p", "-o", name, "2", "hi")

    assert code == STATUSES[status][0]
    assert f" answered {status}: no\n" in err
    assert len(server.requests) == requests


def test_a_retry_that_succeeds_is_a_success(server: Recorder) -> None:
    def once(request: Request) -> Reply | None:
        first = len(server.requests) == 1
        return Reply(500, {"error": {}}, {"retry-after-ms": "1"}) if first else None

    server.script = once

    assert run("-m", "p", "-o", "max_retries", "2", "hi") == (0, f"{ANSWER}\n", "")
    assert len(server.requests) == 2


def test_retries_may_be_configured(write: Write, server: Recorder) -> None:
    write(provider(server.base_url) + "[plugin.litellm.providers.p]\nnum_retries = 1\n")
    server.fail(500, **{"retry-after-ms": "1"})

    assert run("-m", "p/m", "hi").code == 7
    assert len(server.requests) == 2


@STREAMED
def test_a_fallback_that_fails_is_the_one_that_is_named(
    stream: str, write: Write, server: Recorder, other_server: Recorder
) -> None:
    write(
        provider(server.base_url, api_key_env="P_KEY")
        + provider(other_server.base_url, "other", api_key="key-of-the-other")
    )
    server.fail(500)
    other_server.fail(401, "no such key: key-of-the-other")

    code, out, err = run("-m", "p/m", stream, "-o", "fallbacks", '["other/n"]', "hi")

    assert (code, out) == (3, "")
    assert err == (
        f"Error: provider 'other' ({other_server.base_url}, key (configured directly)) "
        "answered 401: no such key: ***\n  check the key (configured directly)\n"
    )
    assert (len(server.requests), len(other_server.requests)) == (1, 1)


def test_a_call_that_names_another_base_is_said_to_have_gone_there(
    server: Recorder, other_server: Recorder
) -> None:
    """And the key of the provider did not go along."""
    other_server.fail(401)

    code, out, err = run("-m", "p", "-o", "api_base", other_server.base_url, "hi")

    assert (code, out) == (3, "")
    assert err.startswith(f"Error: provider 'p' ({other_server.base_url}, key (none, since ")
    assert server.requests == []
    assert other_server.only.key == "default-key"


def test_a_key_that_litellm_chose_is_not_shown_either(
    server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    monkeypatch.setenv("GROQ_API_BASE", server.base_url)
    server.fail(401, f"no such key: {KEY}")

    code, out, err = run("-m", "groq/m", "hi")

    assert (code, out) == (3, "")
    assert err == (
        "Error: model 'groq/m' answered 401: no such key: ***\n"
        "  check the key's environment variable\n"
    )


def test_verbose_adds_to_a_failure_and_changes_nothing(server: Recorder) -> None:
    server.fail(429, KEY)

    code, out, err = run("-v", "-m", "p", "hi")

    assert (code, out) == (5, "")
    assert [line.partition(" ")[0] for line in err.splitlines()] == [
        "adapter:",
        "Error:",
        "",
        "adapter:",
    ]
    assert "in this process" in err
    assert KEY not in err


def test_a_tool_call_cut_short_is_not_printed(server: Recorder) -> None:
    part = {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x'}}
    body = chat_chunk({"tool_calls": [part]})
    server.script = lambda request: Reply(body=body, cut=True)

    code, out, _ = run("-m", "p", "hi")

    assert (code, out) == (7, "")


def test_a_proxy_that_is_not_there_is_named_by_its_variable(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(provider("http://elsewhere.example/v1", api_key_env="P_KEY", default_model="m"))
    monkeypatch.setenv("NO_PROXY", "localhost")
    monkeypatch.setenv("HTTP_PROXY", "http://me:secret@127.0.0.1:1")
    done = run("-m", "p", "hi")
    assert done.code == 6
    assert "through the proxy http://127.0.0.1:1 of $HTTP_PROXY" in done.err
    assert "secret" not in done.err
    done = run("-m", "openai/m", "-o", "api_base", "http://elsewhere.example/v1", "hi")
    assert "LiteLLM finds no key for it" in done.err
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    done = run("-m", "openai/m", "-o", "api_base", "http://elsewhere.example/v1", "hi")
    assert "Error: model 'openai/m' (http://elsewhere.example): " in done.err
    assert "through the proxy http://127.0.0.1:1 of $HTTP_PROXY" in done.err


def test_a_proxy_that_cannot_be_used_is_no_fault_of_the_provider(write: Write) -> None:
    """A query says what `models` says."""
    write(provider("https://elsewhere.example/v1", default_model="m"))
    variables = {"HTTPS_PROXY": "gopher://127.0.0.1:1", "NO_PROXY": "localhost"}
    words = "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY or NO_PROXY cannot be used: Unknown scheme"

    asked = run_apart({**os.environ, **variables}, "-m", "p", "hi")
    listed = run_apart({**os.environ, **variables}, "models")

    assert (asked.returncode, asked.stdout) == (2, "")
    assert asked.stderr.startswith(f"Error: {words}")
    assert listed.stderr.startswith(f"warning: {words}")


def test_an_ipv6_address_in_no_proxy_is_no_fault_of_the_provider(
    write: Write, server: Recorder
) -> None:
    """httpx takes it without brackets and raises InvalidURL for any request otherwise."""
    write(provider("http://elsewhere.example/v1", api_key_env="P_KEY", default_model="m"))
    proxy = {"HTTP_PROXY": server.origin, "NO_PROXY": "localhost,[::1]", "no_proxy": "[::1]"}
    done = run_apart({**os.environ, **proxy}, "-m", "p", "hi")
    assert (done.returncode, done.stdout) == (0, f"{ANSWER}\n"), done.stderr
    assert server.only.key == KEY


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_too_few_open_files_end_in_a_message(write: Write, server: Recorder) -> None:
    import resource

    write(provider(server.base_url, default_model="m"))

    def ask(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "adapter", *args],
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    done = ask("-m", "p", "hi")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "Error: only 8 files may be open at a time, too few for a call: ulimit -n 16, or more\n"
    )
    assert ask("providers", "list").returncode == 0

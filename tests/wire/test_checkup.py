"""``adapter providers test`` and ``adapter models``, against servers that fail at one step each."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adapter.config.loading import load_config
from adapter.config.provider import Provider
from adapter.errors import AdapterError
from adapter.providers import model_cache
from adapter.providers.checkup import STEPS, check, exit_code
from adapter.providers.discovery import models_of
from adapter.providers.model_cache import cache_file, cache_models, cached_models
from tests.command import PATIENCE, at_a_terminal, run, started
from tests.command import provider as table
from tests.recorder import Recorder, Reply, Request, recording_server, write_certificate

Write = Callable[..., Path]


def steps(*args: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Run ``providers test --json`` for one provider; return its exit code and steps by name."""
    done = run("providers", "test", "--json", *args)
    (row,) = json.loads(done.out)
    assert row["exit_code"] == done.code
    assert row["ok"] is (done.code == 0)
    return done.code, {step["step"]: step for step in row["steps"]}


def test_all_is_well(server: Recorder, write: Write) -> None:
    write(table(server.base_url, default_model="m", api_key="sk-canary"))
    code, found = steps()
    assert code == 0
    assert list(found) == list(STEPS)
    assert found["TLS"]["status"] == "skipped"
    assert {s["status"] for n, s in found.items() if n != "TLS"} == {"ok"}
    assert all(s["seconds"] >= 0 for s in found.values())
    listed, asked = server.requests
    assert (listed.method, listed.path, listed.key) == ("GET", "/v1/models", "sk-canary")
    assert (asked.path, asked.body["max_tokens"]) == ("/v1/chat/completions", 1)
    text = run("providers", "test").out
    assert text.startswith(f"✅ p ({server.base_url})\n")
    assert "canary" not in text + str(found)


def failing(found: dict[str, dict[str, Any]]) -> str:
    """Return the failing step, which must be the last."""
    assert [s["status"] for s in found.values()].count("failed") == 1
    *_, last = found.values()
    assert last["status"] == "failed"
    return str(last["step"])


def test_a_key_that_is_not_set(server: Recorder, write: Write) -> None:
    write(table(server.base_url, api_key_env="NOT_SET"))
    code, found = steps()
    assert (code, failing(found)) == (3, "key")
    assert "export NOT_SET=..." in found["key"]["message"]
    assert not server.requests


def test_a_name_that_is_not_known(write: Write) -> None:
    write(table("http://no-such-host.invalid/v1"))
    code, found = steps()
    assert (code, failing(found)) == (6, "name")
    assert "check base_url" in found["name"]["fix"]


def test_a_port_where_nobody_listens(write: Write) -> None:
    write(table("http://127.0.0.1:1/v1"))
    code, found = steps()
    assert (code, failing(found)) == (6, "connect")
    assert "Connection refused" in found["connect"]["message"]


@pytest.fixture
def https(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An HTTPS server with a certificate of its own; its base URL and that certificate."""
    certificate = tmp_path / "cert.pem"
    write_certificate(certificate)
    with recording_server(certificate=certificate) as server:
        server.script = lambda request: Reply(500, {}) if request.method == "POST" else None
        yield server.base_url, certificate


def test_a_certificate_of_ones_own(
    https: tuple[str, Path], write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(table(https[0]))
    code, found = steps()
    assert (code, failing(found)) == (6, "TLS")
    assert "certificate cannot be verified: self" in found["TLS"]["message"]
    assert "SSL_CERT_FILE" in found["TLS"]["fix"]
    monkeypatch.setenv("SSL_CERT_FILE", str(https[1].with_name("none.pem")))
    asked = run("-m", "p/m", "hi")
    assert asked.code == 6
    assert "$SSL_CERT_FILE names" in asked.err
    assert "which does not exist: correct or unset it" in asked.err
    code, found = steps()
    assert (code, failing(found)) == (2, "TLS")
    assert "$SSL_CERT_FILE names" in found["TLS"]["message"]
    monkeypatch.setenv("SSL_CERT_FILE", str(https[1]))
    code, found = steps()
    assert found["TLS"]["message"].startswith("TLSv1")
    assert failing(found) == "completion"


def test_https_to_a_server_without_tls(server: Recorder, write: Write) -> None:
    write(table(server.base_url.replace("http:", "https:")))
    code, found = steps()
    assert (code, failing(found)) == (6, "TLS")


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused(server: Recorder, write: Write, status: int) -> None:
    write(table(server.base_url, api_key="sk-canary-key", default_model="m"))
    server.fail(status, "bad key sk-canary-key")
    code, found = steps()
    assert (code, failing(found)) == (3, "authentication")
    assert f"answered {status}: bad key ***" in found["authentication"]["message"]
    assert found["authentication"]["fix"] == "check the key (configured directly)"
    assert len(server.requests) == 1


def test_a_redirect_has_its_fix(server: Recorder, other_server: Recorder, write: Write) -> None:
    write(table(server.base_url, api_key="sk-canary", default_model="m"))
    where = {"Location": f"{other_server.base_url}/models"}
    server.script = lambda r: Reply(301, b"", where)
    code, found = steps()
    assert (code, failing(found)) == (1, "models")
    assert f"it redirects to {other_server.base_url}/models" in found["models"]["message"]
    assert found["models"]["fix"] == f'write base_url = "{other_server.base_url}"'
    assert not other_server.requests


def test_a_proxy_that_is_not_there_is_named(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(table("http://elsewhere.example/v1"))
    monkeypatch.setenv("NO_PROXY", "localhost")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    code, found = steps()
    assert (code, failing(found)) == (6, "connect")
    assert "the proxy 127.0.0.1:1 of $HTTP_PROXY: Connection ref" in found["connect"]["message"]
    assert "set NO_PROXY=elsewhere.example" in found["connect"]["fix"]


@pytest.mark.parametrize("listed", [["m"], ["another"]])
def test_a_deployment_that_wants_max_completion_tokens(
    server: Recorder, write: Write, listed: list[str]
) -> None:
    """As reasoning models of OpenAI and Azure do, whatever their deployment is called."""
    write(table(server.base_url, default_model="m"))
    words = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    refused = Reply(400, {"error": {"message": words, "code": "unsupported_parameter"}})
    listing_of = listing(listed)
    server.script = lambda r: (
        refused if r.method == "POST" and "max_tokens" in r.body else listing_of(r)
    )
    code, found = steps()
    assert (code, found["completion"]["status"]) == (0, "warning")
    assert found["completion"]["message"] == "m answered; it refuses max_tokens"
    assert "-o max_completion_tokens N" in found["completion"]["fix"]
    assert server.last.body["max_completion_tokens"] > 1
    assert len(server.requests) == 3


def test_a_path_that_lacks_v1(server: Recorder, write: Write) -> None:
    write(table(server.origin, default_model="m"))
    server.script = lambda r: None if r.path.startswith("/v1/") else Reply(404, b"<html>")
    code, found = steps()
    assert (code, failing(found)) == (4, "models")
    assert found["models"]["fix"] == f'write base_url = "{server.base_url}"'


def test_a_web_page_where_the_api_is_below_v1(server: Recorder, write: Write) -> None:
    """As servers with a page of their own do, which they give for every path they do not know."""
    write(table(server.origin, default_model="m"))
    server.script = lambda r: None if r.path.startswith("/v1/") else Reply(200, b"<html>")
    code, found = steps()
    assert (code, failing(found)) == (4, "models")
    assert found["models"]["fix"] == f'write base_url = "{server.base_url}"'


def test_a_server_that_lists_no_models(server: Recorder, write: Write) -> None:
    write(table(server.base_url, default_model="m"))
    server.script = lambda r: Reply(404, {}) if r.method == "GET" else None
    code, found = steps()
    assert code == 0
    skipped = [n for n, s in found.items() if s["status"] == "skipped"]
    assert skipped == ["TLS", "authentication", "models", "default model"]
    assert found["completion"]["status"] == "ok"


def test_a_reply_that_is_no_list(server: Recorder, write: Write) -> None:
    write(table(server.base_url))
    server.script = lambda r: Reply(200, b"<html>")
    code, found = steps()
    assert (code, failing(found)) == (7, "models")
    assert "is not a list of models" in found["models"]["message"]
    assert "502" not in found["models"]["message"]
    assert "Often it ends in /v1" in found["models"]["fix"]


def test_json_that_is_no_list_leaves_it_to_the_completion(server: Recorder, write: Write) -> None:
    write(table(server.base_url, default_model="m"))
    server.script = lambda r: Reply(200, {"hello": 1}) if r.method == "GET" else None
    code, found = steps()
    assert (code, found["models"]["status"], found["completion"]["status"]) == (0, "skipped", "ok")


@pytest.mark.parametrize(
    ("reply", "code", "status"),
    [(Reply(404, {}), 2, "failed"), (Reply(200, {"data": []}), 0, "skipped")],
)
def test_no_model_to_ask(
    server: Recorder, write: Write, reply: Reply, code: int, status: str
) -> None:
    write(table(server.base_url))
    server.script = lambda r: reply
    found_code, found = steps()
    assert (found_code, found["completion"]["status"]) == (code, status)
    assert ("default_model" in found["completion"]["fix"]) is (code == 2)


def test_without_a_default_a_model_that_chats_is_asked(server: Recorder, write: Write) -> None:
    write(table(server.base_url))
    ids = ["whisper-large-v3", "text-embedding-3", "llama", "qwen"]
    server.script = lambda r: (
        Reply(200, {"data": [{"id": i} for i in ids]}) if r.method == "GET" else None
    )
    assert steps()[0] == 0
    assert server.last.body["model"] == "llama"


def test_one_request_to_this_provider_whatever_is_configured(
    server: Recorder, other_server: Recorder, write: Write
) -> None:
    write(
        table(server.base_url, default_model="m")
        + table(other_server.base_url, "other", default_model="m")
        + '[plugin.litellm.providers.p]\nfallbacks = ["other"]\nnum_retries = 2\n'
    )
    server.script = lambda r: Reply(500, {}) if r.method == "POST" else None
    code, found = steps("p")
    assert (code, failing(found)) == (7, "completion")
    assert [r.method for r in server.requests] == ["GET", "POST"]
    assert not other_server.requests


def test_the_working_directory_cannot_send_the_key_elsewhere(
    server: Recorder, other_server: Recorder, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``./.env``, which LiteLLM would load in a program without a file (see ``test_query``)."""
    monkeypatch.delenv("NO_PROXY")
    write(table(server.base_url, default_model="m", api_key="sk-canary"))
    Path(".env").write_text(f"http_proxy={other_server.origin}\n", encoding="utf-8")
    program = "from adapter.cli.main import main; main()"
    asked = [sys.executable, "-c", program, "providers", "test"]
    done = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert not other_server.requests
    assert [r.method for r in server.requests] == ["GET", "POST"]


def test_importing_litellm_is_no_part_of_the_completions_time(
    server: Recorder, write: Write
) -> None:
    """It comes after the list of models and before the completion, and takes most of that time."""
    write(table(server.base_url, default_model="m"))
    came: list[float] = []
    server.script = lambda r: came.append(time.perf_counter())
    with started("providers", "test", "--json") as process:
        out, _ = process.communicate()
    (row,) = json.loads(out)
    listed, asked = came
    assert row["steps"][-1]["seconds"] < asked - listed


def test_a_list_that_never_ends_is_given_up(server: Recorder) -> None:
    over = threading.Event()

    def drip() -> Iterator[bytes]:
        while not over.wait(0.05):
            yield b" "

    server.script = lambda r: Reply(200, drip())
    provider = Provider(name="p", base_url=server.base_url)
    try:
        with pytest.raises(AdapterError, match="no answer within the time limit") as caught:
            models_of(provider, timeout=0.3)
        assert caught.value.exit_code == 6
    finally:
        over.set()


def test_every_step_has_a_limit(server: Recorder) -> None:
    over = threading.Event()

    def hang(request: Request) -> None:
        over.wait(PATIENCE)

    server.script = hang
    try:
        *_, last = check(Provider(name="p", base_url=server.base_url), limit=0.5)
        assert (last.step, last.status, last.exit_code) == ("authentication", "failed", 6)
        assert last.message == "no answer within 0.5 s"
        assert last.seconds < PATIENCE / 2
    finally:
        over.set()


@pytest.mark.parametrize("args", [["providers", "test", "--all"], ["models"]], ids=" ".join)
def test_ctrl_c_waits_for_no_server(server: Recorder, write: Write, args: list[str]) -> None:
    write(table(server.base_url, "a") + table(server.base_url, "b"))
    over, both = threading.Event(), threading.Barrier(3)

    def hang(request: Request) -> None:
        both.wait(PATIENCE)
        over.wait(PATIENCE)

    server.script = hang
    try:
        with started(*args) as process:
            both.wait(PATIENCE)
            begun = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=PATIENCE)
            assert time.monotonic() - begun < 5  # the servers would be given 10 s
        assert (process.returncode, err) == (130, b"\n")
    finally:
        over.set()


def test_a_model_that_is_not_there(server: Recorder, write: Write) -> None:
    write(table(server.base_url, default_model="llama-3.1-8b"))
    ids = ["llama-3.1-8b-instant", "qwen", "llama-3.3-70b"]
    server.script = lambda r: Reply(200, {"data": [{"id": i} for i in ids]})
    code, found = steps()
    assert (code, failing(found)) == (4, "default model")
    assert found["default model"]["fix"].startswith(
        "use one of the closest models: llama-3.1-8b-instant"
    )


UNLISTED = ["gpt-4o-prod", "meta-llama/llama-3.3-70b-instruct:free", "gemini-2.5-flash"]
LISTED = ["gpt-4o", "meta-llama/llama-3.3-70b-instruct", "models/gemini-2.5-flash"]


def listing(ids: list[str], reply: Reply | None = None) -> Callable[[Request], Reply | None]:
    """Return a script that lists ``ids`` and answers the rest with ``reply``."""
    listed = Reply(200, {"data": [{"id": i} for i in ids]})
    return lambda r: listed if r.method == "GET" else reply


@pytest.mark.parametrize("model", UNLISTED)
def test_a_model_that_is_not_listed_but_answers_is_a_warning(
    server: Recorder, write: Write, model: str
) -> None:
    """Azure's deployments, OpenRouter's variants and Gemini's ids without ``models/``."""
    write(table(server.base_url, default_model=model))
    server.script = listing(LISTED)
    code, found = steps()
    assert code == 0
    assert list(found) == list(STEPS)
    step = found["default model"]
    assert (step["status"], found["completion"]["status"]) == ("warning", "ok")
    assert (
        step["message"]
        == f"{model!r} is not listed by the server (the completion shows whether it works)"
    )
    near = dict(zip(UNLISTED, LISTED, strict=True))[model]
    assert step["fix"].startswith(f"if it is misspelt, use one of the closest models: {near}")
    assert server.last.body["model"] == model
    text = run("providers", "test").out
    assert text.startswith("✅ p (")
    assert "   ! default model" in text


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_model_that_is_not_listed_and_does_not_answer_fails(
    server: Recorder, write: Write, status: int
) -> None:
    write(table(server.base_url, default_model="gpt-4o-prod"))
    server.script = listing(LISTED, Reply(status, {"error": {"message": "no such model"}}))
    code, found = steps()
    assert (code, failing(found)) == (4, "default model")
    step = found["default model"]
    assert step["message"].startswith("'gpt-4o-prod' is not listed by the server: provider 'p' (")
    assert f"answered {status}: " in step["message"]
    assert "no such model" in step["message"]
    assert step["fix"].startswith("use one of the closest models: gpt-4o")


@pytest.mark.parametrize(("status", "code"), [(401, 3), (403, 3), (429, 5), (408, 6)])
def test_a_failure_that_says_nothing_of_the_model_is_the_completions(
    server: Recorder, write: Write, status: int, code: int
) -> None:
    """As OpenRouter does, which lists its models to anybody and refuses the key afterwards."""
    write(table(server.base_url, default_model="gpt-4o-prod"))
    server.script = listing(LISTED, Reply(status, {"error": {"message": "no"}}))
    found_code, found = steps()
    assert (found_code, failing(found)) == (code, "completion")
    assert found["default model"]["status"] == "warning"


def test_a_tag_that_is_left_out_is_latest(server: Recorder, write: Write) -> None:
    write(table(server.base_url, default_model="llama3.2"))
    server.script = lambda r: (
        Reply(200, {"data": [{"id": "llama3.2:latest"}]}) if r.method == "GET" else None
    )
    assert steps()[0] == 0
    assert run("models", "p").out == "p/llama3.2:latest *\n"


@pytest.mark.parametrize(("status", "code"), [(429, 5), (500, 7), (404, 4)])
def test_a_completion_that_fails(server: Recorder, write: Write, status: int, code: int) -> None:
    write(table(server.base_url, default_model="m"))
    error = {"error": {"message": "no"}}
    server.script = lambda r: Reply(status, error) if r.method == "POST" else None
    found_code, found = steps()
    assert (found_code, failing(found)) == (code, "completion")
    assert [r.method for r in server.requests] == ["GET", "POST"]


def test_several_at_once(server: Recorder, other_server: Recorder, write: Write) -> None:
    write(
        table(server.base_url, "well", default_model="m")
        + table(other_server.base_url, "refused", default_model="m")
        + table("http://127.0.0.1:1/v1", "dead")
    )
    other_server.fail(401)
    refused = run("providers", "test")
    assert refused.code == 2
    assert "name one of these, or use --all: well, refused, dead" in refused.err
    done = run("providers", "test", "--all")
    assert done.code == 1
    heads = [line for line in done.out.splitlines() if line[:1] in "✅❌" and line]
    assert [head.split()[1] for head in heads] == ["well", "refused", "dead"]
    assert run("providers", "test", "dead").code == 6
    assert run("providers", "test", "nobody").code == 4
    assert run("providers", "test", "--all", "dead").code == 2


def test_they_do_not_wait_for_each_other(write: Write) -> None:
    both = threading.Barrier(2)

    def meet(request: Request) -> None:
        if request.method == "GET":
            both.wait(PATIENCE)  # broken when one is asked only after the other has answered

    with recording_server() as one, recording_server() as two:
        one.script = two.script = meet
        write(table(one.base_url, "a") + table(two.base_url, "b"))
        assert run("providers", "test", "--all").code == 0


@pytest.mark.parametrize(
    ("codes", "code"), [([0, 0], 0), ([0, 6], 6), ([6, 6, 0], 6), ([3, 6], 1), ([], 0)]
)
def test_the_exit_code_of_several(codes: list[int], code: int) -> None:
    assert exit_code(codes) == code


def test_a_live_table_on_a_terminal(server: Recorder, write: Write) -> None:
    write(table(server.base_url, "well", default_model="m") + table("http://127.0.0.1:1", "dead"))
    code, text = at_a_terminal("providers", "test", "--all")
    assert code == 6
    assert "\x1b[2A\x1b[2K" in text  # two lines up, drawn anew
    last = text.rpartition("\x1b[2A")[2]
    assert "✔✔✔–✔✔✔✔ well  completion (" in last  # noqa: RUF001 - a dash, as shown
    assert "✔✔✘      dead  connect (" in last
    assert "❌ dead" in last


def test_the_live_line_names_the_step_that_runs(server: Recorder, write: Write) -> None:
    write(table(server.base_url, "slow", default_model="m"))
    server.script = listing(["another"])
    _, text = at_a_terminal("providers", "test")
    shown = re.findall(r"slow  (.*) \([\d.]+ s\)", text)
    assert list(dict.fromkeys(shown)) == [*(f"{step} ..." for step in STEPS), "completion"]
    assert "✅ slow" in text  # with its warning, which no mark tells
    assert "fix: if it is misspelt, use one of the closest models: another" in text


def test_a_dumb_terminal_gets_plain_lines(write: Write) -> None:
    write(table("http://127.0.0.1:1", "dead"))
    code, text = at_a_terminal("providers", "test", environ={"TERM": "dumb"})
    assert code == 6
    assert "\x1b" not in text
    assert text.startswith("❌ dead (http://127.0.0.1:1)")


def test_pass_and_fail_differ_in_ascii(server: Recorder, write: Write) -> None:
    write(table(server.base_url, "well", default_model="m") + table("http://127.0.0.1:1", "dead"))
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    with started("providers", "test", "--all", env=ascii_only) as process:
        out, _ = process.communicate()
    lines = out.decode("ascii").splitlines()
    assert lines[0] == f"PASS well ({server.base_url})"
    assert "FAIL dead (http://127.0.0.1:1)" in lines
    assert [line.split()[0] for line in lines if "connect  " in line] == ["+", "x"]
    assert "?" not in out.decode().replace("port right?", "")


def test_the_table_fits_a_small_terminal(write: Write) -> None:
    """A line that wraps, or one above the first row, could not be drawn again in its place."""
    names = ["模型" * 20, *(f"dead{i}" for i in range(15))]
    write("".join(table("http://127.0.0.1:1", name) for name in names))
    code, text = at_a_terminal(
        "providers", "test", "--all", environ={"COLUMNS": "30", "LINES": "8"}
    )
    drawn, _, reports = text.partition("❌")
    assert code == 6
    assert reports.count("❌") == 15
    assert {int(up) for up in re.findall(r"\x1b\[(\d+)A", drawn)} == {7}
    lines = re.findall(r"\x1b\[2K(.*)\r\n", drawn)
    assert max(sum(2 if c in "模型" else 1 for c in line) for line in lines) == 29
    assert lines[-1] == "and 10 more"


# ---- adapter models


def test_models(server: Recorder, other_server: Recorder, write: Write) -> None:
    write(
        table(server.base_url, "a", default_model="m")
        + table(other_server.base_url, "b", api_key_env="NOT_SET")
    )
    done = run("models")
    assert (done.code, done.out) == (1, "a/m *\n")
    assert "warning: provider 'b' takes its key from $NOT_SET" in done.err
    assert run("models", "a") == (0, "a/m *\n", "")
    assert run("models", "b").code == 3
    assert run("models", "c").code == 4
    assert json.loads(run("models", "a", "--json").out) == [
        {"provider": "a", "default_model": "m", "models": ["m"]}
    ]


def test_control_characters_of_a_server_are_not_listed(server: Recorder, write: Write) -> None:
    write(table(server.base_url))
    server.script = lambda r: Reply(200, {"data": [{"id": "ok"}, {"id": "evil\x1b[2J"}]})
    assert run("models").out == "p/ok\n"


def test_the_cache(server: Recorder, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(table(server.base_url, api_key="sk-canary"))
    provider = load_config().provider("p")
    assert cached_models(provider) is None
    run("models")
    assert cached_models(provider) == ["m"]
    assert cache_file().stat().st_mode & 0o777 == 0o600
    assert "canary" not in cache_file().read_text()
    write(table("http://elsewhere/v1"))
    assert cached_models(load_config().provider("p")) is None
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3601)
    assert cached_models(provider) is None
    monkeypatch.undo()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"format": 9}', '{"format": 1, "lists": 3}', "[" * 99999, "\ud800"],
)
def test_a_cache_that_makes_no_sense(server: Recorder, write: Write, content: str) -> None:
    write(table(server.base_url))
    provider = load_config().provider("p")
    cache_file().parent.mkdir(parents=True)
    cache_file().write_bytes(content.encode("utf-8", "surrogatepass"))
    assert cached_models(provider) is None
    cache_models({"p": ["x"]}, [provider])
    assert cached_models(provider) == ["x"]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "directory"])
def test_what_stands_in_the_caches_place_hangs_nothing(
    server: Recorder, write: Write, make: Callable[[Path], None]
) -> None:
    """A shell that completes a word would wait for somebody to write into a FIFO."""
    write(table(server.base_url))
    cache_file().parent.mkdir(parents=True)
    make(cache_file())
    code = (
        "from adapter.config.loading import load_config; "
        "from adapter.providers.model_cache import cached_models; "
        "print(cached_models(load_config().provider('p')))"
    )
    assert run("models") == (0, "p/m\n", "")
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"None\n", b"")


def test_a_cache_that_is_too_large_is_not_read_and_not_written(
    server: Recorder, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(table(server.base_url))
    provider = load_config().provider("p")
    cache_models({"p": ["x"]}, [provider])
    size = cache_file().stat().st_size
    monkeypatch.setattr(model_cache, "MAX_BYTES", size)
    assert cached_models(provider) == ["x"]
    cache_models({"p": ["x" * 99]}, [provider])
    assert cached_models(provider) == ["x"]
    monkeypatch.setattr(model_cache, "MAX_BYTES", size - 1)
    assert cached_models(provider) is None


@pytest.mark.parametrize(
    "made", ["1e999", "-1e999", "NaN", f"1{'0' * 400}", f"-1{'0' * 400}", '"x"']
)
def test_a_time_that_is_none(server: Recorder, write: Write, made: str) -> None:
    write(table(server.base_url))
    provider = load_config().provider("p")
    cache_models({"p": ["x"]}, [provider])
    kept = json.loads(cache_file().read_text())
    text = json.dumps(kept | {"lists": {k: v | {"time": 0} for k, v in kept["lists"].items()}})
    cache_file().write_text(text.replace('"time": 0', f'"time": {made}'))
    assert cached_models(provider) is None
    cache_models({"p": ["y"]}, [provider])
    assert cached_models(provider) == ["y"]


def test_a_model_in_the_cache_that_is_no_text_can_be_kept(server: Recorder, write: Write) -> None:
    write(table(server.base_url))
    provider = load_config().provider("p")
    entry = {"time": time.time(), "models": ["\ud800"]}
    cache_file().parent.mkdir(parents=True)
    cache_file().write_text(json.dumps({"format": 1, "lists": {"other http://h": entry}}))
    cache_models({"p": ["é"]}, [provider])
    assert cached_models(provider) == ["é"]


def test_a_cache_that_cannot_be_written(server: Recorder, write: Write) -> None:
    write(table(server.base_url))
    cache_file().parent.parent.mkdir(parents=True)
    cache_file().parent.write_text("a file in its place")
    assert run("models") == (0, "p/m\n", "")


def test_models_import_no_litellm(server: Recorder, write: Write) -> None:
    write(table(server.base_url))
    code = (
        "import sys; from adapter.cli.main import run; run(['models']); "
        "sys.exit('litellm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"p/m\n")

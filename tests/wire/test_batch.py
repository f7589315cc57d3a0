"""A batch at the wire: what is sent, what is written, and how a run that ended goes on."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import adapter
from adapter import BatchSummary, ConfigError
from tests.batches import asked, ids, line, lines, prompt, read_lines, turn, write_lines
from tests.command import provider, run
from tests.recorder import ANSWER, Recorder, Reply, Request, chat_reply

Write = Callable[..., Path]

KEY = "sk-the-providers-own-key"


@pytest.fixture(autouse=True)
def configured(
    write: Write, server: Recorder, other_server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two providers, ``p`` and ``q``, each at a recording server of its own."""
    write(
        provider(server.base_url, "p", api_key_env="P_KEY")
        + provider(other_server.base_url, "q", api_key_env="Q_KEY")
    )
    monkeypatch.setenv("P_KEY", KEY)
    monkeypatch.setenv("Q_KEY", "sk-of-q-and-nobody-else")


def batch(**options: Any) -> BatchSummary:
    """Run ``in.jsonl`` to ``out.jsonl`` in this process, with short waits."""
    given: Any = {"processes": 1, "first_wait": 0.01, **options}
    return adapter.batch("in.jsonl", "out.jsonl", **given)


def check_once(number: int) -> None:
    """Check that each of ``lines(number)`` stands once in both files together."""
    found = ids("out.jsonl") + ids("out.errors.jsonl")
    assert sorted(found) == sorted(f"id-{n}" for n in range(number))


# what is sent, and written


def test_each_line_is_asked_once_at_its_own_provider(
    server: Recorder, other_server: Recorder
) -> None:
    write_lines([*lines(9), line("x", "q/n"), line("y", "q/n")])

    done = batch()

    assert (done.exit_code, done.lines, done.answered, done.requests) == (0, 11, 11, 11)
    assert asked(server) == {f"id-{n}": 1 for n in range(9)}
    assert asked(other_server) == {"x": 1, "y": 1}
    assert {request.key for request in server.requests} == {KEY}
    assert {request.key for request in other_server.requests} == {"sk-of-q-and-nobody-else"}
    assert {request.body["model"] for request in other_server.requests} == {"n"}
    assert sorted(ids("out.jsonl")) == sorted([*(f"id-{n}" for n in range(9)), "x", "y"])
    assert read_lines("out.errors.jsonl") == []
    assert (done.input_tokens, done.output_tokens) == (11, 11)


@pytest.mark.parametrize("direct", [False, True])
def test_a_line_of_the_output_is_openais(direct: bool, server: Recorder) -> None:
    from openai.types.chat import ChatCompletion

    server.script = lambda request: Reply(200, chat_reply(), {"x-request-id": "r-1"})
    write_lines(lines(1))

    batch(direct=direct)

    (one,) = read_lines("out.jsonl")
    assert list(one) == ["id", "custom_id", "response", "error"]
    assert one["error"] is None
    assert list(one["response"]) == ["status_code", "request_id", "body"]
    assert (one["response"]["status_code"], one["response"]["request_id"]) == (200, "r-1")
    completion = ChatCompletion.model_validate(one["response"]["body"])
    assert completion.choices[0].message.content == ANSWER


BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "model": "p/org/m",
        "messages": [{"role": "user", "content": "Grüße 🎉 </x>"}],
        "temperature": 0.5,
        "max_tokens": 5,
        "top_k": 3,
        "guided_json": {"type": "object"},
    },
    "/v1/completions": {"model": "p/m", "prompt": "x", "max_tokens": 5, "min_p": 0.1},
    "/v1/embeddings": {"model": "p/m", "input": ["x", "y"], "truncate_prompt_tokens": 9},
    "/v1/responses": {"model": "p/m", "input": "x", "max_output_tokens": 99, "store": False},
}


@pytest.mark.parametrize("url", BODIES)
def test_through_litellm_and_directly_the_same_goes_out_and_comes_back(
    url: str, server: Recorder
) -> None:
    """Byte for byte, where the fields of a body stand in the order in which LiteLLM has them."""
    asked_for = {"custom_id": "a", "method": "POST", "url": url}
    write_lines([{**asked_for, "body": BODIES[url]}])
    assert batch().exit_code == 0
    (through,) = server.requests
    ordered = {name: BODIES[url][name] for name in through.body}
    write_lines([{**asked_for, "body": ordered}])
    assert adapter.batch("in.jsonl", "direct.jsonl", direct=True).exit_code == 0

    direct = server.last
    assert (through.path, through.key) == (direct.path, direct.key)
    assert through.body == {**BODIES[url], "model": BODIES[url]["model"].removeprefix("p/")}
    assert through.raw == direct.raw
    answers = [read_lines(name)[0]["response"]["body"] for name in ("out.jsonl", "direct.jsonl")]
    assert text_of(answers[0]) == text_of(answers[1])


def text_of(body: dict[str, Any]) -> Any:
    if "output" in body:
        return body["output"][0]["content"][0]["text"]
    if "choices" in body:
        choice = body["choices"][0]
        return choice["message"]["content"] if "message" in choice else choice["text"]
    return body["data"][0]["embedding"]


@pytest.mark.parametrize("direct", [False, True])
def test_a_rejected_request_has_its_response_in_the_errors(direct: bool, server: Recorder) -> None:
    """The server echoes the key, as some do."""
    error = {"error": {"message": f"no {KEY}", "type": "invalid_request_error", "code": 400}}
    server.script = lambda request: (
        Reply(400, error, {"x-request-id": "r-2"}) if prompt(request) == "id-1" else None
    )
    write_lines(lines(3))

    done = batch(direct=direct)

    assert (done.exit_code, done.answered, done.failed) == (1, 2, 1)
    (one,) = read_lines("out.errors.jsonl")
    assert one["custom_id"] == "id-1"
    assert one["error"] is None
    expected = {"message": "no ***", "type": "invalid_request_error", "code": 400}
    assert one["response"] == {
        "status_code": 400,
        "request_id": "r-2",
        "body": {"error": expected},
    }
    assert asked(server)["id-1"] == 1
    for path in Path().iterdir():
        assert KEY.encode() not in path.read_bytes()


@pytest.mark.parametrize("direct", [False, True])
def test_no_answer_at_all_is_an_error_with_a_code(direct: bool, write: Write) -> None:
    write(provider("http://127.0.0.1:9/v1", "p"))
    write_lines(lines(1))

    done = batch(direct=direct, retries=0)

    (one,) = read_lines("out.errors.jsonl")
    assert one["response"] is None
    assert one["error"]["code"] == "unreachable"
    assert "the connection was refused" in one["error"]["message"]
    assert done.exit_code == 1


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize(
    "reply",
    [{"error": {"message": f"no {KEY}", "code": 502}}, {}, [], {**chat_reply("hi"), "choices": []}],
)
def test_a_reply_of_status_200_without_an_answer_is_a_failure(
    reply: Any, direct: bool, server: Recorder
) -> None:
    server.script = lambda request: Reply(200, reply)
    write_lines(lines(1))

    done = batch(direct=direct, retries=1)

    assert (done.answered, done.failed, done.requests) == (0, 1, 2)
    (one,) = read_lines("out.errors.jsonl")
    assert one["error"]["code"] == "provider_failed"
    assert KEY not in json.dumps(one)


def test_answers_against_the_schema_go_to_the_errors(server: Recorder) -> None:
    server.script = lambda request: Reply(
        200, chat_reply('{"n": 1}' if prompt(request) == "id-0" else '{"n": "1"}')
    )
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    write_lines(lines(2))

    done = batch(schema=json.dumps(schema))

    assert (done.answered, done.failed, done.requests) == (1, 1, 2)
    (one,) = read_lines("out.errors.jsonl")
    assert one["error"]["code"] == "schema_mismatch"
    assert one["response"]["status_code"] == 200
    assert server.last.body["response_format"]["json_schema"]["schema"] == schema


def test_records_fill_in_a_prompt(server: Recorder) -> None:
    Path("in.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')

    done = batch(prompt="Translate {text}", system="Be brief", model="p/m", limit=1)

    assert done.answered == 1
    assert server.only.body["messages"][1]["content"] == "Translate a"
    assert ids("out.jsonl") == ["row-1"]


def test_answers_come_in_order_where_that_is_asked_for(server: Recorder) -> None:
    """The first line is answered once all the others that are in flight have been."""
    others = threading.Event()

    def script(request: Request) -> None:
        if len(server.requests) >= 8:
            others.set()
        if prompt(request) == "id-0":
            others.wait(60)

    server.script = script
    write_lines(lines(30))

    batch(in_order=True, concurrency=8)

    assert ids("out.jsonl") == [f"id-{n}" for n in range(30)]


def test_a_dry_run_asks_nothing_and_writes_nothing(server: Recorder) -> None:
    write_lines([*lines(3), line("x", "q/n")])

    code, out, _ = run("batch", "in.jsonl", "out.jsonl", "--dry-run")

    assert code == 0
    assert f"p ({server.base_url}, key $P_KEY): 3 lines: 3 to /v1/chat/completions\n" in out
    assert "q (" in out
    assert server.requests == []
    assert os.listdir() == ["in.jsonl"]


# going on


def test_the_same_command_goes_on_and_asks_nothing_twice(server: Recorder) -> None:
    write_lines(lines(12))
    batch(limit=5)
    before = Path("out.jsonl").read_bytes()

    done = batch()

    assert (done.earlier, done.answered, done.requests) == (5, 7, 7)
    assert Path("out.jsonl").read_bytes().startswith(before)
    assert set(asked(server).values()) == {1}
    assert batch().requests == 0
    check_once(12)


def test_the_same_id_with_another_request_is_refused(server: Recorder) -> None:
    write_lines(lines(3))
    batch()
    write_lines([*lines(2), line("id-2", temperature=1)])

    with pytest.raises(ConfigError, match=r"in\.jsonl:3: an earlier run sent another"):
        batch()
    with pytest.raises(ConfigError, match="sent another request"):
        write_lines(lines(3))
        batch(options={"seed": 1})
    assert len(server.requests) == 3


def test_what_failed_is_asked_again_on_demand_and_only_that(server: Recorder) -> None:
    server.script = lambda request: Reply(400, {}) if prompt(request) == "id-1" else None
    write_lines(lines(3))
    assert batch().exit_code == 1
    assert batch().exit_code == 1  # it stays in the errors file

    server.script = None
    done = batch(retry_failed=True)

    assert (done.exit_code, done.answered, done.requests) == (0, 1, 1)
    assert asked(server) == {"id-0": 1, "id-1": 2, "id-2": 1}
    check_once(3)
    assert ids("out.errors.jsonl.previous") == ["id-1"]


@pytest.mark.parametrize("name", ["out.jsonl", "out.errors.jsonl"])
def test_two_lines_of_one_id_are_told(name: str) -> None:
    write_lines(lines(2))
    batch()
    with open("out.jsonl") as file, open(name, "a") as more:
        more.write(file.readline())

    with pytest.raises(ConfigError, match="is in the files twice"):
        batch()


@pytest.mark.parametrize("files", [("-", None), ("out.jsonl", "-")])
def test_answers_are_not_written_to_stdout(files: tuple[str, str | None]) -> None:
    output, errors = files
    write_lines(lines(1))

    with pytest.raises(ConfigError, match="OUTPUT and --errors are files"):
        adapter.batch("in.jsonl", output, errors=errors)
    assert os.listdir() == ["in.jsonl"]


@pytest.mark.parametrize("name", ["in.jsonl", "out.jsonl"])
def test_the_three_files_are_three(name: str) -> None:
    write_lines(lines(1))

    with pytest.raises(ConfigError, match="must be three different files"):
        batch(errors=name)


# failures


def test_a_failure_that_may_pass_is_tried_again(server: Recorder) -> None:
    server.script = lambda request: Reply(500, {}) if asked(server)[prompt(request)] < 3 else None
    write_lines(lines(2))

    done = batch()

    assert (done.exit_code, done.requests) == (0, 6)
    assert set(asked(server).values()) == {3}


def test_retries_come_to_an_end(server: Recorder) -> None:
    server.fail(500)
    write_lines(lines(2))

    assert batch(retries=2).failed == 2
    assert set(asked(server).values()) == {3}
    assert [one["response"]["status_code"] for one in read_lines("out.errors.jsonl")] == [500] * 2


def test_retries_that_the_configuration_names_do_not_multiply(
    server: Recorder, write: Write
) -> None:
    table = "\n[plugin.litellm.providers.p]\nnum_retries = 3\nfallbacks = ['p/other']\n"
    write(provider(server.base_url, "p", api_key_env="P_KEY") + table)
    server.fail(500)
    write_lines(lines(1))

    batch(retries=1)

    assert len(server.requests) == 2
    assert {request.body["model"] for request in server.requests} == {"m"}


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("status", [429, 503])
def test_a_provider_that_is_busy_pauses_alone(
    status: int, direct: bool, server: Recorder, other_server: Recorder
) -> None:
    """The other one answers all of its lines before the busy one is asked again."""
    times: list[float] = []

    def script(request: Request) -> Reply | None:
        times.append(time.monotonic())
        return Reply(status, {}, {"Retry-After": "2"}) if len(times) <= 4 else None

    server.script = script
    write_lines([*lines(8), *(line(f"x{n}", "q/m") for n in range(40))])
    progress: list[int] = []
    other_server.script = lambda request: progress.append(len(times))

    done = batch(concurrency=4, direct=direct)

    assert (done.exit_code, done.answered, done.requests) == (0, 48, 52)
    assert min(times[4:]) - times[3] >= 1.9
    assert max(progress) <= 4


def test_a_server_that_takes_few_at_once_answers_all_in_the_end(server: Recorder) -> None:
    """All of what it refused at once is not sent again at once: some lines would fail."""
    now, lock = [0], threading.Lock()

    def script(request: Request) -> Reply | None:
        with lock:
            now[0] += 1
            busy = now[0] > 4
        time.sleep(0.1)
        with lock:
            now[0] -= 1
        return Reply(429, {}, {"Retry-After": "0.2"}) if busy else None

    server.script = script
    write_lines(lines(64))

    done = batch(concurrency=64, direct=True, retries=10)

    assert (done.exit_code, done.failed) == (0, 0)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_ends_its_providers_lines_unasked(
    status: int, server: Recorder, other_server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script = lambda request: None if request.key == "sk-better-one" else Reply(status, {})
    write_lines([*lines(20), *(line(f"x{n}", "q/m") for n in range(20))])

    done = batch(concurrency=1)

    assert (done.exit_code, done.answered, done.failed, done.left) == (3, 20, 1, 19)
    assert len(server.requests) == 1
    assert "p refused the key" in str(done.ended)
    monkeypatch.setenv("P_KEY", "sk-better-one")
    assert batch(retry_failed=True).exit_code == 0
    assert len(other_server.requests) == 20
    assert sorted(ids("out.jsonl")) == sorted([f"{k}{n}" for k in ("id-", "x") for n in range(20)])


def test_refusals_can_be_let_pass(server: Recorder) -> None:
    server.fail(401)
    write_lines(lines(5))

    done = batch(concurrency=1, max_refusals=0)

    assert (done.exit_code, done.failed, len(server.requests)) == (1, 5, 5)


@pytest.mark.parametrize(("status", "code"), [(400, 1), (404, 4), (429, 5), (502, 7)])
def test_failures_in_a_row_end_the_run(status: int, code: int, server: Recorder) -> None:
    server.script = lambda request: Reply(status, {}, {"Retry-After": "0"})
    write_lines(lines(50))

    done = batch(concurrency=2, retries=0, max_failures=6)

    assert (done.exit_code, done.answered) == (code, 0)
    assert 6 <= done.failed <= 8
    assert len(server.requests) == done.failed
    assert "lines in a row failed" in str(done.ended)
    server.script = None
    assert batch(retry_failed=True).exit_code == 0
    check_once(50)


def test_one_failure_among_answers_ends_nothing(server: Recorder) -> None:
    server.script = lambda request: Reply(400, {}) if int(prompt(request)[3:]) % 2 else None
    write_lines(lines(60))

    done = batch(concurrency=1, max_failures=2)

    assert (done.exit_code, done.answered, done.failed) == (1, 30, 30)


def test_a_server_that_cannot_be_reached_ends_the_run_with_6(write: Write) -> None:
    write(provider("http://127.0.0.1:9/v1", "p"))
    write_lines(lines(30))

    done = batch(retries=0, max_failures=5, concurrency=1)

    assert (done.exit_code, done.failed) == (6, 5)


def test_a_request_that_takes_too_long_is_given_up(server: Recorder) -> None:
    release = threading.Event()

    def script(request: Request) -> None:
        release.wait(60)

    server.script = script
    write_lines(lines(1))

    done = batch(retries=0, timeout=0.3)
    release.set()

    assert done.failed == 1
    assert read_lines("out.errors.jsonl")[0]["error"]["code"] == "unreachable"


# limits


def test_no_more_is_in_flight_than_is_allowed(server: Recorder) -> None:
    now, most, lock = [0], [0], threading.Lock()

    def script(request: Request) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1

    server.script = script
    write_lines(lines(40))

    batch(concurrency=5)

    assert most[0] <= 5


def test_requests_a_minute_hold_across_a_restart(server: Recorder, write: Write) -> None:
    """600 a minute is one each 0.1 s, but for the first eleven."""
    table = "\n[plugin.litellm.providers.p]\nrpm = 600\n"
    write(provider(server.base_url, "p", api_key_env="P_KEY") + table)
    times: list[float] = []
    server.script = lambda request: times.append(time.monotonic())
    write_lines(lines(30))

    batch(limit=15)
    batch()

    assert len(times) == 30
    assert server.last.body.keys() == {"model", "messages"}
    assert times[29] - times[0] >= 0.1 * (30 - 11 - 1)


def test_tokens_a_minute_are_those_that_answers_tell(server: Recorder) -> None:
    """Each answer takes 600 tokens: of 6,000 a minute that is one in 6 s, after the first."""
    reply = {**chat_reply(), "usage": {"prompt_tokens": 1, "completion_tokens": 599}}
    server.script = lambda request: Reply(200, reply)
    write_lines(lines(2))
    started = time.monotonic()

    batch(tpm=6000, concurrency=1, direct=True)

    assert time.monotonic() - started >= 4


def test_a_batch_in_an_event_loop_can_be_cancelled_and_goes_on(server: Recorder) -> None:
    release, reached = threading.Event(), threading.Event()

    def script(request: Request) -> None:
        if turn(server, request) == 6:
            reached.set()
        if turn(server, request) > 4:
            release.wait(60)

    server.script = script
    write_lines(lines(20))
    options: Any = {"direct": True, "concurrency": 2}

    async def cancelled() -> None:
        task = asyncio.create_task(adapter.abatch("in.jsonl", "out.jsonl", **options))
        assert await asyncio.to_thread(reached.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(cancelled())
    release.set()
    done = asyncio.run(adapter.abatch("in.jsonl", "out.jsonl", **options))

    assert done.exit_code == 0
    assert sum(asked(server).values()) <= 20 + 2
    check_once(20)


def test_an_input_that_changes_meanwhile_ends_the_run(server: Recorder) -> None:
    def script(request: Request) -> None:
        text = Path("in.jsonl").read_text().replace('"id-15"', '"id-99"')
        with open("in.jsonl", "r+") as file:
            file.write(text)

    server.script = script
    write_lines([line(f"id-{n}", padding="x" * 20_000) for n in range(20)])

    done = batch(direct=True, concurrency=1)

    assert done.exit_code == 2
    assert "in.jsonl:16: the file changed during the run" in str(done.ended)

"""``adapter batch`` as a process: its ends, its locks, its progress, several processes."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapter import batch
from tests.batches import (
    asked,
    check_once,
    held,
    ids,
    line,
    lines,
    prompt,
    read_lines,
    write_lines,
)
from tests.command import PATIENCE, at_a_terminal, provider, started
from tests.recorder import Recorder, Reply, Request
from tests.waiting import come_to

Write = Callable[..., Path]
Adapter = Callable[..., "subprocess.CompletedProcess[str]"]

KEY = "sk-the-providers-own-key"
ARGUMENTS = ("batch", "in.jsonl", "out.jsonl", "--direct")


@pytest.fixture(autouse=True)
def configured(write: Write, server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    write(provider(server.base_url, "p", api_key_env="P_KEY"))
    monkeypatch.setenv("P_KEY", KEY)


def test_the_summary_is_for_people_or_for_machines(adapter: Adapter) -> None:
    write_lines(lines(3))

    first = adapter(*ARGUMENTS)
    second = adapter(*ARGUMENTS, "--json")

    assert (first.returncode, first.stdout) == (0, "")
    assert "3 answered, 0 failed, 0 done before, 0 left; 3 requests in " in first.stderr
    assert json.loads(second.stdout) | {"seconds": 0} == {
        "answered": 0,
        "cost": None,
        "earlier": 3,
        "ended": None,
        "exit_code": 0,
        "failed": 0,
        "input_tokens": 0,
        "left": 0,
        "lines": 3,
        "output_tokens": 0,
        "requests": 0,
        "errors": os.path.abspath("out.errors.jsonl"),
        "output": os.path.abspath("out.jsonl"),
        "seconds": 0,
    }


def test_what_is_piped_in_is_asked_too(adapter: Adapter, server: Recorder) -> None:
    text = "".join(f"{json.dumps(one)}\n" for one in lines(3))

    done = adapter("batch", "-", "out.jsonl", "--direct", stdin=text)

    assert done.returncode == 0, done.stderr
    assert len(server.requests) == 3
    assert sorted(os.listdir()) == ["out.errors.jsonl", "out.jsonl", "out.jsonl.journal"]


@pytest.mark.parametrize(
    ("text", "model", "code"),
    [("{\n", "p/m", 2), ("", "nobody/m", 4), ("", "q/m", 3)],
    ids=["input", "model", "key"],
)
def test_nothing_is_sent_where_something_is_wrong(
    text: str, model: str, code: int, adapter: Adapter, write: Write, server: Recorder
) -> None:
    write(
        provider(server.base_url, "p", api_key_env="P_KEY")
        + provider(server.base_url, "q", api_key_env="Q_KEY")
    )
    write_lines([*lines(2), *lines(3, model)[2:]])
    with open("in.jsonl", "a") as file:
        file.write(text)

    done = adapter(*ARGUMENTS[:3])

    assert done.returncode == code
    assert f"in.jsonl:{4 if text else 3}: " in done.stderr
    assert "Traceback" not in done.stderr
    assert server.requests == []
    assert os.listdir() == ["in.jsonl"]


def test_a_second_run_is_told_of_the_first(adapter: Adapter, server: Recorder) -> None:
    write_lines(lines(3))
    with held(server) as release, started(*ARGUMENTS) as process:
        assert come_to(lambda: len(server.requests) == 3)
        second = adapter(*ARGUMENTS)
        release.set()
        assert process.wait(PATIENCE) == 0

    assert second.returncode == 1
    assert "another run is writing" in second.stderr
    assert len(server.requests) == 3
    check_once(3)


def test_ctrl_c_waits_for_what_is_in_flight(server: Recorder, adapter: Adapter) -> None:
    write_lines(lines(20))
    with held(server, after=4) as release, started(*ARGUMENTS, "--concurrency", "2") as process:
        assert come_to(lambda: len(server.requests) == 6)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert b"waiting for the requests in flight" in process.stderr.readline()
        release.set()
        assert process.wait(PATIENCE) == 130

    assert len(ids("out.jsonl")) == 6
    assert adapter(*ARGUMENTS).returncode == 0
    assert set(asked(server).values()) == {1}
    check_once(20)


def test_ctrl_c_twice_drops_what_is_in_flight(server: Recorder, adapter: Adapter) -> None:
    write_lines(lines(20))
    with held(server, after=4), started(*ARGUMENTS, "--concurrency", "2") as process:
        assert come_to(lambda: len(server.requests) == 6)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert b"Traceback" not in process.stderr.read()

    assert adapter(*ARGUMENTS).returncode == 0
    assert sum(asked(server).values()) <= 22
    check_once(20)


def test_a_full_disk_is_a_clear_end(server: Recorder, adapter: Adapter) -> None:
    write_lines(lines(40))

    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python has it: the write fails
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    full = adapter(*ARGUMENTS, "--concurrency", "4", preexec_fn=small_files)

    assert full.returncode == 1
    assert "out.jsonl cannot be written: " in full.stderr
    assert "run the same command to continue" in full.stderr
    assert "Traceback" not in full.stderr
    assert len(Path("out.jsonl").read_bytes()) <= 3000
    whole = len(ids("out.jsonl"))
    assert adapter(*ARGUMENTS).returncode == 0
    assert sum(asked(server).values()) <= 40 + 4
    assert whole > 0
    check_once(40)


def test_a_closed_stderr_loses_no_answer(server: Recorder) -> None:
    write_lines(lines(3))
    reader, writer = os.pipe()
    os.close(reader)
    with started(*ARGUMENTS, stderr=writer) as process:
        assert process.wait(PATIENCE) == 0
    os.close(writer)

    check_once(3)


def test_a_terminal_shows_how_far_it_is(server: Recorder) -> None:
    write_lines(lines(20))
    with held(server, after=10) as release:
        threading.Timer(3, release.set).start()
        code, shown = at_a_terminal(*ARGUMENTS, "--concurrency", "2")

    assert code == 0
    assert "10 of 20 done, 0 failed, " in shown
    assert " left" in shown


def children(process: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.mark.parametrize("repeat", [True, False])
def test_a_process_that_dies_costs_what_it_had_in_flight(repeat: bool, server: Recorder) -> None:
    write_lines(lines(30))
    arguments = (*ARGUMENTS, "--processes", "2", "--concurrency", "4")
    with (
        held(server, after=8) as release,
        started(*arguments, *([] if repeat else ["--no-repeat"])) as process,
    ):
        assert come_to(lambda: len(server.requests) == 12)
        command_lines = [Path(f"/proc/{n}/cmdline").read_bytes() for n in children(process.pid)]
        for child in children(process.pid):  # one after the other; they are replaced
            os.kill(child, signal.SIGKILL)
        release.set()
        code = process.wait(PATIENCE)

    assert KEY.encode() not in b"".join(command_lines)
    check_once(30)
    twice = [one for one, times in asked(server).items() if times > 1]
    if repeat:
        assert code == 0
        assert 1 <= len(twice) <= 2 * 4
    else:
        assert code == 1
        assert twice == []
        failed = read_lines("out.errors.jsonl")
        assert 1 <= len(failed) <= 2 * 4
        assert {one["error"]["code"] for one in failed} == {"unknown"}


def test_processes_end_with_the_command(server: Recorder) -> None:
    write_lines(lines(30))
    with held(server), started(*ARGUMENTS, "--processes", "2") as process:
        assert come_to(lambda: len(server.requests) > 0)
        started_by_it = children(process.pid)
        process.kill()
        process.wait(PATIENCE)
        assert come_to(lambda: not any(Path(f"/proc/{n}/fd").exists() for n in started_by_it))


def test_what_was_in_flight_at_a_kill_is_not_repeated(server: Recorder, adapter: Adapter) -> None:
    write_lines(lines(20))
    with held(server, after=5), started(*ARGUMENTS, "--concurrency", "4") as process:
        assert come_to(lambda: len(server.requests) == 9)
        process.kill()
        process.wait(PATIENCE)

    done = adapter(*ARGUMENTS, "--no-repeat")

    assert done.returncode == 1
    assert set(asked(server).values()) == {1}
    failed = read_lines("out.errors.jsonl")
    assert 1 <= len(failed) <= 4 + 1
    assert {one["error"]["code"] for one in failed} == {"unknown"}
    check_once(20)
    assert adapter(*ARGUMENTS, "--no-repeat", "--retry-failed").returncode == 0
    assert len(ids("out.jsonl")) == 20


def test_a_connection_that_breaks_is_unknown_and_one_refused_is_not(
    server: Recorder, adapter: Adapter
) -> None:
    server.script = lambda request: (
        Reply(200, b"{", cut=True) if prompt(request) == "id-1" else None
    )
    write_lines(lines(3))

    assert adapter(*ARGUMENTS, "--no-repeat").returncode == 1

    assert set(asked(server).values()) == {1}
    (one,) = read_lines("out.errors.jsonl")
    assert (one["custom_id"], one["error"]["code"]) == ("id-1", "unknown")
    server.script = None
    assert adapter(*ARGUMENTS, "--no-repeat", "--retry-failed").returncode == 0
    check_once(3)


CHANCES = 5
"""Kills, over 300 lines; `make stress` makes 50 over 3,000."""


@pytest.mark.stress
@pytest.mark.parametrize("repeat", [True, False])
def test_kills_at_any_moment_lose_and_repeat_nothing(
    repeat: bool, server: Recorder, adapter: Adapter, amount: Callable[[int, int], int]
) -> None:
    """Each run is killed when the server has had so many requests more, at a moment by chance."""
    chance = random.Random(20261130)
    kills, number, in_flight = amount(CHANCES, 50), amount(300, 3000), 16
    write_lines(lines(number))

    def script(request: Request) -> None:
        threading.Event().wait(chance.uniform(0, 0.01))

    server.script = script
    options = ("--concurrency", str(in_flight), *([] if repeat else ["--no-repeat"]))
    for kill in range(kills):
        target = len(server.requests) + chance.randint(0, 2 * number // kills // 2)
        with started(*ARGUMENTS, *options) as process:
            while process.poll() is None and len(server.requests) < target:
                threading.Event().wait(chance.uniform(0, 0.02))
            process.kill()
            process.wait(PATIENCE)
        found = [*whole_ids("out.jsonl"), *whole_ids("out.errors.jsonl")]
        assert len(found) == len(set(found)), kill

    done = adapter(*ARGUMENTS, *options)

    assert done.returncode in ((0,) if repeat else (0, 1)), done.stderr
    check_once(number)
    times = asked(server)
    assert sum(times.values()) <= number + kills * in_flight
    if not repeat:
        assert set(times.values()) == {1}
        unknown = read_lines("out.errors.jsonl")
        assert {one["error"]["code"] for one in unknown} <= {"unknown"}
        assert len(unknown) <= kills * in_flight
    else:
        assert set(times) == {f"id-{n}" for n in range(number)}


def whole_ids(path: str) -> list[Any]:
    """Return the ids of the lines that have an end."""
    if not Path(path).exists():
        return []
    text = Path(path).read_bytes()
    return [
        json.loads(one)["custom_id"] for one in text.splitlines(keepends=True) if one[-1:] == b"\n"
    ]


def test_several_processes_ask_each_line_once_and_the_parent_imports_no_litellm(
    server: Recorder,
) -> None:
    write_lines(lines(40))
    code = (
        "import sys, adapter; adapter.batch('in.jsonl', 'out.jsonl', processes=2);"
        "print('litellm' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE
    )

    assert done.stdout == "False\n"
    assert asked(server) == {f"id-{n}": 1 for n in range(40)}
    check_once(40)


@pytest.mark.stress
def test_a_torn_line_is_asked_again_wherever_it_is_torn(
    server: Recorder, amount: Callable[[int, int], int]
) -> None:
    """Each byte of the last two lines of OUTPUT, and of the last two records of the journal."""
    write_lines(lines(4))
    batch("in.jsonl", "out.jsonl", direct=True, in_order=True)
    output, journal = (Path(name).read_bytes() for name in ("out.jsonl", "out.jsonl.journal"))
    one, two = (len(b"".join(output.splitlines(keepends=True)[-n:])) for n in (1, 2))
    step = amount(41, 1)
    for lost in range(1, two + 1, step):
        Path("out.jsonl").write_bytes(output[:-lost])
        done = batch("in.jsonl", "out.jsonl", direct=True)
        assert (done.exit_code, done.requests) == (0, 1 if lost <= one else 2)
        assert Path("out.jsonl").read_bytes().startswith(output[:-two])
        check_once(4)
        Path("out.jsonl.journal").write_bytes(journal)
    for lost in range(1, 2 * 33 + 1, min(step, 7)):
        Path("out.jsonl.journal").write_bytes(journal[:-lost])
        assert batch("in.jsonl", "out.jsonl", direct=True).requests == 0


@pytest.mark.stress
def test_memory_does_not_grow_with_the_file(
    server: Recorder,
    amount: Callable[[int, int], int],
    record_property: Callable[[str, object], None],
) -> None:
    """All but the last hundred lines are answered already: the server would take half an hour."""
    from adapter.batches.calls import Outcome, result_line
    from adapter.batches.files import Files, Record, errors_path
    from adapter.batches.formats import Recipe, hash_of

    number = amount(20_000, 1_000_000)
    files = Files("out.jsonl", errors_path("out.jsonl"))
    files.open()
    with open("in.jsonl", "wb") as source:
        for start in range(0, number, 1000):
            texts = [
                f"{json.dumps(line(f'id-{n}'))}\n".encode() for n in range(start, start + 1000)
            ]
            source.writelines(texts)
            answered = texts if start + 1000 < number else texts[:-100]
            asked_now = [Recipe().request(0, text) for text in answered]
            records = (Record(hash_of(one.custom_id), one.hash(), 1.0, 0) for one in asked_now)
            done = (result_line(one.custom_id, Outcome(200, "r", "{}")) for one in asked_now)
            data = {
                files.journal: b"".join(r.pack() for r in records),
                files.output: b"".join(done),
            }
            files.append(data)
    files.close()

    code = (
        "import adapter, json, re; done = adapter.batch('in.jsonl', 'out.jsonl', processes=1);"
        "peak = re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1];"
        "print(json.dumps({**done.as_dict(), 'kilobytes': int(peak)}))"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    summary = json.loads(child.stdout)

    assert (summary["exit_code"], summary["lines"], summary["requests"]) == (0, number, 100)
    assert len(server.requests) == 100
    megabytes = summary["kilobytes"] / 1024
    record_property("figure", f"a batch of {number:,} lines: {megabytes:.0f} MB")
    assert megabytes < 400

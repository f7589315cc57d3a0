"""What a query at a terminal shows while it waits, and that nothing of it stays."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import litellm
import pytest

import adapter
from adapter.cli.progress import Progress
from adapter.upstream.retries import watch_retries
from tests.command import PATIENCE, at_a_terminal, is_readable, provider, terminal
from tests.recorder import Recorder, Reply, Request

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def configured(write: Write, server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    write(provider(server.base_url, default_model="m"))
    monkeypatch.setenv("TERM", "xterm")


def screen(shown: str) -> str:
    """Return what a terminal shows at the end: of controls, CR, LF and EL are known."""
    lines, column = [""], 0
    for part in re.split(r"(\r|\n|\x1b\[K)", shown):
        if part == "\r":
            column = 0
        elif part == "\n":
            lines.append("")
        elif part == "\x1b[K":
            lines[-1] = lines[-1][:column]
        else:
            lines[-1] = lines[-1][:column] + part + lines[-1][column + len(part) :]
            column += len(part)
    return "\n".join(lines)


class Shown:
    """What comes to a terminal, read until something is there."""

    def __init__(self, user: int) -> None:
        self.user = user
        self.text = ""

    def until(self, pattern: str) -> None:
        while not re.search(pattern, self.text):
            assert is_readable(self.user), self.text
            self.text += os.read(self.user, 65536).decode()


def held(server: Recorder) -> threading.Event:
    """Let the server answer only when the event that this returns is set."""
    go = threading.Event()

    def script(request: Request) -> Reply | None:
        assert go.wait(PATIENCE)
        return None

    server.script = script
    return go


@contextmanager
def begun(*options: str) -> Iterator[tuple[Shown, subprocess.Popen[bytes]]]:
    """Begin a query at a terminal."""
    with terminal() as (user, program):
        process = subprocess.Popen(
            [sys.executable, "-m", "adapter", "-m", "p", *options, "hi"],
            stdin=subprocess.DEVNULL,
            stdout=program,
            stderr=program,
        )
        with process:
            try:
                yield Shown(user), process
            finally:
                process.kill()


def test_what_is_awaited_is_shown_and_gone_with_the_first_byte(server: Recorder) -> None:
    go = held(server)
    with begun() as (shown, process):
        shown.until("importing LiteLLM")
        shown.until("⠋ waiting for p")
        assert screen(shown.text).count("\n") == 0
        go.set()
        shown.until("world\r\n")
        assert screen(shown.text) == "Hello, world\n"
        assert process.wait(PATIENCE) == 0


def test_a_retry_is_shown_with_cause_and_wait_and_ctrl_c_takes_it_away(server: Recorder) -> None:
    server.script = lambda request: Reply(429, {}, {"retry-after": "50"})
    with begun("--retries", "1") as (shown, process):
        shown.until(r"p answered 429: trying again in \d\d s")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        shown.until("\n$")
        assert screen(shown.text) == "\n"


def test_an_error_stands_alone(server: Recorder) -> None:
    server.fail(400, "wrong")
    code, shown = at_a_terminal("-m", "p", "hi")
    assert code == 1
    assert "importing LiteLLM" in shown
    assert screen(shown).startswith("Error: provider 'p'")


def test_a_dumb_terminal_shows_the_answer_alone() -> None:
    assert at_a_terminal("-m", "p", "hi", environ={"TERM": "dumb"}) == (0, "Hello, world\r\n")


def test_retries_are_told_with_cause_and_wait(server: Recorder) -> None:
    replies = [Reply(429, {}, {"retry-after-ms": "20"}), Reply(503, {}, {"retry-after-ms": "30"})]
    server.script = lambda request: replies.pop(0) if replies else None
    told: list[tuple[str, float]] = []
    question = [{"role": "user", "content": "hi"}]
    with watch_retries(lambda cause, seconds: told.append((cause, seconds))):
        adapter.completion("p", messages=question, max_retries=2)
        assert told == [("answered 429", 0.02), ("answered 503", 0.03)]
        with pytest.raises(litellm.InternalServerError):
            adapter.completion("p", messages=question, api_base="http://127.0.0.1:1", max_retries=1)
    assert told[2][0] == "cannot be reached"


def test_a_retry_is_shown_until_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal() as (user, program):
        with os.fdopen(os.dup(program), "w", encoding="utf-8") as stream:
            monkeypatch.setattr("sys.stderr", stream)
            progress, shown = Progress(), Shown(user)
            progress.show("waiting for p")
            progress.show_for(3599.5, "p answered 429: trying again in")
            shown.until("p answered 429: trying again in 3600 s")
            progress.show_for(0, "")
            shown.until("waiting for p")
            progress.show("模" * 100)  # two columns each
            shown.until("模")
            progress.clear()
            progress.clear()
        shown.until("\x1b\\[K$")
    assert screen(shown.text) == ""
    assert max(line.count("模") for line in shown.text.split("\r")) == 38


def test_a_terminal_that_takes_nothing_stops_no_answer(write: Write) -> None:
    """As after Ctrl-S, or when nobody reads the other side."""
    with terminal() as (_, program):
        os.set_blocking(program, False)
        while True:
            try:
                os.write(program, b"x" * 4096)
            except BlockingIOError:
                break
        os.set_blocking(program, True)
        done = subprocess.run(
            [sys.executable, "-m", "adapter", "-m", "p", "hi"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=program,
            timeout=PATIENCE,
            check=True,
        )
    assert done.stdout == b"Hello, world\n"

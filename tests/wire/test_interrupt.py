"""The command as a process: tokens as they come, Ctrl-C, and a reader that leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command import PATIENCE, provider, read_exactly, started
from tests.interrupts import DROPPED, dropping
from tests.recorder import Recorder, Reply, chat_chunk

Write = Callable[..., Path]


class Slow:
    """A streamed answer of numbered lines that goes on only when the test says so."""

    def __init__(self) -> None:
        self._turn = threading.Semaphore(0)

    def go_on(self, pieces: int = 1) -> None:
        for _ in range(pieces):
            self._turn.release()

    def pieces(self) -> Iterator[bytes]:
        for number in range(10_000):
            self._turn.acquire()
            yield chat_chunk({"role": "assistant", "content": f"\nline {number:04}"})


@pytest.fixture
def slow(write: Write, server: Recorder) -> Iterator[Slow]:
    """The provider ``p`` at a server that streams the answer of ``Slow``."""
    write(provider(server.base_url, default_model="m"))
    answer = Slow()
    server.script = lambda request: Reply(body=answer.pieces())
    yield answer
    answer.go_on(10_000)  # let the server's thread end


def finish(process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    """Return the exit code of a process whose end is near, and the rest of its stderr."""
    assert process.stderr
    err = process.stderr.read()
    return process.wait(PATIENCE), err


def test_each_token_is_printed_before_the_next_and_a_reader_may_leave_at_any_time(
    slow: Slow,
) -> None:
    """As under ``| head -2``. What is held back is the newline that may be the last one."""
    with started("-m", "p", "hi") as process:
        for number in range(2):
            slow.go_on()
            assert read_exactly(process.stdout, 10) == b"\nline %04d" % number
        assert process.stdout
        process.stdout.close()
        slow.go_on(100)
        code, err = finish(process)

    assert (code, err) == (0, b"")


def test_ctrl_c_while_streaming_exits_130_and_keeps_what_came(slow: Slow) -> None:
    with started("-m", "p", "-v", "hi") as process:
        slow.go_on()
        assert read_exactly(process.stdout, 10) == b"\nline 0000"
        process.send_signal(signal.SIGINT)
        code, err = finish(process)
        assert process.stdout
        rest = process.stdout.read()

    assert (code, rest) == (130, b"\n")
    assert err.decode().splitlines()[1:] == [""], "one newline, after the terminal's ^C"


@pytest.mark.parametrize("option", ["--stream", "--no-stream"])
def test_a_ctrl_c_that_other_code_drops_exits_130(
    option: str, slow: Slow, tmp_path: Path, server: Recorder
) -> None:
    """As C code does: it is pressed and dropped where the next wait for the server begins."""
    after = "line 0000" if option == "--stream" else ""
    slow.go_on()
    with started("-m", "p", option, "hi", env=dropping(tmp_path, after=after)) as process:
        code, err = finish(process)
        assert process.stdout
        out = process.stdout.read()

    assert (code, err) == (130, DROPPED + b"\n")
    assert out == (b"\nline 0000\n" if option == "--stream" else b"")
    assert len(server.requests) == 1


HOOK = """\
import os, sys, time

def tell(event, args):
    if event == "import" and args[0] == os.environ["HOOKED_MODULE"]:
        os.write(int(os.environ["HOOK"]), b"!")
        time.sleep(600)

sys.addaudithook(tell)
"""


@pytest.mark.parametrize("module", ["openai", "litellm.main"])
def test_ctrl_c_while_litellm_is_imported_exits_130(
    module: str, slow: Slow, tmp_path: Path, server: Recorder
) -> None:
    """A hook at Python's start tells when the import has come to ``module`` and holds it there."""
    (tmp_path / "sitecustomize.py").write_text(HOOK)
    reading, writing = os.pipe()
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environ = {**os.environ, "PYTHONPATH": path, "HOOK": str(writing), "HOOKED_MODULE": module}
    with (
        os.fdopen(reading, "rb", buffering=0) as importing,
        started("-m", "p", "hi", env=environ, pass_fds=[writing]) as process,
    ):
        os.close(writing)
        read_exactly(importing, 1)
        process.send_signal(signal.SIGINT)
        code, err = finish(process)

    assert (code, err) == (130, b"\n")
    assert server.requests == []


def test_ctrl_c_while_the_prompt_is_piped_in_exits_130() -> None:
    with started("-m", "p", "hi", stdin=subprocess.PIPE) as process:
        assert process.stdin
        # more than a pipe holds: written means that the command has begun to read
        process.stdin.write(b"x" * 1_000_000)
        process.send_signal(signal.SIGINT)
        code, err = finish(process)

    assert (code, err) == (130, b"\n")

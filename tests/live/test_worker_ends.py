"""Queries through the worker that end early, and many: nothing hangs, is lost or is left."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.command import PATIENCE, is_readable, read_exactly
from tests.interrupts import DROPPED, dropping
from tests.places import COMMAND, Place
from tests.recorder import Recorder, Reply, chat_chunk
from tests.waiting import come_to, is_running

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="the worker is Linux's"),
]

INTERRUPTED = b"\n"
"""What a command says when it is interrupted: the end of the line that shows ^C."""


class Slow:
    """Says one word, and another when it is told to go on."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def __call__(self, request: object) -> Reply:
        return Reply(200, self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        yield chat_chunk({"role": "assistant", "content": "first"})
        self.go.wait(PATIENCE)
        yield chat_chunk({"content": " second"}) + chat_chunk({}, "stop") + b"data: [DONE]\n\n"


@pytest.fixture
def slow(served: Recorder) -> Iterator[Slow]:
    made = Slow()
    served.script = made
    yield made
    made.go.set()
    served.script = None


@contextmanager
def asking(home: Place) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a query whose first word has come; yield its process, and the one that answers it."""
    pid = home.pid
    with subprocess.Popen(
        [*COMMAND, "-m", "p", "hi"],
        env=home.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    ) as process:
        try:
            assert read_exactly(process.stdout, 5) == b"first"
            yield process, only_child(pid)
        finally:
            process.kill()
    assert come_to(lambda: not children(pid))


def only_child(pid: int) -> int:
    """Return the process that answers the one query there is, once all others have ended."""
    assert come_to(lambda: len(children(pid)) == 1)
    return children(pid)[0]


def children(pid: int) -> list[int]:
    """Return the processes that a worker has forked; one that tells its status ends soon."""
    words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(word) for word in words if is_running(int(word))]


def rest(process: subprocess.Popen[bytes]) -> tuple[int, bytes, bytes]:
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def test_the_answer_comes_word_by_word(home: Place, slow: Slow) -> None:
    with asking(home) as (process, _):
        slow.go.set()
        assert rest(process) == (0, b" second\n", b"")


def test_ctrl_c_is_130(home: Place, slow: Slow) -> None:
    with asking(home) as (process, child):
        process.send_signal(signal.SIGINT)
        assert rest(process) == (130, b"\n", INTERRUPTED)
        assert come_to(lambda: not is_running(child))


def test_a_ctrl_c_that_other_code_drops_is_130(
    other: Place, served: Recorder, slow: Slow, tmp_path: Path
) -> None:
    """The process that answers presses it on itself."""

    def held(request: object) -> None:
        slow.go.wait(PATIENCE)

    served.script = held
    other.environ = dropping(tmp_path, other.environ)
    other.start()
    assert other.run("-m", "p", "hi") == (130, b"", DROPPED + INTERRUPTED)
    assert come_to(lambda: other.queries == 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL, signal.SIGQUIT])
def test_a_killed_command_takes_its_query_along(
    home: Place, slow: Slow, number: signal.Signals
) -> None:
    with asking(home) as (process, child):
        process.send_signal(number)
        code, out, _ = rest(process)
        assert (code, out) == (-number, b"")
        assert come_to(lambda: not is_running(child))


def test_a_closed_pipe_ends_it_quietly(home: Place, slow: Slow) -> None:
    with asking(home) as (process, _):
        assert process.stdout is not None
        process.stdout.close()
        slow.go.set()
        assert process.stderr is not None
        assert (process.stderr.read(), process.wait(PATIENCE)) == (b"", 0)


def test_a_killed_answer_is_told(home: Place, slow: Slow) -> None:
    with asking(home) as (process, child):
        os.kill(child, signal.SIGKILL)
        code, out, err = rest(process)
        assert (code, out) == (7, b"")
        assert err == b"Error: the worker's process ended in the middle of the query\n"


def test_a_query_under_way_outlives_the_worker(other: Place, slow: Slow) -> None:
    pid = other.start()
    with subprocess.Popen(
        [*COMMAND, "-m", "p", "hi"],
        env=other.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert read_exactly(process.stdout, 5) == b"first"
        os.kill(pid, signal.SIGKILL)
        assert come_to(lambda: not is_running(pid))
        # its socket is still there, and nobody behind it
        assert other.run("worker", "status") == (1, b"", b"no worker runs\n")
        assert other.start() != pid
        slow.go.set()
        assert rest(process) == (0, b" second\n", b"")


def test_a_stopped_worker_is_passed_by_and_sends_nothing_later(
    home: Place, served: Recorder
) -> None:
    pid, before = home.pid, home.queries
    os.kill(pid, signal.SIGSTOP)
    try:
        done = home.run("-m", "p", "-v", "hi")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (done.out, done.way) == (
        b"Hello, world\n",
        "in this process (the worker does not answer)",
    )
    assert home.queries == before
    assert come_to(lambda: not children(pid))
    assert len(served.requests) == 1


def test_ctrl_z_and_fg_and_ctrl_c_in_a_shell(home: Place, slow: Slow) -> None:
    """In a real shell with jobs, on a terminal."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not here")
    pid = home.pid
    user, program = os.openpty()

    def own_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    shell = subprocess.Popen(
        [bash, "--norc", "--noprofile", "-i"],
        env={**home.environ, "PS1": "$ ", "ADAPTER_WORKER": "auto", "TERM": "dumb"},
        stdin=program,
        stdout=program,
        stderr=program,
        start_new_session=True,
        preexec_fn=own_terminal,  # noqa: PLW1509 - no thread of this process holds a lock it needs
        cwd=home.home / "work",
    )
    os.close(program)
    with shell:
        os.write(user, f"{' '.join(COMMAND)} -m p hi\n".encode())
        read_until(user, b"hi\r\n")
        read_until(user, b"first")
        child = only_child(pid)
        os.write(user, b"\x1a")
        read_until(user, b"Stopped")
        assert come_to(lambda: state(child) == "T")
        slow.go.set()
        os.write(user, b"fg\n")
        read_until(user, b" second")
        os.write(user, b"echo code $?\n")
        read_until(user, b"code 0")
        slow.go.clear()
        os.write(user, f"{' '.join(COMMAND)} -m p hi\n".encode())
        read_until(user, b"hi\r\n")
        read_until(user, b"first")
        os.write(user, b"\x03")
        read_until(user, b"$ ")
        os.write(user, b"echo code $?\n")
        read_until(user, b"code 130")
        os.write(user, b"exit\n")
        shell.wait(PATIENCE)
    os.close(user)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def read_until(user: int, text: bytes) -> None:
    shown = b""
    while text not in shown:
        assert is_readable(user), shown
        shown += os.read(user, 1)


MANY = """\
import sys
from adapter.worker import client
codes = [client.query(["-m", "p", "hi"]) for _ in range(int(sys.argv[1]))]
sys.stderr.write(f"{codes.count(0)} {sum(code not in (0, None) for code in codes)}")
"""


def ask_many(home: Place, number: int) -> int:
    """Ask so many queries one after the other; return how many the worker took, the others not.

    None went wrong: a worker on a busy machine may be passed by.
    """
    done = subprocess.run(
        [sys.executable, "-c", MANY, str(number)],
        env=home.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=True,
    )
    answered, wrong = map(int, done.stderr.split())
    assert wrong == 0
    return answered


def open_files(pid: int) -> list[str]:
    return sorted(os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir())


@pytest.mark.stress
@pytest.mark.timeout(3600)
def test_many_queries_leave_nothing(
    home: Place,
    amount: Callable[[int, int], int],
    record_property: Callable[[str, object], None],
) -> None:
    """Fifty at once, and many in a row."""
    pid, before = home.pid, home.queries
    answered = ask_many(home, 20)
    files, memory = open_files(pid), int(home.status()["Memory"].split()[0])
    line = [*COMMAND, "-m", "p", "hi"]
    null, pipe = subprocess.DEVNULL, subprocess.PIPE
    at_once = [subprocess.Popen(line, stdin=null, stdout=pipe, env=home.environ) for _ in range(50)]
    assert [one.communicate()[0] for one in at_once] == [b"Hello, world\n"] * 50
    number = amount(100, 10_000)
    answered += ask_many(home, number)
    assert answered > number / 2
    assert come_to(lambda: home.queries >= before + answered)
    assert come_to(lambda: not Path(f"/proc/{pid}/task/{pid}/children").read_text())
    assert open_files(pid) == files
    grown = int(home.status()["Memory"].split()[0]) - memory
    record_property("figure", f"worker: {answered:,} queries in a row, {grown} MB more memory")
    assert grown <= 2

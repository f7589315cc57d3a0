"""Whose process a query is in, and which worker is passed by: with one that has no LiteLLM."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapter.worker import client
from tests.places import place
from tests.small_worker import NOBODY, SmallWorker, small_worker

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(sys.platform != "linux", reason="the worker is Linux's"),
]

PR_SET_NO_NEW_PRIVS = 38
"""``linux/prctl.h``"""

NO_ANSWER = "in this process (the worker does not answer)"
ENDED = "in this process (the worker has ended, or cannot fork)"

ONE_LOOK = "client.LOOKS = 10**9"
"""Where more than one look were needed, the query would not end."""

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root may do that")


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallWorker]:
    with small_worker(tmp_path_factory.mktemp("callers")) as made:
        yield made


# ---- the caller's


def test_zone_umask_folder_and_variables_are_the_callers(
    worker: SmallWorker, tmp_path: Path
) -> None:
    # POSIX's form of a zone, which needs no files of zones: nine hours before UTC
    environ = {"TZ": "XYZ-9", "SEEN": "naïve"}
    found = worker.ask("one", "two words", env=environ, umask=0o027, cwd=tmp_path)
    assert found["arguments"] == ["one", "two words"]
    assert (found["hour"], found["seen"]) == (9, "naïve")
    assert (found["umask"], found["folder"]) == (0o027, str(tmp_path))
    found = worker.ask(env={"TZ": "UTC0"}, umask=0o077)
    assert (found["hour"], found["seen"], found["umask"]) == (0, None, 0o077)


@pytest.mark.parametrize("name", ["PYTHONIOENCODING", "PYTHONUTF8", "LC_CTYPE", "LC_ALL"])
def test_other_encodings_are_not_served(worker: SmallWorker, name: str) -> None:
    value = {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "1"}.get(name, "POSIX")
    found = worker.ask(env={name: value})
    assert found == f"in this process ({name} differs from when the worker started)"


def test_a_variable_whose_name_is_not_utf_8_is_told(worker: SmallWorker) -> None:
    found = worker.ask(env={os.fsdecode(b"LC_\xff"): "x"})
    assert found == "in this process (LC_? differs from when the worker started)"


def test_streams_are_as_the_interpreter_would_make_them(tmp_path: Path) -> None:
    with small_worker(tmp_path, PYTHONIOENCODING="latin-1", PYTHONUNBUFFERED="1") as worker:
        found = worker.ask()
    assert found["encodings"] == [["iso8859-1", "strict"], ["iso8859-1", "backslashreplace"]]
    assert found["unbuffered"] is True


def refusal(name: str) -> str:
    return f"in this process (the command has another {name} than the worker)"


@as_root
def test_other_groups_are_not_served(worker: SmallWorker) -> None:
    assert worker.ask(extra_groups=[4242]) == refusal("Groups")


def test_fewer_privileges_are_not_served(worker: SmallWorker) -> None:
    libc = ctypes.CDLL(None)
    found = worker.ask(preexec_fn=lambda: libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    assert found == refusal("NoNewPrivs")


@pytest.mark.parametrize("name", ["ipc", "mnt", "net", "uts"])
def test_other_namespaces_are_not_served(worker: SmallWorker, name: str) -> None:
    option = {"mnt": "--mount"}.get(name, f"--{name}")
    prefix = ("unshare", option)
    if shutil.which("unshare") is None or subprocess.run([*prefix, "true"], check=False).returncode:
        pytest.skip("a namespace cannot be made here")
    assert worker.ask(prefix=prefix) == refusal(f"ns/{name}")


# ---- passed by


def test_a_stopped_worker_is_passed_by_at_the_first_look(tmp_path: Path) -> None:
    with small_worker(tmp_path) as worker:
        os.kill(worker.pid, signal.SIGSTOP)
        assert worker.ask(first=ONE_LOOK) == NO_ANSWER
        assert client.LOOK_SECONDS < 1
        os.kill(worker.pid, signal.SIGCONT)
        assert worker.ask("after")["arguments"] == ["after"]


def test_one_that_hangs_is_passed_by_at_the_first_look(tmp_path: Path) -> None:
    with small_worker(tmp_path, then="time.sleep(10**6)") as worker:
        assert worker.ask(first=ONE_LOOK) == NO_ANSWER


def test_one_that_is_busy_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    busy = "select.select([listener], [], [])\nend = time.process_time() + {}\n"
    busy += "while time.process_time() < end: pass"
    looks = "client.LOOK_SECONDS, client.LOOKS = 0.3, {}"
    with small_worker(tmp_path, then=busy.format(1)) as worker:
        assert worker.ask("served", first=looks.format(10**9))["arguments"] == ["served"]
    with small_worker(tmp_path, then=busy.format(10**6)) as worker:
        assert worker.ask(first=looks.format(3)) == NO_ANSWER


def test_one_at_its_process_limit_is_passed_by() -> None:
    limit = "resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))"
    with tempfile.TemporaryDirectory() as folder:  # where another user may come
        runtime = Path(folder)
        runtime.chmod(0o755)
        (runtime / "gptme-litellm").mkdir(mode=0o700)
        if os.getuid() == 0:
            os.chown(runtime / "gptme-litellm", 65534, 65534)
        with small_worker(runtime, first=NOBODY, then=limit) as worker:
            assert worker.ask(first=NOBODY) == ENDED


def test_one_whose_child_ends_before_it_begins_is_passed_by(tmp_path: Path) -> None:
    with small_worker(tmp_path, then="answer = lambda *_: 1") as worker:
        assert worker.ask() == ENDED


def test_one_that_was_killed_or_whose_socket_is_gone_is_passed_by(tmp_path: Path) -> None:
    none = "in this process (no worker runs)"
    with small_worker(tmp_path) as worker:
        os.kill(worker.pid, signal.SIGKILL)
        assert worker.ask() == none
    with small_worker(tmp_path) as worker:
        next(worker.folder.iterdir()).unlink()
        assert worker.ask() == none


@as_root
def test_another_users_is_not_asked(tmp_path: Path) -> None:
    folder = tmp_path / "gptme-litellm"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    with small_worker(tmp_path, first=NOBODY, then="time.sleep(10**6)") as worker:
        os.chown(folder, 0, 0)
        assert worker.ask() == "in this process (the worker cannot be asked: it is another user's)"


def test_a_folder_that_cannot_be_written_does_not_matter(worker: SmallWorker) -> None:
    worker.folder.chmod(0o500)
    assert worker.ask("served")["arguments"] == ["served"]
    worker.folder.chmod(0o700)


def test_a_limit_of_file_sizes_passes_it_by(worker: SmallWorker) -> None:
    found = worker.ask(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
    assert found == "in this process (the worker cannot be asked: [Errno 27] File too large)"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk for some ten files."""
    folder = tmp_path / "disk"
    folder.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "mode=700,nr_inodes=10", "none", str(folder)]
    if os.getuid() != 0 or subprocess.run(line, check=False).returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        for number in range(20):
            (disk / f"full-{number}").touch()


def test_a_full_disk_does_not_matter_to_one_that_runs(disk: Path) -> None:
    with small_worker(disk) as worker:
        fill(disk)
        assert worker.ask("served")["arguments"] == ["served"]


def test_on_a_full_disk_none_starts_and_the_query_is_answered(disk: Path, tmp_path: Path) -> None:
    with place(tmp_path / "place") as home:
        home.environ["XDG_RUNTIME_DIR"] = str(disk)
        (disk / "gptme-litellm").mkdir(mode=0o700)
        fill(disk)
        done = home.run("worker", "start")
        assert (done.code, done.err) == (1, b"Error: No space left on device\n")
        (disk / "full-0").rename(disk / "gptme-litellm" / f"{client.socket_name()}.lock")
        done = home.run("worker", "start")
        assert done.code == 1
        assert b".sock: No space left on device\n" in done.err
        assert b"Traceback" not in done.err

"""The worker: when it starts and ends, whose environment a query has, and what it may hold."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.command import PATIENCE, console_script, is_readable, provider
from tests.places import CANARIES, COMMAND, IMPORT_CANARY, KEY, Place
from tests.recorder import Recorder, recording_server
from tests.waiting import come_to, is_running

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="the worker is Linux's"),
]

ROTATED = "canary-of-the-next-key"

REFUSED_EARLY = ("-m", "nobody-there/m", "hi")
"""A query that needs no LiteLLM: where the worker does not take it, it costs no seconds."""


# ---- whose environment it is


def probe(home: Place, served: Recorder, **options: Any) -> list[str]:
    done = home.run("-m", "probe/m", "-v", "hi", **options)
    assert done.way == "through the worker", done.err
    return str(served.requests[-1].key).split("|")


def test_variables_folder_umask_limits_and_priority_are_the_callers(
    home: Place, served: Recorder, tmp_path: Path
) -> None:
    def limit() -> None:
        os.umask(0o027)
        os.nice(3)
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    environ = {**home.environ, "SEEN": "by the command"}
    found = probe(home, served, env=environ, cwd=tmp_path, preexec_fn=limit)
    assert found[:5] == ["by the command", str(tmp_path), "0027", "300", str(os.nice(0) + 3)]
    assert int(found[5], 16) & 1 << signal.SIGHUP - 1
    usual = probe(home, served, umask=0o022)
    assert usual[:3] == ["", str(home.home / "work"), "0022"]
    assert usual[3] != "300"
    assert not int(usual[5], 16) & 1 << signal.SIGHUP - 1


def test_a_rotated_key_and_another_configuration_count_at_once(
    home: Place, served: Recorder, tmp_path: Path
) -> None:
    done = home.run("-m", "p", "-v", "hi", env={**home.environ, "P_KEY": ROTATED})
    assert (done.out, done.way) == (b"Hello, world\n", "through the worker")
    assert served.requests[-1].key == ROTATED
    config = tmp_path / "mine.toml"
    config.write_text(provider(served.base_url, "mine", default_model="of-mine"))
    done = home.run("-m", "mine", "-v", "hi", env={**home.environ, "ADAPTER_CONFIG": str(config)})
    assert done.way == "through the worker"
    assert served.requests[-1].body["model"] == "of-mine"


def test_an_http_proxy_of_the_caller_is_used(home: Place, served: Recorder) -> None:
    config = home.home / "elsewhere.toml"  # a provider on this machine is called directly
    config.write_text(provider("http://elsewhere.example/v1", "p", default_model="m"))
    with recording_server() as proxy:
        environ = {**home.environ, "NO_PROXY": "", "HTTP_PROXY": proxy.origin}
        done = home.run("--config", str(config), "-m", "p", "-v", "hi", env=environ)
        assert done.way == "through the worker", done.err
        assert len(proxy.requests) == 1
    assert not served.requests


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("LITELLM_LOG", "DEBUG"), ("SSL_CERT_FILE", "/nonexistent"), ("HOME", "/nonexistent")),
        *(("PYTHONWARNINGS", "error"), ("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")),
        *IMPORT_CANARY.items(),
    ],
)
def test_what_the_import_read_and_differs_now_is_not_served(
    home: Place, name: str, value: str
) -> None:
    before = home.queries
    environ = {**home.environ, "XDG_CONFIG_HOME": str(home.home / ".config"), name: value}
    home.run(*REFUSED_EARLY, env=environ)
    assert home.status()["Last query refused"] == f"{name} differs from when the worker started"
    assert home.queries == before


def test_such_a_query_is_answered_in_its_own_process(home: Place) -> None:
    done = home.run("-m", "p", "-v", "hi", env={**home.environ, "LITELLM_LOG": "INFO"})
    assert done.out == b"Hello, world\n"
    assert done.way == "in this process (LITELLM_LOG differs from when the worker started)"


def test_the_script_and_the_module_have_one_worker(home: Place, tmp_path: Path) -> None:
    lines = [
        [console_script(tmp_path), "-m", "p", "-v", "hi"],
        [str(Path(sys.executable).with_name("python3")), "-m", "adapter", "-m", "p", "-v", "hi"],
    ]
    for line in lines:
        done = subprocess.run(
            line, env=home.environ, cwd=home.home, input=b"", capture_output=True, check=True
        )
        assert b"through the worker" in done.stderr


@pytest.mark.parametrize("option", ["-O", "-Xdev", "-Wignore"])
def test_an_interpreter_with_other_options_is_not_served(home: Place, option: str) -> None:
    line = [sys.executable, option, "-m", "adapter", *REFUSED_EARLY]
    subprocess.run(line, env=home.environ, capture_output=True, check=False)
    assert home.status()["Last query refused"].startswith("the worker runs another Python")


def test_stdin_may_be_a_pipe_a_file_a_terminal_or_closed(
    home: Place, served: Recorder, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    said.write_bytes("naïve".encode())
    assert home.run("-m", "p", "-v", "hi", stdin=b"piped").way == "through the worker"
    assert served.requests[-1].body["messages"][0]["content"] == "hi\n\npiped"
    with said.open("rb") as file:
        assert home.run("-m", "p", "-v", stdin=file).way == "through the worker"
    assert served.requests[-1].body["messages"][0]["content"] == "naïve"
    done = home.run("-m", "p", "-v", "hi", preexec_fn=lambda: os.close(0))
    assert (done.out, done.way) == (b"Hello, world\n", "through the worker")
    user, program = os.openpty()
    with os.fdopen(program, "rb", buffering=0) as terminal:
        assert home.run("-m", "p", "-v", "hi", stdin=terminal).way == "through the worker"
        done = home.run("-m", "p", stdin=terminal)
        assert (done.code, b"the prompt is missing" in done.err) == (2, True)
    os.close(user)


def test_stdout_may_be_closed(home: Place, served: Recorder) -> None:
    done = home.run("-m", "p", "hi", preexec_fn=lambda: os.close(1))
    assert (done.code, done.err) == (0, b"")
    assert len(served.requests) == 1


# ---- when it starts and ends


def test_the_first_query_starts_it_and_the_second_uses_it(other: Place) -> None:
    first = other.run("-m", "p", "-v", "hi")
    assert (first.out, first.way) == (b"Hello, world\n", "in this process (no worker runs)")
    assert other.comes_up()
    second = other.run("-m", "p", "-v", "hi")
    assert (second.out, second.way) == (b"Hello, world\n", "through the worker")
    stopped = other.run("worker", "stop")
    assert (stopped.code, stopped.err) == (0, b"the worker has ended\n")
    assert other.run("worker", "status") == (1, b"", b"no worker runs\n")
    assert come_to(lambda: not other.processes())


def at_a_terminal(home: Place) -> None:
    user, program = os.openpty()
    environ = {**home.environ, "ADAPTER_WORKER": "auto"}
    line = [*COMMAND, "-m", "p", "hi"]
    with os.fdopen(program, "wb", buffering=0) as terminal:
        subprocess.run(line, env=environ, stderr=terminal, stdin=subprocess.DEVNULL, check=True)
    os.close(user)


def test_what_is_awaited_is_shown_through_the_worker_too(home: Place, served: Recorder) -> None:
    go = threading.Event()

    def held(request: Any) -> None:
        assert go.wait(PATIENCE)

    served.script = held
    user, program = os.openpty()
    environ = {**home.environ, "TERM": "xterm"}
    process = subprocess.Popen(
        [*COMMAND, "-m", "p", "-v", "hi"],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=program,
        stderr=program,
    )
    os.close(program)
    shown = b""
    with process:
        while b"through the worker" not in shown:
            assert is_readable(user), shown
            shown += os.read(user, 65536)
            if "⠋ waiting for p".encode() in shown:
                go.set()
    os.close(user)
    waiting, _, rest = shown.decode().rpartition("\r\x1b[K")
    assert "waiting for p" in waiting
    assert rest.startswith("Hello, world\r\n")


def test_by_itself_it_starts_at_a_terminal_only(other: Place) -> None:
    done = other.run("-m", "p", "hi", env={**other.environ, "ADAPTER_WORKER": "auto"})
    assert done.code == 0
    assert other.processes() == []
    at_a_terminal(other)
    assert other.comes_up()
    done = other.run("-m", "p", "-v", "hi", env={**other.environ, "ADAPTER_WORKER": "auto"})
    assert done.way == "through the worker"


def test_it_is_turned_off_by_variable_and_by_configuration(home: Place, tmp_path: Path) -> None:
    queries = home.queries
    off = {**home.environ, "ADAPTER_WORKER": "off"}
    assert home.run(*REFUSED_EARLY, env=off).code == 4
    config = tmp_path / "off.toml"
    config.write_text('[plugin.litellm.worker]\nmode = "off"\n')
    unset = {k: v for k, v in home.environ.items() if k != "ADAPTER_WORKER"}
    assert home.run("--config", str(config), *REFUSED_EARLY, env=unset, stdin=b"x").code == 4
    assert home.status()["Last query refused"] == "[plugin.litellm.worker] mode is off"
    assert home.queries == queries
    home.run("--config", str(config), *REFUSED_EARLY)  # the variable says on, and wins
    assert come_to(lambda: home.queries == queries + 1)


def test_a_wrong_setting_is_told(home: Place, tmp_path: Path) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text("[plugin.litellm.worker]\nidle_minutes = 0\n")
    done = home.run("--config", str(config), "config", "check")
    assert (done.code, b"idle_minutes" in done.out + done.err) == (2, True)


def test_it_serves_where_no_locale_is_set(other: Place) -> None:
    """Python sets ``LC_CTYPE`` then, for itself and its children."""
    for name in ("LANG", "LC_ALL", "LC_CTYPE"):
        other.environ.pop(name, None)
    other.start()
    assert other.run("-m", "p", "-v", "hi").way == "through the worker"


def test_it_ends_when_it_is_idle_or_its_socket_is_gone(other: Place) -> None:
    config = other.home / ".config/gptme/config.toml"
    config.write_text("[plugin.litellm.worker]\nidle_minutes = 0.05\n")
    pid = other.start()
    assert come_to(lambda: not is_running(pid))
    (folder,) = (other.home / "runtime").iterdir()
    assert list(folder.glob("*.sock")) == []
    config.write_text("")
    pid = other.start()
    next(folder.glob("*.sock")).unlink()
    assert come_to(lambda: not is_running(pid))


def test_an_installed_package_ends_it(other: Place, tmp_path: Path) -> None:
    record = tmp_path / "thing-1.0.dist-info/RECORD"
    record.parent.mkdir()
    record.write_text("")
    given = other.environ.get("PYTHONPATH")
    other.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(tmp_path), given)))
    pid = other.start()
    assert other.run(*REFUSED_EARLY).code == 4
    assert come_to(lambda: other.queries == 1)
    record.write_text("thing.py,,\n")
    assert other.run(*REFUSED_EARLY).code == 4
    assert come_to(lambda: not is_running(pid))


def test_two_do_not_start(home: Place) -> None:
    pid = home.pid
    assert home.start() == pid
    assert come_to(lambda: home.processes() == [pid])  # a child that told the status ends soon


@pytest.mark.parametrize("what", ["a file", "a link", "open to others"])
def test_a_folder_that_is_not_private_is_not_used(other: Place, what: str, tmp_path: Path) -> None:
    folder = other.home / "runtime/gptme-litellm"
    if what == "a file":
        folder.write_text("")
    elif what == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.mkdir()
        folder.chmod(0o777)
    done = other.run("-m", "p", "-v", "hi", env={**other.environ, "ADAPTER_WORKER": "auto"})
    assert done.out == b"Hello, world\n"
    assert done.way.startswith("in this process (the worker cannot be asked: ")
    if what != "open to others":  # which a start closes to them
        assert b"gptme-litellm" in other.run("worker", "start").err


# ---- what it may hold


def test_no_key_is_in_its_environment_or_memory(home: Place) -> None:
    for key in (KEY, ROTATED):
        assert home.run("-m", "p", "hi", env={**home.environ, "P_KEY": key}).code == 0
    pid = home.pid
    environ = Path(f"/proc/{pid}/environ").read_bytes()
    memory = writable_memory(pid)
    assert b"adapter.worker.process" in memory, "nothing was looked at"
    assert str(home.home).encode() in memory, "a variable that LiteLLM's import asked for is there"
    assert b"canary-of-" not in environ
    assert [c for c in (*CANARIES, ROTATED) if c.encode() in memory] == []


def writable_memory(pid: int) -> bytes:
    found = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if match:
                start, end = (int(part, 16) for part in match.groups())
                memory.seek(start)
                found.append(memory.read(end - start))
    return b"".join(found)


def test_its_files_are_private_and_it_listens_on_no_network(home: Place) -> None:
    (folder,) = (home.home / "runtime").iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {f.suffix for f in folder.iterdir()} == {".sock", ".lock"}
    assert {f.stat().st_mode & 0o777 for f in folder.iterdir()} == {0o600}
    held = {os.readlink(path) for path in Path(f"/proc/{home.pid}/fd").iterdir()}
    assert len(list(Path(f"/proc/{home.pid}/task").iterdir())) == 1, "a fork beside a thread"
    inodes = {name[8:-1] for name in held if name.startswith("socket:")}
    unix = {line.split()[6] for line in Path("/proc/net/unix").read_text().splitlines()[1:]}
    assert inodes
    assert inodes <= unix


def test_who_says_nothing_or_nonsense_holds_up_nobody(home: Place) -> None:
    (folder,) = (home.home / "runtime").iterdir()
    path = str(next(folder.glob("*.sock")))
    with connected(path), connected(path) as talking:
        talking.send(b"\xff" * 1000)
        assert home.run("-m", "p", "-v", "hi").way == "through the worker"


def connected(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    home = os.open(os.path.dirname(path), os.O_PATH)
    connection.connect(f"/proc/self/fd/{home}/{os.path.basename(path)}")
    os.close(home)
    return connection


def test_a_query_through_it_loads_less_than_click(home: Place) -> None:
    report = (
        "import os, sys; before = set(sys.modules); end = os._exit\n"
        "def tell(code):\n"
        "    os.write(2, ' '.join(set(sys.modules) - before).encode()); end(code)\n"
        "os._exit = tell\n"
    )
    code = f"{report}sys.argv[1:] = ['-m', 'p', 'hi']\nfrom adapter.cli.entry import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=home.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "Hello, world\n"), done.stderr
    ours = set(done.stderr.split())
    line = [sys.executable, "-c", f"{report}import click; tell(0)"]
    clicks = subprocess.run(line, env=home.environ, capture_output=True, text=True, check=False)
    assert "adapter.worker.client" in ours
    assert not ours & {"click", "litellm", "typing", "socket"}
    assert len(ours) < len(clicks.stderr.split())

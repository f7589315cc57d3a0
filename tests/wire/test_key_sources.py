"""Keys from a command, a file or the keyring, and headers from variables, at the wire."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import adapter
from adapter.config.loading import load_config
from adapter.errors import MissingKeyError
from adapter.keys import sources as key_sources
from adapter.providers.discovery import models_of
from tests.command import PATIENCE, is_readable, provider, run, started
from tests.recorder import Recorder

Write = Callable[..., Path]

MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_sources, "_command_keys", {})


@pytest.fixture
def configure(write: Write, server: Recorder) -> Callable[..., None]:
    def configured(settings: str, fields: str = "") -> None:
        write(
            f'[[providers]]\nname = "p"\nbase_url = "{server.base_url}"\ndefault_model = "m"\n'
            f"{fields}\n[plugin.litellm.providers.p]\n{settings}\n"
        )

    return configured


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_a_command(configure: Callable[..., None], server: Recorder) -> None:
    code = "print('sk-of-the-command'); print('second line')"
    configure(f"api_key_cmd = {json.dumps([sys.executable, '-c', code])}")
    assert run("-m", "p", "hi").code == 0
    assert server.only.key == "sk-of-the-command"
    assert "api_key_cmd" not in server.only.body
    assert load_config().provider("p").resolve_key().source == "(from a command)"
    assert "API Key: (from a command)" in run("providers", "list").out


def test_a_command_of_a_shell(configure: Callable[..., None], server: Recorder) -> None:
    configure("api_key_cmd = 'printf \"sk-%s\" of-the-shell | cat'")
    adapter.completion("p", MESSAGES)
    assert server.only.key == "sk-of-the-shell"


@pytest.mark.parametrize("shell", [False, True])
def test_each_provider_gets_the_key_of_its_own_command(
    write: Write, server: Recorder, other_server: Recorder, shell: bool
) -> None:
    text = ""
    for name, to in (("one", server), ("two", other_server)):
        command: object = f"echo sk-of-{name}" if shell else ["echo", f"sk-of-{name}"]
        text += provider(to.base_url, name, default_model="m")
        text += f"[plugin.litellm.providers.{name}]\napi_key_cmd = {json.dumps(command)}\n"
    write(text)

    for name in ("one", "two", "one"):
        adapter.completion(name, messages=MESSAGES)

    assert {request.key for request in server.requests} == {"sk-of-one"}
    assert {request.key for request in other_server.requests} == {"sk-of-two"}


def test_a_command_runs_once_in_a_process(
    configure: Callable[..., None], server: Recorder, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    configure(f"api_key_cmd = 'echo ran >> {log}; echo sk-once'")
    for _ in range(3):
        adapter.completion("p", MESSAGES)
    assert log.read_text() == "ran\n"
    assert {r.key for r in server.requests} == {"sk-once"}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("'echo broken >&2; exit 3'", "the command failed (exit code 3): broken"),
        ('["/no/such/command"]', "the command cannot be run: No such file or directory"),
        ("'true'", "it is empty"),
        ("'exit 1'", "it printed no reason"),
    ],
)
def test_a_command_that_gives_no_key(
    configure: Callable[..., None],
    server: Recorder,
    command: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("P_API_KEY", "sk-of-something-else")
    configure(f"api_key_cmd = {command}")
    done = run("-m", "p", "hi")
    assert (done.code, done.out) == (3, "")
    assert "[plugin.litellm.providers.p] api_key_cmd, which gives no key" in done.err
    assert words in done.err
    assert not server.requests


def test_a_command_that_takes_too_long(
    configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_sources, "COMMAND_SECONDS", 0.2)
    configure('api_key_cmd = ["sleep", "60"]')
    assert "took longer than" in run("-m", "p", "hi").err


@pytest.mark.parametrize("command", ["yes sk-of-the-flood", "yes sk-of-the-flood; exit 3"])
def test_a_command_that_prints_without_end(
    configure: Callable[..., None], server: Recorder, command: str
) -> None:
    configure(f"api_key_cmd = {command!r}")
    assert run("-m", "p", "hi").code == 0
    assert server.only.key == "sk-of-the-flood"


def test_a_line_without_end_is_no_key(configure: Callable[..., None], server: Recorder) -> None:
    configure("api_key_cmd = 'yes | tr -d \"\\n\"'".replace("'", '"""'))
    done = run("-m", "p", "hi")
    assert done.code == 3
    assert "it printed more than 65,536 bytes without a line end" in done.err
    assert not server.requests


def test_of_an_endless_complaint_the_end_is_kept(configure: Callable[..., None]) -> None:
    code = "import sys; sys.stderr.write('x' * 10**7 + ' the end'); sys.exit(3)"
    configure(f"api_key_cmd = {json.dumps([sys.executable, '-c', code])}")
    done = run("-m", "p", "hi")
    assert "the command failed (exit code 3): xx" in done.err
    assert "x the end" in done.err
    assert len(done.err) < 1000


@pytest.mark.parametrize("output", ["echo", "printf %s"])
def test_a_command_that_leaves_a_child_behind(
    configure: Callable[..., None], server: Recorder, output: str
) -> None:
    configure(f"api_key_cmd = '(sleep 20 &); {output} sk-of-the-parent'")
    started = time.monotonic()
    assert run("-m", "p", "hi").code == 0
    assert time.monotonic() - started < 15
    assert server.only.key == "sk-of-the-parent"


def test_a_failure_is_told_though_a_child_is_left_behind(configure: Callable[..., None]) -> None:
    configure("api_key_cmd = 'sleep 20 & echo sk-no; echo broken >&2; exit 3'")
    started = time.monotonic()
    assert "the command failed (exit code 3): broken" in run("-m", "p", "hi").err
    assert time.monotonic() - started < 15


def test_a_command_that_goes_on_after_its_line(
    configure: Callable[..., None], server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_sources, "LINGER_SECONDS", 0.2)
    configure("api_key_cmd = 'echo sk-early; sleep 100'")
    assert run("-m", "p", "hi").code == 0
    assert server.only.key == "sk-early"


def test_a_command_that_takes_too_long_leaves_nothing_behind(
    configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(key_sources, "COMMAND_SECONDS", 0.5)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    configure(f"api_key_cmd = 'exec 3>{fifo}; sleep 1000 & sleep 1000'")
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    assert "took longer than" in run("-m", "p", "hi").err
    # the end of the file comes when the last process that holds it is gone
    assert is_readable(reader)
    assert os.read(reader, 1) == b""
    os.close(reader)


@pytest.mark.parametrize("args", [["-m", "p", "hi"], ["models"]])
def test_an_interrupt_ends_the_command_too(
    configure: Callable[..., None], tmp_path: Path, args: list[str]
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    configure(f"api_key_cmd = 'exec 3>{fifo}; sleep 1; echo x >&3; sleep 1000'")
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with started(*args) as process:
        assert is_readable(reader)
        assert os.read(reader, 2) == b"x\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert is_readable(reader)
        assert os.read(reader, 1) == b""
    os.close(reader)


def writable_file(path: Path) -> None:
    path.chmod(0o606)


def writable_by_a_group(path: Path) -> None:
    path.chmod(0o660)


def writable_folder(path: Path) -> None:
    path.parent.chmod(0o777)


def anothers_file(path: Path) -> None:
    os.chown(path, 12345, -1)


def link_into_a_writable_folder(path: Path) -> None:
    shared = path.parent.parent / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    path.rename(shared / "mine.toml")
    path.symlink_to(shared / "mine.toml")


@pytest.mark.parametrize(
    "expose",
    [
        *(writable_file, writable_by_a_group, writable_folder, link_into_a_writable_folder),
        pytest.param(
            anothers_file,
            marks=pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away"),
        ),
    ],
)
def test_a_command_that_others_may_have_written_is_not_run(
    expose: Callable[[Path], None],
    configure: Callable[..., None],
    server: Recorder,
    config_dir: Path,
    tmp_path: Path,
) -> None:
    ran = tmp_path / "ran"
    configure(f"api_key_cmd = 'touch {ran}; echo sk-of-somebody'")
    expose(config_dir / "gptme.toml")

    done = run("-m", "p", "hi")
    checked = run("config", "check")

    assert done.code == 3
    assert "the command for the key of provider 'p' is not run: " in done.err
    assert "(chmod go-w, chown)" in done.err
    assert checked.code == 0
    assert re.search(r"gptme.toml:7: provider 'p': api_key_cmd is not run, since ", checked.out)
    assert not ran.exists()
    assert not server.requests


def test_a_command_in_a_folder_that_others_may_only_add_to_is_run(
    configure: Callable[..., None], server: Recorder, config_dir: Path
) -> None:
    """As in /tmp, where nobody can replace the files of others."""
    configure("api_key_cmd = 'echo sk-mine'")
    config_dir.chmod(0o1777)

    assert run("-m", "p", "hi").code == 0
    assert server.only.key == "sk-mine"


def test_other_keys_of_a_file_that_others_may_write_are_used(
    configure: Callable[..., None], server: Recorder, config_dir: Path
) -> None:
    configure("api_key_cmd = 'false'", fields='api_key = "sk-direct"')
    (config_dir / "gptme.toml").chmod(0o666)

    assert run("-m", "p", "hi").code == 0
    assert server.only.key == "sk-direct"


def test_without_process_groups(
    configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows."""
    monkeypatch.delattr(os, "killpg")
    monkeypatch.setattr(key_sources, "COMMAND_SECONDS", 0.2)
    configure("api_key_cmd = 'exec sleep 1000'")
    assert "took longer than" in run("-m", "p", "hi").err


def test_a_file(configure: Callable[..., None], server: Recorder, tmp_path: Path) -> None:
    path = private(tmp_path / "home" / "key", "sk-of-the-file\r\nmore\n")
    configure('api_key_file = "~/key"')
    assert run("-m", "p", "hi").code == 0
    assert server.only.key == "sk-of-the-file"
    private(path, "sk-rotated")
    assert run("-m", "p", "hi").code == 0
    assert server.last.key == "sk-rotated"
    assert "API Key: (from ~/key)" in run("providers", "list").out


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_read_is_refused(
    configure: Callable[..., None], server: Recorder, tmp_path: Path, mode: int
) -> None:
    path = private(tmp_path / "key", "sk-of-the-file")
    path.chmod(mode)
    configure(f'api_key_file = "{path}"')
    done = run("-m", "p", "hi")
    assert done.code == 3
    assert f"can be read by other users: chmod 600 {path}" in done.err
    assert not server.requests


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: None, "No such file or directory"),
        (os.mkdir, "is not a regular file"),
        (os.mkfifo, "is not a regular file"),
        (lambda p: private(p, "\nsk-second-line"), "it is empty"),
    ],
)
def test_a_file_that_gives_no_key(
    configure: Callable[..., None], tmp_path: Path, make: Callable[[Path], Any], words: str
) -> None:
    path = tmp_path / "key"
    make(path)
    configure(f'api_key_file = "{path}"')
    done = run("-m", "p", "hi")
    assert done.code == 3
    assert words in done.err
    assert "Traceback" not in done.err


def test_a_relative_file_is_refused(configure: Callable[..., None]) -> None:
    private(Path("key"), "sk-of-the-working-folder")
    configure('api_key_file = "key"')
    assert "must be an absolute path" in run("-m", "p", "hi").err


ORDER = [
    ('api_key = "sk-direct"', "sk-direct"),
    ('api_key_env = "NAMED"', "sk-named"),
    ("", "sk-command"),
]


@pytest.mark.parametrize(("fields", "key"), ORDER)
def test_they_come_after_the_fields_and_before_the_conventional_variable(
    configure: Callable[..., None],
    server: Recorder,
    tmp_path: Path,
    fields: str,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NAMED", "sk-named")
    monkeypatch.setenv("P_API_KEY", "sk-conventional")
    file = private(tmp_path / "key", "sk-file")
    configure(f'api_key_file = "{file}"\napi_key_cmd = "echo sk-command"', fields)
    run("-m", "p", "hi")
    assert server.only.key == key


@pytest.mark.parametrize(
    "setting",
    [
        "api_key_cmd = 3",
        'api_key_cmd = ""',
        "api_key_cmd = []",
        "api_key_file = true",
        'api_key_keyring = "yes"',
        "api_key_cmd = [1]",
    ],
)
def test_values_of_a_wrong_type(configure: Callable[..., None], setting: str) -> None:
    configure(setting)
    done = run("providers", "list")
    assert done.code == 2
    assert f"plugin.litellm.providers.p.{setting.partition(' ')[0]} must be " in done.err


def test_headers_take_their_value_from_variables(
    configure: Callable[..., None], server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure('extra_headers = { X-Key = "$HEADER_KEY", X-Cost = "$5", X-Team = "blue" }')
    done = run("-m", "p", "hi")
    assert done.code == 3
    assert "the header X-Key takes its value from $HEADER_KEY, which is not set" in done.err
    monkeypatch.setenv("HEADER_KEY", "canary-header")
    assert run("-m", "p", "hi").code == 0
    models_of(load_config().provider("p"))
    for request in server.requests:
        assert request.headers["x-key"] == "canary-header"
        assert request.headers["x-cost"] == "$5"
        assert request.headers["x-team"] == "blue"
    exported = run("config", "export")
    params = yaml.safe_load(exported.out)["model_list"][0]["litellm_params"]
    assert params["extra_headers"]["X-Key"] == "os.environ/HEADER_KEY"
    assert "canary" not in exported.out + exported.err + repr(adapter.translate("p"))


def test_exported_by_the_conventional_variable(configure: Callable[..., None]) -> None:
    configure('api_key_cmd = "echo sk-canary"')
    done = run("config", "export")
    assert "api_key: os.environ/P_API_KEY" in done.out
    assert "set P_API_KEY: the key of provider 'p' is (from a command)" in done.err
    assert "api_key_cmd" not in done.out


def test_a_key_never_shows(configure: Callable[..., None]) -> None:
    code = "print('sk-canary' + chr(1) + 'bad')"
    configure(f"api_key_cmd = {json.dumps([sys.executable, '-c', code])}")
    with pytest.raises(MissingKeyError) as caught:
        adapter.completion("p", MESSAGES)
    assert "canary" not in str(caught.value)

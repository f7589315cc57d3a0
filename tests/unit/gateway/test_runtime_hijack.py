"""The runtime folder where others were first: nothing of theirs is believed, no file of ours lost.

A planted file names the attacker's server; a query must not go there.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from adapter._files import runtime_folder
from adapter.config.loading import load_config
from adapter.errors import GatewayError
from adapter.gateway.runtime import (
    FORMAT,
    RuntimeFile,
    create_file,
    ended_gateways,
    private_folder,
    running,
)
from adapter.gateway.settings import fingerprint
from adapter.secrets.secret import Secret
from tests.command import provider, run
from tests.recorder import Recorder

NOBODY = 65534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the runtime files, in a place where everybody can write, as in /tmp."""
    for above in (tmp_path, *tmp_path.parents[:3]):
        if above.stat().st_uid == os.getuid():
            above.chmod(above.stat().st_mode | 0o011)
    base = tmp_path / "run"
    base.mkdir()
    base.chmod(0o1777)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    return base / "gptme-litellm"


@contextmanager
def somebody_else(act: Callable[[], Any]) -> Iterator[None]:
    """Another user's process, which stays for the length of the block after it did ``act``."""
    said, done = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            kept = act()
            os.write(done, b"1")
            signal.pause()
            del kept
        finally:
            os._exit(1)
    os.close(done)
    try:
        assert os.read(said, 1) == b"1", "the other user could not do it"
        yield
    finally:
        os.close(said)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.fixture
def planted(server: Recorder, other_server: Recorder, write: Callable[..., Path]) -> str:
    """What a gateway's file would say of the attacker's server: up to date, for our provider."""
    write(provider(server.base_url, name="p", default_model="m"))
    config = load_config()
    port = int(other_server.origin.rpartition(":")[2])
    facts = {
        "format": FORMAT,
        "url": other_server.origin,
        "host": "127.0.0.1",
        "port": port,
        "pid": 1,
        "key": "sk-theirs",
        "salt": "s",
        "fingerprint": fingerprint(config, "s"),
        "config": config.paths,
        "workers": 1,
        "detached": True,
        "log": None,
        "started": 1.0,
        "path": "gateway-4000.json",
    }
    return json.dumps(facts)


def plant(path: Path, text: str, mode: int = 0o600) -> Any:
    """Write a file and hold its lock, as a gateway does."""
    path.write_text(text)
    path.chmod(mode)
    file = path.open()
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def assert_ignored() -> None:
    assert list(running()) == []
    assert run("serve", "--key").code == 2


def test_a_planted_file_would_be_believed_if_it_were_ours(own: Path, planted: str) -> None:
    """What the other tests here plant does name a gateway."""
    private_folder()
    with plant(own / "gateway-4000.json", planted):
        assert run("serve", "--key").out == "sk-theirs\n"


@as_root
def test_another_users_folder_is_ignored_and_refused(own: Path, planted: str) -> None:
    def make() -> Any:
        own.mkdir()
        own.chmod(0o777)
        return plant(own / "gateway-4000.json", planted, 0o644)

    with somebody_else(make):
        assert_ignored()
        with pytest.raises(GatewayError, match="is not a folder of yours"):
            RuntimeFile()
        assert list(ended_gateways()) == []


@as_root
def test_another_users_file_in_our_folder_is_ignored(own: Path, planted: str) -> None:
    private_folder()
    own.chmod(0o777)  # as it may have been once
    with somebody_else(lambda: plant(own / "gateway-4000.json", planted, 0o644)):
        own.chmod(0o700)
        assert_ignored()
        RuntimeFile().close(discard=True)
        assert not (own / "gateway-4000.json").exists()


@as_root
def test_our_own_file_in_another_users_folder_is_ignored(own: Path, planted: str) -> None:
    """What its owner moved there out of a folder of ours that was open once."""
    own.mkdir()
    with plant(own / "gateway-4000.json", planted):
        os.chown(own, NOBODY, NOBODY)
        assert_ignored()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_can_write_is_ignored_until_it_is_closed(
    own: Path, planted: str, mode: int
) -> None:
    private_folder()
    own.chmod(mode)
    with plant(own / "gateway-4000.json", planted):
        assert_ignored()
    assert list(ended_gateways()) == []
    RuntimeFile().close(discard=True)
    assert own.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("how", ["writable", "hard link", "symlink", "folder is a symlink"])
def test_a_file_that_others_may_have_written_is_ignored(own: Path, planted: str, how: str) -> None:
    victim = own.parent / "theirs"
    if how == "folder is a symlink":
        victim.mkdir()
        own.symlink_to(victim)
        held = plant(victim / "gateway-4000.json", planted)
    else:
        private_folder()
        path = own / "gateway-4000.json"
        held = plant(path if how == "writable" else victim, planted, 0o666)
        if how == "hard link":
            victim.chmod(0o600)
            os.link(victim, path)
        if how == "symlink":
            victim.chmod(0o600)
            path.symlink_to(victim)
    with held:
        assert_ignored()


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        home = os.getcwd()
        os.chdir(path.parent)  # a socket's path is at most 107 bytes long
        try:
            listener.bind(path.name)
        finally:
            os.chdir(home)


@pytest.mark.parametrize("make", [fifo, unix_socket, Path.touch, Path.mkdir])
def test_what_is_no_folder_is_refused_in_its_place(own: Path, make: Callable[..., None]) -> None:
    make(own)
    assert list(running()) == []
    if make is Path.mkdir:
        RuntimeFile().close(discard=True)
        return
    before = own.lstat()
    with pytest.raises(GatewayError, match="gptme-litellm: "):
        RuntimeFile()
    assert own.lstat() == before


@pytest.mark.parametrize("name", ["gateway-4000.json", "gateway-4000.yaml", "gateway-4000.log"])
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_to_a_victim_is_replaced_and_the_victim_kept(
    own: Path, name: str, link: Callable[[Path, Path], None]
) -> None:
    victim = own.parent / "victim"
    victim.write_text("precious")
    victim.chmod(0o644)
    private_folder()
    link(victim, own / name)
    slot = RuntimeFile()
    if name.endswith(".json"):
        facts = {
            "url": "http://127.0.0.1:4000",
            "host": "127.0.0.1",
            "port": 4000,
            "pid": 1,
            "key": Secret("k"),
            "salt": "s",
        }
        more = {
            "fingerprint": "",
            "config": (),
            "workers": 1,
            "detached": True,
            "log": None,
            "started": 1.0,
        }
        slot.publish(**facts, **more)
    else:
        os.close(create_file(own / name))
    info = (own / name).lstat()
    assert (info.st_mode, info.st_nlink) == (0o100600, 1)
    assert (victim.read_text(), victim.stat().st_mode & 0o777) == ("precious", 0o644)
    slot.close(discard=True)


@pytest.mark.parametrize("make", [fifo, unix_socket, Path.mkdir])
@pytest.mark.parametrize("name", ["gateway-4000.json", ".starting-x", "start"])
def test_junk_in_place_of_a_file_hangs_nothing(
    own: Path, name: str, make: Callable[..., None]
) -> None:
    make(private_folder() / name)
    assert list(running()) == []
    assert list(ended_gateways()) == []
    RuntimeFile().close(discard=True)


def test_a_folder_in_place_of_the_log_is_an_error_and_kept(own: Path) -> None:
    path = private_folder() / "gateway-4000.log"
    path.mkdir()
    with pytest.raises(OSError, match=r"gateway-4000\.log"):
        create_file(path)
    assert path.is_dir()


@as_root
def test_a_lock_of_another_user_on_the_folder_stops_nothing(own: Path) -> None:
    private_folder()
    own.chmod(0o755)

    def lock() -> int:
        handle = os.open(own, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        return handle

    with somebody_else(lock):
        RuntimeFile().close(discard=True)
    assert list(own.iterdir()) == []


def test_without_a_runtime_folder_it_is_below_home_and_never_in_tmp(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for value in (None, "", "relative", "./x", "~/x"):
        if value is None:
            monkeypatch.delenv("XDG_RUNTIME_DIR")
        else:
            monkeypatch.setenv("XDG_RUNTIME_DIR", value)
        monkeypatch.setenv("TMPDIR", str(tmp_path / "elsewhere"))
        assert Path(runtime_folder()) == tmp_path / "home/.local/state/gptme-litellm"

"""The runtime files: private, locked by whom they name, and never taken from anybody else."""

from __future__ import annotations

import fcntl
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from adapter._files import runtime_folder
from adapter.errors import GatewayError
from adapter.gateway.runtime import (
    FORMAT,
    RuntimeFile,
    ended_gateways,
    is_alive,
    private_folder,
    running,
)
from adapter.secrets.secret import Secret

FACTS: dict[str, Any] = {
    "url": "http://127.0.0.1:4000",
    "host": "127.0.0.1",
    "port": 4000,
    "pid": 1,
    "key": Secret("sk-canary"),
    "salt": "s",
    "fingerprint": "f",
    "config": ("/a", "/b"),
    "workers": 2,
    "detached": True,
    "log": None,
    "started": 1.0,
}


@pytest.fixture(autouse=True)
def runtime_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "run" / "gptme-litellm"


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"XDG_RUNTIME_DIR": "/run/u"}, "/run/u/gptme-litellm"),
        ({"XDG_RUNTIME_DIR": "relative", "HOME": "/h"}, "/h/.local/state/gptme-litellm"),
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/gptme-litellm"),
    ],
)
def test_where_it_is(environ: dict[str, str], folder: str) -> None:
    with mock.patch.dict(os.environ, environ, clear=True):
        assert runtime_folder() == folder


def test_reading_makes_nothing(runtime_dir: Path) -> None:
    assert list(running()) == []
    assert not runtime_dir.parent.exists()


def test_a_gateway_is_there_while_its_lock_is_held(runtime_dir: Path) -> None:
    slot = RuntimeFile()
    assert list(running()) == []
    gateway = slot.publish(**FACTS)
    held = os.dup(slot.fd)  # as the gateway's process holds it
    slot.close(discard=False)
    assert list(running()) == [gateway]
    assert is_alive(gateway)
    path = runtime_dir / "gateway-4000.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert runtime_dir.stat().st_mode & 0o777 == 0o700
    assert "sk-canary" not in repr(gateway)
    assert list(ended_gateways()) == []
    os.close(held)
    assert list(running()) == []
    assert not is_alive(gateway)
    assert path.exists()
    assert list(ended_gateways()) == [gateway.url]


def test_the_next_start_removes_what_the_dead_left(runtime_dir: Path) -> None:
    slot = RuntimeFile()
    slot.publish(**FACTS)
    slot.close(discard=False)
    killed = RuntimeFile()
    os.close(killed.fd)
    living = RuntimeFile()
    gateway = living.publish(**{**FACTS, "port": 4001})
    last = RuntimeFile()
    assert sorted(p.name for p in runtime_dir.iterdir()) == sorted(
        ["gateway-4001.json", last.path.name]
    )
    assert list(running()) == [gateway]
    last.close(discard=True)
    assert not last.path.exists()
    living.close(discard=True)


def test_another_gateway_in_its_place_is_not_it() -> None:
    first = RuntimeFile()
    gateway = first.publish(**FACTS)
    second = RuntimeFile()
    second.publish(**{**FACTS, "pid": 2})
    assert not is_alive(gateway)
    first.close(discard=False)
    second.close(discard=True)


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "null", "\0"),
        *(f'{{"format": {FORMAT}}}', '{"format": 99}', f'{{"format": {FORMAT}, "key": 3}}'),
    ],
)
def test_a_file_that_makes_no_sense_is_no_gateway(runtime_dir: Path, content: str) -> None:
    path = private_folder() / "gateway-1.json"
    path.write_text(content)
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert list(running()) == []


def test_links_fifos_and_folders_are_no_gateways(runtime_dir: Path, tmp_path: Path) -> None:
    real = tmp_path / "real.json"
    real.write_text(json.dumps({"format": FORMAT, **FACTS, "path": "x"}))
    base = private_folder()
    (base / "gateway-1.json").symlink_to(real)
    os.mkfifo(base / "gateway-2.json")
    (base / "gateway-3.json").mkdir()
    with real.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        started = time.monotonic()
        assert list(running()) == []
        assert time.monotonic() - started < 60


def test_a_folder_that_others_can_read_is_closed(runtime_dir: Path) -> None:
    runtime_dir.mkdir(parents=True)
    runtime_dir.chmod(0o777)
    assert private_folder() == runtime_dir
    assert runtime_dir.stat().st_mode & 0o777 == 0o700


def test_a_link_in_place_of_the_folder_is_refused(runtime_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    runtime_dir.parent.mkdir()
    runtime_dir.symlink_to(other)
    with pytest.raises(GatewayError, match="is not a folder of yours"):
        RuntimeFile()
    assert list(other.iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(runtime_dir: Path) -> None:
    runtime_dir.mkdir(parents=True)
    os.chown(runtime_dir, 12345, 12345)
    with pytest.raises(GatewayError, match="is not a folder of yours"):
        private_folder()


def test_a_file_in_place_of_the_folder_is_refused(runtime_dir: Path) -> None:
    runtime_dir.parent.mkdir()
    runtime_dir.write_text("")
    with pytest.raises(GatewayError, match="gptme-litellm"):
        private_folder()


def test_starts_at_the_same_time_do_not_remove_each_other(runtime_dir: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        slots = list(pool.map(lambda _: RuntimeFile(), range(100)))
    assert [s.path for s in slots if not s.path.exists()] == []
    for slot in slots:
        slot.close(discard=True)


def test_logs_of_ended_gateways_are_kept_but_not_all(runtime_dir: Path) -> None:
    living = RuntimeFile()
    living.publish(**FACTS)
    for port in range(4000, 4008):
        log = runtime_dir / f"gateway-{port}.log"
        log.write_text("")
        os.utime(log, (port, port))
    RuntimeFile().close(discard=True)
    left = sorted(p.name for p in runtime_dir.glob("*.log"))
    assert left == [f"gateway-{port}.log" for port in (4000, 4005, 4006, 4007)]
    living.close(discard=True)


def test_junk_in_the_folder_hangs_and_breaks_nothing(runtime_dir: Path) -> None:
    folder = private_folder()
    os.mkfifo(folder / "gateway-1.json")
    (folder / "gateway-2.json").mkdir()
    (folder / "gateway-3.json").write_text("[" * 200_000)
    for number in range(4, 10):
        (folder / f"gateway-{number}.log").mkdir()
    (folder / "gateway-10.yaml").write_text("of a start that was killed")
    assert list(ended_gateways()) == []
    assert list(running()) == []
    slot = RuntimeFile()
    assert not (folder / "gateway-10.yaml").exists()
    (folder / "gateway-11.yaml").write_text("of the start under way")
    RuntimeFile().close(discard=True)
    assert (folder / "gateway-11.yaml").exists()
    slot.close(discard=True)

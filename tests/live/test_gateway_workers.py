"""One gateway with several processes that answer: they start, are replaced, and end together."""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from adapter.gateway.runtime import Gateway, is_alive, running
from tests.command import PATIENCE, gateway_environ, run, run_apart
from tests.recorder import Recorder
from tests.waiting import come_to, is_running

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc"),
]

KEY = "sk-canary-of-workers-123456"


class Setup(NamedTuple):
    """A gateway with two workers, and the environment it was started in."""

    gateway: Gateway
    environ: dict[str, str]


@pytest.fixture
def setup(server: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setup]:
    config = tmp_path / "config.toml"
    config.write_text(
        f'[[providers]]\nname = "p"\nbase_url = "{server.base_url}"\ndefault_model = "m"\n'
    )
    own = {
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "ADAPTER_CONFIG": str(config),
        "P_API_KEY": KEY,
    }
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    environ = gateway_environ(**own)
    started = run_apart(environ, "serve", "--detach", "--port", "0", "--workers", "2")
    assert started.returncode == 0, started.stderr
    (gateway,) = running()
    try:
        yield Setup(gateway, environ)
    finally:
        run_apart(environ, "serve", "--stop")


def workers(gateway: Gateway) -> set[int]:
    """The processes that the gateway's own has started to answer, and that run."""
    pids = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            command = path.with_name("cmdline").read_text()
            if fields[0] != "Z" and int(fields[1]) == gateway.pid and "spawn_main" in command:
                pids.add(int(path.parent.name))
    return pids


def ask(gateway: Gateway, key: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=PATIENCE)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    body = json.dumps({"model": "p", "messages": [{"role": "user", "content": "q"}]})
    connection.request("POST", "/v1/chat/completions", body, headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_workers_answer_as_one_gateway_and_a_dead_one_is_replaced(
    setup: Setup, server: Recorder, tmp_path: Path
) -> None:
    gateway = setup.gateway
    first = workers(gateway)
    assert len(first) == 2
    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(lambda _: ask(gateway, gateway.key), range(60))) == {200}
        assert set(pool.map(lambda _: ask(gateway, "wrong"), range(20))) == {401}
    assert {r.headers["authorization"] for r in server.requests} == {f"Bearer {KEY}"}
    assert f"(pid {gateway.pid}, 2 workers, in the background" in run("serve", "--status").out

    # each of the two, in turn: the other answers meanwhile
    for pid in first:
        os.kill(pid, signal.SIGKILL)
        assert come_to(lambda gone=pid: not is_running(gone))  # type: ignore[misc]  # bound now
        assert ask(gateway, gateway.key) == 200
        assert come_to(lambda: len(workers(gateway)) == 2)
        assert gateway.log
        assert f"Child process [{pid}] died" in Path(gateway.log).read_text()
        assert come_to(lambda: ask(gateway, gateway.key) == 200)
    second = workers(gateway)
    assert first.isdisjoint(second)
    for name in ("cmdline", "environ"):
        texts = [Path(f"/proc/{pid}/{name}").read_bytes() for pid in (gateway.pid, *second)]
        assert any(KEY.encode() in text for text in texts) == (name == "environ")

    assert run_apart(setup.environ, "serve", "--stop").returncode == 0
    assert not is_alive(gateway)
    assert not any(map(is_running, (*first, *second)))
    assert [p.suffix for p in Path(tmp_path, "gptme-litellm").iterdir()] == [".log"]


def test_workers_end_when_the_process_that_started_them_is_killed(setup: Setup) -> None:
    pids = workers(setup.gateway)
    os.kill(setup.gateway.pid, signal.SIGKILL)

    assert come_to(lambda: not any(map(is_running, pids)))

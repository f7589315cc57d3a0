"""Real processes with ``LITELLM_LOG=DEBUG``: a gateway, a query, and where their keys get to."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from adapter.gateway.runtime import Gateway, running
from tests.canaries import PLACES, Nursery, nursery
from tests.command import NETWORK, PATIENCE, run, run_apart
from tests.recorder import Reply

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
KEPT = ("PATH", "LANG", *NETWORK)


class Setup(NamedTuple):
    birds: Nursery
    environ: dict[str, str]
    gateway: Gateway
    said: str


def command(environ: dict[str, str], *args: str) -> subprocess.CompletedProcess[str]:
    return run_apart(environ, *args, cwd=environ["HOME"] + "/work")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    with nursery(tmp_path_factory.mktemp("canaries")) as birds:
        environ = {
            **{name: os.environ[name] for name in KEPT if name in os.environ},
            **birds.environ(),
            "NO_PROXY": "*",
            "LITELLM_LOG": "DEBUG",
            "PYTHONPATH": str(ROOT),  # for the keyring of the tests
        }
        started = command(environ, "serve", "--detach", "--port", "0", "--workers", "2")
        assert started.returncode == 0, started.stderr
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_RUNTIME_DIR", environ["XDG_RUNTIME_DIR"])
            (gateway,) = running()
        runtime = f"runtime/gptme-litellm/gateway-{gateway.port}.json"
        birds.extra_files["master"] = (runtime,)
        try:
            yield Setup(birds, environ, gateway, started.stdout + started.stderr)
        finally:
            command(environ, "serve", "--stop")


@pytest.fixture
def setup(shared: Setup, monkeypatch: pytest.MonkeyPatch) -> Setup:
    import keyring

    from tests.canaries import FileKeyring

    made = FileKeyring()  # type: ignore[no-untyped-call]  # keyring's
    monkeypatch.setattr(keyring.core, "_keyring_backend", made)
    for name, value in shared.birds.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LITELLM_PROXY_API_KEY", shared.gateway.key)
    shared.birds.answer()
    return shared


def through(setup: Setup, place: str) -> tuple[str, ...]:
    return "-m", place, "--gateway", setup.gateway.url, "hi"


def test_a_gateway_shows_no_key_though_servers_repeat_them(setup: Setup) -> None:
    birds = setup.birds
    said = [setup.said]
    for how in ("answer", "401", "500"):
        birds.answer()
        if how != "answer":
            birds.echo(int(how))
        for place in PLACES:
            done = run(*through(setup, place), "-v", *(("--json",) if place == "inline" else ()))
            assert f"base_url {setup.gateway.url}" in done.err, done.err
            assert (done.code == 0) is (how == "answer"), done.err
            said += [done.out, done.err]
        assert birds.leaks(*said) == []
        assert all(birds.servers[place].requests for place in PLACES)
    log = Path(str(setup.gateway.log))
    assert "DEBUG" in log.read_text(), "LiteLLM's log is not on, so this shows nothing"
    assert "***" in log.read_text()


@pytest.mark.parametrize("path", ["/v1/models", "/v1/model/info", "/health/readiness", "/routes"])
def test_no_route_of_the_gateway_answers_with_a_key(setup: Setup, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", setup.gateway.port, timeout=PATIENCE)
    connection.request("GET", path, headers={"Authorization": f"Bearer {setup.gateway.key}"})
    response = connection.getresponse()
    assert setup.birds.leaks(response.read(), str(response.headers)) == []
    connection.close()


def test_other_clients_get_errors_without_keys(setup: Setup) -> None:
    for status in (401, 500):
        setup.birds.echo(status)
        for model, stream in (("headers", False), ("inline", True), ("headervar", True)):
            connection = http.client.HTTPConnection("127.0.0.1", setup.gateway.port)
            headers = {"Authorization": f"Bearer {setup.gateway.key}", "X-Adapter-Facts": "1"}
            messages = [{"role": "user", "content": "hi"}]
            body = {"model": model, "messages": messages, "stream": stream}
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            response = connection.getresponse()
            assert setup.birds.leaks(response.read(), str(response.headers)) == []
            assert response.status == status
            connection.close()


@pytest.mark.parametrize("status", [302, 307])
def test_the_gateway_follows_no_redirect_to_another_host(setup: Setup, status: int) -> None:
    other = setup.birds.servers["proxy"]
    own = setup.birds.servers["headers"]
    own.script = lambda r: Reply(status, {}, {"Location": other.origin + r.path})
    for stream in ("--stream", "--no-stream"):
        assert run(*through(setup, "headers"), stream).code == 7
    assert len(own.requests) == 2
    assert other.requests == []


def test_only_its_own_command_prints_the_gateways_key(setup: Setup) -> None:
    done = run("serve", "--key")
    assert done.out == f"{setup.birds.key('master')}\n"
    assert setup.birds.leaks(done.out, done.err, meant=("master",)) == []
    done = run("serve", "--status")
    assert setup.gateway.url in done.out
    assert setup.birds.leaks(done.out, done.err) == []


@pytest.mark.parametrize("place", ["headers", "cmd"])
def test_a_query_as_a_process_shows_no_key(setup: Setup, place: str) -> None:
    setup.birds.echo(401)
    done = command(setup.environ, "-m", place, "hi", "-v", "--no-gateway")
    assert (done.returncode, done.stdout) == (3, "")
    assert setup.birds.leaks(done.stdout, done.stderr) == []
    assert setup.birds.command_lines, "nobody looked at the command lines"

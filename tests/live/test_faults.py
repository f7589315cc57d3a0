"""docs/reliability.md, row by row: each fault in Python, as the command, and through a gateway."""

from __future__ import annotations

import asyncio
import http.client
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import adapter
from adapter.gateway.runtime import Gateway, is_alive, running
from tests.bodies import BODIES, PYTHON, bodies_server, seen_in
from tests.command import NETWORK, PATIENCE, ROOT, provider, run, started
from tests.faults import (
    FAULTS,
    LATE,
    MEGABYTES,
    STREAM,
    WHOLE,
    Fault,
    Server,
    fault_server,
    unreachable_places,
)
from tests.recorder import Recorder, recording_server

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

KEY = "sk-the-providers-own-key"
MESSAGES = [{"role": "user", "content": "hi"}]
ROWS = [(name, mode) for name, fault in FAULTS.items() for mode in fault.modes]
EVERY_ROW = pytest.mark.parametrize(("name", "mode"), ROWS)
SHORT_ROWS = [row for row in ROWS if not row[0].startswith("long")]


class Setup(NamedTuple):
    """A server with every fault, one that nothing may reach, and a gateway."""

    server: Server
    elsewhere: Recorder
    urls: dict[str, str]
    gateway: Gateway
    environ: dict[str, str]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    folder = tmp_path_factory.mktemp("faults")
    with (
        recording_server() as elsewhere,
        bodies_server() as bodies,
        fault_server(int(elsewhere.origin.rpartition(":")[2])) as server,
        unreachable_places(server, folder) as unreachable,
    ):
        urls = {
            "p": f"http://127.0.0.1:{server.port}/v1",
            "small": f"http://127.0.0.1:{server.port}/small/v1",
            "bodies": bodies.base_url,
            **unreachable,
        }
        config = folder / "gptme.toml"
        tables = [provider(url, name, api_key=KEY) for name, url in urls.items()]
        tables.append("[plugin.litellm.providers.small]\nmax_response_bytes = 1000000\n")
        config.write_text("\n".join(tables), encoding="utf-8")
        config.chmod(0o600)
        environ = {
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "ADAPTER_CONFIG": str(config),
            "NO_PROXY": "*",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }
        kept = {
            k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "PYTHONPATH", *NETWORK)
        }
        serve = [sys.executable, "-m", "adapter", "serve"]
        subprocess.run(
            [*serve, "--detach", "--port", "0"], env={**kept, **environ}, check=True, timeout=240
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_RUNTIME_DIR", str(folder))
            (gateway,) = running()
        try:
            yield Setup(server, elsewhere, urls, gateway, environ)
        finally:
            subprocess.run([*serve, "--stop"], env={**kept, **environ}, check=False, timeout=60)


@pytest.fixture
def setup(shared: Setup, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setup]:
    for name, value in shared.environ.items():
        monkeypatch.setenv(name, value)
    shared.server.requests.clear()
    shared.elsewhere.requests.clear()
    adapter.load_config()
    yield shared
    assert not shared.elsewhere.requests
    assert is_alive(shared.gateway)


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """Import LiteLLM before anything is bounded in time."""
    import litellm  # noqa: F401 - for its time


def text_of(mode: str, chunks: list[Any]) -> str:
    """Return the text, or the tool calls as the command prints them."""
    from adapter.query.answer import Answer

    return "".join(Answer().pieces(chunks)) if mode == STREAM or chunks else ""


def call(name: str, mode: str, is_async: bool, **more: Any) -> tuple[Exception | None, str]:
    """Call ``completion`` or ``acompletion``; return the error, and the text until then."""
    fault = FAULTS[name]
    got: list[Any] = []
    given: dict[str, Any] = {"model": f"{fault.provider}/{name}", "messages": MESSAGES}
    given |= {"timeout": fault.limit, "stream": mode == STREAM, **more}

    async def answer() -> None:
        result = await adapter.acompletion(**given)
        if mode == WHOLE:
            got.append(result)
            return
        async for part in result:
            got.append(part)  # noqa: PERF401 - what came before an error is kept

    try:
        if is_async:
            asyncio.run(answer())
        elif mode == WHOLE:
            got.append(adapter.completion(**given))
        else:
            for part in adapter.completion(**given):
                got.append(part)  # noqa: PERF402 - as above
    except Exception as error:  # noqa: BLE001 - it is what the test looks at
        return error, text_of(mode, got)
    return None, text_of(mode, got)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(("name", "mode"), SHORT_ROWS)
def test_in_python(setup: Setup, name: str, mode: str, is_async: bool) -> None:
    fault = FAULTS[name]
    began = time.monotonic()
    error, text = call(name, mode, is_async, max_retries=0)
    assert time.monotonic() - began < fault.bound
    seen = (type(error).__name__, getattr(error, "status_code", None)) if error else ("", None)
    assert seen == (fault.error, fault.status)
    assert text == fault.out
    assert setup.server.requests[name] == fault.requests
    if error is not None:
        assert KEY not in f"{error}{error!r}"
        note = f"gptme-litellm: provider {fault.provider!r}, base_url {setup.urls[fault.provider]}"
        assert getattr(error, "__notes__", [""])[0].startswith(note)


@EVERY_ROW
def test_as_the_command(setup: Setup, name: str, mode: str) -> None:
    fault = FAULTS[name]
    flags = ("--stream" if mode == STREAM else "--no-stream", "--timeout", str(fault.limit))
    model = f"{fault.provider}/{name}"
    began = time.monotonic()
    done = run("-m", model, *flags, "hi")
    assert time.monotonic() - began < fault.bound
    assert setup.server.requests[name] == fault.requests
    check_command(fault, done.code, done.out, done.err, setup)


def check_command(fault: Fault, code: int, out: str, err: str, setup: Setup) -> None:
    assert code == fault.code
    assert out == (f"{fault.out}\n" if fault.out else "")
    if not fault.code:
        assert not err
        return
    assert err.startswith(f"Error: provider {fault.provider!r} ({setup.urls[fault.provider]}")
    assert fault.says in err
    assert ("the answer above is not complete" in err) is bool(fault.out)
    assert len(err.splitlines()) <= 3
    assert "Traceback" not in err
    assert KEY not in err


def post(setup: Setup, body: dict[str, Any]) -> tuple[http.client.HTTPResponse, str]:
    """Ask the gateway as another client of it does."""
    connection = http.client.HTTPConnection("127.0.0.1", setup.gateway.port, timeout=PATIENCE)
    headers = {"Authorization": f"Bearer {setup.gateway.key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    data = response.read().decode()
    connection.close()
    return response, data


def events_in(data: str) -> list[str]:
    lines = data.splitlines()
    return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]


@pytest.mark.parametrize(("name", "mode"), PYTHON)
def test_bodies_for_another_client_of_the_gateway(setup: Setup, name: str, mode: str) -> None:
    """tests/data/bodies, whose other turns are in tests/wire/test_bodies.py."""
    body = {"model": f"bodies/{name}", "messages": MESSAGES, "stream": mode == STREAM}
    response, data = post(setup, body)
    texts = events_in(data) if data.startswith("data: ") else [data]
    got = [json.loads(text) for text in texts if text != "[DONE]"]
    wanted = BODIES[name].python(mode)
    assert wanted is not None
    failed = response.status != 200 or any("error" in part for part in got)
    assert failed is bool(wanted.error)
    assert seen_in(got) == wanted._replace(error="", status=None)
    assert KEY not in data


@pytest.mark.parametrize(("name", "mode"), SHORT_ROWS)
def test_for_another_client_of_the_gateway(setup: Setup, name: str, mode: str) -> None:
    fault = FAULTS[name]
    body = {"model": f"{fault.provider}/{name}", "messages": MESSAGES, "timeout": fault.limit}
    began = time.monotonic()
    response, data = post(setup, {**body, "stream": mode == STREAM})
    assert time.monotonic() - began < fault.bound
    events = events_in(data)
    failed = bool(events) and '"error"' in events[-1]
    assert f"{response.status}{', then an error event' * failed}" == fault.client
    assert setup.server.requests[name] == fault.requests
    assert KEY not in data
    assert response.headers.get("retry-after") == ("1" if name == "429-wait" else None)


def test_how_often_python_tries_by_default(setup: Setup) -> None:
    """Many at once: the OpenAI SDK waits for a second or two between its three attempts."""
    rows = [row for row in SHORT_ROWS if FAULTS[row[0]].requests]
    setup.server.handshakes = 0

    async def ask(name: str, mode: str) -> None:
        fault = FAULTS[name]
        given: dict[str, Any] = {
            "model": f"{fault.provider}/{name}",
            "messages": MESSAGES,
            "stream": mode == STREAM,
        }
        try:
            result = await adapter.acompletion(**given, timeout=max(fault.limit, 2))
            if mode == STREAM:
                async for _ in result:
                    pass
        except Exception:  # noqa: BLE001 - only the number of requests counts
            return

    async def ask_all() -> None:
        # the silent ones by themselves: their time runs while the others take theirs
        short = [row for row in rows if FAULTS[row[0]].limit < 30]
        await asyncio.gather(*(ask(*row) for row in short))
        others = [row for row in rows if row not in short]
        await asyncio.gather(*(ask(*row) for row in [*others, ("no-tls", WHOLE)]))

    asyncio.run(ask_all())
    wanted: dict[str, int] = {}
    for name, _ in rows:
        wanted[name] = wanted.get(name, 0) + (3 if FAULTS[name].retried else 1)
    assert setup.server.requests == wanted
    assert setup.server.handshakes == 3


def test_a_stream_without_end_has_the_bound_that_litellm_is_given(setup: Setup) -> None:
    environ = {**os.environ, "LITELLM_MAX_STREAMING_DURATION_SECONDS": "1"}
    with started("-m", "p/endless", "hi", env=environ) as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 7, err
    assert out.startswith(b"word word ")
    assert b"the answer above is not complete" in err


def test_keep_alive_comments_without_end_are_silence(setup: Setup) -> None:
    """To the command."""
    began = time.monotonic()
    done = run("-m", "p/pings", "--timeout", "1", "hi")
    assert time.monotonic() - began < 40
    assert (done.code, done.out) == (7, "One two\n")
    assert LATE in done.err


MEASURED = """\
import re, sys
from adapter.cli.main import run
code = run(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1], file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_memory_that_a_long_reply_takes(
    setup: Setup, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """In a process that has nothing else to do."""
    args = ("-m", "p/long", "--no-stream", "hi")
    with (tmp_path / "out").open("wb") as out:
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *args],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            check=True,
        )
    assert (tmp_path / "out").stat().st_size == MEGABYTES * 2**20 + 1
    used = int(done.stderr) / 1024
    record_property("figure", f"faults: {MEGABYTES} MB take the command {used:.0f} MB")
    assert used < 15 * MEGABYTES


WITHOUT_END = ("too-long", "too-long-zipped", "error-without-end", "error-bomb", "redirect-bomb")

ASKS = """\
import asyncio, re, sys
import adapter
from adapter.cli.main import run

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])

def ask(model):
    for stream in (False, True):
        given = {"model": model, "messages": [{"role": "user", "content": "q"}], "timeout": 5}
        given |= {"max_retries": 0, "stream": stream}
        async def answer():
            result = await adapter.acompletion(**given)
            return [part async for part in result] if stream else result
        for function in (lambda: list(adapter.completion(**given)), lambda: asyncio.run(answer())):
            try:
                function()
            except Exception as error:
                assert error.status_code >= 400, error
        run(["-m", model, "--stream" if stream else "--no-stream", "--timeout", "5", "q"])

ask("p/400")
ask("p/malformed")  # which imports what a broken stream needs
before = peak()
for model in sys.argv[1:]:
    ask(f"small/{model}")
print(f"\\n{peak() - before}")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_reply_takes_more_memory_than_it_may(setup: Setup) -> None:
    """In Python, sync, async and streamed, and as the command."""
    command = [sys.executable, "-c", ASKS, *WITHOUT_END, "too-long-stream"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert "Traceback" not in done.stderr
    assert int(done.stdout.split()[-1]) < 48 * 1024  # kB; a packet of the bombs is 64 MB


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_gateway_takes_no_more_memory_than_a_reply_may(setup: Setup) -> None:
    def peak() -> int:
        status = Path(f"/proc/{setup.gateway.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1])

    def ask(name: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", setup.gateway.port, timeout=PATIENCE)
        body = {"model": f"small/{name}", "messages": MESSAGES, "timeout": 5}
        headers = {"Authorization": f"Bearer {setup.gateway.key}"}
        for stream in (False, True):
            sent = json.dumps({**body, "stream": stream})
            connection.request("POST", "/v1/chat/completions", sent, headers)
            connection.getresponse().read()
        connection.close()

    ask("400")
    ask("malformed")
    before = peak()
    for name in (*WITHOUT_END, "too-long-stream"):
        ask(name)
    assert peak() - before < 48 * 1024


def test_the_table_is_what_is_run_here() -> None:
    """And the page shows it."""
    path = ROOT / "docs" / "generate_reliability.py"
    spec = importlib.util.spec_from_file_location("generate_reliability", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = module.PAGE.read_text(encoding="utf-8")
    assert page == module.text(page), "run: python docs/generate_reliability.py"
    assert page.count("\n| ") > len(FAULTS)

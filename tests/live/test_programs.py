"""``adapter run`` and ``adapter env`` with a real gateway, and what it answers other clients."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import adapter
from tests.command import PATIENCE, gateway_environ, needs_gateway, run_apart
from tests.recorder import ANSWER, Recorder, Reply, Request, recording_server

pytestmark = [pytest.mark.live, needs_gateway, pytest.mark.timeout(600)]

CONFIG = """
[[providers]]
name = "p-1"
base_url = "{base_url}"
default_model = "m"
[[providers]]
name = "other"
base_url = "{base_url}"
[plugin.litellm.models."p-1/m"]
supports_vision = true
max_input_tokens = 4242
"""


class Place(NamedTuple):
    server: Recorder
    environ: dict[str, str]


def without_responses(request: Request) -> Reply | None:
    """Answer as a server does that has chat completions only."""
    return Reply(404, {"detail": "Not Found"}) if request.path.endswith("/responses") else None


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A configuration and a server that has chat completions only; no gateway yet."""
    home = tmp_path_factory.mktemp("home")
    (home / "run").mkdir(mode=0o700)
    with recording_server() as server:
        server.script = without_responses
        path = home / "gptme.toml"
        path.write_text(CONFIG.format(base_url=server.base_url))
        environ = gateway_environ(
            HOME=str(home),
            XDG_RUNTIME_DIR=str(home / "run"),
            ADAPTER_CONFIG=str(path),
            P_1_API_KEY="own-key",
            OPENAI_ORG_ID="decoy",
            OPENAI_API_KEY="decoy",
            NO_PROXY="*",
        )
        yield Place(server, environ)


@pytest.fixture(scope="module")
def gateway(place: Place) -> Iterator[dict[str, str]]:
    """The variables of a gateway that runs, as ``adapter env`` tells them."""
    started = run_apart(place.environ, "serve", "--detach", "--port", "0")
    assert started.returncode == 0, started.stderr
    try:
        told = run_apart(place.environ, "env", "--json")
        variables: dict[str, Any] = json.loads(told.stdout)
        yield {k: v for k, v in variables.items() if v is not None}
    finally:
        run_apart(place.environ, "serve", "--stop")


def post(variables: dict[str, str], path: str, **body: Any) -> str:
    request = urllib.request.Request(
        f"{variables['OPENAI_BASE_URL']}/{path}",
        json.dumps(body).encode(),
        {
            "Authorization": f"Bearer {variables['OPENAI_API_KEY']}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
        text: str = reply.read().decode()
        return text


SHOW = "import json, os; print(json.dumps(dict(os.environ)))"


def test_a_gateway_is_started_for_a_command_and_ends_with_it(place: Place) -> None:
    assert run_apart(place.environ, "env").returncode == 2
    show = (sys.executable, "-c", f"{SHOW}; raise SystemExit(7)")
    done = run_apart(place.environ, "run", "--gateway-for", "p-1", "--", *show)

    assert done.returncode == 7, done.stderr
    environ = json.loads(done.stdout)
    assert environ["OPENAI_BASE_URL"].startswith("http://127.0.0.1:")
    assert environ["OPENAI_API_KEY"].startswith("sk-")
    assert "OPENAI_ORG_ID" not in environ
    assert "own-key" not in environ.values()
    assert run_apart(place.environ, "serve", "--status").returncode == 1
    with pytest.raises(OSError, match="refused"):
        post(environ, "models")


def test_a_gateway_that_runs_is_used_and_stays(place: Place, gateway: dict[str, str]) -> None:
    done = run_apart(place.environ, "run", "--", sys.executable, "-c", SHOW)
    assert json.loads(done.stdout)["OPENAI_BASE_URL"] == gateway["OPENAI_BASE_URL"]
    assert run_apart(place.environ, "serve", "--status").returncode == 0


def test_a_program_asks_the_gateway_through_no_proxy(place: Place, gateway: dict[str, str]) -> None:
    environ = {**place.environ, "HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "elsewhere.test"}
    code = (
        "import os; from urllib.request import urlopen as u; base = os.environ['OPENAI_BASE_URL']"
    )
    code += (
        "; print(u(base.removesuffix('v1') + 'health/liveliness').status, os.environ['NO_PROXY'])"
    )

    done = run_apart(environ, "run", "--", sys.executable, "-c", code)

    assert (done.returncode, done.stdout) == (0, "200 elsewhere.test,127.0.0.1\n"), done.stderr


def test_a_program_that_is_not_told_the_model_is_a_warning(
    place: Place, gateway: dict[str, str]
) -> None:
    done = run_apart(place.environ, "run", "-m", "p-1/m", "--", sys.executable, "-c", "")

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("warning: -m has no effect: ")


def test_a_shell_takes_the_variables_and_gives_them_back(
    place: Place, gateway: dict[str, str]
) -> None:
    command = f"{sys.executable} -m adapter env"
    script = f'eval "$({command})"; env; echo ---; eval "$({command} --unset)"; env'
    shell = subprocess.run(
        ["sh", "-c", script], env=place.environ, capture_output=True, text=True, check=True
    )
    taken, given_back = shell.stdout.split("---\n")
    assert f"OPENAI_BASE_URL={gateway['OPENAI_BASE_URL']}\n" in taken
    assert "P_1_API_KEY=own-key\n" in taken
    assert "OPENAI_ORG_ID" not in taken
    assert "OPENAI_BASE_URL" not in given_back


def test_a_command_within_a_command_asks_the_same_gateway(place: Place, tmp_path: Path) -> None:
    show = f"{sys.executable} -c 'import os; print(os.environ[\"OPENAI_BASE_URL\"])'"
    script = tmp_path / "script"  # no "#!": a shell runs such a file, too
    script.write_text(f"{show}\n{sys.executable} -m adapter run -- {show}\n")
    script.chmod(0o700)
    done = run_apart(place.environ, "run", "--", str(script))
    assert done.returncode == 0, done.stderr
    outer, inner = done.stdout.split()
    assert outer == inner


@pytest.mark.parametrize("command", [["/nonexistent"], ["no-such-command"]])
def test_a_command_that_is_not_there_is_told(place: Place, command: list[str]) -> None:
    done = run_apart(place.environ, "run", "--", *command)
    assert done.returncode == 127
    assert "no such command" in done.stderr


def test_a_model_of_no_provider_is_told_before_anything_starts(place: Place) -> None:
    done = run_apart(place.environ, "run", "-m", "nobody/x", "--", "true")
    assert done.returncode == 4
    assert "nobody" in done.stderr


@pytest.mark.usefixtures("gateway")
def test_a_signal_is_the_commands(place: Place) -> None:
    code = "import signal, sys; signal.signal(15, lambda *_: sys.exit(9)); print(1, flush=True)"
    arguments = ["-m", "adapter", "run", "--", sys.executable, "-c", f"{code}; signal.pause()"]
    with subprocess.Popen(
        [sys.executable, *arguments],
        env=place.environ,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.wait(PATIENCE) == 9


@pytest.mark.usefixtures("gateway")
def test_the_end_by_a_signal_is_the_commands(place: Place) -> None:
    done = run_apart(place.environ, "run", "--", "sh", "-c", "kill -KILL $$")
    assert done.returncode == -signal.SIGKILL


@pytest.mark.usefixtures("gateway")
def test_what_is_ignored_stays_ignored(place: Place) -> None:
    show = "import signal; print(signal.getsignal(signal.SIGHUP).name)"
    script = f"trap '' HUP; exec {sys.executable} -m adapter run -- {sys.executable} -c '{show}'"
    done = subprocess.run(
        ["sh", "-c", script], env=place.environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == "SIG_IGN\n"


@pytest.mark.usefixtures("gateway")
def test_the_terminal_is_the_commands_and_ctrl_c_reaches_it_once(place: Place) -> None:
    code = (
        "import os, signal\ntimes = []\nsignal.signal(2, lambda *_: times.append(1))\n"
        "print('ready', os.tcgetpgrp(0) == os.getpgrp(), flush=True)\n"
        "while not times: signal.pause()\ninput()\nprint(len(times), 'times ')"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        arguments = [sys.executable, "-m", "adapter", "run", "--", sys.executable, "-c", code]
        os.execve(sys.executable, arguments, place.environ)
    read_until(terminal, b"ready True")
    os.write(terminal, b"\x03\n")
    assert b"1 times " in read_until(terminal, b"times ")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)


def read_until(terminal: int, mark: bytes) -> bytes:
    shown = b""
    while mark not in shown:
        shown += os.read(terminal, 1000)
    return shown


def test_litellm_in_an_unchanged_program_takes_our_models(place: Place, tmp_path: Path) -> None:
    program = tmp_path / "app.py"
    program.write_text(
        "from litellm import completion\n"
        "reply = completion('p-1/z', messages=[{'role': 'user', 'content': 'x'}])\n"
        "print(reply.choices[0].message.content)\n"
    )
    done = run_apart(place.environ, "run", "--install", "--", sys.executable, str(program))
    assert done.stdout == f"{ANSWER}\n", done.stderr
    assert place.server.last.key == "own-key"
    assert place.server.last.body["model"] == "z"
    assert "openai-organization" not in place.server.last.headers


def test_a_python_without_this_package_is_told(place: Place, tmp_path: Path) -> None:
    """The machine's own ``sitecustomize`` runs, too."""
    for name, text in (
        ("litellm.py", "print('imported')\n"),
        ("adapter.py", "raise ImportError\n"),
        ("sitecustomize.py", "print('machine')\n"),
    ):
        (tmp_path / name).write_text(text)
    site = Path(adapter.__file__).parent / "programs" / "site"
    done = subprocess.run(
        [sys.executable, "-c", "import litellm"],
        env={**place.environ, "PYTHONPATH": f"{site}{os.pathsep}{tmp_path}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "machine\nimported\n"
    assert "has no gptme-litellm" in done.stderr


def test_responses_and_messages_are_answered_from_chat_completions(
    place: Place, gateway: dict[str, str]
) -> None:
    place.server.requests.clear()
    plain = json.loads(post(gateway, "responses", model="p-1/a/b", input="x"))
    assert plain["output"][0]["content"][0]["text"] == ANSWER
    post(gateway, "responses", model="p-1", input="x")
    streamed = post(gateway, "responses", model="p-1/a/b", input="x", stream=True)
    assert "response.completed" in streamed
    messages = [{"role": "user", "content": "x"}]
    anthropic = post(gateway, "messages", model="p-1/a/b", max_tokens=9, messages=messages)
    assert json.loads(anthropic)["content"] == [{"type": "text", "text": ANSWER}]

    asked = [r for r in place.server.requests if r.method == "POST"]
    assert [r.path for r in asked] == ["/v1/responses", *["/v1/chat/completions"] * 4]
    assert asked[0].body == {}
    assert [r.body["model"] for r in asked[1:]] == ["a/b", "m", "a/b", "a/b"]
    assert {r.key for r in asked} == {"own-key"}
    assert not any("openai-organization" in r.headers for r in asked)


def test_the_gateway_says_what_a_model_can_do(gateway: dict[str, str]) -> None:
    request = urllib.request.Request(
        f"{gateway['OPENAI_BASE_URL']}/model/info",
        headers={"Authorization": f"Bearer {gateway['OPENAI_API_KEY']}"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
        entries = json.loads(reply.read())["data"]
    [info] = [e["model_info"] for e in entries if e["model_name"] == "p-1"]
    assert info["max_input_tokens"] == 4242
    assert info["supports_vision"] is True

"""Every query, fault and configuration, through the worker and without one: nothing differs.

Without one the command runs in this process, which has LiteLLM imported once; a few rows run as a
process of their own, too, which is what a user has.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.command import provider, run
from tests.faults import FAULTS, STREAM, Server, fault_server, unreachable_places
from tests.places import Done, Place, place
from tests.recorder import Recorder, Reply, chat_chunk, chat_reply, chat_stream, recording_server
from tests.waiting import come_to

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="the worker is Linux's"),
]

KEY = "sk-the-providers-own-key"
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}

CONFIG = """\
[[providers]]
name = "p"
base_url = "{url}"
api_key = "{key}"
default_model = "m"

[[providers]]
name = "q"
base_url = "{other}"
api_key_env = "Q_KEY"
default_model = "org/model:free"

[[providers]]
name = "keyless"
base_url = "{url}"
api_key_env = "NEVER_SET"

[[providers]]
name = "retrying"
base_url = "{url}"
default_model = "m"

[[providers]]
name = "falling"
base_url = "http://127.0.0.1:1/v1"
default_model = "m"

[[providers]]
name = "cmd"
base_url = "{url}"
default_model = "m"

[plugin.litellm.providers.q]
max_tokens = 77
extra_headers = {{ "X-Team" = "blue", "X-Tok" = "$HEADER_TOKEN" }}

[plugin.litellm.providers.retrying]
max_retries = 2
num_retries = 0

[plugin.litellm.providers.falling]
fallbacks = ["q"]

[plugin.litellm.providers.cmd]
api_key_cmd = "echo sk-from-a-command; echo $PWD >&2"

[plugin.litellm.litellm_settings]
disable_streaming_logging = true

[plugin.litellm.router_settings.model_group_alias]
nick = "p/other"

[plugin.litellm.typo]
x = 1
"""

QUERIES: dict[str, list[str]] = {
    "plain": ["-m", "p", "hi"],
    "the command's name": ["query", "-m", "p", "hi"],
    "several words": ["-m", "p/org/m:1", "one", "two"],
    "not ASCII": ["-m", "p", "naïve 日本 🙂"],
    "at once": ["-m", "p", "--no-stream", "hi"],
    "system": ["-m", "q", "-s", "Be brief", "hi"],
    "options": ["-m", "p", "-o", "temperature", "0.5", "-o", "metadata", '{"a": 1}', "hi"],
    "LiteLLM's option": ["-m", "p", "-o", "drop_params", "true", "-o", "top_k", "3", "hi"],
    "JSON": ["-m", "p", "--json", "hi"],
    "usage": ["-m", "p", "-u", "hi"],
    "verbose": ["-m", "p", "-v", "hi"],
    "code": ["-m", "p", "-x", "hi"],
    "rendered": ["-m", "p", "--render", "hi"],
    "schema": ["-m", "p", "--schema", json.dumps(SCHEMA), "hi"],
    "attached": ["-m", "p", "-a", "x.png", "-a", "x.txt", "-a", "https://example.com/x.png", "hi"],
    "attached stdin": ["-m", "p", "-a", "-", "hi"],
    "not there": ["-m", "p", "-a", "none.png", "hi"],
    "fallback": ["-m", "falling", "--fallback", "p", "hi"],
    "fallback to nothing": ["-m", "keyless/m", "--fallback", "nobody", "--fallback", "q", "hi"],
    "fallback of the configuration": ["-m", "falling", "hi"],
    "retries": ["-m", "p", "--retries", "1", "hi"],
    "configured retries": ["-m", "retrying", "hi"],
    "time limit": ["-m", "p", "--timeout", "9", "hi"],
    "configuration": ["--config", "other.toml", "-m", "mine/m", "hi"],
    "configuration after": ["-m", "mine/m", "--config=other.toml", "hi"],
    "broken configuration": ["--config", "broken.toml", "-m", "mine/m", "hi"],
    "proxy": ["-m", "any/model", "--gateway", "{url}", "hi"],
    "local": ["-m", "local/m", "hi"],
    "LiteLLM's own model": ["-m", "openai/gpt-4o", "-o", "api_base", "{url}", "-u", "hi"],
    "unknown": ["-m", "nobody/m", "hi"],
    "alias": ["-m", "nick", "hi"],
    "no key": ["-m", "keyless/m", "hi"],
    "key of a command": ["-m", "cmd", "hi"],
    "no model": ["hi"],
    "wrong option": ["-m", "p", "-o", "api_key", "x", "hi"],
    "no such option": ["-m", "p", "--frobnicate", "hi"],
    "excluding": ["-m", "p", "--json", "-x", "hi"],
    "help": ["-m", "p", "--help"],
    "empty": ["-m", "p", ""],
    "misspelt command": ["provider", "list"],
}

CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a'}}
CALL_END = {"index": 0, "function": {"arguments": '": 1}'}}
WITHOUT_INDEX = b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\ndata: [DONE]\n\n'

ANSWERS: dict[str, Any] = {
    "a code block": chat_stream(["```py\n", "code\n", "```"]),
    "JSON": chat_stream(['{"n": 1}']),
    "non-ascii": chat_stream(["naïve ", "日本", "🙂"]),
    "no end": chat_stream(["Hello"], done=False),
    "nothing": chat_stream([]),
    "no index": WITHOUT_INDEX,
    "tools": chat_chunk({"role": "assistant", "tool_calls": [CALL]})
    + chat_chunk({"tool_calls": [CALL_END]})
    + chat_chunk({}, "tool_calls")
    + b"data: [DONE]\n\n",
    "an error event": chat_chunk({"content": "Hel"}) + b'data: {"error": {"message": "full"}}\n\n',
    "at once": chat_reply("Hi"),
}


APART = frozenset(
    {
        *("plain", "verbose", "unknown", "attached stdin"),
        # a warning of Python's is shown, which pytest would keep to itself
        *("LiteLLM's own model", "shape-choices", "shape-content"),
    }
)
"""What runs as a process of its own as well, as a user's command does."""


class Setup:
    """A place with a worker, the server ``p``, another, and one with every fault."""

    def __init__(self, home: Place, p: Recorder, q: Recorder, faults: Server) -> None:
        self.home = home
        self.p = p
        self.q = q
        self.faults = faults
        self.asked = 0

    def without(self, args: list[str], stdin: bytes, apart: bool) -> Done:
        """Run a query in this process, or ``apart`` in its own."""
        if apart:
            environ = {**self.home.environ, "ADAPTER_WORKER": "off"}
            return self.home.run(*args, stdin=stdin, env=environ)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**self.home.environ, "ADAPTER_WORKER": "off"}.items():
                patch.setenv(name, value)
            patch.chdir(self.home.home / "work")
            done = run(*args, stdin=stdin)
        return Done(done.code, done.out.encode(), done.err.encode())

    def through(self, args: list[str], stdin: bytes) -> Done:
        """Run a query as a process, whose worker answers it."""
        self.asked += 1
        return self.home.run(*args, stdin=stdin)

    def requests(self) -> list[Any]:
        """Return what the servers were sent, and forget it."""
        found = [
            (name, r.method, r.path, sorted(r.headers.items()), r.raw)
            for name, server in (("p", self.p), ("q", self.q))
            for r in server.requests
        ]
        self.p.requests.clear()
        self.q.requests.clear()
        faults = sorted(self.faults.requests.items())
        self.faults.requests.clear()
        return [*found, *faults]


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    folder = tmp_path_factory.mktemp("same")
    with (
        place(folder / "home") as home,
        recording_server() as p,
        recording_server() as q,
        fault_server(int(q.origin.rpartition(":")[2])) as faults,
        unreachable_places(faults, folder) as unreachable,
    ):
        origin = f"http://127.0.0.1:{faults.port}"
        urls = {"f": f"{origin}/v1", "small": f"{origin}/small/v1", **unreachable}
        tables = [provider(url, name, api_key=KEY) for name, url in urls.items()]
        tables.append("[plugin.litellm.providers.small]\nmax_response_bytes = 1000000\n")
        config = CONFIG.format(url=p.base_url, other=q.base_url, key=KEY)
        home.write("\n".join([config, *tables]))
        work = home.home / "work"
        files = {
            "x.png": b"\x89PNG\r\n\x1a\n",
            "x.txt": b"text",
            "broken.toml": b"[[providers]]\nx",
        }
        files["other.toml"] = provider(q.base_url, "mine", api_key="sk-mine").encode()
        for name, data in files.items():
            (work / name).write_bytes(data)
            (work / name).chmod(0o600)
        home.environ.update(
            Q_KEY="sk-of-q",
            HEADER_TOKEN="a-token-in-a-header",
            OPENAI_BASE_URL=p.base_url,
            OPENAI_API_KEY="sk-for-openai",
            OPENAI_ORG_ID="org-of-mine",
        )
        home.start()
        made = Setup(home, p, q, faults)
        yield made
        assert come_to(lambda: home.queries == made.asked)


@pytest.fixture(autouse=True)
def _fresh(setup: Setup) -> None:
    setup.p.script = setup.q.script = None
    setup.requests()


def assert_same(setup: Setup, args: list[str], stdin: bytes = b"", apart: bool = False) -> Done:
    """Run a query both ways, and return what both gave."""
    args = [a.replace("{url}", setup.p.base_url) for a in args]
    without = setup.without(args, stdin, apart)
    sent = setup.requests()
    through = setup.through(args, stdin)
    assert through.code == without.code, through.err
    assert through.out == without.out
    assert plain(through.err) == plain(without.err)
    assert setup.requests() == sent
    return through


def plain(err: bytes) -> bytes:
    """Return stderr without what ``-v`` says of time and way."""
    return b"".join(
        line for line in err.splitlines(keepends=True) if not line.startswith(b"adapter: done in ")
    )


@pytest.mark.parametrize("name", QUERIES)
def test_queries(setup: Setup, name: str) -> None:
    setup.p.script = lambda r: Reply(200, ANSWERS["JSON"]) if name == "schema" else None
    assert_same(setup, QUERIES[name], b"piped in" if "stdin" in name else b"", name in APART)


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
@pytest.mark.parametrize("name", ANSWERS)
def test_answers(setup: Setup, name: str, stream: str) -> None:
    setup.p.script = lambda r: Reply(200, ANSWERS[name])
    assert_same(setup, ["-m", "p", stream, "-u", "hi"])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503, 529])
def test_errors(setup: Setup, status: int) -> None:
    setup.p.fail(status, f"no: /etc/passwd {KEY} at host.internal\x1b[31m")
    done = assert_same(setup, ["-m", "p", "hi"])
    assert KEY.encode() not in done.err


@pytest.mark.parametrize("name", ["retrying", "p"])
def test_attempts(setup: Setup, name: str) -> None:
    setup.p.fail(503, "busy", **{"Retry-After": "0.01"})
    assert_same(setup, ["-m", name, "hi"])
    assert_same(setup, ["-m", name, "--retries", "3", "hi"])


ROWS = [
    (name, mode)
    for name, fault in FAULTS.items()
    for mode in fault.modes
    if not name.startswith("long")
]


@pytest.mark.parametrize(("name", "mode"), ROWS)
def test_faults(setup: Setup, name: str, mode: str) -> None:
    fault = FAULTS[name]
    model = f"{'f' if fault.provider == 'p' else fault.provider}/{name}"
    flags = ["--stream" if mode == STREAM else "--no-stream", "--timeout", str(fault.limit)]
    done = assert_same(setup, ["-m", model, *flags, "hi"], apart=name in APART)
    assert done.code == fault.code


def test_it_is_the_worker_that_answers(setup: Setup) -> None:
    assert setup.through(["-m", "p", "-v", "hi"], b"").way == "through the worker"

"""No key where it does not belong, whatever command or function is used, and however it fails.

The harness is ``tests/canaries.py``. A new command, option or function fails here until it has a
row.
"""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import click
import keyring
import pytest

import adapter
from adapter.call.attempts import Plan
from adapter.call.drop_ins import FUNCTIONS
from adapter.call.resolution import resolve
from adapter.call.translation import target_of
from adapter.cli.main import cli
from adapter.config.loading import load_config
from adapter.keys import sources as key_sources
from tests.canaries import PLACES, FileKeyring, Nursery, all_logs, nursery, pickled, shown
from tests.command import run
from tests.recorder import Reply
from tests.wire.test_drop_ins import CASES, Case, call


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    before = keyring.get_keyring()
    with nursery(tmp_path_factory.mktemp("canaries")) as made:
        keyring.set_keyring(FileKeyring())  # type: ignore[no-untyped-call]  # keyring's
        yield made
    keyring.set_keyring(before)


@pytest.fixture
def birds(shared: Nursery, monkeypatch: pytest.MonkeyPatch) -> Nursery:
    monkeypatch.setattr(key_sources, "_command_keys", {})
    for name, value in shared.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(shared.work)
    shared.write()
    shared.answer()
    return shared


def report(found: dict[Any, list[str]]) -> str:
    return "\n".join(f"{what}: {leaks}" for what, leaks in found.items())


# ---- the command


class Row(NamedTuple):
    """One invocation: its words, the place of the key on stdin, files that are to hold a key."""

    args: tuple[str, ...] = ()
    stdin: str = ""
    files: Mapping[str, tuple[str, ...]] = MappingProxyType({})


def row(*args: str, stdin: str = "", files: Mapping[str, str] | None = None) -> Row:
    return Row(args, stdin, {place: (path,) for place, path in (files or {}).items()})


OUT, LOCAL_FILE = "work/out.yaml", ".config/gptme/config.local.toml"
EXPORTED = dict.fromkeys(("inline", "local", "headers", "master", "env", "headervar"), OUT)
EVERY = [row("-m", place, "-v", "hi", "--no-gateway") for place in PLACES]
NEW = ("new", "--base-url", "http://127.0.0.1:9/v1")
WITH_PASSWORD = "http://user:{stdin}@127.0.0.1:9/v1"

BATCH = ("batch.jsonl", "out.jsonl")

ROWS: dict[tuple[str, ...], list[Row]] = {
    ("batch",): [
        row(*BATCH, "--processes", "1", "--retries", "0", "--json", "--max-refusals", "0"),
        row(*BATCH, "--direct", "--max-failures", "0", "--concurrency", "2", "--in-order"),
        row(*BATCH, "--direct", "--dry-run", "--limit", "3", "--schema", '{"type": "object"}'),
        row(*BATCH, "--no-repeat", "--retry-failed", "--errors", "errors", "--rpm", "60"),
        row(*BATCH, "--tpm", "60", "--timeout", "9", "-o", "api_key", "{stdin}"),
        row("-", "out.jsonl", "-m", "env", stdin="stdin"),
        row("-", "out.jsonl", "--prompt", "a {text}", "-s", "be brief", stdin="stdin"),
        row(*BATCH, "--config", "import.yaml", "--engine", "ray", "--address", WITH_PASSWORD),
    ],
    ("completion",): [row("bash"), row("zsh"), row("fish"), row("tcsh")],
    ("config", "check"): [row(), row("--config", "import.yaml")],
    ("config", "path"): [row(), row("--config", "nowhere.toml")],
    ("config", "export"): [
        row(),
        row("--discover"),
        row("--format", "json"),
        row("--reference-all"),
        row("headers", "inline"),
        row("-o", "out.yaml"),
        row("--include-secrets", "-o", "out.yaml", files=EXPORTED),
        row("nobody", "--config", "import.yaml"),
    ],
    ("config", "import"): [
        row("import.yaml"),
        row("import.yaml", "--dry-run"),
        row("import.yaml", "--dry-run", "--compatible"),
        row("import.yaml", "--dry-run", "--include-secrets"),
        row("import.yaml", "--to", "out.toml", "--replace"),
        row("import.yaml", "--include-secrets", files={"import": LOCAL_FILE}),
        row("nowhere.yaml", "--config", "import.yaml"),
    ],
    ("env",): [row(), row("--json"), row("--unset"), row("--config", "import.yaml")],
    ("keys", "set"): [
        row("keyring", stdin="stdin"),
        row("env", "--replace", "--dry-run"),
        row("env", "--dry-run"),
        row("env", stdin="stdin"),
        row("inline", stdin="stdin"),
        row("nobody", "--config", "import.yaml", stdin="stdin"),
    ],
    ("keys", "unset"): [
        row("keyring", "--dry-run"),
        row("keyring"),
        row("nobody", "--config", "import.yaml"),
    ],
    ("models", "default"): [
        row(),
        row("headers", "--dry-run"),
        row("headers"),
        row("nobody", "--config", "import.yaml"),
    ],
    ("models", "list"): [
        row(),
        row("--json"),
        row("headers"),
        row("nobody", "--config", "import.yaml"),
    ],
    ("providers", "add"): [
        row(*NEW, "--api-key-stdin", "--dry-run", stdin="stdin"),
        row(*NEW, "--api-key-stdin", "--default-model", "m", stdin="stdin"),
        row(*NEW, "--api-key-env", "NAMED_KEY", "--local"),
        row("kept", "--base-url", "http://127.0.0.1:9/v1", "--keyring", stdin="stdin"),
        row("inline", "--base-url", "http://127.0.0.1:9/v1", "--api-key-stdin", stdin="stdin"),
        row("new", "--from-local", files={"openai": LOCAL_FILE}),
        row("new", "--base-url", WITH_PASSWORD),
        row("new", "--api-key-env", "{stdin}", "--base-url", "http://127.0.0.1:9/v1"),
        row("new", "--config", "import.yaml"),
    ],
    ("providers", "discover"): [row("--dry-run"), row("--config", "import.yaml")],
    ("providers", "list"): [row(), row("--json"), row("--config", "import.yaml")],
    ("providers", "remove"): [
        row("inline", "--dry-run"),
        row("inline"),
        row("local"),
        row("headers"),
        row("keyring", "--config", "import.yaml"),
    ],
    ("providers", "show"): [
        *(row(place) for place in PLACES),
        *(row(place, "--json") for place in PLACES),
        row("nobody", "--config", "import.yaml"),
    ],
    ("providers", "test"): [
        row("--all"),
        row("--all", "--json"),
        row("inline", "--config", "import.yaml"),
    ],
    ("query",): [
        *EVERY,
        row("-m", "headers", "--json", "hi", "--no-gateway", "--retries", "1"),
        row("-m", "cmd", "hi", "-u", "-s", "be brief", "-o", "temperature", "0", "--no-gateway"),
        row("-m", "file", "hi", "--fallback", "keyring", "--no-stream", "--timeout", "60", "-v"),
        row("-m", "file", "hi", "-a", "missing.png", "--no-gateway"),
        row("-m", "file", "hi", "--schema", '{"type": "object"}', "--no-gateway"),
        row("-m", "env", "hi", "--schema-multi", "name, age int", "--no-gateway"),
        row("-m", "env", "hi", "-x", "--no-gateway"),
        row("-m", "env", "hi", "--render", "--no-gateway"),
        row("-m", "env", "hi", "-o", "api_key", "{stdin}"),
        row("-m", "env", "hi", "-o", "stream", "x", "--config", "import.yaml"),
        row("-m", "inline", "hi", "--gateway", "{proxy_url}", "-v"),
        row("-m", "inline", "hi", "--gateway", WITH_PASSWORD, "-v"),
        row("-m", "nobody/m", "hi", "--no-gateway", "-v"),
    ],
    # what it starts is tested in tests/live
    ("run",): [
        row("--install", "-m", "env", "true"),
        row("--config", "import.yaml", "-m", "inline", "--gateway-for", "inline", "true"),
        row("--config", "import.yaml", "--install", "true"),
    ],
    ("serve",): [
        row("--status"),
        row("--stop"),
        row("--key"),
        row("--detach", "--status"),
        row("--key", "--workers", "2"),
        row("--host", "0.0.0.0", "--port", "0", "--config", "import.yaml"),
        row("--restart", "--config", "import.yaml"),
    ],
    ("worker", "start"): [row(), row("--config", "import.yaml")],
    ("worker", "status"): [row()],
    ("worker", "stop"): [row()],
}


def commands(command: click.Command = cli, path: tuple[str, ...] = ()) -> dict[Any, click.Command]:
    if not isinstance(command, click.Group):
        return {path: command}
    context = click.Context(command)
    found: dict[Any, click.Command] = {}
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        found |= commands(below, (*path, name))
    return found


def test_every_command_has_rows_with_every_option() -> None:
    tree = commands()
    assert set(tree) == set(ROWS)
    for path, command in tree.items():
        used = {word for r in ROWS[path] for word in r.args}
        for option in command.params:
            if isinstance(option, click.Option):
                names = {*option.opts, *option.secondary_opts}
                assert names & used or option.name == "stream", (path, option.opts)


def invocations() -> Iterator[tuple[tuple[str, ...], Row]]:
    for path, rows in ROWS.items():
        yield path, row("--help")
        for each in rows:
            yield path, each


@pytest.mark.parametrize("how", ["answer", "401", "500"])
def test_no_command_shows_or_sends_a_key(how: str, birds: Nursery) -> None:
    found = {}
    sent = 0
    with all_logs() as lines:
        for path, each in invocations():
            birds.write()
            birds.answer()
            if how != "answer":
                birds.echo(int(how))
            if how != "answer" and path[0] not in (
                "batch",
                "query",
                "providers",
                "models",
                "config",
            ):
                continue
            birds.extra_files = dict(each.files)
            values = {"stdin": birds.key("stdin"), "proxy_url": birds.servers["proxy"].origin}
            args = [
                word.format(**values) if word.startswith(("{s", "{p", "http")) else word
                for word in each.args
            ]
            stdin = birds.key(each.stdin) + "\n" if each.stdin else ""
            done = run(*path, *args, stdin=stdin.encode())
            assert "Traceback" not in done.err
            if leaks := birds.leaks(done.out, done.err, *lines):
                found[path + each.args] = leaks
            sent += sum(len(s.requests) for s in birds.servers.values())
            lines.clear()
    assert not found, report(found)
    assert sent > 20, "the commands asked no server"


def test_each_server_gets_its_own_key(birds: Nursery) -> None:
    """The search would find nothing where no key is sent at all."""
    for place in PLACES:
        assert run("-m", place, "hi", "--no-gateway").code == 0
        sent = str([r.headers for r in birds.servers[place].requests])
        assert birds.key(place) in sent, place


BROKEN = (
    'api_key = ["{0}"]',
    'api_key = "{0}',
    'api_key = {{ x = "{0}" }}',
    'api_keys = "{0}"',
    'api_key_env = "{0}"',
    'api_key_env = "{0} "',
    'api_key = "{0}\\u0000"',
    'api_key = "{0}ü"',
    'base_url = "http://u:{0}@h/v1"',
    'base_url = "http://h/v1?key={0}"',
    'base_url = "h?{0}"',
    'base_url = "http://u:p/{0}@h/v1"',
    'base_url = "http://[{0}/v1"',
    'base_url = "http://h/v1#{0}"',
)


def test_no_broken_configuration_is_quoted_with_its_key(birds: Nursery) -> None:
    found = {}
    path = birds.home / ".config/gptme/gptme.toml"
    birds.extra_files = {"stdin": (".config/gptme/gptme.toml",)}
    for fields in BROKEN:
        base = "" if "base_url" in fields else 'base_url = "http://127.0.0.1:9/v1"\n'
        path.write_text(f'[[providers]]\nname = "p"\n{base}{fields.format(birds.key("stdin"))}\n')
        for args in (("config", "check"), ("providers", "list"), ("-m", "p", "hi", "-v")):
            done = run(*args)
            leaks = birds.leaks(done.out, done.err)
            try:
                adapter.translate("p")
            except Exception as error:  # noqa: BLE001 - whatever it is, it is searched
                leaks += birds.leaks_of(error)
            if leaks:
                found[fields, args] = leaks
    assert not found, report(found)


# ---- the functions


def late(request: Any) -> Reply:
    time.sleep(0.4)
    return Reply(200, {})


def failing(how: str, birds: Nursery) -> dict[str, Any]:
    """Make the servers fail in a way; return what a call needs for it."""
    if how in ("401", "500"):
        birds.echo(int(how))
        return {}
    scripts: dict[str, Any] = {
        "bad JSON": lambda r: Reply(200, b"{ " + str(r.headers).encode()),
        "cut": lambda r: Reply(200, {"a": str(r.headers)}, cut=True),
        "late": late,
        "cut stream": lambda r: Reply(200, iter([b"data: {" + str(r.headers).encode() + b"\n\n"])),
    }
    for server in birds.servers.values():
        server.script = scripts.get(how)
    return {"timeout": 0.1} if how == "late" else {}


def error_of(case: Case, place: str, **more: Any) -> BaseException:
    """Return what a call raises, or what ``batch_completion`` returns."""
    try:
        (error,) = call(case, model=f"{place}/m", max_retries=0, **more)
    except Exception as raised:  # noqa: BLE001 - which one is LiteLLM's business
        return raised
    assert isinstance(error, Exception)
    return error


def test_every_function_has_a_case() -> None:
    assert {case.function for case in CASES} == set(FUNCTIONS)


@pytest.mark.parametrize("how", ["", "401", "500", "bad JSON", "cut", "late", "cut stream"])
def test_no_function_shows_or_sends_a_key(how: str, birds: Nursery) -> None:
    found: dict[Any, list[str]] = {}
    raised = 0
    with all_logs() as lines:
        for number, case in enumerate(CASES):
            one = (("headervar", "inline")[number % 2],)
            for place in ("headers", "inline") if how in ("", "401") else one:
                birds.answer()
                more = failing(how, birds) if how else {}
                try:
                    result = call(case, model=f"{place}/m", max_retries=0, **more)
                    errors = result if isinstance(result, list) else []
                    # an answer that repeats the key is an answer
                    texts = [] if how else [repr(result), *pickled(result)]
                except Exception as error:  # noqa: BLE001 - whatever it is, it is searched
                    errors, texts = [error], []
                leaks = birds.leaks(*texts, *lines)
                for one in errors:
                    if isinstance(one, BaseException):
                        raised += 1
                        leaks += birds.leaks_of(one)
                if leaks:
                    found[case.function, case.stream, place] = sorted(set(leaks))
                lines.clear()
    assert not found, report(found)
    assert (raised > 10) is bool(how), raised


def test_no_server_there(birds: Nursery) -> None:
    config = birds.home / ".config/gptme/gptme.toml"
    text = config.read_text()
    for place in ("headers", "inline"):
        text = text.replace(birds.servers[place].base_url, "http://127.0.0.1:9/v1")
    config.write_text(text)
    for number, case in enumerate(CASES):
        place = ("headers", "inline")[number % 2]
        assert birds.leaks_of(error_of(case, place)) == [], case


def test_what_is_missing_does_not_show_what_is_there(
    birds: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors from before the call: their frames must hold neither [env] nor the environment."""
    monkeypatch.delenv("NAMED_KEY")
    monkeypatch.delenv("PASSPORT")
    (birds.home / "key-file").write_text(birds.key("file") + "\x01")
    (birds.home / "key-for-cmd").write_text(birds.key("cmd") + "\x01")
    for place in ("variable", "headervar", "file", "cmd"):
        for use in (
            lambda model: adapter.completion(model=model, messages=[]),
            adapter.translate,
            lambda model: adapter.router(providers=[model]),
            lambda model: (
                load_config().provider(model).resolve_key()
                if model != "headervar"
                else load_config().provider(model).headers()
            ),
        ):
            with pytest.raises(adapter.MissingKeyError) as caught:
                use(place)
            assert birds.leaks_of(caught.value) == [], place


@pytest.mark.parametrize("place", PLACES)
def test_no_object_shows_its_key(place: str, birds: Nursery) -> None:
    config = load_config()
    provider = config.provider(place)
    target = target_of(resolve(f"{place}/m", config))
    assert target is not None
    params = adapter.translate(f"{place}/m")
    router = adapter.router(providers=[place])
    plan = Plan(FUNCTIONS["completion"], {"model": f"{place}/m", "messages": []})
    plan.next()
    objects = [config, provider, provider.extras, config.env, config.settings, target, params]
    objects += [target.params, target.key, adapter.model_list(providers=[place]), plan]
    objects += [plan.target, router]
    for each in objects:
        texts = [repr(each), str(each), f"{each!r}", repr(copy.copy(each)), *pickled(each)]
        assert birds.leaks(*texts) == [], type(each)
    # what it is for: whoever takes the parameters to send them has the key
    assert birds.key(place) in json.dumps(params)


# ---- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_not_followed(status: int, birds: Nursery) -> None:
    cases = CASES if status == 307 else [c for c in CASES if "completion" in c.function]
    other = birds.servers["proxy"]
    own = birds.servers["headers"]
    for case in cases:
        birds.answer()
        own.script = lambda r: Reply(status, {}, {"Location": other.origin + r.path})
        for more in ({}, {"custom_llm_provider": "hosted_vllm"}):
            error_of(case, "headers", **more)
        assert own.requests, case
        assert other.requests == [], case


def test_the_router_follows_none_either(birds: Nursery) -> None:
    other = birds.servers["proxy"]
    birds.servers["headers"].script = lambda r: Reply(307, {}, {"Location": other.base_url})
    router = adapter.router(providers=["headers"], num_retries=0)
    with pytest.raises(Exception, match=r"onnection error|a redirect to 127.0.0.1 is not followed"):
        router.completion("headers/m", messages=[{"role": "user", "content": "hi"}])
    assert birds.servers["headers"].requests
    assert other.requests == []


@pytest.mark.parametrize("status", [302, 307])
def test_commands_follow_no_redirect_to_another_host(status: int, birds: Nursery) -> None:
    other = birds.servers["proxy"]
    for place, server in birds.servers.items():
        if place != "proxy":
            server.script = lambda r: Reply(status, {}, {"Location": other.origin + r.path})
    assert run("models").code != 0
    assert run("providers", "test", "--all").code != 0
    run("config", "export", "--discover")
    done = run("-m", "headers", "hi", "--no-gateway")
    assert done.code == 6
    assert "it redirects to another host" in done.err
    run("-m", "inline", "hi", "--gateway", birds.servers["headers"].origin)
    assert other.requests == []


def test_a_redirect_on_the_same_host_is_followed(birds: Nursery) -> None:
    server = birds.servers["headers"]

    def script(request: Any) -> Reply | None:
        if request.path.startswith("/moved"):
            return None
        return Reply(307, {}, {"Location": "/moved" + request.path})

    server.script = script
    assert run("-m", "headers", "hi", "--no-gateway").code == 0
    assert [r.headers["api-key"] for r in server.requests] == [birds.key("headers")] * 2


def test_what_is_not_ours_is_redirected_as_litellm_does(
    birds: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    import litellm

    from tests.recorder import recording_server

    adapter.completion("headers/m", messages=[{"role": "user", "content": "hi"}])
    with recording_server() as foreign:
        foreign.script = lambda r: Reply(
            307, {}, {"Location": birds.servers["proxy"].origin + r.path}
        )
        litellm.completion(
            "hosted_vllm/m",
            # by a name that no other test uses: its port may have been a provider's before
            api_base=foreign.base_url.replace("127.0.0.1", "localhost"),
            api_key="k",
            max_retries=0,
            messages=[{"role": "user", "content": "hi"}],
        )
    assert len(birds.servers["proxy"].requests) == 1


def reading(header: str) -> None:
    Path(header).read_text(encoding="utf-8")


def test_the_search_finds_what_it_looks_for(birds: Nursery) -> None:
    """The harness itself: a key in each place where it does not belong is found."""
    key = birds.key("inline")
    assert birds.leaks() == []
    assert birds.leaks("x" + key) == ["inline in text 0"]
    (birds.work / "other").write_text(f"a {key}")
    assert birds.leaks() == ["inline in file work/other"]
    (birds.work / "other").unlink()
    birds.servers["env"].requests.append(
        type("R", (), {"path": "/", "headers": {"x": key}, "raw": b""})()
    )
    assert birds.leaks() == ["inline at server env"]
    birds.answer()
    with pytest.raises(OSError, match="No such file") as caught:
        reading(f"Bearer {key}")
    texts = shown(caught.value)
    assert birds.leaks(*texts)
    assert os.environ["NAMED_KEY"] == birds.key("variable")

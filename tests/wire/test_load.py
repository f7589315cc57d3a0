"""Many calls at once, over several providers, while their configuration and keys change."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import litellm
import pytest

import adapter
from adapter.config.loading import load_config
from adapter.config.provider import Provider
from adapter.editing.edits import edit, set_provider
from adapter.providers.registration import add, remove
from adapter.secrets.secret import Secret
from adapter.upstream import http
from tests.command import PATIENCE
from tests.echo import EchoServer, echo_server

pytestmark = [pytest.mark.stress, pytest.mark.timeout(3600)]

Amount = Callable[[int, int], int]

PROVIDERS = ("variable", "inline", "file", "own")
"""Named after where their keys are: ``own`` is the conventional variable, ``OWN_API_KEY``."""

NEEDED = 8192
"""Descriptors: 2,000 calls, and the idle connections of each key that was ever used."""


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoServer]:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[0] < NEEDED:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(NEEDED, limits[1]), limits[1]))
    with echo_server() as server:
        yield server
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


class Period(NamedTuple):
    """A value that was in force from ``begin`` to ``end``, which is open for the present one."""

    value: str
    begin: float
    end: float


class Changing:
    """Providers whose keys and default models change; it knows which was in force when."""

    def __init__(self, echo: EchoServer, folder: Path) -> None:
        self.echo = echo
        self.folder = folder
        self.key_file = folder / "key"
        self.periods: dict[str, list[Period]] = {}
        self.changes = 0
        self._edits = 0
        private = '[[providers]]\nname = "inline"\napi_key = "sk-inline-0"\n'
        (folder / "config.local.toml").write_text(private)
        (folder / "config.local.toml").chmod(0o600)
        for provider in PROVIDERS:
            self.rotate(provider)
        self.choose_models()

    def rotate(self, provider: str) -> None:
        """Give ``provider`` another key, where it has it."""
        key = f"sk-{provider}-{len(self.periods.get(provider, ()))}"
        store = {
            "variable": lambda: os.environ.__setitem__("LOAD_KEY", key),
            "own": lambda: os.environ.__setitem__("OWN_API_KEY", key),
            "file": lambda: replace(self.key_file, f"{key}\n"),
            "inline": lambda: edit(
                self.folder / "config.local.toml",
                lambda document: set_provider(document, {"name": "inline", "api_key": key}),
                secret=True,
            ),
        }
        self._change(provider, key, store[provider])

    def choose_models(self) -> None:
        """Rewrite the file as an editor does: other default models, and another neighbour."""
        number = len(self.periods.get("models", ()))
        model = f"model-{number}"
        fields = {
            "variable": 'api_key_env = "LOAD_KEY"',
            "inline": "",
            "file": "",
            "own": "",
        }
        tables = [
            f'[[providers]]\nname = "{name}"\nbase_url = "{self.echo.base_url(name)}"\n'
            f'default_model = "{model}"\n{more}\n'
            for name, more in fields.items()
        ]
        tables.insert(
            number % 5,
            f'[[providers]]\nname = "neighbour-{number}"\nbase_url = "http://localhost:1/v1"\n',
        )
        tables.append(f'[plugin.litellm.providers.file]\napi_key_file = "{self.key_file}"\n')
        self._change("models", model, lambda: replace(self.folder / "gptme.toml", "".join(tables)))

    def _change(self, what: str, value: str, make: Callable[[], Any]) -> None:
        periods = self.periods.setdefault(what, [])
        periods.append(Period(value, time.monotonic(), float("inf")))
        make()
        if len(periods) > 1:
            periods[-2] = periods[-2]._replace(end=time.monotonic())
        self.changes += 1

    def in_force(self, what: str, begin: float, end: float) -> set[str]:
        return {p.value for p in self.periods[what] if p.begin <= end and p.end >= begin}

    def change(self) -> None:
        """Make the next change, of each kind in turn."""
        spare = Provider("spare", "http://localhost:1/v1", api_key=Secret("sk-spare-0"))
        kinds: list[Callable[[], Any]] = [
            lambda: self.rotate("variable"),
            self.choose_models,
            lambda: self.rotate("inline"),
            lambda: add(spare, load_config()),
            lambda: self.rotate("file"),
            lambda: remove("spare", load_config()),
            lambda: self.rotate("own"),
        ]
        if load_config().find("spare") is None and self._edits % 7 == 5:
            self._edits += 1  # the file was rewritten without it
        kinds[self._edits % 7]()
        self._edits += 1


def replace(path: Path, text: str) -> None:
    """Write a file as editors do: a new one takes its place."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o600)
    new.replace(path)


class Changer(threading.Thread):
    """Goes on changing for the length of a block, and raises there what went wrong here."""

    def __init__(self, changing: Changing) -> None:
        super().__init__()
        self._changing = changing
        self._over = threading.Event()
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._over.wait(0.05):
                self._changing.change()
        except BaseException as error:  # noqa: BLE001 - raised again where the test sees it
            self._error = error

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self.join()
        if self._error is not None:
            raise self._error


@pytest.fixture
def changing(echo: EchoServer, config_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Changing:
    for variable in ("LOAD_KEY", "OWN_API_KEY"):
        monkeypatch.setenv(variable, "")  # and so it is as before after the test
    return Changing(echo, config_dir)


class Call(NamedTuple):
    """One call as it was made, and what came back."""

    number: int
    provider: str
    model: str | None
    begin: float
    end: float
    text: str


def arguments(number: int, **asked: Any) -> tuple[str, str | None, dict[str, Any]]:
    """Return provider, model id (``None``: its default) and arguments of the call ``number``."""
    provider = PROVIDERS[number % len(PROVIDERS)]
    model = f"id-{number}" if number % 3 else None
    content = json.dumps({"nonce": number, **asked})
    given: dict[str, Any] = {
        "model": f"{provider}/{model}" if model else provider,
        "messages": [{"role": "user", "content": content}],
        "stream": number % 5 == 0,
        "max_retries": 0,
        "timeout": PATIENCE,
    }
    return provider, model, given


def call(number: int, **asked: Any) -> Call:
    provider, model, given = arguments(number, **asked)
    begin = time.monotonic()
    reply = adapter.completion(**given)
    end = time.monotonic()
    if given["stream"]:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in reply)
    else:
        text = reply.choices[0].message.content
    return Call(number, provider, model, begin, end, text)


async def acall(number: int, **asked: Any) -> Call:
    provider, model, given = arguments(number, **asked)
    begin = time.monotonic()
    reply = await adapter.acompletion(**given)
    end = time.monotonic()
    if given["stream"]:
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in reply])
    else:
        text = reply.choices[0].message.content
    return Call(number, provider, model, begin, end, text)


def check(calls: list[Call], changing: Changing) -> None:
    """Check that each call got its own answer, and carried its provider's key of that time."""
    for made in calls:
        got = json.loads(made.text)
        assert (got["nonce"], got["provider"]) == (made.number, made.provider)
        assert got["key"] in changing.in_force(made.provider, made.begin, made.end)
        models = {made.model} if made.model else changing.in_force("models", made.begin, made.end)
        assert got["model"] in models


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def threads() -> set[threading.Thread]:
    """The threads there are, but for those LiteLLM keeps for its log."""
    return {t for t in threading.enumerate() if not t.name.startswith("litellm-logging")}


def forget_connections() -> None:
    litellm.in_memory_llm_clients_cache.flush_cache()
    http.close_ended()
    for kept in (http.scope(is_async=False).clients, http.scope(is_async=False).handlers):
        kept.clear()
    gc.collect()


def left_behind(echo: EchoServer) -> int:
    """Return how many connections are open when no client is kept.

    LiteLLM's log, which a thread of its own writes, holds the last ones a little longer: ask again.
    """
    forget_connections()
    return echo.state()["connections"]


def come_to(wanted: int, measure: Callable[[], int]) -> int:
    """Wait until ``measure`` is at most ``wanted``, but not for ever; return the last measure."""
    deadline = time.monotonic() + PATIENCE
    while (found := measure()) > wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors in /proc")
def test_every_reply_is_that_of_its_request_and_nothing_is_left(
    changing: Changing, amount: Amount, record_property: Callable[[str, Any], None]
) -> None:
    check([call(number) for number in range(8)], changing)
    forget_connections()
    before, threads_before = descriptors(), threads()
    per_thread = amount(1, 50)
    calls: list[Call] = []
    failures: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for number in range(first, first + per_thread):
                calls.append(call(number))
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    async def at_once() -> list[Call]:
        made = await asyncio.gather(*[acall(n, wait=0.2) for n in range(1_000_000, 1_002_000)])
        await litellm.close_litellm_async_clients()
        return made

    workers = [threading.Thread(target=work, args=(n * per_thread,)) for n in range(200)]
    with Changer(changing):
        for worker in workers:
            worker.start()
        for _ in range(amount(1, 5)):
            calls += asyncio.run(at_once())
        for worker in workers:
            worker.join()
    assert failures == []
    check(calls, changing)
    assert len(calls) == amount(1, 5) * 2000 + 200 * per_thread
    assert changing.changes > 50
    state = changing.echo.state()
    assert state["refused"] == 0
    open_after = descriptors()
    assert come_to(0, lambda: left_behind(changing.echo)) == 0
    assert descriptors() <= before
    assert come_to(0, lambda: len(threads() - threads_before)) == 0, threads() - threads_before
    record_property(
        "figure",
        f"load: {len(calls):,} calls, {state['most']:,} at once at the server, "
        f"{changing.changes:,} changes of keys and files; {open_after} descriptors open after it, "
        f"{descriptors()} without cached clients, {before} before",
    )


def test_each_thread_with_an_event_loop_of_its_own(changing: Changing, amount: Amount) -> None:
    def work(first: int) -> list[Call]:
        async def some() -> list[Call]:
            made = [await asyncio.gather(*[acall(first + n) for n in range(4)]) for _ in range(2)]
            return [*made[0], *made[1]]

        return asyncio.run(some())

    with ThreadPoolExecutor(20) as pool, Changer(changing):
        made = list(pool.map(work, range(0, amount(50, 2000) * 4, 4)))
    check([one for some in made for one in some], changing)


def test_cancelled_calls_leave_no_task_and_no_connection(changing: Changing) -> None:
    async def one(number: int) -> Call | None:
        try:
            return await asyncio.wait_for(acall(number, wait=number % 2 * 600), 0.5)
        except asyncio.TimeoutError:
            return None

    def left(before: set[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
        """Return the tasks made since, but for LiteLLM's own, which write its log."""
        made = asyncio.all_tasks() - before
        return [t for t in made if "LoggingWorker" not in getattr(t.get_coro(), "__qualname__", "")]

    async def some() -> list[Call | None]:
        before = asyncio.all_tasks()
        made = await asyncio.gather(*map(one, range(200)))
        deadline = time.monotonic() + PATIENCE
        while changing.echo.state()["answering"] or left(before):
            assert time.monotonic() < deadline, left(before)
            await asyncio.sleep(0.05)
        return made

    made = asyncio.run(some())
    assert all(m is None for m in made[1::2])
    check([m for m in made if m is not None], changing)
    assert changing.echo.state()["answering"] == 0
    assert come_to(0, lambda: left_behind(changing.echo)) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
class TestFork:
    def test_under_way_nobody_gets_the_answer_of_another(
        self, changing: Changing, amount: Amount
    ) -> None:
        """Parent and child would otherwise send both on the connections that were open."""
        check([call(number) for number in range(8)], changing)
        over = threading.Event()
        calls: list[Call] = []

        def work(first: int) -> None:
            number = first
            while not over.is_set():
                calls.append(call(number))
                number += 1

        with ThreadPoolExecutor(4) as pool:
            workers = [pool.submit(work, n * 1_000_000) for n in range(4)]
            codes = [wait_for(fork(100 + n, changing)) for n in range(amount(12, 300))]
            over.set()
            for worker in workers:
                worker.result()
        check(calls, changing)
        assert set(codes) == {0}

    def test_while_a_command_prints_a_key(self, write: Callable[..., Path], tmp_path: Path) -> None:
        """The child has no thread that would ever release what the command's caller holds."""
        go = tmp_path / "go"
        os.mkfifo(go)
        write(
            '[[providers]]\nname = "slow"\nbase_url = "http://localhost:1/v1"\n'
            '[[providers]]\nname = "quick"\nbase_url = "http://localhost:1/v1"\n'
            f'[plugin.litellm.providers.slow]\napi_key_cmd = "echo there > {go}; cat {go}"\n'
            '[plugin.litellm.providers.quick]\napi_key_cmd = "echo sk-quick"\n'
        )
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(adapter.translate, "slow/m")
            assert go.read_text() == "there\n"  # the command runs, so its caller waits for it
            child = os.fork()
            if child == 0:
                os._exit(adapter.translate("quick/m")["api_key"] != "sk-quick")
            code = wait_for(child)
            go.write_text("sk-slow\n")
            assert slow.result()["api_key"] == "sk-slow"
        assert code == 0


def fork(first: int, changing: Changing) -> int:
    """Fork a process that makes eight calls and exits with 0 if they are as they have to be."""
    child = os.fork()
    if child == 0:
        try:
            check([call(number, wait=0.01) for number in range(first, first + 8)], changing)
        except BaseException as error:  # noqa: BLE001 - this process ends here, whatever it was
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    return child


def wait_for(child: int) -> int:
    """Return the exit code of ``child``, which is killed if it does not end."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return -9


def test_a_reader_never_sees_half_of_a_change_of_two_files(
    write: Callable[..., Path], amount: Amount
) -> None:
    """A key alone, without the base URL that was written to the other file before it."""
    tables = [
        f'[[providers]]\nname = "p{n}"\nbase_url = "http://localhost:1/v1"\n' for n in range(9)
    ]
    write("".join(tables))
    spare = Provider("spare", "http://localhost:1/v1", api_key=Secret("sk-spare"))
    over = threading.Event()

    def read() -> int:
        seen = set()
        while not over.is_set():
            seen.add(len(load_config().providers))
        return len(seen)

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for _ in range(amount(60, 3000)):
                add(spare, load_config())
                remove("spare", load_config())
        finally:
            over.set()
        assert [reader.result() for reader in readers] == [2, 2]


# ---- clients


def test_calls_with_a_key_each_share_the_connections_of_their_base(
    echo: EchoServer, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(f'[[providers]]\nname = "own"\nbase_url = "{echo.base_url("own")}"\n')
    monkeypatch.setattr(http, "MOST_CLIENTS", 20)
    messages = [{"role": "user", "content": '{"nonce": 1}'}]

    async def asynchronous() -> int:
        for number in range(60):
            monkeypatch.setenv("OWN_API_KEY", f"sk-own-{number}")
            await adapter.acompletion("own/m", messages)
        assert len(http.scope(is_async=True).clients) <= 20
        return echo.state()["connections"]

    assert come_to(0, lambda: left_behind(echo)) == 0  # of other tests
    for number in range(60):
        monkeypatch.setenv("OWN_API_KEY", f"sk-own-{number}")
        adapter.completion("own/m", messages)
    assert echo.state()["connections"] == 1
    assert len(http.scope(is_async=False).clients) <= 20
    assert asyncio.run(asynchronous()) <= 3
    assert come_to(0, lambda: left_behind(echo)) == 0


# ---- memory

MEASURE = """\
import asyncio, gc, json, os, resource, sys

import litellm
import adapter

mode, base, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
litellm.disable_streaming_logging = True


def arguments(number):
    # a few keys and many model ids: both come and go in a long-lived program
    key = f"sk-own-{number // 500}"
    model = f"id-{number}"
    content = json.dumps({"nonce": number})
    given = {"messages": [{"role": "user", "content": content}], "stream": number % 3 == 2}
    if mode == "ours":
        os.environ["OWN_API_KEY"] = key
        return {"model": f"own/{model}", **given}
    return {"model": f"openai/{model}", "api_base": base, "api_key": key, **given}


made = adapter if mode == "ours" else litellm


def sync(number):
    reply = made.completion(**arguments(number))
    return [c for c in reply] if number % 3 == 2 else reply


async def asynchronous(number):
    reply = await made.acompletion(**arguments(number))
    return [c async for c in reply] if number % 3 == 2 else reply


async def some(first):
    # ten at a time, so that LiteLLM's queue for its log does not grow
    for number in range(first, first + 250, 10):
        await asyncio.gather(*map(asynchronous, range(number, number + 10)))
    await litellm.close_litellm_async_clients()
    litellm.in_memory_llm_clients_cache.flush_cache()


def run(first, count):
    for start in range(first, first + count, 500):
        for number in range(start, start + 250):
            sync(number)
        asyncio.run(some(start + 250))


def memory():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


run(0, 500)
before = memory()
run(500, calls)
print(before, memory())
"""


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="reads memory in /proc")
def test_memory_returns(
    echo: EchoServer,
    write: Callable[..., Path],
    amount: Amount,
    record_property: Callable[[str, Any], None],
) -> None:
    write(f'[[providers]]\nname = "own"\nbase_url = "{echo.base_url("own")}"\n')
    calls = amount(500, 50_000)
    # plain LiteLLM only to compare with, in `make stress`, at the same time
    modes = ("ours", "plain")[: amount(1, 2)]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", MEASURE, mode, echo.base_url("own"), str(calls)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for mode in modes
    ]
    printed = [process.communicate()[0].split() for process in running]
    grown = [float(after) - float(before) for before, after in printed]
    shown = ", ".join(f"{mode} {by:.1f} MB" for mode, by in zip(modes, grown, strict=True))
    record_property("figure", f"memory grew over {calls:,} calls: {shown}")
    assert grown[0] < amount(10, 40)

"""Every provider class of LiteLLM's, named by a caller, through every function: what is sent where.

Nothing is sent: each HTTP library shows its request and fails, and a socket reaches this machine
only. So whatever is about to leave is seen, on its way to any host.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import anyio
import httpx
import litellm
import pytest
import urllib3

import adapter
from adapter.upstream.loading import load_litellm
from tests.wire.test_drop_ins import CASES, DECOYS, Case

Write = Callable[..., Path]

HOST = "127.0.0.1:9"
BASE = f"http://{HOST}/v1"
KEY, HEADER, CALLERS = "sk-canary-of-the-provider", "canary-of-a-header", "sk-canary-of-the-caller"
CLASSES = sorted(str(getattr(name, "value", name)) for name in litellm.provider_list)

SENDING_VARIABLES = {
    *("azure", "azure_ai", "azure_text", "clarifai", "text-completion-inception"),
    *("chatgpt", "opencode_go"),  # of 1.110
}
"""Classes for which LiteLLM makes an SDK client of its own: docs/security.md says what it sends."""

CONFIG = f"""\
[[providers]]
name = "p"
base_url = "{BASE}"
api_key = "{KEY}"
[plugin.litellm.providers.p]
extra_headers = {{ X-Secret-Token = "{HEADER}" }}
"""


class Sent(NamedTuple):
    """A request that was about to be sent: its host, and all that is in it."""

    host: str
    text: str


UNSEEN = "unseen"


class RefusedError(ConnectionError):
    """No connection leaves this machine."""


Note = Callable[..., None]


def httpx_patches(note: Note) -> Iterator[tuple[object, str, Any]]:
    """Yield what to put in place of httpx's functions, and of httpx2's where that is installed."""

    def send(client: Any, request: Any, **options: Any) -> Any:
        note(request.url, list(request.headers.items()), request.read())
        raise httpx.ConnectError("refused", request=request)

    async def asend(client: Any, request: Any, **options: Any) -> Any:
        note(request.url, list(request.headers.items()), await request.aread())
        raise httpx.ConnectError("refused", request=request)

    for name in filter(find_spec, ("httpx", "httpx2")):
        library = import_module(name)
        yield library.Client, "send", send
        yield library.AsyncClient, "send", asend


def library_patches(note: Note) -> Iterator[tuple[object, str, Any]]:
    """Yield what to put in place of the functions of other libraries that send requests."""

    async def aiohttp_request(session: Any, method: str, url: Any, **options: Any) -> Any:
        note(url, session.headers, options)
        raise aiohttp.ClientConnectionError("refused")

    def urlopen(pool: Any, method: str, url: str, *args: Any, **options: Any) -> Any:
        note(f"{pool.scheme}://{pool.host}:{pool.port}{url}", args, options)
        raise urllib3.exceptions.ProtocolError("refused")

    def request(connection: Any, method: str, url: str, *args: Any, **options: Any) -> Any:
        note(f"http://{connection.host}:{connection.port}{url}", args, options)
        raise RefusedError

    yield aiohttp.ClientSession, "_request", aiohttp_request
    yield urllib3.connectionpool.HTTPConnectionPool, "urlopen", urlopen
    yield http.client.HTTPConnection, "request", request


def socket_patches(seen: list[Sent]) -> Iterator[tuple[object, str, Any]]:
    """Yield what notes, and refuses, a connection of a library that is not known here."""

    def connect(self: Any, address: Any) -> Any:
        if not isinstance(address, tuple) or address[0] not in ("127.0.0.1", "::1"):
            seen.append(Sent(UNSEEN, f"a connection to {address}"))
        raise RefusedError

    def resolve(host: Any, *args: Any, **options: Any) -> Any:
        if host not in ("127.0.0.1", "localhost", None):
            seen.append(Sent(UNSEEN, f"the address of {host}"))
        raise socket.gaierror("refused")

    yield socket.socket, "connect", connect
    yield socket, "getaddrinfo", resolve


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Sent]]:
    """Note each request, and let it fail as if nobody listened, at once."""
    seen: list[Sent] = []

    def note(url: Any, *parts: Any) -> None:
        parsed = urllib3.util.parse_url(str(url))
        seen.append(Sent(f"{parsed.host}:{parsed.port}", repr((str(url), *parts))))

    async def no_sleep(seconds: float) -> None:
        pass

    with pytest.MonkeyPatch.context() as patch:
        for patches in (httpx_patches(note), library_patches(note), socket_patches(seen)):
            for owner, name, function in patches:
                patch.setattr(owner, name, function)
        patch.setattr(time, "sleep", lambda seconds: None)
        patch.setattr(anyio, "sleep", no_sleep)  # between the attempts of the OpenAI SDK
        yield seen


def call(case: Case, **more: Any) -> None:
    function = getattr(adapter, case.function)
    given = {"model": "p/m", **case.arguments, "max_retries": 0, "timeout": 5, **more}
    if case.stream:
        given["stream"] = True

    async def answer() -> None:
        result = await function(**given)
        if case.stream:
            async for _ in result:
                pass

    quiet = io.StringIO()
    with redirect_stdout(quiet), redirect_stderr(quiet):
        try:
            if case.function.startswith("a"):
                asyncio.run(answer())
            elif case.stream:
                list(function(**given))
            else:
                function(**given)
        except Exception:  # noqa: BLE001 - every call fails, each in a way of its own
            return


@pytest.fixture
def provider(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(CONFIG)
    for name, value in DECOYS.items():
        monkeypatch.setenv(name, value)
    load_litellm()


def holding(seen: list[Sent], *words: str) -> list[Sent]:
    return [one for one in seen if any(word in one.text for word in words)]


@pytest.fixture
def cases(request: pytest.FixtureRequest) -> list[Case]:
    """Return every function; without ``--stress`` one of the asynchronous twins only."""
    if request.config.getoption("--stress"):
        return list(CASES)
    return [case for case in CASES if case.function in ("acompletion", case.function.lstrip("a"))]


@pytest.mark.stress
@pytest.mark.usefixtures("provider")
def test_another_class_gets_nothing_of_the_provider(
    sent: list[Sent], cases: list[Case], record_property: Callable[[str, object], None]
) -> None:
    """LiteLLM's ``replicate`` goes to api.replicate.com, whatever base it is given."""
    with_variables = set()
    for name in CLASSES:
        for case in cases:
            before = len(sent)
            call(case, custom_llm_provider=name)
            to_base = [one for one in sent[before:] if one.host == HOST]
            if holding(to_base, "decoy"):
                with_variables.add(name)
            if name == "openai":
                assert to_base == sent[before:] == holding(to_base, KEY), case
                assert to_base, case
            else:
                assert not holding(sent[before:], KEY, HEADER), (name, case)
    assert with_variables <= SENDING_VARIABLES
    hosts = {one.host for one in sent} - {HOST}
    assert UNSEEN not in hosts, holding(sent, "a connection to", "the address of")
    assert "api.replicate.com:None" in hosts
    figure = f"{len(CLASSES)} provider classes by {len(cases)} functions: {len(sent):,} requests"
    record_property("figure", f"{figure}, to {len(hosts)} other hosts")


@pytest.mark.usefixtures("provider")
def test_a_key_of_the_callers_goes_alone(sent: list[Sent]) -> None:
    for name in CLASSES:
        call(CASES[0], custom_llm_provider=name, api_key=CALLERS)
        assert not holding(sent, KEY), name
        if name != "openai":
            assert not holding(sent, HEADER), name
        sent.clear()

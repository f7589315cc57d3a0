"""What an exception of LiteLLM's libraries says, told by its class and those of its causes."""

from __future__ import annotations

import http.client
from functools import reduce
from importlib import import_module

import aiohttp
import httpx
import pytest

from adapter.upstream.exceptions import BROKEN, UNREACHABLE, causes, error_details


def chain(*classes: type[BaseException]) -> BaseException:
    """Return an error of the first class, each caused by one of the next."""

    def cause(inner: BaseException | None, cls: type[BaseException]) -> BaseException:
        error = cls.__new__(cls)
        error.__cause__ = inner
        return error

    error = reduce(cause, reversed(classes), None)
    assert error is not None
    return error


def test_a_cycle_of_causes_ends() -> None:
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__context__ = second, first

    assert list(causes(first)) == [first, second]


@pytest.mark.parametrize(
    "name", [n for t in (UNREACHABLE, BROKEN) for ns in t.values() for n in ns]
)
def test_each_name_is_an_exception(name: str) -> None:
    module, _, attribute = name.rpartition(".")

    assert issubclass(getattr(import_module(module), attribute), Exception)


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ((ConnectionResetError,), "ended before"),
        ((httpx.ConnectError, aiohttp.ClientOSError, ConnectionResetError), "ended before"),
        ((httpx.ConnectError, ConnectionResetError), "cannot connect"),
        ((httpx.ConnectError, aiohttp.ClientConnectorError, ConnectionResetError), "cannot"),
        ((aiohttp.ServerDisconnectedError,), "ended before"),
        ((httpx.WriteError, BrokenPipeError), "ended before"),
        ((http.client.BadStatusLine,), "the reply is not HTTP"),
        ((ValueError, KeyError), ""),
    ],
)
def test_how_a_connection_ended(classes: tuple[type[BaseException], ...], words: str) -> None:
    details = error_details(chain(*classes))
    why = details.unreachable or details.broken

    assert words in why
    assert bool(words) == bool(why)

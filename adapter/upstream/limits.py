"""Limits on what a server may send, laid on the HTTP clients of ours: how much, and for how long.

httpx reads a body to its end, decompresses a packet whole (a thousandfold), and limits each wait,
but not their sum: a server that goes on sending fills the memory of the process that asks it.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from functools import cache
from time import monotonic
from typing import Any

__all__ = [
    "ENCODINGS",
    "RESPONSE_BYTES",
    "ResponseTooLargeError",
    "UnknownEncodingError",
    "limit_body",
    "limit_time",
]

RESPONSE_BYTES = 256 * 1024 * 1024
"""Of a reply, decompressed, unless the configuration says otherwise (``max_response_bytes``)."""

ERROR_BYTES = 1024 * 1024
"""Of the body of an error or a redirect; what follows is not read."""

PIECE_BYTES = 1024 * 1024
"""The most that is decompressed at a time."""

ENCODINGS = "gzip, deflate"
"""What our clients ask for: zlib decompresses it piece by piece."""


class ResponseTooLargeError(ValueError):
    """A reply is longer than ``max_response_bytes``; the rest was not read."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the reply is longer than {limit:,} bytes (max_response_bytes)")


class UnknownEncodingError(ValueError):
    """A reply is compressed in a way that was not asked for."""


def limit_body(response: Any, limit: int) -> None:
    """Let no more than ``limit`` bytes be read of a response's body, decompressed; an httpx hook.

    Reading on raises :class:`ResponseTooLargeError`. The body of an error or redirect ends after
    ``ERROR_BYTES``, so that its status still counts. Raises :class:`UnknownEncodingError` for
    what only httpx could decompress: all at once.
    """
    httpx = _library(response)
    encoding = response.headers.get("content-encoding", "").strip().lower()
    decompressor = None
    if encoding not in ("", "identity"):
        if encoding not in ("gzip", "deflate"):
            raise UnknownEncodingError(f"content-encoding {encoding[:100]} was not asked for")
        decompressor = _Decompressor(httpx.DecodingError)
        del response.headers["content-encoding"]  # httpx would decompress it once more
    response.stream = _body_class(httpx)(response, limit, decompressor)


class _Decompressor:
    """Decompresses gzip and deflate (RFC 9110, 8.4.1) in pieces of bounded length."""

    def __init__(self, error: Callable[[str], Exception]) -> None:
        self._error = error
        self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 32)  # of either header
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what ``data`` stands for; what follows the end is passed over."""
        if self._zlib.eof:
            return
        piece = self._next(data)
        self._begun = True
        while piece:
            yield piece
            piece = self._next(self._zlib.unconsumed_tail)

    def _next(self, data: bytes) -> bytes:
        try:
            return self._zlib.decompress(data, PIECE_BYTES)
        except zlib.error as error:
            if self._begun:
                raise self._error(str(error)) from error
        self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)  # some servers send no header
        self._begun = True
        return self._next(data)


class _Body:
    """The body of a response, decompressed and bounded."""

    def __init__(self, response: Any, limit: int, decompressor: _Decompressor | None) -> None:
        self._stream = response.stream
        self._decompressor = decompressor
        self._ends = not response.is_success
        self._limit = min(limit, ERROR_BYTES) if self._ends else limit
        self._received = self._decompressed = 0

    def __iter__(self) -> Iterator[bytes]:
        for data in self._stream:
            yield from self._pieces(data)
            if self._is_full:
                return

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._stream:
            for piece in self._pieces(data):
                yield piece
            if self._is_full:
                return

    @property
    def _is_full(self) -> bool:
        return self._received > self._limit or self._decompressed > self._limit

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        """Yield what ``data`` stands for, as far as the limit allows."""
        self._received += len(data)
        for piece in self._decompressor.feed(data) if self._decompressor else (data,):
            left = self._limit - self._decompressed
            self._decompressed += len(piece)
            if self._is_full:
                if not self._ends:
                    raise ResponseTooLargeError(self._limit)
                yield piece[:left]
                return
            yield piece

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)  # httpx2 asks for the time elapsed


@cache
def _body_class(httpx: Any) -> Any:
    return type("Body", (_Body, httpx.SyncByteStream, httpx.AsyncByteStream), {})


def limit_time(client: Any) -> None:
    """Let a request of ``client``'s take no longer in all than its time limit; httpx's client.

    Its answer's headers must be there by then and, unless the answer is streamed, its end. Then
    httpx's ``ReadTimeout`` is raised, as for silence.
    """
    httpx = _library(client)
    is_async = isinstance(client, httpx.AsyncClient)
    client.headers["Accept-Encoding"] = ENCODINGS
    own: Any = type(client)
    client.__class__ = _client_class(own, httpx, is_async)
    if is_async:
        return
    with suppress(AttributeError):  # private names: without them each wait is limited, as by httpx
        for transport in (client._transport, *client._mounts.values()):
            if transport is not None:
                pool = transport._pool
                pool._network_backend = _Backend(pool._network_backend, httpx.ReadTimeout)


@cache
def _client_class(base: Any, httpx: Any, is_async: bool) -> Any:
    class Client(base):  # type: ignore[misc]  # httpx's, or httpx2's
        """An HTTP client whose requests end in time."""

        def send(self, request: Any, *, stream: bool = False, **options: Any) -> Any:
            """Send as httpx does, within the time limit; the body of an error is read, too."""
            seconds = _seconds(request)
            _clock.deadline = None if seconds is None else monotonic() + seconds
            try:
                response = super().send(request, stream=stream, **options)
                if stream and response.is_error:
                    _read(response)
                return response
            finally:
                _clock.deadline = None

    class AsyncClient(base):  # type: ignore[misc]  # as above
        """An asynchronous HTTP client whose requests end in time."""

        async def send(self, request: Any, *, stream: bool = False, **options: Any) -> Any:
            """Send as httpx does, within the time limit; the body of an error is read, too."""

            async def answer() -> Any:
                response = await super(AsyncClient, self).send(request, stream=stream, **options)
                if stream and response.is_error:
                    await _aread(response)
                return response

            try:
                return await _within(_seconds(request), answer())
            except asyncio.TimeoutError as error:
                raise httpx.ReadTimeout(LATE, request=request) from error

    return AsyncClient if is_async else Client


LATE = "the reply was not complete within the time limit"


def _library(value: Any) -> Any:
    """Return the module ``httpx`` or ``httpx2`` that a client or response is of."""
    return sys.modules[type(value).__module__.partition(".")[0]]


def _seconds(request: Any) -> float | None:
    """Return how long a request may take in all, ``None`` for as long as it likes."""
    limits = request.extensions.get("timeout") or {}
    silence: float | None = limits.get("read")
    return None if silence is None else max(silence, limits.get("connect") or 0)


async def _within(seconds: float | None, answer: Any) -> Any:
    if sys.version_info >= (3, 11):
        async with asyncio.timeout(seconds):
            return await answer
    else:
        return await asyncio.wait_for(answer, seconds)


def _read(response: Any) -> None:
    try:
        response.read()
    except BaseException:
        response.close()
        raise


async def _aread(response: Any) -> None:
    try:
        await response.aread()
    except BaseException:
        await response.aclose()
        raise


class _Clock(threading.local):
    """When the request that this thread sends must be over, in seconds of ``monotonic()``."""

    deadline: float | None = None


_clock = _Clock()


class _Backend:
    """A network backend of httpcore's, whose connections keep to the deadline."""

    def __init__(self, backend: Any, error: Callable[[str], Exception]) -> None:
        self._backend = backend
        self._error = error

    def connect_tcp(self, *args: Any, **options: Any) -> Any:
        return _Connection(self._backend.connect_tcp(*args, **options), self._error)

    def connect_unix_socket(self, *args: Any, **options: Any) -> Any:
        return _Connection(self._backend.connect_unix_socket(*args, **options), self._error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


class _Connection:
    """A network stream of httpcore's, which reads until the deadline at most."""

    def __init__(self, stream: Any, error: Callable[[str], Exception]) -> None:
        self._stream = stream
        self._error = error
        self.write, self.get_extra_info = stream.write, stream.get_extra_info  # each call asks both

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        deadline = _clock.deadline
        if deadline is not None:
            left = deadline - monotonic()
            if left <= 0:
                raise self._error(LATE)
            timeout = left if timeout is None else min(left, timeout)
        data: bytes = self._stream.read(max_bytes, timeout)
        return data

    def start_tls(self, *args: Any, **options: Any) -> Any:
        return _Connection(self._stream.start_tls(*args, **options), self._error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

"""HTTP clients for requests to a provider: LiteLLM's own kind, never sent on to another host.

httpx, with which LiteLLM and the OpenAI SDK follow redirects, takes away ``Authorization`` on the
way to another host, and nothing else: an ``api-key`` header and the prompt would go there. What a
server may send is limited, too (``limits``).
"""

from __future__ import annotations

import asyncio
import atexit
import os
from contextlib import suppress
from functools import cache
from typing import Any

from adapter.secrets.scrubber import scrub
from adapter.upstream.limits import RESPONSE_BYTES, limit_body, limit_time
from adapter.upstream.network import exempt_this_machine, tls, usable_proxies

__all__ = [
    "RedirectRefusedError",
    "Scope",
    "close_ended",
    "guard_client",
    "http_handler",
    "origin_of",
    "refuse_other_hosts",
    "scope",
]

MOST_CLIENTS = 1000
"""How many clients a scope keeps; then all are forgotten, and closed once no call uses them."""

Origin = tuple[str, str, int | None]

_guarded_origins: set[Origin] = set()
"""The origins of base URLs that are called with a client of the caller's own."""


class RedirectRefusedError(Exception):
    """A server redirected a call to another host, which would get the prompt."""


class Scope:
    """The clients of one event loop, or of all threads: they must not be mixed."""

    def __init__(self) -> None:
        self.handlers: dict[Any, Any] = {}
        self.clients: dict[Any, Any] = {}

    @staticmethod
    def store(cache: dict[Any, Any], key: Any, client: Any) -> Any:
        """Return the client for ``key``: ``client``, unless another thread was quicker."""
        if len(cache) >= MOST_CLIENTS:
            cache.clear()
        return cache.setdefault(key, client)


_threads = Scope()
_loops: dict[asyncio.AbstractEventLoop | None, Scope] = {}
_parents: list[Any] = []


def scope(is_async: bool) -> Scope:
    """Return the clients that a call made here and now may use."""
    close_ended()
    if not is_async:
        return _threads
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # LiteLLM's Router asks for clients outside of a loop, too
        loop = None
    return _loops.get(loop) or _loops.setdefault(loop, Scope())


def close_ended() -> None:
    """Close the connections that event loops have left behind which are closed by now."""
    for loop in tuple(_loops):
        if loop is not None and loop.is_closed():
            _close(_loops.pop(loop, None))


def _close(ended: Scope | None) -> None:
    """Close the connections of an event loop that has ended, which can no longer do so itself.

    aiohttp would tell of each as "Unclosed client session" when it is collected.
    """
    for handler in tuple(ended.handlers.values()) if ended else ():
        with suppress(Exception):  # no public name: where it is gone, aiohttp tells
            handler._dispose_wrapped_aiohttp_session()


@atexit.register
def _close_all() -> None:
    for loop in tuple(_loops):
        _close(_loops.pop(loop, None))


def _leave_to_parent() -> None:
    """Give a forked child clients of its own: two processes must not talk on one connection.

    The parent's are kept, not closed: closing would reach into what both share.
    """
    global _threads  # noqa: PLW0603 - the one scope of all threads
    _parents.extend((_threads, dict(_loops)))
    _threads = Scope()
    _loops.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_leave_to_parent)


def http_handler(
    base_url: str,
    is_async: bool,
    session: Any = None,
    ssl_verify: bool | str | None = None,
    max_bytes: int | None = None,
) -> Any:
    """Return LiteLLM's ``HTTPHandler``, or its async twin, for requests to ``base_url``.

    The same one for the same arguments; its ``client`` is the httpx client. A session that the
    caller has set (``litellm.client_session``, ``litellm.aclient_session``) is used as it is, but
    for redirects. ``session`` is an aiohttp session of the caller's (``shared_session``).
    ``max_bytes`` of a reply are read, ``None`` stands for ``RESPONSE_BYTES``. Raises
    :class:`CertificateError` for an ``ssl_verify`` that names no file of certificates: LiteLLM
    would pass over it. :class:`ProxyError` for proxies of the environment that are none.
    """
    import litellm

    handlers = scope(is_async).handlers
    own = litellm.aclient_session if is_async else litellm.client_session
    key = (base_url, id(session), id(own), ssl_verify, max_bytes)
    handler = handlers.get(key)
    if handler is not None:
        return handler
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler, HTTPHandler

    if isinstance(ssl_verify, str):
        tls(ssl_verify)
    exempt_this_machine(base_url)
    limit = max_bytes or RESPONSE_BYTES
    with usable_proxies():
        if is_async:
            made = _handler_class(AsyncHTTPHandler)
            handler = made(limit, shared_session=session, ssl_verify=ssl_verify)
        else:
            handler = _handler_class(HTTPHandler)(limit, ssl_verify=ssl_verify)
    if own is not None:
        guard_client(own, base_url)
        handler.client = own
    return Scope.store(handlers, key, handler)


@cache
def _handler_class(base: Any) -> Any:
    class Handler(base):  # type: ignore[misc]  # LiteLLM is imported only when called
        """LiteLLM's handler, which makes another client where one was closed or cannot connect."""

        def __init__(self, limit: int, **options: Any) -> None:
            self.limit = limit
            super().__init__(**options)
            if not self.client.event_hooks["response"]:  # made without ``create_client``
                _guard_own(self.client, limit)

        def create_client(self, *args: Any, **options: Any) -> Any:
            client = super().create_client(*args, **options)
            _guard_own(client, self.limit)
            return client

    Handler.__name__ = Handler.__qualname__ = base.__name__
    return Handler


def _guard_own(client: Any, limit: int) -> None:
    """Refuse redirects to another host, and limit what servers may send to an httpx client."""

    def check(response: Any) -> None:
        refuse_other_hosts(response)
        limit_body(response, limit)

    async def check_async(response: Any) -> None:
        check(response)

    client.event_hooks = {"response": [check_async if hasattr(client, "aclose") else check]}
    limit_time(client)


def guard_client(client: Any, base_url: str) -> None:
    """Refuse redirects to another host for calls to ``base_url`` with a caller's httpx client.

    Its other requests stay as they are: to other hosts, and those that hold neither key nor prompt.
    """
    import httpx

    _guarded_origins.add(origin_of(httpx.URL(base_url)))
    hook = _refuse_calls_async if hasattr(client, "aclose") else _refuse_calls
    hooks = client.event_hooks
    if hook not in hooks.get("response", ()):
        client.event_hooks = {**hooks, "response": [*hooks.get("response", ()), hook]}


def origin_of(url: Any) -> Origin:
    """Return scheme, host and port of an httpx URL."""
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def refuse_other_hosts(response: Any) -> None:
    """Raise :class:`RedirectRefusedError` for a redirect to another host; an httpx response hook.

    To the same scheme, host and port a redirect is followed, and from http to https on one host.
    """
    if not response.has_redirect_location:
        return
    url = response.request.url
    try:
        target = url.join(response.headers["location"])
    except Exception:  # noqa: BLE001 - no URL: httpx says so itself, next
        return
    began, goes = origin_of(url), origin_of(target)
    upgraded = (began, goes) == (("http", began[1], 80), ("https", began[1], 443))
    if began != goes and not upgraded:
        raise RedirectRefusedError(f"a redirect to {target.host} is not followed")


def _refuse_calls(response: Any) -> None:
    """Apply :func:`refuse_other_hosts` to calls of ours that go through the caller's client."""
    request = response.request
    if origin_of(request.url) in _guarded_origins and _is_call(request):
        refuse_other_hosts(response)


async def _refuse_calls_async(response: Any) -> None:
    _refuse_calls(response)


def _is_call(request: Any) -> bool:
    """Whether ``request`` has a prompt or a key in it."""
    if request.method not in ("GET", "HEAD") or "authorization" in request.headers:
        return True
    return any(scrub(value) != value for value in request.headers.values())

"""A call is not sent on to another host, whatever its server says.

httpx, with which LiteLLM follows redirects, takes away ``Authorization`` on the way to another
host, and nothing else: an ``api-key`` of ``extra_headers`` and the prompt would go there.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

from adapter.secrets.scrubber import scrub

__all__ = ["ANYWHERE", "guard_redirects"]

ANYWHERE = "*"
"""Instead of a base URL: all requests of this process."""

_origins: set[Any] = set()


@lru_cache(maxsize=1024)  # asked at each call
def guard_redirects(base_url: str) -> None:
    """Refuse redirects to another host of requests to the host of ``base_url``, from now on.

    Those to the same scheme, host and port are followed, and from http to https on the same host.
    Other requests of this process, as LiteLLM's for providers of its own or for an image somewhere,
    stay as they are: those to other hosts, and those that hold neither a key nor a prompt.
    """
    _install()
    import httpx

    _origins.add(ANYWHERE if base_url == ANYWHERE else _origin(httpx.URL(base_url)))


def _origin(url: Any) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _is_a_call(request: Any) -> bool:
    """Whether ``request`` has a prompt or a key in it."""
    if request.method not in ("GET", "HEAD") or "authorization" in request.headers:
        return True
    return any(scrub(value) != value for value in request.headers.values())


@cache
def _install() -> None:
    """Lay this over the one place where httpx makes a redirected request.

    LiteLLM's clients are of several kinds, synchronous and not, some older than this call, or the
    caller's own; httpx has no public place that all of them pass.
    """
    import httpx

    class RedirectRefusedError(httpx.HTTPError):
        """``failures`` knows it by its name."""

    client: Any = httpx.Client.__mro__[1]  # what Client and AsyncClient have in common
    original = client._build_redirect_request

    def build_redirect_request(self: Any, request: Any, response: Any) -> Any:
        made = original(self, request, response)
        began, goes = _origin(request.url), _origin(made.url)
        upgraded = (began, goes) == (("http", began[1], 80), ("https", began[1], 443))
        ours = _origins & {began, ANYWHERE} and _is_a_call(request)
        if ours and began != goes and not upgraded:
            raise RedirectRefusedError(f"a redirect to {made.url.host} is not followed")
        return made

    client._build_redirect_request = build_redirect_request

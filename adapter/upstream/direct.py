"""Posting a body to a provider as it stands, with aiohttp, on which LiteLLM's own client is built.

TLS settings and proxies are those of a call through LiteLLM. No redirect is followed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from adapter.upstream.network import proxy_of, tls

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Poster", "Reply"]

LONGEST_REPLY = 256 * 1024 * 1024
"""In bytes."""


class Reply(NamedTuple):
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class ReplyTooLongError(Exception):
    """A reply has more bytes than any answer."""


class Poster:
    """A client for one event loop; it keeps its connections from :meth:`open` to :meth:`close`."""

    def __init__(self) -> None:
        self._session: Any = None
        self._networks: dict[tuple[str, Any], dict[str, Any]] = {}

    async def open(self) -> None:
        """Make the client; importing aiohttp takes a third of a second."""
        import aiohttp

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
        )

    async def post(
        self, params: Mapping[str, Any], path: str, content: bytes, timeout: float
    ) -> Reply:
        """Return what the server of ``params`` answers, whatever its status.

        ``params`` are LiteLLM's; ``timeout`` is in seconds, for all of it. Raises aiohttp's errors.
        """
        from aiohttp import ClientTimeout

        headers = {
            "Authorization": f"Bearer {params['api_key']}",
            "Content-Type": "application/json",
            **(params.get("extra_headers") or {}),
        }
        limit = params.get("timeout", timeout)
        async with self._session.post(
            f"{params['api_base']}{path}",
            data=content,
            headers=headers,
            timeout=ClientTimeout(total=min(limit, timeout), connect=60),
            allow_redirects=False,
            **self._network(params["api_base"], params.get("ssl_verify")),
        ) as response:
            pieces, size = [], 0
            async for piece in response.content.iter_any():
                pieces.append(piece)
                size += len(piece)
                if size > LONGEST_REPLY:
                    raise ReplyTooLongError
            return Reply(response.status, response.headers, b"".join(pieces))

    def _network(self, base_url: str, verify: Any) -> dict[str, Any]:
        """Return aiohttp's arguments for TLS and the proxy of a base URL."""
        if (key := (base_url, verify)) not in self._networks:
            network: dict[str, Any] = {}
            if base_url.startswith("https:"):
                network["ssl"] = tls(verify)
            if (proxy := proxy_of(base_url)) is not None:
                network["proxy"] = os.environ[proxy.variable]
            self._networks[key] = network
        return self._networks[key]

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

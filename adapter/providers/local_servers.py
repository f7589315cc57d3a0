"""Model servers on this machine that answer on their usual ports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from adapter.config.loading import Config
from adapter.config.provider import Provider, is_this_machine
from adapter.providers.discovery import discover
from adapter.providers.known import KNOWN, LOCAL

__all__ = ["Found", "find_local"]


class Found(NamedTuple):
    """A server that answers on this machine, with the ids of its models."""

    name: str
    base_url: str
    models: list[str]


def find_local(config: Config, ports: dict[str, int] | None = None) -> Iterator[Found]:
    """Yield the servers that answer on their usual loopback ports and are not configured yet.

    All are asked at once, for a second at most, and none is sent a key. ``ports`` stand in for the
    usual ones.
    """
    asked: dict[str, Provider] = {}
    for name in LOCAL:
        base_url = KNOWN[name].base_url
        if ports is not None:
            if name not in ports:
                continue
            base_url = f"http://localhost:{ports[name]}/v1"
        if base_url not in {p.base_url for p in asked.values()}:
            asked[name] = Provider(name, base_url)
    configured = {_server(p.base_url) for p in config.providers}
    found, _ = discover(asked.values(), timeout=1.0, keyless=True)
    for name, models in found.items():
        if _server(asked[name].base_url) not in configured:
            yield Found(name, asked[name].base_url, models)


def _server(base_url: str) -> tuple[str, int]:
    """Return the host and port of a base URL; this machine has one name for all that it has."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return "localhost" if is_this_machine(host) else host, port

"""Whether a running gateway still says what the configuration says now."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

from adapter.errors import MissingKeyError

if TYPE_CHECKING:
    from adapter.config import Config

__all__ = ["NETWORK", "fingerprint", "references"]

_REFERENCE = re.compile(r"os\.environ/(\w+)")

NETWORK = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_VERIFY", "REQUESTS_CA_BUNDLE"),
)
"""Variables that decide how a call reaches its host."""


def references(settings: str) -> tuple[str, ...]:
    """Return the variables that LiteLLM settings refer to as ``os.environ/VAR``, sorted."""
    return tuple(sorted(set(_REFERENCE.findall(settings))))


def fingerprint(config: Config, salt: str) -> str:
    """Return a digest of all that a gateway is made from: configuration, keys, network variables.

    Made with a random ``salt`` for each gateway, so that it says nothing about a key to who finds
    it, and equal fingerprints mean equal answers. Keys are read now; none is kept.
    """
    from hashlib import blake2b

    providers: list[Any] = []
    for p in config.providers:
        try:
            key: str | None = str(p.resolve_key().value)
        except MissingKeyError:
            key = None
        providers.append([p.name, p.base_url, p.default_model, key, p.extras])
    settings = json.dumps([providers, config.settings], sort_keys=True, default=str)
    named = [(name, config.getenv(name)) for name in references(settings)]
    network = [os.environ.get(name) for name in NETWORK]
    facts = json.dumps([settings, named, network])
    return blake2b(facts.encode(), key=salt.encode(), digest_size=32).hexdigest()

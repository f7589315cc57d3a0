"""Whether a running gateway still says what the configuration says now."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from adapter.errors import MissingKeyError

if TYPE_CHECKING:
    from adapter.config.loading import Config
    from adapter.config.provider import Provider

__all__ = ["NETWORK", "fingerprints", "is_current"]

NETWORK = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_VERIFY", "REQUESTS_CA_BUNDLE"),
)
"""Variables that decide how a call reaches its host."""


_PACKAGES = ("gptme_litellm-", "litellm-", "openai-")
"""What answers, by the beginning of its metadata folder (PyPA, "Recording installed projects")."""


def fingerprints(config: Config, salt: str) -> dict[str, str]:
    """Return digests of all that a gateway is made from: under ``""`` of the configuration, the
    versions of the packages that answer and the variables that decide how a call goes out, under
    each provider's name of its key.

    Made with a random ``salt`` for each gateway, so that they say nothing about a key to who finds
    them. Keys are read now; none is kept.
    """
    return {"": _of_config(config, salt), **{p.name: _of_key(p, salt) for p in config.providers}}


def is_current(
    known: Mapping[str, str], config: Config, salt: str, providers: Iterable[Provider]
) -> bool:
    """Whether ``config`` still gives the digests ``known``: equal digests mean equal answers.

    Of the keys only those of ``providers`` are read: reading another's may run a command.
    """
    if _of_config(config, salt) != known.get(""):
        return False
    return all(_of_key(p, salt) == known.get(p.name) for p in providers)


def _of_config(config: Config, salt: str) -> str:
    providers = [
        [p.name, p.base_url, p.default_model, p.key_source, p.extras] for p in config.providers
    ]
    settings = json.dumps([providers, config.settings], sort_keys=True, default=str)
    named = [(name, config.getenv(name)) for name in config.references()]
    network = [os.environ.get(name) for name in NETWORK]
    return _digest([settings, named, network, _versions()], salt)


def _versions() -> list[str]:
    """Return name and version of each package that answers.

    Read from folder names, which takes a fraction of a millisecond; ``importlib.metadata`` takes
    longer than everything else that a query through a gateway does.
    """
    found: set[str] = set()
    for folder in {*sys.path} - {""}:
        with suppress(OSError):
            found.update(n for n in os.listdir(folder) if n.startswith(_PACKAGES))
    return sorted(n for n in found if n.endswith(".dist-info"))


def _of_key(provider: Provider, salt: str) -> str:
    try:
        secrets = [str(provider.resolve_key().value), *map(str, provider.headers().values())]
    except MissingKeyError:
        secrets = []  # the gateway leaves it out
    return _digest(secrets, salt)


def _digest(facts: Any, salt: str) -> str:
    try:
        from _blake2 import blake2b  # what hashlib hands on; hashlib itself loads OpenSSL
    except ImportError:
        from hashlib import blake2b

    return blake2b(json.dumps(facts).encode(), key=salt.encode(), digest_size=32).hexdigest()

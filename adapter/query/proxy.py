"""A query to a LiteLLM proxy named with ``--gateway``: LiteLLM's provider ``litellm_proxy``."""

from __future__ import annotations

import os
from typing import Any

from adapter.call.failures import add_note
from adapter.call.streams import note_stream
from adapter.call.translation import Target
from adapter.config.provider import base_url_fault, safe_url
from adapter.errors import GatewayError
from adapter.keys.precedence import PLACEHOLDER_KEY, ResolvedKey, sendable
from adapter.upstream.clients import bind_client
from adapter.upstream.loading import load_litellm

__all__ = ["PROXY_PREFIX", "complete_by_proxy", "proxy_target"]

PROXY_PREFIX = "litellm_proxy/"

KEY = "LITELLM_PROXY_API_KEY"
"""LiteLLM's own variable."""


def proxy_target(url: str, model: str) -> Target:
    """Return where a query to the proxy at ``url`` goes; the model goes there as it is typed.

    Its key is ``$LITELLM_PROXY_API_KEY``. Raises :class:`GatewayError` for a URL that is none, and
    when ``$LITELLM_PROXY_API_BASE`` says that the key is another host's.
    """
    if fault := base_url_fault(url):
        raise GatewayError(f"--gateway: {fault[0].replace('base_url', 'the URL')}; {fault[1]}")
    base = os.environ.get("LITELLM_PROXY_API_BASE", "")
    value = os.environ.get(KEY, "").strip()
    if value and base and _root(base) != _root(url):
        raise GatewayError(
            f"{KEY} is the key of {safe_url(base)} (LITELLM_PROXY_API_BASE), not of "
            f"{safe_url(url)}: set both for the same proxy, or unset LITELLM_PROXY_API_BASE"
        )
    secret = sendable("gateway", value or PLACEHOLDER_KEY, f"${KEY}")
    key = ResolvedKey(secret, f"${KEY}", KEY, found=bool(value))
    params = {"model": PROXY_PREFIX + model, "api_base": f"{_root(url)}/v1", "api_key": secret}
    return Target("gateway", url, model, key, params)


def _root(url: str) -> str:
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def complete_by_proxy(target: Target, **arguments: Any) -> Any:
    """Return ``litellm.completion`` for ``target``, which no configured provider may stand for.

    The client is ours, so that no header of OpenAI's goes to the proxy. Raises LiteLLM's errors.
    """
    arguments.update(target.params)
    bind_client(arguments, "completion", is_async=False)
    try:
        result = load_litellm().completion(**arguments)
    except BaseException as error:
        add_note(error, target)
        raise
    note_stream(result, target)
    return result

"""The OpenAI clients with which LiteLLM sends our requests: they say nothing of OpenAI's."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from adapter.keys.precedence import PLACEHOLDER_KEY

__all__ = ["private_client"]

DEFAULT_RETRIES = 2
"""LiteLLM's own default for ``max_retries`` (``litellm.llms.openai``)."""

KEPT_SECONDS = 3600
"""How long a client, and so its connections, is used; as long as LiteLLM uses one of its own."""

REQUEST_SECONDS = 600
"""The SDK's default; each request of LiteLLM's carries a timeout of its own."""


def private_client(params: Mapping[str, Any], is_async: bool) -> Any:
    """Return the OpenAI client for a call to a provider of ours, the same for the same ``params``.

    The OpenAI SDK puts ``OPENAI_ORG_ID``, ``OPENAI_PROJECT_ID`` and ``OPENAI_CUSTOM_HEADERS`` of
    the environment into the headers of every request, whatever host it goes to; this client does
    not. What the caller names itself (``organization=``, ``project=``) is kept. It is made as
    LiteLLM makes one and stands in LiteLLM's own cache, which has one for each event loop, forgets
    it after an hour or when there are too many, and closes it then. ``None`` for ``max_retries``
    that are no number, which LiteLLM refuses when it makes its own.
    """
    import litellm  # loaded by whoever is about to call it

    retries = params.get("max_retries")
    if retries is not None and not isinstance(retries, int):
        return None
    retries = DEFAULT_RETRIES if retries is None else retries
    base_url, session = params["api_base"], params.get("shared_session")
    organization, project = params.get("organization") or None, params.get("project") or None
    api_key = str(params.get("api_key") or PLACEHOLDER_KEY)
    cache = litellm.in_memory_llm_clients_cache
    name = _name(is_async, api_key, base_url, retries, organization, project, id(session))
    client = _kept(cache, name)
    if client is None:
        client, ours = _new_client(
            is_async,
            session,
            api_key=api_key,
            base_url=base_url,
            max_retries=retries,
            organization=organization,
            project=project,
        )
        cache.set_cache(name, client, ttl=KEPT_SECONDS, litellm_owned_client=ours)
    return client


def _kept(cache: Any, name: str) -> Any:
    """Return what ``cache.get_cache(name)`` does, which would try to read the client as JSON."""
    from asyncio import _get_running_loop as running_loop  # LiteLLM has loaded it

    # which is what that returns without a loop, by an exception that takes longer than the rest
    key = name if running_loop() is None else cache.update_cache_key_with_event_loop(name)
    if time.time() > cache.ttl_dict.get(key, 0):
        return cache.get_cache(name)  # one that has expired is closed by and by
    cache.evicted_client_closer.reap()
    return cache.cache_dict.get(key)


@lru_cache(maxsize=1024)  # asked at each call
def _name(is_async: bool, api_key: str, *others: Any) -> str:
    """Return a client's key in LiteLLM's cache; such keys are shown, and this one shows no key."""
    digest = hashlib.sha256(api_key.encode()).hexdigest()  # LiteLLM's own have it, too
    return ",".join(map(repr, ("gptme-litellm", is_async, digest, *others)))


def _new_client(is_async: bool, session: Any, **settings: Any) -> tuple[Any, bool]:
    """Return a client, and whether it may be closed: not where the caller's session is in it."""
    import openai
    from litellm.main import openai_chat_completions as made_by

    http = made_by._get_async_http_client(session) if is_async else made_by._get_sync_http_client()
    omitted: Any = {
        header: openai.Omit()
        for name, header in (("organization", "OpenAI-Organization"), ("project", "OpenAI-Project"))
        if settings[name] is None
    }
    cls: Any = openai.AsyncOpenAI if is_async else openai.OpenAI
    client = cls(
        http_client=http,
        timeout=REQUEST_SECONDS,
        default_headers=omitted,
        **settings,
    )
    # the SDK's constructor has just read OPENAI_CUSTOM_HEADERS into this mapping
    client._custom_headers = omitted
    return client, made_by.owns_wrapped_http_client(http)

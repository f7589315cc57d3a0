"""LiteLLM's response cache, kept apart by provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["separate_cache"]


def separate_cache(params: dict[str, Any], provider: str) -> None:
    """Give a call to ``provider`` a namespace of its own in ``litellm.cache``, where there is one.

    LiteLLM's cache key holds the model but not the base URL, so that two providers with one model
    id would share answers. A namespace that the caller or the cache names stays part of it
    (LiteLLM, "Caching": ``cache={"namespace": ...}``).
    """
    import litellm

    controls = params.get("cache") or {}
    if litellm.cache is None or not isinstance(controls, Mapping):
        return
    place = f"{provider}@{params['api_base']}"
    outer = controls.get("namespace") or getattr(litellm.cache, "namespace", None)
    params["cache"] = {**controls, "namespace": f"{outer}:{place}" if outer else place}

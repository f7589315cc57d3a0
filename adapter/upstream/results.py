"""What LiteLLM's functions return, and from which part of its response cache."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from inspect import iscoroutinefunction
from typing import Any

__all__ = ["close_stream", "count_fallbacks", "has_usage", "request_id", "separate_cache"]


def count_fallbacks(result: Any, fallbacks: int) -> None:
    """Say on ``result``, as LiteLLM does, how many ``fallbacks`` were tried before it.

    ``_hidden_params["additional_headers"]["x-litellm-attempted-fallbacks"]`` (LiteLLM's docs name
    both). Where a result has no such place it stays as it is: an answer is never lost for this.
    """
    with suppress(Exception):
        hidden = result._hidden_params
        headers = {"x-litellm-attempted-fallbacks": fallbacks}
        if isinstance(hidden, dict):
            hidden["additional_headers"] = {**(hidden.get("additional_headers") or {}), **headers}
        else:  # a text completion's
            hidden.additional_headers = {**(hidden.additional_headers or {}), **headers}


def request_id(result: Any) -> str | None:
    """Return the ``x-request-id`` that the server gave an answer, ``None`` where it gave none."""
    with suppress(Exception):  # as above
        found = result._hidden_params["additional_headers"].get("llm_provider-x-request-id")
        return found if isinstance(found, str) else None
    return None


def close_stream(stream: Any) -> None:
    """Close the connection of a stream that has ended: LiteLLM may leave it open.

    It does for ``hosted_vllm``, and after an error of its own. The garbage collector would close it
    at any moment, such as while httpcore holds the lock of its pool, which that needs: the process
    would hang.
    """
    inner = getattr(stream, "completion_stream", None)
    close = getattr(getattr(inner, "streaming_response", inner), "close", None)
    if close is not None and not iscoroutinefunction(close):
        with suppress(Exception):  # how the stream ended is what counts
            close()


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


def has_usage(stream: Any) -> bool:
    """Return whether the server told the usage of a ``stream`` that has ended.

    Where it did not, LiteLLM counts tokens itself. ``True`` where that cannot be told.
    """
    chunks = getattr(stream, "chunks", None)
    if not isinstance(chunks, list):
        return True
    return any(getattr(chunk, "usage", None) is not None for chunk in chunks)

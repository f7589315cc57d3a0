"""One query with LiteLLM in this process, as the pieces of text of its answer."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from adapter.call.drop_ins import drop_in
from adapter.call.translation import PREFIX, Target, retry_limit
from adapter.query.answer import Answer
from adapter.query.interrupts import in_time
from adapter.query.proxy import PROXY_PREFIX, complete_by_proxy
from adapter.upstream.loading import load_for_command
from adapter.upstream.results import has_usage

__all__ = ["Query", "complete"]

TIMEOUT_SECONDS = 600.0
"""How long the server may be silent, as in LiteLLM."""

CONNECT_SECONDS = 10.0
"""How long connecting may take. An address that swallows packets would else hang for minutes."""


class Query(NamedTuple):
    """One query. ``params`` are LiteLLM's, ``timeout`` is in seconds.

    ``retries`` is how often a failed request is tried again; ``None`` leaves it to the
    configuration. ``gateway`` is the URL of a LiteLLM proxy to ask.
    """

    model: str
    messages: list[dict[str, Any]]
    params: Mapping[str, Any]
    timeout: float | None = None
    retries: int | None = None
    gateway: str | None = None


def complete(query: Query, target: Target | None, answer: Answer) -> Iterator[str]:
    """Return the answer's text piece by piece as it comes, and fill in ``answer``.

    ``target`` is where the model goes, as resolved already. Nothing is retried unless the query or
    the configuration says so: a person is waiting. Raises LiteLLM's exceptions.
    """
    litellm = load_for_command()
    # LiteLLM's half a million objects stay until this process ends: not looking through them
    # again at each collection, and at the end, saves two of seven seconds
    gc.freeze()
    gc.enable()
    # half of the time per chunk goes into logs that nobody reads here
    litellm.disable_streaming_logging = True
    provider_params = target.params if target else {}
    call = _arguments(query, provider_params)
    if query.gateway is not None and target is not None:
        result = complete_by_proxy(target, messages=query.messages, **call)
    else:
        result = drop_in("completion")(model=query.model, messages=query.messages, **call)
    if not call.get("stream"):
        return answer.pieces([result])
    limit = query.timeout or provider_params.get("timeout", TIMEOUT_SECONDS)
    return answer.pieces(_chunks(result, limit, answer))


def _chunks(stream: Any, limit: Any, answer: Answer) -> Iterator[Any]:
    """Yield the chunks of ``stream``; tell ``answer`` whether its usage is LiteLLM's estimate."""
    yield from in_time(stream, limit)
    answer.usage_is_estimate = not has_usage(stream)


def _arguments(query: Query, provider_params: Mapping[str, Any]) -> dict[str, Any]:
    """Return LiteLLM's arguments: the query's, with its retries and time limits."""
    call = dict(query.params)
    names = {*call, *provider_params}
    if query.retries is not None:
        # a configured num_retries would else be the one that counts
        call[retry_limit(names)] = query.retries
    elif not {"max_retries", "num_retries"} & names:
        call["max_retries"] = 0
    if query.timeout is not None or "timeout" not in provider_params:
        seconds: Any = query.timeout or TIMEOUT_SECONDS
        if str(provider_params.get("model")).startswith((f"{PREFIX}/", PROXY_PREFIX)):
            import httpx  # LiteLLM has imported it already

            seconds = httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
        call["timeout"] = seconds
    return call

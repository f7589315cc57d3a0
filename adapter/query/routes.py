"""Which way a query of the command line goes: through a gateway, or LiteLLM in this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from adapter.call.resolution import Resolution
from adapter.call.translation import OWN_ATTEMPTS, Target
from adapter.config.provider import base_url_fault, safe_url
from adapter.errors import GatewayError
from adapter.gateway.fingerprints import is_current
from adapter.gateway.runtime import Gateway, running
from adapter.keys.precedence import PLACEHOLDER_KEY, ResolvedKey, sendable
from adapter.query.answers import TIMEOUT_SECONDS, Kept, Query

if TYPE_CHECKING:
    from adapter.config.loading import Config
    from adapter.query.relay import Route

__all__ = ["Way", "answer", "foreign_way", "gateway_only", "own_way"]

PLAIN_PARAMS = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
    }
)
"""OpenAI's parameters, which mean the same through a gateway. LiteLLM's own may not."""

SAME_ANSWERS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "general_settings": frozenset(
            {"alerting", "alerting_threshold", "database_url", "disable_spend_logs", "master_key"}
        ),
        "litellm_settings": frozenset(
            {
                *("allowed_fails", "content_policy_fallbacks", "context_window_fallbacks"),
                *("default_fallbacks", "disable_streaming_logging", "fallbacks", "json_logs"),
                *("num_retries", "set_verbose"),
            }
        ),
        "router_settings": frozenset(
            {
                *("content_policy_fallbacks", "context_window_fallbacks", "default_fallbacks"),
                *("fallbacks", "max_fallbacks", "model_group_alias", "num_retries"),
                *("redis_host", "redis_password", "redis_port", "redis_url", "routing_strategy"),
            }
        ),
    }
)
"""LiteLLM's settings that change no answer of a gateway that is told ``ALONE``."""

USUAL: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"router_settings": {"disable_cooldowns": True}}
)
"""Settings that change no answer with this value, which a gateway has without them as well."""

STALE = (
    "the gateway is stale: the configuration, a key or a package has changed since it started. "
    "Answering without it (adapter serve --stop, then adapter serve --detach)"
)

LIMITS = ("rpm", "tpm", "max_parallel_requests", "max_budget", "budget_duration")
"""What a router checks before a call, and a call without one does not."""

MARGIN_SECONDS = 5.0
"""How much longer to wait for a gateway than it waits, so that it can report a timeout itself."""


ALONE: Mapping[str, Any] = MappingProxyType({"num_retries": 0, "disable_fallbacks": True})
"""Tells a gateway with settings of the user's to do what a query without a gateway does: no more.

LiteLLM's router takes 10 ms longer over it, so a gateway without such settings is not told.
"""


class Way(NamedTuple):
    """How a query goes: through ``route``, or in this process, and ``why``, in words.

    ``model`` is what the gateway calls it, ``also`` what it is told besides the query. ``stale``
    is true when a gateway runs but no longer says what the configuration says.
    """

    route: Route | None
    why: str
    model: str = ""
    retries: int = 0
    seconds: float = TIMEOUT_SECONDS
    stale: bool = False
    also: Mapping[str, Any] = MappingProxyType({})


def own_way(config: Config, query: Query, resolution: Resolution) -> Way:
    """Return the way through a detached gateway of ours, where the answer is the same."""
    gateways = _find(config)
    if not gateways:
        return Way(None, "no gateway runs")
    if reason := _differs(config, query, resolution):
        return Way(None, reason)
    provider = resolution.provider
    assert provider is not None
    gateway = next(
        (g for g in gateways if is_current(g.fingerprints, config, g.salt, [provider])), None
    )
    if gateway is None:
        return Way(None, STALE, stale=True)
    from adapter.query.relay import Route

    extras = provider.extras
    retries = query.retries
    if retries is None:
        retries = int(extras.get("max_retries", extras.get("num_retries", 0)))
    configured = extras.get("timeout")
    also = dict(ALONE) if config.settings or retries else {}
    if query.timeout:
        also["timeout"] = query.timeout  # else a shorter one that is configured would count
    return Way(
        Route(gateway.url, gateway.key, own=True),
        f"through the gateway at {gateway.url}",
        model=f"{provider.name}/{resolution.model}",
        retries=retries,
        seconds=(query.timeout or configured or TIMEOUT_SECONDS) + MARGIN_SECONDS,
        also=also,
    )


def _find(config: Config) -> list[Gateway]:
    if os.name != "posix":  # where no gateway can be started
        return []
    return [g for g in running() if g.detached and g.config == config.paths]


def gateway_only(config: Config) -> str | None:
    """Return which of LiteLLM's settings could make a gateway's answers differ, in words.

    Only its gateway reads them: a cache, limits, callbacks that change requests, and so on.
    """
    for section, settings in config.settings.items():
        usual = USUAL.get(section, {})
        same = SAME_ANSWERS[section] | {n for n, v in settings.items() if usual.get(n) is v}
        if other := sorted(settings.keys() - same):
            return f"{section}.{other[0]} acts in a gateway only"
    return None


def _differs(config: Config, query: Query, resolution: Resolution) -> str | None:
    """Return why the answer through a gateway might not be the same, or ``None``."""
    provider = resolution.provider
    if provider is None or config.find(provider.name) is not provider:
        return "the gateway offers the configured providers only"
    if other := sorted(query.params.keys() - PLAIN_PARAMS):
        return f"-o {other[0]} is LiteLLM's own"
    if reason := gateway_only(config):
        return reason
    if other := [name for name in (*OWN_ATTEMPTS, *LIMITS) if name in provider.extras]:
        return f"provider {provider.name!r} has {other[0]}"
    numbers = ("timeout", "max_retries", "num_retries")
    if any(isinstance(provider.extras.get(n, 0), str | list | dict) for n in numbers):
        return f"provider {provider.name!r} has a timeout or retries that are no number"
    aliases = config.settings.get("router_settings", {}).get("model_group_alias", {})
    if (
        resolution.model.startswith("responses/")
        or f"{provider.name}/{resolution.model}" in aliases
    ):
        return f"{resolution.model!r} means something else to a gateway"
    return None


def foreign_way(url: str, query: Query) -> tuple[Way, Target]:
    """Return the way through a LiteLLM proxy at ``url``, and what an error message should name.

    Its key is ``$LITELLM_PROXY_API_KEY``, LiteLLM's own variable. Raises :class:`GatewayError` for
    a URL that is none, and when ``$LITELLM_PROXY_API_BASE`` says that the key is another host's.
    """
    from adapter.query.relay import Route

    if fault := base_url_fault(url):
        raise GatewayError(f"--gateway: {fault[0].replace('base_url', 'the URL')}; {fault[1]}")
    base = os.environ.get("LITELLM_PROXY_API_BASE", "")
    value = os.environ.get("LITELLM_PROXY_API_KEY", "").strip()
    if value and base and _plain(base) != _plain(url):
        raise GatewayError(
            f"LITELLM_PROXY_API_KEY is the key of {safe_url(base)} (LITELLM_PROXY_API_BASE), not "
            f"of {safe_url(url)}: set both for the same proxy, or unset LITELLM_PROXY_API_BASE"
        )
    key = ResolvedKey(
        sendable("gateway", value or PLACEHOLDER_KEY, "$LITELLM_PROXY_API_KEY"),
        "$LITELLM_PROXY_API_KEY",
        "LITELLM_PROXY_API_KEY",
        found=bool(value),
    )
    route = Route(url, key.value if value else None, own=False)
    why = f"through the gateway at {url}"
    seconds = query.timeout or TIMEOUT_SECONDS
    way = Way(route, why, query.model, retries=query.retries or 0, seconds=seconds)
    return way, Target("gateway", url, query.model, key, {})


def _plain(url: str) -> str:
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def answer(
    way: Way,
    query: Query,
    target: Target | None,
    kept: Kept | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Iterator[str]:
    """Return the answer's text piece by piece as it comes; ``kept`` takes what there is besides.

    Raises LiteLLM's exceptions, or what ``relay.ask`` raises. One of our own gateways
    that cannot be reached is passed by, after ``tell`` was called with words that say so.
    """
    if way.route is not None:
        from adapter.query import relay

        body = {"model": way.model, "messages": query.messages, **query.params, **way.also}
        try:
            return relay.ask(way.route, body, way.seconds, way.retries, kept)
        except relay.UnsentError as error:
            if not way.route.own:
                raise error.__cause__ or error from None
            tell(f"the gateway at {way.route.url} cannot be reached; answering without it")
    from adapter.query.oneshot import ask

    return ask(query, target, kept)

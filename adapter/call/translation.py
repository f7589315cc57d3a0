"""Translate a provider and a model id to LiteLLM's parameters, without importing LiteLLM.

gptme says ``name``, ``base_url``, ``api_key``; LiteLLM says ``model`` with a prefix, ``api_base``,
``api_key``.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from adapter.call.resolution import EMBEDDED, Resolution, resolve
from adapter.config.checks import KEY_PREFIX
from adapter.config.loading import Config, load_config
from adapter.config.provider import Provider
from adapter.keys.precedence import ResolvedKey
from adapter.secrets.secret import Secret

__all__ = [
    "MAX_BYTES",
    "OWN_ATTEMPTS",
    "PREFIX",
    "Target",
    "model_list",
    "reply_limits",
    "retry_limit",
    "translate",
]

PREFIX = "openai"
"""LiteLLM's provider for any OpenAI-compatible server; it sends the rest of the id unchanged."""

OWN_ATTEMPTS = ("fallbacks", "context_window_fallback_dict")
"""Extras that name models: each is a call of its own (see ``attempts``), not a parameter."""

MAX_BYTES = "max_response_bytes"
"""The extra that limits the length of a reply: our HTTP client's, no parameter of LiteLLM's."""

_PER_CALL = "stream"
"""Says what a call returns, so each call says it."""

_AZURE_HOST = ".openai.azure.com"
_AZURE_PATH = "/openai/deployments"


@dataclass(eq=False, repr=False, slots=True)
class Target:
    """Where one call goes: LiteLLM's parameters and what an error message should name.

    ``name`` and ``base_url`` are what the user wrote; ``params`` is what LiteLLM gets.
    """

    name: str
    base_url: str
    model: str
    key: ResolvedKey
    params: dict[str, Any]


def translate(model: str | None = None, config: Config | None = None) -> dict[str, Any]:
    """Return LiteLLM's parameters for a model, as for ``litellm.completion(**translate(m), ...)``.

    Returns ``{"model": "openai/<id>", "api_base": ..., "api_key": ..., **extras}`` for a configured
    provider, and ``{"model": model}`` for a model that only LiteLLM knows. ``embedded`` starts its
    server. Reads the key now. Raises what :func:`adapter.resolve` and ``Provider.resolve_key``
    raise.
    """
    resolution = resolve(model, config)
    target = target_of(resolution)
    return {"model": resolution.model} if target is None else target.params


def target_of(resolution: Resolution) -> Target | None:
    """Return where a resolved model goes, or ``None`` when it is left to LiteLLM."""
    provider = resolution.provider
    if provider is not None:
        key = provider.resolve_key()
        params = params_for(provider, resolution.model, key.value)
        return Target(provider.name, provider.base_url, resolution.model, key, params)
    return _embedded_target() if resolution.embedded else None


def _embedded_target() -> Target:
    from adapter import embedded  # 6 ms, which only this way needs
    from adapter.upstream.network import exempt_this_machine

    server = embedded.start_server()
    exempt_this_machine(server.base_url)
    key = ResolvedKey(Secret(server.api_key), "(generated)", None)
    params = {
        "model": f"{PREFIX}/{server.model}",
        "api_base": server.base_url,
        "api_key": key.value,
    }
    return Target(EMBEDDED, server.base_url, server.model, key, params)


@lru_cache(maxsize=1024)  # asked at each call
def api_base(base_url: str) -> str:
    """Return the base that LiteLLM appends its paths to.

    Trailing slashes go. The specification's Azure form, ``https://<resource>.openai.azure.com/
    openai/deployments``, is no OpenAI-compatible base; the resource's v1 base is, takes the same
    key as a bearer token and the deployment's name as model, and needs no api-version (Microsoft,
    "Azure OpenAI in Microsoft Foundry Models v1 API").
    """
    base = base_url.rstrip("/")
    if base.endswith(_AZURE_PATH):
        parts = urlsplit(base)
        if parts.path == _AZURE_PATH and (parts.hostname or "").endswith(_AZURE_HOST):
            return base.removesuffix("/deployments") + "/v1"
    return base


def params_for(
    provider: Provider, model: str, key: str, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return LiteLLM's parameters for one model id.

    ``headers`` are the provider's own, resolved already; ``None`` resolves them now, which may
    raise :class:`MissingKeyError`.
    """
    extras = {
        # the caller, or LiteLLM, may change what is in a table or list
        name: deepcopy(value) if isinstance(value, dict | list) else value
        for name, value in provider.extras.items()
        if name not in (*OWN_ATTEMPTS, MAX_BYTES, _PER_CALL) and not name.startswith(KEY_PREFIX)
    }
    if "extra_headers" in extras and isinstance(extras["extra_headers"], Mapping):
        extras["extra_headers"] = provider.headers() if headers is None else dict(headers)
    prefix = extras.pop("custom_llm_provider", PREFIX)
    return {
        "model": f"{prefix}/{model}",
        "api_base": api_base(provider.base_url),
        "api_key": key,
        **extras,
    }


def model_list(
    config: Config | None = None, providers: Iterable[str] | None = None
) -> list[dict[str, Any]]:
    """Return LiteLLM Router deployments for the configured providers, or for those named.

    Each provider has an entry ``name`` (its default model, if it has one) and a wildcard ``name/*``
    that takes any model id. Reads the keys now. Raises :class:`MissingKeyError` if a provider's key
    variable is not set (to leave that provider out, name the others), and
    :class:`UnknownProviderError` for a name that is not configured.
    """
    config = load_config() if config is None else config
    chosen = config.providers if providers is None else [config.provider(n) for n in providers]
    entries = []
    for provider in chosen:
        key = provider.resolve_key().value
        for name, model in deployments(provider):
            entries.append({"model_name": name, "litellm_params": params_for(provider, model, key)})
    return entries


def reply_limits(config: Config) -> dict[str, int]:
    """Return the ``max_response_bytes`` of the providers that have one, by LiteLLM's base."""
    return {
        api_base(provider.base_url): provider.extras[MAX_BYTES]
        for provider in config.providers
        if MAX_BYTES in provider.extras
    }


def deployments(provider: Provider) -> list[tuple[str, str]]:
    """Return the (model name, model id) pairs under which a Router or gateway offers a provider."""
    wildcard = (f"{provider.name}/*", "*")
    if provider.default_model is None:
        return [wildcard]
    return [(provider.name, provider.default_model), wildcard]


def retry_limit(names: Container[str]) -> str:
    """Return the parameter, of those with ``names``, that says how often a call is retried."""
    return "num_retries" if "num_retries" in names else "max_retries"

"""From a provider and a model id to LiteLLM's parameters: the one place that knows both words.

gptme says ``name``, ``base_url``, ``api_key``; LiteLLM says ``model`` with a prefix, ``api_base``,
``api_key``. LiteLLM itself is not imported here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from adapter.config import Config, load_config
from adapter.keys import PLACEHOLDER_KEY, ResolvedKey, Secret, guarded
from adapter.plugin_checks import KEY_PREFIX
from adapter.providers import Provider, safe_url
from adapter.redaction import is_secret
from adapter.resolution import EMBEDDED, Resolution, resolve

__all__ = ["OWN_ATTEMPTS", "Target", "model_list", "translate"]

PREFIX = "openai"
"""LiteLLM's provider for any OpenAI-compatible server; it sends the rest of the id unchanged."""

OWN_ATTEMPTS = ("fallbacks", "context_window_fallback_dict")
"""Extras that name models: each is a call of its own (see ``attempts``), not a parameter."""

_HEADERS = ("extra_headers", "headers")

_AZURE_HOST = ".openai.azure.com"
_AZURE_PATH = "/openai/deployments"


class Target:
    """Where one call goes: LiteLLM's parameters and what an error message should name.

    ``name`` and ``base_url`` are what the user wrote; ``params`` is what LiteLLM gets.
    """

    __slots__ = ("base_url", "key", "model", "name", "params")

    def __init__(
        self, name: str, base_url: str, model: str, key: ResolvedKey, params: dict[str, Any]
    ) -> None:
        self.name = name
        self.base_url = base_url
        self.model = model
        self.key = key
        self.params = params


def translate(model: str | None = None, config: Config | None = None) -> dict[str, Any]:
    """Return LiteLLM's parameters for a model, as for ``litellm.completion(**translate(m), ...)``.

    ``{"model": "openai/<id>", "api_base": ..., "api_key": ..., **extras}`` for a provider of ours,
    ``{"model": model}`` for what only LiteLLM knows. ``embedded`` starts its server.
    The key is read now. Raises what :func:`adapter.resolve` and ``Provider.resolve_key`` raise.
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
    if not resolution.embedded:
        return None
    from adapter import embedded  # 6 ms, which only this way needs

    server = embedded.start()
    _reach_directly("127.0.0.1")
    key = ResolvedKey(Secret(server.api_key), "(generated)", None)
    params = {
        "model": f"{PREFIX}/{server.model}",
        "api_base": server.base_url,
        "api_key": key.value,
    }
    return Target(EMBEDDED, server.base_url, server.model, key, params)


def _reach_directly(host: str) -> None:
    """Keep calls to this process's own server off an HTTP proxy: add ``host`` to ``NO_PROXY``."""
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if listed != "*" and host not in listed.split(","):
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = f"{listed},{host}".lstrip(",")


def target_of_call(target: Target, params: Mapping[str, Any]) -> Target:
    """Return where a call really goes when its ``params`` name another base or key."""
    key = target.key
    same = params["api_base"] == target.params["api_base"]
    if params["api_key"] != key.value:
        given = params["api_key"] != PLACEHOLDER_KEY
        source = "given in the call" if given else "(none, since the call names another base_url)"
        value = guarded(str(params["api_key"])) if given else Secret(PLACEHOLDER_KEY)
        key = ResolvedKey(value, source, None)
    for name in _HEADERS:
        if name in params and isinstance(params[name], Mapping):
            for header, value in params[name].items():
                if isinstance(value, str) and is_secret((str(header),), value):
                    guarded(value)
    if same and key is target.key:
        return target
    base_url = target.base_url if same else safe_url(str(params["api_base"]))
    return Target(target.name, base_url, target.model, key, target.params)


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
        if name not in OWN_ATTEMPTS and not name.startswith(KEY_PREFIX)
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

    Per provider an entry ``name`` (its default model, where it has one) and a wildcard ``name/*``,
    which takes any model id. Keys are read now. Raises :class:`MissingKeyError` when a provider's
    key variable is not set (name the providers to leave it out) and
    :class:`UnknownProviderError` for a name nobody configured.
    """
    config = load_config() if config is None else config
    chosen = config.providers if providers is None else [config.provider(n) for n in providers]
    entries = []
    for provider in chosen:
        key = provider.resolve_key().value
        for name, model in deployments(provider):
            entries.append({"model_name": name, "litellm_params": params_for(provider, model, key)})
    return entries


def deployments(provider: Provider) -> list[tuple[str, str]]:
    """Return the (model name, model id) pairs under which a Router or gateway offers a provider."""
    wildcard = (f"{provider.name}/*", "*")
    if provider.default_model is None:
        return [wildcard]
    return [(provider.name, provider.default_model), wildcard]


def translate_deployments(
    entries: Iterable[Mapping[str, Any]], config: Config | None = None
) -> list[dict[str, Any]]:
    """Return a caller's Router ``model_list`` with each ``litellm_params.model`` translated.

    What an entry says itself (``api_key``, ``timeout``, ...) wins over the configuration.
    """
    translated = []
    for entry in entries:
        params = dict(entry.get("litellm_params") or {})
        if isinstance(params.get("model"), str):
            params = with_overrides(target_of(resolve(params["model"], config)), params)
        translated.append({**entry, "litellm_params": params})
    return translated


def with_overrides(target: Target | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a call: the target's, with what the caller gives laid over them.

    ``None`` and an empty ``api_key`` or base count as not given. A caller who sends the call to
    another base without a key of its own does not get the provider's key or headers there: a key
    goes to its own base_url and nowhere else.
    """
    if target is None:
        return dict(given)
    given = {k: v for k, v in given.items() if v is not None and k != "model"}
    bases = given.pop("base_url", None), given.pop("api_base", None)
    base = bases[0] or bases[1]
    if not given.get("api_key", True):
        del given["api_key"]
    params = target.params
    if base and api_base(str(base)) != params["api_base"]:
        params = {k: v for k, v in params.items() if k not in _HEADERS}
        params.update(api_key=Secret(PLACEHOLDER_KEY), api_base=base)
    if prefix := given.pop("custom_llm_provider", None):
        given["model"] = f"{prefix}/{target.model}"
    for name in ("extra_headers", "extra_body"):
        if name not in params or name not in given:
            continue
        if isinstance(params[name], Mapping) and isinstance(given[name], Mapping):
            given[name] = {**params[name], **given[name]}
    return {**params, **given}

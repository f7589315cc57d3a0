"""A caller's own arguments: they win, and no key goes to a base that is not its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from adapter.call.resolution import resolve
from adapter.call.translation import Target, api_base, target_of
from adapter.config.loading import Config
from adapter.config.provider import safe_url
from adapter.keys.precedence import PLACEHOLDER_KEY, ResolvedKey
from adapter.secrets.policy import is_secret
from adapter.secrets.scrubber import register
from adapter.secrets.secret import Secret

__all__ = ["call_of", "translate_deployments"]

_HEADERS = frozenset(("extra_headers", "headers"))

_ELSEWHERE = _HEADERS | {
    "api_key",
    "api_base",
    "base_url",
    "custom_llm_provider",
    "extra_body",
}
"""Arguments that do not simply replace the provider's."""


def call_of(target: Target, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], Target]:
    """Return LiteLLM's parameters for a call and where it goes, which a caller may change."""
    if _ELSEWHERE.isdisjoint(arguments) and _HEADERS.isdisjoint(target.params):
        # a quicker way to the same, which most calls take
        params = dict(target.params)
        for name, value in arguments.items():
            # None counts as absent where the configuration has a value; else LiteLLM reads it
            if (value is not None or name not in params) and name != "model":
                params[name] = value
        return params, target
    params = with_overrides(target, arguments)
    return params, target_of_call(target, params)


def target_of_call(target: Target, params: Mapping[str, Any]) -> Target:
    """Return where a call really goes when its ``params`` name another base or key."""
    key = target.key
    same = params["api_base"] == target.params["api_base"]
    if params["api_key"] != key.value:
        has_key = params["api_key"] != PLACEHOLDER_KEY
        nowhere = "(none, since the call names another base or class)"
        source = "given in the call" if has_key else nowhere
        value = register(str(params["api_key"])) if has_key else Secret(PLACEHOLDER_KEY)
        key = ResolvedKey(value, source, None)
    for name in _HEADERS:
        if name in params and isinstance(params[name], Mapping):
            for header, value in params[name].items():
                if isinstance(value, str) and is_secret((str(header),), value):
                    register(value)
    if same and key is target.key:
        return target
    base_url = target.base_url if same else safe_url(str(params["api_base"]))
    return Target(target.name, base_url, target.model, key, target.params)


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


def with_overrides(target: Target | None, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return LiteLLM's parameters for a call: the target's, overridden by the caller's arguments.

    ``None`` and an empty ``api_key`` or base count as absent. A caller who sends the call to
    another base, or to another of LiteLLM's provider classes (``custom_llm_provider``), and gives
    no key with it, does not get the provider's key or headers there: a key goes to its own base_url
    and nowhere else.
    """
    if target is None:
        return dict(arguments)
    arguments = {
        k: v
        for k, v in arguments.items()
        if (v is not None or k not in (*_ELSEWHERE, *target.params)) and k != "model"
    }
    bases = arguments.pop("base_url", None), arguments.pop("api_base", None)
    base = bases[0] or bases[1]
    if not arguments.get("api_key", True):
        del arguments["api_key"]
    params = target.params
    own_class = str(params["model"]).partition("/")[0]
    provider_class = arguments.pop("custom_llm_provider", None) or own_class
    elsewhere = base and api_base(str(base)) != params["api_base"]
    if elsewhere or provider_class != own_class:  # another class may have a host of its own
        params = {k: v for k, v in params.items() if k not in _HEADERS}
        params.update(api_key=Secret(PLACEHOLDER_KEY))
    if elsewhere:
        params["api_base"] = base
    if provider_class != own_class:
        arguments["model"] = f"{provider_class}/{target.model}"
    for name in ("extra_headers", "extra_body"):
        if name not in params or name not in arguments:
            continue
        if isinstance(params[name], Mapping) and isinstance(arguments[name], Mapping):
            arguments[name] = {**params[name], **arguments[name]}
    return {**params, **arguments}

"""What a caller gives beside the model: it wins, and no key goes to a base that is not its own."""

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
"""What a caller gives that is not just laid over the provider's."""


def call_of(target: Target, given: Mapping[str, Any]) -> tuple[dict[str, Any], Target]:
    """Return the parameters of a call and where it really goes, which a caller may change."""
    if _ELSEWHERE.isdisjoint(given) and _HEADERS.isdisjoint(target.params):
        # as the rest would, for most calls
        params = dict(target.params)
        for name, value in given.items():
            # None is not given where the configuration says something; else it is LiteLLM's to read
            if (value is not None or name not in params) and name != "model":
                params[name] = value
        return params, target
    params = with_overrides(target, given)
    return params, target_of_call(target, params)


def target_of_call(target: Target, params: Mapping[str, Any]) -> Target:
    """Return where a call really goes when its ``params`` name another base or key."""
    key = target.key
    same = params["api_base"] == target.params["api_base"]
    if params["api_key"] != key.value:
        given = params["api_key"] != PLACEHOLDER_KEY
        source = (
            "given in the call" if given else "(none, since the call names another base or class)"
        )
        value = register(str(params["api_key"])) if given else Secret(PLACEHOLDER_KEY)
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


def with_overrides(target: Target | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a call: the target's, with what the caller gives laid over them.

    ``None`` and an empty ``api_key`` or base count as not given. A caller who sends the call to
    another base, or to another of LiteLLM's provider classes (``custom_llm_provider``), without a
    key of its own does not get the provider's key or headers there: a key goes to its own base_url
    and nowhere else.
    """
    if target is None:
        return dict(given)
    given = {
        k: v
        for k, v in given.items()
        if (v is not None or k not in (*_ELSEWHERE, *target.params)) and k != "model"
    }
    bases = given.pop("base_url", None), given.pop("api_base", None)
    base = bases[0] or bases[1]
    if not given.get("api_key", True):
        del given["api_key"]
    params = target.params
    own_class = str(params["model"]).partition("/")[0]
    provider_class = given.pop("custom_llm_provider", None) or own_class
    elsewhere = base and api_base(str(base)) != params["api_base"]
    if elsewhere or provider_class != own_class:  # another class may have a host of its own
        params = {k: v for k, v in params.items() if k not in _HEADERS}
        params.update(api_key=Secret(PLACEHOLDER_KEY))
    if elsewhere:
        params["api_base"] = base
    if provider_class != own_class:
        given["model"] = f"{provider_class}/{target.model}"
    for name in ("extra_headers", "extra_body"):
        if name not in params or name not in given:
            continue
        if isinstance(params[name], Mapping) and isinstance(given[name], Mapping):
            given[name] = {**params[name], **given[name]}
    return {**params, **given}

"""What LiteLLM's helpers are told of a provider's model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapter.call.resolution import Resolution, resolve
from adapter.call.translation import PREFIX, api_base
from adapter.config.loading import load_config
from adapter.errors import AdapterError
from adapter.upstream.loading import load_litellm
from adapter.upstream.prefixes import vendor_names

__all__ = ["Registrations"]


_DEFAULTS = {
    "mode": "chat",
    # LiteLLM's own defaults; it warns where a model has prices and not these
    "cache_creation_input_token_cost": 0.0,
    "cache_read_input_token_cost": 0.0,
}
"""What LiteLLM's map says of a model where nothing else does."""


class Registrations:
    """What was registered with LiteLLM for models of ours, by the name that it has there."""

    def __init__(self) -> None:
        self._registered: dict[str, Mapping[str, Any]] = {}

    def translate(self, helper: str, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return arguments for LiteLLM's ``helper`` where the model is ours, else ``None``.

        The tokens of a model are counted as LiteLLM counts those of its id. What else there is to
        know of it is registered with LiteLLM first.
        """
        meaning = _meaning(arguments.get("model"), arguments.get("custom_llm_provider"))
        if meaning is None or meaning.provider is None:
            return None
        given = {k: v for k, v in arguments.items() if k not in ("custom_llm_provider", "kwargs")}
        given |= arguments.get("kwargs") or {}
        provider_class = str(meaning.provider.extras.get("custom_llm_provider", PREFIX))
        if helper == "token_counter":
            return {**given, "model": meaning.model}
        if helper == "get_supported_openai_params":
            return {**given, "model": meaning.model, "custom_llm_provider": provider_class}
        name = self._register(meaning)
        if helper == "completion_cost":  # else LiteLLM goes by the id in the answer
            return {**given, "model": name, "base_model": name}
        if helper == "supports_system_messages":  # its signature wants a class
            return {**given, "model": name, "custom_llm_provider": PREFIX}
        return {**given, "model": name}

    def remove(self) -> None:
        """Take back what was registered."""
        litellm = load_litellm()
        for name in self._registered:
            litellm.model_cost.pop(name, None)
            litellm.open_ai_chat_completion_models.discard(name)
        self._registered.clear()

    def _register(self, meaning: Resolution) -> str:
        """Return the model's name in LiteLLM's map, where there is something to tell of it."""
        litellm = load_litellm()
        assert meaning.provider is not None
        own_name = f"{meaning.provider.name}/{meaning.model}"
        name = f"{PREFIX}/{own_name}"
        info = {**_catalog(meaning), **load_config().models.get(own_name, {})}
        if info and (self._registered.get(name) != info or name not in litellm.model_cost):
            litellm.model_cost.pop(name, None)  # else what was said before stays
            litellm.register_model({name: {**_DEFAULTS, **info, "litellm_provider": PREFIX}})
            self._registered[name] = info
        return name


def _meaning(model: Any, provider_class: Any) -> Resolution | None:
    """Return what a helper is asked about, ``None`` where it is not for a provider of ours.

    Frameworks split a model string at its first slash and give the first part as the class.
    """
    names = [model] if not provider_class or "/" in str(model) else []
    names += (
        [f"{provider_class}/{model}"]
        if provider_class and load_config().find(str(provider_class))
        else []
    )
    for name in names:
        try:
            if isinstance(name, str) and name and (meaning := resolve(name)).provider:
                return meaning
        except AdapterError:
            continue
    return None


def _catalog(meaning: Resolution) -> dict[str, Any]:
    """Return what LiteLLM's map says of the model; prices only of the vendor's own server."""
    litellm = load_litellm()
    provider = meaning.provider
    assert provider is not None
    vendor = vendor_names(api_base(provider.base_url), meaning.model)
    for name in (*vendor, f"{provider.name}/{meaning.model}", meaning.model):
        row = litellm.model_cost.get(name)
        if row:
            return {k: v for k, v in row.items() if name in vendor or "cost" not in k}
    return {}

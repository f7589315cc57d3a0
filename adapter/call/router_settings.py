"""The ``router_settings`` of ``[plugin.litellm]``: what of them LiteLLM's Router takes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from adapter._tables import map_leaves
from adapter._text import did_you_mean
from adapter.config.loading import Config
from adapter.secrets.references import is_variable, referenced_variable
from adapter.upstream.prefixes import ROUTING_STRATEGIES

__all__ = ["RefusedSetting", "refused_settings", "resolve_settings"]


class RefusedSetting(NamedTuple):
    """A setting without which a Router is made: the names that lead to it, why, what to do."""

    path: tuple[str, ...]
    why: str
    fix: str

    @property
    def name(self) -> str:
        """The setting in words, as in ``cache_kwargs.ssl``."""
        return ".".join(self.path)


def refused_settings(
    settings: Mapping[str, Any], names: Collection[str]
) -> Iterator[RefusedSetting]:
    """Yield the ``settings`` that a Router with the arguments ``names`` does not take."""
    for name, value in settings.items():
        if name not in names:
            why = f"is not a setting of LiteLLM's Router{did_you_mean(name, names)}"
            yield RefusedSetting((name,), why, "remove it, or correct the name")
        elif name == "routing_strategy" and not _is_strategy(value):
            why = f"is {value!r}, which is not one of LiteLLM's strategies"
            known = ", ".join(sorted(ROUTING_STRATEGIES))
            yield RefusedSetting((name,), why, f"write one of {known}")


def _is_strategy(value: Any) -> bool:
    known = isinstance(value, str) and value in ROUTING_STRATEGIES
    return known or referenced_variable(value) is not None


def resolve_settings(
    config: Config, names: Collection[str]
) -> tuple[dict[str, Any], list[RefusedSetting]]:
    """Return the configured settings that a Router takes, references resolved, and the others.

    A reference to a variable that is not set stands for no value, as in LiteLLM's proxy
    (``ProxyConfig._check_for_os_environ_vars``).
    """
    unset: list[RefusedSetting] = []

    def resolve(path: tuple[str, ...], value: Any) -> Any:
        variable = referenced_variable(value)
        if variable is None:
            return value
        resolved = config.getenv(variable) if is_variable(variable) else None
        if resolved is None:
            # what is no variable's name may be a key
            shown = (
                f"${variable}" if is_variable(variable) else "what is not the name of a variable"
            )
            why = f"refers to {shown}, which is not set"
            unset.append(RefusedSetting(path, why, "set it, or remove the setting"))
        return resolved

    configured = config.settings.get("router_settings", {})
    refused = {setting.path[0]: setting for setting in refused_settings(configured, names)}
    resolved = {
        name: map_leaves(resolve, value, (name,))
        for name, value in configured.items()
        if name not in refused
    }
    filled = {name: value for name, value in resolved.items() if value is not None}
    refused |= {s.path[0]: s for s in refused_settings(filled, names)}  # a variable may say it
    taken = {name: value for name, value in filled.items() if name not in refused}
    return taken, [*refused.values(), *unset]

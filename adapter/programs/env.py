"""The variables with which a program finds a gateway of ours, and those that it must not get."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from adapter.call.resolution import resolve
from adapter.config.loading import Config
from adapter.config.provider import Provider
from adapter.errors import AdapterError, MissingKeyError, UnknownProviderError
from adapter.gateway.runtime import Gateway, running
from adapter.gateway.settings import fingerprint
from adapter.keys.precedence import PLACEHOLDER_KEY, default_variable
from adapter.secrets.references import variable_of

__all__ = [
    "GIVEN",
    "OUTER_GATEWAY",
    "Environment",
    "check_model",
    "environment",
    "find_gateway",
    "outer_gateway",
]

GIVEN = (
    *("OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_API_KEY"),
    *("LITELLM_PROXY_API_BASE", "LITELLM_PROXY_API_KEY"),
)
"""Variables by which programs find an OpenAI-compatible server, or a LiteLLM proxy."""

TAKEN = (
    *("OPENAI_ORG_ID", "OPENAI_ORGANIZATION", "OPENAI_PROJECT_ID", "OPENAI_PROJECT"),
    *("OPENAI_CUSTOM_HEADERS", "OPENAI_ADMIN_KEY", "OPENAI_API_TYPE", "OPENAI_API_VERSION"),
    "LITELLM_MASTER_KEY",
)
"""Variables that programs send to any server, or that are of the gateway alone."""


OUTER_GATEWAY = "ADAPTER_GATEWAY"
"""The variable in which a command of ``adapter run`` has the address of its gateway."""


@dataclass(frozen=True, repr=False)
class Environment:
    """What to change in a program's environment: ``variables`` to set, names to take away."""

    variables: Mapping[str, str]
    removed: tuple[str, ...]

    def applied(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return ``environ`` with these changes."""
        kept = {k: v for k, v in environ.items() if k not in self.removed}
        return {**kept, **self.variables}


def environment(config: Config, gateway: Gateway | None, *, hide_keys: bool = True) -> Environment:
    """Return what a program needs to ask ``gateway``; ``None`` where it calls providers itself.

    With ``hide_keys`` those of providers are taken away, by their variables and by their values.
    """
    if gateway is None:
        return Environment({}, TAKEN)
    base, key = f"{gateway.url}/v1", str(gateway.key)
    values = {"OPENAI_API_KEY": key, "LITELLM_PROXY_API_KEY": key}
    variables = {name: values.get(name, base) for name in GIVEN}
    variables["LITELLM_PROXY_API_BASE"] = gateway.url
    names = set(TAKEN)
    if hide_keys:
        keys = set(_keys(config.providers)) - {PLACEHOLDER_KEY}
        names |= {*_key_variables(config)}
        names |= {name for name, value in os.environ.items() if value in keys}
    return Environment(variables, tuple(sorted(names - variables.keys())))


def _key_variables(config: Config) -> Iterator[str]:
    """Yield the variables that hold keys of providers, or that the configuration refers to."""
    for provider in config.providers:
        values = provider.extra_headers.values()
        named = (provider.api_key_env, default_variable(provider.name), *map(variable_of, values))
        for name in filter(None, named):
            yield from (name, f"GPTME_{name}")
    for name in config.references():
        yield from (name, f"GPTME_{name}")


def _keys(providers: Iterable[Provider]) -> Iterator[str]:
    """Yield the keys of providers that are read without asking anybody."""
    for provider in providers:
        if provider.asks_for_key:
            continue
        try:
            yield str(provider.resolve_key().value)
            yield from map(str, provider.headers().values())
        except MissingKeyError:  # there is nothing to hide
            continue


def find_gateway(config: Config) -> Gateway | None:
    """Return a gateway that runs and offers what the configuration says now, else ``None``."""
    for gateway in running():
        if gateway.config == config.paths and gateway.fingerprint == fingerprint(
            config, gateway.salt
        ):
            return gateway
    return None


def outer_gateway() -> Gateway | None:
    """Return the gateway of the ``adapter run`` that this process is in, where it still runs.

    A command has no keys of providers, so it could start no gateway of its own.
    """
    url, key = os.environ.get(OUTER_GATEWAY), os.environ.get("OPENAI_API_KEY")
    return next((g for g in running() if g.url == url and str(g.key) == key), None)


def check_model(model: str, config: Config) -> None:
    """Raise an :class:`AdapterError` for a model that no gateway of ours offers."""
    meaning = resolve(model, config)
    if meaning.embedded:
        raise AdapterError("a gateway has no embedded model: name one of your providers")
    if meaning.provider is None:
        raise UnknownProviderError(model.partition("/")[0], (p.name for p in config.providers))

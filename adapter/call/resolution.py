"""Resolve a model string such as ``groq`` or ``a/b/c`` to a provider and a model id.

A configured name beats a LiteLLM built-in of the same name; what names no provider of ours is
left to LiteLLM untouched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from adapter.config.loading import Config, load_config
from adapter.config.provider import Provider, base_url_fault
from adapter.errors import ConfigError, MissingModelError, UnknownProviderError

__all__ = ["Resolution", "aliases", "choose_model", "local_provider", "resolve"]

EMBEDDED = "embedded"
LOCAL = "local"
LOCAL_KEY = "ollama"
"""What gptme's ``local`` provider sends when ``OPENAI_API_KEY`` is not set."""


class Resolution(NamedTuple):
    """What a model string means.

    ``model`` is the model id as the server receives it. ``provider`` is ``None`` for a model of
    LiteLLM's, whose ``model`` is the string itself, and for the embedded model, whose server starts
    only when it is used. ``mode`` is that of ``[plugin.litellm.models."NAME/ID"]``, ``None`` if the
    configuration sets none.
    """

    provider: Provider | None
    model: str
    embedded: bool = False
    mode: str | None = None


def resolve(model: str | None = None, config: Config | None = None) -> Resolution:
    """Return what ``model`` means under ``config`` (default: the user's configuration).

    ``None`` means the default model: ``$GPTME_MODEL`` or ``$MODEL``, else ``[models] default``,
    else the only provider with a ``default_model``, else the embedded model if it is installed and
    no provider is configured (the first two as in gptme 0.35). Raises :class:`MissingModelError` if
    there is no such model, or for a provider's bare name without a ``default_model``;
    :class:`UnknownProviderError` for the bare name of a known provider that is not configured; and
    :class:`ConfigError` for ``local/...`` if no base URL is set.
    """
    config = load_config() if config is None else config
    if not model:
        model = choose_model(config)
    if ours := _provider_model(model, config):
        return ours
    if aliased := _alias(model, config):
        return resolve(aliased, config)
    name, slash, rest = model.partition("/")
    if name == LOCAL:
        if rest:
            return Resolution(local_provider(config), rest)
        raise MissingModelError("local needs a model, as in local/llama3.2")
    if name == EMBEDDED:
        return Resolution(None, rest or EMBEDDED, embedded=True)
    if not slash:
        _refuse_bare_provider(model, config)
    return Resolution(None, model)


def _provider_model(model: str, config: Config) -> Resolution | None:
    """Return what ``model`` means where it names a configured provider, else ``None``."""
    exact = config.find(model)
    if exact is not None:
        if exact.default_model:
            return _with_mode(exact, exact.default_model, config)
        raise MissingModelError(
            f"provider {exact.name!r} has no default_model: name one, as in {exact.name}/MODEL "
            f"(`adapter models {exact.name}` lists them), or add default_model to its "
            "[[providers]] table"
        )
    name, slash, rest = model.partition("/")
    named = config.find(name) if slash else None
    if named is None:
        return None
    if rest:
        return _with_mode(named, rest, config)
    raise MissingModelError(f"{model!r} names no model: write {name}/MODEL")


def _alias(name: str, config: Config) -> str | None:
    """Return the model that ``name`` stands for in ``model_group_alias``, as for LiteLLM's Router.

    ``None`` where it is no alias, or stands for another: the Router does not follow that either.
    """
    aliases = config.settings.get("router_settings", {}).get("model_group_alias")
    if not isinstance(aliases, Mapping):
        return None
    model = aliases.get(name)
    if isinstance(model, Mapping):  # {model = "...", hidden = true}
        model = model.get("model")
    return model if isinstance(model, str) and model not in aliases else None


def aliases(config: Config) -> dict[str, str]:
    """Return the names in ``model_group_alias`` that are model strings, with what each stands for.

    Without those that a provider's name hides.
    """
    table = config.settings.get("router_settings", {}).get("model_group_alias")
    models = {name: _alias(name, config) for name in table or ()}
    return {
        name: model
        for name, model in models.items()
        if model and not (config.find(name) or config.find(name.partition("/")[0]))
    }


def _with_mode(provider: Provider, model: str, config: Config) -> Resolution:
    return Resolution(
        provider, model, mode=config.models.get(f"{provider.name}/{model}", {}).get("mode")
    )


def _refuse_bare_provider(name: str, config: Config) -> None:
    """Raise :class:`UnknownProviderError` for a known provider's name, which is no model's.

    LiteLLM would be imported, in seconds, to fail with an ``IndexError``.
    """
    from adapter.config.presets import PRESETS
    from adapter.upstream.prefixes import is_litellm_provider  # a table that most need not

    if name in PRESETS or is_litellm_provider(name):
        raise UnknownProviderError(name, (p.name for p in config.providers))


def local_provider(config: Config) -> Provider:
    """Return gptme's ``local`` provider, which lives in environment variables alone."""
    for variable in ("OPENAI_API_BASE", "OPENAI_BASE_URL"):
        url = config.getenv(variable)
        if url:
            if fault := base_url_fault(url):
                raise ConfigError(f"${variable}: {fault[0]}; {fault[1]}")
            break
    else:
        raise ConfigError(
            "local/... needs OPENAI_BASE_URL: export OPENAI_BASE_URL=http://localhost:11434/v1, "
            "or add a [[providers]] table for the server"
        )
    table = {"OPENAI_API_KEY": LOCAL_KEY, **{k: v for k, v in config.env.items() if v.strip()}}
    return Provider(name=LOCAL, base_url=url, api_key_env="OPENAI_API_KEY", env=table)


def choose_model(config: Config, environ: Mapping[str, str] | None = None) -> str:
    """Return the model to use when none is named.

    The variable ``GPTME_MODEL`` or ``MODEL``, else ``[models].default`` (gptme 0.35's order), else
    the only provider that has a ``default_model``, else, where no provider is configured, the
    embedded model if it is installed. Raises :class:`MissingModelError`, which shows how to choose.
    """
    chosen = config.getenv("MODEL", environ) or config.default_model
    if chosen:
        return chosen
    ready = [p.name for p in config.providers if p.default_model]
    if len(ready) == 1:
        return ready[0]
    from adapter import embedded  # 6 ms, which only this way needs

    if not config.providers and embedded.is_available():
        return EMBEDDED
    choices = ", ".join(ready) or "none is configured"
    begin = "" if config.providers else ". To begin: adapter providers add groq"
    raise MissingModelError(
        "no model was named. Name one (-m PROVIDER or -m PROVIDER/MODEL; providers with a default "
        f"model: {choices}), or set a default: adapter models default PROVIDER{begin}"
    )

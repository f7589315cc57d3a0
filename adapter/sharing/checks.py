"""What only ``adapter config check`` asks of a configuration, beyond what loading it checks.

The tables of LiteLLM's prefixes and its list of models take longer to read than a configuration
may take to load.
"""

from __future__ import annotations

from collections.abc import Iterator

from adapter._text import did_you_mean
from adapter.call.resolution import EMBEDDED, LOCAL
from adapter.call.router_settings import resolve_settings
from adapter.config.files import OURS, documents
from adapter.config.loading import Config
from adapter.errors import Problem
from adapter.sharing.naming import GPTME_BUILTIN
from adapter.upstream.prefixes import ROUTER_SETTINGS, is_litellm_model

__all__ = ["check_default_model", "check_router_settings"]


def check_default_model(config: Config) -> Iterator[Problem]:
    """Yield a warning when ``[models] default`` names a provider that nobody has.

    Nothing is said about a name that LiteLLM may know.
    """
    model = config.default_model
    if not model or config.find(model):
        return
    head = model.partition("/")[0]
    if config.find(head) or head in {LOCAL, EMBEDDED} | GPTME_BUILTIN or is_litellm_model(model):
        return
    if model in config.settings.get("router_settings", {}).get("model_group_alias", ()):
        return  # a gateway knows it
    hint = did_you_mean(head, [p.name for p in config.providers])
    message = f"models.default is {model!r}, but no provider is named {head!r}{hint}"
    yield from _warning(
        config, ("models", "default"), message, "correct the name, or add the provider"
    )


def check_router_settings(config: Config) -> Iterator[Problem]:
    """Yield a warning for each setting that :func:`adapter.router` leaves out."""
    for setting in resolve_settings(config, ROUTER_SETTINGS)[1]:
        what = f"plugin.litellm.router_settings.{setting.name} {setting.why}"
        path = (*OURS, "router_settings", setting.path[0])
        yield from _warning(config, path, f"{what}: a Router is made without it", setting.fix)


def _warning(config: Config, path: tuple[str, ...], message: str, fix: str) -> Iterator[Problem]:
    """Yield a warning at the place of ``path`` in the last file that has it, read anew for that."""
    giving = (d for d in documents(reversed(config.files)) if d.at(*path) is not None)
    if (document := next(giving, None)) is not None:
        yield Problem(document.path, document.line(*path), None, message, fix, warning=True)

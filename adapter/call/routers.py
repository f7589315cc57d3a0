"""A LiteLLM Router over the configured providers."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from adapter.call.overrides import translate_deployments
from adapter.call.router_settings import resolve_settings
from adapter.call.translation import model_list, reply_limits
from adapter.config.loading import load_config
from adapter.upstream.loading import load_litellm
from adapter.upstream.routers import make_router, setting_names

if TYPE_CHECKING:
    import litellm

__all__ = ["router"]


def router(*, providers: Iterable[str] | None = None, **kwargs: Any) -> litellm.Router:
    """Return a ``litellm.Router`` over all configured providers, or over those named.

    The router offers each provider as ``name`` (its default model) and ``name/<model id>``.
    ``kwargs`` are the Router's own arguments and win over ``[plugin.litellm.router_settings]``. A
    ``model_list`` among them replaces the providers; each ``litellm_params.model`` in it is
    translated. ``os.environ/VAR`` in the configured settings is resolved. Settings that LiteLLM's
    proxy would not pass on to its Router are left out with a :class:`UserWarning`.

    Reads the keys now, and imports LiteLLM, which takes seconds. Raises what
    :func:`adapter.model_list` raises.
    """
    config = load_config()
    load_litellm()  # before keys are read: LiteLLM's import may load variables from ./.env
    entries = kwargs.pop("model_list", None)
    deployments = (
        model_list(config, providers) if entries is None else translate_deployments(entries, config)
    )
    settings, refused = resolve_settings(config, setting_names())
    for setting in refused:
        if setting.path[0] not in kwargs:
            what = f"plugin.litellm.router_settings.{setting.name} {setting.why}"
            warnings.warn(f"left out: {what}; {setting.fix}", stacklevel=2)
    made: litellm.Router = make_router(deployments, {**settings, **kwargs}, reply_limits(config))
    return made

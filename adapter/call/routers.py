"""A LiteLLM Router over the configured providers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from adapter.call.overrides import translate_deployments
from adapter.call.translation import PREFIX, model_list
from adapter.config.loading import load_config
from adapter.upstream.clients import private_client
from adapter.upstream.loading import load_litellm
from adapter.upstream.redirects import guard_redirects

if TYPE_CHECKING:
    import litellm

__all__ = ["router"]


def router(*, providers: Iterable[str] | None = None, **kwargs: Any) -> litellm.Router:
    """Return a ``litellm.Router`` over all configured providers, or over those named.

    Each is reachable as ``name`` (its default model) and ``name/<model id>``. ``kwargs`` are the
    Router's own and win over ``[plugin.litellm.router_settings]``; a ``model_list`` among them is
    used instead, each ``litellm_params.model`` in it translated. Keys are read now. Raises what
    :func:`adapter.model_list` raises.
    """
    config = load_config()
    load_litellm()  # before keys are read: LiteLLM's import may load variables from ./.env
    entries = kwargs.pop("model_list", None)
    deployments = (
        model_list(config, providers) if entries is None else translate_deployments(entries, config)
    )
    for entry in deployments:
        if base_url := entry["litellm_params"].get("api_base"):
            guard_redirects(str(base_url))
    settings = {**config.settings.get("router_settings", {}), **kwargs}
    settings.pop("model_list", None)
    made: litellm.Router = _router_class()(model_list=deployments, **settings)
    return made


@cache
def _router_class() -> Any:
    base = load_litellm().Router

    class Router(base):  # type: ignore[misc, valid-type]  # LiteLLM is imported only when called
        """LiteLLM's Router, whose clients do not carry ``OPENAI_*`` headers to other hosts."""

        def _get_client(self, deployment: Any, kwargs: Any, client_type: str | None = None) -> Any:
            made = super()._get_client(deployment, kwargs, client_type)
            params = deployment["litellm_params"]
            ours = params.get("api_base") and str(params.get("model")).startswith(f"{PREFIX}/")
            if made is not None or client_type == "max_parallel_requests" or not ours:
                return made
            return private_client(params, is_async=client_type == "async")

    return Router

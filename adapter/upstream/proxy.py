"""LiteLLM's proxy: its ASGI application, and the one setting of a call that it has no word for."""

from __future__ import annotations

import gc
import sys
from typing import Any

from adapter.upstream.clients import REQUEST_SECONDS
from adapter.upstream.loading import keep_off_huggingface

__all__ = ["limit_connecting", "proxy_app", "refused_fields"]

CONNECT_SECONDS = 10.0
"""How long a connection to a provider may take, as in a query of the command."""


def proxy_app() -> Any:
    """Import LiteLLM's proxy, which takes seconds, and return its ASGI application.

    It reads ``$CONFIG_FILE_PATH`` when its lifespan begins.
    """
    path = list(sys.path)
    gc.disable()  # an import makes many objects and no garbage
    import litellm
    from litellm.proxy.proxy_server import app

    gc.enable()
    gc.freeze()
    sys.path[:] = path  # LiteLLM's import puts folders on it
    keep_off_huggingface(litellm)  # before its configuration is read, which may say otherwise
    return app


def limit_connecting() -> None:
    """Give each connection to a provider at most ``CONNECT_SECONDS`` of a call's time.

    To be called when the proxy has read its configuration, which replaces the callbacks.
    """
    import httpx
    import litellm
    from litellm.integrations.custom_logger import CustomLogger

    class ConnectLimit(CustomLogger):  # type: ignore[misc]  # LiteLLM is not type-checked
        async def async_pre_call_deployment_hook(
            self, kwargs: dict[str, Any], call_type: Any
        ) -> dict[str, Any]:
            seconds = kwargs.get("timeout") or REQUEST_SECONDS
            if isinstance(seconds, int | float):
                kwargs["timeout"] = httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
            return kwargs

    litellm.callbacks.append(ConnectLimit())


def refused_fields() -> frozenset[str]:
    """Return the fields of a request that LiteLLM's proxy refuses, with a traceback in its log.

    Private, and so empty where a release has another name for it: LiteLLM then refuses them alone.
    """
    from litellm.proxy.auth import auth_utils

    return frozenset(getattr(auth_utils, "_BANNED_REQUEST_BODY_PARAMS", ()))

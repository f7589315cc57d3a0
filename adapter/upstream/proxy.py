"""LiteLLM's proxy: its ASGI application, and how its calls are sent."""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from adapter._install import install_extra
from adapter.errors import GatewayError
from adapter.keys.precedence import PLACEHOLDER_KEY
from adapter.upstream.clients import REQUEST_SECONDS, bind_client
from adapter.upstream.http import http_handler
from adapter.upstream.loading import keep_off_huggingface

__all__ = ["proxy_app", "refused_fields"]

CONNECT_SECONDS = 10.0
"""How long a connection to a provider may take, as in a query of the command."""


NO_ROUTE = (404, 405, 501)
"""What a server answers where it has no such route."""


def proxy_app(limits: Mapping[str, int]) -> Any:
    """Import LiteLLM's proxy, which takes seconds, and return its ASGI application.

    ``limits`` are the lengths of replies in bytes, by base, where they are not the usual one.
    It reads ``$CONFIG_FILE_PATH`` when its lifespan begins, which replaces LiteLLM's callbacks:
    ours are added then. Raises :class:`GatewayError` where this LiteLLM has no such proxy.
    """
    path = list(sys.path)
    gc.disable()  # an import makes many objects and no garbage
    import litellm

    try:
        from litellm.proxy.proxy_server import app
    except ImportError as error:
        raise GatewayError(
            f"the proxy of LiteLLM {version('litellm')} cannot be run ({error}): "
            f"{install_extra('gateway')} takes one that can"
        ) from error
    gc.enable()
    gc.freeze()
    sys.path[:] = path  # LiteLLM's import puts folders on it
    keep_off_huggingface(litellm)  # before its configuration is read, which may say otherwise

    async def app_with_callbacks(scope: Any, receive: Any, send: Any) -> None:
        async def pass_on(message: Any) -> None:
            if message["type"] == "lifespan.startup.complete":
                _send_with_own_clients(limits)
            await send(message)

        await app(scope, receive, pass_on if scope["type"] == "lifespan" else send)

    return app_with_callbacks


def _send_with_own_clients(limits: Mapping[str, int]) -> None:
    """Send the proxy's calls with clients of ours, and connect within ``CONNECT_SECONDS``."""
    import httpx
    import litellm
    from litellm.integrations.custom_logger import CustomLogger

    class OwnClients(CustomLogger):  # type: ignore[misc]  # LiteLLM is not type-checked
        async def async_pre_call_deployment_hook(
            self, kwargs: dict[str, Any], call_type: Any
        ) -> dict[str, Any]:
            seconds = kwargs.get("timeout") or REQUEST_SECONDS
            if isinstance(seconds, int | float):
                kwargs["timeout"] = httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
            function = getattr(call_type, "value", "")
            if function and kwargs.get("api_base") and "/" in str(kwargs.get("model")):
                mode = (kwargs.get("model_info") or {}).get("mode")
                asks_responses = function == "aresponses" and mode != "responses"
                if asks_responses and not await _has_responses(kwargs):
                    function = "acompletion"  # which LiteLLM calls then, with the same client
                    kwargs["use_chat_completions_api"] = True
                limit = limits.get(str(kwargs["api_base"]))
                bind_client(kwargs, function, is_async=True, mode=mode, max_bytes=limit)
            return kwargs

    litellm.callbacks.append(OwnClients())


_lacks_responses: dict[str, bool] = {}


async def _has_responses(kwargs: Mapping[str, Any]) -> bool:
    """Return whether a server has the route ``/responses``; it is asked once.

    An empty request, with the provider's key, since many servers look at that first, is wrong where
    there is such a route, and not found elsewhere. One that cannot be asked counts as having it.
    """
    base_url = str(kwargs["api_base"])
    if base_url not in _lacks_responses:
        headers = {"Authorization": f"Bearer {kwargs.get('api_key') or PLACEHOLDER_KEY}"}
        headers.update(kwargs.get("extra_headers") or {})
        client = http_handler(base_url, is_async=True).client
        try:
            reply = await client.post(
                f"{base_url}/responses", json={}, headers=headers, timeout=CONNECT_SECONDS
            )
        except Exception:  # noqa: BLE001 - the call itself says what is wrong
            return True
        _lacks_responses[base_url] = reply.status_code in NO_ROUTE
    return not _lacks_responses[base_url]


def refused_fields() -> frozenset[str]:
    """Return the fields of a request that LiteLLM's proxy refuses, with a traceback in its log.

    Private, and so empty where a release has another name for it: LiteLLM then refuses them alone.
    """
    try:
        from litellm.proxy.auth import auth_utils
    except ImportError:
        return frozenset()
    return frozenset(getattr(auth_utils, "_BANNED_REQUEST_BODY_PARAMS", ()))

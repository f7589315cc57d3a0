"""LiteLLM's Router, whose calls are sent with clients of ours."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache, wraps
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

from adapter.errors import AdapterError
from adapter.upstream.clients import NO_BRIDGE, bind_client
from adapter.upstream.loading import load_litellm
from adapter.upstream.prefixes import ROUTER_SETTINGS

__all__ = ["make_router", "setting_names"]

CALLS = frozenset(
    {
        *("completion", "text_completion", "embedding", "responses", "moderation"),
        *("image_generation", "transcription", "speech"),
    }
)
"""LiteLLM's functions that send a request; each has a twin with an ``a`` before its name."""


def make_router(
    deployments: list[dict[str, Any]], settings: Mapping[str, Any], limits: Mapping[str, int]
) -> Any:
    """Return a ``litellm.Router`` over ``deployments``, made with the Router's own ``settings``.

    ``limits`` are the lengths of replies in bytes, by base, where they are not the usual one.
    From 1.110 on LiteLLM's Router takes no subclass and asks a host object for the function to
    call; before that it asks itself for the client. Raises :class:`AdapterError` where the
    installed LiteLLM does neither: without our clients ``OPENAI_*`` headers would go to every host.
    """
    litellm = load_litellm()
    arguments = {"model_list": deployments, **settings}
    try:
        from litellm.router import router_arguments
        from litellm.router_config import build_router_config
        from litellm.router_python_host import PythonHost
    except ImportError:
        if not hasattr(litellm.Router, "_get_client"):
            raise AdapterError(
                f"router() does not work with LiteLLM {version('litellm')}, whose Router has "
                "changed: install litellm<1.111, or a newer gptme-litellm"
            ) from None
        made = _router_class(litellm.Router)(**arguments)
        made.limits = limits
        return made
    config = build_router_config(router_arguments(**arguments))
    return litellm.Router.from_config(config, host=_host(PythonHost, limits))


def setting_names() -> frozenset[str]:
    """Return the Router's arguments that LiteLLM's proxy takes from ``router_settings``."""
    return ROUTER_SETTINGS & set(inspect.signature(load_litellm().Router).parameters)


def _is_ours(params: Mapping[str, Any]) -> bool:
    return bool(params.get("api_base")) and str(params.get("model")).startswith("openai/")


@cache
def _router_class(base: Any) -> Any:
    class Router(base):  # type: ignore[misc]  # LiteLLM is imported only when called
        """LiteLLM's Router before 1.110."""

        limits: Mapping[str, int] = MappingProxyType({})

        def _get_client(self, deployment: Any, kwargs: Any, client_type: str | None = None) -> Any:
            made = super()._get_client(deployment, kwargs, client_type)
            params = dict(deployment["litellm_params"])
            if str(params.get("model")).endswith("*"):  # a wildcard: the id is the caller's
                params["model"] = kwargs.get("model", params["model"])
            if made is not None or client_type == "max_parallel_requests" or not _is_ours(params):
                return made
            # the messages of a chat completion are among the arguments by now
            function = "completion" if "messages" in kwargs else "router"
            limit = self.limits.get(str(params["api_base"]))
            bind_client(params, function, client_type == "async", max_bytes=limit)
            if NO_BRIDGE in params:
                kwargs[NO_BRIDGE] = True  # they go on to LiteLLM's function
            return params["client"]

    return Router


def _host(base: Any, limits: Mapping[str, int]) -> Any:
    class Host(base):  # type: ignore[misc]  # as above
        """What LiteLLM's Router from 1.110 on asks for the function that makes a call."""

        __slots__ = ()

        def invoke(self, op: str) -> Any:
            function = super().invoke(op)
            return _bound(function, op, limits) if op.removeprefix("a") in CALLS else function

    return Host()


def _bound(
    function: Callable[..., Any], name: str, limits: Mapping[str, int]
) -> Callable[..., Any]:
    """Return LiteLLM's ``function`` with a client of ours for calls to a base of their own."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if _is_ours(kwargs):
            limit = limits.get(str(kwargs["api_base"]))
            bind_client(kwargs, name, name.startswith("a"), max_bytes=limit)
        return function(*args, **kwargs)

    return call

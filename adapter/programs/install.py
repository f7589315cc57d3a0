"""Make LiteLLM's own functions understand our model strings, in every framework that calls them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from types import FunctionType, TracebackType
from typing import Any

from adapter._locks import ForkSafeLock
from adapter.call.drop_ins import FUNCTIONS, drop_in
from adapter.call.overrides import translate_deployments
from adapter.call.resolution import EMBEDDED, resolve
from adapter.call.translation import reply_limits
from adapter.config.loading import load_config
from adapter.programs.model_info import Registrations
from adapter.upstream.clients import bind_client
from adapter.upstream.exchange import Exchange, calling_module, helpers, named, router_init
from adapter.upstream.loading import load_litellm
from adapter.upstream.results import separate_cache

__all__ = ["Installation", "install", "installed"]

MARK = "gptme_provider"
"""In the ``model_info`` of a Router's deployment: its parameters are of a provider of ours."""

POOLS = ("concurrent.futures", "asyncio", "threading")
"""Modules that call for others; who that is, a context variable knows."""

_inside: ContextVar[bool] = ContextVar("adapter_install_inside", default=False)
"""Whether a call of one of LiteLLM's functions is under way: those that it makes are its own."""


class _TranslatedModel(str):
    """A model that was translated already, for threads of LiteLLM's that have no context."""

    __slots__ = ()


class _State:
    """What is exchanged now, and the tokens of the installations that it is for."""

    def __init__(self) -> None:
        self.lock = ForkSafeLock()
        self.exchanges: list[Exchange] = []
        self.registrations = Registrations()
        self.tokens: set[object] = set()

    def end(self, token: object) -> None:
        """End one installation; with the last one all code is as it was."""
        if token not in self.tokens:
            return
        self.tokens.remove(token)
        if not self.tokens:
            while self.exchanges:
                self.exchanges.pop().undo()
            self.registrations.remove()


_state: _State = globals().get("_state") or _State()  # a reload of this module keeps it


class Installation:
    """The effect of :func:`install`, until :meth:`undo` or the end of a ``with`` block.

    If several overlap, LiteLLM's functions are restored when the last one ends. Undoing one twice
    has no effect.
    """

    def __init__(self) -> None:
        load_litellm()
        self._token = object()
        with _state.lock:
            _state.tokens.add(self._token)
            try:
                _exchange_all()
            except BaseException:
                _state.end(self._token)
                raise

    def undo(self) -> None:
        """Restore LiteLLM's functions, unless another installation is still in effect."""
        with _state.lock:
            _state.end(self._token)

    def __enter__(self) -> Installation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.undo()


def install() -> Installation:
    """Let LiteLLM's own functions take our model strings, until the result is undone.

    This concerns LiteLLM's functions with the names of our drop-in functions,
    ``litellm.Router(model_list=...)`` and LiteLLM's helpers (``supports_*``, ``get_model_info``,
    ...), even in code that has imported them already. LiteLLM still handles a call that names
    ``custom_llm_provider=``, and a call of any other model. Imports LiteLLM, which takes seconds.
    Returns an :class:`Installation`; used in a ``with`` block, it is undone at the end of it.
    """
    return Installation()


def installed() -> bool:
    """Return whether an installation is in effect."""
    return bool(_state.tokens)


def _exchange_all() -> None:
    """Exchange what is not exchanged yet; after a reload of LiteLLM there are new functions."""
    present = {id(e.function) for e in _state.exchanges if e.holds}

    def exchange(functions: Iterable[FunctionType], serve: Callable[..., Any]) -> None:
        for function in functions:
            if id(function) not in present:
                _state.exchanges.append(Exchange(function, serve))
                present.add(id(function))

    for name in FUNCTIONS:
        exchange(named(name), partial(_serve_call, name))
    exchange(helpers(), _serve_helper)
    exchange([router_init()], _serve_router)


def _serve_call(
    name: str, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Answer a call of ``litellm.<name>``; a coroutine for an asynchronous function."""
    module = calling_module(3)
    function = FUNCTIONS[name]
    info = kwargs.get("model_info")
    serve = original
    if isinstance(info, Mapping) and MARK in info:  # of a Router's deployment
        separate_cache(kwargs, str(info[MARK]))
        limit = reply_limits(load_config()).get(str(kwargs.get("api_base")))
        bind_client(kwargs, name, function.is_async, info.get("mode"), limit)
    elif module.startswith("adapter.") and name == "batch_completion":
        kwargs["model"] = _TranslatedModel(kwargs.get("model"))
    elif _is_callers(module, kwargs):
        serve = drop_in(name)
    return (_within_async if function.is_async else _within)(serve, args, kwargs)


def _is_callers(module: str, kwargs: Mapping[str, Any]) -> bool:
    """Whether a call from ``module`` is not one of LiteLLM's own, whose model is LiteLLM's."""
    if not _state.tokens or kwargs.get("custom_llm_provider"):
        return False
    if isinstance(kwargs.get("model"), _TranslatedModel):
        return False
    if module.startswith(("adapter.", "litellm.router")):
        return False
    return not _inside.get() or not (_is_litellm(module) or module.startswith(POOLS))


def _is_litellm(module: str) -> bool:
    return module == "litellm" or module.startswith("litellm.")


def _within(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call ``function``; what LiteLLM calls meanwhile is its own."""
    token = _inside.set(True)
    try:
        return function(*args, **kwargs)
    finally:
        _inside.reset(token)


async def _within_async(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    token = _inside.set(True)
    try:
        return await function(*args, **kwargs)
    finally:
        _inside.reset(token)


def _serve_helper(
    original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Answer one of LiteLLM's helpers, by the name under which LiteLLM knows the model."""
    module = calling_module(3)
    if _state.tokens and not _is_litellm(module) and not module.startswith("adapter."):
        with suppress(TypeError):  # wrong arguments: LiteLLM says so
            given = inspect.signature(original).bind_partial(*args, **kwargs).arguments
            if translated := _state.registrations.translate(original.__name__, given):
                return original(**translated)
    return original(*args, **kwargs)


def _serve_router(
    original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Make a ``litellm.Router`` whose deployments are ours where their model is."""
    if _state.tokens and not calling_module(3).startswith("adapter."):
        if len(args) > 1:
            args = (args[0], _deployments(args[1]), *args[2:])
        elif kwargs.get("model_list"):
            kwargs["model_list"] = _deployments(kwargs["model_list"])
    original(*args, **kwargs)


def _deployments(entries: Iterable[Any]) -> list[Any]:
    """Return a Router's ``model_list`` with our parameters for each entry whose model is ours."""
    return [_deployment(entry) if isinstance(entry, Mapping) else entry for entry in entries]


def _deployment(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    params = entry.get("litellm_params")
    model = params.get("model") if isinstance(params, Mapping) else None
    if not isinstance(params, Mapping) or not isinstance(model, str):
        return entry
    if params.get("custom_llm_provider"):
        return entry
    meaning = resolve(model)
    if meaning.provider is None and not meaning.embedded:
        return entry
    name = meaning.provider.name if meaning.provider else EMBEDDED
    told = load_config().models.get(f"{name}/{meaning.model}", {})
    info = {**told, **(entry.get("model_info") or {}), MARK: name}
    return {**translate_deployments([entry])[0], "model_info": info}

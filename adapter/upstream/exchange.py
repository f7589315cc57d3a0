"""LiteLLM's own functions with other code in them, which serves every reference to them.

To replace ``litellm.completion`` misses who has imported the function before, and keeps it as a
default argument, an attribute or a partial. Here the function object stays, with its identity,
signature and pickling, and its ``__code__`` is exchanged (Python's data model: it can be written).
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from adapter.upstream.loading import load_litellm

__all__ = ["Exchange", "calling_module", "helpers", "named", "router_init"]

Serve = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""What answers in a function's place. It gets the function as it was, and the arguments."""

_SOURCE = """
def enclose({cells}):
    {kind}def stand_in(*args, **kwargs):
        ({cells})
        from adapter.upstream.exchange import served
        {begin}served[{index}].answer(args, kwargs)
    return stand_in.__code__
"""


class _Served(NamedTuple):
    function: Any
    original: Callable[..., Any]
    serve: Serve

    def answer(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.serve(self.original, args, kwargs)


served: list[_Served] = globals().get("served", [])
"""All that was ever exchanged, once: a call under way may ask for it after the end. It outlives a
reload of this module."""


class Exchange:
    """One function whose code is exchanged until :meth:`undo`.

    An asynchronous function stays one: ``serve`` returns a coroutine then.
    """

    def __init__(self, function: FunctionType, serve: Serve) -> None:
        self.function = function
        self.code = function.__code__
        self.signature = inspect.signature(function)
        original = FunctionType(
            function.__code__,
            function.__globals__,
            function.__name__,
            function.__defaults__,
            function.__closure__,
        )
        original.__kwdefaults__ = function.__kwdefaults__
        same = (n for n, entry in enumerate(served) if entry.function is function)
        index = next(same, len(served))
        served[index : index + 1] = [_Served(function, original, serve)]
        self._stand_in = _stand_in(function, index)
        self._own_signature = vars(function).get("__signature__")  # as that of a Router from 1.110
        if not hasattr(function, "__wrapped__"):  # else its signature is that one's
            function.__signature__ = self.signature  # type: ignore[attr-defined]  # PEP 362
        function.__code__ = self._stand_in

    @property
    def holds(self) -> bool:
        """Whether the function has our code now."""
        return self.function.__code__ is self._stand_in

    def undo(self) -> None:
        """Give the function its code back, unless somebody else has changed it since."""
        if self.holds:
            self.function.__code__ = self.code
            vars(self.function).pop("__signature__", None)
            if self._own_signature is not None:
                self.function.__signature__ = self._own_signature  # type: ignore[attr-defined]  # PEP 362


def _stand_in(function: FunctionType, index: int) -> CodeType:
    """Return code for ``function`` that looks up ``index`` and takes any arguments.

    It has the function's free variables, which Python requires, and is a coroutine's where the
    function's is.
    """
    is_async = inspect.iscoroutinefunction(function)
    text = _SOURCE.format(
        cells=", ".join(function.__code__.co_freevars),
        kind="async " if is_async else "",
        begin="return await " if is_async else "return ",
        index=index,
    )
    names: dict[str, Any] = {}
    exec(compile(text, __file__, "exec"), names)
    code: CodeType = names["enclose"](*function.__code__.co_freevars)
    own = function.__code__  # what inspect.getsource, tracebacks and debuggers go by
    shown = ("co_name", "co_qualname", "co_filename", "co_firstlineno")
    return code.replace(**{name: getattr(own, name) for name in shown if hasattr(own, name)})


def router_init() -> FunctionType:
    """Return the function that makes a ``litellm.Router``, whatever its parameters are."""
    function: FunctionType = vars(load_litellm().Router)["__init__"]
    return function


def named(name: str) -> Iterator[FunctionType]:
    """Yield ``litellm.<name>`` and, where that calls another one, the function of its module.

    ``litellm.completion`` is ``litellm.main.completion`` up to 1.107, and calls it since.
    """
    function: Any = getattr(load_litellm(), name, None)
    inner: Any = getattr(function, "__wrapped__", None)
    module = sys.modules.get(getattr(inner, "__module__", ""))
    is_called = inner is not None and getattr(module, name, None) is inner
    for found in (function, inner) if is_called else (function,):
        if isinstance(found, FunctionType):
            yield found


def helpers() -> Iterator[FunctionType]:
    """Yield LiteLLM's functions that tell what a model can do, and what it costs."""
    litellm = load_litellm()
    from litellm import utils

    names = (n for n in dir(utils) if n.startswith("supports_"))
    told = ("get_supported_openai_params", "get_model_info", "get_max_tokens", "token_counter")
    for name in (*names, *told, "completion_cost"):
        function: Any = getattr(utils, name, None) or getattr(litellm, name, None)
        if isinstance(function, FunctionType) and "model" in inspect.signature(function).parameters:
            yield function


def calling_module(depth: int) -> str:
    """Return the name of the module that called, ``depth`` frames above the caller of this."""
    frame = sys._getframe(depth + 1)
    return str(frame.f_globals.get("__name__", ""))

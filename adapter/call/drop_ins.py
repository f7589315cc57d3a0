"""The drop-in functions: LiteLLM's own, with our model strings understood.

One mechanism serves them all, and none restates LiteLLM's parameters: positional arguments are
named by LiteLLM's signature, the model string is translated, and LiteLLM's function is called.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from adapter.call.attempts import Function, Plan
from adapter.call.overrides import translate_deployments
from adapter.upstream.loading import load_litellm

__all__ = ["FUNCTIONS", "drop_in"]


def _pair(name: str, own_signature: bool = False, **traits: bool) -> list[Function]:
    twin = f"a{name}"
    return [
        Function(name, name, **traits),
        Function(twin, twin if own_signature else name, is_async=True, **traits),
    ]


FUNCTIONS: Mapping[str, Function] = {
    function.name: function
    for function in (
        *_pair("completion", own_signature=True, default_model=True),
        *_pair("text_completion"),
        *_pair("embedding"),
        *_pair("responses", own_signature=True, sdk=False),
        *_pair("image_generation"),
        *_pair("transcription"),
        *_pair("speech", keeps_request=True),
        Function("moderation", "moderation"),
        Function("amoderation", "amoderation", is_async=True),
        Function("batch_completion", "batch_completion", default_model=True),
    )
}
"""The drop-in functions by name. Their parameters, results and errors are LiteLLM's."""


def drop_in(name: str) -> Callable[..., Any]:
    """Return the drop-in for ``litellm.<name>``: same arguments, same result, same exceptions.

    The model may be a provider's name or ``provider/model``. Besides LiteLLM's exceptions, which
    keep their type and gain a note, it raises the errors of :mod:`adapter.errors`.
    """
    function = FUNCTIONS[name]
    make = _async if function.is_async else _batch if name == "batch_completion" else _sync
    made = make(function)
    made.__name__ = made.__qualname__ = name
    made.__module__ = "adapter"  # where it is public, so that it can be pickled
    made.__signature__ = _Signature(function.signature)  # type: ignore[attr-defined]  # PEP 362
    made.__doc__ = (
        f"``litellm.{name}`` for gptme's providers: same arguments, result and exceptions.\n\n"
        "``model`` may be a provider's name or ``provider/model``. Any other model goes to\n"
        "LiteLLM untouched. Arguments of the call win over the configuration."
    )
    return made


class _Signature(inspect.Signature):
    """The signature of a LiteLLM function; LiteLLM is imported when somebody looks at it."""

    __slots__ = ("_function",)

    def __init__(self, function: str) -> None:
        super().__init__()
        self._function = function

    @property
    def _theirs(self) -> inspect.Signature:
        return inspect.signature(getattr(load_litellm(), self._function))

    @property
    def parameters(self) -> MappingProxyType[str, inspect.Parameter]:
        return self._theirs.parameters

    @property
    def return_annotation(self) -> Any:
        return self._theirs.return_annotation

    def replace(self, **changes: Any) -> inspect.Signature:  # type: ignore[override]  # any change
        return self._theirs.replace(**changes)


def _sync(function: Function) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        litellm_function = getattr(load_litellm(), function.name)
        plan = Plan(function, _arguments(function, args, kwargs))
        while True:
            try:
                return plan.finish(litellm_function(**plan.next()))
            except BaseException as error:
                plan.record(error)
                if plan.exhausted:
                    raise

    return call


def _async(function: Function) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        litellm_function = getattr(load_litellm(), function.name)
        plan = Plan(function, _arguments(function, args, kwargs))
        while True:
            try:
                return plan.finish(await litellm_function(**plan.next()))
            except BaseException as error:
                plan.record(error)
                if plan.exhausted:
                    raise

    return call


def _batch(function: Function) -> Callable[..., Any]:
    """Return ``batch_completion``, which returns errors; only those prompts go to a fallback."""

    def call(*args: Any, **kwargs: Any) -> list[Any]:
        litellm_function = getattr(load_litellm(), function.name)
        arguments = _arguments(function, args, kwargs)
        messages = list(arguments.get("messages") or ())
        plan = Plan(function, arguments)
        results: dict[int, Any] = {}
        left = list(range(len(messages)))
        while True:
            raised = None
            try:
                params = {**plan.next(), "messages": [messages[i] for i in left]}
                answers = litellm_function(**params)
            except Exception as error:  # noqa: BLE001 - no prompt was sent; raised below, or falls back
                raised = error
                answers = [error] * len(left)
            failed = []
            for index, answer in zip(left, answers, strict=True):
                if isinstance(answer, Exception):
                    plan.note(answer)
                    failed.append(index)
                    results[index] = answer
                else:
                    results[index] = plan.finish(answer)
            if failed:
                plan.record(results[failed[0]])
            if not failed or plan.exhausted:
                if raised is not None and len(failed) == len(messages):
                    raise raised
                return [results[i] for i in range(len(messages))]
            left = failed

    return call


def _arguments(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return all arguments by name; positional ones are named by LiteLLM's own signature."""
    if args:
        names = _parameters(function.signature)
        if len(args) > len(names):
            raise TypeError(f"{function.name}() takes {len(names)} positional arguments at most")
        for name, value in zip(names, args, strict=False):
            if name in kwargs:
                raise TypeError(f"{function.name}() got multiple values for argument {name!r}")
            kwargs[name] = value
    if kwargs.get("model_list"):
        kwargs["model_list"] = translate_deployments(kwargs["model_list"])
    return kwargs


@cache
def _parameters(name: str) -> tuple[str, ...]:
    parameters = inspect.signature(getattr(load_litellm(), name)).parameters.values()
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return tuple(p.name for p in parameters if p.kind is kind)

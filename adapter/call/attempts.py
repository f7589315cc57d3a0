"""The attempts one call makes: the model asked for, then its fallbacks, each with its own key."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from adapter.call.failures import add_note, add_text
from adapter.call.overrides import call_of
from adapter.call.resolution import Resolution, resolve
from adapter.call.streams import note_stream
from adapter.call.translation import MAX_BYTES, OWN_ATTEMPTS, PREFIX, Target, target_of
from adapter.errors import AdapterError
from adapter.secrets.errors import scrub_result
from adapter.upstream.clients import bind_client
from adapter.upstream.exceptions import is_too_long
from adapter.upstream.results import count_fallbacks, separate_cache

__all__ = ["Function", "Plan"]

PRIMARY_ONLY = (
    "api_key",
    "api_base",
    "base_url",
    "client",
    "organization",
    "project",
    "custom_llm_provider",
    "extra_headers",
    "headers",
    "default_headers",
)
"""Arguments about the first provider, which must not reach a fallback's."""


class Function(NamedTuple):
    """How one LiteLLM function differs from the others.

    ``signature`` names the function whose parameters it takes (LiteLLM's async twins often say
    only ``*args, **kwargs``). ``sdk``: LiteLLM calls through the OpenAI SDK. ``default_model``: the
    configuration chooses a missing model; elsewhere LiteLLM has a default of its own.
    ``keeps_request``: the result holds the request that was sent.
    """

    name: str
    signature: str
    is_async: bool = False
    sdk: bool = True
    default_model: bool = False
    keeps_request: bool = False


def _prepare(
    params: dict[str, Any], function: Function, target: Target, resolution: Resolution
) -> None:
    """Add to LiteLLM's arguments what a call to a provider of ours needs."""
    if params["model"].startswith(f"{PREFIX}/") and function.sdk and "num_retries" in params:
        # LiteLLM's own loop retries a 401 and hides the error behind it; the SDK's is exact
        params["max_retries"] = params.pop("num_retries")
    separate_cache(params, target.name)
    limit = resolution.provider.extras.get(MAX_BYTES) if resolution.provider else None
    bind_client(params, function.name, function.is_async, resolution.mode, limit)


def _is_ours(model: Any) -> bool:
    resolution = _meaning(model)
    if resolution is None:
        return True  # only a provider of ours can be wrong in a way of ours
    return resolution.provider is not None or resolution.embedded


def _meaning(model: Any) -> Resolution | None:
    """Return what ``model`` means, or ``None`` where its attempt will say what is wrong."""
    try:
        return resolve(model)
    except AdapterError:
        return None


class Plan:
    """One call and its fallbacks, in order.

    LiteLLM's own loop hands the first provider's base and key to a fallback, cannot stream
    synchronously, and raises a plain ``Exception`` at the end. Here every attempt is a call of
    its own, to its own base with its own key, and the last error keeps its type. Where no model
    involved is one of ours, the call is left to LiteLLM whole.
    """

    model = ""
    """The model string of the present attempt, once :meth:`next` has been called."""

    target: Target | None = None
    """Where it goes, when that is a provider of ours."""

    def __init__(self, function: Function, arguments: dict[str, Any]) -> None:
        self._function = function
        self._windows: dict[str, str] = {}
        self._queue = [arguments]
        self._failures: list[str] = []
        self._handled = sys.exc_info()[1]
        self._arguments = arguments
        model = arguments.get("model")
        self._first = _meaning(model) if model else None
        provider = self._first.provider if self._first else None
        extras = provider.extras if provider else {}
        if extras or not arguments.keys().isdisjoint(OWN_ATTEMPTS):
            self._take_fallbacks(extras)

    def _take_fallbacks(self, extras: Mapping[str, Any]) -> None:
        """Take the caller's ``OWN_ATTEMPTS``, else those of the ``[plugin.litellm]`` table."""
        arguments = self._arguments
        models, wider = (
            extras.get(name) if arguments.get(name) is None else arguments[name]
            for name in OWN_ATTEMPTS
        )
        models = [models] if isinstance(models, str) else models
        fallbacks = [f if isinstance(f, dict) else {"model": f} for f in models or ()]
        windows = dict(wider or {})
        involved = [f.get("model") for f in fallbacks] + list(windows.values())
        if involved and any(map(_is_ours, (arguments.get("model"), *involved))):
            for name in OWN_ATTEMPTS:
                arguments.pop(name, None)
            self._windows = windows
            self._queue += [{**self._shared(), **f} for f in fallbacks]

    def _shared(self) -> dict[str, Any]:
        return {k: v for k, v in self._arguments.items() if k not in PRIMARY_ONLY}

    def next(self) -> dict[str, Any]:
        """Return LiteLLM's arguments for the next attempt.

        They are translated now, so that a rotated key is picked up. Raises what resolving the
        model and its key raises.
        """
        arguments = self._queue.pop(0)
        model = arguments.get("model")
        self.model, self.target = model or "", None
        if not model and not self._function.default_model:
            return arguments
        first, self._first = self._first, None
        resolution = first or resolve(model)
        target = target_of(resolution)
        if target is None:
            self.model = resolution.model
            return {**arguments, "model": resolution.model}
        params, target = call_of(target, arguments)
        _prepare(params, self._function, target, resolution)
        self.model, self.target = model or target.name, target
        return params

    def note(self, error: BaseException) -> None:
        """Note on ``error`` where the present attempt went, when that is a provider of ours."""
        if self.target is not None:
            add_note(error, self.target, self._handled)

    @property
    def exhausted(self) -> bool:
        """Whether there is no further attempt to make."""
        return not self._queue

    def record(self, error: BaseException) -> None:
        """Record that the present attempt ended with ``error``, and note on it where that went.

        A prompt that is too long adds an attempt with the model's wider one. Ctrl-C and a cancelled
        task end the plan.
        """
        self.note(error)
        model = self.model
        if not isinstance(error, Exception):
            self._queue.clear()
            return
        # each entry once: two models that name each other must not go on for ever
        if model in self._windows and is_too_long(error) and (wider := self._windows.pop(model)):
            self._queue.insert(0, {**self._shared(), "model": wider})
        if self._queue:
            self._failures.append(f"{model} ({type(error).__name__})")
        elif self._failures:
            add_text(error, f"gptme-litellm: tried before it: {', '.join(self._failures)}")

    def finish(self, result: Any) -> Any:
        """Return LiteLLM's ``result``; errors of a stream will name its provider.

        After a fallback it has LiteLLM's own ``x-litellm-attempted-fallbacks`` header.
        """
        if self.target is not None:
            note_stream(result, self.target)
            if self._function.keeps_request:
                scrub_result(result)
        if self._failures:
            count_fallbacks(result, len(self._failures))
        return result

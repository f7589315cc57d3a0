"""The attempts one call makes: the model asked for, then its fallbacks, each with its own key."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from adapter.call.failures import add_note, add_text
from adapter.call.overrides import call_of
from adapter.call.resolution import Resolution, resolve
from adapter.call.streams import note_stream
from adapter.call.translation import OWN_ATTEMPTS, PREFIX, Target, target_of
from adapter.errors import AdapterError
from adapter.secrets.errors import scrub_result
from adapter.upstream.caching import separate_cache
from adapter.upstream.clients import bind_client
from adapter.upstream.exceptions import is_too_long
from adapter.upstream.results import count_fallbacks

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
"""What a caller says about the first provider; it must not reach a fallback's."""


class Function(NamedTuple):
    """How one LiteLLM function differs from the others; the rest is common to all.

    ``signature`` names the function whose parameters it takes (LiteLLM's async twins often say
    only ``*args, **kwargs``). ``sdk`` is false where LiteLLM does not call through the OpenAI SDK.
    ``chooses`` is true where a missing model is chosen from the configuration; elsewhere LiteLLM
    has a default of its own. ``keeps`` is true where the result keeps the request that was sent.
    """

    name: str
    signature: str
    is_async: bool = False
    sdk: bool = True
    chooses: bool = False
    keeps: bool = False


def _prepare(params: dict[str, Any], function: Function, provider: str, mode: str | None) -> None:
    """Change LiteLLM's arguments to what a call of ours needs to be exact."""
    if params["model"].startswith(f"{PREFIX}/") and function.sdk and "num_retries" in params:
        # LiteLLM's own loop retries a 401 and hides the error behind it; the SDK's is exact
        params["max_retries"] = params.pop("num_retries")
    separate_cache(params, provider)
    bind_client(params, function.name, function.is_async, mode)


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

    def __init__(self, function: Function, given: dict[str, Any]) -> None:
        self._function = function
        self._windows: dict[str, str] = {}
        self._queue = [given]
        self._failed: list[str] = []
        self._handled = sys.exc_info()[1]
        self._given = given
        model = given.get("model")
        self._first = _meaning(model) if model else None
        provider = self._first.provider if self._first else None
        extras = provider.extras if provider else {}
        if extras or not given.keys().isdisjoint(OWN_ATTEMPTS):
            self._take_fallbacks(extras)

    def _take_fallbacks(self, extras: Mapping[str, Any]) -> None:
        """Take the caller's ``OWN_ATTEMPTS``, else those of the ``[plugin.litellm]`` table."""
        given = self._given
        named, wider = (
            extras.get(name) if given.get(name) is None else given[name] for name in OWN_ATTEMPTS
        )
        fallbacks = [f if isinstance(f, dict) else {"model": f} for f in named or ()]
        windows = dict(wider or {})
        involved = [f.get("model") for f in fallbacks] + list(windows.values())
        if involved and any(map(_is_ours, (given.get("model"), *involved))):
            for name in OWN_ATTEMPTS:
                given.pop(name, None)
            self._windows = windows
            self._queue += [{**self._shared(), **f} for f in fallbacks]

    def _shared(self) -> dict[str, Any]:
        return {k: v for k, v in self._given.items() if k not in PRIMARY_ONLY}

    def next(self) -> dict[str, Any]:
        """Return LiteLLM's arguments for the next attempt.

        They are translated now, so that a rotated key is picked up. Raises what resolving the
        model and its key raises.
        """
        given = self._queue.pop(0)
        model = given.get("model")
        self.model, self.target = model or "", None
        if not model and not self._function.chooses:
            return given
        first, self._first = self._first, None
        resolution = first or resolve(model)
        target = target_of(resolution)
        if target is None:
            self.model = resolution.model
            return {**given, "model": resolution.model}
        params, target = call_of(target, given)
        _prepare(params, self._function, target.name, resolution.mode)
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
        """Take down that the present attempt ended with ``error``, which is told where it went.

        A prompt that is too long adds an attempt with the model's wider one; what is no
        :class:`Exception` (Ctrl-C, a cancelled task) ends the plan.
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
            self._failed.append(f"{model} ({type(error).__name__})")
        elif self._failed:
            add_text(error, f"gptme-litellm: tried before it: {', '.join(self._failed)}")

    def finish(self, result: Any) -> Any:
        """Return LiteLLM's ``result``, made to name its provider in a stream's errors.

        After a fallback it carries LiteLLM's own ``x-litellm-attempted-fallbacks`` header.
        """
        if self.target is not None:
            note_stream(result, self.target)
            if self._function.keeps:
                scrub_result(result)
        if self._failed:
            count_fallbacks(result, len(self._failed))
        return result

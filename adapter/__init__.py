"""gptme's custom providers, everywhere LiteLLM works.

``from adapter import completion`` is a drop-in for ``litellm.completion`` whose ``model`` may be
a provider's name from gptme's configuration. Importing this package costs milliseconds: LiteLLM,
which takes seconds, is imported by the first call.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not typing's, which a query through the worker need not import

__version__: str  # read from the installed distribution on first use

if TYPE_CHECKING:
    from typing import Any

    from adapter.batches.api import abatch, batch
    from adapter.batches.progress import BatchSummary
    from adapter.call.resolution import Resolution, resolve
    from adapter.call.routers import router

    # A stub only: at run time the drop-in functions are made on first use (below).
    from adapter.call.signatures import (
        acompletion,
        aembedding,
        aimage_generation,
        amoderation,
        aresponses,
        aspeech,
        atext_completion,
        atranscription,
        batch_completion,
        completion,
        embedding,
        image_generation,
        moderation,
        responses,
        speech,
        text_completion,
        transcription,
    )
    from adapter.call.translation import model_list, translate
    from adapter.config.loading import Config, load_config
    from adapter.config.provider import Provider
    from adapter.errors import (
        AdapterError,
        ConfigError,
        EmbeddedError,
        GatewayError,
        MissingKeyError,
        MissingModelError,
        Problem,
        UnknownProviderError,
    )
    from adapter.keys.precedence import ResolvedKey
    from adapter.programs.install import Installation, install, installed

__all__ = [
    "AdapterError",
    "BatchSummary",
    "Config",
    "ConfigError",
    "EmbeddedError",
    "GatewayError",
    "Installation",
    "MissingKeyError",
    "MissingModelError",
    "Problem",
    "Provider",
    "Resolution",
    "ResolvedKey",
    "UnknownProviderError",
    "__version__",
    "abatch",
    "acompletion",
    "aembedding",
    "aimage_generation",
    "amoderation",
    "aresponses",
    "aspeech",
    "atext_completion",
    "atranscription",
    "batch",
    "batch_completion",
    "completion",
    "embedding",
    "image_generation",
    "install",
    "installed",
    "load_config",
    "model_list",
    "moderation",
    "resolve",
    "responses",
    "router",
    "speech",
    "text_completion",
    "transcription",
    "translate",
]

_HOMES = {
    "AdapterError": "errors",
    "BatchSummary": "batches.progress",
    "Config": "config.loading",
    "ConfigError": "errors",
    "EmbeddedError": "errors",
    "GatewayError": "errors",
    "Installation": "programs.install",
    "MissingKeyError": "errors",
    "MissingModelError": "errors",
    "Problem": "errors",
    "Provider": "config.provider",
    "Resolution": "call.resolution",
    "ResolvedKey": "keys.precedence",
    "UnknownProviderError": "errors",
    "abatch": "batches.api",
    "batch": "batches.api",
    "install": "programs.install",
    "installed": "programs.install",
    "load_config": "config.loading",
    "model_list": "call.translation",
    "resolve": "call.resolution",
    "router": "call.routers",
    "translate": "call.translation",
}
"""Public name -> the module it lives in; the rest of ``__all__`` are the drop-in functions."""


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use (PEP 562)."""
    from importlib import import_module

    value: Any
    if name in _HOMES:
        value = getattr(import_module(f"adapter.{_HOMES[name]}"), name)
    elif name == "__version__":
        value = import_module("importlib.metadata").version("gptme-litellm")
    elif name in __all__:
        value = import_module("adapter.call.drop_ins").drop_in(name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Whether the configured default model is anybody's: a provider's, LiteLLM's or gptme's.

Only ``adapter config check`` asks: the tables of LiteLLM's prefixes and its list of models take
longer to read than a configuration may take to load.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from adapter._text import did_you_mean
from adapter.call.resolution import EMBEDDED, LOCAL
from adapter.config.files import documents
from adapter.config.loading import Config
from adapter.errors import Problem
from adapter.upstream.prefixes import OPENAI_COMPATIBLE, TEXT_COMPLETION
from adapter.upstream.refused_prefixes import NOT_EXPRESSIBLE, UNRESOLVED

__all__ = ["check_default_model"]

GPTMES_OWN = frozenset(
    {"gptme", "grok-subscription", "nvidia", "openai-subscription", "openrouter-subscription"}
)
"""Built-in providers of gptme (``BuiltinProvider``) under names that LiteLLM does not have."""

MODEL_MAP = "model_prices_and_context_window_backup.json"
"""LiteLLM's own list of models, by which it knows names without a prefix, such as ``gpt-4o``."""


def check_default_model(config: Config) -> Iterator[Problem]:
    """Yield a warning when ``[models] default`` names a provider that nobody has.

    The files are read again for the line. Nothing is said about a name that LiteLLM may know.
    """
    model = config.default_model
    if not model or config.find(model):
        return
    head = model.partition("/")[0]
    if config.find(head) or head in {LOCAL, EMBEDDED} | GPTMES_OWN or _is_litellms(model, head):
        return
    if model in config.settings.get("router_settings", {}).get("model_group_alias", ()):
        return  # a gateway knows it
    hint = did_you_mean(head, [p.name for p in config.providers])
    giving = (d for d in documents(reversed(config.files)) if d.at("models", "default"))
    if (document := next(giving, None)) is not None:
        message = f"models.default is {model!r}, but no provider is named {head!r}{hint}"
        fix = "correct the name, or add the provider"
        yield Problem(document.path, document.line(key="default"), None, message, fix, warning=True)


def _is_litellms(model: str, head: str) -> bool:
    """Whether LiteLLM knows the prefix, or the whole name; where it cannot be told, it does."""
    tables = (OPENAI_COMPATIBLE, TEXT_COMPLETION, NOT_EXPRESSIBLE, UNRESOLVED)
    if any(head in table for table in tables) or ":" in head:  # as in ft:gpt-4o:...
        return True
    found = find_spec("litellm")  # the package is only looked for, not imported
    folder = next(iter((found and found.submodule_search_locations) or ()), "")
    try:
        # searched, not parsed: it is three megabytes
        return f"{json.dumps(model)}:" in Path(folder, MODEL_MAP).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return True

"""Whether the configured default model is anybody's: a provider's, LiteLLM's or gptme's.

Only ``adapter config check`` asks: the tables of LiteLLM's prefixes and its list of models take
longer to read than a configuration may take to load.
"""

from __future__ import annotations

from collections.abc import Iterator

from adapter._text import did_you_mean
from adapter.call.resolution import EMBEDDED, LOCAL
from adapter.config.files import documents
from adapter.config.loading import Config
from adapter.errors import Problem
from adapter.sharing.naming import GPTME_BUILTIN
from adapter.upstream.prefixes import is_litellm_model

__all__ = ["check_default_model"]


def check_default_model(config: Config) -> Iterator[Problem]:
    """Yield a warning when ``[models] default`` names a provider that nobody has.

    The files are read again for the line. Nothing is said about a name that LiteLLM may know.
    """
    model = config.default_model
    if not model or config.find(model):
        return
    head = model.partition("/")[0]
    if config.find(head) or head in {LOCAL, EMBEDDED} | GPTME_BUILTIN or is_litellm_model(model):
        return
    if model in config.settings.get("router_settings", {}).get("model_group_alias", ()):
        return  # a gateway knows it
    hint = did_you_mean(head, [p.name for p in config.providers])
    giving = (d for d in documents(reversed(config.files)) if d.at("models", "default"))
    if (document := next(giving, None)) is not None:
        message = f"models.default is {model!r}, but no provider is named {head!r}{hint}"
        fix = "correct the name, or add the provider"
        yield Problem(
            document.path, document.line("models", "default"), None, message, fix, warning=True
        )

"""LiteLLM's provider prefixes: which ones an OpenAI-compatible provider can stand in for.

``prefixes.json`` says what LiteLLM was seen to send under each of its prefixes: a row is
``openai_compatible`` when it is a plain ``POST {base}/chat/completions`` with ``Authorization:
Bearer <key>`` and the model id unchanged. ``make prefixes`` measures the installed LiteLLM, and
``tests/wire/test_litellm_prefixes.py`` compares every row with it, without importing LiteLLM here.

What a row does not say:

* LiteLLM sends ``$OPENAI_API_KEY`` (and goes to ``$OPENAI_BASE_URL``) when most prefixes lack
  their own; that fallback is left out, since a key for OpenAI must not go to another host.
* A model id that LiteLLM's map marks ``mode: responses`` (``gpt-5-codex``, ``o1-pro``) goes to
  ``/responses`` under ``openai``, ``databricks``, ``litellm_proxy``, ``meta``, ``perplexity`` and
  ``xai``; one that begins with ``responses/`` loses that part under all prefixes.
* ``ai21/<id>`` goes to AI21 only for the Jamba ids in LiteLLM's map and to OpenAI for any other;
  the row has AI21's base for all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

__all__ = [
    "COMPATIBLE_BASES",
    "ENDPOINTS",
    "LOGINS",
    "NOT_EXPRESSIBLE",
    "OPENAI_COMPATIBLE",
    "RESPONSES",
    "ROUTER_SETTINGS",
    "ROUTING_STRATEGIES",
    "OpenAICompatible",
    "is_litellm_model",
    "is_litellm_provider",
    "litellm_models",
    "litellm_provider_of",
    "vendor_names",
]

MODEL_MAP = "model_prices_and_context_window_backup.json"
"""LiteLLM's own list of models, by which it knows names without a prefix, such as ``gpt-4o``."""


class OpenAICompatible(NamedTuple):
    """A LiteLLM prefix that stands for an OpenAI-compatible API.

    ``base_url`` is ``None`` where LiteLLM has no base of its own: the entry's ``api_base`` is
    required; ``{VARIABLE}`` in it stands for the variable's value. ``keys`` and ``bases`` are the
    variables from which LiteLLM takes a key or base that the entry lacks, in its order.
    """

    prefix: str
    base_url: str | None = None
    keys: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    key_optional: bool = False
    """LiteLLM sends a stand-in where there is no key: such servers need none."""
    suffix: str = ""
    """What LiteLLM adds to an ``api_base`` that does not end in a version (``/v1``, ``/v4``)."""
    suffix_always: bool = False
    """LiteLLM adds it to one that does, too."""
    text: bool = False
    """LiteLLM posts to ``{base}/completions``."""
    moved: tuple[str, ...] = ()
    """The base in other releases of LiteLLM that are supported."""
    ids: Mapping[str, Any] = MappingProxyType({})
    """The ``pattern`` of model ids that are no plain chat and ``why``; with ``without_base``, for
    entries without an ``api_base`` only."""
    before_id: tuple[tuple[str, str], ...] = ()
    """What LiteLLM puts before a model id: the first pattern that matches all of it decides."""
    host: str = ""
    """The pattern of the hosts in an ``api_base`` that have such an API, under ``path``."""
    path: str | None = None
    ignores: str = ""
    """What such an API does not do of what the prefix does in LiteLLM."""

    @property
    def api_key_env(self) -> str | None:
        """The variable to set where none of ``keys`` is; Mistral's first one is for Azure."""
        names = (n for n in self.keys if "AZURE" not in n or self.prefix == "azure")
        return next(names, None)


def _rows(table: Mapping[str, Mapping[str, Any]]) -> Mapping[str, OpenAICompatible]:
    rows = {}
    for prefix, fields in table.items():
        plain: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()
        }
        rows[prefix] = OpenAICompatible(prefix, **plain)
    return MappingProxyType(rows)


_DATA: Final = json.loads(files("adapter.upstream").joinpath("prefixes.json").read_bytes())

OPENAI_COMPATIBLE: Final = _rows(_DATA["openai_compatible"])

NOT_EXPRESSIBLE: Final[Mapping[str, str]] = MappingProxyType(
    {prefix: row["why"] for prefix, row in _DATA["refused"].items()}
)
"""Prefix -> why it is no OpenAI-compatible provider, to follow "<prefix>/... "."""

COMPATIBLE_BASES: Final = _rows(
    {prefix: row["compatible"] for prefix, row in _DATA["refused"].items() if "compatible" in row}
)
"""The maker's own OpenAI-compatible API for prefixes under which LiteLLM speaks another one.

From the makers' documentation, not from LiteLLM.
"""

ENDPOINTS: Final[Mapping[str, str]] = MappingProxyType(_DATA["endpoints"])
"""Base URL -> the prefix that LiteLLM goes by for a model without one, in its order."""

LOGINS: Final = frozenset(_DATA["logins"])
"""Asking LiteLLM about these starts an OAuth login, so neither code nor tests ever do."""

ROUTER_SETTINGS: Final = frozenset(_DATA["router_settings"])
"""What LiteLLM's proxy passes on to its Router, in any release that is supported."""

ROUTING_STRATEGIES: Final = frozenset(_DATA["routing_strategies"])

RESPONSES: Final = frozenset(_DATA["responses"])
"""Prefixes under which LiteLLM asks ``/responses`` for an id that begins with ``responses/``."""


def is_litellm_provider(name: str) -> bool:
    """Return whether LiteLLM has a provider of that name, without importing LiteLLM."""
    return any(name in table for table in (OPENAI_COMPATIBLE, NOT_EXPRESSIBLE, LOGINS))


def is_litellm_model(model: str) -> bool:
    """Return whether LiteLLM knows the prefix or the whole name; ``True`` where it cannot be told.

    LiteLLM itself is not imported.
    """
    head = model.partition("/")[0]
    if is_litellm_provider(head) or ":" in head:  # as in ft:gpt-4o:...
        return True
    models = litellm_models()
    return not models or model in models


def litellm_provider_of(model: str) -> str | None:
    """Return LiteLLM's provider for a model string of its own, ``None`` where it knows none."""
    head, slash, _ = model.partition("/")
    if slash and is_litellm_provider(head):
        return head
    return litellm_models().get(model, {}).get("litellm_provider")


@cache
def litellm_models() -> Mapping[str, Mapping[str, Any]]:
    """Return LiteLLM's own list of models: name -> what it says of it, read in some 20 ms.

    Empty where it cannot be read. LiteLLM itself is not imported.
    """
    spec = find_spec("litellm")
    folder = next(iter((spec and spec.submodule_search_locations) or ()), "")
    try:
        models = json.loads(Path(folder, MODEL_MAP).read_bytes())
    except (OSError, ValueError):
        return {}
    return models if isinstance(models, dict) else {}


def vendor_names(base_url: str, model: str) -> list[str]:
    """Return the names of ``model`` in LiteLLM's map where ``base_url`` is the vendor's own."""
    rows = [row for row in OPENAI_COMPATIBLE.values() if row.base_url == base_url]
    names = [f"{row.prefix}/{model}" for row in rows]
    return names + [model for row in rows if row.prefix == "openai"]

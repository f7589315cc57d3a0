"""A cache of the models that each server listed last, for shell completion."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter._files import read_regular, xdg_folder
from adapter.editing.writing import write_file
from adapter.errors import ConfigError

if TYPE_CHECKING:
    from adapter.config.provider import Provider

__all__ = ["SECONDS", "cache_file", "cache_models", "cached_models"]

SECONDS = 3600.0
"""How long a list is used."""

FORMAT = 1

MAX_BYTES = 4 * 1024 * 1024
"""A larger file is neither read nor written; the longest list known takes 30 kB."""


def cache_file() -> Path:
    """Return the file, ``$XDG_CACHE_HOME/gptme-litellm/models.json`` (default ``~/.cache``)."""
    base = xdg_folder("XDG_CACHE_HOME", default=".cache")
    return Path(base, "gptme-litellm", "models.json")


def cached_models(provider: Provider) -> list[str] | None:
    """Return what the provider's server listed within the last hour, or ``None``; asks nobody."""
    entry = _read().get(_key(provider), {})
    models = entry.get("models") if _is_fresh(entry) else None
    return [m for m in models if isinstance(m, str)] if isinstance(models, list) else None


def cache_models(models: Mapping[str, Sequence[str]], providers: Sequence[Provider]) -> None:
    """Store ``models``, by provider's name. A cache that cannot be written is no error."""
    lists = {k: v for k, v in _read().items() if _is_fresh(v)}
    now = time.time()
    for provider in providers:
        if provider.name in models:
            lists[_key(provider)] = {"time": now, "models": list(models[provider.name])}
    text = json.dumps({"format": FORMAT, "lists": lists})  # ASCII, so as long as its bytes
    if len(text) > MAX_BYTES:
        return
    try:
        write_file(cache_file(), text, secret=True)
    except ConfigError:
        return


def _is_fresh(entry: Any) -> bool:
    since = entry.get("time") if isinstance(entry, dict) else None
    now = time.time()
    # compared, not subtracted: JSON has integers that no float holds
    return isinstance(since, int | float) and now - SECONDS < since <= now


def _read() -> dict[str, Any]:
    try:
        raw, _ = read_regular(cache_file(), MAX_BYTES)
        data = json.loads(raw) if len(raw) <= MAX_BYTES else None
    except (OSError, ValueError, RecursionError):
        return {}
    lists = data.get("lists") if isinstance(data, dict) and data.get("format") == FORMAT else None
    return lists if isinstance(lists, dict) else {}


def _key(provider: Provider) -> str:
    """Return a key by name and base URL: a changed base is not served the old one's models."""
    return f"{provider.name} {provider.base_url}"

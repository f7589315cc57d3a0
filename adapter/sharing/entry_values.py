"""What the values of an entry mean: stand-ins for keys, variables as text, URLs, patterns."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from adapter.config.provider import base_url_fault
from adapter.upstream.prefixes import OpenAICompatible

__all__ = ["RefusedError", "completed_url", "is_stand_in", "pattern_of", "variable_in"]

_STAND_INS = frozenset(
    {
        *("", "empty", "none", "null", "na", "n/a", "unused", "ignored", "anything", "whatever"),
        *("nokey", "no-key", "no-key-needed", "no-key-required", "nokeyrequired"),
        *("not-needed", "notneeded", "not-required", "notrequired", "not-used"),
        *("api-key", "key", "apikey", "placeholder", "changeme", "change-me", "default-key"),
        *("ollama", "lm-studio", "lmstudio", "vllm", "llamacpp", "llama.cpp", "localai", "local"),
        *("sk-1234", "sk-dummy", "sk-fake", "sk-none", "sk-empty", "sk-placeholder"),
        *("sk-no-key-required", "sk-not-needed", "dummy", "fake", "test", "sk-test", "sk-local"),
    }
)
_STAND_IN_PATTERNS = re.compile(
    r"<.*>|(?:sk-)?[x*.\-]+|(?:sk-)?your[-_ ].*|(?:sk-)?x{3,}.*|(?:sk-)?\.{3}"
    r"|(?:my|a|some|any|the)?[-_]?(?:fake|dummy|mock|test)[-_](?:api[-_])?(?:key|token)"
)


class RefusedError(Exception):
    """An entry that cannot become a provider; the text says why, to follow its name."""

    compatible = False
    """Its maker has an OpenAI-compatible API, by which ``compatible=True`` would take it."""


def variable_in(value: str) -> str | None:
    """Return X of ``${X}``, ``os.getenv("X")`` and the like, which LiteLLM takes as text."""
    name = r"([A-Za-z_][A-Za-z0-9_]*)"
    quoted = rf"""["']?{name}["']?"""
    call = rf"os\.(?:getenv|environ\.get)\(\s*{quoted}\s*\)|os\.environ\[\s*{quoted}\s*\]"
    spellings = (
        rf"\$\{{{name}(?::?-[^}}]*)?\}}|\$([A-Z_][A-Z0-9_]*)|{call}|env:{name}|os\.environ\.{name}"
    )
    match = re.fullmatch(spellings, value.strip())
    return next(filter(None, match.groups())) if match else None


def is_stand_in(key: str) -> bool:
    """Return whether a literal key is none, such as ``EMPTY``, ``sk-1234`` or ``<my-key>``."""
    word = key.strip().lower()
    return word.replace("_", "-") in _STAND_INS or _STAND_IN_PATTERNS.fullmatch(word) is not None


def completed_url(row: OpenAICompatible, url: str) -> str:
    """Return the base with what LiteLLM, or the maker of the API, appends to it."""
    has_version = re.fullmatch(r"v\d+", url.rpartition("/")[2])
    if row.suffix_always or not has_version:
        url += row.suffix
    if fault := base_url_fault(url):
        message, fix = fault
        raise RefusedError(f"{message.replace('base_url', 'api_base')}: {fix}")
    if row.path is not None:
        parts = urlsplit(url)
        if not re.fullmatch(row.host, parts.hostname or ""):
            what = f"{row.prefix} has an OpenAI-compatible API on its maker's host only"
            raise RefusedError(f"{what}, not on {parts.hostname}")
        url = f"{parts.scheme}://{parts.netloc}{row.path}"
    return url


def pattern_of(name: str, model: str) -> tuple[bool, str]:
    """Return whether a name stands for several, beyond ``NAME/*`` -> ``*``, and the model id.

    A partial pattern on the model's side (``gpt-*``) is only a part of what the provider takes.
    """
    plain = re.fullmatch(r"[^/*\s]+/\*", name) is not None
    if "*" not in name:
        if "*" in model:
            raise RefusedError(f"its model contains a '*', but the name does not: write {name}/*")
        return False, model
    if "*" in model:
        return not (plain and model == "*"), "*"
    return True, model

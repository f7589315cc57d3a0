"""Text of a configuration that stands for a value: references to variables, keys that are none."""

from __future__ import annotations

import re

__all__ = ["is_stand_in", "variable_in"]

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

"""Keys in a LiteLLM ``config.yaml``: which variable, which literal, and what only looks like one.

A literal is handed on as a :class:`Secret`; no message here ever holds one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from adapter.config.checks import VARIABLE
from adapter.keys.precedence import PLACEHOLDER_KEY
from adapter.secrets.secret import Secret
from adapter.sharing.config_yaml import reference, variable_in
from adapter.upstream.prefixes import OpenAICompatible

__all__ = ["FoundKey", "is_dummy", "key_of_entry"]

_DUMMIES = frozenset(
    {
        *("", "empty", "none", "null", "na", "n/a", "unused", "ignored", "anything", "whatever"),
        *("nokey", "no-key", "no-key-needed", "no-key-required", "nokeyrequired"),
        *("not-needed", "notneeded", "not-required", "notrequired", "not-used"),
        *("dummy", "dummy-key", "dummy-api-key", "fake", "fake-key", "fake-api-key"),
        *("placeholder", "changeme", "change-me", "default-key", "lm-studio"),
        *("sk-1234", "sk-dummy", "sk-fake", "sk-none", "sk-empty", "sk-placeholder"),
        *("sk-no-key-required", "sk-not-needed"),
    }
)

_PATTERNS = re.compile(r"<.*>|(?:sk-)?[x*.\-]+|(?:sk-)?your[-_ ].*|(?:sk-)?x{3,}.*|(?:sk-)?\.{3}")

_OWN_HOST_ONLY = frozenset({"custom_openai", "inception", "lemonade", "nadir", "openai"})
"""Prefixes whose key from the environment does not go to another host than their own.

For inception, lemonade and nadir by LiteLLM's own rule. For the two OpenAI ones by ours: LiteLLM
sends ``$OPENAI_API_KEY`` to any ``api_base``, which nobody means.
"""


_CONVENTIONAL = re.compile(r"[^\s=a-z-]+_API_KEY")
"""The variable of a provider called ``01-ai``, which no shell could set but a process can have."""


class FoundKey(NamedTuple):
    """An entry's key: a ``variable``, a ``literal``, or neither (a server without keys).

    ``note`` is what the user should know, ``fault`` why the entry cannot be imported.
    """

    variable: str | None = None
    literal: Secret | None = None
    note: str | None = None
    fault: str | None = None


def is_dummy(key: str) -> bool:
    """Whether a literal key is a stand-in, such as ``EMPTY``, ``sk-1234`` or ``<my-key>``."""
    word = key.strip().lower()
    return word.replace("_", "-") in _DUMMIES or _PATTERNS.fullmatch(word) is not None


def key_of_entry(
    value: Any,
    row: OpenAICompatible,
    base_url: str,
    environ: Mapping[str, str],
    later: Mapping[str, str],
) -> FoundKey:
    """Return the key of an entry by LiteLLM's precedence: its ``api_key``, the prefix's variables.

    ``later`` is the environment with the file's own ``environment_variables``, which LiteLLM sets
    only after it has resolved the references.
    """
    if value is None or value == "":
        return _from_registry(row, base_url, later)
    if not isinstance(value, str):
        return FoundKey(fault="api_key is not a string, and LiteLLM drops such an entry: quote it")
    variable = reference(value)
    if variable is not None:
        return _from_reference(variable, environ, later)
    if variable := variable_in(value):
        # a default, as in ${X:-...}, may be a key itself
        shown = value.strip() if "-" not in value else f"${{{variable}}}"
        note = f"LiteLLM sends the text {shown} as the key; taken for ${variable}"
        return FoundKey(variable, note=note)
    if value == PLACEHOLDER_KEY:  # what an export of ours says
        return FoundKey()
    if is_dummy(value):
        shown = value.strip() if len(value.strip()) < 25 else "given"
        return FoundKey(note=f"the key {shown} is a stand-in and was dropped")
    if not (value.strip().isascii() and value.strip().isprintable()):
        return FoundKey(fault="api_key holds a line break, a control or a non-ASCII character")
    return FoundKey(literal=Secret(value.strip()))


def _from_reference(
    variable: str, environ: Mapping[str, str], later: Mapping[str, str]
) -> FoundKey:
    if variable.startswith("oidc/"):
        return FoundKey(fault="its key is an OIDC token that LiteLLM fetches for each call")
    if not VARIABLE.fullmatch(variable) and not _CONVENTIONAL.fullmatch(variable):
        # not shown: it may be a key, pasted after os.environ/
        return FoundKey(fault="api_key: what follows os.environ/ is not the name of a variable")
    if variable in later and variable not in environ:
        note = f"LiteLLM resolves os.environ/{variable} before environment_variables sets it"
        return FoundKey(variable, note=note)
    return FoundKey(variable)


def _from_registry(row: OpenAICompatible, base_url: str, environ: Mapping[str, str]) -> FoundKey:
    """Return the first variable of the prefix that is set, else its main one."""
    if row.api_key_env is None:
        return FoundKey()
    chosen = next((n for n in row.keys if environ.get(n)), None)
    if row.prefix in _OWN_HOST_ONLY and base_url != row.base_url:
        note = f"no key: LiteLLM would have sent ${row.api_key_env} there"
        return FoundKey(note=note if row.api_key_env == "OPENAI_API_KEY" else None)
    if chosen is None and row.key_optional:
        return FoundKey()
    return FoundKey(chosen or row.api_key_env)

"""The key of an entry: which variable, which literal, and what only looks like a key.

A literal is a :class:`Secret`, and no note or error holds one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapter.keys.precedence import PLACEHOLDER_KEY
from adapter.secrets.references import is_variable, referenced_variable
from adapter.secrets.secret import Secret
from adapter.upstream.prefixes import OpenAICompatible

__all__ = ["OWN_HOST_ONLY", "EntryKeys", "RefusedError", "variable_in"]

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

OWN_HOST_ONLY = frozenset({"custom_openai", "inception", "lemonade", "nadir", "openai"})
"""Prefixes whose key from the environment does not go to another host than their own.

For inception, lemonade and nadir by LiteLLM's own rule. For the two OpenAI ones by ours: LiteLLM
sends ``$OPENAI_API_KEY`` to any ``api_base``, which nobody means.
"""

_CONVENTIONAL = re.compile(r"[^\s=a-z-]+_API_KEY")
"""The variable of a provider called ``01-ai``, which no shell could set but a process can have."""


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


def _is_stand_in(key: str) -> bool:
    """Return whether a literal key is none, such as ``EMPTY``, ``sk-1234`` or ``<my-key>``."""
    word = key.strip().lower()
    return word.replace("_", "-") in _STAND_INS or _STAND_IN_PATTERNS.fullmatch(word) is not None


@dataclass(frozen=True)
class EntryKeys:
    """What decides the key of an entry with this row and base.

    ``later`` is ``environ`` with the file's ``environment_variables``, which LiteLLM sets only
    after it has resolved the references.
    """

    row: OpenAICompatible
    base_url: str
    environ: Mapping[str, str]
    later: Mapping[str, str]

    def read(self, value: Any, notes: list[str]) -> tuple[str | None, Secret | None]:
        """Return the variable or literal key, or neither, for an ``api_key``, as LiteLLM would.

        Adds to ``notes``. Raises :class:`RefusedError`.
        """
        if value is None or value == "":
            return self._of_prefix(notes), None
        if not isinstance(value, str):
            what = "api_key is not a string, and LiteLLM drops such an entry: quote it"
            raise RefusedError(what)
        if (variable := referenced_variable(value)) is not None:
            return self._variable(variable, notes), None
        text = value.strip()
        if variable := variable_in(value):
            # a default, as in ${X:-...}, may be a key itself
            shown = text if "-" not in value else f"${{{variable}}}"
            notes.append(f"LiteLLM sends the text {shown} as the key; taken for ${variable}")
            return variable, None
        if value == PLACEHOLDER_KEY:  # what an export of ours says
            return None, None
        if _is_stand_in(value):
            shown = text if len(text) < 25 else "given"
            notes.append(f"the key {shown} is a stand-in and was dropped")
            return None, None
        if not (text.isascii() and text.isprintable()):
            what = "api_key holds a line break, a control or a non-ASCII character"
            raise RefusedError(what)
        return None, Secret(text)

    def _variable(self, variable: str, notes: list[str]) -> str:
        if variable.startswith("oidc/"):
            raise RefusedError("its key is an OIDC token that LiteLLM fetches for each call")
        if not is_variable(variable) and not _CONVENTIONAL.fullmatch(variable):
            # not shown: it may be a key, pasted after os.environ/
            raise RefusedError("api_key: what follows os.environ/ is not the name of a variable")
        if variable in self.later and variable not in self.environ:
            before = "before environment_variables sets it"
            notes.append(f"LiteLLM resolves os.environ/{variable} {before}")
        return variable

    def _of_prefix(self, notes: list[str]) -> str | None:
        """Return the first variable of the prefix that is set, else its main one."""
        main = self.row.api_key_env
        if main is None:
            return None
        if self.row.prefix in OWN_HOST_ONLY and self.base_url != self.row.base_url:
            if main == "OPENAI_API_KEY":
                notes.append("no key: LiteLLM would have sent $OPENAI_API_KEY there")
            return None
        variable = next((n for n in self.row.keys if self.later.get(n)), None)
        return variable or (None if self.row.key_optional else main)

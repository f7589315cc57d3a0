"""What imported providers are called: by the file itself where it says so, else by their base.

A provider without ``api_key_env`` takes its key from the variable that belongs to its name
(``GROQ_API_KEY``), so that variable must be nobody else's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import count
from urllib.parse import urlsplit

from adapter.call.translation import api_base
from adapter.config.loading import Config
from adapter.config.provider import Provider, is_private_host, name_fault
from adapter.keys.precedence import default_variable
from adapter.secrets.references import is_variable
from adapter.sharing.deployments import Deployment, rank
from adapter.upstream.prefixes import COMPATIBLE_BASES, NOT_EXPRESSIBLE, OPENAI_COMPATIBLE

__all__ = ["GPTME_BUILTIN", "Naming"]

GPTME_BUILTIN = frozenset(
    {
        *("anthropic", "azure", "deepseek", "gemini", "gptme", "grok-subscription", "groq"),
        *("local", "mock", "moonshot", "nvidia", "openai", "openai-subscription", "openrouter"),
        *("requesty", "xai"),
    }
)
"""Providers that gptme has under a name of its own (``BuiltinProvider`` of gptme 0.35)."""

_VENDORS_VARIABLES = frozenset(
    {
        *(name for row in OPENAI_COMPATIBLE.values() for name in (row.api_key_env, *row.keys)),
        *(name for row in COMPATIBLE_BASES.values() for name in row.keys),
        *map(default_variable, NOT_EXPRESSIBLE),
    }
)
"""Variables that hold a vendor's key, which must go to no other host."""


class Naming:
    """The names given so far, and the variables that are spoken for."""

    def __init__(
        self, groups: Sequence[list[Deployment]], config: Config, aliases: Iterable[str]
    ) -> None:
        """``aliases`` are names that the file has beside those of its entries."""
        self._groups = groups
        names = [(d.name, d.model) for group in groups for d in group]
        parts = [
            (*name.partition("/"), model) for name, model in (*names, *((a, "") for a in aliases))
        ]
        # NAME/x is the model x of a provider NAME, before it is a model_name or an alias
        self._reserved = {
            head for head, slash, rest, model in parts if slash and rest not in (model, "*")
        }
        self._reserved |= set(aliases)
        self._config = config
        self._groups_of = Counter(name for group in groups for name in {d.name for d in group})
        self._taken: set[str] = set()
        self._conventional: set[str] = set()
        self._variables = {group[0].variable for group in groups}
        self._variables |= {p.api_key_env for p in config.providers}

    def names(self) -> list[tuple[str, bool]]:
        """Return for each group its provider's name, and whether the file itself gives it."""
        by_order = sorted(self._groups, key=lambda group: min(map(rank, group)))
        wildcards = {id(group): self._wildcard(group) for group in by_order}
        return [
            (wildcard, True) if (wildcard := wildcards[id(group)]) else self._name(group)
            for group in self._groups
        ]

    def gptme_note(self, name: str, first: Deployment) -> str | None:
        """Return a note for a name that gptme answers by rules of its own, which differ."""
        variable = default_variable(name)
        if name not in GPTME_BUILTIN or (first.own_base and first.variable in (None, variable)):
            return None
        numbers = (f"{name}-{n}" for n in count(2))
        free = next(n for n in numbers if n not in self._taken and self._config.find(n) is None)
        return (
            f"gptme has a provider {name!r} of its own and asks that, with ${variable}: for use "
            f"in gptme rename this one, to {free!r} for example"
        )

    def _wildcard(self, group: list[Deployment]) -> str | None:
        """Return NAME of the first ``NAME/*`` that can be the group's, and take it."""
        for d in sorted(group, key=rank):
            name = d.wildcard
            if name and name not in self._taken and self._is_free(name, d):
                return self._take(name, d)
        return None

    def _name(self, group: list[Deployment]) -> tuple[str, bool]:
        """Return a name for a provider whose file says no ``NAME/*``, and take it."""
        first = group[0]
        own = {d.name for d in group}
        for provider in self._config.providers:
            if _is_same(provider, first) and not self._is_others(provider.name, own):
                return self._take(provider.name, first), False
        prefix = first.prefix.removeprefix("text-completion-")
        if first.own_base and self._is_unclaimed(prefix, own):
            return self._take(prefix, first), True
        alone = len(own) == 1 and self._is_unclaimed(first.name, own)
        if alone and self._is_free(first.name, first):
            return self._take(first.name, first), True
        base = prefix if first.own_base and prefix[:1].isalpha() else _base_name(first.base_url)
        numbered = (base if n == 1 else f"{base}-{n}" for n in count(1))
        free = (n for n in numbered if self._is_unclaimed(n, own) and self._config.find(n) is None)
        return self._take(next(n for n in free if self._has_free_variable(n, first)), first), False

    def _is_others(self, name: str, own: set[str]) -> bool:
        """Return whether another group has the name, or an entry of that ``model_name``."""
        return name in self._taken or self._groups_of[name] > (name in own)

    def _is_unclaimed(self, name: str, own: set[str]) -> bool:
        return name not in self._reserved and not self._is_others(name, own)

    def _take(self, name: str, deployment: Deployment) -> str:
        self._taken.add(name)
        if deployment.variable is None:
            self._conventional.add(default_variable(name))
        return name

    def _has_free_variable(self, name: str, deployment: Deployment) -> bool:
        """Return whether the variable that goes with ``name`` is nobody's, where it counts.

        It counts for a literal key, too: that may not be written, and the user is told to set the
        variable instead.
        """
        if deployment.variable is not None:
            return True
        variable = default_variable(name)
        if deployment.literal is not None and not is_variable(variable):
            return False
        vendors = frozenset() if _owns_variable(name, deployment) else _VENDORS_VARIABLES
        return not any(variable in v for v in (self._variables, self._conventional, vendors))

    def _is_free(self, name: str, deployment: Deployment) -> bool:
        """Return whether a ``model_name`` can be a provider's name.

        A server with no variable of its own must not be called ``openai``: by gptme's rule it
        would be sent ``$OPENAI_API_KEY``, which is meant for another host.
        """
        usable = name_fault(name) is None and "*" not in name
        if usable and deployment.own_base and name == deployment.prefix:
            return True
        return usable and self._has_free_variable(name, deployment)


def _owns_variable(name: str, deployment: Deployment) -> bool:
    """Return whether the variable that goes with ``name`` belongs to the server.

    It does where the base is the vendor's own, and where ``name`` is that of software for one's
    own machine that runs on one's own: ``OLLAMA_API_KEY`` is for the Ollama at home.
    """
    row = {**COMPATIBLE_BASES, **OPENAI_COMPATIBLE}.get(name)
    if row is None:
        return False
    host = urlsplit(deployment.base_url).hostname or ""
    return deployment.base_url == row.base_url or (row.key_optional and is_private_host(host))


def _base_name(url: str) -> str:
    """Return host and port as a name whose variable a shell can set: ``host-10-0-0-1-8000``."""
    parts = urlsplit(url)
    host = re.sub(r"[^a-z0-9]+", "-", (parts.hostname or "").lower()).strip("-")
    name = f"{host}-{parts.port}" if parts.port else host
    return name if name[:1].isalpha() else f"host-{name}".rstrip("-")


def _is_same(provider: Provider, deployment: Deployment) -> bool:
    """Return whether a configured provider is what a deployment calls: same base, same key.

    A key that stood in the file may not have been written, and then is none here.
    """
    if api_base(provider.base_url) != deployment.base_url:
        return False
    if deployment.variable is not None:
        return not provider.api_key and provider.key_variable == deployment.variable
    return not provider.api_key_env and provider.api_key in (None, deployment.literal)

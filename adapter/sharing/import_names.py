"""What imported providers are called: by the file itself where it says so, else by their base."""

from __future__ import annotations

import re
from collections import Counter
from itertools import count
from urllib.parse import urlsplit

from adapter.call.translation import api_base
from adapter.config.checks import VARIABLE
from adapter.config.loading import Config
from adapter.config.provider import Provider, is_private_host, name_fault
from adapter.keys.precedence import default_variable
from adapter.sharing.deployments import Deployment
from adapter.upstream.prefixes import NOT_EXPRESSIBLE, OPENAI_COMPATIBLE

__all__ = ["provider_names"]


def provider_names(groups: list[list[Deployment]], config: Config) -> list[tuple[str, bool]]:
    """Return for each group its provider's name, and whether the file itself gives it.

    A group whose key is no variable of the file takes the variable that belongs to its name, so
    that must not be another server's.
    """
    naming = _Naming(groups, config)
    wildcards = [naming.wildcard(group) for group in groups]
    return [
        (wildcard, True) if wildcard else naming.name(group)
        for group, wildcard in zip(groups, wildcards, strict=True)
    ]


class _Naming:
    """The names given so far, and the variables that are spoken for."""

    def __init__(self, groups: list[list[Deployment]], config: Config) -> None:
        self._config = config
        self._groups_of = Counter(name for group in groups for name in {d.name for d in group})
        self._taken: set[str] = set()
        self._conventional: set[str] = set()
        self._variables = {group[0].variable for group in groups}
        self._variables |= {p.api_key_env for p in config.providers}

    def wildcard(self, group: list[Deployment]) -> str | None:
        """Return NAME of the first ``NAME/*`` that can be the group's, and take it."""
        for d in group:
            name = d.wildcard
            if name and name not in self._taken and self._is_free(name, d):
                return self._take(name, d)
        return None

    def name(self, group: list[Deployment]) -> tuple[str, bool]:
        """Return a name for a provider whose file says no ``NAME/*``, and take it."""
        first = group[0]
        own = {d.name for d in group}
        for provider in self._config.providers:
            if _is(provider, first) and not self._is_others(provider.name, own):
                return self._take(provider.name, first), False
        prefix = first.prefix.removeprefix("text-completion-")
        if first.own_base and not self._is_others(prefix, own):
            return self._take(prefix, first), True
        alone = len(own) == 1 and not self._is_others(first.name, own)
        if alone and self._is_free(first.name, first):
            return self._take(first.name, first), True
        base = prefix if first.own_base and prefix[:1].isalpha() else _base_name(first.base_url)
        numbered = (base if n == 1 else f"{base}-{n}" for n in count(1))
        name = next(n for n in numbered if self._is_new(n, own, first))
        return self._take(name, first), False

    def _is_others(self, name: str, own: set[str]) -> bool:
        """Whether another group has the name, or an entry of that ``model_name``."""
        return name in self._taken or self._groups_of[name] > (name in own)

    def _is_new(self, name: str, own: set[str], deployment: Deployment) -> bool:
        used = self._is_others(name, own) or self._config.find(name) is not None
        return not used and self._has_free_variable(name, deployment)

    def _take(self, name: str, deployment: Deployment) -> str:
        self._taken.add(name)
        if deployment.variable is None:
            self._conventional.add(default_variable(name))
        return name

    def _has_free_variable(self, name: str, deployment: Deployment) -> bool:
        """Whether the variable that goes with ``name`` is nobody else's, where it counts."""
        if deployment.variable is not None:
            return True
        variable = default_variable(name)
        if deployment.literal is not None and not VARIABLE.fullmatch(variable):
            return False  # the user is told to set it
        return variable not in self._variables and variable not in self._conventional

    def _is_free(self, name: str, deployment: Deployment) -> bool:
        """Whether a ``model_name`` can be a provider's name.

        A server without a key must not be called ``openai``: by gptme's rule it would be sent
        ``$OPENAI_API_KEY``, which is meant for another host.
        """
        if name_fault(name) is not None or "*" in name:
            return False
        known = {row.api_key_env for row in OPENAI_COMPATIBLE.values()}
        if not is_private_host(urlsplit(deployment.base_url).hostname or ""):
            known |= {default_variable(prefix) for prefix in NOT_EXPRESSIBLE}
        keyless = deployment.variable is None and deployment.literal is None
        if keyless and default_variable(name) in known:
            return False
        return self._has_free_variable(name, deployment)


def _base_name(url: str) -> str:
    """Return host and port as a name whose variable a shell can set: ``host-10-0-0-1-8000``."""
    parts = urlsplit(url)
    host = re.sub(r"[^a-z0-9]+", "-", (parts.hostname or "").lower()).strip("-")
    name = f"{host}-{parts.port}" if parts.port else host
    return name if name[:1].isalpha() else f"host-{name}".rstrip("-")


def _is(provider: Provider, deployment: Deployment) -> bool:
    """Whether a configured provider is the one that a deployment calls: same base, same key.

    A key that stood in the file may not have been written, and then is none here.
    """
    if api_base(provider.base_url) != deployment.base_url:
        return False
    if deployment.variable is not None:
        variable = provider.api_key_env or default_variable(provider.name)
        return not provider.api_key and variable == deployment.variable
    return not provider.api_key_env and provider.api_key in (None, deployment.literal)

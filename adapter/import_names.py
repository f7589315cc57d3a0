"""What imported providers are called: by the file itself where it says so, else by their base."""

from __future__ import annotations

from urllib.parse import urlsplit

from adapter.config import Config
from adapter.deployments import Deployment
from adapter.keys import default_variable
from adapter.litellm_prefixes import OPENAI_COMPATIBLE
from adapter.litellm_refused import NOT_EXPRESSIBLE
from adapter.providers import Provider, is_private_host, name_fault
from adapter.translation import api_base

__all__ = ["provider_names"]


def provider_names(groups: list[list[Deployment]], config: Config) -> list[tuple[str, bool]]:
    """Return for each group its provider's name, and whether the file itself gives it."""
    wildcards = [_wildcard(group) for group in groups]
    taken = {name for name in wildcards if name}
    names: list[tuple[str, bool]] = []
    for group, wildcard in zip(groups, wildcards, strict=True):
        if wildcard:
            names.append((wildcard, True))
            continue
        others = {d.name for g in groups if g is not group for d in g} | taken
        name, chosen = _name(group, config, others)
        taken.add(name)
        names.append((name, chosen))
    return names


def _wildcard(group: list[Deployment]) -> str | None:
    names = ((d.wildcard, d) for d in group)
    return next((name for name, d in names if name and _is_free(name, d)), None)


def _name(group: list[Deployment], config: Config, others: set[str]) -> tuple[str, bool]:
    """Return a name for a provider whose file says none: see the module's order of choices."""
    first = group[0]
    same = next((p.name for p in config.providers if _is(p, first)), None)
    if same and same not in others:
        return same, False
    own = {name for d in group if _is_free(name := d.name, first)}
    prefix = first.prefix.removeprefix("text-completion-")
    if first.own_base and prefix not in others:
        return prefix, True
    if len(own) == 1 and {d.name for d in group} == own and not own & others:
        return own.pop(), True
    parts = urlsplit(first.base_url)
    base = prefix if first.own_base else (parts.hostname or "provider").replace(".", "-")
    base = f"{base}-{parts.port}" if parts.port and not first.own_base else base
    taken = others | {p.name for p in config.providers}
    numbered = (base if n == 1 else f"{base}-{n}" for n in range(1, len(taken) + 2))
    return next(name for name in numbered if name not in taken), False


def _is(provider: Provider, deployment: Deployment) -> bool:
    """Whether a configured provider is the one that a deployment calls: same base, same key."""
    if api_base(provider.base_url) != deployment.base_url or provider.api_key:
        return False
    variable = provider.api_key_env or default_variable(provider.name)
    return deployment.variable in (variable, None) and deployment.literal is None


def _is_free(name: str, deployment: Deployment) -> bool:
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
    return not (keyless and default_variable(name) in known)

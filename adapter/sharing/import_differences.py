"""What an import would overwrite, or leave beside it: the differences that stop it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from adapter.call.translation import api_base
from adapter.config.files import SECRETS_FILE, documents, value_at
from adapter.config.loading import Config
from adapter.config.provider import Provider, safe_url
from adapter.errors import ConfigError, Problem
from adapter.keys.precedence import default_variable
from adapter.secrets.policy import has_secret
from adapter.sharing.import_routes import ImportedProvider
from adapter.sharing.importing import Import

__all__ = ["check_import", "differing_fields"]


def check_import(
    plan: Import,
    config: Config,
    target: str | os.PathLike[str],
    *,
    replace: bool = False,
    include_secrets: bool = False,
) -> None:
    """Raise :class:`ConfigError`, with every difference, when ``plan`` would overwrite something.

    Adding to a provider is none: a field or parameter it does not have yet. With ``replace`` only
    what another file says, which would go on to count beside the new values, stops it: an old key
    must not go to a new base URL.
    """
    differences = list(_differences(plan, config, str(target), include_secrets))
    if replace:
        differences = list(_elsewhere(plan, config, Path(target), include_secrets))
    if differences:
        raise ConfigError(differences)


def _differences(
    plan: Import, config: Config, target: str, include_secrets: bool
) -> Iterator[Problem]:
    for provider in plan.providers:
        existing = config.find(provider.name)
        if existing is None:
            continue
        where = existing.origin[-1] if existing.origin else target
        fix = "use --replace to overwrite it, or rename the provider"
        for field, has, says in differing_fields(existing, provider, include_secrets):
            message = f"{field} is {has}, and the import says {says}"
            yield Problem(where, None, provider.name, message, fix)
    written = plan.settings.secrets if include_secrets else {}
    for sections in (plan.settings.sections, written):
        for section, values in sections.items():
            for key, value in _leaves(values):
                has = value_at(config.settings.get(section, {}), key)
                if has is not None and has != value:
                    message = f"{section}.{'.'.join(key)} is {_shown(key, has, value)}, and the "
                    message += f"import says {_shown(key, value, has)}"
                    yield Problem(target, None, None, message, "use --replace to overwrite it")
    yield from _hidden_names(plan, config, target)
    for name, value in (plan.settings.environment if include_secrets else {}).items():
        if config.env.get(name) not in (None, value):
            message = f"[env] {name} has another value"
            yield Problem(target, None, None, message, "use --replace to overwrite it")


def _shown(path: tuple[str, ...], value: Any, other: Any) -> str:
    """Return ``value`` in words; neither is shown where the other is a secret."""
    return "a secret" if has_secret(path, [value, other]) else repr(value)


def _hidden_names(plan: Import, config: Config, target: str) -> Iterator[Problem]:
    """Yield the new aliases by which a gateway would hide a provider that the import leaves be."""
    planned = {provider.name for provider in plan.providers}
    has = config.settings.get("router_settings", {}).get("model_group_alias", {})
    aliases = plan.settings.sections.get("router_settings", {}).get("model_group_alias", {})
    for alias in aliases.keys() - has.keys():
        name = alias.partition("/")[0]
        if name not in planned and config.find(name) is not None:
            message = f"the alias {alias!r} would hide the provider {name!r} in a gateway"
            fix = "rename one of them, or use --replace"
            yield Problem(target, None, name, message, fix)


def differing_fields(
    existing: Provider, new: ImportedProvider, include_secrets: bool = True
) -> Iterator[tuple[str, str, str]]:
    """Yield (field, what it is, what the import says) for each that differs; no key is shown."""
    moved = api_base(existing.base_url) != api_base(new.base_url)
    if moved:
        yield "base_url", safe_url(existing.base_url), safe_url(new.base_url)
    yield from _key(existing, new, moved, include_secrets)
    if new.default_model and existing.default_model not in (None, new.default_model):
        yield "default_model", repr(existing.default_model), repr(new.default_model)
    secret = new.secret_extras if include_secrets else {}
    for path, value in (*_leaves(new.extras), *_leaves(secret)):
        has = value_at(existing.extras, path)
        if path and has not in (None, value):
            yield ".".join(path), _shown(path, has, value), _shown(path, value, has)


def _key(
    existing: Provider, new: ImportedProvider, moved: bool, include_secrets: bool
) -> Iterator[tuple[str, str, str]]:
    variable = f"${new.api_key_env or default_variable(new.name)}"
    if not existing.api_key:
        old = f"${existing.api_key_env or default_variable(new.name)}"
        if new.literal is None and old != variable:
            yield "api_key_env", old, variable
    elif new.literal is None:
        # the conventional variable is what an export writes in place of the key itself
        if moved or new.api_key_env not in (None, default_variable(new.name)):
            yield "api_key", "a key", variable
    elif existing.api_key != new.literal and (moved or include_secrets):
        yield "api_key", "a key", "another one"


def _elsewhere(
    plan: Import, config: Config, target: Path, include_secrets: bool
) -> Iterator[Problem]:
    """Yield fields of other files than ``target`` that would still count after a replacement."""
    for provider in plan.providers:
        existing = config.find(provider.name)
        if existing is None:
            continue
        differing = {field for field, *_ in differing_fields(existing, provider)}
        for path in existing.origin:
            if os.path.realpath(path) == os.path.realpath(target):
                continue
            later = str(target) in config.files
            later = later and config.files.index(path) > config.files.index(str(target))
            for field in _given(path, provider.name):
                overwritten = include_secrets and provider.literal and _is_secrets(path, target)
                key = field == "api_key" and bool(differing & {"base_url", "api_key"})
                if (key and not overwritten) or (later and field in differing - {"api_key"}):
                    message = f"{field} stands here and would still count after the import"
                    fix = f"remove it here, or import with --to {path}"
                    yield Problem(path, None, provider.name, message, fix)


def _is_secrets(path: str, target: Path) -> bool:
    return os.path.realpath(path) == os.path.realpath(target.with_name(SECRETS_FILE))


def _given(path: str, name: str) -> list[str]:
    tables = [table for d in documents([path]) for table in d.data.get("providers", [])]
    return [field for table in tables if table.get("name") == name for field in table]


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    else:
        yield path, value

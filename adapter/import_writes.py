"""Writing an import into the TOML files, and the differences that stop it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple

from adapter.config import Config
from adapter.editing import edit, merge_table, set_extras, set_provider
from adapter.errors import ConfigError, Problem
from adapter.importing import Import, ImportedProvider
from adapter.keys import default_variable, holds_secret
from adapter.providers import Provider, safe_url
from adapter.translation import api_base

__all__ = ["Written", "check_import", "write_import"]

SECRETS_FILE = "config.local.toml"


class Written(NamedTuple):
    """What was written, or would be: a unified diff for each file, without keys."""

    diffs: Mapping[str, str]
    left_out: tuple[str, ...]


def check_import(plan: Import, config: Config, target: str | os.PathLike[str]) -> None:
    """Raise :class:`ConfigError`, with every difference, when ``plan`` would overwrite something.

    Adding to a provider is none: a field or parameter it does not have yet.
    """
    if differences := list(_differences(plan, config, str(target))):
        raise ConfigError(differences)


def write_import(
    plan: Import,
    config: Config,
    target: str | os.PathLike[str],
    *,
    include_secrets: bool = False,
    dry_run: bool = False,
) -> Written:
    """Write ``plan`` into the TOML file ``target``, over what differs there (see
    :func:`check_import`); keys and other secrets, where they are asked for, into
    ``config.local.toml`` beside it, mode 0600.

    Raises :class:`ConfigError`, before anything is written, when a file cannot be edited.
    """
    secrets = Path(target).with_name(SECRETS_FILE)
    to_write = [(Path(target), _public(plan, config), False)]
    if include_secrets and _has_secrets(plan):
        to_write.append((secrets, _private(plan), True))
    for path, change, secret in to_write:
        edit(path, change, secret=secret, dry_run=True)
    diffs = {
        str(path): edit(path, change, secret=secret, dry_run=dry_run)
        for path, change, secret in to_write
    }
    left_out = () if include_secrets else tuple(_secrets_left_out(plan))
    return Written(diffs, left_out)


def _differences(plan: Import, config: Config, target: str) -> Iterator[Problem]:
    for provider in plan.providers:
        existing = config.find(provider.name)
        if existing is None:
            continue
        for field, has, says in _fields(existing, provider):
            message = f"{field} is {has}, and the import says {says}"
            where = existing.origin[-1] if existing.origin else target
            fix = "use --replace to overwrite it, or rename the provider"
            yield Problem(where, None, provider.name, message, fix)
    for section, values in plan.settings.sections.items():
        there = config.settings.get(section, {})
        for key, value in _leaves(values):
            has = _at(there, key)
            if has is not None and has != value:
                message = f"{section}.{'.'.join(key)} differs"
                if not holds_secret(key[-1], has):
                    message = f"{section}.{'.'.join(key)} is {has!r}, and the import says {value!r}"
                yield Problem(target, None, None, message, "use --replace to overwrite it")


def _fields(existing: Provider, new: ImportedProvider) -> Iterator[tuple[str, str, str]]:
    """Yield (field, what it is, what the import says) for each that differs; no key is shown."""
    if api_base(existing.base_url) != api_base(new.base_url):
        yield "base_url", safe_url(existing.base_url), safe_url(new.base_url)
    old_key = "a key" if existing.api_key else f"${existing.api_key_env or _own(new)}"
    new_key = f"${new.api_key_env or _own(new)}"
    if new.literal is None and old_key not in (new_key, "a key"):
        yield "api_key_env", old_key, new_key
    if new.default_model and existing.default_model not in (None, new.default_model):
        yield "default_model", repr(existing.default_model), repr(new.default_model)
    for name, value in new.extras.items():
        has = existing.extras.get(name)
        if has is not None and has != value:
            shown = not holds_secret(name, has) and not isinstance(has, Mapping)
            yield name, repr(has) if shown else "another", repr(value) if shown else "another"


def _own(provider: ImportedProvider) -> str:
    return default_variable(provider.name)


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    else:
        yield path, value


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _public(plan: Import, config: Config) -> Any:
    def change(document: MutableMapping[str, Any]) -> None:
        for provider in plan.providers:
            existing = config.find(provider.name)
            fields = {
                "name": provider.name,
                "base_url": provider.base_url,
                "api_key_env": provider.api_key_env or "",
                "default_model": provider.default_model or "",
            }
            remove = []
            if existing is not None:
                if api_base(existing.base_url) == api_base(provider.base_url):
                    fields["base_url"] = existing.base_url  # a trailing slash, or Azure's form
                if provider.api_key_env == default_variable(provider.name):
                    fields["api_key_env"] = (existing.api_key_env and provider.api_key_env) or ""
                if existing.api_key_env and not provider.api_key_env and not provider.literal:
                    remove = ["api_key_env"]
            set_provider(document, fields, remove)
            set_extras(document, provider.name, provider.extras)
        for section, values in plan.settings.sections.items():
            merge_table(document, ("plugin", "litellm", section), values)

    return change


def _has_secrets(plan: Import) -> bool:
    settings = plan.settings
    return bool(
        settings.secrets
        or settings.environment
        or any(p.literal or p.secret_extras for p in plan.providers)
    )


def _private(plan: Import) -> Any:
    def change(document: MutableMapping[str, Any]) -> None:
        for provider in plan.providers:
            if provider.literal:
                set_provider(document, {"name": provider.name, "api_key": str(provider.literal)})
            set_extras(document, provider.name, provider.secret_extras)
        for section, values in plan.settings.secrets.items():
            merge_table(document, ("plugin", "litellm", section), values)
        merge_table(document, ("env",), plan.settings.environment)

    return change


def _secrets_left_out(plan: Import) -> Iterator[str]:
    """Yield a line for each secret that is not written, and what to do instead."""
    hint = "--include-secrets writes it to config.local.toml"
    for p in plan.providers:
        if p.literal:
            yield f"the key of provider {p.name!r}: set {_own(p)} to it, or {hint}"
        for name in p.secret_extras:
            yield f"{name} of provider {p.name!r} holds a secret: {hint}"
    for section, values in plan.settings.secrets.items():
        for name in values:
            yield f"{section}.{name} holds a secret: {hint}"
    for name in plan.settings.environment:
        yield f"environment_variables.{name}: set {name} yourself, or {hint}, under [env]"

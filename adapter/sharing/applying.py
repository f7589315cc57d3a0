"""Lay an import over the user's TOML files: what would be overwritten, and the write itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from adapter._tables import leaves, value_at
from adapter.call.translation import api_base
from adapter.config.files import OURS, SECRETS_FILE, documents
from adapter.config.loading import Config
from adapter.config.provider import Provider, safe_url
from adapter.editing.edits import Edit, edit_all, merge_table, set_extras, set_providers
from adapter.errors import ConfigError, Problem
from adapter.keys.precedence import default_variable
from adapter.secrets.policy import has_secret
from adapter.sharing.importing import Import
from adapter.sharing.settings import split_secrets

__all__ = ["check_import", "write_import"]


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
    find = _still_counting if replace else _differences
    if differences := list(find(plan, config, Path(target), include_secrets)):
        raise ConfigError(differences)


def _differences(
    plan: Import, config: Config, path: Path, include_secrets: bool
) -> Iterator[Problem]:
    target = str(path)
    overwrite = "use --replace to overwrite it"
    for provider in plan.providers:
        existing = config.find(provider.name)
        if existing is None:
            continue
        where = existing.origin[-1] if existing.origin else target
        for name, old, new in _differing_fields(existing, provider, include_secrets):
            message = f"{name} is {old}, and the import says {new}"
            fix = f"{overwrite}, or rename the provider"
            yield Problem(where, None, provider.name, message, fix)
    current = {**config.settings, "models": config.models}
    public, secret = split_secrets((), plan.sections)
    for sections in (public or {}, {"models": plan.models}, (include_secrets and secret) or {}):
        for names, old, new in _differing_leaves(current, sections, 1):
            message = f"{'.'.join(names)} is {old}, and the import says {new}"
            yield Problem(target, None, None, message, overwrite)
    # a new alias may hide a provider that the import leaves as it is
    planned = {provider.name for provider in plan.providers}
    has = config.settings.get("router_settings", {}).get("model_group_alias", {})
    aliases = plan.sections.get("router_settings", {}).get("model_group_alias", {})
    for alias in aliases.keys() - has.keys():
        name = alias.partition("/")[0]
        if name not in planned and config.find(name) is not None:
            message = f"the alias {alias!r} would hide the provider {name!r} in a gateway"
            fix = "rename one of them, or use --replace"
            yield Problem(target, None, name, message, fix)
    for name, value in (plan.environment if include_secrets else {}).items():
        if config.env.get(name) not in (None, value):
            yield Problem(target, None, None, f"[env] {name} has another value", overwrite)


def _differing_leaves(
    current: Mapping[str, Any], new: Mapping[str, Any], skipped: int
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Yield (path, what is there, what the import says) for each value of ``new`` that differs.

    The first ``skipped`` names of a path say nothing of a secret, which is not shown.
    """
    for path, value in leaves(new, whole_lists=True):
        old = value_at(current, path)
        if old is not None and old != value:
            if has_secret(path[skipped:], [old, value]):
                yield path, "a secret", "a secret"
            else:
                yield path, repr(old), repr(value)


def _differing_fields(
    existing: Provider, new: Provider, include_secrets: bool = True
) -> Iterator[tuple[str, str, str]]:
    """Yield (field, what it is, what the import says) for each that differs; no key is shown."""
    moved = api_base(existing.base_url) != api_base(new.base_url)
    if moved:
        yield "base_url", safe_url(existing.base_url), safe_url(new.base_url)
    yield from _differing_key(existing, new, moved, include_secrets)
    if new.default_model and existing.default_model not in (None, new.default_model):
        yield "default_model", repr(existing.default_model), repr(new.default_model)
    public, secret = split_secrets((), new.extras)
    for extras in (public or {}, (include_secrets and secret) or {}):
        for path, old, imported in _differing_leaves(existing.extras, extras, 0):
            yield ".".join(path), old, imported


def _differing_key(
    existing: Provider, new: Provider, moved: bool, include_secrets: bool
) -> Iterator[tuple[str, str, str]]:
    variables = f"${existing.key_variable}", f"${new.key_variable}"
    if not existing.api_key:
        if new.api_key is None and len(set(variables)) > 1:
            yield "api_key_env", *variables
    elif new.api_key is None:
        # the conventional variable is what an export writes in place of the key itself
        if moved or new.key_variable != default_variable(new.name):
            yield "api_key", "a key", variables[1]
    elif existing.api_key != new.api_key and (moved or include_secrets):
        yield "api_key", "a key", "another one"


def _still_counting(
    plan: Import, config: Config, target: Path, include_secrets: bool
) -> Iterator[Problem]:
    """Yield fields of other files than ``target`` that would still count after a replacement."""
    order = [os.path.realpath(path) for path in config.files]
    here, local = os.path.realpath(target), os.path.realpath(target.with_name(SECRETS_FILE))
    for provider in plan.providers:
        existing = config.find(provider.name)
        if existing is None:
            continue
        differing = {name for name, *_ in _differing_fields(existing, provider)}
        for path in existing.origin:
            real = os.path.realpath(path)
            if real == here:
                continue
            later = here in order and order.index(real) > order.index(here)
            overwritten = include_secrets and provider.api_key and real == local
            tables = [table for d in documents([path]) for table in d.data.get("providers", [])]
            for name in (f for t in tables if t.get("name") == provider.name for f in t):
                key = name == "api_key" and bool(differing & {"base_url", "api_key"})
                if (key and not overwritten) or (later and name in differing - {"api_key"}):
                    message = f"{name} is here and would still count after the import"
                    fix = f"remove it here, or import with --to {path}"
                    yield Problem(path, None, provider.name, message, fix)


def write_import(
    plan: Import,
    config: Config,
    target: str | os.PathLike[str],
    *,
    include_secrets: bool = False,
    dry_run: bool = False,
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Write ``plan`` into the TOML file ``target``, over whatever differs there.

    Returns the unified diff of each file, without keys, and a line for each secret that is left
    out. Keys and other secrets, where they are asked for, go into ``config.local.toml`` beside it,
    mode 0600. :func:`check_import` tells beforehand what would be lost. Raises
    :class:`ConfigError`, before anything is written, when a file cannot be edited.
    """
    left_out = tuple(_secrets_left_out(plan))
    edits = [Edit(target, _change(plan, config))]
    if include_secrets and left_out:
        secrets = Path(target).with_name(SECRETS_FILE)
        edits.append(Edit(secrets, _change(plan, config, secret=True), secret=True))
    diffs = edit_all(edits, dry_run=dry_run)
    return diffs, () if include_secrets else left_out


def _change(
    plan: Import, config: Config, *, secret: bool = False
) -> Callable[[MutableMapping[str, Any]], None]:
    """Return what lays the plan, or only its secrets, over a file."""
    keyed: list[tuple[dict[str, str], list[str]]] = [
        ({"name": p.name, "api_key": str(p.api_key)}, []) for p in plan.providers if p.api_key
    ]
    sections = split_secrets((), plan.sections)[secret] or {}
    sections = sections if secret else {"models": plan.models, **sections}

    def change(document: MutableMapping[str, Any]) -> None:
        fields = [_fields(p, config.find(p.name)) for p in plan.providers]
        set_providers(document, keyed if secret else fields)
        for provider in plan.providers:
            extras = split_secrets((), provider.extras)[secret]
            set_extras(document, provider.name, extras or {})
        for section, values in sections.items():
            merge_table(document, (*OURS, section), values)
        merge_table(document, ("env",), plan.environment if secret else {})

    return change


def _fields(provider: Provider, existing: Provider | None) -> tuple[dict[str, str], list[str]]:
    """Return the fields to set and those to delete."""
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
        if existing.api_key_env and not provider.api_key_env and not provider.api_key:
            remove = ["api_key_env"]
        if any(name == "api_key" for name, *_ in _differing_fields(existing, provider)):
            remove.append("api_key")  # it goes before any variable, and to the new base
            if provider.api_key_env:
                fields["api_key_env"] = provider.api_key_env
    return fields, remove


def _secrets_left_out(plan: Import) -> Iterator[str]:
    """Yield a line for each secret that is not written, and what to do instead."""
    hint = "--include-secrets writes it to config.local.toml"
    for p in plan.providers:
        if p.api_key:
            yield f"the key of provider {p.name!r}: set {default_variable(p.name)} to it, or {hint}"
        for name in split_secrets((), p.extras)[True] or {}:
            yield f"{name} of provider {p.name!r} holds a secret: {hint}"
    for section, values in (split_secrets((), plan.sections)[True] or {}).items():
        for name in values:
            yield f"{section}.{name} holds a secret: {hint}"
    for name in plan.environment:
        yield f"environment_variables.{name}: set {name} yourself, or {hint}, under [env]"

"""Writing an import into the TOML files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple

from adapter.call.translation import api_base
from adapter.config.files import SECRETS_FILE
from adapter.config.loading import Config
from adapter.config.provider import Provider
from adapter.editing.edits import Edit, edit_all, merge_table, set_extras, set_providers
from adapter.keys.precedence import default_variable
from adapter.sharing.import_differences import differing_fields
from adapter.sharing.import_routes import ImportedProvider
from adapter.sharing.importing import Import

__all__ = ["Written", "write_import"]


class Written(NamedTuple):
    """What was written, or would be: a unified diff for each file, without keys."""

    diffs: Mapping[str, str]
    left_out: tuple[str, ...]


def write_import(
    plan: Import,
    config: Config,
    target: str | os.PathLike[str],
    *,
    include_secrets: bool = False,
    dry_run: bool = False,
) -> Written:
    """Write ``plan`` into the TOML file ``target``, over whatever differs there.

    Keys and other secrets, where they are asked for, go into ``config.local.toml`` beside it, mode
    0600. ``import_differences.check_import`` tells beforehand what would be lost.
    Raises :class:`ConfigError`, before anything is written, when a file cannot be edited.
    """
    secrets = Path(target).with_name(SECRETS_FILE)
    edits = [Edit(target, _public(plan, config))]
    if include_secrets and _has_secrets(plan):
        edits.append(Edit(secrets, _private(plan), secret=True))
    diffs = edit_all(edits, dry_run=dry_run)
    left_out = () if include_secrets else tuple(_secrets_left_out(plan))
    return Written(diffs, left_out)


def _own(provider: ImportedProvider) -> str:
    return default_variable(provider.name)


def _public(plan: Import, config: Config) -> Any:
    def change(document: MutableMapping[str, Any]) -> None:
        set_providers(document, [_fields(p, config.find(p.name)) for p in plan.providers])
        for provider in plan.providers:
            set_extras(document, provider.name, provider.extras)
        for section, values in plan.settings.sections.items():
            merge_table(document, ("plugin", "litellm", section), values)

    return change


def _fields(
    provider: ImportedProvider, existing: Provider | None
) -> tuple[dict[str, str], list[str]]:
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
        if existing.api_key_env and not provider.api_key_env and not provider.literal:
            remove = ["api_key_env"]
        if any(field == "api_key" for field, *_ in differing_fields(existing, provider)):
            remove.append("api_key")  # it goes before any variable, and to the new base
            if provider.api_key_env:
                fields["api_key_env"] = provider.api_key_env
    return fields, remove


def _has_secrets(plan: Import) -> bool:
    settings = plan.settings
    return bool(
        settings.secrets
        or settings.environment
        or any(p.literal or p.secret_extras for p in plan.providers)
    )


def _private(plan: Import) -> Any:
    def change(document: MutableMapping[str, Any]) -> None:
        keyed = [p for p in plan.providers if p.literal]
        set_providers(document, [({"name": p.name, "api_key": str(p.literal)}, ()) for p in keyed])
        for provider in plan.providers:
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

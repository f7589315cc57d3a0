"""Add and remove providers, and say where their keys come from, in the user's TOML files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from adapter.call.resolution import local_provider
from adapter.config.files import PROVIDERS, documents, files_with, secrets_file, shared_file
from adapter.config.loading import Config
from adapter.config.provider import FIELDS, Provider, base_url_fault, name_fault
from adapter.editing.edits import (
    Edit,
    edit_all,
    keep_tables,
    merge_table,
    prune,
    remove_provider,
    set_extras,
    set_provider,
)
from adapter.editing.toml_text import provider_arrays
from adapter.errors import ConfigError, Problem
from adapter.keys.sources import KEY_SETTINGS
from adapter.secrets.references import is_variable

__all__ = [
    "add",
    "from_local",
    "keys_before_keyring",
    "remove",
    "set_default_model",
    "set_keyring",
]

Change = Callable[[MutableMapping[str, Any]], None]


def add(
    provider: Provider, config: Config, *, local: bool = False, dry_run: bool = False
) -> dict[str, str]:
    """Write a new provider and its parameters; return the diff, without keys, of each file.

    It goes to the file that has the others, with ``local`` to ``config.local.toml``; a key always
    goes to the latter, mode 0600. Raises :class:`ConfigError` for a name or URL that cannot be
    used, and for a name that is already configured.
    """
    target = secrets_file() if local else shared_file()
    _check(provider, config, str(target))
    fields = {f: str(v) for f in FIELDS if f != "api_key" and (v := getattr(provider, f))}
    key = {"name": provider.name, "api_key": str(provider.api_key)} if provider.api_key else {}
    own = secrets_file()
    if key and own == target:
        change = _adding(fields | key, target, provider.extras)
        return edit_all([Edit(target, change, secret=True)], dry_run=dry_run)
    edits = [Edit(target, _adding(fields, target, provider.extras), secret=local)]
    if key:
        # a key alone, without its base_url, is an error: it comes last, and goes first
        edits.append(Edit(own, _adding(key, own, {}), secret=True))
    return edit_all(edits, dry_run=dry_run)


def _adding(values: dict[str, str], target: Path, extras: Mapping[str, Any]) -> Change:
    def change(document: MutableMapping[str, Any]) -> None:
        arrays = provider_arrays(document).values()
        # somebody may have added one of that name since the configuration was read
        if any(table.get("name") == values["name"] for array in arrays for table in array):
            raise ConfigError([_taken(str(target), values["name"])])
        set_provider(document, values)
        set_extras(document, values["name"], extras)

    return change


def _taken(where: str, name: str) -> Problem:
    fix = f"choose another name, edit the file, or: adapter providers remove {name}"
    return Problem(where, None, name, "is already configured", fix)


def _check(provider: Provider, config: Config, target: str) -> None:
    problems = []
    if fault := name_fault(provider.name):
        fix = 'use a name like "groq" or "vllm-local"'
        problems.append(Problem(target, None, None, fault, fix))
    if wrong := base_url_fault(provider.base_url):
        problems.append(Problem(target, None, provider.name or None, *wrong))
    if provider.api_key_env and not is_variable(provider.api_key_env):
        # the value is not shown: it may well be a key
        what = "the value of --api-key-env is not the name of a variable"
        fix = "name a variable, like GROQ_API_KEY; to give the key itself, use --api-key-stdin"
        problems.append(Problem(target, None, provider.name, what, fix))
    existing = config.find(provider.name)
    if existing is not None:
        where = existing.origin[-1] if existing.origin else target
        problems.append(_taken(where, provider.name))
    if problems:
        raise ConfigError(problems)


def remove(name: str, config: Config, *, dry_run: bool = False) -> dict[str, str]:
    """Remove a provider from every file that has it; return the diff of each, without keys.

    Its ``[plugin.litellm.providers.NAME]`` goes too. Raises :class:`UnknownProviderError`.
    """
    config.provider(name)
    paths = reversed(files_with(name, config.files))
    edits = [Edit(path, lambda document: remove_provider(document, name)) for path in paths]
    return edit_all(edits, dry_run=dry_run)


def from_local(name: str, config: Config) -> Provider:
    """Return gptme's ``local`` provider of today, which lives in variables alone, under a name.

    Raises :class:`ConfigError` when ``OPENAI_BASE_URL`` is not set.
    """
    provider = local_provider(config)
    prefix, slash, rest = (config.default_model or config.getenv("MODEL") or "").partition("/")
    model = rest if prefix + slash == "local/" else None
    variable = "OPENAI_API_KEY" if config.getenv("OPENAI_API_KEY") is not None else None
    return Provider(name, provider.base_url, None, variable, model or None)


def keys_before_keyring(name: str, config: Config) -> list[Problem]:
    """Return each setting of a provider that comes before its key in the keyring.

    Raises :class:`UnknownProviderError`.
    """
    provider = config.provider(name)
    fields = [f for f in ("api_key", "api_key_env") if (getattr(provider, f) or "").strip()]
    settings = [s for s in KEY_SETTINGS if s != "api_key_keyring" and provider.extras.get(s)]
    places: list[tuple[str, str, int | None]] = []
    for document in documents(config.files):
        for number, table in enumerate(document.data.get("providers", [])):
            if table.get("name") == name:
                lines = {f: document.line("providers", number, f) for f in fields if table.get(f)}
                places += [(field, document.path, line) for field, line in lines.items()]
        places += [(s, document.path, None) for s in settings if document.at(*PROVIDERS, name, s)]
    fix = "remove it there and run this again, or use --replace"
    return [
        Problem(path, line, name, f"{setting} takes precedence over the keyring", fix)
        for setting, path, line in places
    ]


def set_keyring(
    name: str, on: bool, config: Config, *, replace: bool = False, dry_run: bool = False
) -> dict[str, str]:
    """Write that a provider's key is in the keyring, or take that back; return each file's diff.

    It is written where it stands already, and taken from every file. ``replace`` removes the
    settings that come before the keyring. Raises :class:`ConfigError` for a file that cannot be
    edited, before any is written.
    """
    path = (*PROVIDERS, name, "api_key_keyring")
    paths = [d.path for d in documents(config.files) if d.at(*path) is not None]
    if on:
        paths = paths[-1:] or [str(shared_file())]
    others = [problem.path for problem in keys_before_keyring(name, config)] if replace else []

    def change_of(file: str) -> Change:
        def change(document: MutableMapping[str, Any]) -> None:
            if file in others:
                _remove_keys(document, name)
            if file in paths and on:
                merge_table(document, path[:-1], {path[-1]: True})
            elif file in paths:
                prune(document, path)

        return change

    files = dict.fromkeys([*paths, *others])
    return edit_all([Edit(file, change_of(file)) for file in files], dry_run=dry_run)


def _remove_keys(document: MutableMapping[str, Any], name: str) -> None:
    """Remove what says where a provider's key is, and a table that said nothing else."""

    def is_kept(table: MutableMapping[str, Any]) -> bool:
        if table.get("name") != name:
            return True
        for field in ("api_key", "api_key_env"):
            table.pop(field, None)
        return set(table) != {"name"}

    keep_tables(document, is_kept)
    for setting in KEY_SETTINGS:
        prune(document, (*PROVIDERS, name, setting))


def set_default_model(model: str, config: Config, *, dry_run: bool = False) -> dict[str, str]:
    """Write ``[models] default``; return the diff of the file that changes.

    It is written to the file whose value counts today, else to the one that has the providers.
    """
    holding = [d.path for d in documents(config.files) if d.at("models", "default") is not None]
    path = holding[-1] if holding else str(shared_file())
    edit = Edit(path, lambda document: merge_table(document, ("models",), {"default": model}))
    return edit_all([edit], dry_run=dry_run)

"""Adding and removing providers in the user's TOML files, and finding servers on this machine."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from adapter.checks import VARIABLE
from adapter.config import Config
from adapter.discovery import discover, is_loopback
from adapter.editing import edit, merge_table, prune, remove_provider, set_provider, shared_file
from adapter.errors import ConfigError, Problem
from adapter.files import Document, config_paths, read_document
from adapter.key_sources import KEY_SETTINGS
from adapter.keys import Secret
from adapter.known_providers import KNOWN, LOCAL
from adapter.providers import Provider, base_url_fault, name_fault
from adapter.resolution import local_provider

__all__ = [
    "Found",
    "NewProvider",
    "add",
    "check_keyring",
    "files_of",
    "find_local",
    "from_local",
    "known",
    "remove",
    "secrets_file",
    "set_keyring",
]


class NewProvider(NamedTuple):
    """A provider to add; ``api_key`` is a key itself and goes to the private file."""

    name: str
    base_url: str
    api_key_env: str | None = None
    default_model: str | None = None
    api_key: Secret | None = None


class Found(NamedTuple):
    """A server that answers on this machine, with the ids of its models."""

    name: str
    base_url: str
    models: list[str]


def secrets_file() -> Path:
    """Return the file for what may hold keys: ``config.local.toml``, or the one file named."""
    paths, named = config_paths()
    return Path(paths[0] if named else paths[-1])


def add(
    provider: NewProvider, config: Config, *, local: bool = False, dry_run: bool = False
) -> dict[str, str]:
    """Write a new provider; return the diff, without keys, of each file that changes.

    It goes to the file that has the others, with ``local`` to ``config.local.toml``; a key always
    goes to the latter, mode 0600. Raises :class:`ConfigError` for a name or URL that cannot be
    used, and for a name that is configured already.
    """
    target = secrets_file() if local else shared_file()
    _check(provider, config, str(target))
    fields = {
        "name": provider.name,
        "base_url": provider.base_url,
        "api_key_env": provider.api_key_env or "",
        "default_model": provider.default_model or "",
    }
    edits: list[tuple[Path, dict[str, str], bool]] = []
    if provider.api_key:
        own = secrets_file()
        key = {"name": provider.name, "api_key": str(provider.api_key)}
        if own == target:
            edits.append((target, {**fields, **key}, True))
        else:
            # the key first: a provider without its key would take the conventional variable's
            edits += [(own, key, True), (target, fields, False)]
    else:
        edits.append((target, fields, local))
    for path, values, secret in edits:
        edit(path, _setting(values), secret=secret, dry_run=True)
    return {
        str(path): edit(path, _setting(values), secret=secret, dry_run=dry_run)
        for path, values, secret in edits
    }


def _setting(values: dict[str, str]) -> Any:
    def change(document: MutableMapping[str, Any]) -> None:
        set_provider(document, values)

    return change


def _check(provider: NewProvider, config: Config, target: str) -> None:
    problems = []
    if fault := name_fault(provider.name):
        fix = 'use a name like "groq" or "vllm-local"'
        problems.append(Problem(target, None, None, fault, fix))
    if wrong := base_url_fault(provider.base_url):
        problems.append(Problem(target, None, provider.name or None, *wrong))
    if provider.api_key_env and not VARIABLE.fullmatch(provider.api_key_env):
        # the value is not shown: it may well be a key
        what = "what was given for --api-key-env is not the name of a variable"
        fix = "name a variable, like GROQ_API_KEY; a key itself is read by --api-key-stdin"
        problems.append(Problem(target, None, provider.name, what, fix))
    existing = config.find(provider.name)
    if existing is not None:
        where = existing.origin[-1] if existing.origin else target
        fix = f"choose another name, edit the file, or: adapter providers remove {provider.name}"
        problems.append(Problem(where, None, provider.name, "is configured already", fix))
    if problems:
        raise ConfigError(problems)


def remove(name: str, config: Config, *, dry_run: bool = False) -> dict[str, str]:
    """Remove a provider from every file that has it; return the diff of each, without keys.

    Its ``[plugin.litellm.providers.NAME]`` goes too. Raises :class:`UnknownProviderError`.
    """
    config.provider(name)
    paths = [path for path in config.files if _holds(path, name)]

    def change(document: MutableMapping[str, Any]) -> None:
        remove_provider(document, name)

    for path in paths:
        edit(path, change, dry_run=True)
    return {path: edit(path, change, dry_run=dry_run) for path in paths}


def _holds(path: str, name: str) -> bool:
    document = read_document(path, required=False)
    if not isinstance(document, Document):
        return False
    tables = document.data.get("providers", [])
    extras: Any = document.data
    for part in ("plugin", "litellm", "providers"):
        extras = extras.get(part) if isinstance(extras, dict) else None
    named = any(isinstance(t, dict) and t.get("name") == name for t in tables)
    return named or (isinstance(extras, dict) and name in extras)


def files_of(name: str, config: Config) -> list[str]:
    """Return the files that hold a provider, or its ``[plugin.litellm.providers.NAME]`` alone."""
    return [path for path in config.files if _holds(path, name)]


def known(name: str) -> NewProvider:
    """Return what is known of a provider by its name; an empty ``base_url`` for an unknown one."""
    row = KNOWN.get(name)
    return NewProvider(name, row.base_url, row.api_key_env) if row else NewProvider(name, "")


def from_local(name: str, config: Config) -> NewProvider:
    """Return gptme's ``local`` provider of today, which lives in variables alone, under a name.

    Raises :class:`ConfigError` when ``OPENAI_BASE_URL`` is not set.
    """
    provider = local_provider(config)
    keyed = config.getenv("OPENAI_API_KEY") is not None
    prefix, slash, rest = (config.default_model or config.getenv("MODEL") or "").partition("/")
    model = rest if prefix + slash == "local/" else None
    return NewProvider(name, provider.base_url, "OPENAI_API_KEY" if keyed else None, model or None)


def check_keyring(name: str, config: Config) -> None:
    """Raise :class:`ConfigError` for each setting that comes before the key in the keyring.

    Raises :class:`UnknownProviderError`.
    """
    provider = config.provider(name)
    fields = [f for f in ("api_key", "api_key_env") if (getattr(provider, f) or "").strip()]
    settings = [s for s in KEY_SETTINGS if s != "api_key_keyring" and provider.extras.get(s)]
    problems = []
    for path in config.files:
        document = read_document(path, required=False)
        if not isinstance(document, Document):
            continue
        tables = document.data.get("providers", [])
        found: list[tuple[str, int | None]] = [
            (field, document.line(number, field))
            for number, table in enumerate(tables)
            for field in fields
            if table.get("name") == name and table.get(field)
        ]
        found += [(s, None) for s in settings if _setting_of(document, name, s)]
        fix = "remove it there, then run this again"
        problems += [
            Problem(path, line, name, f"{field} comes before the keyring", fix)
            for field, line in found
        ]
    if problems:
        raise ConfigError(problems)


def set_keyring(name: str, on: bool, config: Config, *, dry_run: bool = False) -> dict[str, str]:
    """Write that a provider's key is in the keyring, or take that back; return each file's diff.

    It is written where it stands already, and taken from every file. Raises :class:`ConfigError`
    for a file that cannot be edited, before any is written.
    """
    path = ("plugin", "litellm", "providers", name, "api_key_keyring")
    paths = []
    for file in config.files:
        document = read_document(file, required=False)
        if isinstance(document, Document) and _setting_of(document, *path[3:]) is not None:
            paths.append(file)
    if on:
        paths = paths[-1:] or [str(shared_file())]

    def change(document: MutableMapping[str, Any]) -> None:
        if on:
            merge_table(document, path[:-1], {path[-1]: True})
        else:
            prune(document, path)

    for file in paths:
        edit(file, change, dry_run=True)
    return {file: edit(file, change, dry_run=dry_run) for file in paths}


def _setting_of(document: Document, name: str, setting: str) -> Any:
    value: Any = document.data
    for key in ("plugin", "litellm", "providers", name, setting):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def find_local(config: Config, ports: dict[str, int] | None = None) -> Iterator[Found]:
    """Yield the servers that answer on their usual loopback ports and are not configured yet.

    All are asked at once, for a second at most, and none is sent a key. ``ports`` stand in for the
    usual ones.
    """
    asked: dict[str, Provider] = {}
    for name in LOCAL:
        base_url = KNOWN[name].base_url
        if ports is not None:
            if name not in ports:
                continue
            base_url = f"http://localhost:{ports[name]}/v1"
        if base_url not in {p.base_url for p in asked.values()}:
            asked[name] = Provider(name, base_url)
    configured = {_server(p.base_url) for p in config.providers}
    found, _ = discover(asked.values(), timeout=1.0, keyless=True)
    for name, models in found.items():
        if _server(asked[name].base_url) not in configured:
            yield Found(name, asked[name].base_url, models)


def _server(base_url: str) -> tuple[str, int]:
    """Return the host and port of a base URL; this machine has one name for all that it has."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return "localhost" if is_loopback(host) else host, port

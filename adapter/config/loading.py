"""Load the configuration: merge the files, check them, and make providers of them.

Merging and meaning follow gptme (``load_user_config``): ``[[providers]]`` merge by name, field by
field, later files over earlier ones; every other table merges key by key. What is ours beyond
gptme's five fields stands under ``[plugin.litellm]``, which gptme leaves alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapter._locks import ForkSafeLock
from adapter._tables import leaves, merge, value_at
from adapter.config.checks import Entry, check_document, check_merged
from adapter.config.files import OUR_TABLES, OURS, PROVIDERS, Document, config_paths, read_document
from adapter.config.provider import FIELDS, Provider
from adapter.errors import ConfigError, Problem, UnknownProviderError
from adapter.keys.precedence import lookup
from adapter.secrets.references import is_variable, referenced_variable
from adapter.secrets.secret import Secret

__all__ = ["Config", "load_config"]

FileState = tuple[int, ...]
"""Mode, inode, size and times of change of a file; empty where one more change might not show."""

GRAIN_NS = 20_000_000
"""Two changes of a file this near, in nanoseconds, may bear one time: Linux before 6.13 and other
systems date them by a clock that takes steps of up to 16 ms (Git: a racily clean file)."""

LOOK_SECONDS = 0.1
"""How long a look at the files counts. It takes five system calls, at each of which another thread
may run first: 3 % of the time of a completion call."""

MOST_CONFIGS = 100
"""How many configurations are kept; then all are forgotten, and read again where they are used."""

READS = 20
"""How often files that keep changing are read before the last reading counts."""


@dataclass(frozen=True)
class Config:
    """The merged configuration files. It never changes: a changed file gives a new one.

    ``files`` are the files that were read, lowest precedence first. ``paths`` also has those that
    do not exist, and ``states`` has the state in which each was read. ``warnings`` are problems
    that do not prevent its use. ``models`` has the ``model_info`` of models ``NAME/ID`` from
    ``[plugin.litellm.models]``. ``settings`` has the other tables of ``[plugin.litellm]`` except
    ``providers``: LiteLLM's sections, ``worker`` and ``gateway``.
    """

    providers: tuple[Provider, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    default_model: str | None = None
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    files: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    states: tuple[FileState | None, ...] = field(default=(), repr=False, compare=False)
    warnings: tuple[Problem, ...] = ()
    _by_name: Mapping[str, Provider] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {p.name: p for p in self.providers})

    def find(self, name: str) -> Provider | None:
        """Return the provider of exactly that name, or ``None``, in constant time."""
        return self._by_name.get(name)

    def provider(self, name: str) -> Provider:
        """Return the provider of exactly that name, or raise :class:`UnknownProviderError`."""
        if name not in self._by_name:
            raise UnknownProviderError(name, self._by_name)
        return self._by_name[name]

    def has_changed(self) -> bool:
        """Return whether a file has changed, appeared or disappeared since it was read."""
        return _states(self.paths) != self.states

    def getenv(self, variable: str, environ: Mapping[str, str] | None = None) -> str | None:
        """Return the value of ``GPTME_X``, else ``X``, else that in ``[env]`` (gptme's rule)."""
        return lookup(variable, environ, self.env)

    def references(self) -> tuple[str, ...]:
        """Return the variables that LiteLLM's settings name as ``os.environ/VAR``, sorted."""
        values = leaves([self.settings, *(provider.extras for provider in self.providers)])
        variables = {referenced_variable(leaf) for _, leaf in values}
        return tuple(sorted(v for v in variables if v and is_variable(v)))


_configs: dict[tuple[tuple[str, ...], bool], Config] = {}
_looks: dict[tuple[str | None, ...], tuple[Config, float]] = {}

_reading = ForkSafeLock()


def load_config(path: str | os.PathLike[str] | None = None) -> Config:
    """Return the configuration of the default files, or of the one file ``path`` alone.

    Without ``path``, the variable ``ADAPTER_CONFIG`` may name that one file. The result is cached.
    The files are checked again after a tenth of a second, or when this process has written one.
    They are read again if one has changed (in modification time, size, inode or mode), or if it
    changed so shortly before that a further change would not show. Never writes a file. Raises
    :class:`ConfigError` with every problem of every file at once.
    """
    named = os.environ.get("ADAPTER_CONFIG") if path is None else os.fspath(path)
    if named and not os.path.isabs(named):  # the working directory may be another one
        return _load(*config_paths(path))
    asked = (named, os.environ.get("XDG_CONFIG_HOME"), os.environ.get("HOME"))
    config, until = _looks.get(asked, (None, 0.0))
    if config is None or time.monotonic() >= until:
        config = _load(*config_paths(path))
        _store(_looks, asked, (config, time.monotonic() + LOOK_SECONDS))
    return config


def expire_looks() -> None:
    """Make the next :func:`load_config` look at the files, one of which was written just now."""
    _looks.clear()


def _load(paths: tuple[str, ...], required: bool) -> Config:
    """Return the configuration of ``paths`` as they are now."""
    key = (paths, required)
    config = _configs.get(key)
    if config is None or config.has_changed():
        with _reading:  # of many threads one reads, and the others take what it has read
            config = _configs.get(key)
            if config is None or config.has_changed():
                config = _read_together(paths, required)
                _store(_configs, key, config)
    return config


def _store(cache: dict[Any, Any], key: Any, value: Any) -> None:
    if len(cache) >= MOST_CONFIGS:
        cache.clear()
    cache[key] = value


def _states(paths: Sequence[str]) -> tuple[FileState | None, ...]:
    states: list[FileState | None] = []
    for path in paths:
        try:
            s = os.stat(path)
        except (OSError, ValueError):
            states.append(None)
        else:
            states.append((s.st_mode, s.st_ino, s.st_size, s.st_ctime_ns, s.st_mtime_ns))
    return tuple(states)


def _read_together(paths: Sequence[str], required: bool) -> Config:
    """Read all of ``paths`` as they were at one moment, again where one changes meanwhile."""
    for last in (*[False] * (READS - 1), True):
        now = time.time_ns()
        states = _states(paths)
        settled = tuple(
            () if s and any(abs(now - time) < GRAIN_NS for time in s[3:]) else s for s in states
        )
        try:
            config = read_config(paths, required, settled)
        except ConfigError:
            if last or states == _states(paths):
                raise
        else:
            if last or states == _states(paths):
                break
    return config


def read_config(
    paths: Sequence[str], required: bool, states: tuple[FileState | None, ...]
) -> Config:
    """Read, check and merge ``paths``; with ``required`` a missing one is an error."""
    config = _read(paths, required, states)
    if isinstance(config, Config):
        return config
    raise ConfigError(config)  # not in _read, whose frame holds the files' text with keys


def _read(
    paths: Sequence[str], required: bool, states: tuple[FileState | None, ...]
) -> Config | list[Problem]:
    """Return the configuration, or all that is wrong, the errors first."""
    documents: list[Document] = []
    problems: list[Problem] = []
    for path in paths:
        document = read_document(path, required=required)
        if isinstance(document, Problem):
            problems.append(document)
        elif document is not None:
            documents.append(document)
            problems += check_document(document)
    entries = _merge_entries(documents)
    merged: dict[str, Any] = {}
    for document in documents:
        merged = merge(merged, document.data)
    problems += check_merged(documents, entries)
    if any(not p.warning for p in problems):
        return sorted(problems, key=lambda p: p.warning)
    env = _table(merged, "env")
    secret_env = {k: Secret(v) for k, v in env.items() if isinstance(v, str | int | float)}
    return Config(
        providers=tuple(
            Provider(
                **{f: entry.values[f] for f in FIELDS if entry.values.get(f)},
                extras=entry.params,
                origin=entry.origin,
                env=secret_env,
                command_file=entry.file("api_key_cmd"),
            )
            for entry in entries.values()
        ),
        env=secret_env,
        default_model=_table(merged, "models").get("default") or None,
        settings=_settings(_table(merged, *OURS)),
        models=_table(merged, *OURS, "models"),
        files=tuple(d.path for d in documents),
        paths=tuple(paths),
        states=states,
        warnings=tuple(problems),
    )


def _settings(ours: Mapping[str, Any]) -> dict[str, Any]:
    sections = {t: ours[t] for t in OUR_TABLES if t in ours and t not in ("providers", "models")}
    if not sections:
        return {}
    from adapter.secrets.policy import wrap_secrets

    return {name: wrap_secrets(section, (name,)) for name, section in sections.items()}


def _merge_entries(documents: Sequence[Document]) -> dict[str, Entry]:
    """Return name -> what the files say of that provider: later files win field by field."""
    merged: dict[str, Entry] = {}
    for document in documents:
        entries = document.data.get("providers")
        for index, values in enumerate(entries if isinstance(entries, list) else []):
            name = values.get("name") if isinstance(values, dict) else None
            if isinstance(name, str) and name:  # else reported by check_document
                merged.setdefault(name, Entry()).add(document, index, values)
    for document in documents:
        for name in merged.keys() & _table(document.data, *PROVIDERS).keys():
            path = (*PROVIDERS, name)
            merged[name].add_params(document, path, document.at(*path))
    return merged


def _table(parent: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    value = value_at(parent, path)
    return value if isinstance(value, dict) else {}

"""The configuration: the files merged, checked, and turned into providers.

Merging and meaning follow gptme (``load_user_config``): ``[[providers]]`` merge by name, field by
field, later files over earlier ones; every other table merges key by key. What is ours beyond
gptme's five fields stands under ``[plugin.litellm]``, which gptme leaves alone.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from adapter.config.checks import OUR_TABLES, check_document, check_merged
from adapter.config.file_state import State, are_still, encoded, settled, state_of
from adapter.config.files import Document, config_paths, read_document
from adapter.config.provider import FIELDS, Provider
from adapter.errors import ConfigError, Problem, UnknownProviderError
from adapter.keys.precedence import lookup
from adapter.secrets.secret import Secret

__all__ = ["Config", "load_config"]

States = tuple[State | None, ...]


@dataclass(frozen=True)
class Config:
    """What the configuration files say, merged. Immutable; a changed file gives a new one.

    ``files`` are the files that were read, lowest precedence first; ``paths`` are these and those
    that were looked for in vain, and ``states`` what they were like, where that tells a change.
    ``warnings`` are the problems that stop nothing. Of ``[plugin.litellm]``, ``models`` holds what
    is said of a model ``NAME/ID``, in LiteLLM's ``model_info`` words, and ``settings`` the other
    tables but ``providers``: LiteLLM's sections, ``worker``, ``gateway``.
    """

    providers: tuple[Provider, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    default_model: str | None = None
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    files: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    states: States = field(default=(), repr=False, compare=False)
    warnings: tuple[Problem, ...] = ()
    _by_name: Mapping[str, Provider] = field(init=False, repr=False, compare=False)
    _encoded: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {p.name: p for p in self.providers})
        object.__setattr__(self, "_encoded", tuple(map(encoded, self.paths)))

    def find(self, name: str) -> Provider | None:
        """Return the provider of exactly that name, or ``None``; the cost does not grow."""
        return self._by_name.get(name)

    def provider(self, name: str) -> Provider:
        """Return the provider of exactly that name, or raise :class:`UnknownProviderError`."""
        found = self._by_name.get(name)
        if found is None:
            raise UnknownProviderError(name, self._by_name)
        return found

    def has_changed(self) -> bool:
        """Whether one of the files is not as it was read, or is there now and was not."""
        return not are_still(self._encoded, self.states)

    def getenv(self, variable: str, environ: Mapping[str, str] | None = None) -> str | None:
        """Return a variable by gptme's rule: ``GPTME_X``, then ``X``, then the ``[env]`` table."""
        return lookup(variable, environ, self.env)

    def references(self) -> tuple[str, ...]:
        """Return the variables that LiteLLM's settings name as ``os.environ/VAR``, sorted."""
        extras = [dict(provider.extras) for provider in self.providers]
        text = json.dumps([dict(self.settings), extras], default=str)
        return tuple(sorted(set(_REFERENCE.findall(text))))


_REFERENCE = re.compile(r"os\.environ/(\w+)")

_cache: dict[tuple[tuple[str, ...], bool], Config] = {}

_reading = Lock()


def _new_lock() -> None:
    """In a forked child: a thread that was reading there is not here to let the lock go."""
    global _reading  # noqa: PLW0603 - the one lock of this process
    _reading = Lock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_new_lock)

READS = 20
"""How often files that keep changing are read before the last reading counts."""


def load_config(path: str | os.PathLike[str] | None = None) -> Config:
    """Return the configuration of the default files, or of the one file ``path`` alone.

    Without ``path`` the variable ``ADAPTER_CONFIG`` may name that one file. The result is cached
    and read again when a file changes (by modification time, size, inode or mode), or had changed
    so shortly before that one more change would not show. No file is ever written. Raises
    :class:`ConfigError` with every problem of every file at once.
    """
    key = config_paths(path)
    cached = _cache.get(key)
    if cached is None or cached.has_changed():
        with _reading:  # of many threads one reads, and the others take what it has read
            cached = _cache.get(key)
            if cached is None or cached.has_changed():
                cached = _cache[key] = _read_together(*key)
    return cached


def _read_together(paths: Sequence[str], required: bool) -> Config:
    """Read ``paths`` as they were at one moment: one before and one after a change fit neither."""
    for last in (*[False] * (READS - 1), True):
        now = time.time_ns()
        states = _states(paths)
        kept = tuple(settled(state, now) for state in states)
        try:
            config = read_config(paths, required, kept)
        except ConfigError:
            if last or states == _states(paths):
                raise
        else:
            if last or states == _states(paths):
                break
    return config


def _states(paths: Sequence[str]) -> States:
    return tuple(map(state_of, map(encoded, paths)))


def read_config(paths: Sequence[str], required: bool, states: States) -> Config:
    """Read, check and merge ``paths``; with ``required`` a missing one is an error."""
    found = _read(paths, required, states)
    if isinstance(found, Config):
        return found
    raise ConfigError(found)  # from a frame that does not hold the files' text, for it has keys


def _read(paths: Sequence[str], required: bool, states: States) -> Config | list[Problem]:
    """Return the configuration, or all that is wrong, the errors first."""
    documents: list[Document] = []
    problems: list[Problem] = []
    for path in paths:
        found = read_document(path, required=required)
        if isinstance(found, Problem):
            problems.append(found)
        elif found is not None:
            documents.append(found)
            problems += check_document(found)
    tables = _merge_providers(documents)
    merged: dict[str, Any] = {}
    for document in documents:
        merged = _merge_tables(merged, document.data)
    ours = _table(_table(merged, "plugin"), "litellm")
    env = {
        k: Secret(v) for k, v in _table(merged, "env").items() if isinstance(v, str | int | float)
    }
    problems += check_merged(documents, tables, ours)
    if any(not p.warning for p in problems):
        return sorted(problems, key=lambda p: p.warning)
    extras = _table(ours, "providers")
    return Config(
        providers=tuple(
            Provider(
                **{f: values[f] for f in FIELDS if values.get(f)},
                extras=extras.get(name, {}),
                origin=origin,
                env=env,
            )
            for name, (values, origin) in tables.items()
        ),
        env=env,
        default_model=_table(merged, "models").get("default") or None,
        settings=_settings(ours),
        models=_table(ours, "models"),
        files=tuple(d.path for d in documents),
        paths=tuple(paths),
        states=states,
        warnings=tuple(problems),
    )


def _settings(ours: Mapping[str, Any]) -> dict[str, Any]:
    given = {t: ours[t] for t in OUR_TABLES if t in ours and t not in ("providers", "models")}
    if not given:
        return {}
    from adapter.secrets.policy import wrap_secrets

    return {name: wrap_secrets(section, (name,)) for name, section in given.items()}


def _merge_providers(
    documents: Sequence[Document],
) -> dict[str, tuple[dict[str, Any], tuple[str, ...]]]:
    """Return name -> (fields, files it came from): later files win field by field."""
    tables: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {}
    for document in documents:
        entries = document.data.get("providers")
        for entry in entries if isinstance(entries, list) else []:
            name = entry.get("name") if isinstance(entry, dict) else None
            if not isinstance(name, str) or not name:
                continue  # reported by check_document
            values, origin = tables.get(name, ({}, ()))
            seen = origin if document.path in origin else (*origin, document.path)
            tables[name] = ({**values, **entry}, seen)
    return tables


def _merge_tables(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``over`` laid on it, tables key by key, everything else replaced."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[key] = _merge_tables(old, value)
        else:
            merged[key] = value
    return merged


def _table(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = parent.get(key)
    return value if isinstance(value, dict) else {}

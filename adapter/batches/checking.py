"""The whole input is checked before anything is sent: what is wrong in it, and where lines go."""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from adapter.batches.formats import InputError, Recipe, Request, Source, hash_of
from adapter.call.resolution import EMBEDDED, Resolution, resolve
from adapter.call.translation import OWN_ATTEMPTS, PREFIX
from adapter.config.loading import Config, load_config
from adapter.errors import AdapterError, ConfigError, ExitCode, MissingKeyError, Problem
from adapter.keys.sources import KEY_SETTINGS
from adapter.upstream.prefixes import OPENAI_COMPATIBLE, is_litellm_model

__all__ = [
    "DONE",
    "PENDING",
    "SENT",
    "Destination",
    "Index",
    "check",
    "check_model",
    "why_not_direct",
]

MOST_PROBLEMS = 1000
"""How many are told of; at more, the rest of the input is not looked at."""

PENDING, SENT, DONE = range(3)
"""States of a line: not asked, asked by a run that ended meanwhile, answered."""

_FOR_CALLS = {"extra_headers", "timeout", "ssl_verify", "num_retries", "max_retries", "rpm", "tpm"}
_DIRECT = {*_FOR_CALLS, *KEY_SETTINGS, *OWN_ATTEMPTS, "custom_llm_provider"}
"""Parameters of a provider that change no body, so that it can be posted as it stands."""


class Index:
    """The lines of the input, some 30 bytes each: hashes of id and request, destination, state.

    A position is a line's place among the records. ``states`` may be changed.
    """

    def __init__(self) -> None:
        self.numbers = array("I")
        self.ids = array("Q")
        self.requests = array("Q")
        self.destinations = array("H")
        self.states = bytearray()
        self._slots = array("I", bytes(4 * 1024))  # a hash table: position + 1, or 0

    def __len__(self) -> int:
        return len(self.ids)

    def find(self, id_hash: int) -> int | None:
        """Return the position of the line whose ``custom_id`` has this hash."""
        slot = self._slot(id_hash)
        return self._slots[slot] - 1 if self._slots[slot] else None

    def add(self, request: Request, destination: int) -> int | None:
        """Add a line; return the position of the one that has its ``custom_id`` already."""
        id_hash = hash_of(request.custom_id)
        if (first := self.find(id_hash)) is not None:
            return first
        self.numbers.append(request.number)
        self.ids.append(id_hash)
        self.requests.append(request.hash())
        self.destinations.append(destination)
        self.states.append(PENDING)
        if 2 * len(self.ids) > len(self._slots):
            self._slots = array("I", bytes(8 * len(self._slots)))
            for position, id_hash in enumerate(self.ids):
                self._slots[self._slot(id_hash)] = position + 1
        else:
            self._slots[self._slot(id_hash)] = len(self.ids)
        return None

    def _slot(self, id_hash: int) -> int:
        """Return the slot that holds a hash, or the free one where it belongs."""
        slots, mask = self._slots, len(self._slots) - 1
        slot = id_hash & mask
        while slots[slot] and self.ids[slots[slot] - 1] != id_hash:
            slot = (slot + 1) & mask
        return slot


@dataclass
class Destination:
    """A provider that lines go to, the first by ``model``; a ``base_url`` of LiteLLM's is empty."""

    name: str
    model: str
    base_url: str = ""
    key: str = ""
    extras: Mapping[str, Any] = field(default_factory=dict, repr=False)
    is_embedded: bool = False
    lines: int = 0
    urls: Counter[str] = field(default_factory=Counter)

    def limit(self, name: str) -> float | None:
        """Return its ``rpm`` or ``tpm``, requests or tokens a minute, by the configuration."""
        value = self.extras.get(name)
        if value is None or (isinstance(value, int | float) and value > 0):
            return value
        raise ConfigError(f"provider {self.name!r}: {name} is not a number above 0")


class _Destinations:
    """Destinations by name, and where a model string leads."""

    def __init__(self, config: Config, direct: bool, keys: bool) -> None:
        self.all: list[Destination] = []
        self._config, self._direct, self._keys = config, direct, keys
        self._by_name: dict[str, int | InputError] = {}
        self.find = lru_cache(maxsize=10_000)(self._find)

    def _find(self, model: str) -> int | InputError:
        """Return the number of the destination of ``model``, or what is wrong with it."""
        try:
            resolution = resolve(model, self._config)
        except AdapterError as error:
            return InputError(str(error), "correct the model", error.exit_code)
        if self._direct and (why := why_not_direct(resolution)):
            return InputError(f"--direct: model {model!r} {why}", "leave --direct out")
        if resolution.provider is None and not resolution.embedded and not is_litellm_model(model):
            return InputError(
                f"unknown model {model!r}",
                "`adapter providers list` shows the configured ones; use PROVIDER/MODEL",
                ExitCode.NOT_FOUND,
            )
        name = _name(resolution)
        if name not in self._by_name:
            try:
                self.all.append(_destination(name, model, resolution, self._keys))
            except AdapterError as error:
                self._by_name[name] = InputError(str(error), "set it", error.exit_code)
            else:
                self._by_name[name] = len(self.all) - 1
        return self._by_name[name]


def why_not_direct(resolution: Resolution) -> str | None:
    """Return why the requests of a model cannot be posted as they stand, ``None`` if they can."""
    if resolution.provider is None:
        return "is called by LiteLLM only"
    if resolution.mode == "responses":
        return 'has mode = "responses"'
    extras = resolution.provider.extras
    prefix = str(extras.get("custom_llm_provider", PREFIX))
    if prefix not in OPENAI_COMPATIBLE:
        return f"has custom_llm_provider = {prefix!r}"
    changing = sorted(extras.keys() - _DIRECT)
    return f"has {changing[0]} in [plugin.litellm.providers]" if changing else None


def _name(resolution: Resolution) -> str:
    if resolution.provider is not None:
        return resolution.provider.name
    head, slash, _ = resolution.model.partition("/")
    return EMBEDDED if resolution.embedded else head if slash else "LiteLLM"


def _destination(name: str, model: str, resolution: Resolution, keys: bool) -> Destination:
    """Return where a model goes; with ``keys``, :class:`MissingKeyError` where its is not set."""
    provider = resolution.provider
    if provider is not None:
        key = f"key {provider.key_source}"
        if keys:
            key = str(provider.resolve_key())
            provider.headers()
        return Destination(name, model, provider.base_url, key, provider.extras)
    if resolution.embedded:
        return Destination(name, model, is_embedded=True)
    row = OPENAI_COMPATIBLE.get(name)
    variables = row.keys if row is not None and not row.key_optional else ()
    if keys and variables and not any(map(os.environ.get, variables)):
        text = f"the key of {name}, a provider of LiteLLM's, is not set: export {variables[0]}=..."
        raise MissingKeyError(text, provider=name, variable=variables[0])
    return Destination(name, model)


def check_model(model: str, config: Config, *, direct: bool) -> InputError | None:
    """Return what is wrong with a model or its key, ``None`` where it can be called."""
    destination = _Destinations(config, direct, keys=True).find(model)
    return destination if isinstance(destination, InputError) else None


class _InputProblemsError(ConfigError):
    """What is wrong in the input, with an exit code of its own."""

    def __init__(self, problems: list[Problem], exit_code: int) -> None:
        super().__init__(problems)
        self.exit_code = exit_code


class _Problems:
    """What is wrong, each thing once, with its first line and how many more have it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._problems: dict[str, tuple[InputError, int | None, int]] = {}

    def add(self, error: InputError, number: int | None) -> bool:
        """Add a problem; whether there are more to take."""
        first = self._problems.get(str(error), (error, number, -1))
        self._problems[str(error)] = first[0], first[1], first[2] + 1
        return len(self._problems) < MOST_PROBLEMS

    def check(self) -> None:
        """Raise :class:`ConfigError` if there is any; where all have one exit code, with that."""
        if not self._problems:
            return
        problems = [
            Problem(self._path, number, None, _words(error, more), error.fix)
            for error, number, more in self._problems.values()
        ]
        codes = {error.code for error, _, _ in self._problems.values()}
        raise _InputProblemsError(problems, codes.pop() if len(codes) == 1 else ExitCode.USAGE)


def _words(error: InputError, more: int) -> str:
    return f"{error} (and on {more:,} more lines)" if more else str(error)


def check(
    source: Source,
    recipe: Recipe,
    *,
    limit: int | None,
    direct: bool,
    keys: bool = True,
) -> tuple[Index, list[Destination]]:
    """Return the lines of the input, the first ``limit`` of them, and where they go.

    ``keys`` says whether the keys are to be found here.

    Raises :class:`ConfigError` with all that is wrong: exit code 3 where that is keys that are not
    set and nothing else, 4 where it is unknown providers and models, else 2.
    """
    index, problems = Index(), _Problems(source.path)
    destinations = _Destinations(load_config(), direct, keys)
    try:
        for number, record in source.records():
            if limit is not None and len(index) >= limit:
                break
            try:
                request = recipe.request(number, record)
                destination = destinations.find(request.body["model"])
                if isinstance(destination, InputError):
                    raise destination
                if (first := index.add(request, destination)) is not None:
                    raise InputError(
                        f"custom_id {request.custom_id!r} repeats that of line "
                        f"{index.numbers[first]}",
                        "give each line one of its own",
                    )
                destinations.all[destination].lines += 1
                destinations.all[destination].urls[request.url] += 1
            except InputError as error:
                if not problems.add(error, number):
                    break
    except InputError as error:  # of the file
        problems.add(error, error.number)
    problems.check()
    return index, destinations.all

"""The configured providers as a LiteLLM Proxy ``config.yaml``.

Entry by entry what :func:`adapter.model_list` returns, but with keys named, not written: LiteLLM
resolves ``os.environ/VAR`` in its Router and Proxy.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, datetime, time
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from adapter._tables import map_leaves
from adapter._text import printable
from adapter.call.router_settings import RefusedSetting, refused_settings
from adapter.call.translation import MAX_BYTES, OWN_ATTEMPTS, deployments, params_for
from adapter.config.files import SECTIONS
from adapter.config.loading import Config
from adapter.config.provider import Provider
from adapter.keys.precedence import (
    PLACEHOLDER_KEY,
    default_variable,
    exportable_name,
    lookup,
    sources_in,
)
from adapter.secrets.policy import is_secret
from adapter.secrets.references import reference_to, variable_of
from adapter.secrets.secret import Secret
from adapter.upstream.prefixes import ROUTER_SETTINGS, litellm_models

__all__ = ["Export", "abilities", "entries", "export", "sections", "yaml_text"]

NO_STATIC_MODELS: Mapping[str, Any] = {"models_by_provider": {"openai": []}}
"""Keeps LiteLLM from listing its 211 static OpenAI ids for each ``openai/*`` wildcard."""


GUARD: Mapping[str, Any] = {"openai_key": PLACEHOLDER_KEY}
"""In ``litellm_settings``: what LiteLLM sends in place of ``$OPENAI_API_KEY`` where a referenced
variable is not set."""


@dataclass(frozen=True, repr=False)
class Export:
    """A ``config.yaml``, which may hold keys, and what its reader must know, one note a line."""

    text: str
    notes: tuple[str, ...]


def entries(
    provider: Provider,
    key: str,
    headers: Mapping[str, str],
    models: Iterable[str] = (),
    able: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """Return LiteLLM's ``model_list`` entries of one provider, as :func:`adapter.model_list` does.

    ``key`` and ``headers`` are what to write for them. ``models`` are model ids to list one by
    one, before the wildcard that takes any other. ``able`` says what models can do, by their ids;
    those are listed, too.
    """
    *first, wildcard = deployments(provider)
    ids = {*models, *able.keys() - {model for _, model in first}}
    rows = []
    for name, model in (*first, *((f"{provider.name}/{m}", m) for m in sorted(ids)), wildcard):
        params = params_for(provider, model, key, headers)
        info = {"model_info": dict(able[model])} if model in able else {}
        rows.append({"model_name": name, "litellm_params": params, **info})
    return rows


def abilities(config: Config) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Return provider -> model id -> what ``[plugin.litellm.models]`` says of it."""
    able: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, info in config.models.items():
        owner, _, model = name.partition("/")
        able.setdefault(owner, {})[model] = info
    return able


def sections(
    config: Config, more: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, dict[str, Any]]:
    """Return LiteLLM's own sections of ``[plugin.litellm]`` that hold anything, as a copy.

    Without what its Router does not take. ``more`` are ``litellm_settings`` that the
    configuration's own go before.
    """
    tables = {s: deepcopy(dict(config.settings[s])) for s in SECTIONS if config.settings.get(s)}
    for setting in _refused(config):
        del tables["router_settings"][setting.path[0]]
    own = tables.get("litellm_settings", {})
    tables["litellm_settings"] = {**NO_STATIC_MODELS, **more, **own}
    return {s: tables[s] for s in SECTIONS if tables.get(s)}


def _refused(config: Config) -> list[RefusedSetting]:
    return list(refused_settings(config.settings.get("router_settings", {}), ROUTER_SETTINGS))


def export(
    config: Config,
    names: Iterable[str] = (),
    *,
    include_secrets: bool = False,
    reference_all: bool = False,
    discovered: Mapping[str, Sequence[str]] | None = None,
) -> Export:
    """Return the configuration, or the providers named, as LiteLLM's YAML, the same every time.

    A key that comes from a variable is written as ``os.environ/VAR``. What stands in the TOML file
    itself (keys, passwords) is written only with ``include_secrets``; else a variable takes its
    place, and a note says which. ``reference_all`` writes references for providers whose variable
    is not set here, too. ``discovered`` maps a provider to model ids to list one by one.
    Raises :class:`UnknownProviderError`.
    """
    exporter = _Exporter(config, include_secrets, reference_all)
    providers = [config.provider(name) for name in names] or list(config.providers)
    able = abilities(config)
    lines = ["# LiteLLM configuration, written by `adapter config export`."]
    lines += [f"# From {printable(Path(path).name)}." for path in config.files]
    lines.append("model_list:" if providers else "model_list: []")
    for provider in providers:
        models = (discovered or {}).get(provider.name, ())
        lines += exporter.provider(provider, models, able.get(provider.name, {}))
    exporter.notes += [
        f"router_settings.{s.name} is not in the file: it {s.why}" for s in _refused(config)
    ]
    for section, settings in sections(config, GUARD if reference_all else {}).items():
        lines += ["", *_dump({section: exporter.without_secrets(settings, (section,))})]
    return Export("\n".join(lines) + "\n", tuple(dict.fromkeys(exporter.notes)))


@dataclass(repr=False)
class _Exporter:
    """Writes providers and settings; each secret that is not written has a variable of its own."""

    config: Config
    include_secrets: bool
    reference_all: bool
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        named = [p.key_variable for p in self.config.providers if not p.api_key]
        self._secrets: dict[str, object] = dict.fromkeys((*named, *self.config.references()))

    def provider(
        self, provider: Provider, models: Iterable[str], able: Mapping[str, Mapping[str, Any]]
    ) -> Iterator[str]:
        """Yield the lines of a provider's entries."""
        name, key = provider.name, self._key(provider)
        listed = entries(provider, key, self._headers(provider), models, able)
        for entry in listed:
            entry["litellm_params"] = self.without_secrets(entry["litellm_params"], (name,))
            self._keep_chat(entry)
        reasons = dict.fromkeys(
            OWN_ATTEMPTS,
            "LiteLLM knows it for names of models only (in litellm_settings or router_settings)",
        )
        for extra, why in {**reasons, MAX_BYTES: "LiteLLM reads replies of any length"}.items():
            if extra in provider.extras:
                self.notes.append(f"{extra} of provider {name!r} is not in the file: {why}")
        origin = ", ".join(Path(path).name for path in provider.origin)
        yield f"  # {printable(name)} ({printable(origin)})"
        if key == PLACEHOLDER_KEY:
            variable = provider.key_variable
            yield f"  # no key: ${variable} is not set; with one, {reference_to(variable)}"
        for entry in listed:
            yield from (f"  {line}" for line in _dump([entry]))

    def _keep_chat(self, entry: dict[str, Any]) -> None:
        """Have a LiteLLM elsewhere ask for ``/chat/completions``, too.

        Under ``openai/`` it would ask ``/responses`` for ids that its list of models marks so
        (``o1-pro``); as ``hosted_vllm/`` it does not (``responses_api_bridge_check``).
        """
        params = entry["litellm_params"]
        prefix, _, model = params["model"].partition("/")
        if prefix != "openai":
            return
        if model.startswith("responses/"):
            what = f"LiteLLM takes the first part off {model!r} and asks /responses for the rest"
            self.notes.append(what)
        models = litellm_models()
        row = models.get(model) or models.get(f"openai/{model}") or {}
        own_mode = entry.get("model_info", {}).get("mode")
        if row.get("mode") == "responses" and own_mode != "responses":
            params["model"] = f"hosted_vllm/{model}"

    def _variable(self, wanted: str, secret: object) -> str:
        """Return ``wanted``, numbered if it stands for another secret already."""
        numbered = (wanted if n == 1 else f"{wanted}_{n}" for n in count(1))
        return next(n for n in numbered if self._secrets.setdefault(n, secret) == secret)

    def _key(self, provider: Provider) -> str:
        """Return what to write as ``api_key``.

        Where no key is known the placeholder is written: left out, or naming a variable that is
        not set, LiteLLM would send ``$OPENAI_API_KEY``, unless :data:`GUARD` is in the file.
        """
        variable = provider.key_variable
        note = f"the key of provider {provider.name!r}"
        if provider.api_key:
            if self.include_secrets:
                return str(provider.api_key)
            wanted = exportable_name(default_variable(provider.name))
            variable = self._variable(wanted, provider.api_key)
            self.notes.append(f"set {variable}: {note} was not written")
        elif not provider.api_key_env and any(sources_in(provider.extras)):
            variable = exportable_name(variable)
            source = f"{provider.key_source}, which LiteLLM does not read"
            self.notes.append(f"set {variable}: {note} is {source}")
        elif (
            self.reference_all
            or provider.api_key_env
            or lookup(variable, None, provider.env) is not None
        ):
            self._note_unset(variable, "default-key" if self.reference_all else "")
        else:
            return PLACEHOLDER_KEY
        return reference_to(variable)

    def _headers(self, provider: Provider) -> dict[str, str]:
        """Return the headers to write: ``"$VAR"`` is ``os.environ/VAR`` to LiteLLM."""
        headers = {}
        for header, value in provider.extra_headers.items():
            variable = variable_of(value)
            headers[header] = reference_to(variable) if variable else value
            if variable:
                self._note_unset(variable)
        return headers

    def _note_unset(self, variable: str, placeholder: str = "") -> None:
        """Note where LiteLLM, which reads plain variables only, would not find a key."""
        value = self.config.getenv(variable)
        if value is not None and os.environ.get(variable, "").strip() == value:
            return
        why = f"LiteLLM reads neither GPTME_{variable} nor [env]" if value else "it is not set"
        sent = f"the placeholder {placeholder}" if placeholder else "$OPENAI_API_KEY"
        self.notes.append(f"set {variable}: {why}, and without it LiteLLM sends {sent}")

    def without_secrets(self, value: Any, path: tuple[str, ...]) -> Any:
        """Return ``value`` with a reference to a variable for each secret that is not written.

        The first name of ``path`` is a section's or a provider's, which says nothing of a secret.
        """

        def name(at: tuple[str, ...], leaf: Any) -> Any:
            has_name = at[-1] == "api_key" and len(at) == 2 and at[0] not in SECTIONS
            if has_name or leaf == PLACEHOLDER_KEY or not is_secret(at[1:], leaf):
                return leaf
            variable = re.sub(r"\W", "_", "_".join(at)).upper()
            if at == ("general_settings", "master_key"):
                variable = "LITELLM_MASTER_KEY"
            variable = self._variable(variable, leaf)
            self.notes.append(f"set {variable}: {'.'.join(at)} was not written")
            return reference_to(variable)

        return value if self.include_secrets else map_leaves(name, value, path)


def _dump(value: Any) -> list[str]:
    return yaml_text(value).rstrip("\n").split("\n")


def yaml_text(value: Any) -> str:
    """Return ``value`` as YAML that LiteLLM reads; dates and times are text, as JSON needs them."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)


class _Dumper(yaml.SafeDumper):
    """What YAML, unlike TOML, has no type for, or LiteLLM could not send, becomes text."""


def _as_text(dumper: Any, value: Any) -> Any:
    return dumper.represent_str(value.isoformat())


for _kind in (date, datetime, time):
    _Dumper.add_representer(_kind, _as_text)
_Dumper.add_representer(Secret, lambda dumper, value: dumper.represent_str(str(value)))

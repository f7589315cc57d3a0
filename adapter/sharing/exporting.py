"""The configured providers as a LiteLLM Proxy ``config.yaml``.

Entry by entry what :func:`adapter.model_list` returns, but with keys named, not written: LiteLLM
resolves ``os.environ/VAR`` in its Router and Proxy.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
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
from adapter.config.loading import Config
from adapter.config.provider import Provider
from adapter.config.rules import SECTIONS
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
    *named, wildcard = deployments(provider)
    ids = {*models, *able.keys() - {model for _, model in named}}
    made = []
    for name, model in (*named, *((f"{provider.name}/{m}", m) for m in sorted(ids)), wildcard):
        params = params_for(provider, model, key, headers)
        info = {"model_info": dict(able[model])} if model in able else {}
        made.append({"model_name": name, "litellm_params": params, **info})
    return made


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
    wanted = list(names)
    chosen = [config.provider(n) for n in wanted] if wanted else list(config.providers)
    notes: list[str] = []
    variables = _Variables(config)
    able = abilities(config)
    lines = ["# LiteLLM configuration, written by `adapter config export`."]
    lines += [f"# From {printable(Path(path).name)}." for path in config.files]
    lines.append("model_list:" if chosen else "model_list: []")
    for provider in chosen:
        key = _key(provider, variables, include_secrets, reference_all, notes)
        models = (discovered or {}).get(provider.name, ())
        headers = _headers(provider, config, notes)
        made: Any = entries(provider, key, headers, models, able.get(provider.name, {}))
        if not include_secrets:
            made = [
                {
                    **e,
                    "litellm_params": _named(
                        e["litellm_params"], (provider.name,), variables, notes
                    ),
                }
                for e in made
            ]
        made = [_as_chat(entry, notes) for entry in made]
        notes += _omissions(provider)
        origin = ", ".join(Path(path).name for path in provider.origin)
        lines.append(f"  # {printable(provider.name)} ({printable(origin)})")
        if key == PLACEHOLDER_KEY:
            variable = provider.api_key_env or default_variable(provider.name)
            lines.append(f"  # no key: ${variable} is not set; with one, {reference_to(variable)}")
        lines += [f"  {line}" for entry in made for line in _dump([entry])]
    notes += [f"router_settings.{s.name} is not in the file: it {s.why}" for s in _refused(config)]
    for section, settings in sections(config, GUARD if reference_all else {}).items():
        shown = settings if include_secrets else _named(settings, (section,), variables, notes)
        lines += ["", *_dump({section: shown})]
    return Export("\n".join(lines) + "\n", tuple(dict.fromkeys(notes)))


def _omissions(provider: Provider) -> Iterator[str]:
    """Yield a note for each parameter of a provider that is not in the file."""
    reasons = dict.fromkeys(
        OWN_ATTEMPTS,
        "LiteLLM knows it for names of models only (in litellm_settings or router_settings)",
    )
    for extra, why in {**reasons, MAX_BYTES: "LiteLLM reads replies of any length"}.items():
        if extra in provider.extras:
            yield f"{extra} of provider {provider.name!r} is not in the file: {why}"


def _as_chat(entry: Mapping[str, Any], notes: list[str]) -> Mapping[str, Any]:
    """Return an entry that a LiteLLM elsewhere asks for ``/chat/completions``, too.

    Under ``openai/`` it would ask ``/responses`` for ids that its list of models marks so
    (``o1-pro``); as ``hosted_vllm/`` it does not (``responses_api_bridge_check``).
    """
    params = entry["litellm_params"]
    prefix, _, model = params["model"].partition("/")
    if prefix != "openai":
        return entry
    if model.startswith("responses/"):
        notes.append(f"LiteLLM takes the first part off {model!r} and asks /responses for the rest")
    models = litellm_models()
    known = models.get(model) or models.get(f"openai/{model}") or {}
    if known.get("mode") != "responses" or entry.get("model_info", {}).get("mode") == "responses":
        return entry
    return {**entry, "litellm_params": {**params, "model": f"hosted_vllm/{model}"}}


class _Variables:
    """Names of variables for secrets that are not written: each secret has one of its own."""

    def __init__(self, config: Config) -> None:
        self.config = config
        named = [
            p.api_key_env or default_variable(p.name) for p in config.providers if not p.api_key
        ]
        self._secrets: dict[str, object] = dict.fromkeys((*named, *config.references()))

    def name(self, wanted: str, secret: object) -> str:
        """Return ``wanted``, numbered if it stands for another secret already."""
        numbered = (wanted if n == 1 else f"{wanted}_{n}" for n in count(1))
        return next(n for n in numbered if self._secrets.setdefault(n, secret) == secret)


def _key(
    provider: Provider,
    variables: _Variables,
    include_secrets: bool,
    reference_all: bool,
    notes: list[str],
) -> str:
    """Return what to write as ``api_key``.

    Where no key is known the placeholder is written: left out, or naming a variable that is not
    set, LiteLLM would send ``$OPENAI_API_KEY``, unless :data:`GUARD` is in the file.
    """
    if provider.api_key:
        if include_secrets:
            return str(provider.api_key)
        wanted = exportable_name(default_variable(provider.name))
        variable = variables.name(wanted, provider.api_key)
        notes.append(f"set {variable}: the key of provider {provider.name!r} was not written")
        return reference_to(variable)
    variable = provider.api_key_env or default_variable(provider.name)
    if not provider.api_key_env and any(sources_in(provider.extras)):
        variable = exportable_name(variable)
        notes.append(
            f"set {variable}: the key of provider {provider.name!r} is {provider.key_source}, "
            "which LiteLLM does not read"
        )
        return reference_to(variable)
    if reference_all or provider.api_key_env or lookup(variable, None, provider.env) is not None:
        notes.extend(_unless_set(variable, variables.config, guarded=reference_all))
        return reference_to(variable)
    return PLACEHOLDER_KEY


def _headers(provider: Provider, config: Config, notes: list[str]) -> dict[str, str]:
    """Return the headers to write: ``"$VAR"`` is ``os.environ/VAR`` to LiteLLM."""
    configured = provider.extras.get("extra_headers")
    headers = {}
    for header, value in (configured if isinstance(configured, Mapping) else {}).items():
        variable = variable_of(value)
        headers[header] = reference_to(variable) if variable else value
        notes.extend(_unless_set(variable, config) if variable else ())
    return headers


def _unless_set(variable: str, config: Config, *, guarded: bool = False) -> list[str]:
    """Return a note where LiteLLM, which reads plain variables only, would not find a key."""
    value = config.getenv(variable)
    if value is not None and os.environ.get(variable, "").strip() == value:
        return []
    why = "it is not set" if value is None else f"LiteLLM reads neither GPTME_{variable} nor [env]"
    sent = "the placeholder default-key" if guarded else "$OPENAI_API_KEY"
    return [f"set {variable}: {why}, and without it LiteLLM sends {sent}"]


def _named(value: Any, path: tuple[str, ...], variables: _Variables, notes: list[str]) -> Any:
    """Return ``value`` with each secret in it replaced by a reference to a variable.

    The first name of ``path`` is a section's or a provider's, which says nothing of a secret.
    """

    def name(at: tuple[str, ...], leaf: Any) -> Any:
        has_name = at[-1] == "api_key" and len(at) == 2 and at[0] not in SECTIONS
        if has_name or leaf == PLACEHOLDER_KEY or not is_secret(at[1:], leaf):
            return leaf
        variable = re.sub(r"\W", "_", "_".join(at)).upper()
        if at == ("general_settings", "master_key"):
            variable = "LITELLM_MASTER_KEY"
        variable = variables.name(variable, leaf)
        notes.append(f"set {variable}: {'.'.join(at)} was not written")
        return reference_to(variable)

    return map_leaves(name, value, path)


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

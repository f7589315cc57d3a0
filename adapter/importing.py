"""A LiteLLM ``config.yaml`` as ``[[providers]]``: one provider for each distinct base and key.

What LiteLLM calls a ``model_name`` stays reachable in an exported file or a gateway: as the
provider's name, as ``provider/model``, or by ``router_settings.model_group_alias``, which LiteLLM
looks up before it looks for a ``model_name`` and which may point at a wildcard.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from adapter.checks import VARIABLE
from adapter.config import Config
from adapter.deployments import Deployment, Refused, read_deployment
from adapter.import_names import provider_names
from adapter.import_settings import Report, Settings, read_settings, split_secrets
from adapter.keys import Secret, default_variable
from adapter.litellm_yaml import Loaded, Place, read_config_yaml, reference
from adapter.providers import Provider

__all__ = ["Import", "ImportedProvider", "plan_import"]

KNOWN_ENTRY_KEYS = frozenset({"model_name", "litellm_params", "rpm", "tpm"})


class ImportedProvider(NamedTuple):
    """A provider to write. ``literal`` is a key that stood in the file itself.

    ``chosen`` says that the name is the file's own, so that an existing provider of that name must
    be the same one. ``default_model`` may be ``None`` where the file names none.
    """

    name: str
    base_url: str
    api_key_env: str | None
    default_model: str | None
    extras: Mapping[str, Any]
    secret_extras: Mapping[str, Any]
    literal: Secret | None
    chosen: bool

    def __repr__(self) -> str:
        return f"ImportedProvider({self.name!r}, {self.base_url!r})"


class Import(NamedTuple):
    """What a ``config.yaml`` becomes, and what does not.

    ``routes`` maps each ``model_name`` to what to type for it now. ``left_out`` has a line, with
    its place and reason, for each thing that is lost; ``notes`` are other things worth knowing.
    """

    providers: tuple[ImportedProvider, ...]
    settings: Settings
    routes: Mapping[str, str]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def plan_import(
    path: str | os.PathLike[str],
    config: Config | None = None,
    environ: Mapping[str, str] | None = None,
) -> Import:
    """Return what the file becomes, beside the providers of ``config``; nothing is written.

    Nothing in the file is executed or fetched. Raises :class:`ConfigError` for a file that LiteLLM
    could not read either.
    """
    environ = os.environ if environ is None else environ
    loaded = read_config_yaml(path)
    report = Report([], [f"{place}: {text}" for place, text in loaded.notes])
    found = _deployments(loaded, environ, report)
    groups: dict[tuple[Any, ...], list[Deployment]] = {}
    for _, deployment in found:
        key = (deployment.base_url, deployment.variable, deployment.literal)
        groups.setdefault(key, []).append(deployment)
    config = config or Config()
    names = provider_names(list(groups.values()), config)
    providers = [
        _provider(name, chosen, group, config.find(name), report)
        for (name, chosen), group in zip(names, groups.values(), strict=True)
    ]
    owner = {id(d): p for p, group in zip(providers, groups.values(), strict=True) for d in group}
    routes, aliases = _routes([(place, d, owner[id(d)]) for place, d in found], report)
    settings = read_settings(loaded, routes, aliases, environ, report)
    left_out, notes = map(tuple, report)
    return Import(tuple(providers), settings, routes, left_out, notes)


def _deployments(
    loaded: Loaded, environ: Mapping[str, str], report: Report
) -> list[tuple[Place, Deployment]]:
    """Return the entries that can be expressed, with their places."""
    left_out, notes = report
    credentials = {}
    for item in _list(loaded.data.get("credential_list")):
        if isinstance(item, Mapping) and isinstance(item.get("credential_values"), Mapping):
            credentials[str(item.get("credential_name"))] = item["credential_values"]
    set_later = loaded.data.get("environment_variables")
    later = dict(environ)
    for name, value in (set_later if isinstance(set_later, Mapping) else {}).items():
        variable = reference(value)
        later[str(name)] = environ.get(variable, "") if variable else str(value)
    found = []
    for number, entry in enumerate(_list(loaded.data.get("model_list"))):
        place = loaded.entries[number]
        name = entry.get("model_name") if isinstance(entry, Mapping) else None
        where = f"{place}: {name}" if isinstance(name, str) and name else str(place)
        try:
            deployment = read_deployment(entry, credentials, environ, later)
        except Refused as refusal:
            left_out.append(f"{where}: {refusal}")
            continue
        notes += [f"{where}: {note}" for note in deployment.notes]
        lost = sorted(str(k) for k in entry.keys() - KNOWN_ENTRY_KEYS if entry[k])
        if lost:
            left_out.append(f"{where}: {', '.join(lost)}, for which there is no place")
        found.append((place, deployment))
    return found


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _provider(
    name: str,
    chosen: bool,
    group: list[Deployment],
    existing: Provider | None,
    report: Report,
) -> ImportedProvider:
    first = group[0]
    extras = _common_extras(name, group, report)
    if any(d.prefix == "hosted_vllm" and d.wildcard == name for d in group):
        extras["custom_llm_provider"] = "hosted_vllm"  # what an export of ours says
    for key, value in extras.items():
        values = value.values() if isinstance(value, Mapping) else [value]
        if any(reference(v) is not None for v in values):
            report.notes.append(
                f"{key} of provider {name!r} refers to a variable, which LiteLLM resolves in its "
                "Router and gateway only"
            )
    split = {k: split_secrets(k, v) for k, v in extras.items()}
    return ImportedProvider(
        name=name,
        base_url=first.base_url,
        api_key_env=_key_variable(name, first.variable),
        default_model=_default(name, group, None if chosen else existing),
        extras={k: public for k, (public, _) in split.items() if public is not None},
        secret_extras={k: secret for k, (_, secret) in split.items() if secret is not None},
        literal=first.literal,
        chosen=chosen,
    )


def _key_variable(name: str, variable: str | None) -> str | None:
    """Return the variable to write; one that no file can name is found by the provider's name."""
    unusual = variable is not None and not VARIABLE.fullmatch(variable)
    return None if unusual and variable == default_variable(name) else variable


def _default(name: str, group: list[Deployment], existing: Provider | None) -> str | None:
    """Return the default model: of the entry with the provider's name, else of the first entry."""
    if existing is not None and existing.default_model:
        return existing.default_model
    plain = [d for d in group if d.model != "*"]
    exact = next((d.model for d in plain if d.name == name), None)
    return exact or next((d.model for d in plain if d.name != f"{name}/{d.model}"), None)


def _common_extras(name: str, group: list[Deployment], report: Report) -> dict[str, Any]:
    """Return the parameters on which all entries agree; the others are told to be left out."""
    common: dict[str, Any] = {}
    for key in dict.fromkeys(k for d in group for k in d.extras):
        values = [d.extras.get(key) for d in group]
        if values[0] is not None and all(v == values[0] for v in values):
            common[key] = values[0]
            continue
        with_it = [d.name for d in group if d.extras.get(key) is not None]
        if with_it:
            report.left_out.append(
                f"{key} of {', '.join(dict.fromkeys(with_it))}: the entries of provider {name!r} "
                "differ in it, and here it is one setting for all of them"
            )
    return common


def _routes(
    found: Iterable[tuple[Place, Deployment, ImportedProvider]], report: Report
) -> tuple[dict[str, str], dict[str, str]]:
    """Return what to type for each ``model_name``, and the aliases that a gateway needs."""
    routes: dict[str, str] = {}
    aliases: dict[str, str] = {}
    shared: dict[str, list[str]] = {}
    for place, d, provider in found:
        if d.pattern or (d.wildcard and d.wildcard != provider.name):
            typed = f"{provider.name}/{'MODEL' if d.model == '*' else d.model}"
            report.left_out.append(f"{place}: {d.name}: a pattern of names; use {typed}")
            continue
        if d.wildcard:
            routes[d.name] = f"{provider.name}/MODEL"
            continue
        own = d.name == provider.name and d.model == provider.default_model
        typed = provider.name if own else f"{provider.name}/{d.model}"
        shared.setdefault(d.name, []).append(typed)
        if d.name in routes:
            continue
        routes[d.name] = typed
        if d.name != typed:
            aliases[d.name] = typed
    for name, all_typed in shared.items():
        distinct = list(dict.fromkeys(all_typed))
        if len(distinct) > 1:
            report.left_out.append(
                f"{name}: load balancing over {', '.join(distinct)}; it goes to the first of them"
            )
    return routes, aliases

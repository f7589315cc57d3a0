"""A LiteLLM ``config.yaml`` as ``[[providers]]``: one provider for each distinct base and key.

What LiteLLM calls a ``model_name`` stays reachable: as the provider's name, as ``provider/model``,
or by ``router_settings.model_group_alias``, which LiteLLM looks up before it looks for a
``model_name`` and which may point at a wildcard.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from adapter.config.loading import Config
from adapter.config.provider import Provider
from adapter.keys.precedence import default_variable
from adapter.secrets.references import is_variable, referenced_variable
from adapter.sharing.deployments import Deployment, Entry, RefusedError, rank
from adapter.sharing.litellm_yaml import ConfigYaml, Place, Report
from adapter.sharing.naming import Naming
from adapter.sharing.other_formats import read_source
from adapter.sharing.settings import read_settings, writable
from adapter.upstream.prefixes import litellm_provider_of

__all__ = ["Import", "plan_import"]

ENTRY_KEYS = frozenset({"model_name", "litellm_params", "model_info", "rpm", "tpm"})

_CAPABILITY = re.compile(r"mode|max_(input_|output_)?tokens|supports_\w+|\w+_cost_per_\w+")
"""What in ``model_info`` says what a model can do; LiteLLM only shows the rest."""


@dataclass(frozen=True)
class Import:
    """What a ``config.yaml`` becomes, and what does not.

    The ``api_key`` of a provider is a literal key that stood in the file itself. ``sections`` are
    LiteLLM's, ``environment`` its literal ``environment_variables``; both may hold secrets.
    ``routes`` maps each ``model_name`` to what to type for it now, ``models`` each of these to
    what the model can do. ``left_out`` has a line, with its place and reason, for each thing that
    is lost; ``notes`` are other things worth knowing. ``compatible`` counts the entries that only
    ``compatible=True`` would take.
    """

    providers: tuple[Provider, ...]
    sections: Mapping[str, Mapping[str, Any]] = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    routes: Mapping[str, str]
    models: Mapping[str, Mapping[str, Any]]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    compatible: int = 0


@dataclass(frozen=True)
class _Entry:
    """A deployment, where it stands, and the provider that it becomes a part of."""

    place: Place
    deployment: Deployment
    provider: Provider

    @property
    def model_string(self) -> str:
        """What to type for its model."""
        d, name = self.deployment, self.provider.name
        if d.name == name and d.model == self.provider.default_model:
            return name
        return f"{name}/{'MODEL' if d.model == '*' else d.model}"


def plan_import(
    path: str | os.PathLike[str],
    config: Config | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    compatible: bool = False,
) -> Import:
    """Return what the file becomes, beside the providers of ``config``; nothing is written.

    The file is a LiteLLM ``config.yaml`` or what another tool configures
    (:mod:`adapter.sharing.other_formats`). Nothing in it is executed or fetched. ``compatible``
    takes entries under which LiteLLM speaks another API by their maker's OpenAI-compatible one.
    Raises :class:`ConfigError` for a file that LiteLLM could not read either.
    """
    environ = os.environ if environ is None else environ
    config = config or Config()
    report = Report()
    source = read_source(path, report)
    if not source.data.get("model_list"):
        report.note("no models in it", Place(os.fspath(path), 1))
    deployments = _deployments(source, environ, compatible, report)
    groups = _groups([deployment for _, deployment in deployments])
    aliases = source.table("router_settings").get("model_group_alias")
    naming = Naming(groups, config, aliases if isinstance(aliases, Mapping) else ())
    owner: dict[int, Provider] = {}
    providers = []
    for (name, own_name), group in zip(naming.names(), groups, strict=True):
        existing = None if own_name else config.find(name)
        provider = _provider(name, existing, group, report)
        if note := naming.gptme_note(name, group[0]):
            report.note(note)
        providers.append(provider)
        owner.update({id(deployment): provider for deployment in group})
    entries = [_Entry(place, d, owner[id(d)]) for place, d in deployments]
    routes, aliases = _find_routes(entries, report)
    for entry in entries:  # LiteLLM takes such a name for a model of its own
        d = entry.deployment
        own = litellm_provider_of(d.name) if d.name in routes and not d.wildcard else None
        if own and not (own == d.prefix and d.own_base):
            hidden = f"hides the model that LiteLLM itself has of this name, {own}'s"
            report.note(hidden, entry.place, d.name)
    providers = [_with_fallbacks(p, routes, report) for p in providers]
    sections, environment = read_settings(source, routes, aliases, environ, report)
    return Import(
        providers=tuple(providers),
        sections=sections,
        environment=environment,
        routes=routes,
        models=_models(entries, report),
        left_out=tuple(report.left_out),
        notes=tuple(report.notes),
        compatible=report.compatible,
    )


def _deployments(
    source: ConfigYaml, environ: Mapping[str, str], compatible: bool, report: Report
) -> list[tuple[Place, Deployment]]:
    """Return the entries that can be expressed, with their places."""
    credentials = {}
    for number, item in enumerate(source.list("credential_list"), 1):
        if isinstance(item, Mapping) and isinstance(item.get("credential_values"), Mapping):
            credentials[str(item.get("credential_name"))] = item["credential_values"]
        else:
            where = f"{source.place('credential_list')}, item {number}"
            report.left_out.append(f"{where}: has no credential_values")
    later = dict(environ)
    for name, value in source.table("environment_variables").items():
        variable = referenced_variable(value)
        later[str(name)] = environ.get(variable, "") if variable else str(value)
    deployments = []
    used = set()
    for place, entry in zip(source.entries, source.list("model_list"), strict=False):
        table = entry if isinstance(entry, Mapping) else {}
        name = table["model_name"] if isinstance(table.get("model_name"), str) else ""
        params = table.get("litellm_params")
        used.add(str(params.get("litellm_credential_name")) if isinstance(params, Mapping) else "")
        where = f"{place}: {name}" if name else str(place)
        try:
            deployment = Entry(entry, credentials, environ, later, compatible).deployment()
        except RefusedError as refusal:
            report.left_out.append(f"{where}: {refusal}")
            report.compatible += refusal.compatible
            continue
        for note in deployment.notes:
            report.note(note, place, name)
        for key in sorted(str(k) for k in entry.keys() - ENTRY_KEYS if entry[k]):
            report.note(f"{key}, which LiteLLM ignores there", place, name)
        report.left_out += [
            f"{where}: {key} is a setting of ours that an import never writes: it would run a "
            "command or read a file here"
            for key in deployment.lost
        ]
        deployments.append((place, deployment))
    for name in credentials:
        if name not in used:
            listed = source.sections["credential_list"]
            report.note("a credential that no entry names", listed, name)
    return deployments


def _groups(deployments: Sequence[Deployment]) -> list[list[Deployment]]:
    """Return the deployments of each provider: one base, one key.

    Entries ``NAME/*`` of one base and key are as many providers, as an export writes them; the
    others go to that whose name they begin with.
    """

    def server(d: Deployment) -> tuple[Any, ...]:
        return d.base_url, d.variable, d.literal

    wild: dict[tuple[Any, ...], dict[str, None]] = {}
    for d in deployments:
        wild.setdefault(server(d), {}).update({d.wildcard: None} if d.wildcard else {})
    groups: dict[tuple[Any, ...], list[Deployment]] = {}
    for d in deployments:
        names, head = wild[server(d)], d.name.partition("/")[0]
        owner = head if head in names else next(iter(names), None)
        groups.setdefault((*server(d), owner), []).append(d)
    return list(groups.values())


def _provider(
    name: str, existing: Provider | None, group: list[Deployment], report: Report
) -> Provider:
    first = group[0]
    extras = _common_extras(name, group, report)
    if any(d.prefix == "hosted_vllm" and d.wildcard == name for d in group):
        extras["custom_llm_provider"] = "hosted_vllm"  # what an export of ours says
    if (headers := extras.pop("extra_headers", None)) is not None:
        if isinstance(headers, Mapping):
            # a reference as we write it, so that it is resolved here as well
            variables = {k: referenced_variable(v) or "" for k, v in headers.items()}
            extras["extra_headers"] = {
                k: f"${variables[k]}" if is_variable(variables[k]) else str(v)
                for k, v in headers.items()
            }
        else:
            report.left_out.append(f"extra_headers of provider {name!r}: is not a mapping")
    for key, value in extras.items():
        values = value.values() if isinstance(value, Mapping) else [value]
        if any(referenced_variable(v) is not None for v in values):
            report.note(
                f"{key} of provider {name!r} refers to a variable, which LiteLLM resolves in its "
                "Router and gateway only"
            )
    variable = first.variable
    if variable is not None and not is_variable(variable):
        if variable != default_variable(name):  # by which it is found without being named
            what = f"${variable}, which no file can name: rename the variable"
            report.left_out.append(f"the key of provider {name!r}: {what}")
        variable = None
    return Provider(
        name=name,
        base_url=first.base_url,
        api_key_env=variable,
        default_model=_default(name, group, existing),
        extras=extras,
        api_key=first.literal,
    )


def _default(name: str, group: list[Deployment], existing: Provider | None) -> str | None:
    """Return the default model: of the entry with the provider's name, else of the first entry."""
    if existing is not None and existing.default_model:
        return existing.default_model
    plain = [d for d in group if d.model != "*"]
    exact = next((d.model for d in plain if d.name == name), None)
    others = [d for d in plain if d.name != f"{name}/{d.model}"]
    chat = next((d.model for d in others if d.info.get("mode") in (None, "chat")), None)
    return exact or chat or next((d.model for d in others), None)


def _common_extras(name: str, group: list[Deployment], report: Report) -> dict[str, Any]:
    """Return the parameters on which all entries agree; the others are told to be left out."""
    common: dict[str, Any] = {}
    for key in dict.fromkeys(k for d in group for k in d.extras):
        values = [d.extras.get(key) for d in group]
        # NaN is not equal to itself
        if values[0] is not None and all(v is values[0] or v == values[0] for v in values):
            if (value := writable(values[0])) is None:
                what = f"{key} of provider {name!r}: a value that cannot be written"
                report.left_out.append(what)
            else:
                common[key] = value
            continue
        with_it = [d.name for d in group if d.extras.get(key) is not None]
        if with_it:
            report.left_out.append(
                f"{key} of {', '.join(dict.fromkeys(with_it))}: the entries of provider {name!r} "
                "differ in it, and here it is one setting for all of them"
            )
    return common


def _models(entries: Iterable[_Entry], report: Report) -> dict[str, dict[str, Any]]:
    """Return what ``model_info`` says of each model, by the name to type for it."""
    models: dict[str, dict[str, Any]] = {}
    for entry in entries:
        d = entry.deployment
        info = {str(k): v for k, v in d.info.items() if v is not None and k != "order"}
        able = {k: v for k, v in info.items() if _CAPABILITY.fullmatch(k) and d.model != "*"}
        able = {k: v for k, v in able.items() if isinstance(v, str | int | float)}
        if info.keys() - able.keys():
            report.note("model_info, of which LiteLLM only shows the rest", entry.place, d.name)
        if able:
            models.setdefault(f"{entry.provider.name}/{d.model}", able)
    return models


def _find_routes(
    entries: Sequence[_Entry], report: Report
) -> tuple[dict[str, str], dict[str, str]]:
    """Return what to type for each ``model_name``, and the aliases that stand for it."""
    routes: dict[str, str] = {}
    aliases: dict[str, str] = {}
    shared: dict[str, list[str]] = {}
    wild = {e.deployment.wildcard for e in entries if e.deployment.wildcard == e.provider.name}
    first_of: dict[str, _Entry] = {}  # LiteLLM asks those of the lowest order, where any has one
    for entry in sorted(entries, key=lambda entry: rank(entry.deployment)):
        first_of.setdefault(entry.deployment.name, entry)
    for entry in entries:
        d = entry.deployment
        elsewhere = d.wildcard is not None and d.wildcard != entry.provider.name
        if d.pattern or (elsewhere and d.wildcard not in wild):
            what = f"{d.name}: a pattern of names; use {entry.model_string}"
            report.left_out.append(f"{entry.place}: {what}")
            continue
        model = first_of[d.name].model_string
        shared.setdefault(d.name, [model]).append(entry.model_string)
        if d.name in routes or elsewhere:
            continue
        routes[d.name] = model
        if d.name != model and not d.wildcard:
            aliases[d.name] = model
    for name, models in shared.items():
        distinct = list(dict.fromkeys(models))
        if len(distinct) > 1:
            what = f"load balancing over {', '.join(distinct)}; it goes to {routes[name]}"
            report.left_out.append(f"{name}: {what}")
    return routes, aliases


def _with_fallbacks(provider: Provider, routes: Mapping[str, str], report: Report) -> Provider:
    """Return ``provider`` with the models that its fallbacks name called as they are called now."""
    extras = dict(provider.extras)
    if isinstance(fallbacks := extras.get("fallbacks"), list):
        extras["fallbacks"] = [_translated(item, routes) for item in fallbacks]
        for name in fallbacks:
            if isinstance(name, str) and name not in routes:
                what = f"name {name!r}, which the file lacks"
                report.note(f"fallbacks of provider {provider.name!r} {what}")
    if isinstance(table := extras.get("context_window_fallback_dict"), Mapping):
        extras["context_window_fallback_dict"] = {
            _translated(k, routes): _translated(v, routes) for k, v in table.items()
        }
    return replace(provider, extras=extras)


def _translated(item: Any, routes: Mapping[str, str]) -> Any:
    if isinstance(item, Mapping) and isinstance(item.get("model"), str):
        return {**item, "model": _translated(item["model"], routes)}
    return routes.get(item, item) if isinstance(item, str) else item

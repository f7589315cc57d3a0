"""A LiteLLM ``config.yaml`` as ``[[providers]]``: one provider for each distinct base and key.

What LiteLLM calls a ``model_name`` stays reachable in an exported file or a gateway: as the
provider's name, as ``provider/model``, or by ``router_settings.model_group_alias``, which LiteLLM
looks up before it looks for a ``model_name`` and which may point at a wildcard.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from adapter.config.checks import VARIABLE
from adapter.config.loading import Config
from adapter.config.provider import Provider
from adapter.keys.precedence import default_variable
from adapter.sharing.config_yaml import Loaded, Place, read_config_yaml, reference
from adapter.sharing.deployments import Deployment, Refused, read_deployment
from adapter.sharing.import_names import provider_names
from adapter.sharing.import_routes import ImportedProvider, find_routes, with_fallbacks
from adapter.sharing.import_settings import Report, Settings, plain, read_settings, split_secrets

__all__ = ["Import", "plan_import"]

KNOWN_ENTRY_KEYS = frozenset({"model_name", "litellm_params", "rpm", "tpm"})


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
    routes, aliases = find_routes([(place, d, owner[id(d)]) for place, d in found], report)
    providers = [with_fallbacks(p, routes, report) for p in providers]
    settings = read_settings(loaded, routes, aliases, environ, report)
    left_out, notes = map(tuple, report)
    return Import(tuple(providers), settings, routes, left_out, notes)


def _deployments(
    loaded: Loaded, environ: Mapping[str, str], report: Report
) -> list[tuple[Place, Deployment]]:
    """Return the entries that can be expressed, with their places."""
    left_out, notes = report
    credentials = {}
    for number, item in enumerate(_list(loaded.data.get("credential_list")), 1):
        if isinstance(item, Mapping) and isinstance(item.get("credential_values"), Mapping):
            credentials[str(item.get("credential_name"))] = item["credential_values"]
        else:
            where = f"{loaded.sections['credential_list']}: credential_list, item {number}"
            left_out.append(f"{where}: has no credential_values")
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
        left_out += [
            f"{where}: {name} is a setting of ours that an import never writes: it would run a "
            "command or read a file here"
            for name in deployment.lost
        ]
        found.append((place, deployment))
    used = {_credential_of(entry) for entry in _list(loaded.data.get("model_list"))}
    left_out += [
        f"{loaded.sections['credential_list']}: credential {name!r}, which no entry names"
        for name in credentials
        if name not in used
    ]
    return found


def _credential_of(entry: Any) -> Any:
    params = entry.get("litellm_params") if isinstance(entry, Mapping) else None
    name = params.get("litellm_credential_name") if isinstance(params, Mapping) else None
    return name if isinstance(name, str) else None


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
    if (headers := extras.pop("extra_headers", None)) is not None:
        if isinstance(headers, Mapping):
            extras["extra_headers"] = {k: _header(v) for k, v in headers.items()}
        else:
            report.left_out.append(f"extra_headers of provider {name!r}: is no mapping")
    for key, value in extras.items():
        values = value.values() if isinstance(value, Mapping) else [value]
        if any(reference(v) is not None for v in values):
            report.notes.append(
                f"{key} of provider {name!r} refers to a variable, which LiteLLM resolves in its "
                "Router and gateway only"
            )
    split = {k: split_secrets((k,), v) for k, v in extras.items()}
    return ImportedProvider(
        name=name,
        base_url=first.base_url,
        api_key_env=_key_variable(name, first.variable, report),
        default_model=_default(name, group, None if chosen else existing),
        extras={k: public for k, (public, _) in split.items() if public is not None},
        secret_extras={k: secret for k, (_, secret) in split.items() if secret is not None},
        literal=first.literal,
    )


def _key_variable(name: str, variable: str | None, report: Report) -> str | None:
    """Return the variable to write; one that no file can name is found by the provider's name."""
    if variable is None or VARIABLE.fullmatch(variable):
        return variable
    if variable != default_variable(name):
        what = f"${variable}, which no file can name: rename the variable"
        report.left_out.append(f"the key of provider {name!r}: {what}")
    return None


def _header(value: Any) -> str:
    """Return a header's value; a reference as we write it, so that it is resolved here as well."""
    variable = reference(value)
    return f"${variable}" if variable is not None and VARIABLE.fullmatch(variable) else str(value)


def _default(name: str, group: list[Deployment], existing: Provider | None) -> str | None:
    """Return the default model: of the entry with the provider's name, else of the first entry."""
    if existing is not None and existing.default_model:
        return existing.default_model
    plain = [d for d in group if d.model != "*"]
    exact = next((d.model for d in plain if d.name == name), None)
    others = [d for d in plain if d.name != f"{name}/{d.model}"]
    chat = next((d.model for d in others if d.mode in (None, "chat")), None)
    return exact or chat or next((d.model for d in others), None)


def _common_extras(name: str, group: list[Deployment], report: Report) -> dict[str, Any]:
    """Return the parameters on which all entries agree; the others are told to be left out."""
    common: dict[str, Any] = {}
    for key in dict.fromkeys(k for d in group for k in d.extras):
        values = [d.extras.get(key) for d in group]
        # NaN is not equal to itself
        if values[0] is not None and all(v is values[0] or v == values[0] for v in values):
            if (value := plain(values[0])) is None:
                report.left_out.append(
                    f"{key} of provider {name!r}: a value that cannot be written"
                )
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

"""The sections of a LiteLLM ``config.yaml`` beside ``model_list``, and the report of an import."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

from adapter.call.router_settings import refused_settings
from adapter.config.files import MAX_INTEGER_BITS, SECTIONS
from adapter.secrets.policy import has_secret
from adapter.secrets.references import referenced_variable
from adapter.sharing.exporting import GUARD, NO_STATIC_MODELS
from adapter.sharing.litellm_yaml import ConfigYaml, Report
from adapter.upstream.prefixes import ROUTER_SETTINGS

__all__ = ["read_settings", "split_secrets", "writable"]

LISTS = ("model_list", "credential_list")
HANDLED = frozenset({*LISTS, "environment_variables", *SECTIONS})

LITELLM_SECTIONS = frozenset(
    {
        *("agent_list", "agents", "assistant_settings", "callback_settings"),
        *("default_vertex_config", "files_settings", "fine_tuning_settings", "finetune_settings"),
        *("guardrails", "mcp_aliases", "mcp_servers", "mcp_tools", "pass_through_endpoints"),
        *("policies", "policy_attachments", "prompts", "sandbox_tools", "search_tools"),
        *("vector_store_registry", "worker_registry"),
    }
)
"""Other sections that LiteLLM's proxy reads (``ProxyConfig.load_config``). Any other it ignores."""

CALLBACKS = frozenset(
    {
        *("callbacks", "success_callback", "failure_callback", "input_callback"),
        *("service_callback", "audit_log_callbacks", "pre_call_rules", "post_call_rules"),
    }
)

STOPS_LITELLM = frozenset({"routing_strategy", "health_check_interval", "health_check_concurrency"})
"""In ``router_settings``: what keeps LiteLLM's proxy from starting where its Router refuses it."""


def read_settings(
    source: ConfigYaml,
    routes: Mapping[str, str],
    aliases: Mapping[str, str],
    environ: Mapping[str, str],
    report: Report,
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Return LiteLLM's sections to write, secrets included, and literal ``environment_variables``.

    ``aliases`` are added to LiteLLM's own.
    """
    tables = {section: _read_section(source, section, report) for section in SECTIONS}
    sections = {section: values for section, values in tables.items() if values}
    router = tables["router_settings"]
    merged = {**aliases, **_aliases(source, router.get("model_group_alias"), routes, report)}
    providers = {model.partition("/")[0] for model in routes.values()}
    for alias, target in merged.items():
        if (head := alias.partition("/")[0]) in providers:
            model = target["model"] if isinstance(target, Mapping) else target
            what = f"{alias}: means a model of provider {head!r}, except in a gateway: use {model}"
            report.left_out.append(what)
    if merged:
        sections.setdefault("router_settings", router)["model_group_alias"] = merged
    else:
        router.pop("model_group_alias", None)
    for section in ("litellm_settings", "router_settings"):
        _check_fallbacks(source, section, tables[section], {**routes, **merged}, report)
    _other_sections(source, report)
    filled = {section: values for section, values in sections.items() if values}
    return filled, _environment(source, environ, report)


def _read_section(source: ConfigYaml, section: str, report: Report) -> dict[str, Any]:
    """Return what of a section can be written."""
    values: dict[str, Any] = {}
    table = {str(name): value for name, value in source.table(section).items()}
    is_router = section == "router_settings"
    refusals = {s.path[0]: s for s in refused_settings(table, ROUTER_SETTINGS)} if is_router else {}
    for key, value in table.items():
        where = f"{source.place(section)}.{key}"
        refused = refusals.get(key)
        if value is None:
            report.note("null, which is not set", source.sections[section], f"{section}.{key}")
        elif refused and key in STOPS_LITELLM:
            report.left_out.append(f"{where}: {refused.why}, and LiteLLM does not start with it")
        elif refused:
            why = "not a setting of LiteLLM's Router, which ignores it too"
            report.note(why, source.sections[section], f"{section}.{key}")
        elif code := _code_in(section, key, value):
            names = ", ".join(code)
            report.left_out.append(f"{where}: {names}: Python code, which is not imported")
            if isinstance(value, list) and len(value) > len(code):
                values[key] = [v for v in value if v not in code]
        elif (plain := writable(value)) is None:
            report.left_out.append(f"{where}: a value that cannot be written")
        elif value != {**NO_STATIC_MODELS, **GUARD}.get(key):  # what an export of ours says
            values[key] = plain
    return values


def _aliases(
    source: ConfigYaml, written: Any, routes: Mapping[str, str], report: Report
) -> dict[str, Any]:
    """Return the file's own aliases, pointed at what their targets are called now: none chain."""
    aliases: dict[str, Any] = {}
    where = f"{source.sections.get('router_settings')}: model_group_alias"
    if written and not isinstance(written, Mapping):
        report.left_out.append(f"{where}: is not a mapping")
    for alias, target in (written if isinstance(written, Mapping) else {}).items():
        name = str(target.get("model") if isinstance(target, Mapping) else target)
        model = routes.get(name) or (name if _is_wild(name, routes) else None)
        if model is None:
            report.left_out.append(f"{where} {alias}: its target {name!r} does not exist")
            continue
        if str(alias) == model:
            continue  # it is what it stands for
        aliases[str(alias)] = {**target, "model": model} if isinstance(target, Mapping) else model
    return aliases


def _is_wild(name: str, names: Iterable[str]) -> bool:
    """Return whether a wildcard ``NAME/*`` among ``names`` takes ``name``."""
    return any(name.startswith(wild[:-1]) for wild in names if wild.endswith("/*"))


def _check_fallbacks(
    source: ConfigYaml,
    section: str,
    settings: Mapping[str, Any],
    names: Mapping[str, Any],
    report: Report,
) -> None:
    """Report fallbacks that name something that was left out; LiteLLM passes over them."""
    for key, value in settings.items():
        if "fallbacks" not in key or not isinstance(value, list):
            continue
        for name in dict.fromkeys(n for item in value for n in _names_in(item)):
            if name != "*" and name not in names and not _is_wild(name, names):
                what = f"names {name!r}, which does not exist"
                report.left_out.append(f"{source.place(section)}.{key}: {what}")


def _names_in(item: Any) -> list[str]:
    if isinstance(item, str):
        return [item]
    if isinstance(item, Mapping):
        tails = [n for tail in item.values() if isinstance(tail, list) for n in tail]
        return [*map(str, item), *(n for n in tails if isinstance(n, str))]
    return []


def _code_in(section: str, key: str, value: Any) -> list[str]:
    """Return what LiteLLM would import as Python: ``module.attribute``."""
    if key not in CALLBACKS and (not key.startswith("custom_") or section == "router_settings"):
        return []
    values = value if isinstance(value, list) else [value]
    if key == "custom_provider_map":
        return [str(v.get("custom_handler")) for v in values if isinstance(v, Mapping)]
    return [v for v in values if isinstance(v, str) and "." in v and referenced_variable(v) is None]


def split_secrets(path: tuple[str, ...], value: Any) -> tuple[Any, Any]:
    """Return what of a setting is no secret and what is one, ``None`` for nothing."""
    if isinstance(value, Mapping) and value:
        parts = {k: split_secrets((*path, k), v) for k, v in value.items()}
        public, secret = (
            {k: both[n] for k, both in parts.items() if both[n] is not None} for n in (0, 1)
        )
        return public or None, secret or None
    return (None, value) if has_secret(path, value) else (value, None)


def writable(value: Any) -> Any:
    """Return ``value`` as TOML and a JSON request can say it; ``None`` where they cannot.

    Keys become text, a set a list, and nulls go.
    """
    if isinstance(value, Mapping):
        items = {str(k): writable(v) for k, v in value.items()}
        return {k: v for k, v in items.items() if v is not None}
    if isinstance(value, set):
        value = sorted(value, key=str)
    if isinstance(value, list):
        return [v for v in map(writable, value) if v is not None]
    cannot = isinstance(value, bytes) or (isinstance(value, float) and not isfinite(value))
    cannot |= isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS
    return None if cannot else value


def _environment(source: ConfigYaml, environ: Mapping[str, str], report: Report) -> dict[str, str]:
    """Return the literal ``environment_variables``; each must be set by the user otherwise."""
    literal: dict[str, str] = {}
    for name, value in source.table("environment_variables").items():
        if value is None:
            continue
        if variable := referenced_variable(value):
            what = f"set it yourself, to the value of ${variable}"
            report.left_out.append(f"{source.place('environment_variables')}.{name}: {what}")
        elif environ.get(str(name)) != str(value):
            literal[str(name)] = value if isinstance(value, str) else json.dumps(value, default=str)
    return literal


def _other_sections(source: ConfigYaml, report: Report) -> None:
    for key, value in source.data.items():
        kind, wanted = (list, "list") if key in LISTS else (Mapping, "mapping")
        if key in HANDLED and value and not isinstance(value, kind):
            what = f"is not a {wanted}, and LiteLLM does not start with it"
            report.left_out.append(f"{source.place(key)}: {what}")
        if key in HANDLED or not value:
            continue
        if key in LITELLM_SECTIONS:
            report.left_out.append(f"{source.place(key)}: a section of LiteLLM's gateway only")
        else:
            report.note(
                "not a section of LiteLLM's, which ignores it too", source.sections[key], key
            )

"""The sections of a LiteLLM ``config.yaml`` beside ``model_list``: what goes where."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any, NamedTuple

from adapter.config.checks import SECTIONS
from adapter.config.files import LONGEST_INTEGER
from adapter.secrets.policy import has_secret
from adapter.sharing.config_yaml import Loaded, reference
from adapter.sharing.exporting import NO_STATIC_MODELS

__all__ = ["Report", "Settings", "plain", "read_settings", "split_secrets"]

HANDLED = frozenset(
    {"model_list", "credential_list", "environment_variables", "include", *SECTIONS}
)

LITELLM_SECTIONS = frozenset(
    {
        *(
            "agent_list",
            "agents",
            "assistant_settings",
            "default_vertex_config",
            "callback_settings",
            "fine_tuning_settings",
        ),
        *("files_settings", "finetune_settings", "guardrails", "mcp_aliases", "mcp_servers"),
        *("mcp_tools", "pass_through_endpoints", "policies", "policy_attachments", "prompts"),
        *("sandbox_tools", "search_tools", "vector_store_registry", "worker_registry"),
    }
)
"""Other sections that LiteLLM's proxy reads (``ProxyConfig.load_config``). Any other it ignores."""

CALLBACKS = frozenset(
    {
        *("callbacks", "success_callback", "failure_callback", "input_callback"),
        *("service_callback", "audit_log_callbacks", "pre_call_rules", "post_call_rules"),
    }
)


class Report(NamedTuple):
    """What is lost, a line each, and what else is worth knowing; both are added to."""

    left_out: list[str]
    notes: list[str]


class Settings(NamedTuple):
    """LiteLLM's sections to write; ``secrets`` and ``environment`` only where that is asked for."""

    sections: Mapping[str, Mapping[str, Any]]
    secrets: Mapping[str, Mapping[str, Any]]
    environment: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Settings({list(self.sections)!r})"


def read_settings(
    loaded: Loaded,
    routes: Mapping[str, str],
    aliases: Mapping[str, str],
    environ: Mapping[str, str],
    report: Report,
) -> Settings:
    """Return the sections to write, with ``aliases`` added to LiteLLM's own."""
    sections: dict[str, dict[str, Any]] = {}
    secrets: dict[str, dict[str, Any]] = {}
    for section in SECTIONS:
        found = loaded.data.get(section)
        if isinstance(found, Mapping):
            where = f"{loaded.sections[section]}: {section}"
            public, secret = _read_section(section, found, where, report)
            sections.update({section: public} if public else {})
            secrets.update({section: secret} if secret else {})
    left_out = report.left_out
    router = sections.setdefault("router_settings", {})
    given = router.get("model_group_alias")
    merged = {**aliases, **_aliases(loaded, given, routes, left_out)}
    router["model_group_alias"] = merged  # in the place of the file's own
    if not merged:
        del router["model_group_alias"]
    if not router:
        del sections["router_settings"]
    for section in ("litellm_settings", "router_settings"):
        _check_fallbacks(loaded, section, sections.get(section, {}), {**routes, **merged}, left_out)
    _other_sections(loaded, report)
    return Settings(sections, secrets, _environment(loaded, environ, left_out))


def _read_section(
    section: str, found: Mapping[str, Any], where: str, report: Report
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what of a section can be written anywhere, and what is secret."""
    public: dict[str, Any] = {}
    secret: dict[str, Any] = {}
    for name, value in found.items():
        key = str(name)
        code = _code_in(section, key, value)
        if value is None:
            report.notes.append(f"{where}.{key}: null, which is not set")
        elif code:
            names = ", ".join(code)
            report.left_out.append(f"{where}.{key}: {names}: Python code, which is not imported")
            if isinstance(value, list) and len(value) > len(code):
                public[key] = [v for v in value if v not in code]
        elif (said := plain(value)) is None:
            report.left_out.append(f"{where}.{key}: a value that cannot be written")
        elif value != NO_STATIC_MODELS.get(key):
            parts = split_secrets((key,), said)
            for kept, part in zip((public, secret), parts, strict=True):
                kept.update({key: part} if part is not None else {})
    return public, secret


def _aliases(
    loaded: Loaded, given: Any, routes: Mapping[str, str], left_out: list[str]
) -> dict[str, Any]:
    """Return the file's own aliases, pointed at what their targets are called now: none chain."""
    found: dict[str, Any] = {}
    where = f"{loaded.sections.get('router_settings')}: model_group_alias"
    if given and not isinstance(given, Mapping):
        left_out.append(f"{where}: is not a mapping")
    for alias, target in (given if isinstance(given, Mapping) else {}).items():
        name = target.get("model") if isinstance(target, Mapping) else target
        wild = next((w for w in routes if w.endswith("/*") and str(name).startswith(w[:-1])), None)
        typed = routes.get(str(name)) or (name if wild else None)
        if typed is None:
            left_out.append(f"{where} {alias}: its target {name!r} is not there")
            continue
        found[str(alias)] = {**target, "model": typed} if isinstance(target, Mapping) else typed
    return found


def _check_fallbacks(
    loaded: Loaded,
    section: str,
    settings: Mapping[str, Any],
    known: Mapping[str, Any],
    left_out: list[str],
) -> None:
    """Tell of fallbacks that name something that was left out; LiteLLM passes over them."""
    for key, value in settings.items():
        if "fallbacks" not in key or not isinstance(value, list):
            continue
        named = [n for item in value for n in _names_in(item)]
        wild = tuple(k[:-1] for k in known if k.endswith("/*"))
        for name in dict.fromkeys(named):
            if name != "*" and name not in known and not name.startswith(wild or ("\0",)):
                where = f"{loaded.sections[section]}: {section}.{key}"
                left_out.append(f"{where}: names {name!r}, which is not there")


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
        values = [v.get("custom_handler") for v in values if isinstance(v, Mapping)]
        return [str(v) for v in values]
    return [v for v in values if isinstance(v, str) and "." in v and reference(v) is None]


def split_secrets(path: tuple[str, ...], value: Any) -> tuple[Any, Any]:
    """Return what of a setting is no secret and what is one, ``None`` for nothing."""
    if isinstance(value, Mapping) and value:
        parts = {k: split_secrets((*path, k), v) for k, v in value.items()}
        public, secret = (
            {k: both[n] for k, both in parts.items() if both[n] is not None} for n in (0, 1)
        )
        return public or None, secret or None
    return (None, value) if has_secret(path, value) else (value, None)


def plain(value: Any) -> Any:
    """Return ``value`` as TOML and a JSON request can say it; ``None`` where they cannot.

    Keys become text, a set a list, and nulls go.
    """
    if isinstance(value, Mapping):
        said = {str(k): plain(v) for k, v in value.items()}
        return {k: v for k, v in said.items() if v is not None}
    if isinstance(value, set):
        value = sorted(value, key=str)
    if isinstance(value, list):
        return [v for v in map(plain, value) if v is not None]
    unsayable = isinstance(value, bytes) or (isinstance(value, float) and not isfinite(value))
    unsayable |= isinstance(value, int) and value.bit_length() > LONGEST_INTEGER
    return None if unsayable else value


def _environment(loaded: Loaded, environ: Mapping[str, str], left_out: list[str]) -> dict[str, str]:
    """Return the literal ``environment_variables``; each must be set by the user otherwise."""
    found = loaded.data.get("environment_variables")
    literal: dict[str, str] = {}
    for name, value in (found if isinstance(found, Mapping) else {}).items():
        if value is None:
            continue
        where = f"{loaded.sections['environment_variables']}: environment_variables.{name}"
        if variable := reference(value):
            left_out.append(f"{where}: set it yourself, to the value of ${variable}")
        elif environ.get(str(name)) != str(value):
            literal[str(name)] = value if isinstance(value, str) else json.dumps(value, default=str)
    return literal


def _other_sections(loaded: Loaded, report: Report) -> None:
    for key, value in loaded.data.items():
        where = f"{loaded.sections.get(key)}: {key}"
        kind = list if key in ("model_list", "credential_list") else Mapping
        if key in HANDLED and key != "include" and value and not isinstance(value, kind):
            wanted = "list" if kind is list else "mapping"
            report.left_out.append(f"{where}: is no {wanted}, and LiteLLM does not start with it")
        if key in HANDLED or not value:
            continue
        if key in LITELLM_SECTIONS:
            report.left_out.append(f"{where}: a section of LiteLLM's gateway only")
        else:
            report.notes.append(f"{where}: no section of LiteLLM's, ignored there too")

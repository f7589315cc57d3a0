"""What can be wrong under ``[plugin.litellm]``, which is ours: tables, key sources, headers."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from adapter._text import did_you_mean
from adapter.config.files import Document
from adapter.errors import Problem
from adapter.keys.sources import KEY_SETTINGS

__all__ = ["KEY_PREFIX", "OUR_TABLES", "RESERVED", "SECTIONS", "check_extras", "header_of"]

SECTIONS = ("router_settings", "litellm_settings", "general_settings")
"""LiteLLM's own section names, passed through from ``[plugin.litellm]``."""

OUR_TABLES = ("providers", "models", *SECTIONS, "worker", "gateway")
"""The tables ``[plugin.litellm]`` may hold."""

Check = tuple[Callable[[Any], bool], str]
"""Whether a value is one that a setting takes, and how to write one."""

OUR_SETTINGS: Mapping[str, Mapping[str, Check]] = {
    "worker": {
        "mode": (
            lambda v: v in ("auto", "on", "off"),
            'write mode = "auto", "on" or "off"',
        ),
        "idle_minutes": (
            lambda v: isinstance(v, int | float) and not isinstance(v, bool) and v > 0,
            "write a number above 0, like idle_minutes = 10",
        ),
    },
    "gateway": {
        "routes": (
            lambda v: (
                v == "all" or (isinstance(v, list) and all(isinstance(path, str) for path in v))
            ),
            'write routes = "all", or a list like routes = ["/v1/files"]',
        ),
        "max_request_bytes": (
            lambda v: isinstance(v, int) and not isinstance(v, bool) and v > 0,
            "write a whole number above 0, like max_request_bytes = 67108864",
        ),
    },
}
"""Table -> its settings."""

RESERVED = {
    "model": "default_model",
    "api_base": "base_url",
    "base_url": "base_url",
    "api_key": "api_key_env",
    "api_key_env": "api_key_env",
}
"""LiteLLM parameters that gptme's own fields already say; given twice they could disagree."""

KEY_SETTING_TYPES: Mapping[str, Check] = {
    "api_key_cmd": (
        lambda v: (
            (isinstance(v, str) and bool(v.strip()))
            or (isinstance(v, list) and bool(v) and all(isinstance(word, str) for word in v))
        ),
        'write a command, like api_key_cmd = ["pass", "show", "groq"]',
    ),
    "api_key_file": (
        lambda v: isinstance(v, str) and bool(v),
        'write the path of a file, like api_key_file = "~/.keys/groq"',
    ),
    "api_key_keyring": (lambda v: isinstance(v, bool), "write api_key_keyring = true"),
}
"""What the settings of ``key_sources`` must be, and how to write them."""

KEY_PREFIX = "api_key_"
"""What every setting begins with that says where a key is; no parameter of LiteLLM's does."""

MOST_COMPARED = 100_000
"""Pairs of names, each of which takes microseconds."""

_BRACES = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def check_extras(
    documents: Sequence[Document], names: Mapping[str, Any], ours: Mapping[str, Any]
) -> Iterator[Problem]:
    """Yield what is wrong under ``[plugin.litellm]``."""
    for table in ours:
        if table not in OUR_TABLES:
            path, line = header_of(documents, table)
            message = f"unknown table plugin.litellm.{table}{did_you_mean(table, OUR_TABLES)}"
            fix = f"known are {', '.join(OUR_TABLES)}"
            yield Problem(path, line, None, message, fix, warning=True)
    yield from _check_our_settings(documents, ours)
    yield from _check_models(documents, names, ours.get("models"))
    extras = ours.get("providers")
    extras = extras if isinstance(extras, dict) else {}
    few = len(names) * len(extras.keys() - names.keys()) <= MOST_COMPARED
    for name, params in extras.items():
        header = f"plugin.litellm.providers.{name}"
        path, line = header_of(documents, "providers", name)
        if not isinstance(params, dict):
            fix = f"write [{header}] and the parameters under it"
            yield Problem(path, line, None, f"{header} is not a table", fix)
            continue
        if name not in names:
            message = f"{header}: no provider is named {name!r}"
            message += did_you_mean(name, names) if few else ""
            fix = "correct the name, or add the provider"
            yield Problem(path, line, None, message, fix, warning=True)
        yield from _check_settings(documents, name, params)
        yield from _check_headers(documents, name, params.get("extra_headers", {}))


def _check_our_settings(
    documents: Sequence[Document], ours: Mapping[str, Any]
) -> Iterator[Problem]:
    for table, known in OUR_SETTINGS.items():
        given = ours.get(table)
        for key, value in given.items() if isinstance(given, dict) else ():
            path, line = header_of(documents, table, holding=(key,))
            if key not in known:
                message = f"unknown setting {key!r} in plugin.litellm.{table}"
                message += did_you_mean(key, known)
                yield Problem(path, line, None, message, f"known are {', '.join(known)}", True)
            elif not known[key][0](value):
                message = f"{key} in plugin.litellm.{table} has a wrong value"
                yield Problem(path, line, None, message, known[key][1])


def _check_models(
    documents: Sequence[Document], names: Mapping[str, Any], models: Any
) -> Iterator[Problem]:
    for model, info in models.items() if isinstance(models, dict) else ():
        path, line = header_of(documents, "models", model)
        header = f"plugin.litellm.models.{json.dumps(model, ensure_ascii=False)}"
        provider, slash, _ = model.partition("/")
        mode = info.get("mode", "") if isinstance(info, dict) else None
        if not isinstance(mode, str):
            wrong = ": mode must be a string" if isinstance(info, dict) else " is no table"
            fix = f'write [{header}] and what the model can do under it, like mode = "chat"'
            yield Problem(path, line, None, header + wrong, fix)
        elif not slash or provider not in names:
            what = f"{header}: no provider is named {provider!r}{did_you_mean(provider, names)}"
            fix = 'name a provider and one of its models: [plugin.litellm.models."NAME/ID"]'
            yield Problem(path, line, None, what, fix, warning=True)


def _check_settings(
    documents: Sequence[Document], name: str, params: Mapping[str, Any]
) -> Iterator[Problem]:
    header = f"plugin.litellm.providers.{name}"

    def problem(key: str, message: str, fix: str) -> Problem:
        path, line = header_of(documents, "providers", name, holding=(key,))
        return Problem(path, line, name, message, fix)

    used = params.get("custom_llm_provider", "openai")
    if used not in ("openai", "hosted_vllm"):
        # others carry OPENAI_ORG_ID and its like to the provider's host, or speak another API
        message = f"{header}: custom_llm_provider cannot be {used!r}"
        yield problem("custom_llm_provider", message, 'use "hosted_vllm", or leave it out')
    for key, (fits, want) in KEY_SETTING_TYPES.items():
        if key in params and not fits(params[key]):
            yield problem(key, f"{key} in {header} has a wrong value", want)
    file = params.get("api_key_file")
    if isinstance(file, str) and file and not os.path.isabs(os.path.expanduser(file)):
        message = f"api_key_file in {header} is no absolute path"
        yield problem("api_key_file", message, "begin it with / or ~/")
    for key in sorted(RESERVED.keys() & params.keys()):
        fix = f"set {RESERVED[key]} in its [[providers]] table"
        yield problem(key, f"{key} cannot be set in {header}", fix)
    for key in params:
        if key.startswith(KEY_PREFIX) and key not in {*KEY_SETTINGS, *RESERVED}:
            # no warning: it would be sent to the provider, and the key looked for elsewhere
            message = f"unknown setting {key!r} in {header}{did_you_mean(key, KEY_SETTINGS)}"
            yield problem(key, message, f"known are {', '.join(KEY_SETTINGS)}")


def _check_headers(documents: Sequence[Document], name: str, given: Any) -> Iterator[Problem]:
    where = f"in plugin.litellm.providers.{name}"
    if not isinstance(given, dict):
        path, line = header_of(documents, "providers", name, holding=("extra_headers",))
        message = f"extra_headers {where} must be a table, not a {type(given).__name__}"
        fix = 'write extra_headers = { NAME = "$VAR" }'
        yield Problem(path, line, name, message, fix)
        return
    for header, value in given.items():
        path, line = header_of(documents, "providers", name, holding=("extra_headers", header))
        if not isinstance(value, str):
            kind = type(value).__name__
            message = f"extra_headers.{header} {where} must be a string, not {kind}"
            yield Problem(path, line, name, message, f'write {header} = "..."')
        elif found := _BRACES.search(value):
            fix = f'write "${found[1]}"'
            if found[0] != value:
                fix = 'put the whole value into a variable and write "$VAR"'
            message = f'the header {header} is sent with the text "{found[0]}" in it'
            yield Problem(path, line, name, message, fix, warning=True)


def header_of(
    documents: Sequence[Document], *keys: str, holding: tuple[str, ...] = ()
) -> tuple[str, int | None]:
    """Return the file and line of ``[plugin.litellm.KEYS]``, as a search by text can find it."""
    path = ("plugin", "litellm", *keys, *holding)
    document = next(d for d in reversed(documents) if d.at(*path) is not None)
    header = ".".join(("plugin.litellm", *keys))
    line = document.header(header) or document.line(key=keys[-1])
    return document.path, line or document.line(key="plugin")

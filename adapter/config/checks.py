"""What can be wrong in a configuration: every problem and warning, with its fix.

Rules about one file are in :func:`check_document`, rules about the merged whole in
:func:`check_merged`, those about our own tables in ``plugin_checks``. Each problem names file,
line, provider, field and fix, and shows no key.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from adapter._text import did_you_mean
from adapter.config.files import Document
from adapter.config.plugin_checks import OUR_TABLES, RESERVED, SECTIONS, check_extras, header_of
from adapter.config.provider import FIELDS, base_url_fault, is_private_host, name_fault
from adapter.errors import Problem
from adapter.keys.precedence import sources_in

__all__ = ["OUR_TABLES", "SECTIONS", "check_document", "check_merged"]

ALIASES = "router_settings.model_group_alias"
"""LiteLLM's own, which is looked into here, too."""

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

NO_BASE_URL = 'add base_url = "https://.../v1"'

EXAMPLE = 'e.g. [[providers]] name = "groq", base_url = "https://api.groq.com/openai/v1"'


def check_document(document: Document) -> Iterator[Problem]:
    """Yield what is wrong in one file taken by itself."""
    yield from _check_tables(document)
    entries = document.data.get("providers", [])
    if not isinstance(entries, list):
        line, fix = document.line(key="providers"), f"write [[providers]] for each one, {EXAMPLE}"
        yield Problem(document.path, line, None, "providers is not an array of tables", fix)
        return
    seen: dict[str, int] = {}
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            fix = f"write each provider as a table, {EXAMPLE}"
            line = document.line(key="providers")
            yield Problem(document.path, line, None, f"providers[{index}] is not a table", fix)
            continue
        yield from _check_entry(document, index, entry)
        name = entry.get("name")
        if not isinstance(name, str) or not name:
            continue
        if name in seen:
            first = document.line(seen[name]) or "an earlier line"
            yield Problem(
                document.path,
                document.line(index, "name"),
                name,
                f"name is used twice in this file (first on line {first})",
                "rename one of the two or remove it",
            )
        seen.setdefault(name, index)
    if document.mode & 0o044 and os.name == "posix":
        yield from _check_mode(document, entries)


def _check_entry(document: Document, index: int, entry: Mapping[str, Any]) -> Iterator[Problem]:
    name = entry.get("name")
    shown = name if isinstance(name, str) and name else None

    def problem(field: str, message: str, fix: str, warning: bool = False) -> Problem:
        line = document.line(index, field)
        return Problem(document.path, line, shown, message, fix, warning)

    for key, value in entry.items():
        if key not in FIELDS:
            meant = RESERVED.get(key)
            hint = f" (did you mean {meant!r}?)" if meant else did_you_mean(key, FIELDS)
            fix = f"LiteLLM parameters go to [plugin.litellm.providers.{shown or 'NAME'}]"
            yield problem(
                key,
                f"unknown field {key!r} in [[providers]]{hint}; gptme skips the provider",
                f"write {meant}" if meant else fix,
                warning=True,
            )
        elif not isinstance(value, str):
            kind = type(value).__name__
            yield problem(key, f"{key} must be a string, not {kind}", f'write {key} = "..."')
    if name is None:
        fix = 'add name = "...", which is used as the part before the first / of a model'
        yield problem("name", "name is missing", fix)
    elif isinstance(name, str) and (fault := name_fault(name)):
        yield problem("name", fault, 'use a name like "groq" or "vllm-local"')
    if shown is None and entry.get("base_url") in (None, ""):
        # where there is a name, another file may give it
        yield problem("base_url", "base_url is missing", NO_BASE_URL)
    variable = entry.get("api_key_env")
    if isinstance(variable, str) and variable and not VARIABLE.fullmatch(variable):
        # the value is not shown: it may well be a key, put into the wrong field
        fix = 'name an environment variable, like api_key_env = "GROQ_API_KEY"'
        yield problem("api_key_env", "api_key_env is not the name of a variable", fix)
    url = entry.get("base_url")
    if isinstance(url, str) and url and (wrong := base_url_fault(url)):
        yield problem("base_url", *wrong)


def _check_mode(document: Document, entries: Sequence[Any]) -> Iterator[Problem]:
    for index, entry in enumerate(entries):
        if isinstance(entry, dict) and entry.get("api_key"):
            yield Problem(
                document.path,
                document.line(index, "api_key"),
                str(entry.get("name", "")) or None,
                "api_key stands in a file that other users can read",
                f"chmod 600 {document.path}, or use api_key_env",
                warning=True,
            )


def _check_tables(document: Document) -> Iterator[Problem]:
    """Yield values of the wrong type among the other tables that are read here."""
    expected: tuple[tuple[str, type, str], ...] = (
        ("env", dict, 'write [env] and NAME = "value" under it'),
        ("models", dict, 'write [models] and default = "provider/model" under it'),
        ("models.default", str, 'write default = "provider/model"'),
        ("plugin", dict, "write [plugin.litellm]"),
        ("plugin.litellm", dict, "write [plugin.litellm]"),
        *(
            (f"plugin.litellm.{t}", dict, f"write [plugin.litellm.{t}]")
            for t in (*OUR_TABLES, ALIASES)
        ),
    )
    for path, kind, fix in expected:
        value: Any = document.data
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None and not isinstance(value, kind):
            want = "a table" if kind is dict else "a string"
            line = document.line(key=path) or document.line(key=path.rpartition(".")[2])
            yield Problem(document.path, line, None, f"{path} must be {want}", fix)
    env = document.data.get("env")
    for key, value in env.items() if isinstance(env, dict) else ():
        if not isinstance(value, str | int | float):
            line = document.line(key=f"env.{key}") or document.line(key=key)
            # gptme takes the table, so it is no error here
            what = f"env.{key} is no string, and is not used"
            yield Problem(document.path, line, None, what, "quote it", warning=True)


def check_merged(
    documents: Sequence[Document],
    tables: Mapping[str, tuple[Mapping[str, Any], tuple[str, ...]]],
    ours: Mapping[str, Any],
) -> Iterator[Problem]:
    """Yield what is wrong in the merged whole: no base_url, extras for nobody, key sources."""
    at = {d.path: d for d in documents}
    extras = ours.get("providers")
    for name, (values, origin) in tables.items():
        params = extras.get(name) if isinstance(extras, dict) else None
        settings = dict(params) if isinstance(params, dict) else {}
        settings.update({key: values.get(key) for key in ("api_key", "api_key_env")})
        sources = list(sources_in(settings))
        url = values.get("base_url")
        if url in (None, ""):
            line = _line_of(at[origin[0]], name, "base_url")
            yield Problem(origin[0], line, name, "base_url is missing", NO_BASE_URL)
        elif isinstance(url, str) and sources and not base_url_fault(url):
            parts = urlsplit(url)
            if parts.scheme == "http" and not is_private_host(parts.hostname or ""):
                where = next(p for p in reversed(origin) if _gives(at[p], name, "base_url"))
                yield Problem(
                    where,
                    _line_of(at[where], name, "base_url"),
                    name,
                    f"the key is sent to {parts.hostname} over plain http, readable on the way",
                    "use https",
                    warning=True,
                )
        yield from _check_sources(documents, name, sources)
    yield from check_extras(documents, tables, ours)


def _check_sources(
    documents: Sequence[Document], name: str, sources: Sequence[str]
) -> Iterator[Problem]:
    """Yield the key sources without effect, but for those that a later file overrides."""

    def file_of(source: str) -> int:
        setting = ("plugin", "litellm", "providers", name, source)
        given = (
            _gives(d, name, source) if source in FIELDS else d.at(*setting) is not None
            for d in documents
        )
        return max(index for index, gives in enumerate(given) if gives)

    for weaker in sources[1:]:
        if file_of(sources[0]) > (index := file_of(weaker)):
            continue
        if weaker in FIELDS:
            path, line = documents[index].path, _line_of(documents[index], name, weaker)
        else:
            path, line = header_of(documents, "providers", name, holding=(weaker,))
        message = f"{weaker} is not used, since {sources[0]} comes first"
        yield Problem(path, line, name, message, "remove one of the two", warning=True)


def _line_of(document: Document, name: str, key: str) -> int | None:
    entries = document.data["providers"]
    index = next(i for i, e in enumerate(entries) if isinstance(e, dict) and e.get("name") == name)
    return document.line(index, key)


def _gives(document: Document, name: str, key: str) -> bool:
    entries = document.data.get("providers")
    return isinstance(entries, list) and any(
        isinstance(e, dict) and e.get("name") == name and e.get(key) for e in entries
    )

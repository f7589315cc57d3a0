"""Check a configuration: every problem and warning, with its fix.

:data:`RULES` is one table of what each value must be. :func:`check_document` has the rules about
one file, :func:`check_merged` those about all of them together. Each problem names file, line,
provider, field and fix, and shows no key.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from adapter._files import write_access
from adapter._tables import merge
from adapter._text import did_you_mean
from adapter.config.files import OUR_TABLES, OURS, PROVIDERS, Document
from adapter.config.provider import FIELDS, base_url_fault, is_private_host, name_fault
from adapter.errors import Problem
from adapter.keys.precedence import default_variable, sources_in
from adapter.keys.sources import KEY_SETTINGS
from adapter.secrets.references import is_variable, referenced_variable, variable_of

__all__ = ["KEY_PREFIX", "RESERVED", "Entry", "check_document", "check_merged"]

RESERVED = {
    "model": "default_model",
    "api_base": "base_url",
    "base_url": "base_url",
    "api_key": "api_key_env",
    "api_key_env": "api_key_env",
}
"""LiteLLM parameters that gptme's own fields already say; given twice they could disagree."""

KEY_PREFIX = "api_key_"
"""What every setting begins with that says where a key is; no parameter of LiteLLM's does."""

MOST_COMPARED = 100_000
"""Pairs of names, each of which takes microseconds."""

NO_BASE_URL = 'add base_url = "https://.../v1"'

EXAMPLE = 'e.g. [[providers]] name = "groq", base_url = "https://api.groq.com/openai/v1"'

_BRACES = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Kind(NamedTuple):
    """What a value may be, in words, and whether one is that."""

    words: str
    fits: Callable[[Any], bool]


_TABLE = Kind("a table", lambda v: isinstance(v, dict))
_TEXT = Kind("a string", lambda v: isinstance(v, str))
_SCALAR = Kind("a string to be used", lambda v: isinstance(v, str | int | float))
_SWITCH = Kind("true or false", lambda v: isinstance(v, bool))
_AMOUNT = Kind("a number above 0", lambda v: _is_number(v) and v > 0)
_BYTES = Kind("a whole number above 0", lambda v: _is_number(v) and isinstance(v, int) and v > 0)
_PATH = Kind(
    "an absolute path", lambda v: isinstance(v, str) and os.path.isabs(os.path.expanduser(v))
)
_COMMAND = Kind("a command", lambda v: _is_list(v) or (isinstance(v, str) and bool(v.strip())))
_ROUTES = Kind('"all" or a list of paths', lambda v: v in ("all", []) or _is_list(v))
_MODE = Kind('"auto", "on" or "off"', lambda v: v in ("auto", "on", "off"))
_SECONDS = Kind(
    "a number above 0, of at most 1e9", lambda v: _is_text(v) or (_is_number(v) and 0 < v <= 1e9)
)
_RETRIES = Kind(
    "a whole number", lambda v: _is_text(v) or (_is_number(v) and isinstance(v, int) and v >= 0)
)
_NOTHING = Kind("left out: it has no effect", lambda v: False)
_CLIENT = Kind('"openai" or "hosted_vllm"', lambda v: v in ("openai", "hosted_vllm"))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < inf


def _is_text(value: Any) -> bool:
    """Whether ``value`` is text that LiteLLM reads as a number, or as one in a variable, itself."""
    return isinstance(value, str) and (value.startswith("os.environ/") or value.isdecimal())


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)


class Rule(NamedTuple):
    """Of which kind the value at ``path`` must be, where there is one; ``*`` is any name.

    In ``fix``, ``{path}`` and ``{name}`` are the whole path and its last name.
    """

    path: str
    kind: Kind
    fix: str
    warning: bool = False


_ALIASES = "plugin.litellm.router_settings.model_group_alias"
_GATEWAY = "plugin.litellm.gateway"
_PARAMS = "plugin.litellm.providers.*"

RULES = (
    Rule("env", _TABLE, 'write [env] and NAME = "value" under it'),
    Rule("env.*", _SCALAR, 'write {name} = "value"', warning=True),  # gptme takes the table
    Rule("models", _TABLE, 'write [models] and default = "provider/model" under it'),
    Rule("models.default", _TEXT, 'write default = "provider/model"'),
    Rule("plugin", _TABLE, "write [plugin.litellm]"),
    Rule("plugin.litellm", _TABLE, "write [plugin.litellm]"),
    *(Rule(f"plugin.litellm.{table}", _TABLE, "write [{path}]") for table in OUR_TABLES),
    Rule(_ALIASES, _TABLE, "write [{path}]"),
    Rule("plugin.litellm.models.*", _TABLE, "write [{path}]"),
    Rule("plugin.litellm.models.*.mode", _TEXT, 'write mode = "chat", or another mode of LiteLLM'),
    Rule("plugin.litellm.worker.mode", _MODE, 'write mode = "auto", "on" or "off"'),
    Rule("plugin.litellm.worker.idle_minutes", _AMOUNT, "write minutes, like idle_minutes = 10"),
    Rule(f"{_GATEWAY}.routes", _ROUTES, 'write routes = "all", or ["/v1/files"]'),
    Rule(f"{_GATEWAY}.max_request_bytes", _BYTES, "write it like max_request_bytes = 67108864"),
    Rule(_PARAMS, _TABLE, "write [{path}]"),
    Rule(f"{_PARAMS}.max_response_bytes", _BYTES, "write it like max_response_bytes = 268435456"),
    Rule(f"{_PARAMS}.extra_headers", _TABLE, 'write extra_headers = { NAME = "$VAR" }'),
    Rule(f"{_PARAMS}.extra_headers.*", _TEXT, 'write {name} = "..."'),
    Rule(f"{_PARAMS}.api_key_cmd", _COMMAND, 'write it like api_key_cmd = ["pass", "groq"]'),
    Rule(f"{_PARAMS}.api_key_file", _PATH, 'begin it with / or ~/, like "~/.keys/groq"'),
    Rule(f"{_PARAMS}.api_key_keyring", _SWITCH, "write api_key_keyring = true"),
    Rule(f"{_PARAMS}.timeout", _SECONDS, "write it like timeout = 30", warning=True),
    Rule(f"{_PARAMS}.max_retries", _RETRIES, "write it like max_retries = 3", warning=True),
    Rule(f"{_PARAMS}.num_retries", _RETRIES, "write it like num_retries = 3", warning=True),
    Rule(f"{_PARAMS}.stream", _NOTHING, "set it in each call (--no-stream)", warning=True),
    Rule(f"{_PARAMS}.extra_query", _TABLE, 'write extra_query = { NAME = "value" }'),
    # others carry OPENAI_ORG_ID and its like to the provider's host, or speak another API
    Rule(f"{_PARAMS}.custom_llm_provider", _CLIENT, 'use "hosted_vllm", or leave it out'),
)

NAMES: Mapping[str, tuple[str, ...]] = {
    "plugin.litellm": OUR_TABLES,
    "plugin.litellm.worker": ("mode", "idle_minutes"),
    "plugin.litellm.gateway": ("routes", "max_request_bytes"),
}
"""Table -> the names that it may hold; another one has no effect."""


def _matches(
    value: Any, pattern: Sequence[str], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each path in ``value`` that ``pattern`` fits, with what stands there."""
    if not pattern:
        yield path, value
    elif isinstance(value, dict):
        for name in value if pattern[0] == "*" else {pattern[0]} & value.keys():
            yield from _matches(value[name], pattern[1:], (*path, name))


def check_document(document: Document) -> Iterator[Problem]:
    """Yield what is wrong in one file taken by itself."""
    for rule in RULES:
        for path, value in _matches(document.data, rule.path.split(".")):
            if not rule.kind.fits(value):
                shown = _dotted(path)
                fix = rule.fix.replace("{path}", shown).replace("{name}", path[-1])
                message = f"{shown} must be {rule.kind.words}"
                yield _problem(document, path, message, fix, rule.warning)
    for table, names in NAMES.items():
        for path, _ in _matches(document.data, [*table.split("."), "*"]):
            if path[-1] not in names:
                message = f"unknown name {_dotted(path)}{did_you_mean(path[-1], names)}"
                yield _problem(document, path, message, f"use one of: {', '.join(names)}", True)
    for path, params in _matches(document.data, [*PROVIDERS, "*"]):
        if isinstance(params, dict):
            yield from _check_params(document, path, params)
            if "api_key_cmd" in params and (fault := write_access(document.path)):
                message = f"api_key_cmd is not run, since {fault}"
                fix = "let only your own user write it (chmod go-w, chown)"
                yield _problem(document, (*path, "api_key_cmd"), message, fix, warning=True)
    yield from _check_entries(document)


def _dotted(path: Sequence[str]) -> str:
    """Return a path as TOML has it in a header."""
    bare = re.compile(r"[\w-]+").fullmatch
    return ".".join(name if bare(name) else json.dumps(name, ensure_ascii=False) for name in path)


def _problem(
    document: Document, path: tuple[str, ...], message: str, fix: str, warning: bool = False
) -> Problem:
    """Return a problem of what stands at ``path``, which may be in the table of a provider."""
    provider = path[3] if path[:3] == PROVIDERS and len(path) > 4 else None
    return Problem(document.path, document.line(*path), provider, message, fix, warning)


def _check_params(
    document: Document, path: tuple[str, ...], params: Mapping[str, Any]
) -> Iterator[Problem]:
    """Yield what is wrong among a provider's parameters."""
    for key in params:
        if key in RESERVED:
            message, fix = f"{key} cannot be set in {_dotted(path)}", f"set {RESERVED[key]} in its"
            yield _problem(document, (*path, key), message, f"{fix} [[providers]] table")
        elif key.startswith(KEY_PREFIX) and key not in KEY_SETTINGS:
            # no warning: it would be sent to the provider, and the key looked for elsewhere
            message = f"unknown setting {key!r} in {_dotted(path)}{did_you_mean(key, KEY_SETTINGS)}"
            fix = f"use one of: {', '.join(KEY_SETTINGS)}"
            yield _problem(document, (*path, key), message, fix)
    headers = params.get("extra_headers")
    for header, value in headers.items() if isinstance(headers, dict) else ():
        if isinstance(value, str) and (braces := _BRACES.search(value)):
            message = f'the header {header} is sent with the text "{braces[0]}" in it'
            fix = 'put the whole value into a variable and write "$VAR"'
            if braces[0] == value:
                fix = f'write "${braces[1]}"'
            yield _problem(document, (*path, "extra_headers", header), message, fix, warning=True)


def _check_entries(document: Document) -> Iterator[Problem]:
    entries = document.data.get("providers", [])
    line = document.line("providers")
    if not isinstance(entries, list):
        fix = f"write [[providers]] for each one, {EXAMPLE}"
        yield Problem(document.path, line, None, "providers is not an array of tables", fix)
        return
    seen: dict[str, int] = {}
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            fix = f"write each provider as a table, {EXAMPLE}"
            yield Problem(document.path, line, None, f"providers[{index}] is not a table", fix)
            continue
        name = entry.get("name")
        shown = name if isinstance(name, str) and name else None
        faults = *_entry_faults(entry, shown), *_key_faults(document, entry)
        for key, message, fix, warning in faults:
            at = document.line("providers", index, key)
            yield Problem(document.path, at, shown, message, fix, warning)
        if shown in seen:
            first = document.line("providers", seen[shown]) or "an earlier line"
            message = f"name is used twice in this file (first on line {first})"
            at = document.line("providers", index, "name")
            yield Problem(document.path, at, shown, message, "rename one of the two or remove it")
        elif shown:
            seen[shown] = index


Fault = tuple[str, str, str, bool]
"""The field of a provider that is wrong, the message, the fix, and whether it is a warning."""


def _entry_faults(entry: Mapping[str, Any], shown: str | None) -> Iterator[Fault]:
    """Yield what is wrong with the names of a provider's fields and the types of their values."""
    for key, value in entry.items():
        if key not in FIELDS:
            meant = RESERVED.get(key)
            hint = f" (did you mean {meant!r}?)" if meant else did_you_mean(key, FIELDS)
            fix = f"LiteLLM parameters go to [plugin.litellm.providers.{shown or 'NAME'}]"
            message = f"unknown field {key!r} in [[providers]]{hint}; gptme skips the provider"
            yield key, message, f"write {meant}" if meant else fix, True
        elif not isinstance(value, str):
            kind = type(value).__name__
            yield key, f"{key} must be a string, not {kind}", f'write {key} = "..."', False
    name, url = entry.get("name"), entry.get("base_url")
    if name is None:
        fix = 'add name = "..."; it is the part of a model before the first /'
        yield "name", "name is missing", fix, False
    elif isinstance(name, str) and (fault := name_fault(name)):
        yield "name", fault, 'use a name like "groq" or "vllm-local"', False
    if shown is None and url in (None, ""):
        # where there is a name, another file may give it
        yield "base_url", "base_url is missing", NO_BASE_URL, False
    if isinstance(url, str) and url and (wrong := base_url_fault(url)):
        yield "base_url", *wrong, False


def _key_faults(document: Document, entry: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong with where a provider's key is said to be."""
    key, variable = entry.get("api_key"), entry.get("api_key_env")
    if isinstance(variable, str) and variable and not is_variable(variable):
        # the value is not shown: it may well be a key, put into the wrong field
        fix = 'name an environment variable, like api_key_env = "GROQ_API_KEY"'
        yield "api_key_env", "api_key_env is not the name of a variable", fix, False
    if isinstance(key, str) and (advice := _key_advice(key)):
        yield "api_key", *advice, True
    if key and document.info.st_mode & 0o044 and os.name == "posix":
        message = "api_key is in a file that other users can read"
        yield "api_key", message, f"chmod 600 {document.path}, or use api_key_env", True


def _key_advice(key: str) -> tuple[str, str] | None:
    """Return what is wrong with what stands in place of a key, which is not shown, and the fix."""
    text = key.strip()
    braces = _BRACES.fullmatch(text)
    variable = braces[1] if braces else variable_of(text) or referenced_variable(text)
    if variable is not None:
        # a key may begin with $, too, but has small letters then
        shown = variable if re.fullmatch(r"[A-Z_][A-Z0-9_]*", variable) else "NAME_OF_VARIABLE"
        message = "api_key looks like a variable, but is sent as it is"
        return message, f'write api_key_env = "{shown}"'
    if re.match(r"bearer\s", text, re.IGNORECASE):
        return "api_key begins with Bearer, which would be sent twice", "write the key alone"
    return None


@dataclass
class Entry:
    """A provider as all files together have it.

    ``values`` are its fields and its parameters, ``places`` where each was given last.
    """

    values: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    places: dict[str, tuple[Document, tuple[str | int, ...]]] = field(default_factory=dict)
    origin: tuple[str, ...] = ()

    def add(self, document: Document, index: int, values: Mapping[str, Any]) -> None:
        """Lay the table at ``index`` in ``document`` over what earlier files say."""
        self.values.update(values)
        self.places.update({key: (document, ("providers", index, key)) for key in values})
        self.origin = tuple(dict.fromkeys((*self.origin, document.path)))

    def add_params(self, document: Document, path: tuple[str, ...], params: Any) -> None:
        """Lay the parameters at ``path`` in ``document`` over what earlier files say."""
        if isinstance(params, dict):
            self.params = merge(self.params, params)
            # a field among them is an error
            self.places.update({k: (document, (*path, k)) for k in params.keys() - {*FIELDS}})

    def file(self, key: str) -> str | None:
        """Return the file that gave a field or parameter last."""
        return self.places[key][0].path if key in self.places else None

    def line(self, key: str) -> tuple[str, int | None]:
        """Return the file and line of a field or parameter, or of the provider."""
        document, path = self.places["name"]
        document, path = self.places.get(key, (document, path[:2]))
        return document.path, document.line(*path)


def check_merged(documents: Sequence[Document], entries: Mapping[str, Entry]) -> Iterator[Problem]:
    """Yield what is wrong in the merged whole: no base_url, extras for nobody, key sources."""
    owners: dict[str, str] = {}
    for name, entry in entries.items():
        keys = {key: entry.values.get(key) for key in ("api_key", "api_key_env")}
        sources = list(sources_in({**entry.params, **keys}))
        url = entry.values.get("base_url")
        if url in (None, ""):
            yield Problem(*entry.line("base_url"), name, "base_url is missing", NO_BASE_URL)
        elif isinstance(url, str) and sources and not base_url_fault(url):
            parts = urlsplit(url)
            if parts.scheme == "http" and not is_private_host(parts.hostname or ""):
                message = f"the key is sent to {parts.hostname} unencrypted, over plain http"
                where = entry.line("base_url")
                yield Problem(*where, name, message, "use https", warning=True)
        for weaker in sources[1:]:
            first, second = (documents.index(entry.places[s][0]) for s in (sources[0], weaker))
            if first <= second:  # else a later file overrides it
                message = f"{weaker} is not used: {sources[0]} takes precedence"
                where = entry.line(weaker)
                yield Problem(*where, name, message, "remove one of the two", warning=True)
        if not sources and (other := owners.setdefault(default_variable(name), name)) != name:
            variable = default_variable(name)
            message = f"it shares its key with provider {other!r}: both use ${variable}"
            fix = "give one of the two a variable of its own (api_key_env)"
            yield Problem(*entry.line("name"), name, message, fix, warning=True)
    for document in documents:
        yield from _check_names(document, entries)


def _check_names(document: Document, entries: Mapping[str, Entry]) -> Iterator[Problem]:
    """Yield what a file says under ``[plugin.litellm]`` of providers that are in no file."""
    fixes = {
        "providers": "correct the name, or add the provider",
        "models": 'name a model of a provider: [plugin.litellm.models."NAME/ID"]',
    }
    wrong = [
        path
        for table in fixes
        for path, _ in _matches(document.data, [*OURS, table, "*"])
        if _provider_of(path) not in entries
    ]
    few = len(entries) * len(wrong) <= MOST_COMPARED
    for path in wrong:
        name = _provider_of(path)
        message = f"{_dotted(path)} names no model of a provider"
        if name:
            message = f"{_dotted(path)}: no provider is named {name!r}"
            message += did_you_mean(name, entries) if few else ""
        yield _problem(document, path, message, fixes[path[2]], warning=True)


def _provider_of(path: Sequence[str]) -> str:
    """Return the provider that a table is about; of a model's it stands before a slash."""
    provider, slash, _ = path[3].partition("/")
    return path[3] if path[2] == "providers" else provider if slash else ""

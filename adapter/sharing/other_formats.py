"""Read what other tools configure, as the entries of a LiteLLM ``config.yaml`` that say the same.

A file is known by its content: opencode's ``opencode.json``, aichat's and Continue's
``config.yaml``, ``crush.json`` and llm's ``extra-openai-models.yaml``. JSON may have comments.
Nothing in a file is executed or fetched: a key that comes from a command or another file is named.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapter.keys.precedence import PLACEHOLDER_KEY, default_variable
from adapter.secrets.references import reference_to
from adapter.sharing.litellm_yaml import (
    ConfigYaml,
    Place,
    parse_yaml,
    read_config_yaml,
    read_text,
)
from adapter.upstream.prefixes import COMPATIBLE_BASES, NOT_EXPRESSIBLE, OPENAI_COMPATIBLE

__all__ = ["read_source"]

_LITELLM = re.compile(
    r"""^[ \t{]*["']?(model_list|include|credential_list|environment_variables"""
    r"""|(litellm|router|general)_settings)["']?[ \t]*:""",
    re.MULTILINE,
)

_JSON_TOKEN = re.compile(r'"(?:\\.|[^"\\])*(?:"|\\?\Z)|//[^\n]*|/\*.*?(?:\*/|\Z)|\t', re.DOTALL)
"""A string, a comment or a tab. What has no end goes to the end of the file: it is read once."""

_KINDS = {
    **dict.fromkeys(("openai-compatible", "openai-compat", "llama.cpp", "llamafile"), "openai"),
    "azure-openai": "azure",
    "claude": "anthropic",
    "google": "gemini",
    "google-vertex": "vertex_ai",
    "vertexai": "vertex_ai",
    "amazon-bedrock": "bedrock",
    "fireworks": "fireworks_ai",
    "lmstudio": "lm_studio",
    "together": "together_ai",
    "togetherai": "together_ai",
    "vllm": "hosted_vllm",
    "nvidia": "nvidia_nim",
}
"""What these tools call a kind of server -> LiteLLM's prefix, where they differ."""

_CAPABILITIES = {
    **dict.fromkeys(("context", "context_window", "contextLength"), "max_input_tokens"),
    "output": "max_output_tokens",
    "max_input_tokens": "max_input_tokens",
    "max_output_tokens": "max_output_tokens",
    **dict.fromkeys(("attachment", "supports_attachments", "vision"), "supports_vision"),
    **dict.fromkeys(("tool_call", "supports_tools"), "supports_function_calling"),
    **dict.fromkeys(("reasoning", "can_reason"), "supports_reasoning"),
    "supports_schema": "supports_response_schema",
    **{name: name for name in ("supports_vision", "supports_function_calling")},
}
"""What these tools say a model can do -> LiteLLM's word for it in ``model_info``."""

_MODES = {"embed": "embedding", "embedding": "embedding", "rerank": "rerank", "reranker": "rerank"}
"""What a model is for, where it is not chat -> LiteLLM's ``mode``."""

_VARIABLE = re.compile(
    r"(?:Bearer )?(?:\{env:(\w+)\}|\$\{\{ *(?:secrets|inputs)\.(\w+) *\}\}|\$\{(\w+)\}|\$(\w+))"
)
_ELSEWHERE = re.compile(r"(?:Bearer )?(?:(\{file:)|(\$\())")


@dataclass
class _Server:
    """A provider of a tool, or one model of it where a tool has no providers."""

    place: Place
    name: str
    kind: str
    base: Any = None
    key: Any = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, Any] = field(default_factory=dict)
    """What a model can do, by its id."""
    default: str | None = None
    aliases: tuple[str, ...] = ()
    """The names of its one model, for a tool without providers."""
    note: str = ""
    lost: str = ""
    """Why it cannot be read at all."""


def read_source(path: str | os.PathLike[str]) -> ConfigYaml:
    """Return the file as a LiteLLM ``config.yaml``, whichever of the known kinds it is.

    Raises :class:`ConfigError` as :func:`read_config_yaml` does.
    """
    shown = os.fspath(path)
    text = read_text(os.path.abspath(path), shown)
    if _LITELLM.search(text):
        return read_config_yaml(path)
    is_json = text.lstrip()[:1] in ("{", "/")
    node, data, notes = parse_yaml(_JSON_TOKEN.sub(_blank, text) if is_json else text, shown)
    read = next((read for has, read in _FORMATS if has(data)), None)
    if read is None:
        return read_config_yaml(path)
    entries: list[tuple[Place, Any]] = []
    report: list[tuple[Place, str]] = list(notes)
    lost: list[tuple[Place, str]] = []
    for server in read(data, _Places(node, shown)):
        if server.lost:
            lost.append((server.place, server.lost))
            continue
        entries += [(server.place, entry) for entry in _entries(server, lost)]
        report += [(server.place, server.note)] if server.note else []
    places = tuple(place for place, _ in entries)
    model_list = {"model_list": [entry for _, entry in entries]}
    return ConfigYaml(model_list, places, {}, tuple(report), tuple(lost))


def _blank(token: re.Match[str]) -> str:
    """Return a string as it is; a comment or tab, which YAML does not know, as blanks."""
    return token[0] if token[0][0] == '"' else re.sub(r"[^\n]", " ", token[0])


class _Places:
    """Where things stand in a parsed file."""

    def __init__(self, root: Any, shown: str) -> None:
        self._root = root
        self._shown = shown
        self._tables: dict[int, dict[str, tuple[int, Any]]] = {}

    def __call__(self, *keys: str | int) -> Place:
        """Return the place of what stands under ``keys``."""
        node, line = self._root, self._root.start_mark.line
        for key in keys:
            if isinstance(key, int):
                node = node.value[key]
                line = node.start_mark.line
            elif (entry := self._table(node).get(key)) is not None:
                line, node = entry
            else:  # it came by a merge key
                break
        return Place(self._shown, line + 1)

    def _table(self, node: Any) -> dict[str, tuple[int, Any]]:
        if id(node) not in self._tables:
            pairs = {str(k.value): (int(k.start_mark.line), v) for k, v in node.value}
            self._tables[id(node)] = pairs
        return self._tables[id(node)]


def _entries(server: _Server, lost: list[tuple[Place, str]]) -> Iterator[dict[str, Any]]:
    """Yield the entries of ``model_list`` that say what the tool says of a server."""
    prefix = _prefix(server)
    headers = {str(name): value for name, value in server.headers.items()}
    key = server.key or headers.pop("Authorization", None)
    params: dict[str, Any] = {"api_base": server.base} if server.base else {}
    if (made := _key(key, server, lost)) or server.base:
        params["api_key"] = made or PLACEHOLDER_KEY
    if headers:
        params["extra_headers"] = headers
    models = dict(server.models)
    default = server.default if server.default in models else next(iter(models), None)
    names = [(f"{server.name}/*", "*")] if not server.aliases else []
    names += [(name, str(default)) for name in server.aliases or ([server.name] if models else [])]
    names += [(f"{server.name}/{model}", model) for model in models if model != default]
    for name, model in names:
        yield {
            "model_name": name,
            "litellm_params": {"model": f"{prefix}/{model}", **params},
            "model_info": _info(models.get(model)),
        }


def _prefix(server: _Server) -> str:
    """Return LiteLLM's prefix for a kind of server."""
    kind = server.kind.removeprefix("@ai-sdk/").lower()
    prefix = _KINDS.get(kind, kind) or server.name
    local = COMPATIBLE_BASES.get(prefix)
    if local is not None and local.key_optional and str(server.base).rstrip("/").endswith("/v1"):
        return "openai"  # Ollama's own API has no /v1
    if prefix == "openai" and not server.base and server.name in OPENAI_COMPATIBLE:
        return server.name
    is_known = prefix in OPENAI_COMPATIBLE or prefix in NOT_EXPRESSIBLE
    return prefix if is_known or not server.base else "openai"


def _key(value: Any, server: _Server, lost: list[tuple[Place, str]]) -> Any:
    """Return a key as LiteLLM writes it: a reference to a variable, or the text itself."""
    if not isinstance(value, str):
        return value
    if match := _VARIABLE.fullmatch(value.strip()):
        return reference_to(next(filter(None, match.groups())))
    if match := _ELSEWHERE.match(value.strip()):
        source = "a file" if match[1] else "a command"
        variable = default_variable(server.name)
        what = f"{server.name}: its key comes from {source}, which is not read: set {variable}"
        lost.append((server.place, what))
        return None
    return value.removeprefix("Bearer ")


def _info(model: Any) -> dict[str, Any]:
    """Return what a model can do, in LiteLLM's words."""
    if not isinstance(model, Mapping):
        return {}
    parts = [model, model.get("limit"), model.get("defaultCompletionOptions")]
    flat = {k: v for part in parts if isinstance(part, Mapping) for k, v in part.items()}
    info = {_CAPABILITIES[k]: v for k, v in flat.items() if k in _CAPABILITIES}
    roles = model.get("roles")
    role = roles[0] if isinstance(roles, list) and len(roles) == 1 else model.get("type")
    if mode := _MODES.get(str(role)):
        info["mode"] = mode
    return {k: v for k, v in info.items() if isinstance(v, str | int)}


def _table(value: Any) -> Mapping[str, Any]:
    return {str(k): v for k, v in value.items()} if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [_table(item) for item in value] if isinstance(value, list) else []


def _opencode(data: Any, at: _Places) -> Iterator[_Server]:
    default_provider, _, default = str(data.get("model") or "").partition("/")
    for name, table in _table(data["provider"]).items():
        provider = _table(table)
        options, models = _table(provider.get("options")), _table(provider.get("models"))
        keyless = "opencode keeps keys that `opencode auth login` asked for in its auth.json"
        yield _Server(
            place=at("provider", name),
            name=name,
            kind=str(provider.get("npm") or name),
            base=options.get("baseURL"),
            key=options.get("apiKey"),
            headers=_table(options.get("headers")),
            models={str(_table(model).get("id") or id): model for id, model in models.items()},
            default=default if name == default_provider else None,
            note="" if options.get("apiKey") else f"{name}: no key in the file; {keyless}",
        )


def _aichat(data: Any, at: _Places) -> Iterator[_Server]:
    default_client, _, default = str(data.get("model") or "").partition(":")
    for number, client in enumerate(_list(data["clients"])):
        kind = str(client.get("type") or "")
        name = str(client.get("name") or kind)
        models = _list(client.get("models"))
        yield _Server(
            place=at("clients", number),
            name=name,
            kind=kind,
            base=client.get("api_base"),
            key=client.get("api_key"),
            models={str(m.get("real_name") or m["name"]): m for m in models if m.get("name")},
            default=default if name == default_client else None,
        )


def _continue(data: Any, at: _Places) -> Iterator[_Server]:
    for number, model in enumerate(_list(data["models"])):
        request, model_id = _table(model.get("requestOptions")), str(model.get("model") or "")
        alias = str(model.get("name") or model.get("title") or model_id)
        uses, secret = model.get("uses"), "secrets." in str(model.get("apiKey"))
        yield _Server(
            place=at("models", number),
            name=str(model.get("provider") or ""),
            kind=str(model.get("provider") or ""),
            base=model.get("apiBase"),
            key=model.get("apiKey"),
            headers=_table(request.get("headers")),
            models={} if model_id == "AUTODETECT" else {model_id: model},
            aliases=() if model_id == "AUTODETECT" else (alias,),
            note="Continue keeps its secrets in a store of its own: set the variable" * secret,
            lost=f"{uses}, a model of Continue's hub, which is not fetched" if uses else "",
        )


def _crush(data: Any, at: _Places) -> Iterator[_Server]:
    large = _table(_table(data.get("models")).get("large"))
    for name, table in _table(data["providers"]).items():
        provider = _table(table)
        models = _list(provider.get("models"))
        yield _Server(
            place=at("providers", name),
            name=name,
            kind=str(provider.get("type") or name),
            base=provider.get("base_url"),
            key=provider.get("api_key"),
            headers=_table(provider.get("extra_headers")),
            models={str(m["id"]): m for m in models if m.get("id")},
            default=str(large.get("model")) if large.get("provider") == name else None,
        )


def _llm(data: Any, at: _Places) -> Iterator[_Server]:
    for number, model in enumerate(_list(data)):
        model_id, aliases = str(model.get("model_id") or ""), model.get("aliases")
        key_name = str(model.get("api_key_name") or "")
        variable = default_variable(key_name) if key_name else ""
        where = f"llm keeps the key {key_name!r} in its keys.json: set {variable}"
        yield _Server(
            place=at(number),
            name="openai",
            kind="text-completion-openai" if model.get("completion") else "openai",
            base=model.get("api_base"),
            key=f"${{{variable}}}" if variable else None,
            headers=_table(model.get("headers")),
            models={str(model.get("model_name") or model_id): model},
            aliases=(model_id, *map(str, aliases if isinstance(aliases, list) else ())),
            note=where if key_name else "",
        )


def _holds(data: Any, key: str, kind: type, *fields: str) -> bool:
    """Return whether ``data[key]`` is of a kind, and what is in it has one of ``fields``."""
    inner: Any = data.get(key) if isinstance(data, Mapping) else None
    if not isinstance(inner, kind):
        return False
    items: Any = inner.values() if isinstance(inner, Mapping) else inner
    return any(isinstance(item, Mapping) and any(f in item for f in fields) for item in items)


_FORMATS: tuple[tuple[Callable[[Any], bool], Callable[[Any, _Places], Iterator[_Server]]], ...] = (
    (lambda data: _holds(data, "provider", Mapping, "options", "models", "npm"), _opencode),
    (lambda data: _holds(data, "clients", list, "type"), _aichat),
    (lambda data: _holds(data, "models", list, "provider", "uses"), _continue),
    (lambda data: _holds(data, "providers", Mapping, "base_url", "type", "api_key"), _crush),
    (lambda data: _holds({"": data}, "", list, "model_id"), _llm),
)

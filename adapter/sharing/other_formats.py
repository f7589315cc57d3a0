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
from typing import Any, NamedTuple

import yaml

from adapter._tables import value_at
from adapter.keys.precedence import PLACEHOLDER_KEY, default_variable
from adapter.secrets.references import reference_to
from adapter.sharing.litellm_yaml import (
    ConfigYaml,
    Place,
    Report,
    line_of,
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
    r"(?:\{env:(\w+)\}|\$\{\{ *(?:secrets|inputs)\.(\w+) *\}\}|\$\{(\w+)\}|\$(\w+))"
)
_ELSEWHERE = re.compile(r"(\{file:)|\$\(")
"""A value from a file, or from a command."""


@dataclass
class _Server:
    """A provider of a tool, or one model of it where a tool has no providers."""

    place: Place
    name: str
    kind: str
    base: Any
    key: Any
    headers: Mapping[str, Any]
    models: Mapping[str, Any] = field(default_factory=dict)
    """What a model can do, by its id."""
    default: str | None = None
    aliases: tuple[str, ...] = ()
    """The names of its one model, for a tool without providers."""
    note: str = ""
    lost: list[str] = field(default_factory=list)
    """What is not taken of it."""
    is_lost: bool = False
    """It cannot be read at all."""


def read_source(path: str | os.PathLike[str], report: Report) -> ConfigYaml:
    """Return the file as a LiteLLM ``config.yaml``, whichever of the known kinds it is.

    Adds to ``report``. Raises :class:`ConfigError` as :func:`read_config_yaml` does.
    """
    shown = os.fspath(path)
    text = read_text(shown)
    if _LITELLM.search(text):
        return read_config_yaml(path, report)
    if text.lstrip()[:1] in ("{", "/"):
        text = _JSON_TOKEN.sub(_blank, text)
    node, data = parse_yaml(text, shown, report)
    tool = next((tool for tool in _TOOLS if tool.has(data)), None)
    if tool is None:
        return read_config_yaml(path, report)
    places: list[Place] = []
    entries: list[Any] = []
    for server in tool.servers(data, _lines(node, tool.path), shown):
        entries += _entries(server)
        places += [server.place] * (len(entries) - len(places))
        if server.note:
            report.note(server.note, server.place)
        report.left_out += [f"{server.place}: {text}" for text in server.lost]
    return ConfigYaml({"model_list": entries}, tuple(places))


def _blank(token: re.Match[str]) -> str:
    """Return a string as it is; a comment or tab, which YAML does not know, as blanks."""
    return token[0] if token[0][0] == '"' else re.sub(r"[^\n]", " ", token[0])


def _lines(root: Any, path: str) -> dict[Any, int]:
    """Return the line of each item under ``path``, by its name or number in the parsed file."""
    node = next((value for key, value in root.value if key.value == path), root) if path else root
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): line_of(key) for key, _ in node.value}
    return {number: line_of(item) for number, item in enumerate(node.value)}


def _entries(server: _Server) -> Iterator[dict[str, Any]]:
    """Yield the entries of ``model_list`` that say what the tool says of a server."""
    prefix = _prefix(server)
    if server.is_lost:
        return
    headers = dict(server.headers)
    key = server.key or headers.pop("Authorization", None)
    key = key.strip().removeprefix("Bearer ") if isinstance(key, str) else key
    key = _value(key, "key", server, f": set {default_variable(server.name)}")
    base = _value(server.base, "base URL", server)
    params: dict[str, Any] = {"api_base": base} if base else {}
    if key or base:
        params["api_key"] = key or PLACEHOLDER_KEY
    headers = {name: _value(v, f"header {name}", server) for name, v in headers.items()}
    if headers := {name: value for name, value in headers.items() if value is not None}:
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
    if prefix == "openai" != kind and not server.base and not server.is_lost:
        # LiteLLM would take it for OpenAI itself
        server.lost.append(f"{server.name}: an OpenAI-compatible server without its base URL")
        server.is_lost = True
    is_known = prefix in OPENAI_COMPATIBLE or prefix in NOT_EXPRESSIBLE
    return prefix if is_known or not server.base else "openai"


def _value(value: Any, what: str, server: _Server, advice: str = "") -> Any:
    """Return a value as LiteLLM writes it, ``None`` where it stands elsewhere, unread."""
    text = value.strip() if isinstance(value, str) else ""
    if match := _VARIABLE.fullmatch(text):
        return reference_to(next(filter(None, match.groups())))
    if match := _ELSEWHERE.match(text):
        source = "a file" if match[1] else "a command"
        comes = f"its {what} comes from {source}, which is not read"
        server.lost.append(f"{server.name}: {comes}{advice}")
        return None
    return value


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


class _Tool(NamedTuple):
    """Where a tool's file has its servers, and what their fields are called there."""

    path: str
    """Leads to the servers: a mapping by their names, or a list; ``""`` is the file itself."""
    container: type
    marks: tuple[str, ...]
    """A file is the tool's when one of its servers has one of these."""
    kind: str
    base: str
    key: str
    headers: str
    complete: Callable[[_Server, Mapping[str, Any], Any], None]
    """Adds what is as in no other tool; its arguments are the server, its table, the file."""

    def has(self, data: Any) -> bool:
        """Return whether the file is the tool's."""
        inner = _at(data, self.path)
        items = inner.values() if isinstance(inner, Mapping) else inner
        return isinstance(inner, self.container) and any(
            isinstance(item, Mapping) and any(mark in item for mark in self.marks) for item in items
        )

    def servers(self, data: Any, lines: Mapping[Any, int], shown: str) -> Iterator[_Server]:
        """Yield the servers of the file, in its order."""
        inner = _at(data, self.path)
        is_table = isinstance(inner, Mapping)
        for key, item in _table(inner).items() if is_table else enumerate(inner):
            table = _table(item)
            kind = str(table.get(self.kind) or (key if is_table else ""))
            server = _Server(
                place=Place(shown, lines.get(key, 1)),  # none came by a merge key
                name=str(key if is_table else table.get("name") or kind),
                kind=kind,
                base=_at(table, self.base),
                key=_at(table, self.key),
                headers=_table(_at(table, self.headers)),
                models=_models(table.get("models")),
            )
            self.complete(server, table, data)
            yield server


def _at(value: Any, path: str) -> Any:
    return value_at(value, path.split(".")) if path else value


def _models(models: Any) -> dict[str, Any]:
    """Return what is said of each model, by its id."""
    if isinstance(models, Mapping):
        return {str(_table(model).get("id") or id): model for id, model in models.items()}
    tables = map(_table, models if isinstance(models, list) else ())
    ids = ((m.get("id") or m.get("real_name") or m.get("name"), m) for m in tables)
    return {str(model_id): model for model_id, model in ids if model_id}


def _chosen(data: Any, separator: str, server: _Server) -> str | None:
    """Return the model that the file chooses, where it is of this server."""
    name, _, model = str(data.get("model") or "").partition(separator)
    return model if name == server.name else None


def _opencode(server: _Server, table: Mapping[str, Any], data: Any) -> None:
    server.default = _chosen(data, "/", server)
    if not server.key:
        keyless = "opencode keeps keys that `opencode auth login` asked for in its auth.json"
        server.note = f"{server.name}: no key in the file; {keyless}"


def _aichat(server: _Server, table: Mapping[str, Any], data: Any) -> None:
    server.default = _chosen(data, ":", server)
    if table.get("patch"):
        server.lost.append(f"{server.name}: patch, which changes aichat's requests")


def _continue(server: _Server, table: Mapping[str, Any], data: Any) -> None:
    server.name = server.kind
    model = str(table.get("model") or "")
    if model != "AUTODETECT":
        server.models = {model: table}
        server.aliases = (str(table.get("name") or table.get("title") or model),)
    if "secrets." in str(server.key):
        server.note = "Continue keeps its secrets in a store of its own: set the variable"
    if uses := table.get("uses"):
        server.lost.append(f"{uses}, a model of Continue's hub, which is not fetched")
        server.is_lost = True


def _crush(server: _Server, table: Mapping[str, Any], data: Any) -> None:
    large = _table(_at(data, "models.large"))
    if large.get("provider") == server.name:
        server.default = str(large.get("model"))


def _llm(server: _Server, table: Mapping[str, Any], data: Any) -> None:
    server.name = "openai"
    server.kind = "text-completion-openai" if table.get("completion") else "openai"
    model_id, aliases = str(table.get("model_id") or ""), table.get("aliases")
    server.models = {str(table.get("model_name") or model_id): table}
    server.aliases = (model_id, *map(str, aliases if isinstance(aliases, list) else ()))
    if name := str(server.key or ""):
        variable = default_variable(name)
        server.key = f"${{{variable}}}"
        server.note = f"llm keeps the key {name!r} in its keys.json: set {variable}"


_OPENCODE = ("options.baseURL", "options.apiKey", "options.headers")
_CONTINUE = ("apiBase", "apiKey", "requestOptions.headers")
_CRUSH = ("base_url", "api_key", "extra_headers")
_TOOLS = (
    _Tool("provider", Mapping, ("options", "models", "npm"), "npm", *_OPENCODE, _opencode),
    _Tool("clients", list, ("type",), "type", "api_base", "api_key", "extra_headers", _aichat),
    _Tool("models", list, ("provider", "uses"), "provider", *_CONTINUE, _continue),
    _Tool("providers", Mapping, ("base_url", "type", "api_key"), "type", *_CRUSH, _crush),
    _Tool("", list, ("model_id",), "model_id", "api_base", "api_key_name", "headers", _llm),
)

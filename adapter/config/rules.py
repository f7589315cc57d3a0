"""One table of what each value in a configuration must be, and the names that tables may hold."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["NAMES", "OUR_TABLES", "RULES", "SECTIONS", "Path", "Rule", "matches"]

Path = tuple[str, ...]
"""The names that lead to a value."""

SECTIONS = ("router_settings", "litellm_settings", "general_settings")
"""LiteLLM's own section names, passed through from ``[plugin.litellm]``."""

OUR_TABLES = ("providers", "models", *SECTIONS, "worker", "gateway")
"""The tables ``[plugin.litellm]`` may hold."""


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
_NOTHING = Kind("left out: it has no effect", lambda v: False)
_CLIENT = Kind('"openai" or "hosted_vllm"', lambda v: v in ("openai", "hosted_vllm"))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


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
    Rule("plugin.litellm.models.*.mode", _TEXT, 'write mode = "chat", or the like'),
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
    Rule(f"{_PARAMS}.stream", _NOTHING, "say it with each call (--no-stream)", warning=True),
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


def matches(value: Any, pattern: Sequence[str], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield each path in ``value`` that ``pattern`` fits, with what stands there."""
    if not pattern:
        yield path, value
    elif isinstance(value, dict):
        for name in value if pattern[0] == "*" else {pattern[0]} & value.keys():
            yield from matches(value[name], pattern[1:], (*path, name))

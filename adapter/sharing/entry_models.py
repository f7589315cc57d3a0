"""LiteLLM's model strings: the provider and the id that ``litellm_params.model`` stands for.

Follows ``get_llm_provider_logic.py``; the tables are those of ``litellm_prefixes``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from adapter._text import did_you_mean
from adapter.config.checks import VARIABLE
from adapter.sharing.config_yaml import REFERENCE, reference
from adapter.upstream.prefixes import (
    COMPATIBLE_BASES,
    LOGINS,
    NOT_EXPRESSIBLE,
    OPENAI_COMPATIBLE,
    OpenAICompatible,
)

__all__ = ["Refused", "model_id", "resolved", "row_of", "split_model"]

_OPENAI_NAMES = re.compile(
    r"(?:ft:)?(?:gpt-|chatgpt-|o[134](?:-|$)|codex-|text-embedding-|computer-use|omni-moderation|"
    r"tts-|whisper-|dall-e-|sora-)[\w.:-]*"
)
"""Names that LiteLLM takes for OpenAI's without a prefix; it goes by its own list of models."""

_OTHER_NAMES = (("anthropic", r"claude-.*"), ("gemini", r"gemini-.*"), ("cohere", r"command-.*"))


class Refused(Exception):  # noqa: N818 - an outcome for the report, not an error
    """An entry that cannot become a provider; the text says why, to follow its name."""


def split_model(
    params: Mapping[str, Any], environ: Mapping[str, str], notes: list[str]
) -> tuple[str, str]:
    """Return LiteLLM's provider and the model id after it."""
    model = params["model"]
    if (variable := reference(model)) is not None:
        model = resolved("model", variable, environ, notes)
    if not isinstance(model, str):
        raise Refused(f"model is a {type(model).__name__}, not a string")
    if REFERENCE in model or any(c.isspace() or not c.isprintable() for c in model):
        raise Refused("model holds white space or a part os.environ/, which LiteLLM sends as text")
    given = params.get("custom_llm_provider")
    if given:
        return str(given), model.removeprefix(f"{given}/")
    prefix, slash, rest = model.partition("/")
    if slash and (prefix in _known() or prefix in LOGINS):
        return prefix, rest
    if model == "*":
        raise Refused("model '*' goes wherever LiteLLM thinks each name belongs: name a prefix")
    return _without_prefix(model, params.get("base_url") or params.get("api_base"), notes)


def _without_prefix(model: str, base: Any, notes: list[str]) -> tuple[str, str]:
    """Return what LiteLLM makes of a model without a prefix it knows: by host, then by name."""
    if row := _row_of_host(base):
        notes.append(f"no prefix: LiteLLM goes by the host of its api_base, {row.prefix}")
        return row.prefix, model
    if _OPENAI_NAMES.fullmatch(model):
        return "openai", model
    for prefix, pattern in _OTHER_NAMES:
        if re.fullmatch(pattern, model):
            return prefix, model
    first, slash, _ = model.partition("/")
    what = f"{first!r} is no prefix of LiteLLM" if slash else f"{model!r} has no prefix"
    hint = did_you_mean(first, _known()) if slash else ""
    wanted = f"write openai/{model} with its api_base"
    raise Refused(f"{what}{hint}, and LiteLLM drops such an entry: {wanted}")


def _row_of_host(base: Any) -> OpenAICompatible | None:
    try:
        host = urlsplit(base).hostname if isinstance(base, str) else None
    except ValueError:
        return None
    rows = OPENAI_COMPATIBLE.values()
    own = (r for r in rows if r.base_url and r.prefix != "openai" and r.base_url[:5] == "https")
    return next((r for r in own if urlsplit(r.base_url).hostname == host), None)


def _known() -> Iterable[str]:
    return {**OPENAI_COMPATIBLE, **NOT_EXPRESSIBLE}


def row_of(prefix: str, model: str) -> OpenAICompatible:
    """Return the row of a prefix that is OpenAI-compatible; the others are refused."""
    row = OPENAI_COMPATIBLE.get(prefix)
    if row is not None:
        return row
    if prefix in LOGINS:
        raise Refused(f"{prefix}/{model} logs in by OAuth, not by a key")
    if prefix in NOT_EXPRESSIBLE:
        instead = (
            f"; instead: {_instead(COMPATIBLE_BASES[prefix])}" if prefix in COMPATIBLE_BASES else ""
        )
        raise Refused(f"{prefix}/{model}: {prefix} {NOT_EXPRESSIBLE[prefix]}{instead}")
    hint = did_you_mean(prefix, _known())
    raise Refused(f"{prefix!r} is no provider of LiteLLM{hint}, and it drops such an entry")


def resolved(what: str, variable: str, environ: Mapping[str, str], notes: list[str]) -> str:
    """Return the value a reference has now: our files say URLs and models, not variables."""
    if not VARIABLE.fullmatch(variable):
        raise Refused(f"{what}: what follows os.environ/ is not the name of a variable")
    value = environ.get(variable, "").strip()
    if not value:
        raise Refused(f"{what} is ${variable}, which is not set: set it and import again")
    notes.append(f"its {what} is the value that ${variable} has now")
    return value


def model_id(row: OpenAICompatible, model: str, has_base: bool, notes: list[str]) -> str:
    """Return the id that LiteLLM would put on the wire."""
    if not model:
        raise Refused(f"the model after {row.prefix}/ is empty")
    ids = {} if has_base and row.ids.get("without_base") else row.ids
    if ids and re.fullmatch(ids["pattern"], model):
        raise Refused(f"{row.prefix}/{model} {ids['why']}")
    if model.startswith("responses/"):
        notes.append("LiteLLM asks the Responses API for an id that begins with responses/")
    if row.text:
        notes.append("LiteLLM posts it to /completions; a provider here is asked for chat")
    if row.before_id and model == "*":
        notes.append(f"{row.prefix} wants the full id here: LiteLLM completes short ones")
    elif row.before_id:
        return next(before for rule, before in row.before_id if re.fullmatch(rule, model)) + model
    return model


def _instead(row: OpenAICompatible) -> str:
    """Return how to write an entry for the maker's OpenAI-compatible API."""
    path = row.path or row.suffix
    return f"openai/<model> with api_base {row.base_url or f'<base>{path}'}"

"""One entry of LiteLLM's ``model_list``: what it calls, or why that cannot be said here.

Which prefix, base, id and key LiteLLM would use follows ``get_llm_provider_logic.py`` and
``Router._create_deployment``; the tables are those of ``litellm_prefixes``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from adapter._text import did_you_mean
from adapter.config.checks import VARIABLE
from adapter.config.plugin_checks import KEY_PREFIX
from adapter.config.provider import base_url_fault, safe_url
from adapter.keys.precedence import default_variable
from adapter.secrets.secret import Secret
from adapter.sharing.config_yaml import REFERENCE, reference, variable_in
from adapter.sharing.entry_keys import key_of_entry
from adapter.sharing.entry_models import Refused, model_id, resolved, row_of, split_model
from adapter.upstream.prefixes import OpenAICompatible

__all__ = ["Deployment", "Refused", "read_deployment"]

CONSUMED = frozenset(
    {"model", "api_base", "base_url", "api_key", "custom_llm_provider", "litellm_credential_name"}
)
"""What becomes a field of the provider; every other parameter is an extra."""


class Deployment(NamedTuple):
    """What an entry calls: ``model`` is the id on the wire, ``*`` for a wildcard.

    ``prefix`` is LiteLLM's; ``own_base`` says that the base is the one LiteLLM has for it.
    ``variable`` and ``literal`` are the key, at most one of them. ``pattern`` says that the name
    takes several models, but not in the form ``NAME/*`` -> ``prefix/*``. ``lost`` are parameters
    that are not taken over.
    """

    name: str
    prefix: str
    model: str
    base_url: str
    own_base: bool
    variable: str | None
    literal: Secret | None
    extras: Mapping[str, Any]
    mode: str | None = None
    pattern: bool = False
    notes: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Deployment({self.name!r}, {self.model!r}, {safe_url(self.base_url)!r})"

    @property
    def wildcard(self) -> str | None:
        """NAME of an entry ``NAME/*`` that passes any id on, else ``None``."""
        plain = self.model == "*" and not self.pattern and self.name.endswith("/*")
        return self.name.removesuffix("/*") if plain else None


def read_deployment(
    entry: Any,
    credentials: Mapping[str, Mapping[str, Any]],
    environ: Mapping[str, str],
    later: Mapping[str, str],
) -> Deployment:
    """Return what the entry calls. Raises :class:`Refused` with the reason where it cannot be said.

    ``credentials`` are the file's ``credential_list``, by name; ``later`` is ``environ`` with the
    file's ``environment_variables``.
    """
    notes: list[str] = []
    name, params = _params(entry, credentials, notes)
    prefix, model = split_model(params, environ, notes)
    row = row_of(prefix, model)
    base_url = _base_url(row, params, environ, later, notes)
    own_base = base_url == row.base_url
    model = model_id(row, model, bool(params.get("api_base") or params.get("base_url")), notes)
    key = key_of_entry(params.get("api_key"), row, base_url, environ, later)
    if key.fault:
        raise Refused(key.fault)
    unusual = key.variable is not None and not VARIABLE.fullmatch(key.variable)
    if unusual and key.variable != default_variable(name.partition("/")[0]):
        raise Refused("api_key: what follows os.environ/ is not the name of a variable")
    info = entry.get("model_info")
    mode = info.get("mode") if isinstance(info, Mapping) else None
    pattern, model = _pattern(name, model)
    # settings of ours that run a command or read a file: only the user's own files may say them
    lost = tuple(sorted(k for k in params if k.startswith(KEY_PREFIX)))
    return Deployment(
        name=name,
        prefix=row.prefix,
        model=model,
        base_url=base_url,
        own_base=own_base,
        variable=key.variable,
        literal=key.literal,
        extras={k: v for k, v in params.items() if k not in CONSUMED and k not in lost},
        mode=str(mode) if mode else None,
        pattern=pattern,
        notes=(*notes, *([key.note] if key.note else [])),
        lost=lost,
    )


def _params(
    entry: Any, credentials: Mapping[str, Mapping[str, Any]], notes: list[str]
) -> tuple[str, dict[str, Any]]:
    """Return the name and the parameters, completed as LiteLLM does before it uses them."""
    if not isinstance(entry, Mapping):
        raise Refused("the entry is not a mapping; LiteLLM does not start with it")
    name, given = entry.get("model_name"), entry.get("litellm_params")
    if not isinstance(name, str) or not name:
        raise Refused("model_name is missing; LiteLLM does not start with such an entry")
    if not isinstance(given, Mapping) or not given.get("model"):
        raise Refused("litellm_params.model is missing; LiteLLM does not start with such an entry")
    params = {str(key): value for key, value in given.items()}
    for limit in ("rpm", "tpm"):  # Router._create_deployment moves them
        if entry.get(limit) is not None:
            params.setdefault(limit, entry[limit])
    credential = params.get("litellm_credential_name")
    if isinstance(credential, str):
        if credential not in credentials:
            hint = did_you_mean(credential, credentials)
            notes.append(f"no credential is named {credential!r}{hint}; LiteLLM calls without it")
        lacking = {k for k in credentials.get(credential, {}) if params.get(k) is None}
        params |= {k: credentials[credential][k] for k in lacking}
    if params.get("use_litellm_proxy"):
        raise Refused("use_litellm_proxy sends it to $LITELLM_PROXY_API_BASE, whatever it says")
    return name, params


def _base_url(
    row: OpenAICompatible,
    params: Mapping[str, Any],
    environ: Mapping[str, str],
    later: Mapping[str, str],
    notes: list[str],
) -> str:
    base = params.get("base_url") or params.get("api_base")  # with both, base_url wins
    if (variable := reference(base)) is not None:
        base = resolved("api_base", variable, environ, notes)
    elif not base and (variable := next((n for n in row.bases if later.get(n)), None)):
        base = later[variable]
        notes.append(f"its base_url is the value that ${variable} has now")
    elif not base and row.base_url:
        return _completed(row.base_url, later, notes)
    if not base:
        raise Refused(f"{row.prefix} needs an api_base: LiteLLM has none of its own for it")
    if not isinstance(base, str):
        raise Refused(f"api_base is a {type(base).__name__}, not a URL")
    if REFERENCE in base or variable_in(base) or "$" in base or "{" in base:
        why = "api_base holds a variable as text, which LiteLLM does not expand"
        raise Refused(f"{why}: write the URL, or os.environ/NAME and nothing else")
    url = base.strip().rstrip("/")
    if url.endswith("/chat/completions"):
        url = url.removesuffix("/chat/completions").rstrip("/")
        notes.append("/chat/completions was cut from its api_base; it is appended by itself")
    if row.suffix and not re.fullmatch(r"v\d+", url.rpartition("/")[2]):
        url += row.suffix
    if fault := base_url_fault(url):
        message, fix = fault
        raise Refused(f"{message.replace('base_url', 'api_base')}: {fix}")
    return url


def _completed(base: str, environ: Mapping[str, str], notes: list[str]) -> str:
    """Return LiteLLM's own base, with the value of the variable that stands in it."""
    if (found := re.search(r"\{(\w+)\}", base)) is None:
        return base
    value = resolved(f"the {found[1]} of its base_url", found[1], environ, notes)
    return base.replace(found[0], value)


def _pattern(name: str, model: str) -> tuple[bool, str]:
    """Return whether a name stands for several, beyond ``NAME/*`` -> ``*``, and the model id.

    A partial pattern on the model's side (``gpt-*``) is only a part of what the provider takes.
    """
    plain = re.fullmatch(r"[^/*\s]+/\*", name) is not None
    if "*" not in name:
        if "*" in model:
            raise Refused(f"its model holds a '*', but the name does not: write {name}/*")
        return False, model
    if "*" in model:
        return not (plain and model == "*"), "*"
    return True, model

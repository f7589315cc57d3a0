"""One entry of LiteLLM's ``model_list``: what it calls, or why no provider here could.

Which prefix, base, id and key LiteLLM would use follows ``get_llm_provider_logic.py`` and
``Router._create_deployment``; the table of prefixes is ``adapter.upstream.prefixes``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from adapter._text import did_you_mean
from adapter.config.checks import KEY_PREFIX
from adapter.config.provider import safe_url
from adapter.keys.precedence import PLACEHOLDER_KEY, default_variable
from adapter.secrets.references import is_variable, reference_to, referenced_variable
from adapter.secrets.secret import Secret
from adapter.sharing.entry_values import (
    RefusedError,
    completed_url,
    is_stand_in,
    pattern_of,
    variable_in,
)
from adapter.upstream.prefixes import (
    COMPATIBLE_BASES,
    ENDPOINTS,
    LOGINS,
    NOT_EXPRESSIBLE,
    OPENAI_COMPATIBLE,
    RESPONSES,
    OpenAICompatible,
    litellm_models,
)

__all__ = ["Deployment", "Entry", "RefusedError", "rank"]

OWN_HOST_ONLY = frozenset({"custom_openai", "inception", "lemonade", "nadir", "openai"})
"""Prefixes whose key from the environment does not go to another host than their own.

For inception, lemonade and nadir by LiteLLM's own rule. For the two OpenAI ones by ours: LiteLLM
sends ``$OPENAI_API_KEY`` to any ``api_base``, which nobody means.
"""

FIELDS = {"model", "api_base", "base_url", "api_key", "custom_llm_provider", "order"}
FIELDS |= {"litellm_credential_name"}
"""What becomes a field of the provider, or decides who gets a name; all else is an extra."""

_OPENAI_NAMES = re.compile(
    r"(?:ft:)?(?:gpt-|chatgpt-|o[134](?:-|$)|codex-|text-embedding-|computer-use|omni-moderation|"
    r"tts-|whisper-|dall-e-|sora-)[\w.:-]*"
)
"""Names that LiteLLM takes for OpenAI's without a prefix; it goes by its own list of models."""

_OTHER_NAMES = (("anthropic", r"claude-.*"), ("vertex_ai", r"gemini-.*"))


@dataclass(frozen=True, repr=False)
class Deployment:
    """What an entry calls: ``model`` is the id on the wire, ``*`` for a wildcard.

    ``prefix`` is LiteLLM's; ``own_base`` says that the base is the one LiteLLM has for it.
    ``variable`` and ``literal`` are the key, at most one of them. ``pattern`` says that the name
    takes several models, but not in the form ``NAME/*`` -> ``prefix/*``. ``order`` is the rank
    among entries of one name, lowest first. ``lost`` are parameters that are not taken over.
    """

    name: str
    prefix: str
    model: str
    base_url: str
    own_base: bool
    variable: str | None
    literal: Secret | None
    extras: Mapping[str, Any]
    info: Mapping[str, Any] = field(default_factory=dict)
    order: int | None = None
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


def rank(deployment: Deployment) -> float:
    """Return what LiteLLM goes by among entries of one name: the lowest, those without one last."""
    return inf if deployment.order is None else deployment.order


@dataclass(repr=False)
class Entry:
    """One entry on its way to a :class:`Deployment`.

    ``credentials`` are the file's ``credential_list``, by name. ``later`` is ``environ`` with the
    file's ``environment_variables``, which LiteLLM sets only after it has resolved the references.
    ``compatible`` takes entries of other APIs by their maker's OpenAI-compatible base. Raises
    :class:`RefusedError` where it cannot be said what the entry calls.
    """

    entry: Any
    credentials: Mapping[str, Mapping[str, Any]]
    environ: Mapping[str, str]
    later: Mapping[str, str]
    compatible: bool
    _notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not isinstance(self.entry, Mapping):
            raise RefusedError("the entry is not a mapping; LiteLLM does not start with it")
        name = self.entry.get("model_name")
        if (variable := referenced_variable(name)) is not None:
            name = self._resolved("model_name", variable)
        if not isinstance(name, str) or not name:
            raise RefusedError("model_name is missing; LiteLLM does not start with such an entry")
        self._name = name
        self._params = self._completed()
        self._base = self._params.get("base_url") or self._params.get("api_base")

    def deployment(self) -> Deployment:
        """Return what the entry calls; raises :class:`RefusedError`."""
        params, name = self._params, self._name
        prefix, model = self._split_model()
        row = self._row(prefix, model)
        info = self.entry.get("model_info")
        info = info if isinstance(info, Mapping) else {}
        base_url = self._base_url(row)
        model = self._model_id(row, model)
        own = [model] if row.prefix in ("openai", "litellm_proxy") else []
        rows = [litellm_models().get(name, {}) for name in (f"{row.prefix}/{model}", *own)]
        named_so = model.startswith("responses/") and row.prefix in RESPONSES
        if named_so or any(row.get("mode") == "responses" for row in rows):
            self._notes.append("LiteLLM asks the Responses API for it, and so do calls here")
            info = {**info, "mode": "responses"}
        model = model.removeprefix("responses/")
        variable, literal = self._key(row, base_url)
        order = params.get("order", info.get("order"))
        pattern, model = pattern_of(name, model)
        # settings of ours that run a command or read a file: only the user's own files may say them
        lost = tuple(sorted(k for k in params if k.startswith(KEY_PREFIX)))
        return Deployment(
            name=name,
            prefix=row.prefix,
            model=model,
            base_url=base_url,
            own_base=base_url == row.base_url,
            variable=variable,
            literal=literal,
            extras={k: v for k, v in params.items() if k not in FIELDS and k not in lost},
            info=info,
            order=order if isinstance(order, int) else None,
            pattern=pattern,
            notes=tuple(self._notes),
            lost=lost,
        )

    def _completed(self) -> dict[str, Any]:
        """Return the parameters as LiteLLM completes them before it uses them."""
        written = self.entry.get("litellm_params")
        if not isinstance(written, Mapping) or not written.get("model"):
            what = "litellm_params.model is missing; LiteLLM does not start with such an entry"
            raise RefusedError(what)
        params = {str(key): value for key, value in written.items()}
        for limit in ("rpm", "tpm"):  # Router._create_deployment moves them
            if self.entry.get(limit) is not None:
                params.setdefault(limit, self.entry[limit])
        credentials = self.credentials
        credential = params.get("litellm_credential_name")
        if isinstance(credential, str):
            if credential not in credentials:
                what = f"no credential is named {credential!r}"
                hint = did_you_mean(credential, credentials)
                self._notes.append(f"{what}{hint}; LiteLLM calls without it")
            values = credentials.get(credential, {})
            params |= {k: v for k, v in values.items() if params.get(k) is None}
        if params.get("use_litellm_proxy"):
            what = "use_litellm_proxy sends it to $LITELLM_PROXY_API_BASE, whatever the entry says"
            raise RefusedError(what)
        return params

    def _resolved(self, what: str, variable: str) -> str:
        """Return the value a reference has now: our files say URLs and models, not variables."""
        if not is_variable(variable):
            raise RefusedError(f"{what}: {_NO_VARIABLE}")
        value = self.environ.get(variable, "").strip()
        if not value:
            raise RefusedError(f"{what} is ${variable}, which is not set: set it and import again")
        self._notes.append(f"its {what} is the value that ${variable} has now")
        return value

    # ---- the key

    def _key(self, row: OpenAICompatible, base_url: str) -> tuple[str | None, Secret | None]:
        """Return the variable or the literal key, or neither, as LiteLLM would send it."""
        value = self._params.get("api_key")
        if value is None or value == "":
            return self._usual_variable(row, base_url), None
        if not isinstance(value, str):
            raise RefusedError("api_key is not a string, and LiteLLM drops such an entry: quote it")
        if (variable := referenced_variable(value)) is not None:
            return self._checked_variable(variable), None
        text = value.strip()
        if variable := variable_in(value):
            # a default, as in ${X:-...}, may be a key itself
            shown = text if "-" not in value else f"${{{variable}}}"
            self._notes.append(f"LiteLLM sends the text {shown} as the key; taken for ${variable}")
            return variable, None
        if value == PLACEHOLDER_KEY:  # what an export of ours says
            return None, None
        if is_stand_in(value):
            shown = text if len(text) < 25 else "given"
            self._notes.append(f"the key {shown} is a placeholder and was dropped")
            return None, None
        if not (text.isascii() and text.isprintable()):
            what = "api_key contains a line break, a control character or a non-ASCII character"
            raise RefusedError(what)
        return None, Secret(text)

    def _checked_variable(self, variable: str) -> str:
        if variable.startswith("oidc/"):
            raise RefusedError("its key is an OIDC token that LiteLLM fetches for each call")
        # that of a provider called 01-ai no shell could set, but a process can have it
        conventional = default_variable(self._name.partition("/")[0])
        if not is_variable(variable) and variable != conventional:
            raise RefusedError(f"api_key: {_NO_VARIABLE}")  # it may be a key, pasted there
        if variable in self.later and variable not in self.environ:
            before = "before environment_variables sets it"
            self._notes.append(f"LiteLLM resolves os.environ/{variable} {before}")
        return variable

    def _usual_variable(self, row: OpenAICompatible, base_url: str) -> str | None:
        """Return the first variable of the prefix that is set, else its main one."""
        main = row.api_key_env
        if main is not None and row.prefix in OWN_HOST_ONLY and base_url != row.base_url:
            if main == "OPENAI_API_KEY":
                self._notes.append("no key: LiteLLM would have sent $OPENAI_API_KEY there")
            return None
        variable = next((n for n in row.keys if main and self.later.get(n)), None)
        return variable or (None if row.key_optional else main)

    # ---- the model string

    def _split_model(self) -> tuple[str, str]:
        """Return LiteLLM's provider and the model id after it."""
        model = self._params["model"]
        if (variable := referenced_variable(model)) is not None:
            model = self._resolved("model", variable)
        if not isinstance(model, str):
            raise RefusedError(f"model is a {type(model).__name__}, not a string")
        if reference_to("") in model or any(c.isspace() or not c.isprintable() for c in model):
            what = "model contains white space or a part os.environ/, which LiteLLM sends as text"
            raise RefusedError(what)
        provider = self._params.get("custom_llm_provider")
        if provider:
            rest = model.removeprefix(f"{provider}/")
            own = provider == "openrouter" and "/" not in rest and rest != "*"  # openrouter/auto
            return str(provider), f"openrouter/{rest}" if own else rest
        prefix, slash, rest = model.partition("/")
        if slash and prefix in (*_PREFIXES, *LOGINS):
            return prefix, rest
        if model == "*":
            what = "model '*' goes wherever LiteLLM thinks each name belongs: name a prefix"
            raise RefusedError(what)
        return self._prefix_of(model), model

    def _prefix_of(self, model: str) -> str:
        """Return what LiteLLM makes of a model without a prefix: by its base, then by its name."""
        api_base, base_url = self._params.get("api_base"), self._params.get("base_url")
        # its Router looks at one of the two before it keeps an entry, a call at the other
        of_router, of_call = (_prefix_of_base(base) for base in (api_base, base_url or api_base))
        is_openais = _OPENAI_NAMES.fullmatch(model) is not None
        if of_call and (of_router or is_openais):
            self._notes.append(f"no prefix: LiteLLM goes by its api_base, {of_call}")
            return of_call
        if is_openais:
            return "openai"
        for prefix, pattern in _OTHER_NAMES:
            if re.fullmatch(pattern, model):
                return prefix
        first, slash, _ = model.partition("/")
        what = f"{first!r} is not a prefix of LiteLLM" if slash else f"{model!r} has no prefix"
        hint = did_you_mean(first, _PREFIXES) if slash else ""
        wanted = f"write openai/{model} with its api_base"
        raise RefusedError(f"{what}{hint}, and LiteLLM drops such an entry: {wanted}")

    def _row(self, prefix: str, model: str) -> OpenAICompatible:
        """Return the row of a prefix that is OpenAI-compatible; the others are refused."""
        if (row := OPENAI_COMPATIBLE.get(prefix)) is not None:
            return row
        if prefix in LOGINS:
            raise RefusedError(f"{prefix}/{model} logs in by OAuth, not by a key")
        if prefix not in NOT_EXPRESSIBLE:
            hint = did_you_mean(prefix, _PREFIXES)
            raise RefusedError(
                f"{prefix!r} is not a provider of LiteLLM{hint}, which drops the entry"
            )
        why = f"{prefix}/{model}: {prefix} {NOT_EXPRESSIBLE[prefix]}"
        row = COMPATIBLE_BASES.get(prefix)
        if row is None:
            raise RefusedError(why)
        if not self.compatible:
            base = row.base_url or f"its api_base{row.path or row.suffix}"
            refusal = RefusedError(f"{why}; --compatible imports it through {base}")
            refusal.compatible = True
            raise refusal
        self._notes.append(f"uses {prefix}'s OpenAI-compatible API, without {row.ignores}")
        for extra in ("api_version", "base_model"):  # of Azure's own API
            self._params.pop(extra, None)
        return row

    def _model_id(self, row: OpenAICompatible, model: str) -> str:
        """Return the id that LiteLLM would put on the wire."""
        if not model:
            raise RefusedError(f"the model after {row.prefix}/ is empty")
        ids = {} if self._base and row.ids.get("without_base") else row.ids
        if ids and re.fullmatch(ids["pattern"], model):
            raise RefusedError(f"{row.prefix}/{model} {ids['why']}")
        if row.text:
            self._notes.append("LiteLLM posts it to /completions; here it gets chat completions")
        if row.before_id and model == "*":
            self._notes.append(f"{row.prefix} needs the full id; LiteLLM completes short ones")
        elif row.before_id:
            return next(b for rule, b in row.before_id if re.fullmatch(rule, model)) + model
        return model

    # ---- the base

    def _base_url(self, row: OpenAICompatible) -> str:
        base, later = self._base, self.later
        if (variable := referenced_variable(base)) is not None:
            unset = not self.environ.get(variable, "").strip()
            if unset and row.base_url and row.prefix not in OWN_HOST_ONLY:
                what = f"its api_base is ${variable}, which is not set: LiteLLM's own base for"
                self._notes.append(f"{what} {row.prefix} is used instead")
                return self._own_base(row.base_url)
            base = self._resolved("api_base", variable)
        elif not base and (variable := next((n for n in row.bases if later.get(n)), None)):
            base = later[variable]
            self._notes.append(f"its base_url is the value that ${variable} has now")
        elif not base and row.base_url:
            return self._own_base(row.base_url)
        if not base:
            what = f"{row.prefix} needs an api_base: LiteLLM does not have one of its own"
            raise RefusedError(what)
        if not isinstance(base, str):
            raise RefusedError(f"api_base is a {type(base).__name__}, not a URL")
        if reference_to("") in base or variable_in(base) or "$" in base or "{" in base:
            why = "api_base holds a variable as text, which LiteLLM does not expand"
            raise RefusedError(f"{why}: write the URL, or os.environ/NAME and nothing else")
        url = base.strip().rstrip("/")
        if url.endswith("/chat/completions"):
            url = url.removesuffix("/chat/completions").rstrip("/")
            what = "/chat/completions was cut from its api_base"
            self._notes.append(f"{what}, since it is added automatically")
        return completed_url(row, url)

    def _own_base(self, base: str) -> str:
        """Return LiteLLM's own base, with the value of the variable that stands in it."""
        if (match := re.search(r"\{(\w+)\}", base)) is None:
            return base
        return base.replace(match[0], self._resolved("account", match[1]))


_PREFIXES = (*OPENAI_COMPATIBLE, *NOT_EXPRESSIBLE)
_NO_VARIABLE = "what follows os.environ/ is not the name of a variable"


def _prefix_of_base(base: Any) -> str | None:
    """Return the prefix that LiteLLM goes by for a model without one, by the base of its entry."""
    url = f"{base.rstrip('/')}/" if isinstance(base, str) else ""
    return next((p for endpoint, p in ENDPOINTS.items() if url.startswith(f"{endpoint}/")), None)

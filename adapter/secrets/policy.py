"""Decide which settings are secrets, so that they are neither shown nor shared.

Judged by the names on the way to a value (``redis_password``, ``Authorization``) and by the shape
of the value (a URL with a password, ``Bearer ...``). Better one too many than one too few, except
where a secret is taken out of data (:func:`is_certain`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from adapter._tables import leaves, map_leaves
from adapter.secrets.references import is_variable, referenced_variable, variable_of
from adapter.secrets.secret import MASK, Secret

__all__ = ["has_secret", "is_certain", "is_secret", "mask_secrets", "wrap_secrets"]

_SECRET_WORDS = frozenset(
    {
        *("key", "keys", "apikey", "token", "tokens", "secret", "secrets", "auth", "bearer"),
        *("password", "passwd", "pwd", "passphrase", "credential", "credentials"),
        *("authorization", "cookie", "jwt", "webhook"),
    }
)
_HARMLESS_ENDS = (
    *("name", "system", "strategy", "type", "format", "header", "alias", "mode", "id"),
    *("settings", "config", "params", "generation"),
)
_HARMLESS = re.compile(
    r"prompt_cache_key|(additional_special|bos|cls|eos|mask|pad|sep|special|stop|unk)_tokens?"
)
"""Names of settings of a completion or a tokenizer."""

_CERTAIN_WORDS = _SECRET_WORDS - {"key", "keys", "token", "tokens", "auth"}
_CERTAIN = re.compile(
    r"(.*_)?((access|api|master|private|salt)_keys?"
    r"|(access|ad|api|auth|refresh|session)_tokens?)(_.*)?"
)

_SHAPES = re.compile(
    r"""
    [a-z][a-z0-9+.-]*://[^\s:@/]*:\S*@ |                # a URL with a password, whatever is in it
    [a-z][a-z0-9+.-]*://\S*[?&]\w*                      # a URL with a secret in its query
        (?:key|token|secret|passw|pwd|passphrase|sig|auth)\w*=[^&\s] |
    (?:bearer|basic)\s+\S |
    (?:sk-|gsk_|hf_|ghp_|glpat-|xox[abp]-)[\w-]{15} |    # OpenAI's and its likes, Groq, ...
    eyJ[\w-]{15} |                                      # a JSON Web Token
    AIza[\w-]{15}
    """,
    re.IGNORECASE | re.VERBOSE,
)

_PROSE = re.compile(r"(?:bearer|basic)\s+(?!\S*\d\S*$)", re.IGNORECASE)
"""What looks like a header with a key but may be words: no digit, or more than one word."""

_RANDOM = re.compile(r"(?=\D*\d)(?=[^A-Za-z]*[A-Za-z])[\w+/=.~-]{16,}")
"""One long word of letters and digits, as keys are that no beginning tells."""

_NAMES_ARE_MODELS = "model_group_alias"


def is_secret(path: tuple[str, ...], value: Any) -> bool:
    """Whether ``value``, to which the names of ``path`` lead, is a literal secret.

    A reference to a variable (LiteLLM's ``os.environ/VAR``, ``"$VAR"`` in our headers) or a number
    is none.
    """
    if isinstance(value, bytes):
        return True
    if not isinstance(value, str) or not (text := value.strip()):
        return False
    if is_variable(referenced_variable(text) or ""):
        return False
    if "extra_headers" in path and variable_of(value):
        return False
    named = _NAMES_ARE_MODELS not in path and any(map(_is_secret_name, path))
    return named or _SHAPES.match(text) is not None


def is_certain(path: tuple[str, ...], value: Any) -> bool:
    """Whether ``value`` is a secret beyond doubt, so that it may be taken out of what others say.

    ``sort_key = "relevance"`` is masked where settings are shown; an answer keeps the word. What a
    header holds is no word of an answer, so there :func:`is_secret` is enough.
    """
    if not is_secret(path, value):
        return False
    if not isinstance(value, str) or any(name.lower().endswith("headers") for name in path):
        return True
    if _NAMES_ARE_MODELS not in path:
        for name in filter(_is_secret_name, path):
            plain = _plain(name)
            if not _CERTAIN_WORDS.isdisjoint(plain.split("_")) or _CERTAIN.fullmatch(plain):
                return True
    text = value.strip()
    if _RANDOM.fullmatch(text):
        return True
    return _SHAPES.match(text) is not None and _PROSE.match(text) is None


def has_secret(path: tuple[str, ...], value: Any) -> bool:
    """Whether ``value``, or anything in it, is a literal secret."""
    return any(is_secret(at, leaf) for at, leaf in leaves(value, path))


def wrap_secrets(value: Any, path: tuple[str, ...] = ()) -> Any:
    """Return ``value`` with each literal secret in it as a :class:`Secret`."""

    def wrap(at: tuple[str, ...], leaf: Any) -> Any:
        return Secret(leaf) if isinstance(leaf, str) and is_secret(at, leaf) else leaf

    return map_leaves(wrap, value, path)


def mask_secrets(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return LiteLLM's ``params`` with ``***`` for the key and any other secret, to be printed."""

    def mask(at: tuple[str, ...], leaf: Any) -> Any:
        return MASK if at == ("api_key",) or is_secret(at, leaf) else leaf

    masked: dict[str, Any] = map_leaves(mask, params)
    return masked


def _plain(name: str) -> str:
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower().replace("-", "_")


def _is_secret_name(name: str) -> bool:
    plain = _plain(name)
    words = plain.split("_")
    if words[-1] in _HARMLESS_ENDS or _HARMLESS.fullmatch(plain):
        return False
    return not _SECRET_WORDS.isdisjoint(words)

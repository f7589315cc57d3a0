"""Resolve a provider's API key, by gptme's precedence.

The order (direct value, named variable, ``${PROVIDER}_API_KEY``, placeholder) and the way a
variable is looked up are gptme's: ``ProviderConfig.get_api_key`` and ``Config.get_env``. The other
sources of :mod:`adapter.keys.sources` come before the conventional variable.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapter._text import one_line
from adapter.errors import MissingKeyError
from adapter.keys.sources import KEY_SETTINGS, read_key
from adapter.secrets.references import is_variable
from adapter.secrets.scrubber import register
from adapter.secrets.secret import Secret

__all__ = [
    "PLACEHOLDER_KEY",
    "KeySource",
    "ResolvedKey",
    "default_variable",
    "exportable_name",
    "find_key",
    "how_to_set",
    "key_source",
    "lookup",
    "sendable",
    "sources_in",
]

PLACEHOLDER_KEY = "default-key"
"""What gptme sends when it knows no key; servers without authentication ignore it."""

CONVENTION = ""
"""In place of a setting: the variable named after the provider."""

_LABELS = {
    "api_key": "(configured directly)",
    "api_key_env": "${}",
    "api_key_cmd": "(from a command)",
    "api_key_file": "(from {})",
    "api_key_keyring": "(from the keyring)",
    CONVENTION: "${} (default)",
}
"""Setting that names a key's source -> how the source is shown."""


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where a provider's key comes from: ``value`` is what ``setting`` says."""

    setting: str
    value: Any = field(repr=False)

    def __str__(self) -> str:
        """Return the source as ``providers list`` shows it; never the key."""
        return _LABELS[self.setting].format(one_line(str(self.value)))

    @property
    def variable(self) -> str | None:
        """The variable that holds the key, or ``None`` where something else does."""
        return self.value if self.setting in ("api_key_env", CONVENTION) else None

    @property
    def asks(self) -> bool:
        """Whether reading the key may ask its user, as password managers and keyrings do."""
        return self.setting in ("api_key_cmd", "api_key_keyring")


@dataclass(frozen=True, slots=True)
class ResolvedKey:
    """A provider's key and where it came from.

    ``source`` is the text that ``providers list`` shows, such as ``(configured directly)``,
    ``$NAME`` or ``$NAME (default)``. ``variable`` is the variable of the key, if it has one.
    ``found`` is false if that variable is not set, and ``value`` is gptme's placeholder.
    """

    value: Secret
    source: str
    variable: str | None
    found: bool = True

    def __str__(self) -> str:
        """Return where the key comes from, in words; never the key."""
        if not self.found:
            return f"no key (${self.variable} is not set)"
        return f"key {self.source}"


def lookup(
    variable: str, environ: Mapping[str, str] | None, table: Mapping[str, str]
) -> str | None:
    """Return the value of ``variable``, or ``None`` where it is unset or empty.

    Order: ``GPTME_<variable>``, then ``<variable>`` in ``environ``, then the configuration's
    ``[env]`` table, which always uses the bare name (gptme, ``Config.get_env``). White space
    around a value goes: a key read from a file with ``$(cat ...)`` or from a CRLF ``.env``
    would otherwise break the request's header. ``environ`` is this process's where it is ``None``:
    a frame that may be shown with its locals does not hold all variables then.
    """
    read = (os.environ if environ is None else environ).get
    bare = variable.removeprefix("GPTME_")
    for name, place in ((f"GPTME_{bare}", read), (bare, read), (bare, table.get)):
        if (value := place(name)) and (stripped := value.strip()):
            return stripped
    return None


def default_variable(provider: str) -> str:
    """Return the conventional variable of a provider: ``vllm-local`` -> ``VLLM_LOCAL_API_KEY``."""
    return f"{provider.upper().replace('-', '_')}_API_KEY"


def exportable_name(variable: str) -> str:
    """Return ``variable``, or the name most like it that a shell can export.

    None can export the conventional variable of ``api.example.com``.
    """
    return variable if is_variable(variable) else re.sub(r"^(?=\d)|[^A-Za-z0-9_]", "_", variable)


def how_to_set(variable: str) -> str:
    """Return what to do so that ``variable``, or one that a shell can export, has the key."""
    if (name := exportable_name(variable)) == variable:
        return f"export {variable}=..."
    return f'add api_key_env = "{name}" to the provider, and export {name}=...'


def sources_in(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield the settings that say where the key is, the one that counts first.

    ``settings`` are a provider's fields and its table of ``[plugin.litellm.providers]``.
    """
    for setting in ("api_key", "api_key_env", *KEY_SETTINGS):
        value = settings.get(setting)
        if value and not (isinstance(value, str) and value.isspace()):
            yield setting


def key_source(name: str, settings: Mapping[str, Any]) -> KeySource:
    """Return where the key of the provider ``name`` comes from, reading no key."""
    setting = next(sources_in(settings), CONVENTION)
    return KeySource(setting, settings.get(setting) or default_variable(name))


def find_key(
    name: str,
    source: KeySource,
    table: Mapping[str, str],
    environ: Mapping[str, str] | None = None,
) -> ResolvedKey:
    """Return the key of the provider ``name`` from ``source``; ``table`` is ``[env]``'s.

    Raises :class:`MissingKeyError` when the source that is named (a variable, command, file or
    keyring) gives no key: gptme raises for an unset variable, too, and a key meant for another
    server must not be tried instead.
    """
    text, variable = str(source), source.variable
    if variable is None:
        value = Secret(read_key(name, source.setting, source.value))
        return ResolvedKey(sendable(name, value, text), text, None)
    if value := Secret(lookup(variable, environ, table) or ""):
        return ResolvedKey(sendable(name, value, text), text, variable)
    if source.setting:
        raise MissingKeyError(
            f"provider {name!r} takes its key from ${variable}, which is not set: "
            f"export {variable}=... (or set {variable} under [env] in config.local.toml)",
            provider=name,
            variable=variable,
        )
    return ResolvedKey(Secret(PLACEHOLDER_KEY), text, variable, found=False)


def sendable(name: str, value: str, source: str) -> Secret:
    """Return ``value`` as a key, refusing what no HTTP header can carry (RFC 9110, 5.5)."""
    if value.isascii() and value.isprintable():
        return register(value)
    raise MissingKeyError(
        f"the key of provider {name!r} from {source} cannot be sent: it contains a line "
        "break, a control character or a non-ASCII character. Was it copied completely?",
        provider=name,
        variable=source,
    )

"""API keys: where a provider's key comes from, and a string type that does not show itself.

The order (direct value, named variable, ``${PROVIDER}_API_KEY``, placeholder) and the way a
variable is looked up are gptme's: ``ProviderConfig.get_api_key`` and ``Config.get_env``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from adapter.errors import MissingKeyError
from adapter.keys.variables import getenvs
from adapter.secrets.scrubber import register
from adapter.secrets.secret import Secret

__all__ = [
    "PLACEHOLDER_KEY",
    "ResolvedKey",
    "find_key",
    "key_source",
    "lookup",
    "names_of",
    "sendable",
]

PLACEHOLDER_KEY = "default-key"
"""What gptme sends when it knows no key; servers without authentication ignore it."""


@dataclass(frozen=True, slots=True)
class ResolvedKey:
    """A provider's key and where it came from.

    ``source`` is the text ``providers list`` shows: ``(configured directly)``, ``$NAME`` or
    ``$NAME (default)``. ``found`` is false when ``value`` is gptme's placeholder because
    ``variable`` is not set.
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
    names = names_of(variable)
    for value in (*getenvs(names, environ), table.get(names[-1])):
        if value and (stripped := value.strip()):
            return stripped
    return None


def names_of(variable: str) -> tuple[str, str]:
    """Return the names under which ``variable`` is looked for in the environment, in order."""
    bare = variable.removeprefix("GPTME_")
    return f"GPTME_{bare}", bare


def default_variable(provider: str) -> str:
    """Return the conventional variable of a provider: ``vllm-local`` -> ``VLLM_LOCAL_API_KEY``."""
    return f"{provider.upper().replace('-', '_')}_API_KEY"


def key_source(name: str, api_key: str | None, api_key_env: str | None) -> tuple[str, str | None]:
    """Return the source text and the variable (``None`` for a direct value), reading no key."""
    if api_key and not api_key.isspace():
        return "(configured directly)", None
    if api_key_env:
        return f"${api_key_env}", api_key_env
    variable = default_variable(name)
    return f"${variable} (default)", variable


def find_key(
    name: str,
    api_key: str | None,
    api_key_env: str | None,
    table: Mapping[str, str],
    environ: Mapping[str, str] | None = None,
) -> ResolvedKey:
    """Return the key of the provider ``name`` by gptme's precedence.

    Raises :class:`MissingKeyError` when ``api_key_env`` names a variable that is unset or empty:
    gptme raises there too, and a key meant for another server must not be tried instead.
    """
    source, variable = key_source(name, api_key, api_key_env)
    if variable is None:
        return ResolvedKey(sendable(name, Secret(str(api_key).strip()), source), source, None)
    if value := Secret(lookup(variable, environ, table) or ""):
        return ResolvedKey(sendable(name, value, source), source, variable)
    if api_key_env:
        raise MissingKeyError(
            f"provider {name!r} takes its key from ${variable}, which is not set: "
            f"export {variable}=... (or set {variable} under [env] in config.local.toml)",
            provider=name,
            variable=variable,
        )
    return ResolvedKey(Secret(PLACEHOLDER_KEY), source, variable, found=False)


def sendable(name: str, value: str, source: str) -> Secret:
    """Return ``value`` as a key, refusing what no HTTP header can carry (RFC 9110, 5.5)."""
    if value.isascii() and value.isprintable():
        return register(value)
    raise MissingKeyError(
        f"the key of provider {name!r} from {source} cannot be sent: it holds a line break, a "
        "control or a non-ASCII character. Was it copied whole?",
        provider=name,
        variable=source,
    )

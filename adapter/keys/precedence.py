"""API keys: where a provider's key comes from, and a string type that does not show itself.

The order (direct value, named variable, ``${PROVIDER}_API_KEY``, placeholder) and the way a
variable is looked up are gptme's: ``ProviderConfig.get_api_key`` and ``Config.get_env``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from operator import itemgetter
from typing import NamedTuple, NoReturn

from adapter.errors import MissingKeyError
from adapter.keys.variables import getenvs

__all__ = [
    "PLACEHOLDER_KEY",
    "ResolvedKey",
    "Secret",
    "find_key",
    "guarded",
    "key_source",
    "lookup",
    "names_of",
    "reference_to",
    "sendable",
    "variable_of",
    "without_keys",
]

PLACEHOLDER_KEY = "default-key"
"""What gptme sends when it knows no key; servers without authentication ignore it."""

MASK = "***"

SHORTEST_GUARDED = 8
"""In characters, of a key that is looked for in texts: a shorter one may be a word of them."""

MOST_GUARDED = 1000
"""Of those read, how many keys are looked for; the one read longest ago is forgotten first."""

LONG_TEXT = 1024 * 1024
KEYS_OF_LONG = 16
"""In a longer text, in characters, only so many keys are looked for, those read last: searching an
image of 20 MB for a thousand of them would take seconds."""

_VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")


class Secret(str):
    """A string that is used as any other but whose ``repr`` shows ``'***'``.

    Tracebacks with locals, debug logs and ``repr`` of the parameters print containers with
    ``repr``, so a key inside them stays hidden. It cannot be pickled, which would write it out
    in the clear: resolve the key in the process that uses it.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("an API key is not pickled; resolve it in the process that uses it")


_guarded: dict[str, int] = {}
"""Key -> when it was read last, as a number that grows."""

_ticks = itertools.count()


def guarded(value: str) -> Secret:
    """Return ``value`` as a secret that :func:`without_keys` finds in texts from now on."""
    if len(value) >= SHORTEST_GUARDED:
        # no lock: one could be asked for by the thread that holds it, where the garbage collector
        # has something logged, or be held for ever in a forked child
        _guarded[value] = next(_ticks)
        if len(_guarded) > MOST_GUARDED:
            for oldest in _latest(MOST_GUARDED * 2)[MOST_GUARDED:]:
                _guarded.pop(oldest, None)
    return value if isinstance(value, Secret) else Secret(value)


def without_keys(text: str) -> str:
    """Return ``text`` with ``***`` for each key read in this process: servers repeat them."""
    keys = tuple(_guarded) if len(text) <= LONG_TEXT else _latest(KEYS_OF_LONG)
    found = [key for key in keys if key in text]
    for key in sorted(found, key=len, reverse=True):
        text = text.replace(key, MASK)
    return text


def _latest(number: int) -> list[str]:
    """Return the keys read last, the latest first."""
    read = sorted(_guarded.items(), key=itemgetter(1), reverse=True)
    return [key for key, _ in read[:number]]


class ResolvedKey(NamedTuple):
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


def variable_of(value: object) -> str | None:
    """Return VAR of a header's value ``"$VAR"``, ``None`` for any other value."""
    found = _VARIABLE.fullmatch(value) if isinstance(value, str) else None
    return found[1] if found else None


def reference_to(variable: str) -> str:
    """Return how LiteLLM's Router and Proxy are told to take a value from ``variable``."""
    return f"os.environ/{variable}"


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
        return guarded(value)
    raise MissingKeyError(
        f"the key of provider {name!r} from {source} cannot be sent: it holds a line break, a "
        "control or a non-ASCII character. Was it copied whole?",
        provider=name,
        variable=source,
    )

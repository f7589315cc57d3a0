"""A provider: one ``[[providers]]`` table, what may stand in it, and its key.

The five fields and their meaning are gptme's (``ProviderConfig``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from adapter._files import write_access
from adapter.errors import MissingKeyError
from adapter.keys.precedence import (
    KeySource,
    ResolvedKey,
    default_variable,
    find_key,
    key_source,
    lookup,
)
from adapter.secrets.references import variable_of
from adapter.secrets.scrubber import register
from adapter.secrets.secret import MASK, Secret

__all__ = [
    "FIELDS",
    "Provider",
    "base_url_fault",
    "is_loopback",
    "is_private_host",
    "is_this_machine",
    "name_fault",
    "safe_url",
]

FIELDS = ("name", "base_url", "api_key", "api_key_env", "default_model")
"""gptme's fields, in the order of its documentation. gptme skips a provider with any other."""


@dataclass(frozen=True, repr=False)
class Provider:
    """An OpenAI-compatible endpoint with a name.

    ``extras`` are the LiteLLM parameters of ``[plugin.litellm.providers.NAME]``. ``origin`` names
    the files that the provider was read from, and ``command_file`` the file that has its
    ``api_key_cmd``. The ``repr`` never shows a key.
    """

    name: str
    base_url: str
    api_key: str | None = None
    api_key_env: str | None = None
    default_model: str | None = None
    extras: Mapping[str, Any] = field(default_factory=dict, hash=False)
    origin: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, compare=False)
    command_file: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.api_key and not isinstance(self.api_key, Secret):
            object.__setattr__(self, "api_key", Secret(self.api_key))
        if self.extras:
            from adapter.secrets.policy import wrap_secrets  # it compiles for milliseconds

            object.__setattr__(self, "extras", wrap_secrets(self.extras))

    def __repr__(self) -> str:
        shown = [f"name={self.name!r}", f"base_url={safe_url(self.base_url)!r}"]
        shown += [f"api_key={MASK!r}"] if self.api_key else []
        shown += [f"api_key_env={self.api_key_env!r}"] if self.api_key_env else []
        shown += [f"default_model={self.default_model!r}"] if self.default_model else []
        return f"Provider({', '.join(shown)})"

    @property
    def key_source(self) -> str:
        """The source of the key, as ``providers list`` shows it. Reads no variable."""
        return str(self._source)

    @property
    def key_variable(self) -> str:
        """The variable that may hold the key: ``api_key_env``, else the conventional one."""
        return self.api_key_env or default_variable(self.name)

    @property
    def extra_headers(self) -> Mapping[str, Any]:
        """The configured headers. A value ``"$VAR"`` stands for a variable."""
        headers = self.extras.get("extra_headers")
        return headers if isinstance(headers, Mapping) else {}

    @property
    def asks_for_key(self) -> bool:
        """Whether reading the key runs a command or opens the keyring, which may ask its user."""
        return self._source.asks

    @cached_property
    def _source(self) -> KeySource:
        given = {**self.extras, "api_key": self.api_key, "api_key_env": self.api_key_env}
        return key_source(self.name, given)

    def resolve_key(self, environ: Mapping[str, str] | None = None) -> ResolvedKey:
        """Return the key's value and source. Reads them now, so that a rotated key is used.

        ``environ`` replaces the process environment. Raises :class:`MissingKeyError` if the
        configured source (a variable, command, file or keyring) gives no key, or if another user
        could have written the command.
        """
        is_command = self.command_file is not None and self._source.setting == "api_key_cmd"
        if is_command and (fault := write_access(self.command_file or "")):
            raise MissingKeyError(
                f"the command for the key of provider {self.name!r} is not run: {fault}, so it may "
                "be somebody else's. Let only your own user write it (chmod go-w, chown)",
                provider=self.name,
                variable="api_key_cmd",
            )
        return find_key(self.name, self._source, self.env, environ)

    def headers(self, environ: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the ``extra_headers``, each ``"$VAR"`` replaced by the variable's current value.

        Raises :class:`MissingKeyError` for a variable that is unset or empty.
        """
        headers = {}
        for header, value in self.extra_headers.items():
            variable = variable_of(value)
            if variable is None:
                headers[header] = register(value) if isinstance(value, Secret) else str(value)
                continue
            resolved = lookup(variable, environ, self.env)
            if resolved is None:
                raise MissingKeyError(
                    f"provider {self.name!r}: the header {header} takes its value from "
                    f"${variable}, which is not set: export {variable}=...",
                    provider=self.name,
                    variable=variable,
                )
            headers[header] = register(resolved)
        return headers


def name_fault(name: str) -> str | None:
    """Return why ``name`` cannot stand before the first ``/`` of a model string, or ``None``."""
    if not name:
        return "name is empty"
    if "/" in name:
        return "name contains '/', which separates the provider from the model"
    if any(c.isspace() or not c.isprintable() for c in name):
        return "name contains white space or a control character"
    return None


def base_url_fault(url: str) -> tuple[str, str] | None:
    """Return what is wrong with a base URL and the fix, or ``None``; neither shows a secret."""
    if any(c.isspace() or not c.isprintable() for c in url):
        return "base_url contains white space or a control character", "remove it"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:  # its text quotes the URL
        return "base_url has no valid host and port", "write it like http://localhost:8000/v1"
    if parts.scheme not in ("http", "https") or not host:
        example = "http" if is_private_host(host or url.partition(":")[0]) else "https"
        rest = re.split("[?#]", url)[0].rpartition("://")[2].lstrip("/")
        if "@" in rest or not re.fullmatch(r"[\w.-]+(:\d{1,5})?(/.*)?", rest):
            rest = "localhost:8000/v1"
        return "base_url is not an absolute http(s) URL", f"write it like {example}://{rest}"
    fix = f"write {safe_url(url)}"
    if parts.username is not None or parts.password is not None:
        return (
            "base_url contains a user name or password",
            f"{fix} and put the key into api_key_env",
        )
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        return "base_url has a query or fragment, so no path can be appended to it", fix
    if parts.path.rstrip("/").endswith("/chat/completions"):
        fix = fix.rstrip("/").removesuffix("/chat/completions")
        return "base_url ends in /chat/completions, which is added automatically", fix
    return None


def safe_url(url: str) -> str:
    """Return ``url`` without user name, password, query and fragment: any may be secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(not a URL)"
    # a password that holds a slash ends the host, and the rest of it begins the path
    path = "/..." if "@" in parts.path else parts.path
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, "", ""))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    from ipaddress import ip_address  # costs milliseconds

    host = host.strip("[]").rstrip(".").lower()
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")  # RFC 6761, 6.3


def is_this_machine(host: str) -> bool:
    """Whether a connection to ``host`` leads to this machine; one to ``0.0.0.0`` does, too."""
    return is_loopback(host) or host.strip("[]") in ("0.0.0.0", "::")


def is_private_host(host: str) -> bool:
    """Whether ``host`` is this machine or one on a private network (RFC 1918, 6762, 8375, 9476).

    A name without a dot counts as private: it resolves only where someone set it up (a
    container, an entry in ``/etc/hosts``).
    """
    from ipaddress import ip_address  # costs milliseconds, and only plain http asks

    host = host.strip("[]").rstrip(".").lower()
    try:
        return ip_address(host).is_private
    except ValueError:
        suffixes = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".test")
        return "." not in host or host.endswith(suffixes)

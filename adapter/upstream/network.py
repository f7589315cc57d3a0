"""Proxies and certificates: how requests leave this machine, and whom TLS trusts.

The variables are those that LiteLLM's HTTP client (httpx) reads: ``HTTP_PROXY``, ``HTTPS_PROXY``,
``ALL_PROXY``, ``NO_PROXY``, ``SSL_VERIFY`` and ``SSL_CERT_FILE``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from adapter._text import printable
from adapter.config.provider import is_this_machine, safe_url
from adapter.errors import AdapterError, ExitCode

if TYPE_CHECKING:
    import ssl

__all__ = [
    "CertificateError",
    "Proxy",
    "ProxyError",
    "address_of",
    "connect_advice",
    "contacted_host",
    "exempt_this_machine",
    "proxy_of",
    "repair_no_proxy",
    "tls",
    "usable_proxies",
]


class CertificateError(AdapterError):
    """The file of trusted certificates that a variable or setting names cannot be used."""

    exit_code = ExitCode.USAGE


class ProxyError(AdapterError):
    """A variable that names a proxy, or what goes past it, cannot be used."""

    exit_code = ExitCode.USAGE


class Proxy(NamedTuple):
    """A proxy of the environment: its variable, and its URL without user name and password."""

    variable: str
    url: str


def address_of(url: str) -> tuple[str, int]:
    """Return the host and the port of a URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def proxy_of(url: str) -> Proxy | None:
    """Return the proxy through which requests to ``url`` go; this machine is reached directly."""
    from urllib.request import getproxies, proxy_bypass  # what httpx asks, too

    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_this_machine(host) or proxy_bypass(host):
        return None
    proxies = getproxies()
    for scheme in (parts.scheme, "all"):
        if proxy := proxies.get(scheme):
            names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")
            variable = next((name for name in names if os.environ.get(name)), names[1])
            return Proxy(variable, safe_url(proxy if "://" in proxy else f"http://{proxy}"))
    return None


def contacted_host(url: str) -> str:
    """Return the host whose name is looked up for a request to ``url``: its own, or a proxy's."""
    proxy = proxy_of(url)
    return address_of(proxy.url if proxy else url)[0]


def connect_advice(base_url: str, setting: str = "base_url and ") -> str:
    """Return what to check where a server cannot be reached: its proxy or trusted certificates."""
    file = os.environ.get("SSL_CERT_FILE")
    if base_url.startswith("https:") and file and not os.path.exists(file):  # LiteLLM ignores it
        return f"$SSL_CERT_FILE names {printable(file)}, which does not exist: correct or unset it"
    if (proxy := proxy_of(base_url)) is None:
        return f"check {setting}the network: {base_url}"
    return (
        f"the call goes through the proxy {proxy.url} of ${proxy.variable}: is it running? "
        f"To go around it, set NO_PROXY={address_of(base_url)[0]}"
    )


@contextmanager
def usable_proxies() -> Iterator[None]:
    """Raise :class:`ProxyError` for what making an HTTP client raises over the environment's."""
    libraries = [sys.modules[name] for name in ("httpx", "httpx2") if name in sys.modules]
    unusable = (ValueError, ImportError, *(library.InvalidURL for library in libraries))
    try:
        yield
    except unusable as error:
        raise ProxyError(
            f"HTTP_PROXY, HTTPS_PROXY, ALL_PROXY or NO_PROXY cannot be used: {error}"
        ) from None


def exempt_this_machine(base_url: str) -> None:
    """Add the host of ``base_url`` to ``NO_PROXY`` if it is this machine, and would be proxied.

    A proxy elsewhere gets key and prompt, and cannot reach this machine by that name. LiteLLM's
    clients (httpx for calls, aiohttp for those of an event loop) have only the variable in common.
    """
    from urllib.request import getproxies, proxy_bypass

    host = address_of(base_url)[0]
    if is_this_machine(host) and getproxies() and not proxy_bypass(host):
        value = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
        for variable in ("no_proxy", "NO_PROXY"):  # an empty one of small letters hides the other
            os.environ[variable] = f"{value},{host}" if value else host


def repair_no_proxy() -> None:
    """Write IPv6 addresses in ``NO_PROXY`` as httpx reads them.

    httpx takes ``::1`` and raises ``InvalidURL`` for ``[::1]`` and ``::1/128``, whatever the
    request. An entry that is neither an address nor a host is left out.
    """
    for variable in ("no_proxy", "NO_PROXY"):
        value = os.environ.get(variable)
        if value and ":" in value:
            entries = [_readable(entry.strip()) for entry in value.split(",")]
            repaired = ",".join(filter(None, entries))
            if repaired != ",".join(entry.strip() for entry in value.split(",")):
                os.environ[variable] = repaired


def _readable(entry: str) -> str:
    """Return an entry of ``NO_PROXY`` as httpx reads it, ``""`` for one that it cannot read."""
    if ":" not in entry or "://" in entry:
        return entry
    if _is_ipv6(address := entry.partition("/")[0].strip("[]")):
        return address
    host, _, port = entry.rpartition(":")
    if not port.isdecimal():
        return ""
    if _is_ipv6(host.strip("[]")):
        return f"all://[{host.strip('[]')}]:{port}"
    return "" if ":" in host else entry


def _is_ipv6(text: str) -> bool:
    from ipaddress import IPv6Address

    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def tls(verify: bool | str | None = None) -> ssl.SSLContext:
    """Return the TLS settings of LiteLLM's client (``get_ssl_configuration``).

    ``verify`` is a provider's ``ssl_verify``, else ``SSL_VERIFY``: ``False`` to trust any server,
    or the path of a file of certificates. Else ``SSL_CERT_FILE`` counts, else certifi's list.
    LiteLLM passes over a file that is not there; this raises :class:`CertificateError`, which
    names it.
    """
    import ssl

    setting = "ssl_verify"
    if verify is None:
        setting, verify = "$SSL_VERIFY", os.environ.get("SSL_VERIFY") or True
    if isinstance(verify, str) and verify.lower() in ("true", "false"):
        verify = verify.lower() == "true"
    if verify is False:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if verify is True:
        setting, verify = "$SSL_CERT_FILE", os.environ.get("SSL_CERT_FILE")
    if not verify:
        import certifi

        return ssl.create_default_context(cafile=certifi.where())
    try:
        return ssl.create_default_context(cafile=verify)
    except OSError as error:  # ssl.SSLError is one
        why = error.strerror if isinstance(error, FileNotFoundError) else "no certificates in it"
        raise CertificateError(
            f"{setting} names {printable(verify)}, which cannot be used: {why}\n"
            "  correct the path, or unset it to trust the usual certificate authorities"
        ) from None

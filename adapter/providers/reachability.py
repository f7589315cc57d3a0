"""Whether a provider's server can be reached: its name, a connection, TLS; steps of a checkup."""

from __future__ import annotations

import socket
from typing import NamedTuple
from urllib.parse import urlsplit

from adapter._files import reason
from adapter.call.translation import api_base
from adapter.config.provider import Provider
from adapter.errors import ExitCode
from adapter.keys.precedence import ResolvedKey
from adapter.providers.discovery import AnswerError

__all__ = [
    "CONNECT_SECONDS",
    "FAILED",
    "OK",
    "SKIPPED",
    "WARNING",
    "Result",
    "State",
    "connect",
    "resolve_name",
    "shake_hands",
]

CONNECT_SECONDS = 10.0

OK, FAILED, SKIPPED, WARNING = "ok", "failed", "skipped", "warning"


class Result(NamedTuple):
    status: str
    message: str
    fix: str = ""
    exit_code: int = 0


class State:
    """What one step leaves to the next."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.parts = urlsplit(api_base(provider.base_url))
        self.host = self.parts.hostname or ""
        self.port = self.parts.port or (443 if self.parts.scheme == "https" else 80)
        self.key: ResolvedKey | None = None
        self.models: list[str] | None = None
        self.error: AnswerError | None = None
        """Why there are no ``models``, where the server gave no list."""
        self.nearest = ""
        """The listed models nearest to a default model that is not listed, in words."""


def _by_proxy(state: State) -> str | None:
    """Return the HTTP proxy that the environment names for the host, if any."""
    from urllib.request import getproxies, proxy_bypass

    proxy = getproxies().get(state.parts.scheme) or getproxies().get("all")
    return proxy if proxy and not proxy_bypass(state.host) else None


def resolve_name(state: State) -> Result:
    if _by_proxy(state):
        return Result(SKIPPED, "an HTTP proxy does it")
    try:
        found = socket.getaddrinfo(state.host, state.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        message = f"the name {state.host} is not known: {reason(error)}"
        return Result(
            FAILED, message, f"check base_url: {state.provider.base_url}", ExitCode.UNREACHABLE
        )
    return Result(OK, ", ".join(dict.fromkeys(str(a[4][0]) for a in found)))


def connect(state: State) -> Result:
    if _by_proxy(state):
        return Result(SKIPPED, "an HTTP proxy does it")
    try:
        socket.create_connection((state.host, state.port), CONNECT_SECONDS).close()
    except OSError as error:
        why = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        message = f"cannot connect to {state.host}:{state.port}: {why}"
        return Result(
            FAILED, message, "is the server running, and the port right?", ExitCode.UNREACHABLE
        )
    return Result(OK, f"{state.host}:{state.port}")


def shake_hands(state: State) -> Result:
    import ssl

    from adapter.providers.fetching import tls_context

    if state.parts.scheme != "https":
        return Result(SKIPPED, "plain http")
    if _by_proxy(state):
        return Result(SKIPPED, "an HTTP proxy does it")
    try:
        context = tls_context()
        with (
            socket.create_connection((state.host, state.port), CONNECT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=state.host) as secured,
        ):
            return Result(OK, str(secured.version()))
    except ssl.SSLCertVerificationError as error:
        message = f"its certificate cannot be verified: {error.verify_message}"
        fix = "for a certificate of your own: export SSL_CERT_FILE=/path/to/ca.pem"
        return Result(FAILED, message, fix, ExitCode.UNREACHABLE)
    except OSError as error:
        fix = f"does the server speak TLS on port {state.port}? Otherwise write http://"
        return Result(FAILED, f"the TLS handshake failed: {error}", fix, ExitCode.UNREACHABLE)

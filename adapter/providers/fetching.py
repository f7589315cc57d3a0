"""One HTTP request without LiteLLM, by Python's own library, which loads in a tenth of the time.

What decides how LiteLLM's requests go out decides here, too: proxy variables and whom TLS trusts.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from http.client import HTTPMessage, IncompleteRead
from typing import IO, Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

from adapter.config.provider import is_this_machine

__all__ = ["Answer", "TooLongError", "UnsentError", "get", "send", "tls_context"]

AGENT = "gptme-litellm"
"""Some hosts refuse the name that Python's library gives itself."""


class Answer(NamedTuple):
    """A server's answer, whatever its status."""

    status: int
    body: bytes


class UnsentError(Exception):
    """There is no connection, so nothing was sent; its cause says why."""


class TooLongError(Exception):
    """The answer is longer than what was allowed."""


class _NoRedirect(HTTPRedirectHandler):
    """Takes a redirect for the answer: following it would take the key elsewhere."""

    def redirect_request(  # noqa: PLR0913, PLR0917 - the signature is urllib's
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def get(url: str, headers: Mapping[str, str], timeout: float, most: int) -> Answer:
    """Return the answer to a GET request; ``timeout`` is in seconds, of each wait.

    No redirect is followed, and this machine is not asked through a proxy of the environment.
    Raises :class:`TooLongError` for a body of over ``most`` bytes, else ``OSError``,
    ``http.client.HTTPException`` or ``ValueError``.
    """
    try:
        response = send(Request(url, headers=dict(headers)), timeout)
    except UnsentError as error:
        raise error.__cause__ or error from None
    with response:
        body = response.read(most + 1)
        left = getattr(response, "length", None)
    if len(body) > most:
        raise TooLongError
    if left:  # a limited read does not tell
        raise IncompleteRead(body, left)
    return Answer(response.status, body)


def send(request: Request, timeout: float) -> Any:
    """Return the answer to a request, whatever its status, to be read; see :func:`get`.

    Raises :class:`UnsentError` with the reason as its cause when there is no connection.
    """
    if not request.has_header("User-agent"):
        request.add_header("User-Agent", AGENT)
    try:
        return _opener(request.full_url).open(request, timeout=timeout)
    except HTTPError as error:  # any status but 2xx
        return error
    except URLError as error:
        raise UnsentError from (error.reason if isinstance(error.reason, OSError) else error)


def _opener(url: str) -> OpenerDirector:
    parts = urlsplit(url)
    handlers: list[Any] = [_NoRedirect()]
    if is_this_machine(parts.hostname or ""):
        handlers.append(ProxyHandler({}))
    if parts.scheme == "https":
        handlers.append(HTTPSHandler(context=tls_context()))
    return build_opener(*handlers)


def tls_context() -> ssl.SSLContext:
    """Return whom to trust as httpx does, and so LiteLLM: ``SSL_CERT_FILE``, certifi's list."""
    import certifi

    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if file or folder:
        return ssl.create_default_context(cafile=file or None, capath=folder or None)
    return ssl.create_default_context(cafile=certifi.where())

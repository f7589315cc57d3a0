"""What servers say they have: a provider's ``GET {base_url}/models``, and servers on this machine.

httpx sends the requests, as LiteLLM's do, and is imported when one is sent: it takes 0.3 seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from adapter.call.failures import explain, explain_details, where
from adapter.call.translation import Target, api_base
from adapter.config.loading import Config
from adapter.config.presets import LOCAL, PRESETS
from adapter.config.provider import Provider, base_url_fault, is_this_machine, safe_url
from adapter.errors import AdapterError, ExitCode
from adapter.keys.precedence import ResolvedKey
from adapter.providers.parallel import map_concurrently, run_within
from adapter.secrets.secret import Secret
from adapter.upstream import network
from adapter.upstream.exceptions import ErrorDetails, error_status, error_words
from adapter.upstream.http import RedirectRefusedError, origin_of, refuse_other_hosts
from adapter.upstream.limits import ENCODINGS, ResponseTooLargeError, limit_body

if TYPE_CHECKING:
    import httpx

__all__ = ["ListingError", "discover", "find_local", "models_of"]

TIMEOUT_SECONDS = 10.0

MAX_BYTES = 16 * 1024 * 1024
"""Of a list of models; OpenRouter's, the longest known, has half a million."""

MAX_REDIRECTS = 5

USER_AGENT = "gptme-litellm"
"""Some hosts refuse the name that an HTTP library gives itself."""

PAGE_TOKENS = {"nextPageToken": "pageToken", "next_page_token": "page_token"}
"""Field of a page -> query parameter of the next one: Google's and Fireworks' APIs, Cohere's."""


class ListingError(AdapterError):
    """A server did not list its models; ``status`` is the HTTP status of its reply, if any.

    ``is_json`` tells, of a reply that is no list, an API's from a web page.
    """

    def __init__(
        self, message: str, exit_code: int, status: int | None, is_json: bool = False
    ) -> None:
        self.exit_code = exit_code
        self.status = status
        self.is_json = is_json
        super().__init__(message)


def models_of(
    provider: Provider, timeout: float = TIMEOUT_SECONDS, *, keyless: bool = False
) -> list[str]:
    """Return the ids of the provider's models in the server's order, asking it now.

    All pages of a list are read. ``timeout`` is in seconds, of each wait and of the whole list;
    ``keyless`` sends no key. A redirect to another host is not followed: it would take the key
    there. This machine is not asked through a proxy. Raises
    :class:`MissingKeyError`, :class:`CertificateError`, :class:`ProxyError`, and
    :class:`ListingError` with the command's exit code for what the server answers.
    """
    import httpx

    key = ResolvedKey(Secret(""), "(none)", None) if keyless else provider.resolve_key()
    headers = httpx.Headers({"User-Agent": USER_AGENT, "Accept-Encoding": ENCODINGS})
    if key.value:
        headers["Authorization"] = f"Bearer {key.value}"
    target = Target(provider.name, provider.base_url, "MODEL", key, {})

    def read() -> list[str]:
        headers.update(provider.headers())
        with _client(provider, headers, timeout, target) as client:
            return _all_pages(client, f"{api_base(provider.base_url)}/models", target)

    try:
        return run_within(timeout, read)
    except ResponseTooLargeError:
        raise _malformed(target, f"its list of models is longer than {MAX_BYTES:,} bytes") from None
    except httpx.TooManyRedirects:
        raise _malformed(target, f"over {MAX_REDIRECTS} redirects") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        # h11 tells what is no HTTP and what is cut by one class
        if isinstance(error, httpx.RemoteProtocolError) and str(error).startswith("illegal"):
            raise _malformed(target, "the reply is not HTTP") from None
        failure = explain(error, target, provider.name)
        raise ListingError(str(failure), failure.exit_code, None) from None


def _client(
    provider: Provider, headers: httpx.Headers, timeout: float, target: Target
) -> httpx.Client:
    """Return an HTTP client that goes the way of the provider's completions."""
    import httpx

    def check(response: httpx.Response) -> None:
        try:
            refuse_other_hosts(response)
        except RedirectRefusedError:
            goal = response.url.join(response.headers["location"])
            raise _redirected(target, response.status_code, str(goal)) from None
        limit_body(response, MAX_BYTES)

    network.repair_no_proxy()
    direct = is_this_machine(network.address_of(provider.base_url)[0])
    # certificates take 25 ms to load, and a request in plain http has none to check
    is_https = provider.base_url.startswith("https:")
    verify = network.tls(provider.extras.get("ssl_verify")) if is_https else False
    with network.usable_proxies():
        return httpx.Client(
            headers=headers,
            timeout=timeout,
            verify=verify,
            trust_env=not direct,
            follow_redirects=True,
            max_redirects=MAX_REDIRECTS,
            event_hooks={"response": [check]},
        )


def _all_pages(client: httpx.Client, url: str, target: Target) -> list[str]:
    """Return the ids of all pages; a page without a new id is the last one."""
    ids: dict[str, None] = {}
    size = 0
    page: httpx.URL | str | None = url
    while page is not None:
        response = client.get(page)
        size += len(response.content)
        if size > MAX_BYTES:
            raise ResponseTooLargeError(MAX_BYTES)
        data = None
        with suppress(ValueError, RecursionError):
            data = json.loads(response.content)
        _check_error(data, response.status_code, target)
        page_ids = _ids_in(data)
        if page_ids is None:
            words = "the reply to GET /models is not a list of models"
            raise _malformed(target, words, response.status_code, is_json=data is not None)
        is_last = ids.keys() >= set(page_ids)
        ids.update(dict.fromkeys(page_ids))
        page = None if is_last else _next_page(response, data)
    return list(ids)


def _malformed(
    target: Target, words: str, status: int | None = None, is_json: bool = False
) -> ListingError:
    return ListingError(f"{where(target)}: {words}", ExitCode.PROVIDER_FAILED, status, is_json)


def _redirected(target: Target, status: int, location: str) -> ListingError:
    """Return the error for a redirect to another server, with the base URL to write instead."""
    goal = safe_url(location)
    base = goal.rstrip("/").removesuffix("/models")
    fix = "is base_url that of the API, not of a page that asks you to log in?"
    if base != goal.rstrip("/") and base_url_fault(base) is None:
        fix = f'write base_url = "{base}"'
    message = f"{where(target)} answered {status}: it redirects to {goal}\n  {fix}"
    return ListingError(message, ExitCode.ERROR, status)


def _check_error(data: Any, status: int, target: Target) -> None:
    """Raise :class:`ListingError` for an error, which some servers send under status 200."""
    table = data if isinstance(data, dict) else {}
    error = table.get("error") or (table if table.get("object") == "error" else None)
    if status != 200 or error:
        code = status if status != 200 else error_status(error)
        raise _failure(target, code, error_words(data) or "to GET /models")


def _failure(target: Target, status: int | None, words: str) -> ListingError:
    """Return the error for a reply; ``None`` for ``status`` where the server told none."""
    is_told = status is not None
    details = ErrorDetails("an error with status 200", status or 500, is_told, words)
    failure = explain_details(details, target, "")
    return ListingError(str(failure), failure.exit_code, status)


def _ids_in(data: Any) -> list[str] | None:
    """Return the printable ids of a list of models, ``None`` for what is no list."""
    lists = [data.get("data"), data.get("models")] if isinstance(data, dict) else [data]
    entries = next((item for item in lists if isinstance(item, list)), None)
    if entries is None:
        return None
    ids = []
    for entry in entries:
        fields = [entry.get(n) for n in ("id", "model", "name")] if isinstance(entry, dict) else []
        ids += [value for value in (*fields, entry) if isinstance(value, str) and value][:1]
    return [i for i in ids if i.isprintable()]


def _next_page(response: httpx.Response, data: Any) -> httpx.URL | None:
    """Return the URL of the next page: by the ``Link`` header, a token, or the last id."""
    url = response.url
    if link := response.links.get("next", {}).get("url"):
        following = url.join(link)
        return following if origin_of(following) == origin_of(url) else None
    if not isinstance(data, dict):
        return None
    for field, parameter in PAGE_TOKENS.items():
        if token := data.get(field):
            return url.copy_merge_params({parameter: str(token)})
    if data.get("has_more") is True and (last := data.get("last_id")):
        # Anthropic's entries have a "type", OpenAI's an "object"
        entries = data.get("data")
        first = entries[0] if isinstance(entries, list) and entries else None
        is_anthropic = isinstance(first, dict) and "type" in first
        return url.copy_merge_params({"after_id" if is_anthropic else "after": str(last)})
    return None


def discover(
    providers: Iterable[Provider], timeout: float = TIMEOUT_SECONDS, *, keyless: bool = False
) -> tuple[dict[str, list[str]], dict[str, AdapterError]]:
    """Ask all providers at once; return the models by provider, and the errors by provider."""
    models: dict[str, list[str]] = {}
    errors: dict[str, AdapterError] = {}

    def list_models(provider: Provider) -> tuple[str, list[str] | AdapterError]:
        try:
            return provider.name, models_of(provider, timeout, keyless=keyless)
        except AdapterError as error:
            return provider.name, error

    for name, reply in map_concurrently(list_models, providers):
        if isinstance(reply, AdapterError):
            errors[name] = reply
        else:
            models[name] = reply
    return models, errors


def find_local(config: Config) -> Iterator[tuple[Provider, list[str]]]:
    """Yield the servers that answer on their usual loopback ports, with their models.

    All are asked at once, for a second at most, and none is sent a key. What is configured already
    is left out.
    """
    candidates: dict[str, Provider] = {}
    for name in LOCAL:  # of two with one port the first counts
        candidates.setdefault(PRESETS[name].base_url, PRESETS[name])
    configured = {_server(p.base_url) for p in config.providers}
    replies, _ = discover(candidates.values(), timeout=1.0, keyless=True)
    for server in candidates.values():
        if server.name in replies and _server(server.base_url) not in configured:
            yield server, replies[server.name]


def _server(base_url: str) -> tuple[str, int]:
    """Return the host and port of a base URL; this machine has one name for all that it has."""
    host, port = network.address_of(base_url)
    return "localhost" if is_this_machine(host) else host, port

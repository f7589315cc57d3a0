"""Keys in errors: servers repeat them, and libraries keep a request's headers with its error."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from adapter.keys import without_keys

__all__ = ["hide_keys", "hide_sent_headers"]

DEEPEST = 8
"""Of tables in tables, which a server may send without end."""


def hide_keys(error: BaseException) -> None:
    """Take the keys out of ``error`` and all it came from; types and tracebacks stay.

    Texts, arguments and attributes get ``***`` for a key. The local variables of the functions it
    has left (LiteLLM's, the SDK's, httpx's) go: they hold headers as they are sent, which a
    traceback with locals would show. Those of the caller stay.
    """
    for one in _family(error):
        traceback.clear_frames(one.__traceback__)
        one.args = tuple(_clean(value) for value in one.args)
        for name, value in list(vars(one).items()):
            cleaned = _clean(value)
            if cleaned is not value:
                with suppress(AttributeError, TypeError):  # a property, or frozen
                    setattr(one, name, cleaned)
        if isinstance(one, OSError | ValueError):
            _clean_builtin(one)


def hide_sent_headers(result: Any) -> None:
    """Take the keys out of the request that a result (of ``speech``) keeps: a pickle has it."""
    request = getattr(getattr(result, "response", None), "_request", None)
    if request is not None:
        _clean_request(request)


def _family(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and every other one that it leads to, each once."""
    found: dict[int, BaseException] = {}
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or id(one) in found:
            continue
        found[id(one)] = one
        waiting += [one.__cause__, one.__context__, *vars(one).values()]
        waiting += getattr(one, "exceptions", ())  # a group
        yield one


def _clean_builtin(error: BaseException) -> None:
    """Clean what Python's own errors keep in attributes that are not in their ``__dict__``."""
    for name in ("doc", "msg", "object", "strerror"):
        value = getattr(error, name, None)
        if isinstance(value, str) and (cleaned := without_keys(value)) != value:
            with suppress(AttributeError, TypeError):
                setattr(error, name, cleaned)


def _clean(value: Any, depth: int = 0) -> Any:
    """Return ``value`` without keys; the same object where it has none."""
    if isinstance(value, str):
        cleaned: Any = without_keys(value)
        return value if cleaned == value else cleaned
    if isinstance(value, bytes):
        text = value.decode("latin-1")
        return value if (hidden := without_keys(text)) == text else hidden.encode("latin-1")
    if depth == DEEPEST:
        return value
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        items = [_clean(item, depth + 1) for item in value]
        changed = any(new is not old for new, old in zip(items, value, strict=True))
        return type(value)(items) if changed else value
    if type(value) is dict:
        table = {_clean(k, depth + 1): _clean(v, depth + 1) for k, v in value.items()}
        changed = any(value.get(k) is not v for k, v in table.items())
        return table if changed else value
    kind = f"{type(value).__module__}.{type(value).__name__}"
    clean_kind = _KINDS.get(kind)
    return clean_kind(value) if clean_kind else value


def _clean_headers(headers: Any) -> Any:
    import httpx

    pairs = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in headers.raw]
    cleaned = [(k, without_keys(v)) for k, v in pairs]
    return headers if cleaned == pairs else httpx.Headers(cleaned)


def _clean_request(request: Any) -> Any:
    """Clean a request that is over, in place: the SDK makes a new one for each attempt."""
    request.headers = _clean_headers(request.headers)
    content = getattr(request, "_content", None)
    if isinstance(content, bytes):  # LiteLLM writes ``extra_headers`` for images into the body
        request._content = _clean(content)
    return request


def _clean_response(response: Any) -> Any:
    """Clean a response in place: other attributes of the same error, and its causes, have it."""
    response.headers = _clean_headers(response.headers)
    with suppress(RuntimeError):  # it has no request
        _clean_request(response.request)
    content = getattr(response, "_content", None)
    if isinstance(content, bytes):
        response._content = _clean(content)
        response.__dict__.pop("_text", None)  # decoded from the content, again when it is read
    return response


_KINDS: Mapping[str, Any] = {
    "httpx.Headers": _clean_headers,
    "httpx.Request": _clean_request,
    "httpx.Response": _clean_response,
}

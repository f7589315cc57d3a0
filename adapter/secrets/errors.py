"""Keys in errors: servers repeat them, and libraries keep a request's headers with its error."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from adapter.keys.precedence import without_keys

__all__ = ["hide_keys", "hide_sent_headers"]

DEEPEST = 8
"""Of tables in tables, which a server may send without end."""


def hide_keys(error: BaseException, handled: BaseException | None = None) -> None:
    """Take the keys out of ``error`` and all it came from; types and tracebacks stay.

    Texts, arguments and attributes get ``***`` for a key. The local variables of the functions it
    has left (LiteLLM's, the SDK's, httpx's) go: they hold headers as they are sent, which a
    traceback with locals would show. Those of the caller stay, and so does ``handled``, the error
    that the caller was handling when the call began: Python makes it a cause of this one.
    """
    clean = _Cleaner()
    for one in _family(error, handled):
        traceback.clear_frames(one.__traceback__)
        for name in ("args", *vars(one), *_BUILTIN):
            value = getattr(one, name, None)
            cleaned = clean(value)
            if cleaned is not value:
                with suppress(AttributeError, TypeError):  # a property, or frozen
                    setattr(one, name, cleaned)


def hide_sent_headers(result: Any) -> None:
    """Take the keys out of the request that a result (of ``speech``) keeps: a pickle has it."""
    request = getattr(getattr(result, "response", None), "_request", None)
    if request is not None:
        _Cleaner().request(request)


def _family(error: BaseException, handled: BaseException | None) -> Iterator[BaseException]:
    """Yield ``error`` and every other one that it leads to, each once, but not by ``handled``."""
    found: dict[int, BaseException] = {} if handled is None else {id(handled): handled}
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or id(one) in found:
            continue
        found[id(one)] = one
        waiting += [one.__cause__, one.__context__, *vars(one).values()]
        waiting += getattr(one, "exceptions", ())  # a group
        yield one


class _Cleaner:
    """Returns values without keys: the same object where there is none in it.

    Requests and responses are cleaned in place, each once: several errors of a chain have them.
    """

    def __init__(self) -> None:
        self._done: dict[int, tuple[Any, Any]] = {}

    def __call__(self, value: Any, depth: int = 0) -> Any:
        if isinstance(value, str):
            cleaned: Any = without_keys(value)
            return value if cleaned == value else cleaned
        if isinstance(value, bytes):
            text = value.decode("latin-1")
            return value if (hidden := without_keys(text)) == text else hidden.encode("latin-1")
        if depth == DEEPEST:
            return value
        if isinstance(value, list | tuple):
            return self._items(value, depth)
        if type(value) is dict:
            table = {self(k, depth + 1): self(v, depth + 1) for k, v in value.items()}
            changed = any(value.get(k) is not v for k, v in table.items())
            return table if changed else value
        return self._by_kind(value)

    def _items(self, value: Any, depth: int) -> Any:
        items = [self(item, depth + 1) for item in value]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        # a named tuple takes its items one by one, but is a tuple to ``tuple.__new__``
        return items if isinstance(value, list) else tuple.__new__(type(value), items)

    def _by_kind(self, value: Any) -> Any:
        """Clean the objects of httpx and aiohttp that an error keeps, told by their names."""
        module, _, _ = type(value).__module__.partition(".")
        kind = _KINDS.get(f"{module}.{type(value).__name__}")
        if kind is None:
            return value
        if id(value) not in self._done:  # the value is kept, so that no other gets its id
            self._done[id(value)] = value, getattr(self, kind)(value)
        return self._done[id(value)][1]

    def headers(self, headers: Any) -> Any:
        raw = [(self(name), self(value)) for name, value in headers.raw]
        return headers if raw == headers.raw else type(headers)(raw)

    def multidict(self, headers: Any) -> Any:
        from multidict import CIMultiDict, CIMultiDictProxy

        pairs = [(name, self(value)) for name, value in headers.items()]
        same = pairs == list(headers.items())
        return headers if same else CIMultiDictProxy(CIMultiDict(pairs))

    def request(self, request: Any) -> Any:
        """Clean a request that is over: the SDK makes a new one for each attempt."""
        request.headers = self.headers(request.headers)
        content = getattr(request, "_content", None)
        if isinstance(content, bytes):  # LiteLLM writes ``extra_headers`` for images into the body
            request._content = self(content)
        return request

    def response(self, response: Any) -> Any:
        """Clean a response: other attributes of the same error, and its causes, have it."""
        response.headers = self.headers(response.headers)
        with suppress(RuntimeError):  # it has no request
            self._by_kind(response.request)
        content = getattr(response, "_content", None)
        if isinstance(content, bytes):
            response._content = self(content)
            response.__dict__.pop("_text", None)  # decoded from the content, again when it is read
        return response


_BUILTIN = ("doc", "msg", "object", "strerror")
"""Attributes of Python's own errors that are not in their ``__dict__``."""

_KINDS: Mapping[str, str] = {
    "httpx.Headers": "headers",
    "httpx.Request": "request",
    "httpx.Response": "response",
    "multidict.CIMultiDict": "multidict",
    "multidict.CIMultiDictProxy": "multidict",
}

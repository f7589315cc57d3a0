"""Remove known secrets from errors and log records.

Libraries keep a request's headers with its error. LiteLLM masks in its log what looks like a key;
it cannot know what a key looks like that a server made up.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from adapter.secrets.scrubber import scrub

__all__ = ["scrub_error", "scrub_logs", "scrub_result"]

DEEPEST = 8
"""Levels of nested tables that are searched; a server may send any number."""

_BUILTIN = ("doc", "msg", "object", "strerror")
"""Attributes of Python's own errors that are not in their ``__dict__``."""


def scrub_error(error: BaseException, handled: BaseException | None = None) -> None:
    """Replace each known key in ``error`` and its causes by ``***``; types stay the same.

    Texts, arguments and attributes are searched. The local variables of the functions that the
    error has left (LiteLLM's, the SDK's, httpx's) go: they hold headers as they are sent, which a
    traceback with locals would show. Those of the caller stay, and so does ``handled``, the error
    that the caller was handling when the call began: Python makes it a cause of this one.
    """
    values = _Values()
    for one in _family(error, handled):
        traceback.clear_frames(one.__traceback__)
        for name in ("args", *vars(one), *_BUILTIN):
            value = getattr(one, name, None)
            scrubbed = values.scrub(value)
            if scrubbed is not value:
                with suppress(AttributeError, TypeError):  # a property, or frozen
                    setattr(one, name, scrubbed)


def scrub_result(result: Any) -> None:
    """Replace each known key by ``***`` in the request that a result (of ``speech``) keeps."""
    response: Any = getattr(result, "response", None)
    with suppress(AttributeError, RuntimeError):  # there is none, or it has no request
        response.request = _Values().scrub(response.request)


def _family(error: BaseException, handled: BaseException | None) -> Iterator[BaseException]:
    """Yield ``error`` and every other one that it leads to, each once, but not by ``handled``."""
    seen: dict[int, BaseException] = {} if handled is None else {id(handled): handled}
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen[id(one)] = one
        waiting += [one.__cause__, one.__context__, *vars(one).values()]
        waiting += getattr(one, "exceptions", ())  # a group
        yield one


class _Values:
    """Returns values without keys: the same object where there is none in it.

    The objects of HTTP libraries are told by name, since importing these takes long; each is
    looked at once, for several errors of a chain have it.
    """

    def __init__(self) -> None:
        self._done: dict[int, tuple[Any, Any]] = {}

    def scrub(self, value: Any, depth: int = 0) -> Any:
        if isinstance(value, str):
            return scrub(value)
        if isinstance(value, bytes):
            text = value.decode("latin-1")
            return value if (scrubbed := scrub(text)) is text else scrubbed.encode("latin-1")
        if depth == DEEPEST:
            return value
        if isinstance(value, list | tuple):
            items = [self.scrub(item, depth + 1) for item in value]
            if all(new is old for new, old in zip(items, value, strict=True)):
                return value
            # a named tuple takes its items one by one, but is a tuple to ``tuple.__new__``
            return items if isinstance(value, list) else tuple.__new__(type(value), items)
        if type(value) is dict:
            table = {self.scrub(k, depth + 1): self.scrub(v, depth + 1) for k, v in value.items()}
            return table if any(value.get(k) is not v for k, v in table.items()) else value
        library = type(value).__module__.partition(".")[0]
        kind = _KINDS.get(type(value).__name__)
        if kind is None or library not in _LIBRARIES:
            return value
        if id(value) not in self._done:  # the value is kept, so that no other gets its id
            self._done[id(value)] = value, kind(self, value)
        return self._done[id(value)][1]

    def headers(self, headers: Any) -> Any:
        raw = headers.raw
        scrubbed = self.scrub(raw)
        return headers if scrubbed is raw else type(headers)(scrubbed)

    def multidict(self, headers: Any) -> Any:
        from multidict import CIMultiDict, CIMultiDictProxy

        pairs = list(headers.items())
        scrubbed = self.scrub(pairs)
        return headers if scrubbed is pairs else CIMultiDictProxy(CIMultiDict(scrubbed))

    def request(self, request: Any) -> Any:
        """Scrub a request that is over: the SDK makes a new one for each attempt."""
        request.headers = self.headers(request.headers)
        content = _content(request)
        scrubbed = self.scrub(content)  # LiteLLM writes ``extra_headers`` for images into the body
        if scrubbed is content:
            return request
        return type(request)(request.method, request.url, headers=request.headers, content=scrubbed)

    def response(self, response: Any) -> Any:
        response.headers = self.headers(response.headers)
        with suppress(RuntimeError):  # it has no request
            response.request = self.scrub(response.request)
        content = _content(response)
        scrubbed = self.scrub(content)
        if scrubbed is content:
            return response
        headers = type(response.headers)(response.headers.raw)
        headers.pop("content-encoding", None)  # of the content as it was sent
        headers["content-length"] = str(len(scrubbed))
        made = type(response)(
            response.status_code,
            headers=headers,
            content=scrubbed,
            extensions=response.extensions,
            history=response.history,
        )
        with suppress(RuntimeError):
            made.request = response.request
            made.elapsed = response.elapsed
        return made


def _content(message: Any) -> bytes | None:
    """Return the body of a request or response, ``None`` where it was not read."""
    try:
        content: bytes = message.content
    except Exception:  # noqa: BLE001 - httpx's, whose classes are not imported here
        return None
    return content


_LIBRARIES = ("httpx", "httpx2", "multidict")
_KINDS: dict[str, Callable[[_Values, Any], Any]] = {
    "Headers": _Values.headers,
    "Request": _Values.request,
    "Response": _Values.response,
    "CIMultiDict": _Values.multidict,
    "CIMultiDictProxy": _Values.multidict,
}
"""Class of one of these libraries -> how its objects are scrubbed."""


class _Filter(logging.Filter):
    """Removes keys from a record; other records stay as they are."""

    _formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 - wrong arguments are reported by the handler
            return True
        if (scrubbed := scrub(text)) != text:
            record.msg, record.args = scrubbed, ()
        trace = record.exc_text
        if record.exc_info and not trace:
            trace = self._formatter.formatException(record.exc_info)
        if trace and (scrubbed := scrub(trace)) != trace:
            record.exc_text = scrubbed
        return True


_filter = _Filter()  # one, which a logger takes once


def scrub_logs(loggers: Iterable[str]) -> None:
    """Remove the keys that this process reads from what ``loggers`` record from now on.

    Each is named, since a filter on a logger does not see the records of loggers below it.
    """
    for name in loggers:
        logging.getLogger(name).addFilter(_filter)

"""One query with LiteLLM in this process, as the pieces of text of its answer."""

from __future__ import annotations

import gc
import json
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from adapter.call.drop_ins import drop_in
from adapter.call.translation import PREFIX, Target
from adapter.query.proxy import PROXY_PREFIX, ask_proxy
from adapter.upstream.loading import load_for_command

__all__ = ["Details", "Query", "complete", "pieces"]

TIMEOUT_SECONDS = 600.0
"""How long the server may be silent, as in LiteLLM."""

CONNECT_SECONDS = 10.0
"""How long connecting may take. An address that swallows packets would else hang for minutes."""

GRACE_SECONDS = 1.0
"""How much longer a chunk may take than a byte, so that silence is told as such."""


class Query(NamedTuple):
    """One query. ``params`` are LiteLLM's, ``timeout`` is in seconds.

    ``retries`` is how often a failed request is tried again; ``None`` leaves it to the
    configuration. ``gateway`` is the URL of a LiteLLM proxy to ask.
    """

    model: str
    messages: list[dict[str, Any]]
    params: Mapping[str, Any]
    timeout: float | None = None
    retries: int | None = None
    gateway: str | None = None


class Details:
    """What an answer has besides its text: a whole ``response``, and its ``usage``, as JSON."""

    def __init__(self) -> None:
        self.response: dict[str, Any] | None = None
        self.usage: dict[str, Any] | None = None

    def add(self, chunk: Any) -> None:
        """Take what is in ``chunk``, a part of an answer or all of it."""
        if getattr(chunk, "usage", None) is not None:
            self.usage = _plain(chunk.usage)
        if chunk.choices and getattr(chunk.choices[0], "message", None) is not None:
            self.response = _plain(chunk)


def complete(query: Query, target: Target | None, details: Details | None = None) -> Iterator[str]:
    """Return the answer's text piece by piece as it comes, see :func:`pieces`.

    ``target`` is where the model goes, as resolved already. Nothing is retried unless the query or
    the configuration says so: a person is waiting. Raises LiteLLM's exceptions.
    """
    litellm = load_for_command()
    # LiteLLM's half a million objects stay until this process ends: not looking through them
    # again at each collection, and at the end, saves two of seven seconds
    gc.freeze()
    gc.enable()
    # half of the time per chunk goes into logs that nobody reads here
    litellm.disable_streaming_logging = True
    configured = target.params if target else {}
    call = _arguments(query, configured)
    if query.gateway is not None and target is not None:
        result = ask_proxy(target, messages=query.messages, **call)
    else:
        result = drop_in("completion")(model=query.model, messages=query.messages, **call)
    if not call.get("stream"):
        return pieces([result], details)
    limit = query.timeout or configured.get("timeout", TIMEOUT_SECONDS)
    return pieces(_in_time(result, limit), details)


def _arguments(query: Query, configured: Mapping[str, Any]) -> dict[str, Any]:
    """Return LiteLLM's arguments: the query's, with its retries and time limits."""
    call = dict(query.params)
    names = {*call, *configured}
    if query.retries is not None:
        # a configured num_retries would else be the one that counts
        call["num_retries" if "num_retries" in names else "max_retries"] = query.retries
    elif not {"max_retries", "num_retries"} & names:
        call["max_retries"] = 0
    if query.timeout is not None or "timeout" not in configured:
        seconds: Any = query.timeout or TIMEOUT_SECONDS
        if str(configured.get("model")).startswith((f"{PREFIX}/", PROXY_PREFIX)):
            import httpx  # LiteLLM has imported it already

            seconds = httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
        call["timeout"] = seconds
    return call


def _in_time(chunks: Iterable[Any], limit: Any) -> Iterator[Any]:
    """Yield ``chunks``; raise ``TimeoutError`` when none comes for ``limit`` seconds.

    To a socket a server that sends keep-alive comments is never silent. A limit that is no number
    is LiteLLM's alone, and so is any where there are no alarms.
    """
    alarms = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not alarms or not isinstance(limit, int | float):
        yield from chunks
        return

    def late(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    running = signal.setitimer(signal.ITIMER_REAL, 0)  # an alarm of the caller's
    iterator = iter(chunks)
    try:
        while True:
            signal.setitimer(signal.ITIMER_REAL, limit + GRACE_SECONDS)
            try:
                chunk = next(iterator)
            except StopIteration:
                return
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            yield chunk
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *running)


def _plain(value: Any) -> dict[str, Any] | None:
    """Return LiteLLM's object as dictionaries and lists, ``None`` for what is no JSON object."""
    if callable(getattr(value, "model_dump", None)):
        value = value.model_dump(mode="json", exclude_none=True)
    plain = json.loads(json.dumps(value, default=vars))
    return plain if isinstance(plain, dict) else None


def pieces(chunks: Iterable[Any], details: Details | None = None) -> Iterator[str]:
    """Yield the text in ``chunks``, then the tools the model calls, as JSON, one call a line.

    A chunk has OpenAI's shape: a whole response with a ``message``, or a streamed part with a
    ``delta``. Calls come in parts, too, and are joined by their ``index``. ``details``
    takes what there is besides.
    """
    text = ""
    calls: dict[int, Any] = {}
    for chunk in chunks:
        if details is not None:
            details.add(chunk)
        choice = chunk.choices[0] if chunk.choices else None
        if choice is None:
            continue
        part = getattr(choice, "delta", None) or getattr(choice, "message", None)
        if part is None:
            continue
        if part.content:
            text = part.content
            yield text
        for position, call in enumerate(part.tool_calls or ()):
            index = getattr(call, "index", None)
            index = position if index is None else index
            if index in calls:
                first = calls[index].function
                first.arguments = (first.arguments or "") + (call.function.arguments or "")
            else:
                calls[index] = call
    yield _tool_calls(calls, text)


def _tool_calls(calls: Mapping[int, Any], before: str) -> str:
    """Return the calls, one a line; the first does not go on the line of the text before it."""
    lines = [
        json.dumps({"name": c.function.name, "arguments": c.function.arguments}, ensure_ascii=False)
        for _, c in sorted(calls.items())
    ]
    gap = "\n" if lines and before and not before.endswith("\n") else ""
    return gap + "\n".join(lines)

"""One query of the command line, as the pieces of text of its answer."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from adapter.call.drop_ins import drop_in
from adapter.call.translation import PREFIX, Target
from adapter.query import proxy
from adapter.query.answers import CONNECT_SECONDS, TIMEOUT_SECONDS, Kept, Query, pieces
from adapter.upstream.loading import load_for_command

__all__ = ["ask"]

GRACE_SECONDS = 1.0
"""How much longer a chunk may take than a byte, so that silence is told as such."""


def ask(query: Query, target: Target | None, kept: Kept | None = None) -> Iterator[str]:
    """Return the answer's text piece by piece as it comes, see ``answers.pieces``.

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
    call = dict(query.params)
    if query.retries is not None:
        # a configured num_retries would else be the one that counts
        name = "num_retries" if "num_retries" in {*call, *configured} else "max_retries"
        call[name] = query.retries
    if not {"max_retries", "num_retries"} & {*call, *configured}:
        call["max_retries"] = 0
    if query.timeout is not None or "timeout" not in configured:
        call["timeout"] = _timeout(query.timeout or TIMEOUT_SECONDS, configured)
    if query.gateway is not None and target is not None:
        result = proxy.completion(target, messages=query.messages, **call)
    else:
        result = drop_in("completion")(model=query.model, messages=query.messages, **call)
    if not call.get("stream"):
        return pieces([result], kept)
    limit = query.timeout or configured.get("timeout", TIMEOUT_SECONDS)
    return pieces(_in_time(result, limit), kept)


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


def _timeout(seconds: float, configured: Mapping[str, Any]) -> Any:
    """Return LiteLLM's ``timeout``: with a limit of its own for connecting where it takes one."""
    if not str(configured.get("model")).startswith((f"{PREFIX}/", "litellm_proxy/")):
        return seconds
    import httpx  # LiteLLM has imported it already

    return httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))

"""One query of the command line, as the pieces of text of its answer."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping
from typing import Any

from adapter.answers import CONNECT_SECONDS, TIMEOUT_SECONDS, Kept, Query, pieces
from adapter.calls import drop_in
from adapter.engine import load_litellm
from adapter.translation import PREFIX, Target

__all__ = ["ask", "load_for_command"]


def load_for_command() -> Any:
    """Return LiteLLM as the command uses it; the import takes seconds, the first time."""
    # LiteLLM's default mode loads ./.env, where a cloned repository could redirect a key
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    os.environ.setdefault("LITELLM_LOG", "ERROR")  # its warnings are for those who run a proxy
    return load_litellm()


def ask(query: Query, target: Target | None, kept: Kept | None = None) -> Iterator[str]:
    """Return the answer's text piece by piece as it comes, see :func:`adapter.answers.pieces`.

    ``target`` is where the model goes, as resolved already. Nothing is retried unless the query or
    the configuration says so: a person is waiting. Raises LiteLLM's exceptions.
    """
    litellm = load_for_command()
    # LiteLLM's half a million objects stay until this process ends: not looking through them
    # again at each collection, and at the end, saves two of seven seconds
    gc.freeze()
    gc.enable()
    # two thirds of the time per chunk go into logs that nobody reads here
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
    result = drop_in("completion")(model=query.model, messages=query.messages, **call)
    return pieces(result if call.get("stream") else [result], kept)


def _timeout(seconds: float, configured: Mapping[str, Any]) -> Any:
    """Return LiteLLM's ``timeout``: with a limit of its own for connecting where it takes one."""
    if not str(configured.get("model")).startswith(f"{PREFIX}/"):
        return seconds
    import httpx  # LiteLLM has imported it already

    return httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))

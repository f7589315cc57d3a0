"""One query of the command line, as the pieces of text of its answer."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from adapter.calls import drop_in
from adapter.engine import load_litellm
from adapter.translation import PREFIX, Target

__all__ = ["ask"]

TIMEOUT_SECONDS = 600.0
"""How long the server may be silent, as in LiteLLM."""

CONNECT_SECONDS = 10.0
"""How long connecting may take. An address that swallows packets would else hang for minutes."""


def ask(
    model: str,
    messages: list[dict[str, Any]],
    target: Target | None,
    params: Mapping[str, Any],
    timeout: float | None = None,
) -> Iterator[str]:
    """Yield the answer's text as it comes; a model that calls tools yields the calls, as JSON.

    ``target`` is where ``model`` goes, as resolved already. ``timeout`` is in seconds. Nothing is
    retried unless ``params`` or the configuration say so: a person is waiting. Raises LiteLLM's
    exceptions.
    """
    # LiteLLM's default mode loads ./.env, where a cloned repository could redirect a key
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    os.environ.setdefault("LITELLM_LOG", "ERROR")  # its warnings are for those who run a proxy
    litellm = load_litellm()
    # two thirds of the time per chunk go into logs that nobody reads here
    litellm.disable_streaming_logging = True
    configured = target.params if target else {}
    call = dict(params)
    if not {"max_retries", "num_retries"} & {*call, *configured}:
        call["max_retries"] = 0
    if timeout is not None or "timeout" not in configured:
        call["timeout"] = _timeout(timeout or TIMEOUT_SECONDS, configured)
    result = drop_in("completion")(model=model, messages=messages, **call)
    if not call.get("stream"):
        if not result.choices:
            return  # no answer: the command says so
        message = result.choices[0].message
        said = message.content or ""
        yield said
        yield _tool_calls(dict(enumerate(message.tool_calls or ())), said)
        return
    said = ""
    calls: dict[int, Any] = {}
    for chunk in result:
        delta = chunk.choices[0].delta if chunk.choices else None
        if delta is None:
            continue
        if delta.content:
            said = delta.content
            yield said
        for part in delta.tool_calls or ():
            if part.index in calls:
                known = calls[part.index].function
                known.arguments = (known.arguments or "") + (part.function.arguments or "")
            else:
                calls[part.index] = part
    yield _tool_calls(calls, said)


def _timeout(seconds: float, configured: Mapping[str, Any]) -> Any:
    """Return LiteLLM's ``timeout``: with a limit of its own for connecting where it takes one."""
    if not str(configured.get("model")).startswith(f"{PREFIX}/"):
        return seconds
    import httpx  # LiteLLM has imported it already

    return httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))


def _tool_calls(calls: Mapping[int, Any], said: str) -> str:
    """Return the calls, one a line; the first does not go on the line of what was said before."""
    lines = [
        json.dumps({"name": c.function.name, "arguments": c.function.arguments}, ensure_ascii=False)
        for _, c in sorted(calls.items())
    ]
    gap = "\n" if lines and said and not said.endswith("\n") else ""
    return gap + "\n".join(lines)

"""The server that frameworks are shown: it calls the first tool, or answers as it is asked to."""

from __future__ import annotations

import json
from typing import Any

from tests.recorder import ANSWER, Reply, Request, chat_chunk, chat_reply

__all__ = ["answer"]

CITY = '{"city": "Paris"}'
USAGE = {"prompt_tokens": 611, "completion_tokens": 377, "total_tokens": 988}
SCHEMA_KEYS = {"response_format", "tools"}
"""Keys of a request, one of which may hold the schema of a structured answer; else the prompt."""


def answer(request: Request) -> Reply | None:
    """Answer a chat completion; there are no other routes of generation."""
    if request.path.endswith("/responses"):
        return Reply(404, {"detail": "Not Found"})
    if not request.path.endswith("/chat/completions"):
        return None
    body = request.body
    if "denied" in body["model"]:
        return Reply(401, {"error": {"message": "wrong key for denied", "type": "auth"}})
    roles = [m["role"] for m in body["messages"]]
    if body.get("tools") and "tool" not in roles:
        return _called(body)
    words = json.dumps(body["messages"])
    if "[[ ##" in words and "response_format" not in body:  # DSPy's own form
        text = "[[ ## city ## ]]\nParis\n\n[[ ## completed ## ]]"
    elif body.get("response_format") or "JSON object" in words:
        text = CITY
    else:
        text = ANSWER
    return (
        _streamed([{"content": part} for part in (text[:7], text[7:])])
        if body.get("stream")
        else Reply(200, {**chat_reply(text), "usage": USAGE})
    )


def _called(body: dict[str, Any]) -> Reply:
    names = [tool["function"]["name"] for tool in body["tools"]]
    name = next((n for n in names if n == "StructuredOutput"), names[0])  # Claude Code's
    call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": CITY}}
    if body.get("stream"):
        return _streamed([{"tool_calls": [{"index": 0, **call}]}], "tool_calls")
    reply = {**chat_reply(None, tool_calls=[call]), "usage": USAGE}
    reply["choices"][0]["finish_reason"] = "tool_calls"
    return Reply(200, reply)


def _streamed(deltas: list[dict[str, Any]], finish: str = "stop") -> Reply:
    chunks = [chat_chunk({"role": "assistant", **delta}) for delta in deltas]
    usage = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    last = json.dumps({**usage, "choices": [], "usage": USAGE}).encode()
    data = [*chunks, chat_chunk({}, finish), b"data: " + last + b"\n\n", b"data: [DONE]\n\n"]
    return Reply(200, b"".join(data))

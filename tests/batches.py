"""Batch lines to ask, and what a run has written."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.command import PATIENCE
from tests.recorder import Recorder, Request


def line(custom_id: str, model: str = "p/m", **body: Any) -> dict[str, Any]:
    """Return a chat line whose prompt is its id."""
    asked = {"model": model, "messages": [{"role": "user", "content": custom_id}], **body}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": asked}


def lines(number: int, model: str = "p/m") -> list[dict[str, Any]]:
    return [line(f"id-{n}", model) for n in range(number)]


def write_lines(records: Iterable[Any], path: str = "in.jsonl") -> None:
    Path(path).write_text("".join(f"{json.dumps(r)}\n" for r in records), encoding="utf-8")


def read_lines(path: str) -> list[dict[str, Any]]:
    """Return the lines of a file, which must end with a line's end."""
    text = Path(path).read_bytes()
    assert not text or text.endswith(b"\n")
    return [json.loads(one) for one in text.splitlines()]


def ids(path: str) -> list[str]:
    return [one["custom_id"] for one in read_lines(path)]


def prompt(request: Request) -> str:
    """Return the last message of a chat request, which is the id of its line."""
    text: str = request.body["messages"][-1]["content"]
    return text


def asked(server: Recorder) -> Counter[str]:
    """Return how often a server was asked each line."""
    return Counter(map(prompt, server.requests))


def turn(server: Recorder, request: Request) -> int:
    """Return as which request, counted from 1, this one came: others may have come meanwhile."""
    return 1 + next(n for n, one in enumerate(server.requests) if one is request)


@contextmanager
def held(server: Recorder, after: int = 0) -> Iterator[threading.Event]:
    """Let a server answer ``after`` requests and no more until the event is set."""
    event = threading.Event()

    def script(request: Request) -> None:
        if turn(server, request) > after:
            event.wait(PATIENCE)

    server.script = script
    try:
        yield event
    finally:
        event.set()


def check_once(number: int) -> None:
    """Check that each of ``number`` lines stands in the files of results exactly once."""
    found = ids("out.jsonl") + ids("out.errors.jsonl")
    assert sorted(found) == sorted(f"id-{n}" for n in range(number))

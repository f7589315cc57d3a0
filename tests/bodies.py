"""What servers are reported to send, as data: tests/data/bodies/*.toml, one case a file.

A case has what the server sends: ``stream`` to a request for a stream (each event as JSON, or as a
``delta`` with ``finish`` and ``index``), ``whole`` to another (a ``message`` with ``finish`` and
``usage``), or ``body`` (JSON) or ``raw`` (a page) to both, under ``status``. ``[python]`` is what
the drop-in functions and a gateway's clients get (``[python_stream]`` where a stream differs), each
``[[command]]`` a run of the command: its ``flags``, the ``mode`` it is run in, else all there are,
its exit ``code``, ``out`` and parts of ``err``. Where there is no ``err``, stderr is empty.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import tomli

from tests.recorder import Recorder, Reply, Request, chat_reply, recording_server

FOLDER = Path(__file__).with_name("data") / "bodies"

STREAM, WHOLE = "stream", "whole"


class Seen(NamedTuple):
    """What came of an answer; ``error`` is a class, or for a gateway's client anything."""

    text: str = ""
    thinking: str = ""
    calls: tuple[tuple[str | None, str], ...] = ()
    error: str = ""
    status: int | None = None


class Body:
    """One case, by the name of its file."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.data = tomli.loads(path.read_text(encoding="utf-8"))
        both = "body" in self.data or "raw" in self.data
        self.modes = [m for m in (STREAM, WHOLE) if both or m in self.data]

    def python(self, mode: str) -> Seen | None:
        """Return what a drop-in function gives, ``None`` where it does not matter."""
        fields = self.data.get(f"python_{mode}", self.data.get("python"))
        if fields is None:
            return None
        calls = tuple((name, arguments) for name, arguments in fields.get("calls", ()))
        return Seen(**{**fields, "calls": calls})

    def runs(self) -> Iterable[tuple[str, Mapping[str, Any]]]:
        """Yield the runs of the command, each with its mode."""
        for run in self.data["command"]:
            for mode in [run["mode"]] if "mode" in run else self.modes:
                yield mode, run

    def reply(self, stream: bool) -> Reply:
        """Return what the server sends."""
        status = self.data.get("status", 200)
        if "raw" in self.data:
            return Reply(status, self.data["raw"].encode(), {"Content-Type": "text/html"})
        if "body" in self.data:
            return Reply(status, self.data["body"])
        if stream:
            events = [*map(_event, self.data["stream"]), "data: [DONE]\n\n"]
            return Reply(status, "".join(events).encode())
        whole = self.data["whole"]
        reply = chat_reply(**whole["message"])
        reply["choices"][0]["finish_reason"] = whole.get("finish", "stop")
        if whole.get("usage") is False:
            del reply["usage"]
        return Reply(status, reply)


def _event(entry: Any) -> str:
    if isinstance(entry, str):
        return f"data: {entry}\n\n"
    choice = {
        "index": entry.get("index", 0),
        "delta": entry.get("delta", {}),
        "finish_reason": entry.get("finish"),
    }
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n"


@contextmanager
def bodies_server() -> Iterator[Recorder]:
    """Serve all cases: the model id of a request says which."""

    def answer(request: Request) -> Reply:
        return BODIES[request.body["model"]].reply(bool(request.body.get("stream")))

    with recording_server() as recorder:
        recorder.script = answer
        yield recorder


BODIES = {path.stem: Body(path) for path in sorted(FOLDER.glob("*.toml"))}
PYTHON = [(n, mode) for n, body in BODIES.items() for mode in body.modes if body.python(mode)]
"""The cases and modes in which what Python and a gateway's client get is given."""


def seen_in(chunks: Iterable[Mapping[str, Any]]) -> Seen:
    """Return what is in chunks, or in one whole answer, in OpenAI's form as JSON."""
    text, thinking = "", ""
    calls: dict[int, tuple[str | None, str]] = {}
    for chunk in chunks:
        for choice in chunk.get("choices") or ():
            part = choice.get("delta") or choice.get("message") or {}
            text += part.get("content") or ""
            thinking += part.get("reasoning_content") or ""
            for position, call in enumerate(part.get("tool_calls") or ()):
                function = call["function"]
                name, arguments = calls.get(call.get("index", position), (None, ""))
                added = arguments + (function.get("arguments") or "")
                calls[call.get("index", position)] = (name or function.get("name"), added)
    return Seen(text, thinking, tuple(calls.values()))

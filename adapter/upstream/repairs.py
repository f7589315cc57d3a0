"""What servers send in place of OpenAI's form, put right before LiteLLM reads it.

The OpenAI SDK takes the classes that it makes of a reply from its caller (``cast_to`` and
``stream_cls`` of ``post``); :func:`reply_class` and :func:`stream_class` are those of a chat
completion, with repairs for what LiteLLM fails at or loses.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from adapter.upstream.exceptions import error_status, error_words

__all__ = ["EventsWithData", "ToolCalls", "reply_class", "stream_class"]

NO_REASON = "no reason was given"


@dataclass
class _Call:
    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""

    def is_whole(self) -> bool:
        """Whether its arguments are all there."""
        try:
            json.loads(self.arguments)
        except (ValueError, RecursionError):
            return False
        return True


class ToolCalls:
    """Tells the tool calls of one streamed answer apart, whose parts some servers misnumber.

    A new id begins a new call, also under an index that was there before, or under none. It does
    not where the part has no name and the arguments so far are not complete: some servers (vLLM
    before 0.10) give each part of a call an id of its own.
    """

    def __init__(self) -> None:
        self._open: dict[int | None, _Call] = {}
        self._indices: set[int] = set()

    def number(self, part: Any) -> None:
        """Give ``part`` of a call, as the SDK or LiteLLM has it, the index of its call."""
        function: Any = getattr(part, "function", None)
        name, arguments = (getattr(function, field, None) for field in ("name", "arguments"))
        given, id_ = getattr(part, "index", None), getattr(part, "id", None)
        given = given if isinstance(given, int) else None
        call = self._open.get(given)
        if call is None or self._begins(call, given, id_, name):
            call = self._open[given] = _Call(self._free(given))
            self._indices.add(call.index)
        call.id = call.id or id_ or ""
        call.name = call.name or name or ""
        if arguments is not None and not isinstance(arguments, str):  # as Ollama's own API has them
            arguments = function.arguments = json.dumps(arguments, ensure_ascii=False)
        call.arguments += arguments or ""
        part.index = call.index

    @staticmethod
    def _begins(call: _Call, given: int | None, id_: str | None, name: str | None) -> bool:
        """Return whether a part begins another call than ``call``, the last of its index."""
        if id_ and call.id and id_ != call.id:
            return bool(name) or call.is_whole()
        return given is None and not id_ and bool(name) and bool(call.name)

    def _free(self, given: int | None) -> int:
        if given is not None and given not in self._indices:
            return given
        return max(self._indices, default=-1) + 1


def _is_call(part: Any) -> bool:
    """Return whether ``part`` has the form of a part of a tool call."""
    function = getattr(part, "function", None)
    is_function = function is not None and isinstance(getattr(function, "name", None), str | None)
    return is_function or getattr(part, "custom", None) is not None


def _join_parts(message: Any) -> None:
    """Make a text of a content that is a list of parts, as Mistral sends it; thinking apart."""
    content = getattr(message, "content", None)
    if not isinstance(content, list):
        return
    thinking = [_text_in(getattr(message, "reasoning_content", None))]
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind in ("thinking", "reasoning"):
            thinking.append(_text_in(part.get(kind) or part.get("text")))
        else:
            texts.append(_text_in(part))
    message.content = "".join(texts)
    if any(thinking):
        message.reasoning_content = "".join(thinking)


def _text_in(part: Any) -> str:
    if isinstance(part, list):
        return "".join(map(_text_in, part))
    if isinstance(part, Mapping):
        return _text_in(part.get("text"))
    return part if isinstance(part, str) else ""


def _choices(made: Any, part: str) -> Iterator[tuple[Any, Any]]:
    """Yield the choices of a reply or chunk, each with its ``message`` or ``delta``."""
    choices = getattr(made, "choices", None)
    for choice in choices if isinstance(choices, list) else ():
        yield choice, getattr(choice, part, None)


def _error_in(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the error in a reply under status 200, in OpenAI's form with a numeric ``code``."""
    if not (error := data.get("error")) and "choices" in data:
        return None
    words, status = error_words(data), error_status(error or data)
    if not words and not status:
        return None
    plain = {**(error if isinstance(error, Mapping) else {"code": None})}
    if "code" in plain or status:
        plain["code"] = status or 500  # else it is 422 to LiteLLM
    return {**plain, "message": words or NO_REASON}


class _Quick:
    """Laid over a class of the SDK's: pydantic makes what is in OpenAI's form, in less time.

    The SDK's own ``construct`` takes any form and twenty times as long, which is a fiftieth of a
    call, and a tenth of a streamed chunk.
    """

    @classmethod
    def construct(cls, _fields_set: Any = None, /, **values: Any) -> Any:
        base: Any = super()
        try:
            return base.model_validate(values, strict=True)
        except ValueError:  # pydantic's
            return base.construct(_fields_set, **values)


@cache
def _chunk_class(base: Any) -> Any:
    """Return the SDK's class ``base`` of a streamed chunk, made quicker."""
    return type(base.__name__, (_Quick, base), {"__module__": base.__module__})


@cache
def reply_class(base: Any) -> Any:
    """Return the SDK's class ``base`` of a whole chat completion, with repairs."""

    class ChatCompletion(_Quick, base):  # type: ignore[misc]  # the SDK is imported only when called
        """Text parts joined; an error under 200 in the one form that LiteLLM tells as one."""

        @classmethod
        def construct(cls, _fields_set: Any = None, /, **values: Any) -> Any:
            if error := _error_in(values):
                values["error"] = error
            made = super().construct(_fields_set, **values)
            for _, message in _choices(made, "message"):
                _join_parts(message)
            return made

    return ChatCompletion


class _Chunks:
    """The chunks of one stream: each is repaired, and a reply that is no stream becomes one."""

    def __init__(self, stream: Any, chunk_class: Any) -> None:
        self._response = stream.response
        self._chunk_class = chunk_class
        self._calls: dict[int, ToolCalls] = {}
        headers = self._response.headers
        kind = headers.get("content-type", "").partition(";")[0]
        self.is_whole = kind.strip().endswith("json") and "content-length" in headers
        """Whether the reply, not read yet, is one JSON value: no stream has a length."""

    def whole(self, body: bytes) -> Any:
        """Return a chunk with all of an answer, ``None`` where ``body`` is none.

        Raises the SDK's ``APIError`` for an error.
        """
        import openai

        self.is_whole = False
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            return None
        if not isinstance(data, dict):
            return None
        if error := _error_in(data):
            raise openai.APIError(error["message"], request=self._response.request, body=error)
        choices = data.get("choices")
        if not isinstance(choices, list) or not all(isinstance(c, dict) for c in choices):
            return None
        parts = [{**choice, "delta": choice.get("message") or {}} for choice in choices]
        return self.repair(self._chunk_class.construct(**{**data, "choices": parts}))

    def repair(self, chunk: Any) -> Any:
        """Return ``chunk`` with its text in one piece and its tool calls numbered."""
        for choice, delta in _choices(chunk, "delta"):
            _join_parts(delta)
            if refusal := getattr(delta, "refusal", None):
                # else LiteLLM takes a chunk without text for an empty one
                delta.provider_specific_fields = {"refusal": refusal}
            if parts := getattr(delta, "tool_calls", None):
                # LiteLLM would log a traceback of others
                delta.tool_calls = [p for p in parts if _is_call(p)]
                calls = self._calls.setdefault(getattr(choice, "index", None) or 0, ToolCalls())
                for part in delta.tool_calls:
                    calls.number(part)
        return chunk

    @staticmethod
    def explain(error: Any) -> None:
        """Give an error that came in a stream its own words and status: LiteLLM goes by them."""
        body = getattr(error, "body", None)
        if not body or getattr(error, "status_code", None) is not None:
            return
        error.message = error_words({"error": body}) or NO_REASON
        error.args = (error.message,)
        if status := error_status(body):
            error.status_code = status


@cache
def stream_class(base: Any) -> Any:
    """Return ``base``, the SDK's class of a stream of chat chunks, or its twin, with repairs."""
    import openai

    class ChatStream(base):  # type: ignore[misc]  # as above
        def __init__(self, **arguments: Any) -> None:
            arguments["cast_to"] = chunk_class = _chunk_class(*get_args(base))
            super().__init__(**arguments)
            self.chunks = _Chunks(self, chunk_class)

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> Any:
            try:
                if self.chunks.is_whole and (chunk := self.chunks.whole(self.response.read())):
                    return chunk
                return self.chunks.repair(super().__next__())
            except openai.APIError as error:
                self.chunks.explain(error)
                raise

        __aiter__ = __iter__

        async def __anext__(self) -> Any:
            chunks = self.chunks
            try:
                if chunks.is_whole and (chunk := chunks.whole(await self.response.aread())):
                    return chunk
                return chunks.repair(await super().__anext__())
            except openai.APIError as error:
                chunks.explain(error)
                raise

    return ChatStream


class EventsWithData:
    """A decoder of the SDK's for server-sent events that passes over those without data.

    They dispatch nothing (WHATWG HTML, "Server-sent events"); the SDK would parse them as JSON.
    """

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder

    def iter_bytes(self, data: Any) -> Iterator[Any]:
        """Yield the events in ``data``."""
        return (event for event in self._decoder.iter_bytes(data) if event.data.strip())

    def aiter_bytes(self, data: Any) -> Any:
        """As :meth:`iter_bytes`, asynchronously."""
        return (event async for event in self._decoder.aiter_bytes(data) if event.data.strip())

"""One answer, as it comes from LiteLLM: its text, what it has besides, and why it ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from adapter.query.thinking import ThinkTags, split_thinking
from adapter.upstream.repairs import ToolCalls

__all__ = ["Answer"]

MORE_TOKENS = "allow more tokens, as with -o max_tokens 4096"
OTHER_WORDS = "word the prompt otherwise, or ask another model"


class Answer:
    """The text of one answer piece by piece, and what there is besides.

    ``response`` and ``usage`` are JSON objects, ``usage`` ``None`` where the server told none.
    ``on_thinking`` is called with each piece of thinking, which is no part of the text. With
    ``whole`` the text is one piece, so that thinking in it is told from all of it.
    """

    def __init__(
        self, *, whole: bool = False, on_thinking: Callable[[str], None] = lambda text: None
    ) -> None:
        self.response: dict[str, Any] | None = None
        self.usage: dict[str, Any] | None = None
        self.usage_is_estimate = False
        self.finish_reason: str | None = None
        self._whole = whole
        self._on_thinking = on_thinking
        self._tags = ThinkTags()
        self._refusal = ""
        self._texts: list[str] = []

    @property
    def text(self) -> str:
        """The text and the tool calls so far."""
        return "".join(self._texts)

    def pieces(self, chunks: Iterable[Any]) -> Iterator[str]:
        """Yield the text in ``chunks``, then the tools the model calls, as JSON, one call a line.

        A chunk has OpenAI's shape: a whole response with a ``message``, or a streamed part with a
        ``delta``. Of several choices the first counts.
        """
        texts = []
        calls: dict[int, Any] = {}
        numbers = ToolCalls()
        for chunk in chunks:
            if (part := self._add(chunk)) is None:
                continue
            for call in part.tool_calls if isinstance(part.tool_calls, list) else ():
                numbers.number(call)
                _add_call(calls, call)
            if self._whole:
                texts.append(part.content or "")
            elif part.content:
                yield from self._keep(*self._tags.take(part.content))
        if self._whole:
            yield from self._keep(*self._split("".join(texts)))
        else:
            yield from self._keep(*self._tags.end())
        yield from self._keep("", self._call_lines(calls))

    def _split(self, text: str) -> tuple[str, str]:
        thinking, text = split_thinking(text)
        return thinking, text.lstrip() if self._tags.after_thinking else text

    def _keep(self, thinking: str, text: str) -> Iterator[str]:
        """Yield ``text`` if there is any, and keep it; tell the ``thinking`` before it."""
        if thinking:
            self._tell_thinking(thinking)
        if text:
            self._texts.append(text)
            yield text

    def _tell_thinking(self, text: str) -> None:
        self._tags.after_thinking = True
        self._on_thinking(text)

    def _add(self, chunk: Any) -> Any:
        """Add ``chunk``; return its message or delta, ``None`` where it has none."""
        if (usage := getattr(chunk, "usage", None)) is not None:
            self.usage = _usage_of_server(_plain(usage))
        choice = chunk.choices[0] if chunk.choices else None
        if choice is None or getattr(choice, "index", 0) not in (0, None):
            return None
        if getattr(choice, "message", None) is not None:
            self.response = _plain(chunk)
        self.finish_reason = choice.finish_reason or self.finish_reason
        part = getattr(choice, "delta", None) or getattr(choice, "message", None)
        if part is None:
            return None
        thinking = getattr(part, "reasoning_content", None) or getattr(part, "reasoning", None)
        if isinstance(thinking, str) and thinking:
            self._tell_thinking(thinking)
        more = getattr(part, "provider_specific_fields", None) or {}  # of 1.101.1
        self._refusal += str(getattr(part, "refusal", None) or more.get("refusal") or "")
        return part

    def _call_lines(self, calls: dict[int, Any]) -> str:
        """Return the calls, one a line; the first does not go on the line of the text before it."""
        lines = [
            json.dumps(
                {"name": c.function.name, "arguments": c.function.arguments}, ensure_ascii=False
            )
            for _, c in sorted(calls.items())
        ]
        gap = "\n" if lines and self._texts and not self._texts[-1].endswith("\n") else ""
        return gap + "\n".join(lines)

    def why_empty(self) -> tuple[str, str]:
        """Return why an answer has no text, and what to do about it, in words."""
        thought = self._tags.after_thinking
        if self._refusal:
            return f"the model refused: {self._refusal}", OTHER_WORDS
        if self.finish_reason == "content_filter":
            return "the server's content filter held the answer back (content_filter)", OTHER_WORDS
        if self.finish_reason == "length":
            cause = "thinking took all tokens" if thought else "the tokens ran out before any text"
            return f"the answer is empty: {cause} (length)", MORE_TOKENS
        return f"the reply held {'thinking and ' if thought else ''}no answer", ""

    @property
    def is_filtered(self) -> bool:
        """Whether a content filter of the server's cut the answer."""
        return self.finish_reason == "content_filter"

    def why_cut(self) -> str | None:
        """Return why an answer ends before its end, in words, ``None`` where it does not."""
        if self.is_filtered:
            return f"the server's content filter cut the answer (content_filter): {OTHER_WORDS}"
        if self.finish_reason == "length":
            return f"the answer is cut, since the tokens ran out (length): {MORE_TOKENS}"
        return None


def _add_call(calls: dict[int, Any], part: Any) -> None:
    """Add a ``part`` of a tool call to its call. A name may come late."""
    call = calls.setdefault(part.index, part)
    if call is not part:
        function, more = call.function, part.function
        function.name = function.name or more.name
        function.arguments = (function.arguments or "") + (more.arguments or "")


def _usage_of_server(usage: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return ``usage``, or ``None`` for the zeros that LiteLLM puts where a server told none."""
    counts = [(usage or {}).get(name) for name in ("prompt_tokens", "completion_tokens")]
    return usage if any(counts) else None


def _plain(value: Any) -> dict[str, Any] | None:
    """Return LiteLLM's object as a dictionary, ``None`` where it is no JSON object."""
    if callable(getattr(value, "model_dump", None)):
        value = value.model_dump(mode="json", exclude_none=True)
    plain = json.loads(json.dumps(value, default=vars))
    return plain if isinstance(plain, dict) else None

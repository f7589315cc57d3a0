"""Thinking in the text of an answer: ``<think>...</think>`` before it, as many servers leave it."""

from __future__ import annotations

import re

__all__ = ["ThinkTags", "split_thinking"]

_TAGS = ("<think>", "<thinking>")
_CLOSING = re.compile(r"</think(?:ing)?>")
_LONGEST = len("</thinking>")

MOST_BLANK = 1000
"""In characters; an answer that begins with more of it has no thinking in its text."""

_LONE_CLOSING = re.compile(r"(?<![`'\"])</think(?:ing)?>\s*")
"""A closing tag without an opening one: the model's template has that. Quoted it is text."""


class ThinkTags:
    """Tells thinking from text as an answer comes. Tags count only before any text.

    After thinking, blank space up to the text is dropped. A lone closing tag cannot be told in
    time; see :func:`split_thinking`.
    """

    def __init__(self) -> None:
        self.after_thinking = False
        """Whether there was thinking, be it in the text or in a field of its own."""
        self._buffer = ""
        self._inside = False
        self._text_began = False

    def take(self, piece: str) -> tuple[str, str]:
        """Return the thinking and the text that can be told apart by now."""
        if self._text_began:
            return "", piece
        self._buffer += piece
        thinking = ""
        while True:
            if self._inside:
                thinking += self._take_thinking()
                if self._inside:
                    return thinking, ""
            start = self._buffer.lstrip()
            tag = next((tag for tag in _TAGS if start.startswith(tag)), None)
            if tag is None:
                if len(self._buffer) <= MOST_BLANK and any(t.startswith(start) for t in _TAGS):
                    return thinking, ""  # blank, or what may be the beginning of a tag
                return thinking, self._begin_text()
            self._buffer, self._inside = start.removeprefix(tag), True

    def end(self) -> tuple[str, str]:
        """Return the rest: thinking that was not closed, or text."""
        if not self._inside:
            return "", self._begin_text()
        self.after_thinking = True
        return self._buffer, ""

    def _take_thinking(self) -> str:
        """Return the buffer up to the closing tag, or to what may be the beginning of one."""
        closing = _CLOSING.search(self._buffer)
        if closing is not None:
            self._inside, self.after_thinking = False, True
            cut, rest = closing.span()
        else:
            begins = self._buffer.rfind("<", -_LONGEST)
            cut = rest = len(self._buffer) if begins < 0 else begins
        thinking, self._buffer = self._buffer[:cut], self._buffer[rest:]
        return thinking

    def _begin_text(self) -> str:
        self._text_began = True
        text, self._buffer = self._buffer, ""
        return text.lstrip() if self.after_thinking else text


def split_thinking(text: str) -> tuple[str, str]:
    """Return the thinking in a whole answer, and its text.

    All before a lone closing tag is thinking, unless the tag is quoted.
    """
    tags = ThinkTags()
    thinking, rest = map("".join, zip(tags.take(text), tags.end(), strict=True))
    if not thinking and (closing := _LONE_CLOSING.search(rest)):
        return rest[: closing.start()].strip(), rest[closing.end() :]
    return thinking, rest

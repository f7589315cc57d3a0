"""Writing an answer to stdout: as it comes, and ending in one newline."""

from __future__ import annotations

from typing import TextIO

__all__ = ["AnswerWriter", "without_controls"]

_CONTROLS = {c: None for c in (*range(32), *range(127, 160)) if chr(c) not in "\n\t"}
"""What a model must not send to a terminal: C0 and C1 controls (ECMA-48) but newline and tab."""


def without_controls(text: str) -> str:
    """Return ``text`` without what could drive a terminal."""
    return text.translate(_CONTROLS)


class AnswerWriter:
    """Writes text to a stream as it comes, flushed; trailing newlines are held back until the end.

    On a terminal, control characters are dropped, so that no answer can drive it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._held = ""
        self._terminal = stream.isatty()
        self.wrote = False

    def write(self, text: str) -> None:
        """Write ``text`` and flush."""
        if self._terminal:
            text = without_controls(text)
        text = self._held + text
        body = text.rstrip("\n")
        self._held = text[len(body) :]
        if body:
            self.wrote = True
            self._stream.write(body)
            self._stream.flush()

    def close(self) -> None:
        """End the answer, if there is one, with one newline."""
        if self.wrote:
            self._stream.write("\n")
            self._stream.flush()

"""Text for people: control characters escaped, one line, the name that was meant."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["did_you_mean", "one_line", "printable"]


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Return ``" (did you mean 'groq'?)"`` for the nearest of ``words``, or ``""``."""
    from difflib import get_close_matches  # costs milliseconds, and only a mistake needs it

    near = get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""


def printable(text: str) -> str:
    """Return ``text`` with control characters escaped, so that no file can drive a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    """Return ``text`` as :func:`printable` does, in one line: no value of a file forges another."""
    return printable(text).replace("\n", "\\n")

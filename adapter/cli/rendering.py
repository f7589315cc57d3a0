"""Markdown on a terminal, block by block as it comes; only here is rich imported."""

from __future__ import annotations

import re
from typing import Any

from adapter._install import install_extra
from adapter.cli.output import without_controls
from adapter.errors import ConfigError

__all__ = ["Blocks", "MarkdownWriter"]

# CommonMark 0.31, 4.5, but with any indentation: in a list, a fence stands as deep as its item
_FENCE = re.compile(r"[ \t]*(?P<fence>`{3,}|~{3,})(?P<info>.*)")


class Blocks:
    """Cuts Markdown that comes in pieces into blocks: a paragraph, a list item, a code block.

    A block ends at a blank line outside of a fenced code block, when what follows it begins at the
    margin. Where the pieces were cut makes no difference. Each line is looked at once.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._open = ""
        self._fence = ""
        self._after_blank = False

    def take(self, text: str) -> list[str]:
        """Return the blocks that ``text`` completes."""
        done: list[str] = []
        *lines, rest = text.split("\n") if "\n" in text else [text]
        for line in lines:
            self._begin(self._open + line, done)
            self._end_line(self._open + line)
            self._open = ""
        self._open += rest
        self._begin(self._open, done)
        return done

    def end(self) -> list[str]:
        """Return what is left, as one block or none."""
        left = "\n".join([*self._lines, self._open])
        self._lines, self._open, self._fence, self._after_blank = [], "", "", False
        return [left] if left.strip() else []

    def _begin(self, line: str, done: list[str]) -> None:
        """End the block before ``line``, or before its beginning, if a new one begins there."""
        if self._after_blank and line and not line[0].isspace():
            done.append("\n".join(self._lines))
            self._lines = []
            self._after_blank = False

    def _end_line(self, line: str) -> None:
        self._after_blank = bool(self._lines) and not self._fence and not line.strip()
        if self._lines or line.strip():
            self._lines.append(line)
        match = _FENCE.fullmatch(line)
        if match is None:
            return
        fence, info = match["fence"], match["info"].strip()
        if self._fence:
            if fence.startswith(self._fence) and not info:
                self._fence = ""
        elif fence[0] == "~" or "`" not in info:
            self._fence = fence


class MarkdownWriter:
    """Prints each block once, when all of it is there, with a blank line between two.

    What is printed is never drawn again, so nothing flickers and the scrollback stays whole.
    Control characters are dropped and links show where they lead, so that no answer can drive the
    terminal or hide an address. Raises :class:`ConfigError` when rich is not installed.
    """

    def __init__(self) -> None:
        try:
            from rich.console import Console
        except ImportError:
            raise ConfigError(f"--render needs rich. Run: {install_extra('render')}") from None
        self._console = Console()
        self._blocks = Blocks()
        self.wrote = False

    def write(self, text: str) -> None:
        """Take ``text``, and print the blocks that it completes."""
        for block in self._blocks.take(without_controls(text)):
            self._print(block)

    def close(self) -> None:
        """Print what is left."""
        for block in self._blocks.end():
            self._print(block)

    def _print(self, block: str) -> None:
        from rich.markdown import Markdown
        from rich.segment import SegmentLines

        lines = self._console.render_lines(Markdown(block, hyperlinks=False), pad=False)
        # some blocks bring blank lines of their own, which would add up with those in between
        while lines and _is_blank(lines[0]):
            del lines[0]
        while lines and _is_blank(lines[-1]):
            del lines[-1]
        if not lines:
            return
        if self.wrote:
            self._console.print()
        self.wrote = True
        self._console.print(SegmentLines(lines, new_lines=True), end="")


def _is_blank(line: list[Any]) -> bool:
    return not any(part.text.strip() or (part.style and part.style.bgcolor) for part in line)

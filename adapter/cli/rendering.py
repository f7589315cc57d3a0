"""Markdown on a terminal, block by block as it comes; only here is rich imported."""

from __future__ import annotations

import re

from adapter.cli.output import without_controls
from adapter.errors import ConfigError

__all__ = ["MarkdownWriter"]

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


class MarkdownWriter:
    """Prints each block (a paragraph, a list, a code block) once, when all of it is there.

    What is printed is never drawn again, so nothing flickers and the scrollback stays whole.
    Control characters are dropped, so that no answer can drive the terminal. Raises
    :class:`ConfigError` when rich is not installed.
    """

    def __init__(self) -> None:
        try:
            from rich.console import Console
        except ImportError:
            raise ConfigError(
                '--render needs rich. Run: pip install "gptme-litellm[render]"'
            ) from None
        self._console = Console()
        self._held = ""
        self.wrote = False

    def write(self, text: str) -> None:
        """Take ``text``, and print the blocks that it completes."""
        self._held += without_controls(text)
        end = _end_of_blocks(self._held)
        self._print(self._held[:end])
        self._held = self._held[end:]

    def close(self) -> None:
        """Print what is left."""
        self._print(self._held)
        self._held = ""

    def _print(self, block: str) -> None:
        if block.strip():
            from rich.markdown import Markdown

            self.wrote = True
            self._console.print(Markdown(block))


def _end_of_blocks(text: str) -> int:
    """Return where the last whole block ends: at a blank line outside a fenced code block."""
    end = position = 0
    fence = ""
    for line in text.splitlines(keepends=True):
        position += len(line)
        found = _FENCE.match(line)
        if found and not fence:
            fence = found[1]
        elif found and found[1].startswith(fence) and not line.strip(" `~\r\n"):
            fence = ""
        if not fence and line.endswith("\n") and not line.strip():
            end = position
    return end

"""Markdown on a terminal, drawn by rich while it comes; only here is rich imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapter._install import install_extra
from adapter.cli.output import without_controls
from adapter.errors import ConfigError

if TYPE_CHECKING:
    from rich.markdown import Markdown

__all__ = ["MarkdownWriter"]

STYLES = {
    **dict.fromkeys(("block_quote", "h5", "h6", "h7"), "italic"),
    **dict.fromkeys(
        ("h1", "h3", "h4", "item.bullet", "item.number", "kbd", "table.header"), "bold"
    ),
    **dict.fromkeys(("hr", "list", "table.border"), "none"),
    **dict.fromkeys(("h2", "link", "link_url"), "underline"),
}
"""rich's own are yellow, cyan, blue or dim, which a light or a dark terminal hardly shows.

Code has a background of its own.
"""


class MarkdownWriter:
    """Draws an answer four times a second while it comes, and the whole of it at the end.

    What does not fit on the screen is shown when all of it is there. Control characters are
    dropped and links show where they lead, so that no answer can drive the terminal or hide an
    address. Raises :class:`ConfigError` when rich is not installed.
    """

    def __init__(self) -> None:
        try:
            from rich.console import Console
            from rich.live import Live
            from rich.theme import Theme
        except ImportError:
            raise ConfigError(f"--render needs rich. Run: {install_extra('render')}") from None
        self._pieces: list[str] = []
        theme = Theme({f"markdown.{name}": style for name, style in STYLES.items()})
        self._live = Live(
            console=Console(theme=theme),
            get_renderable=self._markdown,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self.wrote = False

    def write(self, text: str) -> None:
        """Take ``text``, to be drawn with all that came before it."""
        self._pieces.append(without_controls(text))
        if not self.wrote and self._pieces[-1].strip():
            self.wrote = True
            self._live.start()
            self._live.console.show_cursor()  # a process that is killed does not bring it back

    def close(self) -> None:
        """Draw all of it, once and for the scrollback."""
        self._live.stop()

    def _markdown(self) -> Markdown:
        from rich.markdown import Markdown

        return Markdown("".join(self._pieces), hyperlinks=False)

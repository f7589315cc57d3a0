"""What is printed: an answer as it comes, Markdown drawn by rich, JSON, diffs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

import click

from adapter._text import printable
from adapter.errors import ConfigError

if TYPE_CHECKING:
    from rich.markdown import Markdown

__all__ = [
    "AnswerWriter",
    "DimWriter",
    "MarkdownWriter",
    "diff_text",
    "fit",
    "json_text",
    "report_diffs",
    "without_controls",
]

_CONTROLS = {
    **{c: None for c in (*range(32), *range(127, 160)) if chr(c) not in "\n\t"},
    **{c: f"\\u{c:04x}" for c in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))},
}
"""What a model must not send to a terminal: C0 and C1 controls (ECMA-48) but newline and tab are
left out; what turns the direction of text (Unicode, UAX 9, 2.1 to 2.5), so that it reads as
another, is shown as a symbol."""


def without_controls(text: str) -> str:
    """Return ``text`` without what could drive a terminal or turn text around."""
    return text.translate(_CONTROLS)


def fit(text: str, cells: int) -> str:
    """Return as much of ``text`` as a terminal shows in ``cells`` columns."""
    from unicodedata import east_asian_width

    used = 0
    for index, char in enumerate(text):
        used += 2 if east_asian_width(char) in "WF" else 1
        if used > cells:
            return text[:index]
    return text


_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\ud800-\udfff]")
"""What json.dumps leaves alone: C1 controls, and halves of characters, which no stream takes."""


def json_text(value: Any) -> str:
    """Return ``value`` as JSON to read, with nothing in it that could drive a terminal.

    Nothing is lost: what is unsafe is escaped as JSON does it.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)  # TOML has dates
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def diff_text(diff: str) -> str:
    """Return a diff to print: nothing in it drives a terminal, and its tabs are kept."""
    return "\t".join(printable(part) for part in diff.split("\t"))


def report_diffs(diffs: Mapping[str, str], dry_run: bool, unchanged: str = "") -> None:
    """Print the diffs of a dry run; else name on stderr the files that were written.

    ``unchanged`` is what to say of the others.
    """
    for path, diff in diffs.items():
        if dry_run:
            click.echo(diff_text(diff), nl=False)
        elif state := "wrote" if diff else unchanged:
            click.echo(f"{state} {click.format_filename(path)}", err=True)


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


class DimWriter:
    """Writes lines to a terminal, dimmed where it can do so (ECMA-48, SGR 2), as they come."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._form = "{}" if os.environ.get("TERM") == "dumb" else "\x1b[2m{}\x1b[22m"
        self._is_open = False

    def write(self, text: str) -> None:
        """Write ``text`` without what could drive the terminal."""
        self._is_open = True
        self._stream.write(self._form.format(without_controls(text)))
        self._stream.flush()

    def close(self) -> None:
        """End the line, where one was begun."""
        if self._is_open:
            self._is_open = False
            self._stream.write("\n")
            self._stream.flush()


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
            from adapter._install import install_extra

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

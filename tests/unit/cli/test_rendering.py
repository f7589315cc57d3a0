"""Markdown on a terminal: what is drawn, and what is not let through."""

from __future__ import annotations

import os
import re

import pytest
from rich.ansi import AnsiDecoder
from rich.color import Color
from rich.style import Style

from adapter.cli.output import MarkdownWriter
from tests.command import is_readable, read_terminal, terminal

CODES = re.compile(r"\x1b\[([\d;]*m|\?25[hl]|2K|1A)|\r")
"""What rich sends besides text: colours, the cursor, and what draws a line once more."""


def printed(monkeypatch: pytest.MonkeyPatch, *pieces: str) -> str:
    """Return what the pieces of an answer send to a terminal of 60 columns."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    with terminal() as (user, program):
        with os.fdopen(os.dup(program), "w", encoding="utf-8") as stream:
            monkeypatch.setattr("sys.stdout", stream)
            writer = MarkdownWriter()
            for piece in pieces:
                writer.write(piece)
            writer.close()
        return read_terminal(user, program).decode().replace("\r\n", "\n")


def words(text: str) -> list[str]:
    """Return the lines of what was printed, without colours and padding."""
    return [line.strip() for line in CODES.sub("", text).splitlines()]


def test_an_answer_is_drawn_while_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    with terminal() as (user, program), os.fdopen(os.dup(program), "w") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        writer = MarkdownWriter()
        writer.write("**first**")
        shown = b""
        while b"first" not in shown:
            assert is_readable(user), f"only {shown!r} came"
            shown += os.read(user, 65536)
        writer.write(" and more")
        writer.close()
        assert b" and more" in read_terminal(user, program)


def test_nothing_is_drawn_of_an_answer_without_words(monkeypatch: pytest.MonkeyPatch) -> None:
    assert printed(monkeypatch, "", "\n") == ""


def test_all_of_an_answer_that_is_longer_than_the_screen_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LINES", "10")
    lines = [f"line {number}" for number in range(100)]
    shown = words(printed(monkeypatch, *(f"{line}\n\n" for line in lines)))
    assert [line for line in shown if line] == lines


def test_code_within_a_list_is_code(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = printed(monkeypatch, "1. Do:\n\n    ```sh\n    first\n\n    second\n    ```\n")
    assert "first" in words(shown)
    assert "```" not in shown


@pytest.mark.parametrize(
    "evil",
    [
        "\x1b[2J",
        "\x1b]0;title\x07",
        "\x9b2J",
        "&#27;[2J",
        "&#x9b;2J",
        "&#13;over",
        "`\x1b[2J`",
        "```\n\x1b[2J\n```",
        "[a](http://x/\x1b[2J)",
        "![\x1b[2J](http://x/)",
        "\u202e",
        "`\u2066`",
    ],
)
def test_no_answer_drives_the_terminal(monkeypatch: pytest.MonkeyPatch, evil: str) -> None:
    shown = printed(monkeypatch, f"text {evil} text")
    left = CODES.sub("", shown)
    assert not [c for c in left if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160)]
    assert not {"\u202e", "\u2066"} & {*left}


def test_a_link_shows_where_it_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = printed(monkeypatch, "[your bank](http://elsewhere.example/)")
    assert words(shown) == ["your bank (http://elsewhere.example/)"]


EVERYTHING = """\
# one
## two
### three
#### four
##### five
###### six

A paragraph with *this*, **that**, `code` and [a link](https://example.com/x).

- one
  1. two

> quoted

---

| a | b |
| - | - |
| 1 | 2 |

```python
# a comment
def f(x: int = 3) -> str: return "text"
```
"""


def test_it_is_readable_on_light_and_on_dark(monkeypatch: pytest.MonkeyPatch) -> None:
    """A colour stands on a background of its own, with enough contrast (WCAG 2.2, 1.4.11)."""
    coloured = 0
    for line in AnsiDecoder().decode(printed(monkeypatch, EVERYTHING)):
        for span in line.spans:
            style = span.style
            assert isinstance(style, Style)
            assert not style.dim
            if style.color is not None and line.plain[span.start : span.end].strip():
                assert style.bgcolor is not None, (line.plain, style)
                assert contrast(style.color, style.bgcolor) >= 3, (line.plain, style)
                coloured += 1
    assert coloured > 5


def contrast(one: Color, other: Color) -> float:
    """Return the ratio of two colours' luminances (WCAG 2.2, "contrast ratio")."""
    light = [
        sum(
            share * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
            for share, c in zip(
                (0.2126, 0.7152, 0.0722), colour.get_truecolor().normalized, strict=True
            )
        )
        for colour in (one, other)
    ]
    return (max(light) + 0.05) / (min(light) + 0.05)

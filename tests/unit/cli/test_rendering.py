"""Markdown on a terminal: where blocks end, what is printed, and what is not let through."""

from __future__ import annotations

import os
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.cli.rendering import Blocks, MarkdownWriter
from tests.command import read_terminal, terminal

LINES = st.lists(
    st.sampled_from(
        ["a", "", " ", "```", "```py", "````", "~~~", "  ```", "- x", "    y", "```a` b", "# h"]
    )
)


def blocks(*pieces: str) -> list[str]:
    """Return the blocks of an answer that comes in pieces."""
    cutter = Blocks()
    return [*(block for piece in pieces for block in cutter.take(piece)), *cutter.end()]


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
    return [line.strip() for line in re.sub(r"\x1b\[[\d;]*m", "", text).splitlines()]


@given(LINES, st.integers(1, 9))
def test_how_an_answer_was_cut_does_not_show(lines: list[str], size: int) -> None:
    text = "\n".join(lines)
    cut = [text[start : start + size] for start in range(0, len(text), size)]
    assert blocks(*cut) == blocks(text)


@given(LINES)
def test_nothing_is_lost(lines: list[str]) -> None:
    text = "\n".join(lines)
    found = "\n".join(blocks(text))
    assert [x for x in found.split("\n") if x.strip()] == [x for x in lines if x.strip()]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("a\n\nb\n", 2),
        ("a\nb\n", 1),
        ("\n\na\n\n\n\nb\n\n", 2),
        ("```\na\n\nb\n```\n\nc", 2),
        ("````\n```\n\nb\n````\n\nc", 2),
        ("~~~\n```\n\n~~~\n\nc", 2),
        ("```inline``` text\n\nb", 2),
        ("1. a\n\n    ```sh\n    x\n\n    y\n    ```\n\n2. b", 2),
        ("- a\n\n  more\n\n- b\n", 2),
        ("```\nopen\n\nto the end", 1),
        ("", 0),
        ("\n \n", 0),
    ],
)
def test_where_blocks_end(text: str, count: int) -> None:
    assert len(blocks(text)) == count


def test_a_block_comes_as_soon_as_the_next_one_begins() -> None:
    cutter = Blocks()
    assert cutter.take("one\n\n") == []
    assert cutter.take("t") == ["one\n"]


def test_one_blank_line_stands_between_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = printed(monkeypatch, "one\n\ntw", "o\n\n- item\n\n", "three")
    assert words(shown) == ["one", "", "two", "", "• item", "", "three"]


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
    ],
)
def test_no_answer_drives_the_terminal(monkeypatch: pytest.MonkeyPatch, evil: str) -> None:
    shown = printed(monkeypatch, f"text {evil} text")
    left = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert not [c for c in left if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160)]


def test_a_link_shows_where_it_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = printed(monkeypatch, "[your bank](http://elsewhere.example/)")
    assert words(shown) == ["your bank (http://elsewhere.example/)"]


def test_a_long_block_takes_no_longer_for_each_piece() -> None:
    text = "```\n" + "x = 1  # some line of code\n" * 8000
    started = time.process_time()
    blocks(*(text[start : start + 4] for start in range(0, len(text), 4)))
    assert time.process_time() - started < 5

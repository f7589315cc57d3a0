"""The answer on stdout: one newline at its end, and nothing that drives a terminal."""

from __future__ import annotations

import io
import os
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.cli.output import AnswerWriter
from tests.command import read_terminal, terminal

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def written(*pieces: str) -> str:
    """Return what the pieces of an answer become in a pipe."""
    stream = io.StringIO(newline="")
    writer = AnswerWriter(stream)
    for piece in pieces:
        writer.write(piece)
    writer.close()
    return stream.getvalue()


def shown(text: str) -> bytes:
    """Return what an answer sends to a terminal, which turns ``\\n`` into ``\\r\\n``."""
    with terminal() as (user, program):
        with os.fdopen(os.dup(program), "w", encoding="utf-8", newline="") as stream:
            writer = AnswerWriter(stream)
            writer.write(text)
            writer.close()
        return read_terminal(user, program)


@given(TEXTS)
def test_an_answer_ends_in_exactly_one_newline(text: str) -> None:
    body = text.rstrip("\n")

    assert written(text) == (body + "\n" if body else "")


@given(TEXTS, st.lists(st.integers(min_value=0, max_value=50)))
def test_how_an_answer_was_cut_into_pieces_does_not_show(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]

    assert written(*(text[a:b] for a, b in pairwise(places))) == written(text)


@pytest.mark.parametrize("pieces", [[], [""], ["", ""], ["\n"], ["\n", "\n\n"]])
def test_what_holds_nothing_is_no_answer(pieces: list[str]) -> None:
    stream = io.StringIO(newline="")
    writer = AnswerWriter(stream)
    for piece in pieces:
        writer.write(piece)
    writer.close()

    assert not writer.wrote
    assert stream.getvalue() == ""


def test_each_piece_is_flushed_before_the_next_one_comes() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", newline="")
    writer = AnswerWriter(stream)

    seen = []
    for piece in ("One ", "two", "\n", "\nthree\n"):
        writer.write(piece)
        seen.append(raw.getvalue())
    writer.close()

    assert seen == [b"One ", b"One two", b"One two", b"One two\n\nthree"]
    assert raw.getvalue() == b"One two\n\nthree\n"


CONTROLS = "".join(map(chr, (*range(9), *range(11, 32), *range(127, 160))))


def test_a_pipe_gets_control_characters_as_they_are() -> None:
    assert written(f"a{CONTROLS}b") == f"a{CONTROLS}b\n"


def test_a_terminal_gets_no_control_character_but_newline_and_tab() -> None:
    assert shown(f"\x1b[31mré\tsumé{CONTROLS}\n\x1b]0;title\x07end") == (
        "[31mré\tsumé\r\n]0;titleend\r\n".encode()
    )


BIDI = "".join(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))


def test_what_turns_text_around_is_a_symbol_on_a_terminal_and_itself_in_a_pipe() -> None:
    """As in "Trojan Source" (CVE-2021-42574)."""
    assert written(f"a{BIDI}b") == f"a{BIDI}b\n"
    symbols = "".join(f"\\u{ord(c):04x}" for c in BIDI)
    assert shown(f"a{BIDI}b\u200fc") == f"a{symbols}b\u200fc\r\n".encode()


def test_an_answer_of_control_characters_only_is_none_on_a_terminal() -> None:
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]  # no terminal sees it
    writer = AnswerWriter(stream)
    writer.write("\x1b\x07")
    writer.close()

    assert not writer.wrote
    assert stream.getvalue() == ""

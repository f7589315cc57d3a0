"""Known secrets are taken out of text and bytes, in whatever form and pieces they come."""

from __future__ import annotations

import json
from itertools import pairwise
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.secrets.scrubber import SHORTEST, ScrubbedBytes, Scrubber

SECRET = "canary-0123456789"
ODD = 'cänary/"quoted"+0123456789'


def fed(scrubber: Scrubber, *pieces: bytes) -> list[bytes]:
    """Return what is passed on of each piece."""
    stream = ScrubbedBytes(scrubber)
    *first, last = pieces
    return [*map(stream.feed, first), stream.feed(last, last=True)]


@pytest.mark.parametrize(
    "form",
    [ODD, json.dumps(ODD)[1:-1], json.dumps(ODD, ensure_ascii=False)[1:-1], quote(ODD, safe="")],
)
def test_a_secret_is_found_in_each_form(form: str) -> None:
    scrubber = Scrubber([ODD])

    assert scrubber.text(f"é {form}\n") == "é ***\n"
    assert scrubber.data(b"\xff" + form.encode() + b"\xe9") == b"\xff***\xe9"


def test_what_may_be_a_word_stays() -> None:
    scrubber = Scrubber(["a" * SHORTEST, "b" * (SHORTEST - 1)])

    assert scrubber.text("a" * SHORTEST + "b" * SHORTEST) == "***" + "b" * SHORTEST


def test_the_longest_of_two_secrets_counts() -> None:
    assert Scrubber([SECRET, SECRET + "-more"]).text(f"{SECRET}-more {SECRET}") == "*** ***"


def test_the_secrets_added_last_are_known() -> None:
    scrubber = Scrubber(["the-oldest-key", "added-again-later"], limit=100)
    for number in range(100):
        scrubber.add(f"filler-{number:06}")
        if number == 5:
            scrubber.add("added-again-later")

    assert scrubber.text("the-oldest-key added-again-later") == "the-oldest-key ***"


def test_what_holds_no_secret_is_the_same_object() -> None:
    text, data = "nothing here", b"nothing here"

    assert Scrubber([SECRET]).text(text) is text
    assert Scrubber([SECRET]).data(data) is data


@pytest.mark.parametrize("cut", range(1, len(SECRET)))
def test_what_has_begun_to_be_a_secret_waits_for_the_next_piece(cut: int) -> None:
    data = SECRET.encode()

    assert fed(Scrubber([SECRET]), b"a " + data[:cut], data[cut:] + b" b", b"c") == [
        b"a ",
        b"*** b",
        b"c",
    ]


def test_a_secret_that_is_added_later_is_waited_for_too() -> None:
    scrubber = Scrubber([SECRET])
    stream = ScrubbedBytes(scrubber)
    assert stream.feed(b"later-") == b"later-"
    scrubber.add("later-0123")

    assert stream.feed(b"later-") == b""
    assert stream.feed(b"0123", last=True) == b"***"


@given(
    st.lists(st.text(st.sampled_from('abé"/'), min_size=SHORTEST, max_size=12), max_size=4),
    st.text(st.sampled_from('abé"/ '), max_size=60),
    st.lists(st.integers(0, 120), max_size=6),
)
def test_pieces_hold_no_secret_however_they_are_cut(
    secrets: list[str], text: str, cuts: list[int]
) -> None:
    scrubber = Scrubber(secrets)
    data = text.encode()
    ends = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(ends)]

    shown = b"".join(fed(scrubber, *pieces))

    assert not any(secret.encode() in shown for secret in secrets)
    if not any(secret in text for secret in secrets):
        forms = {json.dumps(s)[1:-1] for s in secrets} | {quote(s, safe="") for s in secrets}
        assert shown == data or any(form in text for form in forms)

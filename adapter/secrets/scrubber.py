"""Remove known secrets from text and bytes: servers repeat keys, and libraries log them.

This process has one scrubber, which :func:`register` tells of each key that is read::

    key = register(key)             # a Secret; from now on
    scrub(f"invalid key {key}")     # "invalid key ***"

What has secrets of its own, as a gateway has, makes a :class:`Scrubber` of them::

    scrubber = Scrubber(secrets)
    scrubber.text(line), scrubber.data(body)
    stream = ScrubbedBytes(scrubber)            # one for each answer that is sent piece by piece
    stream.feed(piece), stream.feed(b"", last=True)
"""

from __future__ import annotations

import itertools
import json
import sys
from bisect import bisect_left
from collections.abc import Iterable
from operator import itemgetter
from urllib.parse import quote

from adapter.secrets.secret import MASK, Secret

__all__ = ["MOST", "SHORTEST", "ScrubbedBytes", "Scrubber", "register", "scrub"]

SHORTEST = 8
"""Shortest secret that is looked for, in characters: a shorter one may be a word of the text."""

MOST = 1000
"""How many keys this process knows; the one read longest ago is forgotten first."""


class Scrubber:
    """Replaces secrets by ``***``, in each form in which a text may hold them.

    The forms are the secret itself, within JSON, and within a URL. Of more than ``limit`` secrets
    the one added longest ago is forgotten first. No lock guards it: one could be
    asked for by the thread that holds it, where the garbage collector has something logged.
    """

    def __init__(self, secrets: Iterable[str] = (), limit: int = sys.maxsize) -> None:
        self._limit = limit
        self._added: dict[str, tuple[int, tuple[str, ...]]] = {}
        self._ticks = itertools.count()
        self._beginnings: tuple[list[bytes], frozenset[int], int] | None = None
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Look for ``secret`` from now on, unless it is too short to be told from a word."""
        if len(secret) < SHORTEST:
            return
        entry = self._added.get(secret)
        self._added[secret] = next(self._ticks), entry[1] if entry else _forms(secret)
        if entry is None:
            self._beginnings = None
        if len(self._added) > self._limit:
            latest = sorted(self._added.items(), key=itemgetter(1), reverse=True)
            for oldest, _ in latest[self._limit :]:
                self._added.pop(oldest, None)

    def text(self, text: str) -> str:
        """Return ``text`` without the secrets, the same object where it holds none."""
        entries = tuple(self._added.values())
        present = {form for _, forms in entries for form in forms if form in text}
        for form in sorted(present, key=len, reverse=True):
            text = text.replace(form, MASK)
        return text

    def data(self, data: bytes) -> bytes:
        """Return ``data`` without the secrets; it may be of any encoding, or none."""
        text = data.decode("utf-8", "surrogateescape")
        scrubbed = self.text(text)
        return data if scrubbed is text else scrubbed.encode("utf-8", "surrogateescape")

    def unfinished(self, data: bytes) -> int:
        """Return how many bytes at the end of ``data`` may be the beginning of a secret."""
        beginnings = self._beginnings
        if beginnings is None:
            entries = tuple(self._added.values())
            forms = sorted({form.encode() for _, forms in entries for form in forms})
            firsts = frozenset(form[0] for form in forms)
            beginnings = self._beginnings = forms, firsts, max(map(len, forms), default=1) - 1
        forms, firsts, longest = beginnings
        for start in range(max(0, len(data) - longest), len(data)):
            if data[start] in firsts:
                at = bisect_left(forms, data[start:])
                if at < len(forms) and forms[at].startswith(data[start:]):
                    return len(data) - start
        return 0


def _forms(secret: str) -> tuple[str, ...]:
    within_json = (json.dumps(secret, ensure_ascii=ascii)[1:-1] for ascii in (True, False))
    return tuple({secret, *within_json, quote(secret, safe="")})


class ScrubbedBytes:
    """Scrubs bytes that arrive in pieces; what may be a secret's beginning waits for the next."""

    def __init__(self, scrubber: Scrubber) -> None:
        self._scrubber = scrubber
        self._waiting = b""

    def feed(self, piece: bytes, *, last: bool = False) -> bytes:
        """Return what can be passed on, now that ``piece`` is here."""
        data = self._scrubber.data(self._waiting + piece)
        end = len(data) - (0 if last else self._scrubber.unfinished(data))
        self._waiting = data[end:]
        return data[:end]


_process = Scrubber(limit=MOST)


def register(secret: str) -> Secret:
    """Return ``secret`` as a :class:`Secret`; :func:`scrub` removes it from texts from now on."""
    _process.add(secret)
    return secret if isinstance(secret, Secret) else Secret(secret)


def scrub(text: str) -> str:
    """Return ``text`` with ``***`` for each key read in this process."""
    return _process.text(text)

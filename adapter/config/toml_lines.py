"""The lines that keys and tables of a TOML text stand on, which no parser tells.

All are looked for at once: a file may have thousands of problems, each with its line.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice

__all__ = ["bare", "places"]

LONGEST_LINE = 300
MOST_PARTS = 12
"""Within which a key is found, in characters of a line and parts of a dotted key."""


@lru_cache(maxsize=4)
def places(text: str) -> dict[tuple[int | str, str], int]:
    """Return the line, from 1, that each key stands on first.

    A key of the result is a place and a name: the number of a provider and a key in it, or ``""``
    for its header; ``[`` and a table's name; ``=`` and what is given a value; ``""`` and any of
    these names. Lines are an editor's: ``splitlines`` also splits at U+2028 and others.
    """
    found: dict[tuple[int | str, str], int] = {}
    heads, inside = 0, -1
    for number, line in enumerate(text.split("\n"), 1):
        start = line[:LONGEST_LINE].lstrip()
        if start.startswith("#"):
            continue
        header = start.startswith("[")
        if header:
            inside = -1
            if re.match(r"\[\[\s*providers\s*\]\]", start):
                found[heads, ""] = number
                inside, heads = heads, heads + 1
        for end in islice(re.finditer(r"[\]=.]", start), MOST_PARTS):
            name = bare(start[: end.start()].lstrip("["))
            kinds = ("[",) if header else (inside, "=") if end[0] == "=" else (inside,)
            for kind in ("", *kinds):
                found.setdefault((kind, name), number)
    return found


def bare(name: str) -> str:
    """Return a key without quotes and spaces, as :func:`places` has it."""
    return re.sub(r"[\s\"']", "", name)

"""Write the table of docs/reliability.md, from the same data as the test that runs its rows.

Usage: python docs/generate_reliability.py. A test compares the file with what this makes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))


from tests.faults import FAULTS, STREAM, Fault

PAGE = Path(__file__).with_name("reliability.md")
MARK = "<!-- the table: made by docs/generate_reliability.py -->\n"
TITLES = ("fault", "Python", "command line", "gateway", "requests", "bound")


def row(fault: Fault) -> tuple[str, ...]:
    """Return the cells of one fault."""
    only = "" if len(fault.modes) > 1 else "streamed" if STREAM in fault.modes else "not streamed"
    told = "stream" in fault.name
    name = fault.name if told or not only else f"{fault.name}, {only}"
    partial = fault.out if fault.error else ""
    python = f"`{fault.error}`, {fault.status}" if fault.error else "no error"
    python += f", after `{partial}`" if partial else ""
    python += f"; {fault.note}" if fault.note else ""
    said = fault.says.removeprefix("):").strip()
    command = f"{fault.code}: {said}" if fault.code else "0: the answer"
    command += f"; `{partial}` stays" if partial else ""
    requests = f"{fault.requests}"
    if fault.retried:
        requests += "; Python 3" if fault.requests else ", of 1 attempt; Python 3"
    bound = f"{fault.bound} s" + (f", limit {fault.limit:g} s" if fault.limit < 30 else "")
    return name, python, command, fault.client, requests, bound


def lines() -> Iterator[str]:
    """Yield the table's lines."""
    yield from (f"| {' | '.join(cells)} |" for cells in (TITLES, ["---"] * len(TITLES)))
    for fault in FAULTS.values():
        yield f"| {' | '.join(cell.replace('<', '&lt;') for cell in row(fault))} |"


def text(page: str) -> str:
    """Return the page with its table as it is to be."""
    before, _, rest = page.partition(MARK)
    _, _, after = rest.partition(MARK)
    return before + MARK + "\n" + "\n".join(lines()) + "\n\n" + MARK + after


if __name__ == "__main__":
    PAGE.write_text(text(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

"""The page of frameworks has the table of ``make frameworks``, whole and without a fault."""

from __future__ import annotations

from adapter.programs.run import KNOWN
from tests.command import ROOT
from tests.frameworks.__main__ import MODES, NODE, ROWS
from tests.pages import DOCS, table


def test_the_table_has_every_row_and_no_fault() -> None:
    rows = table("frameworks.md", "| framework or program |")
    assert [(row[0], row[2]) for row in rows] == [(r.name, MODES[r.mode]) for r in ROWS]
    for shown, row in zip(rows, ROWS, strict=True):
        assert [cell == "" for cell in shown[3:]].count(True) == len(row.without), row.name
        assert {*shown[3:]} <= {"yes", ""}


def test_every_environment_is_locked() -> None:
    locked = {path.stem for path in (ROOT / "requirements" / "frameworks").glob("*.txt")}
    assert locked == {row.home for row in ROWS} - {"node"}
    assert {row.name for row in ROWS if row.home == "node"} == set(NODE)


def test_every_known_program_was_tried_and_is_on_the_page() -> None:
    text = (DOCS / "frameworks.md").read_text(encoding="utf-8")
    for name in KNOWN:
        assert f"adapter run -m groq -- {name}" in text
        assert name in {row.name for row in ROWS if row.mode == "run"}

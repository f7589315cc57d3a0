"""The page of frameworks has the table of ``make frameworks``, whole and without a fault."""

from __future__ import annotations

import json

from adapter.programs.run import KNOWN
from tests.command import ROOT
from tests.frameworks.rows import ASPECTS, MODES, ROWS
from tests.pages import DOCS, table


def test_the_table_has_every_row_and_no_fault() -> None:
    rows = table("frameworks.md", "| framework or program |")
    assert [(row[0], row[2]) for row in rows] == [(r.name, MODES[r.mode]) for r in ROWS]
    for shown, row in zip(rows, ROWS, strict=True):
        assert shown[3:] == [row.without.get(aspect, "yes") for aspect in ASPECTS], row.name


def test_every_environment_is_locked_with_hashes() -> None:
    folder = ROOT / "requirements" / "frameworks"
    locks = {path.stem: path for path in folder.glob("*.txt")}
    locks |= {path.parent.name: path for path in folder.glob("*/package-lock.json")}
    assert locks.keys() == {row.home for row in ROWS} | {"proxy"}
    for name, path in locks.items():
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".txt":
            lines = [line for line in text.splitlines() if line[0] not in "# "]
            assert all("==" in line and line.endswith("\\") for line in lines), name
        else:
            packages = json.loads(text)["packages"]
            assert all("integrity" in package for key, package in packages.items() if key), name


def test_every_known_program_was_tried_and_is_on_the_page() -> None:
    text = (DOCS / "frameworks.md").read_text(encoding="utf-8")
    for name in KNOWN:
        assert f"adapter run -m groq -- {name}" in text
        assert name in {row.name for row in ROWS if row.mode == "run"}

"""From results.json to docs: the tables of docs/performance.md and the plots in docs/assets/."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from typing import Any

from benchmarks.measuring import ROOT
from benchmarks.tables import tables

__all__ = ["ASSETS", "PAGE", "RESULTS", "fill", "main", "read"]

RESULTS = ROOT / "benchmarks/results.json"
PAGE = ROOT / "docs/performance.md"
ASSETS = ROOT / "docs/assets"


def read() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return found


def fill(page: str, texts: Mapping[str, str]) -> str:
    """Return ``page`` with each text between its markers; each must have its place."""
    for name, text in texts.items():
        start, end = f"<!-- start: {name} -->", f"<!-- end: {name} -->"
        new = f"{start}\n{text}\n{end}".replace("\\", r"\\")
        page, count = re.subn(f"{start}.*?{end}", new, page, flags=re.DOTALL)
        if count != 1:
            raise SystemExit(f"{PAGE.name} has {count} places for {name}")
    return page


def main(arguments: list[str] | None = None) -> None:
    argparse.ArgumentParser(description=(__doc__ or "").strip()).parse_args(arguments)
    from benchmarks.plots import draw

    results = read()
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(fill(page, tables(results)), encoding="utf-8")
    draw(results, ASSETS)


if __name__ == "__main__":
    main()

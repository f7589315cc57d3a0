"""The pictures of a terminal in docs/assets are what the command shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.command import PATIENCE, ROOT


def test_the_pictures_are_those_of_the_command(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    script = ROOT / "docs" / "record.py"
    subprocess.run([sys.executable, str(script), str(made)], check=True, timeout=PATIENCE)

    pictures = sorted(made.iterdir())
    assert [path.name for path in pictures] == ["one-shot.svg", "providers-test.svg"]
    for path in pictures:
        text = path.read_text(encoding="utf-8")
        committed = ROOT / "docs" / "assets" / path.name
        assert committed.read_text(encoding="utf-8") == text, "run: python docs/record.py"
        assert "@font-face" not in text
        assert "url(http" not in text

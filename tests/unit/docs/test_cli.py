"""docs/cli.md says what the commands say."""

from __future__ import annotations

import importlib.util

from tests.command import ROOT


def test_the_reference_is_the_help_of_every_command() -> None:
    path = ROOT / "docs" / "generate_cli.py"
    spec = importlib.util.spec_from_file_location("generate_cli", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == module.text(), "run: python docs/generate_cli.py"

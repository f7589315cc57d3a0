"""Check tests/typing/ and README's Python with pyright, README's with mypy too (`make types`).

Run as ``python -m tests.typing.check``. mypy checks tests/typing/ where it checks everything.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.snippets import blocks_of

ROOT = Path(__file__).parents[2]
PYRIGHT = (sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "--level", "error")
MYPY = (sys.executable, "-m", "mypy", "--config-file", "pyproject.toml")


def main() -> int:
    """Run the checkers and return 0 where all is right; what they say is printed."""
    blocks = [block.text for block in blocks_of(ROOT / "README.md") if block.language == "python"]
    assert blocks, "README.md has no Python"
    with TemporaryDirectory() as folder:
        snippets = []
        for number, text in enumerate(blocks, start=1):
            snippets.append(Path(folder) / f"readme_{number}.py")
            snippets[-1].write_text(text, encoding="utf-8")
        files = [*map(str, snippets)]
        commands = [[*PYRIGHT], [*PYRIGHT, *files], [*MYPY, *files]]
        return max(
            subprocess.run(command, cwd=ROOT, check=False).returncode for command in commands
        )


if __name__ == "__main__":
    sys.exit(main())

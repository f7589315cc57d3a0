"""Pages of the site that stand elsewhere in the repository; MkDocs calls ``on_files``."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]

AT_THE_ROOT = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
"""Page -> the file that it is. Its links begin with docs/, where the site's pages begin."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are files at the root."""
    for page, source in AT_THE_ROOT.items():
        text = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    return files

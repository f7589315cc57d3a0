"""What a package index shows of this project: README.md, with links that lead somewhere there.

Hatchling calls it for each build. ``REPOSITORY_URL`` is where the source is published, such as
``https://github.com/OWNER/NAME``; without it links stay as they are in the repository.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

__all__ = ["ReadmeHook", "absolute"]

LINK = re.compile(
    r"""(?P<before> \]\( | \b(?:src|srcset|href)=" )"""
    r"""(?! [a-z]+: | \# | /) (?P<path> [^)\s"\#]+ )""",
    re.VERBOSE,
)
"""A link or picture of Markdown or HTML whose address is a path in the repository."""

PICTURES = (".svg", ".png")


def absolute(text: str, repository: str, version: str) -> str:
    """Return Markdown with each path in the repository as its address at the tag of ``version``.

    Pictures are named as files (``raw``), anything else as the host's page about it (``blob``).
    """

    def address(link: re.Match[str]) -> str:
        kind = "raw" if link["path"].endswith(PICTURES) else "blob"
        return f"{link['before']}{repository.rstrip('/')}/{kind}/v{version}/{link['path']}"

    return LINK.sub(address, text)


class ReadmeHook(MetadataHookInterface):
    """Set the description, and the addresses of the project."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set ``readme`` and ``urls`` of ``[project]``."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        urls = dict(self.config["urls"])
        if repository := os.environ.get("REPOSITORY_URL", "").rstrip("/"):
            text = absolute(text, repository, metadata["version"])
            urls |= {"Source": repository, "Issues": f"{repository}/issues"}
            urls["Changelog"] = f"{repository}/blob/v{metadata['version']}/CHANGELOG.md"
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
        metadata["urls"] = urls

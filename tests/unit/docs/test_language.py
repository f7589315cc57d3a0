"""The language of the pages: short sentences, and snippets that do what their readers want."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.pages import DOCS, PAGES
from tests.snippets import blocks_of

MOST_WORDS = 30
"""In a sentence of README and of the guide; code in it counts as one word."""

_NO_PROSE = re.compile(
    r"^ *```.*?^ *```$|^\|[^\n]*$|<!--.*?-->|^#[^\n]*$|!\[[^\]]*\]\([^)]*\)",
    re.MULTILINE | re.DOTALL,
)
_CODE = re.compile(r"``[^`]+``|`[^`]+`")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_PARAGRAPH = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )")
_SENTENCE_END = re.compile(r"(?<=[.!?])[)\"]?\s+(?=\S)")
OFF_THE_NETWORK = re.compile(
    r'^os\.environ\["LITELLM_LOCAL_MODEL_COST_MAP"\] = "True"|^(\w+ = )?adapter\.install\(\)',
    re.MULTILINE,
)


def sentences(page: Path) -> Iterator[str]:
    """Yield the sentences of a page's prose, without headings, tables, blocks and pictures."""
    text = _NO_PROSE.sub("\n\n", page.read_text(encoding="utf-8"))
    text = _LINK.sub(r"\1", _CODE.sub("CODE", text))
    for paragraph in _PARAGRAPH.split(text):
        yield from filter(None, _SENTENCE_END.split(" ".join(paragraph.split())))


@pytest.mark.parametrize("page", ["README.md", "docs/guide.md"])
def test_no_sentence_is_long(page: str) -> None:
    found = list(sentences(ROOT / page))
    assert len(found) > 20
    assert [s for s in found if len(re.findall(r"\w[\w'./-]*", s)) > MOST_WORDS] == []


@pytest.mark.parametrize("page", ["../README.md", *PAGES])
def test_a_snippet_that_imports_litellm_keeps_it_off_the_network(page: str) -> None:
    """LiteLLM's import fetches a price map, unless a variable is set first, as install() does."""
    for block in blocks_of(DOCS / page):
        before, imports, _ = f"\n{block.text}".partition("\nimport litellm")
        if block.language == "python" and imports:
            assert OFF_THE_NETWORK.search(before), f"{page}: {block.text}"

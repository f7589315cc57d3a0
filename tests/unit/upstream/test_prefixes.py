"""The table of LiteLLM's prefixes by itself; the wire tests compare it with LiteLLM."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from adapter.upstream.prefixes import (
    COMPATIBLE_BASES,
    LOGINS,
    NOT_EXPRESSIBLE,
    OPENAI_COMPATIBLE,
    OpenAICompatible,
    is_litellm_model,
)

ROWS = [
    pytest.param(row, id=f"{row.prefix} {name}")
    for name, table in (("", OPENAI_COMPATIBLE), ("compatible", COMPATIBLE_BASES))
    for row in table.values()
]


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_well_formed(row: OpenAICompatible) -> None:
    assert re.fullmatch(r"[a-z0-9_-]+", row.prefix)
    for base in (row.base_url, *row.moved):
        assert base is None or re.fullmatch(r"https?://[^\s?#@]+[^/]", base)
        assert not (base or "").endswith("/chat/completions")
    for name in (*row.keys, *row.bases):
        assert re.fullmatch(r"[A-Z][A-Z0-9_]+", name)
    for pattern in (row.ids.get("pattern", ""), row.host, *(rule for rule, _ in row.before_id)):
        re.compile(pattern)
    assert row.suffix == "" or row.suffix[0] == "/"


@pytest.mark.parametrize("row", COMPATIBLE_BASES.values(), ids=lambda row: str(row.prefix))
def test_a_compatible_base_says_what_it_ignores(row: OpenAICompatible) -> None:
    assert row.ignores
    assert row.prefix in NOT_EXPRESSIBLE


def test_a_prefix_has_one_verdict() -> None:
    verdicts = [*OPENAI_COMPATIBLE, *NOT_EXPRESSIBLE, *LOGINS]
    assert len(verdicts) == len(set(verdicts))
    for table in (OPENAI_COMPATIBLE, NOT_EXPRESSIBLE):
        assert list(table) == sorted(table)


def test_rows_are_read_from_the_file() -> None:
    base, keys, bases = OPENAI_COMPATIBLE["groq"][1:4]
    assert base == "https://api.groq.com/openai/v1"
    assert (keys, bases) == (("GROQ_API_KEY",), ("GROQ_API_BASE",))
    assert OPENAI_COMPATIBLE["nano-gpt"].api_key_env == "NANOGPT_API_KEY"
    assert OPENAI_COMPATIBLE["mistral"].keys[0] == "MISTRAL_AZURE_API_KEY"
    assert OPENAI_COMPATIBLE["mistral"].api_key_env == "MISTRAL_API_KEY"
    assert OPENAI_COMPATIBLE["xinference"].api_key_env is None


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("groq/anything", True),
        ("anthropic", True),
        ("chatgpt/x", True),
        ("ft:gpt-4o:me", True),
        ("gpt-4o", True),
        ("gpt-4oh", False),
        ("nobody/x", False),
    ],
)
def test_whether_litellm_knows_a_model(model: str, known: bool) -> None:
    assert is_litellm_model(model) is known


def test_importing_the_table_imports_nothing_heavy() -> None:
    code = "import sys, adapter.upstream.prefixes; print('litellm' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert done.stdout == "False\n"

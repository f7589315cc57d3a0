"""The tables about LiteLLM's prefixes against the installed LiteLLM, whatever its version."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import pytest

from adapter.upstream.prefixes import (
    BASE_SUFFIX,
    KEY_ALTERNATIVES,
    KEY_OPTIONAL,
    MODEL_ID_PREFIXES,
    NOT_PLAIN_IDS,
    OPENAI_COMPATIBLE,
    TEXT_COMPLETION,
    OpenAICompatible,
)
from adapter.upstream.refused_prefixes import INSTEAD, NOT_EXPRESSIBLE, UNRESOLVED

TABLES: dict[str, Iterable[str]] = {
    "OPENAI_COMPATIBLE": OPENAI_COMPATIBLE,
    "TEXT_COMPLETION": TEXT_COMPLETION,
    "NOT_EXPRESSIBLE": NOT_EXPRESSIBLE,
    "UNRESOLVED": UNRESOLVED,
}
MOVED = {"crusoe": "https://managed-inference-api-proxy.crusoecloud.com/v1"}
"""Bases of LiteLLM before 1.109; the row has the newer one."""

ELSEWHERE = {
    "amazon_nova",
    "aiohttp_openai",
    "cometapi",
    "compactifai",
    "huggingface",
    "maritalk",
    "minimax",
    "openai",
    "openrouter",
    "ovhcloud",
}
"""Rows whose base and key LiteLLM knows in a handler only: the wire tests see those."""

JAMBA = "jamba-mini-1.7"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clear every variable that a row names."""
    for row in OPENAI_COMPATIBLE.values():
        for name in (row.api_key_env, row.api_base_env, *KEY_ALTERNATIVES.get(row.prefix, ())):
            if name:
                monkeypatch.delenv(name, raising=False)


def litellm_registry() -> dict[str, Any]:
    """LiteLLM's own JSON registry of OpenAI-like providers."""
    from litellm.llms.openai_like.json_loader import JSONProviderRegistry as Registry

    return {slug: Registry.get(slug) for slug in Registry.list_providers()}


def litellm_prefixes() -> set[str]:
    """Every prefix that the installed LiteLLM knows; resolves none of them."""
    import litellm

    listed = {str(getattr(p, "value", p)) for p in litellm.provider_list}
    return listed | set(litellm_registry()) | set(litellm.openai_compatible_providers)


def known_rows() -> list[OpenAICompatible]:
    """Our rows but for those of a LiteLLM newer than the installed one."""
    known = litellm_prefixes()
    return [row for row in OPENAI_COMPATIBLE.values() if row.prefix in known]


def resolve(prefix: str) -> tuple[str, str | None, str | None]:
    """Ask LiteLLM for the provider, key and base of a model under the prefix."""
    import litellm

    assert prefix not in UNRESOLVED  # it would start an OAuth login
    model = JAMBA if prefix == "ai21" else "org/model"
    _, provider, key, base = litellm.get_llm_provider(f"{prefix}/{model}")
    return str(provider), key, base.rstrip("/") if base else None


def test_no_prefix_of_litellm_is_missing_and_none_has_two_verdicts() -> None:
    verdicts = {
        prefix: [name for name, table in TABLES.items() if prefix in set(table)]
        for prefix in litellm_prefixes()
    }
    assert {prefix: names for prefix, names in verdicts.items() if len(names) != 1} == {}


def test_every_openai_like_provider_of_litellms_json_registry_has_its_row() -> None:
    ours = {}
    theirs = {}
    for slug, config in litellm_registry().items():
        row = OPENAI_COMPATIBLE.get(slug)
        base = config.base_url.rstrip("/")
        theirs[slug] = (
            row.base_url if row and base == MOVED.get(slug) else base,
            config.api_key_env,
            config.api_base_env,
        )
        ours[slug] = row and row[1:]
    assert len(theirs) >= 20
    assert ours == theirs


def test_litellm_resolves_every_prefix_to_our_base() -> None:
    rows = known_rows()
    assert len(rows) >= 90
    wrong = {}
    for row in rows:
        base = resolve(row.prefix)[2]
        if row.prefix == "gradient_ai":  # the handler adds the /v1
            base = f"{base}/v1"
        if base != (None if row.prefix in ELSEWHERE else row.base_url):
            wrong[row.prefix] = base
    assert wrong == {prefix: base for prefix, base in MOVED.items() if prefix in wrong}


def test_litellm_reads_our_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {}
    for row in [row for row in known_rows() if row.prefix not in ELSEWHERE]:
        key = f"key of {row.prefix}"
        base = f"http://127.0.0.1:9/{row.prefix}{BASE_SUFFIX.get(row.prefix, '/v1')}"
        with monkeypatch.context() as patch:
            if row.api_key_env:
                patch.setenv(row.api_key_env, key)
            found_key = resolve(row.prefix)[1]
            if row.api_base_env:
                patch.setenv(row.api_base_env, base)
            found_base = resolve(row.prefix)[2]
        wanted_key = key if row.api_key_env else None
        wanted_base = base if row.api_base_env else resolve(row.prefix)[2]
        if (found_key, found_base) != (wanted_key, wanted_base):
            wrong[row.prefix] = (found_key, found_base)
    # These read theirs in a handler: the wire tests see that.
    assert set(wrong) == {"cloudflare", "custom_openai", "databricks"}, wrong


def test_the_prefixes_with_an_optional_key_get_a_stand_in() -> None:
    stand_ins = {row.prefix: resolve(row.prefix)[1] for row in known_rows()}
    assert {prefix for prefix, key in stand_ins.items() if key} == KEY_OPTIONAL


def test_the_logins_are_litellms() -> None:
    from litellm.constants import PROVIDERS_THAT_AUTHENTICATE_ON_PROVIDER_INFO as LOGINS

    assert UNRESOLVED == LOGINS


@pytest.mark.parametrize("row", OPENAI_COMPATIBLE.values(), ids=lambda row: str(row.prefix))
def test_a_row_is_well_formed(row: OpenAICompatible) -> None:
    assert OPENAI_COMPATIBLE[row.prefix] is row
    assert re.fullmatch(r"[a-z0-9_-]+", row.prefix)
    assert row.base_url is None or re.fullmatch(r"https?://[^\s?#@]+[^/]", row.base_url)
    assert not (row.base_url or "").endswith("/chat/completions")
    for name in (row.api_key_env, row.api_base_env):
        assert name is None or re.fullmatch(r"[A-Z][A-Z0-9_]+", name)


def test_a_variable_follows_the_prefix_where_a_row_does_not_name_it() -> None:
    groq = OpenAICompatible(
        "groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", "GROQ_API_BASE"
    )
    assert OPENAI_COMPATIBLE["groq"] == groq
    assert OPENAI_COMPATIBLE["nano-gpt"].api_key_env == "NANOGPT_API_KEY"


def test_the_tables_are_sorted_and_speak_of_rows_that_exist() -> None:
    for table in (OPENAI_COMPATIBLE, NOT_EXPRESSIBLE, KEY_ALTERNATIVES, BASE_SUFFIX, INSTEAD):
        assert list(table) == sorted(table)
    for names in (KEY_OPTIONAL, KEY_ALTERNATIVES, BASE_SUFFIX, MODEL_ID_PREFIXES, NOT_PLAIN_IDS):
        assert set(names) <= set(OPENAI_COMPATIBLE)
    assert set(INSTEAD) <= set(NOT_EXPRESSIBLE)
    patterns = [pattern for rules in MODEL_ID_PREFIXES.values() for pattern, _ in rules]
    for pattern in [*patterns, *(pattern for pattern, _ in NOT_PLAIN_IDS.values())]:
        re.compile(pattern)


def test_importing_the_tables_imports_nothing_heavy() -> None:
    modules = "adapter.upstream.prefixes, adapter.upstream.refused_prefixes"
    code = f"import sys, {modules}; print('litellm' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert done.stdout == "False\n"

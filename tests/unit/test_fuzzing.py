"""Any bytes, and anything that looks right, at every reader of what others wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tomli
import tomlkit
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapter.config.files import OUR_TABLES
from adapter.config.provider import FIELDS
from adapter.editing.edits import remove_provider, set_provider
from adapter.editing.toml_text import changed
from tests.fuzzing import (
    TARGETS,
    import_yaml,
    load_toml,
    model_string,
)

pytestmark = pytest.mark.stress

USUAL = 200
"""Inputs of a strategy in the usual run; the profile of `make stress` says how many there."""

CANARY = "sk-canary-0123456789abcdef"

Counted = Callable[..., None]


@pytest.fixture
def counted(record_property: Callable[[str, object], None]) -> Counted:
    """Try a function with inputs of each strategy, and print how many there were."""

    def run(what: str, function: Callable[[Any], object], *strategies: Any) -> None:
        tried = 0

        def count(value: Any) -> None:
            nonlocal tried
            tried += 1
            function(value)

        for strategy in strategies:
            few = settings(
                max_examples=max(settings().max_examples, USUAL),
                suppress_health_check=[HealthCheck.too_slow],
            )
            inputs: Any = given(strategy)
            few(inputs(count))()
        record_property("figure", f"fuzzing: {tried:,} inputs to {what}")

    return run


ODD = st.sampled_from(
    ["\x1b[2J", "\x1b]0;t\x07", "\x9b2J", "\n", "\x00", "\ud7ff", "\u202e", "/", '"', "#", "="]
)
TEXTS = st.lists(st.text(max_size=4) | ODD, max_size=3).map("".join)
SCALARS = (
    TEXTS | st.integers(-(2**70), 2**70) | st.floats() | st.booleans() | st.dates() | st.datetimes()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def mostly(*right: Any) -> Any:
    """Return a strategy of right values, with a wrong one now and then."""
    return st.sampled_from(right) | st.sampled_from(right) | VALUES


PROVIDERS = st.fixed_dictionaries(
    {"name": mostly("p", "q", "ä"), "base_url": mostly("http://h/v1", "https://[::1]:1")},
    optional={
        **{field: mostly("m", CANARY) for field in FIELDS[2:]},
        "timeout": VALUES,
    },
)
EXTRAS = st.dictionaries(
    st.sampled_from(
        [
            *(
                "extra_headers",
                "extra_body",
                "timeout",
                "custom_llm_provider",
                "model",
                "fallbacks",
            ),
            *("api_key_file", "api_key_cmd", "api_key_keyring", "api_key_x", "api_base"),
        ]
    ),
    VALUES | st.dictionaries(TEXTS, mostly("$A", "${A}", "os.environ/A"), max_size=2),
    max_size=3,
)
SECTIONS = st.dictionaries(
    st.sampled_from(["model_group_alias", "fallbacks", "master_key", "callbacks", "num_retries"]),
    VALUES,
    max_size=2,
)
OURS = st.fixed_dictionaries(
    {},
    optional={
        "providers": st.dictionaries(st.sampled_from(["p", "q"]) | TEXTS, EXTRAS, max_size=2),
        **dict.fromkeys(OUR_TABLES[1:], SECTIONS | VALUES),
    },
)
FILES = st.fixed_dictionaries(
    {},
    optional={
        "providers": st.lists(PROVIDERS, max_size=3) | VALUES,
        "env": st.dictionaries(st.sampled_from(["A", "P_API_KEY"]), SCALARS, max_size=2) | VALUES,
        "models": st.fixed_dictionaries({"default": mostly("p", "p/m")}) | VALUES,
        "plugin": st.fixed_dictionaries({"litellm": OURS}) | VALUES,
        "x": VALUES,
    },
)


def as_toml(data: dict[str, Any]) -> bytes:
    return tomlkit.dumps(data).encode()


BYTES = st.binary(max_size=200)
TOMLS = st.lists(
    st.sampled_from(
        [
            *(
                "[[providers]]",
                "[plugin.litellm.providers.p]",
                "[env]",
                "name",
                "base_url",
                "=",
                "'p'",
            ),
            *(
                '"http://h/v1"',
                "\n",
                "\n",
                "{",
                "}",
                "[",
                "]",
                ".",
                ",",
                "0x1",
                "1979-05-27",
                "#",
                "\r",
            ),
            *('"""', "nan", "true", "\ufeff", "\\u001b", " "),
        ]
    )
    | st.text(max_size=2),
    max_size=30,
).map(lambda parts: "".join(parts).encode("utf-8", "surrogatepass"))


def test_toml(counted: Counted) -> None:
    counted("TOML loading", load_toml, BYTES, TOMLS, FILES.map(as_toml))


def test_model_strings(counted: Counted) -> None:
    parts = st.sampled_from(["a", "b", "ä", "local", "local-2", "embedded", "/", " ", "\x00"])
    texts = st.lists(parts | st.text(max_size=3), max_size=6).map("".join)
    encoded = texts.map(lambda text: text.encode("utf-8", "surrogatepass"))
    counted("model strings", model_string, BYTES, encoded)


KEYS = st.sampled_from([CANARY, f"Bearer {CANARY}", "os.environ/A", "${A}", "none", None])
PARAMETERS = st.fixed_dictionaries(
    {"model": mostly("openai/m", "openai/*", "groq/m", "m", "hosted_vllm/m", "azure/x")},
    optional={
        "api_base": mostly("http://h/v1", "http://i:1", "os.environ/B"),
        "api_key": KEYS,
        "custom_llm_provider": mostly("openai"),
        "litellm_credential_name": mostly("c"),
        "extra_headers": st.dictionaries(TEXTS, KEYS, max_size=2) | VALUES,
        "fallbacks": VALUES | st.lists(mostly("m", "n"), max_size=2),
        "timeout": VALUES,
        "api_key_cmd": VALUES,
    },
)
ENTRIES = st.fixed_dictionaries(
    {"model_name": mostly("m", "n", "m/*", "*"), "litellm_params": PARAMETERS | VALUES},
    optional={"model_info": VALUES, "rpm": VALUES, "x": VALUES},
)
CREDENTIALS = st.fixed_dictionaries(
    {"credential_name": mostly("c"), "credential_values": st.just({"api_key": CANARY}) | VALUES}
)
YAMLS = st.fixed_dictionaries(
    {"model_list": st.lists(ENTRIES | VALUES, max_size=4)},
    optional={
        "credential_list": st.lists(CREDENTIALS | VALUES, max_size=2) | VALUES,
        "environment_variables": st.dictionaries(mostly("A").map(str), KEYS, max_size=2) | VALUES,
        "include": VALUES,
        "router_settings": SECTIONS | VALUES,
        "litellm_settings": SECTIONS | VALUES,
        "general_settings": st.fixed_dictionaries({"master_key": KEYS}) | VALUES,
        "agents": VALUES,
        "x": VALUES,
    },
)
YAML_TEXTS = st.lists(
    st.sampled_from(
        [
            *(
                "model_list:",
                "- model_name: m",
                "  litellm_params:",
                "    model: openai/m",
                "&a",
                "*a",
            ),
            *(
                "\n",
                "\n",
                "\n",
                "<<: *a",
                "!!set {}",
                "!!binary",
                "!x",
                "? ",
                ": ",
                "- ",
                "{",
                "}",
                "[",
            ),
            *(
                "]",
                "|",
                ">",
                "%YAML 1.1",
                "---",
                "...",
                "0x1",
                "1:1",
                ".nan",
                "2024-13-01",
                "\t",
                "~",
            ),
        ]
    )
    | st.text(max_size=2),
    max_size=30,
).map(lambda parts: "".join(parts).encode("utf-8", "surrogatepass"))


def import_without_keys(data: bytes) -> None:
    assert "canary" not in import_yaml(data)


def test_yaml(counted: Counted) -> None:
    written = YAMLS.map(lambda data: yaml.safe_dump(data, allow_unicode=True).encode())
    counted("YAML import", import_without_keys, BYTES, YAML_TEXTS, written)


LAYOUT = st.lists(
    st.sampled_from(
        [
            *(
                "",
                "# a comment",
                "[x]",
                '[[providers]]\nname = "p"',
                "[plugin.litellm.providers.p]",
                "[models]",
            ),
            *(
                '  indented = "1"',
                "a.b = 1",
                "[[y]]",
                "[plugin.litellm]",
                '[[providers]] # why\nname = "q"',
            ),
        ]
    ),
    max_size=8,
).map(lambda lines: "".join(f"{line}\n" for line in lines))


def add_and_remove(text: str) -> None:
    """What was added and removed again leaves blank lines at most, and no line is lost."""
    try:
        tomli.loads(text)
    except tomli.TOMLDecodeError:
        return
    added = changed(text, lambda d: set_provider(d, {"name": "new", "base_url": "http://new/v1"}))
    if added is None:  # a layout that is refused
        return
    removed = changed(added, lambda d: remove_provider(d, "new"))
    if removed is None:
        return
    assert "#above" not in added + removed
    # tomlkit moves other arrays of tables together, so the order may differ
    assert sorted(filter(None, removed.split("\n"))) == sorted(filter(None, text.split("\n")))


def test_editing(counted: Counted) -> None:
    counted("editing", add_and_remove, LAYOUT)  # wrong types are refused before an edit


def test_every_target_is_fuzzed_here_too() -> None:
    assert set(TARGETS.values()) == {load_toml, model_string, import_yaml}

"""Configurations of other tools, after shapes seen in public files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from adapter.config.loading import load_config
from adapter.sharing.importing import plan_import
from adapter.sharing.litellm_yaml import Report
from adapter.sharing.other_formats import read_source
from tests.command import run

SAMPLES = Path(__file__).parents[2] / "samples" / "other"
NAMES = sorted(path.name for path in SAMPLES.iterdir() if path.suffix != ".expected")
WRITE_EXPECTED = "ADAPTER_WRITE_EXPECTED" in os.environ  # tests do not see it


@pytest.mark.parametrize(
    ("name", "args"),
    [*((name, ()) for name in NAMES), ("aichat.yaml", ("--compatible",))],
)
def test_a_file_of_another_tool_becomes_what_is_expected(name: str, args: tuple[str, ...]) -> None:
    shutil.copy(SAMPLES / name, name)
    done = run("config", "import", name, "--to", "new.toml", *args)
    shown = f"exit {done.code}\n\n{done.out}{done.err}\n{Path('new.toml').read_text()}"
    expected = SAMPLES / f"{name}{'.compatible' if args else ''}.expected"
    if WRITE_EXPECTED:  # pragma: no cover
        expected.write_text(shown, encoding="utf-8")
    assert shown == expected.read_text(encoding="utf-8")
    assert "canary" not in shown
    assert load_config("new.toml").providers
    again = run("config", "import", name, "--to", "new.toml", *args)
    assert again.code == 0
    assert "nothing to change in new.toml" in again.err


def test_all_kinds_are_there() -> None:
    assert len(NAMES) == 5


def test_comments_and_tabs_in_json_keep_strings_and_lines() -> None:
    path = Path("opencode.json")
    path.write_text(
        '// one\n{ "provider": {\n\t/* two\n lines */ "a": { "options": {\n'
        '"baseURL": "http://h/v1", // "x"\n"apiKey": "a//b/*c*/" } } } }\n'
    )
    source = read_source(path, Report())
    (entry,) = source.list("model_list")
    assert entry["litellm_params"]["api_base"] == "http://h/v1"
    assert entry["litellm_params"]["api_key"] == "a//b/*c*/"
    assert [place.line for place in source.entries] == [4]


@pytest.mark.parametrize(
    "key", ["{file:~/.key}", "{file:/etc/passwd}", "$(touch PWNED)", "Bearer $(touch PWNED)"]
)
def test_no_command_is_run_and_no_file_is_read(key: str) -> None:
    path = Path("crush.json")
    provider = {"base_url": "http://h/v1", "api_key": key, "models": [{"id": "m"}]}
    path.write_text(json.dumps({"providers": {"a": provider}}))
    plan = plan_import(path)
    assert plan.left_out[0].endswith("which is not read: set A_API_KEY")
    assert plan.providers[0].api_key is None
    assert not Path("PWNED").exists()


def test_a_litellm_file_in_json_is_one() -> None:
    path = Path("x.json")
    entry = {"model_name": "a", "litellm_params": {"model": "groq/a"}}
    path.write_text(json.dumps({"model_list": [entry], "providers": {"a": {"type": "x"}}}))
    assert plan_import(path).routes == {"a": "groq/a"}


@pytest.mark.parametrize(
    "text",
    [
        "clients: 1\n",
        "clients: [1]\n",
        "clients: [{type: [1]}]\n",
        "clients: [{type: openai, name: {a: 1}, models: [{name: [1]}]}]\n",
        'clients: [{type: openai-compatible, api_base: 1, api_key: 2, name: "a/b"}]\n',
        "models: [{provider: 1}]\n",
        "models: [{provider: openai, model: {a: 1}, roles: {b: 2}, requestOptions: 3}]\n",
        "- {model_id: [1], aliases: x}\n- 3\n",
        "- {model_id: a, aliases: 7}\n",
        '{"provider": {"a": {"options": [1], "models": 3}}}',
        '{"provider": {"a": {"options": {"baseURL": {}}, "models": {"m": 1}}}, "model": 7}',
        '{"providers": {"a": {"type": 1, "models": {"a": 1}, "extra_headers": [1]}}, "models": 1}',
        '{"providers": {"a": {"type": "x", "api_key": 3}}, "models": {"large": 2}}',
        '{"provider": {"a": {"npm": {}, "options": {"headers": {"Authorization": 4}}}}}',
        "? [a, b]\n: 1\nclients: [{type: openai}]\n",
    ],
)
def test_what_is_out_of_shape_is_reported(text: str) -> None:
    Path("x.yaml").write_text(text)
    done = run("config", "import", "x.yaml", "--to", "new.toml")
    assert done.code in (0, 1, 2)
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "text",
    [
        '{"' + '\\"' * 1_000_000,
        '{"' + '\\"' * 1_000_000 + "\\",
        "{" + "/*" * 1_000_000,
        "\n" * 2_000_000,
        "{" + " " * 2_000_000,
        '{"provider": {' + ",".join(f'"p{n}": {{"npm": 1}}' for n in range(20_000)) + "}}",
    ],
    ids=["quotes", "backslash", "comments", "newlines", "blanks", "providers"],
)
def test_a_hostile_file_ends(text: str) -> None:
    """One that is read again for each of its parts would take hours: the suite's limit is 5 min."""
    Path("x.json").write_text(text)
    done = run("config", "import", "x.json", "--to", "new.toml", "--dry-run")
    assert "Traceback" not in done.err

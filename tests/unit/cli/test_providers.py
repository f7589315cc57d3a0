"""``adapter providers list``: the specification's listing, to the letter, and JSON without keys."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import provider, run, started
from tests.unit.cli.samples import FILE

Write = Callable[..., Path]

KEY = "inline-key-0123456789"

# The configuration and the listing as docs/custom-providers.md of gptme shows them.
CONFIGURATION = """\
[[providers]]
name = "vllm-local"
base_url = "http://localhost:8000/v1"
default_model = "meta-llama/Llama-3.1-8B"

[[providers]]
name = "azure-gpt4"
base_url = "https://my-azure-endpoint.openai.azure.com/openai/deployments"
api_key_env = "AZURE_API_KEY"
default_model = "gpt-4"

[[providers]]
name = "groq"
base_url = "https://api.groq.com/openai/v1"
api_key_env = "GROQ_API_KEY"
default_model = "llama-3.1-70b-versatile"
"""
LISTING = """\
🔌 Found 3 custom provider(s):

📡 vllm-local
   Base URL: http://localhost:8000/v1
   API Key: $VLLM_LOCAL_API_KEY (default)
   Default Model: meta-llama/Llama-3.1-8B

📡 azure-gpt4
   Base URL: https://my-azure-endpoint.openai.azure.com/openai/deployments
   API Key: $AZURE_API_KEY
   Default Model: gpt-4

📡 groq
   Base URL: https://api.groq.com/openai/v1
   API Key: $GROQ_API_KEY
   Default Model: llama-3.1-70b-versatile
"""


@pytest.mark.parametrize("keys", [{}, {"AZURE_API_KEY": "a" * 32, "GROQ_API_KEY": "g" * 32}])
def test_the_listing_is_the_specifications(
    keys: dict[str, str], write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(CONFIGURATION)
    for name, value in keys.items():
        monkeypatch.setenv(name, value)

    assert run("providers", "list") == (0, LISTING, "")


def test_the_process_prints_the_listings_bytes_without_importing_litellm(
    write: Write, tmp_path: Path
) -> None:
    """A ``litellm`` that cannot be imported stands in the way of the real one."""
    write(CONFIGURATION)
    (tmp_path / "litellm.py").write_text("raise SystemExit('litellm was imported')\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])

    with started("providers", "list", env={**os.environ, "PYTHONPATH": path}) as process:
        out, err = process.communicate()

    assert (process.returncode, out, err) == (0, LISTING.encode(), b"")


def test_an_inline_key_is_said_to_be_configured_directly_and_not_shown(write: Write) -> None:
    path = write(provider("https://a.example/v1", "a", api_key=KEY, api_key_env="ALSO"))

    code, out, err = run("providers", "list")

    assert code == 0
    assert err == (
        f"warning: {path}:5: provider 'a': api_key_env is not used: api_key takes precedence\n"
        "    fix: remove one of the two\n"
    )
    assert out == (
        "🔌 Found 1 custom provider(s):\n\n"
        "📡 a\n   Base URL: https://a.example/v1\n   API Key: (configured directly)\n"
    )


def test_a_warning_goes_to_stderr(write: Write) -> None:
    path = write(provider("https://a.example/v1", "a", api_key=KEY), mode=0o644)

    code, out, err = run("providers", "list")

    assert code == 0
    assert out.startswith("🔌 Found 1 custom provider(s):")
    assert err.startswith(f"warning: {path}:4: provider 'a': ")
    assert f"chmod 600 {path}" in err
    assert KEY not in out + err


def test_with_no_provider_it_says_how_to_add_one(config_dir: Path, write: Write) -> None:
    code, out, err = run("providers", "list")

    head, _, example = out.partition("\n\n[[providers]]")
    assert (code, err) == (0, "")
    assert head == (
        "📭 No custom providers configured\n\n"
        "Add one: adapter providers add groq   (--help names those that are known)\n"
        "Or look for servers on this machine: adapter providers discover\n"
        f"Or write it to {config_dir}/gptme.toml:"
    )
    assert out.endswith("\n")
    assert not out.endswith("\n\n")
    write(f"[[providers]]{example}")
    assert "📡 my-provider\n" in run("providers", "list").out


def test_with_no_provider_it_names_the_file_it_was_given(write: Write) -> None:
    path = write("", name="mine.toml")

    assert f"Or write it to {path}:\n" in run("providers", "list", "--config", str(path)).out


def test_what_cannot_show_emoji_gets_question_marks_instead_of_a_traceback(write: Write) -> None:
    write(CONFIGURATION)

    latin = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    with started("providers", "list", env=latin) as process:
        out, err = process.communicate()

    assert (process.returncode, err) == (0, b"")
    assert out.decode("latin-1") == LISTING.replace("🔌", "?").replace("📡", "?")


def test_json_holds_everything_but_keys(write: Write) -> None:
    first = write(
        provider("https://a.example/v1/", "a-b", api_key=KEY)
        + provider("https://c.example/v1", "c", default_model="m/ü", api_key_env="C_KEY")
    )
    second = write(
        provider("https://d.example/v1", "c") + provider("https://d.example", "d"),
        name="config.local.toml",
    )

    code, out, err = run("providers", "list", "--json")

    assert (code, err) == (0, "")
    assert KEY not in out
    assert "m/ü" in out
    assert json.loads(out) == [
        {
            "name": "a-b",
            "base_url": "https://a.example/v1/",
            "api_key_source": "(configured directly)",
            "default_model": None,
            "aliases": {},
            "files": [str(first)],
        },
        {
            "name": "c",
            "base_url": "https://d.example/v1",
            "api_key_source": "$C_KEY",
            "default_model": "m/ü",
            "aliases": {},
            "files": [str(first), str(second)],
        },
        {
            "name": "d",
            "base_url": "https://d.example",
            "api_key_source": "$D_API_KEY (default)",
            "default_model": None,
            "aliases": {},
            "files": [str(second)],
        },
    ]


def test_aliases_are_listed_under_their_provider(write: Write) -> None:
    write(
        provider("https://a.example/v1", "a", default_model="m")
        + provider("https://b.example/v1", "b")
        + "[plugin.litellm.router_settings.model_group_alias]\n"
        + 'fast = "a"\n"claude-sonnet-4-6" = "a/x/y"\nslow = { model = "b/z", hidden = true }\n'
        + 'chained = "fast"\nb = "a"\nother = "gpt-4o"\n'
    )

    shown = [line for line in run("providers", "list").out.splitlines() if line[:1] == " "]
    assert [line for line in shown if "Aliases" in line] == [
        "   Aliases: fast, claude-sonnet-4-6",
        "   Aliases: slow",
    ]
    rows = json.loads(run("providers", "list", "--json").out)
    assert [row["aliases"] for row in rows] == [
        {"fast": "a", "claude-sonnet-4-6": "a/x/y"},
        {"slow": "b/z"},
    ]


def test_json_of_no_provider_is_an_empty_list() -> None:
    assert run("providers", "list", "--json") == (0, "[]\n", "")


def test_reading_writes_nothing(write: Write, config_dir: Path) -> None:
    path = write(CONFIGURATION)
    path.chmod(0o400)
    before = (path.read_bytes(), path.stat().st_mtime_ns)

    run("providers", "list")

    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert [p.name for p in config_dir.iterdir()] == ["gptme.toml"]
    assert list(Path.cwd().iterdir()) == []


def test_all_problems_come_at_once_with_exit_code_2(write: Write) -> None:
    path = write('[[providers]]\nname = "a/b"\n\n[[providers]]\nbase_url = "ftp://x"\n')

    code, out, err = run("providers", "list")

    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    for line, what in (
        (2, "name contains '/'"),
        (1, "base_url is missing"),
        (4, "name is missing"),
        (5, "not an absolute http(s) URL"),
    ):
        assert f"{path}:{line}: " in err
        assert what in err


def test_a_reader_that_has_gone_is_no_failure(write: Write) -> None:
    write(CONFIGURATION)
    reading, writing = os.pipe()
    os.close(reading)

    with started("providers", "list", stdout=writing) as process:
        os.close(writing)
        _, err = process.communicate()

    assert (process.returncode, err) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_stdout_that_is_full_is_one_line_on_stderr(write: Write) -> None:
    write(CONFIGURATION)

    with (
        Path("/dev/full").open("wb") as full,
        started("providers", "list", stdout=full) as process,
    ):
        _, err = process.communicate()

    assert (process.returncode, err) == (1, b"Error: No space left on device\n")


def test_a_stdout_that_is_closed_is_no_failure(write: Write) -> None:
    write(CONFIGURATION)

    with started("providers", "list", stdout=None, preexec_fn=lambda: os.close(1)) as process:
        _, err = process.communicate()

    assert (process.returncode, err) == (0, b"")


# ---- show


def test_show(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(FILE)
    write(
        '[[providers]]\nname = "groq"\nbase_url = "https://g/v1"\napi_key = "sk-canary"\n'
        '[plugin.litellm.providers.groq.extra_headers]\nAuthorization = "canary"\nX-Team = "t"\n',
        "config.local.toml",
    )
    shown = run("providers", "show", "b").out
    assert f"Files: {path}" in shown
    assert "Key source: $B_API_KEY (default)" in shown
    assert "Key: not set, so a placeholder is sent" in shown
    assert "timeout: 3" in shown
    assert "has no default_model" in shown
    data = json.loads(run("providers", "show", "groq", "--json").out)
    assert data["api_key"] == data["litellm"]["api_key"] == "***"
    assert data["litellm"]["extra_headers"] == {"Authorization": "***", "X-Team": "***"}
    assert "shadows LiteLLM's built-in groq: groq/... goes here" in data["warnings"]
    assert "canary" not in str(data) + run("providers", "show", "groq").out
    monkeypatch.setenv("B_API_KEY", "sk-canary")
    assert "Key: set" in run("providers", "show", "b").out
    assert run("providers", "show", "nobody").code == 4


def test_show_says_what_is_missing(write: Write) -> None:
    write('[[providers]]\nname = "x"\nbase_url = "http://localhost"\napi_key_env = "NOT_SET"\n')
    assert (
        "Key: missing: provider 'x' takes its key from $NOT_SET"
        in run("providers", "show", "x").out
    )


def test_show_hides_every_header_that_is_written_out(write: Write) -> None:
    path = write(FILE)
    local = write(
        "[plugin.litellm.providers.a]\n"
        'extra_headers = { X-Team = "canary", X-Key = "$HEADER_KEY", X-Cost = "$5canary" }\n'
        'headers = { X-Other = "canary" }\n',
        "config.local.toml",
    )
    data = json.loads(run("providers", "show", "a", "--json").out)
    headers = {"X-Team": "***", "X-Key": "$HEADER_KEY", "X-Cost": "***"}
    assert data["litellm"]["extra_headers"] == headers
    assert data["litellm"]["headers"] == {"X-Other": "***"}
    assert data["files"] == [str(path), str(local)]
    shown = run("providers", "show", "a").out
    assert "canary" not in shown
    assert (
        "Warning: the header X-Key takes its value from $HEADER_KEY, which is not set: calls fail"
        in shown
    )

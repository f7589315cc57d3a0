"""What the pages tell to type, typed: queries and programs against a recording server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from adapter import load_config
from tests.command import run
from tests.conftest import ROOT
from tests.pages import DOCS, blocks, commands, followed
from tests.recorder import ANSWER, Recorder
from tests.snippets import printed

EXAMPLES = sorted(path.stem for path in (ROOT / "config_examples").glob("*.toml"))


def redirect(path: Path, server: Recorder) -> None:
    """Let all providers of a file stand for the recording server."""
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r'base_url = "[^"]*"', f'base_url = "{server.base_url}"', text))


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_how_to_works(
    name: str, server: Recorder, config_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = f"howto/{name}.md"
    (toml,) = blocks(page, "toml")
    (program,) = blocks(page, "python")
    typed = commands(page)
    path = config_dir / "gptme.toml"
    path.write_text(toml.text, encoding="utf-8")
    shown = load_config().providers
    if len(shown) == 1:
        path.unlink()
        adding = typed.pop(0)
        assert adding[:2] == ["providers", "add"]
        assert run(*adding).code == 0
        (added,) = load_config().providers
        assert added == shown[0]
    redirect(path, server)
    for provider in shown:
        variable = provider.key_source.removeprefix("$").removesuffix(" (default)")
        monkeypatch.setenv(variable, f"key-of-{provider.name}")
    if len(shown) == 1:
        testing = typed.pop()
        assert testing == ["providers", "test", shown[0].name]
        outcome = run(*testing)
        assert outcome.code == 0, outcome
    server.requests.clear()

    for words in typed:
        assert run(*words).out == f"{ANSWER}\n"
    assert printed(program.text, page) == f"{ANSWER}\n"

    assert len(server.requests) == len(typed) + 1 >= 3
    named = {f"key-of-{provider.name}" for provider in shown}
    assert {request.key for request in server.requests} <= named
    ids = {request.body["model"] for request in server.requests}
    assert str(shown[0].default_model) in ids


def test_the_quick_start_works(server: Recorder, config_dir: Path) -> None:
    with followed("index.md"):
        redirect(config_dir / "gptme.toml", server)
        for words in commands("index.md"):
            if words[0] not in ("providers", "config", "serve"):
                assert run(*words).out == f"{ANSWER}\n"
        for program in blocks("index.md", "python"):
            assert printed(program.text, "index.md") == f"{ANSWER}\n"
        assert {request.key for request in server.requests} == {"gsk_..."}
    assert len(server.requests) == 5


def test_an_unknown_model_is_told_as_shown(write: object, config_dir: Path) -> None:
    example = ROOT / "config_examples" / "groq.toml"
    (config_dir / "gptme.toml").write_text(example.read_text(encoding="utf-8"), encoding="utf-8")

    with followed("errors.md"):
        ((words),) = commands("errors.md")
        assert run(*words).code == 4
    assert "did you mean 'groq'?" in (DOCS / "errors.md").read_text(encoding="utf-8")

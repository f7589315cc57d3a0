"""Every command, program and output of the README, run as a reader would paste it.

A shell takes each command line apart, quotes and pipes and all. The command itself runs in this
process, which shares one import of LiteLLM, but for one of each kind: a query, a listing, and the
script that starts a gateway.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from adapter.errors import ExitCode
from tests.command import run
from tests.conftest import ROOT
from tests.recorder import ANSWER, Recorder
from tests.snippets import blocks_of, printed

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = blocks_of(ROOT / "README.md")


def blocks(language: str) -> list[str]:
    return [block.text for block in BLOCKS if block.language == language]


# run by `make test` itself, and by hand: they set up what runs this test
SET_UP = ["make demo\nmake test\n", "source .venv/bin/activate\n"]


def test_every_block_is_of_a_kind_that_is_run_here() -> None:
    assert [re.sub(r" +#.*", "", block) for block in blocks("")] == SET_UP
    assert {block.language for block in BLOCKS} == {"", "toml", "bash", "sh", "console", "python"}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in ("demo", "test"))


@pytest.fixture
def environment(
    config_dir: Path, server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The README's own configuration, at the recording server, and ``adapter`` on the path."""
    text = re.sub(
        r'base_url = "https?://[^"]*"', f'base_url = "{server.base_url}"', blocks("toml")[0]
    )
    (config_dir / "gptme.toml").write_text(text + blocks("toml")[1], encoding="utf-8")
    monkeypatch.setenv("GROQ_API_KEY", "gsk_test")
    folder = Path.cwd()
    (folder / "config_examples").symlink_to(ROOT / "config_examples")
    (folder / "main.py").write_text("print('hi')\n", encoding="utf-8")
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    # -P, which keeps the working directory off the path, came with Python 3.11
    isolated = "-P -m" if sys.version_info >= (3, 11) else "-m"
    put(bin_folder / "adapter", f'exec "{sys.executable}" {isolated} adapter "$@"')
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}


def put(script: Path, line: str) -> None:
    script.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    script.chmod(0o755)


def run_shell(script: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["sh", "-ec", script],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=110,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_here(line: str, environment: dict[str, str]) -> str:
    """Run a command line of one ``adapter``, whose arguments and stdin a shell makes, here."""
    put(Path("bin/adapter"), 'printf "%s\\0" "$@" >arguments; cat >stdin')
    assert run_shell(line, environment) == ""
    arguments = Path("arguments").read_text(encoding="utf-8").split("\0")[:-1]
    outcome = run(*arguments, stdin=Path("stdin").read_bytes())
    assert outcome.code == 0, outcome.err
    return outcome.out


def test_the_listing_is_printed_as_shown(environment: dict[str, str], config_dir: Path) -> None:
    (config_dir / "gptme.toml").write_text(blocks("toml")[0], encoding="utf-8")
    (block,) = blocks("console")
    command, expected = block.removeprefix("$ ").split("\n", 1)

    assert run_shell(command, environment) == expected


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("block", blocks("python"), ids=["drop-in", "sharing"])
def test_the_programs_run(block: str, server: Recorder) -> None:
    out = printed(block, "README.md")

    assert server.requests
    assert {r.key for r in server.requests} <= {"gsk_test", "default-key"}
    if "print" in block:
        assert out == f"{ANSWER}\n{ANSWER}"


COMMANDS = [
    line
    for block in blocks("bash")
    for line in block.splitlines()
    if not line.startswith("export ") and "embedded" not in line and "config_examples" not in line
]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_run(command: str, environment: dict[str, str], server: Recorder) -> None:
    assert run_here(command, environment) == f"{ANSWER}\n"
    assert server.only.key == "gsk_test"


def test_a_command_runs_as_a_process_of_its_own(
    environment: dict[str, str], server: Recorder
) -> None:
    assert run_shell(COMMANDS[0], environment) == f"{ANSWER}\n"
    assert server.only.key == "gsk_test"


def test_the_example_file_is_used_as_shown(environment: dict[str, str], server: Recorder) -> None:
    command = next(c for c in blocks("bash") if "config_examples" in c)
    link = Path("config_examples")
    link.unlink()
    link.mkdir()
    text = (ROOT / "config_examples" / "groq.toml").read_text(encoding="utf-8")
    changed = re.sub(r'base_url = "[^"]*"', f'base_url = "{server.base_url}"', text)
    (link / "groq.toml").write_text(changed, encoding="utf-8")

    assert run_here(command, environment) == f"{ANSWER}\n"


@pytest.mark.live
@pytest.mark.timeout(240)
def test_the_sharing_commands_run(environment: dict[str, str], tmp_path: Path) -> None:
    (script,) = blocks("sh")
    environment = {**environment, "XDG_RUNTIME_DIR": str(tmp_path), "AZURE_API_KEY": "az_test"}
    out = run_shell(script.replace("--detach", "--detach --port 0"), environment)

    check_start(out)
    assert "os.environ/GROQ_API_KEY" in Path("config.yaml").read_text(encoding="utf-8")


def check_start(out: str) -> None:
    """Compare what the start of a gateway prints with docs/sharing.md, which has one provider."""
    sharing = blocks_of(ROOT / "docs" / "sharing.md")
    (shown,) = [b.text for b in sharing if "serve --detach" in b.text and b.language == "console"]
    _, gateway, models, *calls = shown.splitlines()
    found = re.search(r"Gateway: http://127.0.0.1:(\d+) \(LiteLLM Proxy, pid (\d+)\)", out)
    assert found, out
    lines = out.replace(found[1], "4000").replace(f"pid {found[2]}", "pid 4711").splitlines()
    # the README's first provider stands where that page has its only one
    lines = [line.replace("vllm-local", "groq") for line in lines]
    assert {gateway, *calls} <= set(lines)
    (listed,) = [line for line in lines if line.startswith("Models:")]
    assert set(models.split(None, 1)[1].split(", ")) <= set(listed.split(None, 1)[1].split(", "))


@pytest.mark.live
def test_the_embedded_model_answers_as_shown(environment: dict[str, str]) -> None:
    pytest.importorskip("xllamacpp")
    command = next(
        line for block in blocks("bash") for line in block.splitlines() if "embedded" in line
    )

    assert "sort" in run_here(command, environment)


def test_no_sentence_is_longer_than_thirty_words() -> None:
    prose = re.sub(r"^```.*?^```$|^!\[.*?\)$|^[|#].*?$", "", README, flags=re.MULTILINE | re.DOTALL)
    prose = re.sub(r"\]\([^)]*\)", "]", prose)
    parts = re.split(r"(?<=[.?!:])[*\])]*\s+|\n\n|\n- ", prose)

    assert len(parts) > 40
    assert [part for part in parts if len(part.split()) > 30] == []


def test_the_exit_codes_are_those_of_the_command() -> None:
    table = re.findall(r"^\| (\d+) \| (.*) \|$", README, re.MULTILINE)

    assert {int(code): text for code, text in table} == {code: code.meaning for code in ExitCode}

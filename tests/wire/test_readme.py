"""Every command, program and output of the README, run as a reader would paste it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from adapter.errors import EXIT_CODES
from tests.conftest import ROOT
from tests.recorder import ANSWER, Recorder

README = (ROOT / "README.md").read_text(encoding="utf-8")


class Block(NamedTuple):
    language: str
    text: str


BLOCKS = [
    Block(*found)
    for found in re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
]


def blocks(language: str) -> list[str]:
    return [block.text for block in BLOCKS if block.language == language]


# run by `make test` itself, and by hand: they set up what runs this test
SET_UP = ["make demo\nmake test\n", "source .venv/bin/activate\n"]


def test_every_block_is_of_a_kind_that_is_run_here() -> None:
    assert blocks("") == SET_UP
    assert {block.language for block in BLOCKS} == {"", "toml", "bash", "sh", "console", "python"}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in ("demo", "test"))


@pytest.fixture
def environment(config_dir: Path, server: Recorder) -> dict[str, str]:
    """The README's own configuration, at the recording server, and ``adapter`` on the path."""
    text = re.sub(
        r'base_url = "https?://[^"]*"', f'base_url = "{server.base_url}"', blocks("toml")[0]
    )
    (config_dir / "gptme.toml").write_text(text + blocks("toml")[1], encoding="utf-8")
    folder = Path.cwd()
    (folder / "config_examples").symlink_to(ROOT / "config_examples")
    (folder / "main.py").write_text("print('hi')\n", encoding="utf-8")
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    command = bin_folder / "adapter"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m adapter "$@"\n')
    if sys.version_info < (3, 11):  # -P, which keeps the working directory off the path
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m adapter "$@"\n')
    command.chmod(0o755)
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "GROQ_API_KEY": "gsk_test", "PYTHONPATH": str(ROOT)}


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=110,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_listing_is_printed_as_shown(environment: dict[str, str], config_dir: Path) -> None:
    (config_dir / "gptme.toml").write_text(blocks("toml")[0], encoding="utf-8")
    (block,) = blocks("console")
    command, expected = block.removeprefix("$ ").split("\n", 1)

    assert run(["sh", "-c", command], environment) == expected


@pytest.mark.parametrize("block", blocks("python"), ids=["drop-in", "sharing"])
def test_the_programs_run(block: str, environment: dict[str, str], server: Recorder) -> None:
    out = run([sys.executable, "-c", block], environment)

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
    assert run(["sh", "-c", command], environment) == f"{ANSWER}\n"
    assert server.only.key == "gsk_test"


def test_the_example_file_is_used_as_shown(environment: dict[str, str], server: Recorder) -> None:
    command = next(c for c in blocks("bash") if "config_examples" in c)
    link = Path("config_examples")
    link.unlink()
    link.mkdir()
    text = (ROOT / "config_examples" / "groq.toml").read_text(encoding="utf-8")
    changed = re.sub(r'base_url = "[^"]*"', f'base_url = "{server.base_url}"', text)
    (link / "groq.toml").write_text(changed, encoding="utf-8")

    assert run(["sh", "-c", command], environment) == f"{ANSWER}\n"


@pytest.mark.live
@pytest.mark.timeout(240)
def test_the_sharing_commands_run(
    environment: dict[str, str], server: Recorder, tmp_path: Path
) -> None:
    (script,) = blocks("sh")
    environment = {**environment, "XDG_RUNTIME_DIR": str(tmp_path), "AZURE_API_KEY": "az_test"}
    out = run(["sh", "-ec", script.replace("--detach", "--detach --port 0")], environment)

    assert out.endswith(f"\n{ANSWER}\n")
    # LiteLLM's proxy also lists the models of each server when it starts
    (asked,) = [request for request in server.requests if request.method == "POST"]
    assert asked.key == "gsk_test"
    assert "os.environ/GROQ_API_KEY" in Path("config.yaml").read_text(encoding="utf-8")


@pytest.mark.live
def test_the_embedded_model_answers_as_shown(environment: dict[str, str]) -> None:
    pytest.importorskip("xllamacpp")
    command = next(
        line for block in blocks("bash") for line in block.splitlines() if "embedded" in line
    )

    assert "sort" in run(["sh", "-c", command], environment)


def test_the_exit_codes_are_those_of_the_command() -> None:
    table = re.findall(r"^\| (\d+) \| (.*) \|$", README, re.MULTILINE)

    assert {int(code): text for code, text in table} == EXIT_CODES

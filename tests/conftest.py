"""Every test gets an empty HOME, an empty working folder and an environment without keys."""

from __future__ import annotations

import gc
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.command import PATIENCE
from tests.recorder import Recorder, recording_server

ROOT = Path(__file__).parents[1]

# Test modules import LiteLLM while they are collected, before any fixture: without this it would
# ask the network for its price map, and fail to import when that fails.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

# A shell that runs the tests in the background leaves SIGINT ignored, which the processes started
# here would inherit: Ctrl-C would not reach them.
signal.signal(signal.SIGINT, signal.default_int_handler)

FOREIGN = re.compile(r".*_API_KEY$|^(OPENAI|LITELLM|GPTME|ADAPTER|XDG|AZURE)_.*|^MODEL$")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--stress``, which `make stress` gives."""
    parser.addoption("--stress", action="store_true", help="run the long versions of tests")


def pytest_configure(config: pytest.Config) -> None:
    """Let hypothesis draw the same each time, but more and others under ``--stress``.

    So that no landing depends on a draw; no time decides a test, either.
    """
    settings.register_profile("usual", deadline=None, derandomize=True)
    settings.register_profile("stress", deadline=None, max_examples=20_000)
    settings.load_profile("stress" if config.getoption("--stress") else "usual")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests measured: each ``record_property("figure", text)`` of them."""
    reports = [r for group in terminalreporter.stats.values() for r in group]
    found = {
        str(value)
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "figure"
    }
    if found:
        terminalreporter.section("figures")
        for line in sorted(found):
            terminalreporter.write_line(line)


@pytest.fixture
def amount(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """Choose between a usual amount and the one of ``make stress``."""
    stress = request.config.getoption("--stress")

    def choose(usual: int, stressed: int) -> int:
        return stressed if stress else usual

    return choose


@pytest.fixture(autouse=True)
def hermetic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the test off from the user's files and variables."""
    for name in [n for n in os.environ if FOREIGN.match(n)]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    work = tmp_path / "work"
    home.mkdir()
    work.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("ADAPTER_WORKER", "off")
    # what a test writes counts in its next line
    monkeypatch.setattr("adapter.config.loading.LOOK_SECONDS", 0)
    monkeypatch.chdir(work)


@pytest.fixture(autouse=True, scope="module")
def connections() -> Iterator[None]:
    """Close what LiteLLM's cache keeps open for an hour: each test has servers of its own."""
    yield
    litellm: Any = sys.modules.get("litellm")
    if litellm is not None:
        litellm.in_memory_llm_clients_cache.flush_cache()
        gc.collect()


@pytest.fixture
def config_dir(tmp_path: Path) -> Path:
    """gptme's configuration folder of this test, existing and empty."""
    folder = tmp_path / "home" / ".config" / "gptme"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def write(config_dir: Path) -> Callable[..., Path]:
    """Write a configuration file (default ``gptme.toml``), mode 0600, and return its path."""

    def write_file(text: str, name: str = "gptme.toml", mode: int = 0o600) -> Path:
        path = config_dir / name
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    return write_file


@pytest.fixture
def written_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as such, whose state tells each change: else they are read at each look.

    Which they are for 20 ms after a change.
    """
    monkeypatch.setattr(time, "time_ns", lambda: 0)


@pytest.fixture
def server() -> Iterator[Recorder]:
    """An OpenAI-compatible server that records what it receives."""
    with recording_server() as recorder:
        yield recorder


@pytest.fixture
def other_server() -> Iterator[Recorder]:
    """A second one, to tell where a request went."""
    with recording_server() as recorder:
        yield recorder


@pytest.fixture
def adapter() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command ``adapter`` as a process, as a user would; stdin is empty by default."""

    def run(*args: str, stdin: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "adapter", *args],
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
            **options,
        )

    return run

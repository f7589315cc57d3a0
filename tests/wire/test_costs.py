"""What things cost, in counts that do not wobble: modules, files, system calls, instructions.

Times are in ``benchmarks/``; a change that makes one of these grow is seen here.
"""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import litellm
import pytest

import adapter
from adapter.call.translation import translate
from adapter.config.loading import load_config
from adapter.upstream.loading import load_litellm
from tests.command import provider
from tests.recorder import Recorder

Write = Callable[..., Path]

MESSAGES = [{"role": "user", "content": "q"}]
VALGRIND = shutil.which("valgrind")

# Runs the command, then says what it loaded and which files it opened, besides Python's own.
REPORT = """\
import sys
opened = []
sys.addaudithook(lambda event, args: event == "open" and opened.append(str(args[0])))
from adapter.cli import main
code = main.run(sys.argv[1:])
print("modules", len(sys.modules), file=sys.stderr)
packages = {m for m in sys.modules if m.count(".") == 1 and hasattr(sys.modules[m], "__path__")}
ours = {m for m in sys.modules if m.startswith("adapter")} - packages | {"adapter.cli"}
print("ours", *ours, file=sys.stderr)
own = (".py", ".pyc", ".so", ".pth")
print("opened", *(o for o in opened if not o.endswith(own) and not o.isdigit()), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def config(write: Write, server: Recorder, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One provider ``p`` at the server, with a key and one parameter of LiteLLM's."""
    extras = "[plugin.litellm.providers.p]\ntimeout = 30\n"
    path = write(provider(server.base_url, api_key_env="P_KEY", default_model="m") + extras)
    monkeypatch.setenv("P_KEY", "sk-p")
    return path


def measured(*command: str) -> dict[str, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", REPORT, *command], capture_output=True, text=True, check=True
    )
    lines = [line.split() for line in done.stderr.splitlines()]
    return {words[0]: words[1:] for words in lines if words[:1] != ["warning:"]}


def modules_of(code: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(len(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


LISTING = {
    "adapter",
    "adapter._text",
    "adapter.call",
    "adapter.call.resolution",
    "adapter.cli",
    "adapter.cli.entry",
    "adapter.cli.lazy",
    "adapter.cli.main",
    "adapter.cli.options",
    "adapter.cli.output",
    "adapter.cli.providers",
    "adapter.errors",
}
READING = {
    *("adapter._files", "adapter._locks", "adapter._tables"),
    *(
        "adapter.config.checks",
        "adapter.config.files",
        "adapter.config.loading",
    ),
    *("adapter.config.provider", "adapter.keys.precedence", "adapter.keys.sources"),
    *("adapter.secrets.policy", "adapter.secrets.references", "adapter.secrets.scrubber"),
    "adapter.secrets.secret",
}


def test_listing_providers_loads_what_it_needs_and_reads_each_file_once(config: Path) -> None:
    found = measured("providers", "list")

    assert set(found["ours"]) <= LISTING | READING
    others = int(found["modules"][0]) - len(found["ours"]) - modules_of("import click, tomli")
    assert others < 24  # of the standard library
    assert found["opened"] == [str(config)]


def test_help_reads_no_file(config: Path) -> None:
    found = measured("--help")

    assert not set(found["ours"]) & READING
    assert found["opened"] == []


def calls(function: Callable[[], Any]) -> Counter[str]:
    """Return how often each function was called, in Python and in C, by this thread."""
    found: Counter[str] = Counter()

    def count(frame: FrameType, event: str, arg: Any) -> None:
        if event == "call":
            found[frame.f_code.co_name] += 1
        elif event == "c_call":
            found[arg.__name__] += 1

    gc.disable()  # Hypothesis has a callback for each collection
    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
        gc.enable()
    return found


def fewest_calls(function: Callable[[], Any]) -> Counter[str]:
    """Return the least of several counts: now and then a reply comes in two pieces."""
    return min((calls(function) for _ in range(5)), key=lambda counted: sum(counted.values()))


@pytest.fixture
def visible(written_long_ago: None) -> None:
    """Have LiteLLM imported, which is not counted."""
    load_litellm()


def looks(counted: Counter[str]) -> int:
    return counted["stat"] + counted["access"]


def test_a_completion_calls_little_more_than_litellms_own(
    config: Path, server: Recorder, visible: None
) -> None:
    """Counted in function calls, of which each takes about as long as the next."""
    plain = {"model": "openai/m", "api_base": server.base_url, "api_key": "sk-p", "timeout": 30}

    def ours() -> Any:
        return adapter.completion("p", messages=MESSAGES)

    def theirs() -> Any:
        return litellm.completion(**plain, messages=MESSAGES)

    for _ in range(3):  # what is made once, such as clients, is there then
        ours()
        theirs()
    counted, base = fewest_calls(ours), fewest_calls(theirs)

    assert sum(counted.values()) <= 1.03 * sum(base.values())
    once = 1 + len(load_config().paths)  # the folder, and each file
    assert looks(counted) - looks(base) == once
    assert counted["open"] == base["open"] == 0


def test_translation_looks_at_each_file_once_and_opens_none(
    config: Path, visible: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    translate("p")
    counted = calls(lambda: translate("p"))

    assert looks(counted) == 1 + len(load_config().paths)  # the folder, and each file
    assert counted["open"] == 0
    assert sum(counted.values()) < 160

    monkeypatch.setattr("adapter.config.loading.LOOK_SECONDS", 3600)
    translate("p")
    counted = calls(lambda: translate("p"))
    assert looks(counted) == 0
    assert sum(counted.values()) < 80


def test_translation_costs_the_same_for_one_provider_and_for_ten_thousand(write: Write) -> None:
    counted = []
    for number in (1, 10_000):
        path = write("".join(provider("http://localhost:1/v1", f"p{i}") for i in range(number)))
        config = load_config(path)
        name = f"p{number - 1}/m"
        translate(name, config)
        counted.append(calls(lambda name=name, config=config: translate(name, config)))  # type: ignore[misc]  # bound now

    assert counted[0] == counted[1]


def instructions(compiled: Path, *command: str) -> int:
    """Return how many instructions ``command`` takes, which is the same each time."""
    assert VALGRIND
    environ = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPYCACHEPREFIX": str(compiled)}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # the first run compiles all that is imported
    subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, check=True)
    tool = [VALGRIND, "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    done = subprocess.run(
        [*tool, *command],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    assert found, done.stderr
    return int(found[1])


TRANSLATING = """\
from adapter import load_config, translate
config = load_config()
for _ in range({}):
    translate("p", config)
"""


@pytest.mark.timeout(900)  # each of the four runs takes fifty times as long as without
@pytest.mark.skipif(VALGRIND is None, reason="counts instructions with valgrind, which is not here")
def test_instructions(
    config: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    counted = partial(instructions, tmp_path / "compiled", sys.executable)
    click = counted("-c", "import click")
    listing = counted("-m", "adapter", "providers", "list")
    few, many = (counted("-c", TRANSLATING.format(n)) for n in (100, 600))
    each = (many - few) // 500

    ratio = listing / click
    record_property(
        "figure",
        f"providers list: {ratio:.2f} of the instructions of import click; translate: {each}",
    )
    assert ratio <= 1.85
    assert each < 95_000

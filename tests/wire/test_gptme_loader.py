"""What an import writes, read by gptme itself where `make bench` has installed it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from adapter.config.loading import Config, load_config
from adapter.sharing.applying import write_import
from adapter.sharing.importing import plan_import
from tests.command import ROOT, run
from tests.wire.test_import_oracle import ELSEWHERE, ENVIRON, configurations

GPTME = ROOT / ".bench" / "gptme" / "bin" / "python"
SAMPLES = [p for p in sorted((ROOT / "tests" / "samples").rglob("*.*")) if p.suffix != ".expected"]

pytestmark = pytest.mark.skipif(not GPTME.exists(), reason="make bench installs gptme")

SERVE = """\
import json, sys
from gptme.config import load_user_config
fields = ("name", "base_url", "api_key", "api_key_env", "default_model")
for line in sys.stdin:
    providers = load_user_config(line.strip()).providers
    rows = [[getattr(p, f) for f in fields] for p in providers]
    print("rows: " + json.dumps(rows), flush=True)
"""

Read = Callable[[Path], list[list[Any]]]


@pytest.fixture(scope="module")
def gptme() -> Iterator[Read]:
    """Return a function that returns the providers that gptme's loader reads from a file."""
    with subprocess.Popen(
        [GPTME, "-c", SERVE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None

        def read(path: Path) -> list[list[Any]]:
            print(path, file=child.stdin, flush=True)
            assert child.stdout is not None
            for line in child.stdout:
                if line.startswith("rows: "):
                    rows: list[list[Any]] = json.loads(line.removeprefix("rows: "))
                    return rows
            raise AssertionError("gptme's process has ended")

        try:
            yield read
        finally:
            child.kill()


def compare(gptme: Read, target: Path) -> None:
    ours = load_config(target).providers
    rows = [[p.name, p.base_url, p.api_key, p.api_key_env, p.default_model] for p in ours]
    assert gptme(target) == rows


@pytest.mark.timeout(330)
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_gptme_reads_the_same_providers(
    gptme: Read, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_BASE", "https://gateway.example/v1")
    for path in sample.parent.glob("*.*"):
        shutil.copy(path, path.name)
    target = Path("new.toml").resolve()
    run("config", "import", sample.name, "--to", str(target), "--compatible")
    if target.exists():  # else an included part of another sample
        compare(gptme, target)


@pytest.mark.timeout(330)
@settings(max_examples=100, deadline=None)
@given(configurations())
def test_gptme_reads_the_same_of_any_configuration(gptme: Read, config: dict[str, Any]) -> None:
    source, target = Path("any.yaml"), Path("any.toml").resolve()
    source.write_text(json.dumps(config))
    target.unlink(missing_ok=True)
    plan = plan_import(source, None, {**ENVIRON, **ELSEWHERE}, compatible=True)
    write_import(plan, Config(), target)
    if target.exists():
        compare(gptme, target)

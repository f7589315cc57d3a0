"""What an import writes, read by gptme itself where `make bench` has installed it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from adapter.config.loading import load_config
from tests.command import ROOT, run

GPTME = ROOT / ".bench" / "gptme" / "bin" / "python"
SAMPLES = [p for p in sorted((ROOT / "tests" / "samples").rglob("*.*")) if p.suffix != ".expected"]

pytestmark = pytest.mark.skipif(not GPTME.exists(), reason="make bench installs gptme")

LOAD = """\
import json, sys
from gptme.config import load_user_config
providers = load_user_config(sys.argv[1]).providers
fields = ("name", "base_url", "api_key", "api_key_env", "default_model")
print(json.dumps([[getattr(p, f) for f in fields] for p in providers]))
"""


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_gptme_reads_the_same_providers(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_BASE", "https://gateway.example/v1")
    for path in sample.parent.glob("*.*"):
        shutil.copy(path, path.name)
    target = Path("new.toml").resolve()
    run("config", "import", sample.name, "--to", str(target), "--compatible")
    if not target.exists():  # an included part of another sample
        return
    done = subprocess.run(
        [GPTME, "-c", LOAD, str(target)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    theirs: list[list[Any]] = json.loads(done.stdout.splitlines()[-1])
    ours = load_config(target).providers
    assert theirs == [[p.name, p.base_url, p.api_key, p.api_key_env, p.default_model] for p in ours]

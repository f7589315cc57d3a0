"""Writers that are killed in the middle: a file is always the old one or the new one, whole."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import tomli

from adapter.editing import edit

KILLS = 200

# Adds and removes one provider, with its key in the private file, until it is killed.
WRITER = """\
import sys
from adapter.config import load_config
from adapter.keys import Secret
from adapter.managing import NewProvider, add, remove

if load_config().find("new"):
    remove("new", load_config())
print("ready", flush=True)
while True:
    add(NewProvider("new", "http://localhost:1/v1", api_key=Secret("sk-new")), load_config())
    remove("new", load_config())
"""

SHARED = (
    '# mine\n[[providers]]\nname = "a"\nbase_url = "http://localhost:2/v1"\n\n[models]\nx = 1\n'
)
PRIVATE = '# secrets\n[[providers]]\nname = "a"\napi_key = "sk-a"\n'


def test_a_killed_writer_leaves_whole_files(config_dir: Path) -> None:
    shared, private = config_dir / "gptme.toml", config_dir / "config.local.toml"
    shared.write_text(SHARED)
    private.write_text(PRIVATE)
    private.chmod(0o600)
    chance = random.Random(20261124)
    seen: set[tuple[int, int]] = set()
    killed = 0
    while killed < KILLS:
        writer = subprocess.Popen([sys.executable, "-c", WRITER], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        assert select.select([writer.stdout], [], [], 100)[0]
        assert writer.stdout.readline() == b"ready\n"
        # the same writer is stopped at many points of its work, and killed at the last of them
        for _ in range(20):
            time.sleep(chance.uniform(0, 0.005))
            os.kill(writer.pid, signal.SIGSTOP)
            seen.add(check(shared, private))
            os.kill(writer.pid, signal.SIGCONT)
        writer.kill()
        writer.wait()
        writer.stdout.close()
        killed += 1
        check(shared, private)
    assert len(seen) > 1  # it was met before and after a write
    for path in (shared, private):
        edit(path, lambda document: document.update(done=True), secret=path == private)
    assert sorted(config_dir.iterdir()) == sorted([shared, private])


def check(shared: Path, private: Path) -> tuple[int, int]:
    """Check that both files are whole; return how many providers each has."""
    texts = shared.read_text(), private.read_text()
    for text, old in zip(texts, (SHARED, PRIVATE), strict=True):
        tomli.loads(text)
        assert all(line in text for line in old.splitlines())
    assert private.stat().st_mode & 0o777 == 0o600
    both = [len(tomli.loads(text)["providers"]) for text in texts]
    return both[0], both[1]

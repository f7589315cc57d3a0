"""Writers that are killed in the middle: a file is always the old one or the new one, whole."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tomli

from adapter.editing.edits import edit
from tests.command import is_readable

KILLS = 200

# Each writes one provider, with its key in the private file, and removes it, until it is killed.
WRITERS = {
    "add": """\
import os, sys
from adapter.config.loading import load_config
from adapter.secrets.secret import Secret
from adapter.config.provider import Provider
from adapter.providers.registration import add, remove

def write():
    add(Provider("new", "http://localhost:1/v1", api_key=Secret("sk-new")), load_config())
""",
    "import": """\
import os, sys
from adapter.config.loading import load_config
from adapter.config.files import shared_file
from adapter.sharing.applying import write_import
from adapter.sharing.importing import plan_import
from adapter.providers.registration import remove

def write():
    config = load_config()
    plan = plan_import("config.yaml", config)
    write_import(plan, config, shared_file(), include_secrets=True)
""",
}
# For each line it reads, a process that does so until it is killed: nothing is imported again.
ROUNDS = """
for _ in sys.stdin:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        continue
    if load_config().find("new"):
        remove("new", load_config())
    print(os.getpid(), flush=True)
    while True:
        write()
        remove("new", load_config())
"""

IMPORTED = """\
model_list:
  - model_name: new/*
    litellm_params:
      model: openai/*
      api_base: http://localhost:1/v1
      api_key: sk-new
"""

SHARED = (
    '# mine\n[[providers]]\nname = "a"\nbase_url = "http://localhost:2/v1"\n\n[models]\nx = 1\n'
)
PRIVATE = '# secrets\n[[providers]]\nname = "a"\napi_key = "sk-a"\n'


@pytest.mark.parametrize("writer", WRITERS)
def test_a_killed_writer_leaves_whole_files(writer: str, config_dir: Path) -> None:
    shared, private = config_dir / "gptme.toml", config_dir / "config.local.toml"
    shared.write_text(SHARED)
    private.write_text(PRIVATE)
    private.chmod(0o600)
    Path("config.yaml").write_text(IMPORTED)
    chance = random.Random(20261124)
    seen: set[tuple[int, int]] = set()
    longest = 0.005  # seconds between two looks
    with writers(WRITERS[writer] + ROUNDS) as start:
        for _ in range(KILLS // len(WRITERS)):
            process = start()
            # the same writer is stopped at many points of its work, and killed at the last of them
            for _ in range(20):
                time.sleep(chance.uniform(0, longest))
                os.kill(process, signal.SIGSTOP)
                seen.add(check(shared, private))
                os.kill(process, signal.SIGCONT)
            os.kill(process, signal.SIGKILL)
            check(shared, private)
            if len(seen) == 1:
                longest *= 2  # a slow disk
    assert len(seen) > 1  # it was met before and after a write
    for path in (shared, private):
        edit(path, lambda document: document.update(done=True), secret=path == private)
    assert sorted(config_dir.iterdir()) == sorted([shared, private])


@contextmanager
def writers(program: str) -> Iterator[Callable[[], int]]:
    """Run ``program``; each call of what is returned starts a writer, and gives its process id."""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as parent:

        def start() -> int:
            assert parent.stdin is not None
            assert parent.stdout is not None
            parent.stdin.write(b"\n")
            assert is_readable(parent.stdout.fileno())
            return int(parent.stdout.readline())

        try:
            yield start
        finally:
            os.killpg(parent.pid, signal.SIGKILL)


def check(shared: Path, private: Path) -> tuple[int, int]:
    """Check that both files are whole; return how many providers each has."""
    texts = shared.read_text(), private.read_text()
    for text, old in zip(texts, (SHARED, PRIVATE), strict=True):
        tomli.loads(text)
        assert all(line in text for line in old.splitlines())
    assert private.stat().st_mode & 0o777 == 0o600
    both = [len(tomli.loads(text)["providers"]) for text in texts]
    return both[0], both[1]

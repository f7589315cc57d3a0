"""A home with a worker of its own, and the command run in it as a process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from tests.command import PATIENCE, provider
from tests.recorder import Recorder
from tests.waiting import come_to, is_running

__all__ = ["CANARIES", "COMMAND", "IMPORT_CANARY", "KEY", "Done", "Place", "configure", "place"]

COMMAND = [sys.executable, "-m", "adapter"]

KEY = "canary-of-the-key"

IMPORT_CANARY = {"ANTHROPIC_TOKEN_COUNTING_BETA_VERSION": "canary-of-the-import"}
"""A variable that LiteLLM's import asks for and whose name is that of a secret."""

CANARIES = (KEY, "canary-of-a-header", "canary-of-the-import", "canary-of-openai")

PROBE = """
[plugin.litellm.providers.probe]
api_key_cmd = '''
ignored=$(sed -n "s/^SigIgn:.//p" /proc/self/status)
printf '%s|%s|%s|%s|%s|%s' "$SEEN" "$(pwd)" "$(umask)" "$(ulimit -n)" "$(nice)" "$ignored"'''
"""
"""A provider whose key says what its command finds: variable, folder, umask, limit, priority, and
which signals are ignored."""


class Done(NamedTuple):
    """How a command ended: its exit code, negative for a signal, and the bytes that it wrote."""

    code: int
    out: bytes
    err: bytes

    @property
    def way(self) -> str:
        """How the query went, which ``-v`` says at the end."""
        return self.err.decode().splitlines()[-1].partition(" s, ")[2]


class Place:
    """A home. ``environ`` are the variables of a command there, which uses and starts a worker."""

    def __init__(self, home: Path) -> None:
        self.home = home
        for name in ("work", "runtime", ".config/gptme"):
            (home / name).mkdir(parents=True)
        kept = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "COVERAGE_PROCESS_START")
        self.environ = {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_RUNTIME_DIR": str(home / "runtime"),
            "NO_PROXY": "*",
            "ADAPTER_WORKER": "on",
        }

    def write(self, text: str, name: str = "gptme.toml") -> Path:
        """Write a configuration file."""
        path = self.home / ".config/gptme" / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path

    def run(self, *args: str, stdin: Any = b"", **options: Any) -> Done:
        """Run ``adapter *args`` as a process; ``stdin`` is bytes or a file, the rest as usual."""
        environ: Mapping[str, str] = options.pop("env", self.environ)
        given = {"cwd": self.home / "work", "env": environ, "timeout": PATIENCE, **options}
        given["input" if isinstance(stdin, bytes) else "stdin"] = stdin
        done = subprocess.run([*COMMAND, *args], capture_output=True, check=False, **given)
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self) -> int:
        """Start the worker, and return its process number."""
        done = self.run("worker", "start")
        started = re.search(rb"the worker runs \(pid (\d+)\)\n$", done.err)
        assert started, done
        return int(started[1])

    def status(self) -> dict[str, str]:
        """Return what ``adapter worker status`` says, by its titles; empty where none runs."""
        done = self.run("worker", "status")
        assert done.code == (0 if done.out else 1)
        return dict(line.split(": ", 1) for line in done.out.decode().splitlines())

    @property
    def pid(self) -> int:
        found = re.match(r"pid (\d+),", self.status()["Worker"])
        assert found
        return int(found[1])

    @property
    def queries(self) -> int:
        """How many queries the worker has answered, once all of its children have ended."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        assert come_to(lambda: not children.read_text())
        return int(self.status()["Queries"])

    def comes_up(self) -> bool:
        """Wait until a worker runs that somebody has started."""
        return come_to(lambda: bool(self.status()))

    def processes(self) -> list[int]:
        """Return the processes that have this home in their environment, or in their worker's."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if str(self.home / "runtime").encode() in (path / "cmdline").read_bytes():
                    found.append(int(path.name))
        return [pid for pid in found if is_running(pid)]

    def end(self) -> None:
        """End what is left of workers here."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, signal.SIGTERM)
        if not come_to(lambda: not self.processes()):
            raise AssertionError(f"left: {self.processes()}")


@contextmanager
def place(home: Path) -> Iterator[Place]:
    """Make a home whose workers end with the block."""
    made = Place(home)
    try:
        yield made
    finally:
        made.end()


def configure(home: Place, server: Recorder) -> None:
    """Give a home the providers ``p``, with canaries, and ``probe`` on ``server``."""
    tables = [provider(server.base_url, "p", api_key_env="P_KEY", default_model="m")]
    home.write("\n".join([*tables, provider(server.base_url, "probe"), PROBE]))
    home.environ.update(P_KEY=KEY, TOKEN="canary-of-a-header", OPENAI_API_KEY="canary-of-openai")

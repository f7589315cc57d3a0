"""Running the command: in this process, which shares one import of LiteLLM, or as its own."""

from __future__ import annotations

import io
import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TextIO
from unittest import mock

import pytest
import tomli

from adapter.cli import main

ROOT = Path(__file__).parents[1]
PROJECT = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

needs_gateway = pytest.mark.skipif(
    find_spec("fastapi") is None, reason="needs the extra gateway, which is not installed"
)
"""For tests of what a gateway says once its packages are there; the newest LiteLLM has none."""

PATIENCE = 200.0
"""How long a test waits, in seconds, before it fails. No test waits for that long to pass."""


NETWORK = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_VERIFY", "REQUESTS_CA_BUNDLE"),
)
"""Variables that decide how a call reaches its host."""


class Outcome(NamedTuple):
    """How the command ended: its exit code and what it wrote."""

    code: int
    out: str
    err: str


def run(*args: str, stdin: bytes = b"", stdout: TextIO | None = None) -> Outcome:
    """Run ``adapter *args`` with ``stdin`` piped in; the environment is restored afterwards.

    ``out`` is empty where the caller gives a ``stdout`` of its own, such as a terminal.
    """
    out, err = _pipe(), _pipe()
    with (
        mock.patch.dict(os.environ),
        mock.patch.multiple(sys, stdin=_pipe(stdin), stdout=stdout or out, stderr=err),
    ):
        code = main.run(list(args))
    return Outcome(code, _text(out), _text(err))


def run_apart(
    environ: Mapping[str, str], *args: str, cwd: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``adapter *args`` as a process of its own, in ``environ`` alone."""
    return subprocess.run(
        [sys.executable, "-m", "adapter", *args],
        env=environ,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def gateway_environ(**more: str) -> dict[str, str]:
    """Return an environment for a gateway: what processes need, the network's, and ``more``."""
    kept = ("PATH", "LANG", *NETWORK)
    return {**{k: v for k, v in os.environ.items() if k in kept}, **more}


def _pipe(data: bytes = b"") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="")


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


@contextmanager
def started(*args: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start ``adapter *args`` as a process, stdin empty, stdout and stderr piped unbuffered."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    options = {**pipes, "bufsize": 0, **options}
    process = subprocess.Popen([sys.executable, "-m", "adapter", *args], **options)
    with process:
        try:
            yield process
        finally:
            process.kill()


def is_readable(descriptor: int) -> bool:
    """Wait until there is something to read, or the end; ``False`` after ``PATIENCE``."""
    waiting = select.poll()  # not select(), which knows descriptors below 1024 only
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(PATIENCE * 1000))


def read_exactly(stream: Any, size: int) -> bytes:
    """Return ``size`` bytes of a process's pipe as soon as they are there."""
    read = b""
    while len(read) < size:
        assert is_readable(stream.fileno()), f"only {read!r} came"
        piece = os.read(stream.fileno(), size - len(read))
        assert piece, f"the pipe was closed after {read!r}"
        read += piece
    return read


def read_terminal(user: int, program: int) -> bytes:
    """Return all that was written to the program's side so far, however it arrives in pieces."""
    end = b"\x00end"
    os.write(program, end)
    read = b""
    while not read.endswith(end):
        assert is_readable(user), f"only {read!r} came"
        read += os.read(user, 65536)
    return read.removesuffix(end)


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """Open a pseudo-terminal: the descriptor of the user's side and that of the program's."""
    user, program = pty.openpty()
    try:
        yield user, program
    finally:
        os.close(user)
        os.close(program)


def at_a_terminal(
    *args: str,
    answers: Mapping[str, str | list[str]] | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Run the command on a terminal; return its exit code and all that it showed.

    Each question of ``answers`` is answered as it comes, one that has a list that often.
    """
    user, program = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "adapter", *args],
        stdin=program if answers is not None else subprocess.DEVNULL,
        stdout=program,
        stderr=program,
        start_new_session=True,
        env={**os.environ, **(environ or {})},
    )
    os.close(program)
    shown = b""
    left = {q: [a] if isinstance(a, str) else list(a) for q, a in (answers or {}).items()}
    answered = -1
    while True:
        assert is_readable(user), shown
        try:
            shown += os.read(user, 65536)
        except OSError:  # the other side is closed
            break
        line = shown.count(b"\n")
        for question, words in left.items():
            last = shown.rpartition(b"\n")[2]
            # the space comes last, and for a hidden answer once the terminal shows none
            asked = last.startswith(question.encode()) and last.endswith(b" ")
            if asked and words and line > answered:
                os.write(user, words.pop(0).encode() + b"\n")
                answered = line
    os.close(user)
    assert not any(left.values()), shown
    return process.wait(PATIENCE), shown.decode()


def console_script(folder: Path) -> str:
    """Make the script ``adapter`` in ``folder`` that pip would make of ``[project.scripts]``."""
    module, _, function = PROJECT["scripts"]["adapter"].partition(":")
    lines = ["#!" + sys.executable, f"from {module} import {function}", f"{function}()"]
    script = folder / "adapter"
    script.write_text("\n".join(lines), encoding="utf-8")
    script.chmod(0o755)
    return str(script)


def provider(base_url: str, name: str = "p", **fields: str) -> str:
    """Return a ``[[providers]]`` table in TOML."""
    values = {"name": name, "base_url": base_url, **fields}
    lines = [f'{key} = "{value}"' for key, value in values.items()]
    return "\n".join(["[[providers]]", *lines, ""])

"""Write docs/assets/*.svg: what a terminal shows of the command, from real runs of it.

Usage: python docs/record.py [FOLDER]. Servers on this machine answer. Their addresses and the times
are replaced, so that each run makes the same files; a test compares them.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from rich.cells import chop_cells
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.recorder import REPLIES, Recorder, Reply, Request, chat_stream, recording_server  # noqa: E402 - after the path to them

WIDTH, HEIGHT = 88, 30

FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace"
"""Instead of the font that rich's pictures fetch from another host."""

NOBODY = "127.0.0.1:1"
"""Where no server listens."""

CONFIG = """\
[[providers]]
name = "groq"
base_url = "{groq}"
api_key_env = "GROQ_API_KEY"
default_model = "openai/gpt-oss-120b"

[[providers]]
name = "vllm"
base_url = "{vllm}"
default_model = "qwen3-8b"

[[providers]]
name = "ollama"
base_url = "{ollama}"
default_model = "llama3.2"
"""

ANSWER = """\
A qubit holds a mixture of 0 and 1, and several of them hold all their
combinations at once. An algorithm lets the wrong ones cancel out, so that
measuring gives the right one with high probability.
"""


class Picture(NamedTuple):
    """A file, its title bar, and the command line in it."""

    file: str
    title: str
    words: tuple[str, ...]


PICTURES = (
    Picture("one-shot.svg", "One question", ("-m", "groq", "Explain quantum computing")),
    Picture("providers-test.svg", "All providers, tested", ("providers", "test", "--all")),
)


def groq(request: Request) -> Reply | None:
    """Answer as a server that has the default model."""
    if request.path.endswith("/models"):
        return models("openai/gpt-oss-20b", "openai/gpt-oss-120b")
    if request.body.get("stream"):
        return Reply(200, chat_stream(ANSWER.splitlines(keepends=True)))
    return Reply(200, REPLIES["/chat/completions"])


def vllm(request: Request) -> Reply | None:
    """Answer as a server that has another model."""
    if request.path.endswith("/models"):
        return models("Qwen/Qwen3-8B")
    return Reply(404, {"error": {"message": "The model `qwen3-8b` does not exist.", "code": 404}})


def models(*names: str) -> Reply:
    rows = [{"id": name, "object": "model"} for name in names]
    return Reply(200, {"object": "list", "data": rows})


def at_a_terminal(words: Iterable[str], environ: dict[str, str]) -> str:
    """Return all that ``adapter`` writes to a terminal."""
    user, program = pty.openpty()
    fcntl.ioctl(program, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "adapter", *words],
        stdin=subprocess.DEVNULL,
        stdout=program,
        stderr=program,
        start_new_session=True,
        env=environ,
        cwd=environ["HOME"],
    )
    os.close(program)
    written = b""
    while True:
        try:
            piece = os.read(user, 65536)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        written += piece
    os.close(user)
    assert process.wait() >= 0, f"adapter was killed by signal {-process.returncode}"
    return written.decode()


def settled(written: str) -> str:
    """Return what stands on the terminal at the end: lines drawn anew, in place of the old.

    The command moves up by whole lines and clears each before it writes (``\\x1b[2K``), or goes
    back to a line's beginning and clears it (``\\r\\x1b[K``); anything else would show here as an
    escape sequence, and fails.
    """
    lines: list[str] = []
    row = 0
    for line in written.replace("\r\n", "\n").split("\n"):
        text = line
        if up := re.match(r"\x1b\[(\d+)A", text):
            row -= int(up[1])
            text = text[up.end() :]
        text = text.rpartition("\r\x1b[K")[2].removeprefix("\x1b[2K")
        lines[row : row + 1] = [text]
        row += 1
    text = "\n".join(lines).rstrip("\n")
    assert "\x1b" not in text, text
    return text


def without_chance(text: str, addresses: dict[str, str]) -> str:
    """Return ``text`` with the ``addresses`` replaced, and the same time for each step."""
    for real, shown in addresses.items():
        text = text.replace(real, shown)
    text = re.sub(r"\(\d+\.\d\d s\)", "(0.21 s)", text)
    return re.sub(r"[ \d]{3}\.\d{3} s  ", "  0.030 s  ", text)


def svg(picture: Picture, shown: str) -> str:
    """Return the picture of a terminal, in fonts that the reader has."""
    prompt = " ".join(f'"{word}"' if " " in word else word for word in picture.words)
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(Text.assemble(("$ ", "green"), (f"adapter {prompt}", "bold")))
    for line in shown.split("\n"):
        for piece in chop_cells(line, WIDTH) or [""]:  # as a terminal wraps it
            console.print(Text(piece))
    console.print()  # else the picture ends at the last line's feet
    made = console.export_svg(title=picture.title, theme=MONOKAI, unique_id=picture.file[:-4])
    made = re.sub(r"\s*@font-face \{.*?\}\n", "\n", made, flags=re.DOTALL)
    return made.replace("Fira Code, monospace", FONTS).replace("arial", "sans-serif")


def configured(home: Path, groq: Recorder, vllm: Recorder) -> dict[str, str]:
    """Write the configuration, and return the environment of the command."""
    folder = home / ".config" / "gptme"
    folder.mkdir(parents=True)
    text = CONFIG.format(groq=groq.base_url, vllm=vllm.base_url, ollama=f"http://{NOBODY}/v1")
    (folder / "gptme.toml").write_text(text, encoding="utf-8")
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(home),
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "GROQ_API_KEY": "gsk_example",
        "NO_PROXY": "*",
        "ADAPTER_WORKER": "off",
    }


def record(folder: Path) -> None:
    """Write all pictures into ``folder``."""
    with (
        tempfile.TemporaryDirectory() as home,
        recording_server() as first,
        recording_server() as second,
    ):
        first.script, second.script = groq, vllm
        environ = configured(Path(home), first, second)
        addresses = {
            first.origin: "https://api.groq.com/openai",
            second.origin: "http://localhost:8000",
            second.origin.removeprefix("http://"): "127.0.0.1:8000",
            f"http://{NOBODY}": "http://localhost:11434",
            f"{NOBODY}:": "localhost:11434:",
        }
        for picture in PICTURES:
            shown = without_chance(settled(at_a_terminal(picture.words, environ)), addresses)
            (folder / picture.file).write_text(svg(picture, shown), encoding="utf-8")


if __name__ == "__main__":
    record(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).with_name("assets"))

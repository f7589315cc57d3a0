"""Write docs/cli.md: the help of every command, as it prints it.

Usage: python docs/generate_cli.py. A test compares the file with what this makes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from adapter.cli.main import cli

WIDTH = 100

HEAD = """\
# Command reference

This page shows the help of every command.

<!-- Made by `python docs/generate_cli.py`; a test compares it. -->

![In a terminal: adapter -m groq "Explain quantum computing", and an answer of three \
lines.](assets/one-shot.svg)

![In a terminal: adapter providers test --all. Of three providers groq passes every step; vllm \
fails, since its server does not have the default model, and ollama, since nobody listens \
there.](assets/providers-test.svg)
"""


def commands(command: click.Command, path: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the help of ``command`` and of all below it."""
    context = click.Context(
        command, info_name=path, terminal_width=WIDTH, help_option_names=["-h", "--help"]
    )
    yield path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None and f"{path} {name}" != "adapter query":
                yield from commands(inner, f"{path} {name}")


def text() -> str:
    """Return the whole page."""
    blocks = [f"## {name}\n\n```text\n{said}\n```\n" for name, said in commands(cli, "adapter")]
    return "\n".join([HEAD, *blocks])


if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(text(), encoding="utf-8")

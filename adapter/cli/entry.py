"""What ``adapter`` calls first: a query goes to the worker, all else runs in this process."""

from __future__ import annotations

import os
import sys

__all__ = ["main"]

COMMANDS = ("completion", "config", "keys", "models", "providers", "query", "serve", "worker")
"""The first words that are no prompt; all but ``query`` are answered in this process."""


def main() -> None:
    """Run the command of this process and exit."""
    if sys.platform != "linux" or not is_query(sys.argv[1:]) or "_ADAPTER_COMPLETE" in os.environ:
        from adapter.cli.main import main as run

        run()
    from adapter.worker import client

    code = client.query(sys.argv[1:])
    if code is not None:
        os._exit(code)  # nothing here needs the interpreter's end
    try:
        from adapter.cli.main import main as run

        run()
    finally:
        from adapter.cli.worker import start_after_query

        start_after_query()


def is_query(arguments: list[str]) -> bool:
    """Whether a command line is a query's, which needs LiteLLM unless something is wrong in it."""
    word = first_word(arguments)
    return word == "query" or word not in (None, *COMMANDS, "-h", "--help", "--version")


def first_word(arguments: list[str]) -> str | None:
    """Return what decides which command this is: the first word that is no ``--config``'s."""
    first = 0
    while first < len(arguments) and arguments[first].partition("=")[0] == "--config":
        first += 1 if "=" in arguments[first] else 2
    return arguments[first] if first < len(arguments) else None

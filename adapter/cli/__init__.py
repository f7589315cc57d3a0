"""The command: parse, call the library, render. Here are its words, which load nothing else."""

from __future__ import annotations

__all__ = ["COMMANDS", "FLAGS", "first_word", "is_query"]

COMMANDS = {
    "batch": ("adapter.cli.batch", "batch", "Answer each request of a file once."),
    "completion": ("adapter.cli.completing", "completion", "Print a shell's completion script."),
    "config": ("adapter.cli.config", "config", "Check, export and import the configuration."),
    "env": ("adapter.cli.programs", "env", "Print the variables of the running gateway."),
    "keys": ("adapter.cli.keys", "keys", "Keep keys in the OS keyring."),
    "models": ("adapter.cli.models", "models", "List the models of your servers."),
    "providers": (
        "adapter.cli.providers",
        "providers",
        "Show, add, remove, find and test providers.",
    ),
    "query": ("adapter.cli.query", "query", "Send a prompt. This is the default command."),
    "run": ("adapter.cli.programs", "run", "Run a program with a gateway to your providers."),
    "serve": ("adapter.cli.serve", "serve", "Run the providers as a LiteLLM gateway."),
    "worker": ("adapter.cli.worker", "worker", "Keep LiteLLM imported for quick queries."),
}
"""Command -> its module, its name there, its line in ``--help``; imported only when it is used."""

FLAGS = ("-h", "--help", "--version")
"""The first words that are neither a command's nor a query's."""


def is_query(arguments: list[str]) -> bool:
    """Whether a command line is a query's, which needs LiteLLM unless something is wrong in it."""
    word = "".join(arguments[first_word(arguments) :][:1])
    return word == "query" or (word != "" and word not in COMMANDS and word not in FLAGS)


def first_word(arguments: list[str]) -> int:
    """Return where the first word stands that is no ``--config``'s: it may name a command."""
    first = 0
    while first < len(arguments) and arguments[first].partition("=")[0] == "--config":
        first += 1 if "=" in arguments[first] else 2
    return first

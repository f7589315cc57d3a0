"""Shell completion: the script to source, and what is completed."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem, get_completion_class

from adapter.config import load_config
from adapter.errors import AdapterError

__all__ = ["VARIABLE", "complete_model", "complete_provider", "completion"]

VARIABLE = "_ADAPTER_COMPLETE"
"""Click's variable, by which the script asks the command for completions."""

HOW = {
    "bash": 'eval "$(adapter completion bash)"  # in ~/.bashrc',
    "zsh": 'eval "$(adapter completion zsh)"  # in ~/.zshrc, after compinit',
    "fish": "adapter completion fish | source  # in ~/.config/fish/config.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that completes commands, providers and models.

    \b
      eval "$(adapter completion bash)"   in ~/.bashrc
      eval "$(adapter completion zsh)"    in ~/.zshrc, after compinit
      adapter completion fish | source    in ~/.config/fish/config.fish

    Models are those that `adapter models` listed within the last hour.
    """
    from adapter.cli.main import cli

    found = get_completion_class(shell)
    assert found is not None
    click.echo(f"# {HOW[shell]}")
    click.echo(found(cli, {}, "adapter", VARIABLE).source().lstrip("\n"))


def complete_provider(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the configured providers' names."""
    try:
        names = [p.name for p in load_config().providers]
    except AdapterError:
        return []  # a broken file is told by commands, not while one is being typed
    return [CompletionItem(n) for n in names if n.startswith(incomplete)]


def complete_model(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the providers' names and their cached models, and ``embedded``."""
    from adapter.model_cache import cached_models

    try:
        providers = load_config().providers
    except AdapterError:
        return []
    words = [p.name for p in providers]
    for p in providers:
        if incomplete.startswith(f"{p.name}/"):
            words += [f"{p.name}/{model}" for model in cached_models(p) or ()]
    return [CompletionItem(w) for w in (*words, "embedded") if w.startswith(incomplete)]

"""Shell completion: the script to source, and what is completed."""

from __future__ import annotations

import os
import re

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    shell_complete,
    split_arg_string,
)

from adapter.config.loading import load_config
from adapter.errors import AdapterError

__all__ = ["COMPLETE_VARIABLE", "answer_shell", "complete_model", "complete_provider", "completion"]

COMPLETE_VARIABLE = "_ADAPTER_COMPLETE"
"""Click's variable, by which the script asks the command for completions."""

HOW = {
    "bash": 'eval "$(adapter completion bash)"  # in ~/.bashrc',
    "zsh": 'eval "$(adapter completion zsh)"  # in ~/.zshrc, after compinit',
    "fish": "adapter completion fish | source  # in ~/.config/fish/config.fish",
}

_PLAIN = re.compile(r"[\w./:@+][\w./:@+-]*", re.ASCII)
"""What may be offered. Bash inserts it unquoted, and servers name models: ``$(...)`` would run.

A comma or a wildcard would not arrive whole."""


class _Bash(BashComplete):
    """Click's, for words with a ``:``, as in ``llama3.2:1b``, at which readline breaks them."""

    source_template = """\
%(complete_func)s() {
    local type value before=
    local typed="${COMP_LINE:0:COMP_POINT}"
    local word="${typed##*[[:space:]=]}"
    # readline replaces only what follows the last colon of the word
    [[ $COMP_WORDBREAKS == *:* && $word == *:* ]] && before="${word%%:*}:"
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            plain) COMPREPLY+=("${value#"$before"}") ;;
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
        esac
    done < <(COMP_TYPED="$typed" %(complete_var)s=bash_complete "$1")
}

complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null ||
    complete -F %(complete_func)s %(prog_name)s
"""

    def source(self) -> str:
        """Return the script; unlike click's, without starting a bash to ask for its version."""
        return self.source_template % self.source_vars()

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the whole words before the cursor, and the one at it."""
        typed = os.environ["COMP_TYPED"]
        words = split_arg_string(typed)
        last = "" if not words or typed[-1].isspace() else words.pop()
        return words[1:], last


add_completion_class(_Bash, "bash")


def answer_shell(cli: click.Command, instruction: str) -> int:
    """Print what a shell's script asks for, as in ``bash_complete``; return the exit code."""
    return shell_complete(cli, {}, "adapter", COMPLETE_VARIABLE, instruction)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that completes commands, providers and models.

    \b
      eval "$(adapter completion bash)"   in ~/.bashrc
      eval "$(adapter completion zsh)"    in ~/.zshrc, after compinit
      adapter completion fish | source    in ~/.config/fish/config.fish

    Models are those that `adapter models` listed within the last hour.
    """
    shell_class = get_completion_class(shell)
    assert shell_class is not None
    click.echo(f"# {HOW[shell]}")
    click.echo(
        shell_class(ctx.find_root().command, {}, "adapter", COMPLETE_VARIABLE).source().lstrip("\n")
    )


def complete_provider(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the configured providers' names."""
    try:
        names = [p.name for p in load_config().providers]
    except AdapterError:
        return []  # a broken file is told by commands, not while one is being typed
    return _items(names, incomplete)


def complete_model(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the providers' names and their cached models, aliases, and ``embedded``."""
    from adapter.call.resolution import aliases
    from adapter.providers.model_cache import cached_models

    try:
        config = load_config()
    except AdapterError:
        return []
    words = [*(p.name for p in config.providers), *aliases(config)]
    for p in config.providers:
        if incomplete.startswith(f"{p.name}/"):
            words += [f"{p.name}/{model}" for model in cached_models(p) or ()]
    return _items([*words, "embedded"], incomplete)


def _items(words: list[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(w) for w in words if w.startswith(incomplete) and _PLAIN.fullmatch(w)]

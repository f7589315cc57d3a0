"""Shell completion: the script to source, and the answer to it."""

from __future__ import annotations

import os

import click
from click.shell_completion import (
    BashComplete,
    add_completion_class,
    get_completion_class,
    shell_complete,
    split_arg_string,
)

__all__ = ["answer_shell", "completion"]

COMPLETE_VARIABLE = "_ADAPTER_COMPLETE"
"""Click's variable, by which the script asks the command for completions."""

HOW = {
    "bash": 'eval "$(adapter completion bash)"  # in ~/.bashrc',
    "zsh": 'eval "$(adapter completion zsh)"  # in ~/.zshrc, after compinit',
    "fish": "adapter completion fish | source  # in ~/.config/fish/config.fish",
}


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
        typed = os.environ.get("COMP_TYPED", "")
        words = split_arg_string(typed)
        last = "" if not words or typed[-1].isspace() else words.pop()
        option, equals, value = last.partition("=")
        if option.startswith("--") and equals:  # which click splits for the group's options only
            words, last = [*words, option], value
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

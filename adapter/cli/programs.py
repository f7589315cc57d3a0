"""``adapter run`` and ``adapter env``: other programs on a gateway of ours."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

import click

from adapter._text import printable
from adapter.cli.options import config_option, load, models_word, providers_word
from adapter.errors import GatewayError

__all__ = ["env", "run"]


@click.command(context_settings={"allow_interspersed_args": False})
@click.option(
    "-m",
    "--model",
    metavar="PROVIDER[/MODEL]",
    shell_complete=models_word,
    help="The model that COMMAND asks, if it is aider, claude, cn, codex, gptme, llm, opencode or "
    "promptfoo.",
)
@click.option(
    "--gateway-for",
    "providers",
    multiple=True,
    metavar="NAME",
    shell_complete=providers_word,
    help="Start a gateway for this provider alone. Repeatable.",
)
@click.option(
    "--install",
    is_flag=True,
    help="Start no gateway: let LiteLLM in Python programs take your model strings.",
)
@config_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def run(
    ctx: click.Context,
    model: str | None,
    providers: tuple[str, ...],
    install: bool,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND with the variables of a gateway on your providers.

    \b
      adapter run -m groq -- aider
      adapter run -- python app.py

    COMMAND uses the gateway that runs (adapter serve), or a new one that ends with it. COMMAND
    gets the gateway's key, and no key of a provider. The exit code is that of COMMAND.
    """
    if install and (model or providers):
        raise click.UsageError(
            "--install starts no gateway, so -m and --gateway-for cannot be used with it"
        )
    from adapter.programs import run as programs

    if install:
        code = programs.run_installed(load(), command)
    else:
        code = programs.run(
            load(),
            command,
            model=model,
            providers=providers,
            warn=lambda text: click.echo(printable(text), err=True),
        )
    ctx.exit(programs.end_as(code))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.option("--unset", is_flag=True, help="Print the commands that unset the variables.")
@config_option
def env(as_json: bool, unset: bool) -> None:
    """Print the variables that lead a program to the gateway that runs.

    \b
      eval "$(adapter env)"

    One of them is the gateway's key.
    """
    from adapter.programs.env import GIVEN, environment, find_gateway

    removed: tuple[str, ...] = GIVEN
    variables: Mapping[str, str] = {}
    if not unset:
        loaded = load()
        gateway = find_gateway(loaded)
        if gateway is None:
            raise GatewayError(
                "no gateway runs on this configuration: start one with `adapter serve --detach`, "
                "or for one command with `adapter run -- COMMAND`"
            )
        # keys are not hidden: the shell's other commands need them
        changes = environment(loaded, gateway, hide_keys=False)
        removed, variables = changes.removed, changes.variables
    if as_json:
        click.echo(json.dumps({**dict.fromkeys(removed), **variables}, indent=2))
        return
    for name in removed:
        click.echo(f"unset {name}")
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")

"""The options of ``adapter "PROMPT"``; what a query does is imported when there is one."""

from __future__ import annotations

from typing import Any, NamedTuple

import click

from adapter.cli.options import config_option, model_option, models_word, parameters_option

__all__ = ["Options", "query"]

LONGEST_TIMEOUT = 1e9
"""In seconds; what a socket takes ends at 2**63 nanoseconds, nine times as much."""


class Options(NamedTuple):
    """What was asked for besides the prompt, by the names of the options below."""

    model: str | None
    system: str | None
    options: tuple[tuple[str, str], ...]
    stream: bool
    timeout: float | None
    gateway: str | None
    no_gateway: bool
    attachments: tuple[str, ...]
    schema: str | None
    schema_multi: str | None
    as_json: bool
    extract: bool
    render: bool
    usage: bool
    fallbacks: tuple[str, ...]
    retries: int | None
    verbose: bool


def _check_timeout(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    # said this way round for nan, which is neither above nor below anything
    if value is not None and not 0 < value <= LONGEST_TIMEOUT:
        raise click.BadParameter(f"{value:g} is not a valid number of seconds")
    return value


@click.command()
@click.argument("prompt", nargs=-1)
@model_option("Provider, provider and model, or any LiteLLM model. [env: ADAPTER_MODEL]")
@click.option("-s", "--system", metavar="TEXT", help="System message.")
@parameters_option(
    "Any LiteLLM parameter, as in -o temperature 0. JSON values are parsed. Repeatable."
)
@click.option("--stream/--no-stream", default=True, help="Print the answer as it comes (default).")
@click.option(
    "--timeout",
    type=float,
    callback=_check_timeout,
    metavar="SECONDS",
    help="Give up if the server sends nothing for this time. [default: 600]",
)
@click.option(
    "--gateway",
    envvar="LITELLM_PROXY_API_BASE",
    metavar="URL",
    help="Send the query to this LiteLLM proxy, with the key in $LITELLM_PROXY_API_KEY. "
    "[env: LITELLM_PROXY_API_BASE]",
)
@click.option(
    "--no-gateway",
    is_flag=True,
    envvar="ADAPTER_NO_GATEWAY",
    help="Use no proxy, even if $LITELLM_PROXY_API_BASE is set. [env: ADAPTER_NO_GATEWAY]",
)
@click.option(
    "-a",
    "--attach",
    "attachments",
    multiple=True,
    metavar="FILE|URL",
    help="Send an image, PDF or text file, or an image's URL, with the prompt; - is stdin. "
    "Repeatable.",
)
@click.option(
    "--schema",
    metavar="FILE|JSON|FIELDS",
    help="Ask for JSON of this schema, and check the answer. FIELDS are like "
    "'name, age int: in years'.",
)
@click.option(
    "--schema-multi",
    metavar="FILE|JSON|FIELDS",
    help="Like --schema, for a list of such objects, named items.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the whole response as JSON.")
@click.option("-x", "--extract", is_flag=True, help="Print only the first code block.")
@click.option("--render", is_flag=True, help="Render Markdown, on a terminal.")
@click.option(
    "-u", "--usage", is_flag=True, help="Print the tokens, and the cost if known, on stderr."
)
@click.option(
    "--fallback",
    "fallbacks",
    multiple=True,
    shell_complete=models_word,
    metavar="MODEL",
    help="Ask this model if the one before fails before its answer begins. Repeatable.",
)
@click.option(
    "--retries",
    type=click.IntRange(0, 100),
    metavar="N",
    help="Try a failed request again, at most N times. [default: 0]",
)
@config_option
@click.option(
    "-v", "--verbose", is_flag=True, help="Print on stderr where the query goes, and show thinking."
)
@click.pass_context
def query(ctx: click.Context, /, prompt: tuple[str, ...], **options: Any) -> None:
    """Send PROMPT to a model and print its answer.

    Piped input is added after the prompt: cat main.py | adapter "Explain this"
    """
    from adapter.cli.answer import answer

    ctx.exit(answer(ctx, prompt, Options(**options)))

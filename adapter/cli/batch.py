"""``adapter batch``: a file of requests, answered once each."""

from __future__ import annotations

import asyncio
import gc
import os
from typing import Any

import click

from adapter.cli.options import config_option, model_option, parameters_option

__all__ = ["batch"]

POSITIVE = click.IntRange(1)
COUNT = click.IntRange(0)


@click.command()
@click.argument("input", metavar="INPUT")
@click.argument("output", metavar="OUTPUT")
@click.option(
    "--errors", metavar="FILE", help="Write failures here. [default: OUTPUT.errors.jsonl]"
)
@model_option("The model of lines that name none. [env: ADAPTER_MODEL]")
@click.option(
    "--prompt",
    metavar="TEXT",
    help="The prompt for each record of INPUT (CSV, JSONL or Parquet). {FIELD} is a field of it.",
)
@click.option("-s", "--system", metavar="TEXT", help="System message. Needs --prompt.")
@parameters_option(
    "Add a field to bodies that lack it, as in -o temperature 0. JSON is parsed. Repeatable."
)
@click.option(
    "--schema", metavar="FILE|JSON", help="Ask for JSON of this schema, and check the answers."
)
@click.option("--limit", type=POSITIVE, metavar="N", help="Use only the first N lines.")
@click.option("--in-order", is_flag=True, help="Write answers in the order of INPUT.")
@click.option(
    "--dry-run", is_flag=True, help="Check everything and show what goes where, but send nothing."
)
@click.option(
    "--concurrency",
    type=POSITIVE,
    default=64,
    show_default=True,
    metavar="N",
    help="Requests in flight per provider.",
)
@click.option(
    "--rpm",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="Requests per minute and provider. [default: rpm in the configuration]",
)
@click.option(
    "--tpm",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="Tokens per minute and provider. [default: tpm in the configuration]",
)
@click.option(
    "--retries",
    type=click.IntRange(0, 100),
    default=4,
    show_default=True,
    metavar="N",
    help="Try a request again if that may help, with growing waits.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, 1e9, min_open=True),
    default=600.0,
    metavar="SECONDS",
    help="Give up on a request after this time. [default: 600]",
)
@click.option(
    "--max-failures",
    type=COUNT,
    default=20,
    show_default=True,
    metavar="N",
    help="End after N failed lines in a row. 0 never ends.",
)
@click.option(
    "--max-refusals",
    type=COUNT,
    default=1,
    show_default=True,
    metavar="N",
    help="Stop using a provider after N answers of 401 or 403. 0 never stops.",
)
@click.option(
    "--no-repeat",
    is_flag=True,
    help="Send nothing twice. A line without a sure result is `unknown`.",
)
@click.option("--retry-failed", is_flag=True, help="Send the failed lines again.")
@click.option(
    "--processes",
    type=click.IntRange(1, 256),
    metavar="N",
    help="Processes that make the calls. [default: one per core; 1 with --direct]",
)
@click.option("--direct", is_flag=True, help="Post each body unchanged, without LiteLLM.")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Make the calls here, or by actors of a Ray cluster.",
)
@click.option(
    "--address", metavar="ADDRESS", help="Address of the Ray cluster. [default: a new one here]"
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@config_option
@click.pass_context
def batch(
    ctx: click.Context,
    /,
    input: str,
    output: str,
    options: tuple[tuple[str, str], ...],
    as_json: bool,
    **settings: Any,
) -> None:
    """Send each request of INPUT once, and write the answers to OUTPUT.

    INPUT is a file of OpenAI's batch lines, which may be gzipped, or - for stdin. If a run ends
    early, run the same command again: it continues where that run ended.
    """
    from adapter.batches.api import Run
    from adapter.cli.answer import parse_parameters
    from adapter.cli.options import load
    from adapter.cli.output import json_text
    from adapter.upstream.loading import set_command_defaults

    gc.enable()  # this one lasts
    set_command_defaults()
    load()
    settings["options"] = parse_parameters(options)
    settings["progress"] = True
    with Run(input, output, settings) as run:  # type: ignore[arg-type]  # click names them so
        summary = asyncio.run(run.ask(is_command=True))
    if settings["dry_run"]:
        for place in run.destinations:
            urls = ", ".join(f"{n:,} to {url}" for url, n in place.urls.items())
            where = f" ({place.base_url}, {place.key})" if place.base_url else ""
            click.echo(f"{place.name}{where}: {place.lines:,} lines: {urls}", err=as_json)
    elif not as_json:
        _tell(f"adapter: {summary}")
    if as_json:
        click.echo(json_text(summary.as_dict()))
    ctx.exit(summary.exit_code)


def _tell(text: str) -> None:
    """Write to stderr, if anybody still reads it: the exit code says how the batch ended."""
    try:
        click.echo(text, err=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

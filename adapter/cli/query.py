"""``adapter "PROMPT"``: send one prompt and print the answer."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click

from adapter.cli.options import config_option, load
from adapter.cli.output import AnswerWriter
from adapter.config import Config
from adapter.failures import PROVIDER_FAILED, explain
from adapter.resolution import EMBEDDED, choose_model, resolve
from adapter.routes import Query, Way, answer, foreign_way, own_way
from adapter.translation import Target, target_of

__all__ = ["query"]

RESERVED = {
    "model": "use -m/--model",
    "messages": "give the prompt as an argument or on stdin",
    "stream": "use --stream or --no-stream",
    "timeout": "use --timeout",
    "api_key": "other users can read a command line; put the key into an environment variable",
}


LONGEST_TIMEOUT = 1e9
"""In seconds; what a socket takes ends at 2**63 nanoseconds, nine times as much."""


def _check_timeout(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    # said this way round for nan, which is neither above nor below anything
    if value is not None and not 0 < value <= LONGEST_TIMEOUT:
        raise click.BadParameter(f"{value:g} is not a number of seconds to wait")
    return value


@click.command()
@click.argument("prompt", nargs=-1)
@click.option(
    "-m",
    "--model",
    envvar="ADAPTER_MODEL",
    metavar="PROVIDER[/MODEL]",
    help="Provider, provider and model, or any LiteLLM model. [env: ADAPTER_MODEL]",
)
@click.option("-s", "--system", metavar="TEXT", help="System message.")
@click.option(
    "-o",
    "--option",
    "options",
    nargs=2,
    multiple=True,
    metavar="KEY VALUE",
    help="Any LiteLLM parameter, as in -o temperature 0. JSON values are parsed. Repeatable.",
)
@click.option("--stream/--no-stream", default=True, help="Print the answer as it comes (default).")
@click.option(
    "--timeout",
    type=float,
    callback=_check_timeout,
    metavar="SECONDS",
    help="Give up when the server is silent for this long. [default: 600]",
)
@click.option(
    "--gateway",
    envvar="LITELLM_PROXY_API_BASE",
    metavar="URL",
    help="Ask this LiteLLM proxy, with the key in $LITELLM_PROXY_API_KEY. "
    "[env: LITELLM_PROXY_API_BASE]",
)
@click.option(
    "--no-gateway",
    is_flag=True,
    envvar="ADAPTER_NO_GATEWAY",
    help="Ask no gateway, not even a running one of `adapter serve`. [env: ADAPTER_NO_GATEWAY]",
)
@config_option
@click.option("-v", "--verbose", is_flag=True, help="Say on stderr where the query goes.")
@click.pass_context
def query(
    ctx: click.Context,
    prompt: tuple[str, ...],
    model: str | None,
    system: str | None,
    options: tuple[tuple[str, str], ...],
    stream: bool,
    timeout: float | None,
    gateway: str | None,
    no_gateway: bool,
    verbose: bool,
) -> None:
    """Send PROMPT to a model and print its answer.

    What is piped in follows the prompt: cat main.py | adapter "Explain this"
    """
    params = _parse_options(options)
    content = _read_prompt(prompt)
    if content is None:
        if sys.stdin is not None and sys.stdin.isatty():
            parent = ctx.parent or ctx
            click.echo(parent.get_help())
            return
        raise click.UsageError("there is no prompt: give one as an argument or on stdin")
    config = load()
    if not model:
        model = choose_model(config)
        if model == EMBEDDED:
            click.echo("adapter: no model was named; using the embedded one", err=True)
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": content})
    asked = Query(model, messages, {**params, "stream": stream}, timeout)
    target: Target | None
    if gateway and not no_gateway:
        way, target = foreign_way(gateway, asked)
    else:
        resolution = resolve(model, config)
        target = target_of(resolution)
        off = Way(None, "the gateway is turned off")
        way = off if no_gateway else own_way(config, asked, resolution)
    if verbose:
        click.echo(_describe(model, target), err=True)
    if verbose or way.stale:
        here = "" if way.route or way.stale else "in this process: "
        click.echo(f"adapter: {here}{way.why}", err=True)
    started = time.monotonic()
    code = _ask(config, way, asked, target)
    if verbose:
        click.echo(f"adapter: done in {time.monotonic() - started:.1f} s", err=True)
    ctx.exit(code)


def _parse_options(options: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for key, value in options:
        if key in RESERVED:
            raise click.UsageError(f"-o {key} cannot be used: {RESERVED[key]}")
        try:
            params[key] = json.loads(value, parse_constant=lambda name: name)
        except (ValueError, RecursionError):
            params[key] = value
    return params


def _read_prompt(words: tuple[str, ...]) -> str | None:
    """Return the prompt with what is piped in after it, or ``None`` when there is neither."""
    piped = ""
    if sys.stdin is not None and not sys.stdin.isatty():
        # piece by piece: inside one read() of everything, Ctrl-C would go unheard
        stdin: Any = sys.stdin.buffer
        pieces = iter(lambda: stdin.read1(65536), b"")
        piped = b"".join(pieces).decode("utf-8", "replace")
    # arguments that are not valid UTF-8 hold surrogates, which no request can carry
    said = " ".join(words).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    parts = [part for part in (said, piped) if part.strip()]
    return "\n\n".join(parts) or None


def _describe(model: str, target: Target | None) -> str:
    if target is None:
        return f"adapter: {model} goes to LiteLLM as it is"
    return (
        f"adapter: provider {target.name}, model {target.model}, "
        f"base_url {target.base_url}, {target.key}"
    )


def _ask(config: Config, way: Way, query: Query, target: Target | None) -> int:
    """Print the answer and return the exit code; failures are explained on stderr."""
    writer = AnswerWriter(sys.stdout)
    try:
        for text in answer(way, query, target):
            writer.write(text)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever LiteLLM raises is explained, not traced
        writer.close()
        failure = explain(error, target, query.model, [p.name for p in config.providers])
        click.echo(f"Error: {failure}", err=True)
        if writer.wrote:
            click.echo("  the answer above is not complete", err=True)
        return failure.exit_code
    except KeyboardInterrupt:
        writer.close()
        raise
    writer.close()
    if not writer.wrote:
        where = (
            f"provider {target.name!r} ({target.base_url})" if target else f"model {query.model!r}"
        )
        click.echo(f"Error: {where}: the reply held no answer", err=True)
        return PROVIDER_FAILED
    return 0

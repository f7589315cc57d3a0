"""``adapter "PROMPT"``: send one prompt and print the answer."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from adapter.answers import Query
from adapter.cli.answering import Attempt, Shape, print_answer, resolved
from adapter.cli.options import config_option, load, models_word
from adapter.config import Config
from adapter.errors import AdapterError
from adapter.resolution import EMBEDDED, choose_model, resolve
from adapter.routes import Way, foreign_way, own_way
from adapter.translation import Target, target_of

if TYPE_CHECKING:
    from adapter.failures import Failure

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
    shell_complete=models_word,
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
@click.option(
    "-a",
    "--attach",
    "attachments",
    multiple=True,
    metavar="FILE|URL",
    help="Send an image, PDF or text file, or an image's URL, with the prompt; - is stdin. "
    "Repeatable.",
)
@click.option("--schema", metavar="FILE|JSON", help="Ask for JSON of this schema, and check it.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole response as JSON.")
@click.option("-x", "--extract", is_flag=True, help="Print the first code block only.")
@click.option("--render", is_flag=True, help="Show Markdown as it is meant, on a terminal.")
@click.option("-u", "--usage", is_flag=True, help="Tell tokens, and cost if known, on stderr.")
@click.option(
    "--fallback",
    "fallbacks",
    multiple=True,
    shell_complete=models_word,
    metavar="MODEL",
    help="Ask this model when the one before fails and has said nothing. Repeatable.",
)
@click.option(
    "--retries",
    type=click.IntRange(0, 100),
    metavar="N",
    help="Try a failed request again, N times at most. [default: 0]",
)
@config_option
@click.option("-v", "--verbose", is_flag=True, help="Say on stderr where the query goes.")
@click.pass_context
def query(ctx: click.Context, /, prompt: tuple[str, ...], verbose: bool, **given: Any) -> None:
    """Send PROMPT to a model and print its answer.

    What is piped in follows the prompt: cat main.py | adapter "Explain this"
    """
    shape = _shape(given)
    params = _parse_options(given["options"])
    content = _read_prompt(prompt, "-" in given["attachments"])
    if content is None and not given["attachments"]:
        if sys.stdin is not None and sys.stdin.isatty():
            parent = ctx.parent or ctx
            click.echo(parent.get_help())
            return
        raise click.UsageError("there is no prompt: give one as an argument or on stdin")
    config = load()
    model = given["model"]
    if not model:
        model = choose_model(config)
        if model == EMBEDDED:
            click.echo("adapter: no model was named; using the embedded one", err=True)
    params["stream"] = given["stream"] and not shape.as_json
    if shape.usage and params["stream"]:
        asked_for = params.get("stream_options")
        more = asked_for if isinstance(asked_for, dict) else {}
        params["stream_options"] = {**more, "include_usage": True}
    if shape.schema is not None:
        from adapter.schemas import response_format

        params["response_format"] = response_format(shape.schema)
    system = given["system"]
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    said: Any = content
    if given["attachments"]:
        from adapter.attachments import message_content

        said = message_content(content or "", given["attachments"])
    messages.append({"role": "user", "content": said})
    asked = Query(model, messages, params, given["timeout"], given["retries"])
    started = time.monotonic()
    code = print_answer(config, _attempts(config, asked, given, verbose), shape)
    if verbose:
        click.echo(f"adapter: done in {time.monotonic() - started:.1f} s", err=True)
    ctx.exit(code)


def _shape(given: dict[str, Any]) -> Shape:
    chosen = [name for name in ("as_json", "extract", "render") if given[name]]
    if len(chosen) > 1:
        first, second = (f"--{name.removeprefix('as_')}" for name in chosen[:2])
        raise click.UsageError(f"{first} and {second} exclude each other")
    for name in ("extract", "render"):
        if given["schema"] is not None and given[name]:
            # the answer is JSON then: it has no code block and is no Markdown
            raise click.UsageError(f"--schema and --{name} exclude each other")
    schema = None
    if given["schema"] is not None:
        from adapter.schemas import load_schema

        schema = load_schema(given["schema"])
    return Shape(given["as_json"], given["extract"], given["render"], given["usage"], schema)


def _attempts(
    config: Config, asked: Query, given: dict[str, Any], verbose: bool
) -> Iterator[Attempt | Failure]:
    """Yield the model asked for and its fallbacks, each resolved when its turn has come."""
    fallbacks = given["fallbacks"]
    for model in (asked.model, *fallbacks):
        try:
            attempt = _attempt(config, asked._replace(model=model), given)
        except AdapterError as error:
            if not fallbacks:
                raise
            yield resolved(error)
            continue
        way = attempt.way
        if verbose:
            click.echo(_describe(model, attempt.target), err=True)
        if verbose or way.stale:
            here = "" if way.route or way.stale else "in this process: "
            click.echo(f"adapter: {here}{way.why}", err=True)
        yield attempt


def _attempt(config: Config, asked: Query, given: dict[str, Any]) -> Attempt:
    if given["gateway"] and not given["no_gateway"]:
        return Attempt(asked, *foreign_way(given["gateway"], asked))
    resolution = resolve(asked.model, config)
    target = target_of(resolution)
    if given["no_gateway"]:
        return Attempt(asked, Way(None, "the gateway is turned off"), target)
    return Attempt(asked, own_way(config, asked, resolution), target)


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


def _read_prompt(words: tuple[str, ...], attached: bool) -> str | None:
    """Return the prompt with what is piped in after it, or ``None`` when there is neither.

    With ``attached`` stdin is left to the attachment.
    """
    piped = ""
    if sys.stdin is not None and not sys.stdin.isatty() and not attached:
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

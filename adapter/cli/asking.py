"""``adapter "PROMPT"``: send one prompt and print the answer."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from adapter.call.resolution import EMBEDDED, choose_model, resolve
from adapter.call.translation import Target, target_of
from adapter.cli.answering import Attempt, Shape, print_answer, resolved
from adapter.cli.options import load
from adapter.config.loading import Config, load_config
from adapter.errors import AdapterError, ExitCode
from adapter.query.answers import Query
from adapter.query.proxy import proxy_target
from adapter.worker import client
from adapter.worker.client import mode_of

if TYPE_CHECKING:
    from adapter.call.failures import Failure

__all__ = ["RESERVED", "ask"]

RESERVED = {
    "model": "use -m/--model",
    "messages": "give the prompt as an argument or on stdin",
    "stream": "use --stream or --no-stream",
    "timeout": "use --timeout",
    "api_key": "other users can read a command line; put the key into an environment variable",
}


def ask(ctx: click.Context, prompt: tuple[str, ...], verbose: bool, given: dict[str, Any]) -> int:
    """Answer a query with the options ``given``; return the exit code."""
    _leave_worker_if_off()
    shape = _shape(given)
    params = _parse_options(given["options"])
    content = _read_prompt(prompt, "-" in given["attachments"])
    if content is None and not given["attachments"]:
        if sys.stdin is not None and sys.stdin.isatty():
            if any(ctx.get_parameter_source(p) is ParameterSource.COMMANDLINE for p in ctx.params):
                message = 'Error: the prompt is missing, as in: adapter "Explain this"'
                click.echo(f"{message} (all options: adapter --help)", err=True)
                return ExitCode.USAGE
            click.echo((ctx.parent or ctx).get_help())
            return ExitCode.OK
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
        from adapter.query.schemas import response_format

        params["response_format"] = response_format(shape.schema)
    system = given["system"]
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    said: Any = content
    if given["attachments"]:
        from adapter.query.attachments import message_content

        said = message_content(content or "", given["attachments"])
    messages.append({"role": "user", "content": said})
    gateway = None if given["no_gateway"] else given["gateway"] or None
    asked = Query(model, messages, params, given["timeout"], given["retries"], gateway)
    started = time.monotonic()
    code = print_answer(config, _attempts(config, asked, given, verbose), shape)
    if verbose:
        click.echo(
            f"adapter: done in {time.monotonic() - started:.1f} s, {client.outcome}", err=True
        )
    return code


def _leave_worker_if_off() -> None:
    if client.leave is not None and mode_of(load_config().settings.get("worker", {})) == "off":
        client.leave("[plugin.litellm.worker] mode is off")


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
        from adapter.query.schemas import load_schema

        schema = load_schema(given["schema"])
    return Shape(given["as_json"], given["extract"], given["render"], given["usage"], schema)


def _attempts(
    config: Config, asked: Query, given: dict[str, Any], verbose: bool
) -> Iterator[Attempt | Failure]:
    """Yield the model asked for and its fallbacks, each resolved when its turn has come."""
    fallbacks = given["fallbacks"]
    for model in (asked.model, *fallbacks):
        try:
            attempt = _attempt(config, asked._replace(model=model))
        except AdapterError as error:
            if not fallbacks:
                raise
            yield resolved(error)
            continue
        if verbose:
            click.echo(_describe(model, attempt.target), err=True)
        yield attempt


def _attempt(config: Config, asked: Query) -> Attempt:
    if asked.gateway is not None:
        return Attempt(asked, proxy_target(asked.gateway, asked.model))
    return Attempt(asked, target_of(resolve(asked.model, config)))


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

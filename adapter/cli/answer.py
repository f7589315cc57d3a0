"""``adapter "PROMPT"``: send one prompt, print the answer, and say what went wrong."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from adapter._text import printable
from adapter.call.resolution import EMBEDDED, choose_model, resolve
from adapter.call.translation import Target, target_of
from adapter.cli.options import load
from adapter.cli.output import AnswerWriter, DimWriter, MarkdownWriter, json_text
from adapter.cli.progress import Progress, awaiting
from adapter.config.loading import Config, load_config
from adapter.errors import AdapterError, ExitCode
from adapter.query.answer import Answer
from adapter.query.completion import Query, complete
from adapter.query.interrupts import interruptible
from adapter.query.proxy import proxy_target
from adapter.worker import client

if TYPE_CHECKING:
    from adapter.call.failures import Failure
    from adapter.cli.query import Options

__all__ = ["RESERVED", "answer", "parse_parameters"]

RESERVED = {
    "model": "use -m/--model",
    "messages": "give the prompt as an argument or on stdin",
    "stream": "use --stream or --no-stream",
    "timeout": "use --timeout",
    "api_key": "other users can read a command line; put the key into an environment variable",
}


def answer(ctx: click.Context, words: tuple[str, ...], options: Options) -> int:
    """Answer a query; return the exit code."""
    if client.outcome == client.BY_WORKER:
        worker = load_config().settings.get("worker", {})
        if client.mode_of(worker) == "off":
            raise client.NoWorkerError("[plugin.litellm.worker] mode is off")
    schema = _check(options)
    params = parse_parameters(options.options)
    prompt = _read_prompt(words, "-" in options.attachments)
    if prompt is None and not options.attachments:
        return _without_prompt(ctx)
    config = load()
    model = options.model
    if not model:
        model = choose_model(config)
        if model == EMBEDDED:
            click.echo("adapter: no model was named; using the embedded one", err=True)
    if params.get("n") not in (None, 1) and not options.as_json:
        raise click.UsageError("-o n: one answer is printed; --json prints all of them")
    params["stream"] = options.stream and not options.as_json
    if options.usage and params["stream"]:
        configured = params.get("stream_options")
        more = configured if isinstance(configured, dict) else {}
        params["stream_options"] = {**more, "include_usage": True}
    if schema is not None:
        from adapter.query.schemas import response_format

        params["response_format"] = response_format(schema)
    gateway = None if options.no_gateway else options.gateway or None
    messages = _messages(prompt, options)
    query = Query(model, messages, params, options.timeout, options.retries, gateway)
    started = time.monotonic()
    with interruptible():
        code = _Command(options, config, schema).run(query)
    if options.verbose:
        seconds = time.monotonic() - started
        click.echo(f"adapter: done in {seconds:.1f} s, {client.outcome}", err=True)
    return code


def _check(options: Options) -> dict[str, Any] | None:
    """Return the schema; raise where options cannot be used together."""
    forms = {"json": options.as_json, "extract": options.extract, "render": options.render}
    asked = [f"--{name}" for name, is_asked in forms.items() if is_asked]
    source = options.schema_multi if options.schema is None else options.schema
    if len(asked) == 1 and source is not None and asked != ["--json"]:
        asked.insert(0, "--schema")  # the answer is JSON then: no code block, and no Markdown
    elif len(asked) < 2 and options.schema is not None and options.schema_multi is not None:
        asked = ["--schema", "--schema-multi"]
    if len(asked) > 1:
        raise click.UsageError(f"{asked[0]} and {asked[1]} cannot be used together")
    if source is None:
        return None
    from adapter.query.schemas import load_schema

    return load_schema(source, several=options.schema is None)


def parse_parameters(pairs: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Return the parameters that ``-o`` names, JSON values parsed. Raises ``UsageError``."""
    params: dict[str, Any] = {}
    for key, value in pairs:
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
        if data := b"".join(pieces):
            from adapter.query.attachments import text_of

            piped = text_of(
                data, "stdin is not UTF-8 text; use -a - to attach an image or a PDF file"
            )
    # arguments that are not valid UTF-8 hold surrogates, which no request can carry
    prompt = " ".join(words).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    parts = [part for part in (prompt, piped) if part.strip()]
    return "\n\n".join(parts) or None


def _without_prompt(ctx: click.Context) -> int:
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError("there is no prompt: give one as an argument or on stdin")
    if any(ctx.get_parameter_source(p) is ParameterSource.COMMANDLINE for p in ctx.params):
        message = 'Error: the prompt is missing, as in: adapter "Explain this"'
        click.echo(f"{message} (all options: adapter --help)", err=True)
        return ExitCode.USAGE
    click.echo((ctx.parent or ctx).get_help())
    return ExitCode.OK


def _messages(prompt: str | None, options: Options) -> list[dict[str, Any]]:
    content: Any = prompt
    if options.attachments:
        from adapter.query.attachments import message_content

        content = message_content(prompt or "", options.attachments)
    messages = [{"role": "user", "content": content}]
    if options.system:
        messages.insert(0, {"role": "system", "content": options.system})
    return messages


class _Command:
    """A query and its fallbacks, printed as the options say. Failures go to stderr."""

    def __init__(self, options: Options, config: Config, schema: dict[str, Any] | None) -> None:
        self._options = options
        self._config = config
        self._schema = schema
        self._progress = Progress()
        self._thinking = DimWriter(sys.stderr)

    def run(self, query: Query) -> int:
        """Print the first answer there is, and return the exit code.

        A further model is asked only while nothing has been printed.
        """
        failure: Failure | None = None
        for model in (query.model, *self._options.fallbacks):
            if failure is not None:
                click.echo(f"adapter: {failure.what}; trying the next model", err=True)
            query = query._replace(model=model)
            try:
                target = self._target(query)
            except AdapterError as error:
                if not self._options.fallbacks:
                    raise
                from adapter.call.failures import explain

                failure = explain(error, None, model)
                continue
            if self._options.verbose:
                click.echo(_describe(model, target), err=True)
            writer: AnswerWriter | MarkdownWriter | None = None
            if not self._needs_all:
                is_drawn = self._options.render and sys.stdout.isatty()
                writer = MarkdownWriter() if is_drawn else AnswerWriter(sys.stdout)
            whole = writer is None or not query.params["stream"]
            answer = Answer(whole=whole, on_thinking=self._show_thinking)
            failed = self._write_answer(query, target, answer, writer)
            if failed is None:
                if failure is not None:
                    click.echo(f"adapter: {printable(model)} answered", err=True)
                return self._finish(query, target, answer)
            failure = failed
            if writer is not None and writer.wrote:
                click.echo(f"Error: {failure.what}\n  the answer above is not complete", err=True)
                return ExitCode.PROVIDER_FAILED  # whatever broke it off
        click.echo(f"Error: {failure}", err=True)
        return failure.exit_code if failure else ExitCode.ERROR

    @property
    def _needs_all(self) -> bool:
        """Whether nothing can be printed before all of the answer is there."""
        options = self._options
        return options.as_json or options.extract or self._schema is not None

    def _target(self, query: Query) -> Target | None:
        if query.gateway is not None:
            return proxy_target(query.gateway, query.model)
        return target_of(resolve(query.model, self._config))

    def _show_thinking(self, text: str) -> None:
        """Show thinking on a terminal's stderr with ``-v``; it is no part of the answer."""
        if self._options.verbose and sys.stderr.isatty():
            self._progress.clear()
            self._thinking.write(text)

    def _write_answer(
        self,
        query: Query,
        target: Target | None,
        answer: Answer,
        writer: AnswerWriter | MarkdownWriter | None,
    ) -> Failure | None:
        """Write one answer; return what went wrong, if anything did."""
        try:
            with awaiting(target.name if target else query.model) as self._progress:
                for text in complete(query, target, answer):
                    self._thinking.close()
                    if writer is not None:
                        self._progress.clear()
                        writer.write(text)
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever LiteLLM raises is explained, not traced
            from adapter.call.failures import explain

            return explain(error, target, query.model, [p.name for p in self._config.providers])
        finally:
            self._thinking.close()
            if writer is not None:
                writer.close()
        # a refusal, or reasoning that took all tokens, has no text but is a response
        if answer.text.strip("\n") or (self._options.as_json and answer.response is not None):
            return None
        from adapter.call.failures import Failure, base_url_advice

        place = f"model {query.model!r}"
        if target is not None:
            place = f"provider {target.name!r} ({target.base_url})"
        why, fix = answer.why_empty()
        fix = fix or base_url_advice(target)
        return Failure(ExitCode.PROVIDER_FAILED, f"{place}: {printable(why)}", fix)

    def _finish(self, query: Query, target: Target | None, answer: Answer) -> int:
        """Print what needs the whole answer, and return the exit code."""
        if self._options.as_json:
            click.echo(json_text(answer.response))
        elif self._needs_all:
            writer = AnswerWriter(sys.stdout)
            writer.write(_code_in(answer.text) if self._options.extract else answer.text)
            writer.close()
        if self._options.usage:
            click.echo(_usage(query, target, answer), err=True)
        if answer.text and (why := answer.why_cut()):
            click.echo(f"{'Error' if answer.is_filtered else 'adapter'}: {why}", err=True)
        if self._schema is not None:
            from adapter.query.schemas import violation

            if why := violation(self._schema, answer.text):
                click.echo(f"Error: {printable(why)}", err=True)
                return ExitCode.PROVIDER_FAILED
        return ExitCode.PROVIDER_FAILED if answer.is_filtered else ExitCode.OK


def _describe(model: str, target: Target | None) -> str:
    if target is None:
        return f"adapter: {model} goes to LiteLLM as it is"
    return (
        f"adapter: provider {target.name}, model {target.model}, "
        f"base_url {target.base_url}, {target.key}"
    )


def _code_in(text: str) -> str:
    from adapter.query.extraction import first_block

    if (code := first_block(text)) is not None:
        return code
    click.echo("adapter: the answer has no code block, so all of it is printed", err=True)
    return text


def _usage(query: Query, target: Target | None, answer: Answer) -> str:
    usage = answer.usage or {}
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    if not all(isinstance(count, int) and not isinstance(count, bool) for count in counts):
        return "adapter: the server reported no usage"
    text = f"{counts[0]} tokens in, {counts[1]} out"
    if answer.usage_is_estimate:
        return f"adapter: about {text}, counted here: the server reported no usage"
    if query.gateway is None:
        from adapter.query.prices import cost

        price = cost(query.model, target, usage)
        text += f", ${price:.6f}" if price is not None else ""
    return f"adapter: {text}"

"""Printing the answer to a query: text, code, JSON or Markdown, and what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from adapter._text import printable
from adapter.call.translation import Target
from adapter.cli.output import AnswerWriter, json_text
from adapter.config.loading import Config
from adapter.errors import AdapterError, ExitCode
from adapter.query.answers import Kept, Query
from adapter.query.oneshot import ask

if TYPE_CHECKING:
    from typing import Protocol

    from adapter.call.failures import Failure

    class Writer(Protocol):
        """Takes an answer as it comes."""

        wrote: bool

        def write(self, text: str) -> None: ...

        def close(self) -> None: ...


__all__ = ["Attempt", "Shape", "print_answer", "resolved"]


class Shape(NamedTuple):
    """What of the answer goes to stdout, and what is told of it on stderr."""

    as_json: bool = False
    extract: bool = False
    render: bool = False
    usage: bool = False
    schema: dict[str, Any] | None = None


class Attempt(NamedTuple):
    """One model to ask, and where it is."""

    query: Query
    target: Target | None


class _Collected:
    """Keeps an answer that can be printed only when all of it is there."""

    def __init__(self) -> None:
        self.wrote = False
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text
        self.wrote = self.wrote or bool(text.strip("\n"))

    def close(self) -> None:
        pass


def print_answer(config: Config, attempts: Iterator[Attempt | Failure], shape: Shape) -> int:
    """Print the first answer there is, and return the exit code.

    A further attempt is made only while nothing has been printed. Failures go to stderr.
    """
    failure: Failure | None = None
    for attempt in attempts:
        if failure is not None:
            click.echo(f"adapter: {failure.what}; trying the next model", err=True)
        if not isinstance(attempt, Attempt):
            failure = attempt
            continue
        kept = Kept()
        writer = _writer(shape)
        whole = _Collected()
        failed = _ask(config, attempt, kept, writer, whole, shape)
        if failed is None:
            if failure is not None:
                click.echo(f"adapter: {printable(attempt.query.model)} answered", err=True)
            return _finish(attempt, kept, whole.text, shape)
        failure = failed
        if writer.wrote and not isinstance(writer, _Collected):
            click.echo(f"Error: {failure}\n  the answer above is not complete", err=True)
            return ExitCode.PROVIDER_FAILED  # whatever broke it off
    assert failure is not None
    click.echo(f"Error: {failure}", err=True)
    return failure.exit_code


def _writer(shape: Shape) -> Writer:
    if shape.as_json or shape.extract:
        return _Collected()
    if shape.render and sys.stdout.isatty():
        from adapter.cli.rendering import MarkdownWriter

        return MarkdownWriter()
    return AnswerWriter(sys.stdout)


def _ask(
    config: Config, attempt: Attempt, kept: Kept, writer: Writer, whole: _Collected, shape: Shape
) -> Failure | None:
    """Write one answer, and keep it; return what went wrong, if anything did."""
    query, target = attempt.query, attempt.target
    try:
        for text in ask(query, target, kept):
            whole.write(text)
            writer.write(text)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever LiteLLM raises is explained, not traced
        from adapter.call.failures import explain

        writer.close()
        return explain(error, target, query.model, [p.name for p in config.providers])
    except KeyboardInterrupt:
        writer.close()
        raise
    writer.close()
    # a refusal, or reasoning that took all tokens, has no text but is a response
    if whole.wrote or (shape.as_json and kept.response is not None):
        return None
    from adapter.call.failures import Failure

    where = f"provider {target.name!r} ({target.base_url})" if target else f"model {query.model!r}"
    return Failure(ExitCode.PROVIDER_FAILED, f"{where}: the reply held no answer", "")


def _finish(attempt: Attempt, kept: Kept, text: str, shape: Shape) -> int:
    """Print what needs the whole answer, and return the exit code."""
    if shape.as_json:
        click.echo(json_text(kept.response))
    elif shape.extract:
        _print_code(text)
    if shape.usage:
        click.echo(_usage(attempt, kept), err=True)
    if shape.schema is not None:
        from adapter.query.schemas import violation

        if why := violation(shape.schema, text):
            click.echo(f"Error: {printable(why)}", err=True)
            return ExitCode.PROVIDER_FAILED
    return ExitCode.OK


def _print_code(text: str) -> None:
    from adapter.query.extraction import first_block

    code = first_block(text)
    if code is None:
        click.echo("adapter: the answer has no code block; this is all of it", err=True)
    writer = AnswerWriter(sys.stdout)
    writer.write(text if code is None else code)
    writer.close()


def _usage(attempt: Attempt, kept: Kept) -> str:
    usage = kept.usage or {}
    tokens_in, tokens_out = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    if tokens_in is None or tokens_out is None:
        return "adapter: the server told no usage"
    said = f"adapter: {tokens_in} tokens in, {tokens_out} out"
    if attempt.query.gateway is None:
        from adapter.query.prices import cost

        price = cost(attempt.query.model, attempt.target, usage)
        said += f", ${price:.6f}" if price is not None else ""
    return said


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    """Return a number of tokens; ``None`` for anything else that a proxy says instead."""
    count = usage.get(name)
    return count if isinstance(count, int) and not isinstance(count, bool) else None


def resolved(error: AdapterError) -> Failure:
    """Return the failure of a model that could not even be asked."""
    from adapter.call.failures import Failure

    return Failure(error.exit_code, str(error), "")

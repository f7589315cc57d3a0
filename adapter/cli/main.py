"""The entry point: find the command, run it, and turn every way it can end into an exit code."""

from __future__ import annotations

import gc
import io
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import click

from adapter._text import printable
from adapter.cli import COMMANDS, FLAGS, first_word
from adapter.cli.options import LazyGroup, config_option
from adapter.errors import AdapterError, ExitCode

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["main"]


class DefaultGroup(LazyGroup):
    """A group whose first word may be a prompt: what names no command goes to ``query``."""

    lazy: ClassVar = {name: row[:2] for name, row in COMMANDS.items()}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        first = first_word(args)
        word = args[first] if first < len(args) else None
        if ctx.resilient_parsing and word is None:
            return super().parse_args(ctx, args)  # completing the first word: it may be a command
        if word not in (*COMMANDS, *FLAGS):
            if word and not ctx.resilient_parsing and (meant := self._meant(ctx, args[first:])):
                prompt = shlex.join(args[first:])
                raise click.UsageError(
                    f"there is no command {word!r}: did you mean `{meant}`? "
                    f"To send it as a prompt: adapter query {prompt}"
                )
            args = ["query", *args]
        return super().parse_args(ctx, args)

    def _meant(self, ctx: click.Context, args: list[str]) -> str | None:
        """Return the command line that a misspelt one stands for, ``None`` where it is a prompt."""
        if not args[0].isalpha():
            return None  # before difflib, which takes milliseconds, is imported
        if args[0] == "help" and (len(args) == 1 or args[1] in COMMANDS):
            return " ".join(["adapter", *args[1:2], "--help"])
        from difflib import get_close_matches

        near = get_close_matches(args[0], COMMANDS, n=1, cutoff=0.8)
        if not near or len(args) == 1:
            return f"adapter {near[0]}" if near else None
        group = self.get_command(ctx, near[0])
        commands = group.list_commands(ctx) if isinstance(group, click.Group) else []
        second = get_close_matches(args[1], commands, n=1, cutoff=0.65)
        return shlex.join(["adapter", near[0], *second, *args[2:]]) if second else None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the first word: a command, or an option of a query."""
        query = self.get_command(ctx, "query")
        options = query.shell_complete(ctx, incomplete) if query and incomplete else []
        return [*super().shell_complete(ctx, incomplete), *options]

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, '[OPTIONS] "PROMPT"')
        formatter.write_usage(ctx.command_path, "COMMAND [OPTIONS]", prefix="       ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        query = self.get_command(ctx, "query")
        asking = [p for p in query.params if isinstance(p, click.Option)] if query else []
        params = [*asking, *(p for p in self.get_params(ctx) if p.name != "config")]
        with formatter.section("Options"):
            formatter.write_dl([r for p in params if (r := p.get_help_record(ctx))])
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), code.meaning) for code in ExitCode])


@click.group(cls=DefaultGroup, context_settings={"help_option_names": ["-h", "--help"]})
@config_option
@click.version_option(package_name="gptme-litellm", message="adapter %(version)s")
def cli() -> None:
    """Ask a model of one of your gptme providers, through LiteLLM.

    \b
      adapter -m groq "Explain quantum computing"
      cat main.py | adapter -m vllm-local/my-model "Explain this"
      adapter providers list

    The answer, and nothing else, goes to stdout.
    """


def run(args: list[str]) -> int:
    """Run the command line ``args`` and return its exit code (an :class:`ExitCode`)."""
    code: int = ExitCode.OK
    try:
        # not click's own main(), which makes exit code 1 of a reader that left
        try:
            with cli.make_context("adapter", args) as ctx:
                cli.invoke(ctx)
        except click.exceptions.Exit as done:
            code = done.exit_code
        sys.stdout.flush()
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo(err=True)  # ends the line that shows ^C
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except AdapterError as error:
        click.echo(printable(f"Error: {error}"), err=True)
        return error.exit_code
    except BrokenPipeError:
        _discard_stdout()
        return ExitCode.OK
    except OSError as error:  # a full disk behind stdout, a folder as stdin
        _discard_stdout()
        click.echo(f"Error: {error.strerror or error}", err=True)
        return ExitCode.ERROR
    return code


def _discard_stdout() -> None:
    """Keep the interpreter from flushing into a closed pipe or a full disk again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Messages(io.FileIO):
    """Stderr whose reader may leave, or whose disk may fill, with no effect on the command."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _open_stderr(descriptor: int) -> io.TextIOWrapper:
    """Return stderr as the interpreter makes it, but that no write to it fails."""
    binary = io.BufferedWriter(_Messages(descriptor, "w", closefd=False))
    encoding = sys.stderr.encoding if sys.stderr else None
    return io.TextIOWrapper(binary, encoding, "replace", line_buffering=True)


def main() -> NoReturn:
    """Run the command of this process and exit."""
    gc.disable()  # a command ends before there is much to collect; one that lasts turns it on again
    if instruction := os.environ.get("_ADAPTER_COMPLETE"):
        from adapter.cli.completing import answer_shell

        sys.exit(answer_shell(cli, instruction))
    if sys.stdout is None:  # closed by the caller
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    # a terminal that cannot show a character shows "?" instead of ending the command
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    sys.stderr = _open_stderr(2 if sys.stderr else os.open(os.devnull, os.O_WRONLY))
    sys.exit(run(sys.argv[1:]))

"""``adapter keys``: keys in the OS keyring."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from adapter.cli.options import config_option, dry_run_option, load, providers_word
from adapter.cli.output import report_diffs
from adapter.errors import ConfigError, ExitCode, MissingKeyError
from adapter.keys.precedence import sendable
from adapter.keys.sources import in_keyring
from adapter.secrets.secret import Secret

__all__ = ["key_from_stdin", "key_typed", "keyring_entry", "keys", "on_terminal", "read_key"]

MAX_BYTES = 64 * 1024


@click.group()
def keys() -> None:
    """Keep keys in the OS keyring."""


@keys.command("set")
@click.argument("name", shell_complete=providers_word)
@click.option(
    "--replace", is_flag=True, help="Remove other sources of the key, which would take precedence."
)
@dry_run_option
@config_option
@click.pass_context
def set_key(ctx: click.Context, name: str, replace: bool, dry_run: bool) -> None:
    """Put the key of provider NAME into the keyring.

    The command asks for the key without showing it, or reads the first line of stdin. It stores
    nothing while another source takes precedence over the keyring. On a terminal it offers to
    remove that source.
    """
    from adapter.providers.registration import keys_before_keyring, set_keyring

    config = load()
    problems = keys_before_keyring(name, config)
    if on_terminal() and not dry_run:
        in_keyring("get_password", name)  # where there is no keyring, no key is asked for
    if problems and not replace:
        if not on_terminal() or dry_run:
            raise ConfigError(problems)
        for problem in problems:
            click.echo(f"{problem.path}: {problem.message}", err=True)
        if not click.confirm("Remove that, and use the keyring?", err=True):
            ctx.exit(ExitCode.USAGE)
        replace = True
    # a file that cannot be edited is told before the key is asked for and stored
    diffs = set_keyring(name, True, config, replace=replace, dry_run=True)
    if dry_run:
        report_diffs(diffs, dry_run)
        return
    with keyring_entry(name, read_key(name, from_stdin=not on_terminal())):
        changed = any(set_keyring(name, True, config, replace=replace).values())
    if changed:
        click.echo(f"provider {name} takes its key from the keyring now", err=True)


@keys.command("unset", short_help="Remove the key of provider NAME from the keyring.")
@click.argument("name", shell_complete=providers_word)
@dry_run_option
@config_option
def unset_key(name: str, dry_run: bool) -> None:
    """Remove the key of provider NAME from the keyring, and the setting from every file."""
    from adapter.providers.registration import set_keyring

    config = load()
    config.provider(name)
    diffs = set_keyring(name, False, config, dry_run=True)
    if dry_run:
        report_diffs(diffs, dry_run)
        return
    has_key = in_keyring("get_password", name) is not None
    set_keyring(name, False, config)
    if has_key:
        in_keyring("delete_password", name)
    else:
        click.echo(f"the keyring holds no key of provider {name}", err=True)


@contextmanager
def keyring_entry(name: str, key: Secret) -> Iterator[None]:
    """Store a key while the files that name the keyring are written; take it back on an error."""
    former = in_keyring("get_password", name)
    in_keyring("set_password", name, str(key))
    try:
        yield
    except ConfigError:
        if former is None:
            in_keyring("delete_password", name)
        else:
            in_keyring("set_password", name, former)
        raise


def on_terminal() -> bool:
    """Whether there is somebody at stdin to be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


def read_key(name: str, *, from_stdin: bool) -> Secret:
    """Return the key of provider ``name``. Raises :class:`click.UsageError` where there is none."""
    if key := key_from_stdin(name) if from_stdin else key_typed(name, "Key"):
        return key
    raise click.UsageError("the key is empty")


def key_from_stdin(name: str) -> Secret:
    """Return the key of provider ``name`` in stdin's first line.

    Raises :class:`click.UsageError` where there is none, and :class:`MissingKeyError` for what no
    header can carry.
    """
    if sys.stdin is None:  # closed by whoever started this process
        raise click.UsageError("there is no stdin to read the key from")
    line = sys.stdin.buffer.readline(MAX_BYTES)
    if len(line) == MAX_BYTES:
        raise click.UsageError("the first line of stdin is too long for a key")
    try:
        key = line.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise click.UsageError("stdin is not UTF-8 text, so it cannot be a key") from None
    if not key:
        raise click.UsageError("stdin contains no key")
    return sendable(name, key, "stdin")


def key_typed(name: str, question: str) -> Secret | None:
    """Ask for the key of provider ``name`` without showing it; ``None`` for blank input."""
    while True:
        try:
            text = click.prompt(question, default="", hide_input=True, err=True, show_default=False)
            return sendable(name, text.strip(), "the terminal") if text.strip() else None
        except MissingKeyError as error:
            click.echo(f"Error: {error}", err=True)
        except UnicodeDecodeError:
            click.echo("Error: that is not UTF-8 text, so it cannot be a key", err=True)

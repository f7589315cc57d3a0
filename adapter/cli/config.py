"""``adapter config``: the configuration as a LiteLLM ``config.yaml``, both ways."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import click

from adapter.cli.lazy import LazyGroup
from adapter.cli.options import config_option, load, providers_word
from adapter.errors import ExitCode

__all__ = ["config"]


class ConfigGroup(LazyGroup):
    """``import`` is elsewhere."""

    lazy: ClassVar = {"import": ("adapter.cli.importing", "import_config")}


@click.group(cls=ConfigGroup)
def config() -> None:
    """Check the configuration, and exchange it with LiteLLM."""


@config.command("export")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=providers_word)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["litellm"]),
    default="litellm",
    show_default=True,
    help="What to write: a config.yaml for the LiteLLM Proxy.",
)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@click.option("--discover", "discovering", is_flag=True, help="List each server's own models.")
@click.option(
    "--include-secrets",
    is_flag=True,
    help="Write keys that stand in the configuration, to a file of mode 0600 (needs -o).",
)
@config_option
@click.pass_context
def export_config(
    ctx: click.Context,
    names: tuple[str, ...],
    kind: str,
    output: Path | None,
    discovering: bool,
    include_secrets: bool,
) -> None:
    """Write the providers, or those named, as a LiteLLM config.yaml.

    Keys are written as os.environ/VAR; what to set is said on stderr. Exit code 1: a server did
    not list its models (--discover), and the file has the other entries.
    """
    from adapter._text import one_line, printable
    from adapter.sharing.exporting import export

    del kind  # there is one so far
    if include_secrets and output is None:
        raise click.UsageError("--include-secrets writes to a file only: give -o FILE")
    loaded = load()
    if output is not None and os.path.realpath(output) in map(os.path.realpath, loaded.paths):
        raise click.UsageError(f"-o {output} is the configuration itself")
    found: dict[str, list[str]] = {}
    failed: dict[str, Exception] = {}
    if discovering:
        from adapter.providers.discovery import discover

        chosen = [loaded.provider(n) for n in names] if names else loaded.providers
        found, errors = discover(chosen)
        failed.update(errors)
    exported = export(loaded, names, include_secrets=include_secrets, discovered=found)
    _write(exported.text, output, include_secrets)
    for note in exported.notes:
        click.echo(one_line(f"note: {note}"), err=True)
    for error in failed.values():
        click.echo(printable(f"warning: {error}"), err=True)
    ctx.exit(ExitCode.ERROR if failed else ExitCode.OK)


def _write(text: str, output: Path | None, secret: bool) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    from adapter.editing.writing import write_file

    write_file(output, text, secret=secret)
    click.echo(f"wrote {click.format_filename(output)}", err=True)


@config.command("check")
@config_option
def check_config() -> None:
    """Check all files: every problem and warning, with its fix.

    Exit code 2 when something has to be corrected, 0 when there are warnings at most.
    """
    from adapter.config.loading import load_config
    from adapter.sharing.model_checks import check_default_model

    loaded = load_config()
    warnings = [*loaded.warnings, *check_default_model(loaded)]
    for warning in warnings:
        click.echo(str(warning))
    count = len(loaded.providers)
    click.echo(f"{len(loaded.files)} file(s), {count} provider(s), {len(warnings)} warning(s)")


@config.command("path")
@config_option
def show_paths() -> None:
    """Show which files are read, in order: later ones win; of the others, why not."""
    from adapter._text import printable
    from adapter.config.files import config_paths, gptme_folder, read_document
    from adapter.errors import Problem

    paths, named = config_paths()
    for path in paths:
        found = read_document(path, required=False)
        if isinstance(found, Problem):
            state = "a directory" if Path(path).is_dir() else printable(found.message)
        else:
            state = "not there" if found is None else "read"
        click.echo(f"{click.format_filename(path)}  ({state})")
    if not named and os.path.dirname(paths[0]) != (folder := gptme_folder()):
        note = f"note: gptme itself reads the files in {folder}, not those in $XDG_CONFIG_HOME"
        click.echo(printable(note), err=True)

"""``adapter config``: check the configuration, and exchange it with LiteLLM."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from adapter._text import one_line, printable
from adapter.cli.options import config_option, dry_run_option, load, load_or_new, providers_word
from adapter.errors import ExitCode

__all__ = ["config"]


@click.group()
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
    help="Format of the file: a config.yaml for the LiteLLM Proxy.",
)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@click.option("--discover", "discovering", is_flag=True, help="List each server's own models.")
@click.option(
    "--reference-all",
    is_flag=True,
    help="Write os.environ/VAR for each provider, even if VAR is not set here.",
)
@click.option(
    "--include-secrets",
    is_flag=True,
    help="Also write the keys in the configuration, to a file with mode 0600 (needs -o).",
)
@config_option
@click.pass_context
def export_config(
    ctx: click.Context,
    names: tuple[str, ...],
    kind: str,
    output: Path | None,
    discovering: bool,
    reference_all: bool,
    include_secrets: bool,
) -> None:
    """Write the providers, or those named, as a LiteLLM config.yaml.

    The file refers to keys as os.environ/VAR. stderr names the variables to set. Exit code 1:
    a server did not list its models (--discover); the file has all other entries.
    """
    from adapter.cli.output import diff_text
    from adapter.editing.writing import write_file
    from adapter.providers.discovery import discover
    from adapter.sharing.exporting import export

    del kind  # there is one so far
    if include_secrets and output is None:
        raise click.UsageError("--include-secrets needs a file to write to: add -o FILE")
    loaded = load()
    if output is not None and os.path.realpath(output) in map(os.path.realpath, loaded.paths):
        raise click.UsageError(f"-o {output} is the configuration itself")
    providers = [loaded.provider(n) for n in names] or loaded.providers
    models, failures = discover(providers if discovering else ())
    exported = export(
        loaded,
        names,
        include_secrets=include_secrets,
        reference_all=reference_all,
        discovered=models,
    )
    if output is None:
        terminal = sys.stdout.isatty()
        click.echo(diff_text(exported.text) if terminal else exported.text, nl=False)
    else:
        write_file(output, exported.text, secret=include_secrets)
        click.echo(f"wrote {click.format_filename(output)}", err=True)
    for note in exported.notes:
        click.echo(one_line(f"note: {note}"), err=True)
    for error in failures.values():
        click.echo(printable(f"warning: {error}"), err=True)
    ctx.exit(ExitCode.ERROR if failures else ExitCode.OK)


@config.command("import")
@click.argument("source", metavar="SOURCE", type=click.Path(path_type=Path))
@dry_run_option
@click.option(
    "--to",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to this TOML file.  [default: the one that has your providers, else gptme.toml]",
)
@click.option("--replace", is_flag=True, help="Overwrite providers and settings that differ.")
@click.option(
    "--compatible",
    is_flag=True,
    help="Import entries of other APIs (ollama/, anthropic/, gemini/, azure/, ...) through their "
    "maker's OpenAI-compatible API.",
)
@click.option(
    "--include-secrets",
    is_flag=True,
    help="Write the keys in SOURCE to config.local.toml, with mode 0600.",
)
@config_option
@click.pass_context
def import_config(
    ctx: click.Context,
    source: Path,
    dry_run: bool,
    target: Path | None,
    replace: bool,
    compatible: bool,
    include_secrets: bool,
) -> None:
    """Turn a LiteLLM config.yaml into [[providers]].

    SOURCE may also be opencode.json, aichat's or Continue's config.yaml, crush.json or llm's
    extra-openai-models.yaml. The command recognizes a file by its content.

    Exit codes: 0 if everything was imported, or nothing is new, 1 if something was left out (stderr
    says what and why), 2 if nothing was written, since the file cannot be read or would overwrite a
    provider.
    """
    from adapter.cli.output import report_diffs
    from adapter.config.files import config_paths, shared_file
    from adapter.sharing.applying import check_import, write_import
    from adapter.sharing.importing import plan_import

    paths, alone = config_paths()
    target = target or shared_file()
    read = os.path.realpath(target) in map(os.path.realpath, paths)
    if include_secrets and (alone or not read):
        raise click.UsageError(
            "--include-secrets writes to config.local.toml, which is read only beside gptme's own "
            "files: leave out --config and --to"
        )
    loaded = load_or_new(None if read else target)
    plan = plan_import(source, loaded, compatible=compatible)
    check_import(plan, loaded, target, replace=replace, include_secrets=include_secrets)
    diffs, secrets = write_import(
        plan, loaded, target, include_secrets=include_secrets, dry_run=dry_run
    )
    report_diffs(diffs, dry_run, "nothing to change in")
    left_out = (*plan.left_out, *secrets)
    lines = [f"{name} -> {model}" for name, model in plan.routes.items() if name != model]
    lines += [f"note: {note}" for note in plan.notes]
    lines += [f"left out: {line}" for line in left_out]
    if plan.compatible:
        take = f"adapter config import {click.format_filename(source)} --compatible"
        lines.append(f"to import {plan.compatible} of these by an OpenAI-compatible API: {take}")
    for line in lines:
        click.echo(one_line(line), err=True)
    new = any(diffs.values()) or not plan.providers
    ctx.exit(ExitCode.ERROR if left_out and new else ExitCode.OK)


@config.command("check")
@config_option
def check_config() -> None:
    """Check all files, and print every problem and warning with its fix.

    Exit code 2 if something must be corrected, 0 if there are only warnings or nothing at all.
    """
    from adapter.config.loading import load_config
    from adapter.sharing.checks import check_default_model, check_router_settings

    loaded = load_config()
    warnings = [*loaded.warnings, *check_default_model(loaded), *check_router_settings(loaded)]
    for warning in warnings:
        click.echo(str(warning))
    count = len(loaded.providers)
    click.echo(f"{len(loaded.files)} file(s), {count} provider(s), {len(warnings)} warning(s)")


@config.command("path")
@config_option
def show_paths() -> None:
    """Show which files are read and why the others are not, in order: later files win."""
    from adapter.config.files import config_paths, gptme_folder, read_document
    from adapter.errors import Problem

    paths, named = config_paths()
    for path in paths:
        document = read_document(path, required=False)
        if isinstance(document, Problem):
            state = "a directory" if Path(path).is_dir() else printable(document.message)
        else:
            state = "not there" if document is None else "read"
        click.echo(f"{click.format_filename(path)}  ({state})")
    if not named and os.path.dirname(paths[0]) != (folder := gptme_folder()):
        note = f"note: gptme itself reads the files in {folder}, not those in $XDG_CONFIG_HOME"
        click.echo(printable(note), err=True)

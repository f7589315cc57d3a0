"""``adapter config import``: a LiteLLM ``config.yaml`` as ``[[providers]]``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from adapter._text import one_line
from adapter.cli.options import config_option, load_or_new
from adapter.cli.output import diff_text
from adapter.errors import ExitCode

__all__ = ["import_config"]


@click.command("import")
@click.argument("source", metavar="CONFIG.YAML", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Print what would change as a diff, write nothing.")
@click.option(
    "--to",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to this TOML file.  [default: the one that has your providers, else gptme.toml]",
)
@click.option("--replace", is_flag=True, help="Overwrite providers and settings that differ.")
@click.option(
    "--include-secrets",
    is_flag=True,
    help="Write keys that stand in CONFIG.YAML to config.local.toml, mode 0600.",
)
@config_option
@click.pass_context
def import_config(
    ctx: click.Context,
    source: Path,
    dry_run: bool,
    target: Path | None,
    replace: bool,
    include_secrets: bool,
) -> None:
    """Turn a LiteLLM config.yaml into [[providers]].

    Exit codes: 0 all of it was imported, 1 some was left out (stderr says what and why), 2 nothing
    was written: the file cannot be read, or a provider that differs would be overwritten.
    """
    from adapter.config.files import config_paths, shared_file
    from adapter.sharing.import_differences import check_import
    from adapter.sharing.import_writes import write_import
    from adapter.sharing.importing import plan_import

    paths, alone = config_paths()
    target = target or shared_file()
    read = os.path.realpath(target) in map(os.path.realpath, paths)
    if include_secrets and (alone or not read):
        raise click.UsageError(
            "--include-secrets writes to config.local.toml, which is not read with --config, nor "
            "beside a file that is not read by itself"
        )
    loaded = load_or_new(None if read else target)
    plan = plan_import(source, loaded)
    check_import(plan, loaded, target, replace=replace, include_secrets=include_secrets)
    written = write_import(plan, loaded, target, include_secrets=include_secrets, dry_run=dry_run)
    left_out = (*plan.left_out, *written.left_out)
    for path, diff in written.diffs.items():
        if dry_run:
            click.echo(diff_text(diff), nl=False)
        else:
            state = "wrote" if diff else "nothing to change in"
            click.echo(f"{state} {click.format_filename(path)}", err=True)
    lines = [f"{name} -> {typed}" for name, typed in plan.routes.items() if name != typed]
    lines += [f"note: {note}" for note in plan.notes]
    lines += [f"left out: {line}" for line in left_out]
    for line in lines:
        click.echo(one_line(line), err=True)
    ctx.exit(ExitCode.ERROR if left_out else ExitCode.OK)

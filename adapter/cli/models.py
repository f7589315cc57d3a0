"""``adapter models``: what the servers have."""

from __future__ import annotations

import click

from adapter._text import printable
from adapter.cli.options import config_option, load, providers_word
from adapter.cli.output import json_text
from adapter.errors import ExitCode

__all__ = ["models"]


@click.command()
@click.argument("provider", required=False, shell_complete=providers_word)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
@click.pass_context
def models(ctx: click.Context, provider: str | None, as_json: bool) -> None:
    """List the models of all servers, or of one PROVIDER; a star marks the default.

    Exit code: that of the failure when one provider is asked, 1 when some of several do not
    answer; the others are listed all the same.
    """
    from adapter.providers.discovery import discover
    from adapter.providers.model_cache import remember

    loaded = load()
    chosen = [loaded.provider(provider)] if provider else list(loaded.providers)
    found, failed = discover(chosen)
    remember(found, chosen)
    if provider and failed:
        raise failed[provider]
    if as_json:
        rows = [
            {"provider": p.name, "default_model": p.default_model, "models": found[p.name]}
            for p in chosen
            if p.name in found
        ]
        click.echo(json_text(rows))
    else:
        for p in chosen:
            for model in found.get(p.name, ()):
                default = p.default_model in (model, model.removesuffix(":latest"))
                click.echo(printable(f"{p.name}/{model}{' *' if default else ''}"))
    for error in failed.values():
        click.echo(printable(f"warning: {error}"), err=True)
    ctx.exit(ExitCode.ERROR if failed else ExitCode.OK)

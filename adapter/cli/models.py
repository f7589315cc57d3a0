"""``adapter models``: what the servers have, and which model is the default."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from adapter._text import printable
from adapter.cli.options import (
    config_option,
    dry_run_option,
    load,
    load_or_new,
    models_word,
    providers_word,
)
from adapter.cli.output import json_text, report_diffs
from adapter.errors import ExitCode

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["models"]

NOTHING = """\
no provider is configured. To begin:
  adapter providers add groq    a service or server; --help names those that are known
  adapter providers discover    the servers that run on this machine"""


class ModelsGroup(click.Group):
    """A group whose first word may be a provider: what names no command goes to ``list``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = {*self.commands, *ctx.help_option_names}
        if (args[:1] and args[0] in words) or (ctx.resilient_parsing and not args):
            return super().parse_args(ctx, args)
        return super().parse_args(ctx, ["list", *args])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the first word: a command or a provider."""
        listing = self.commands["list"].shell_complete(ctx, incomplete)
        return [*super().shell_complete(ctx, incomplete), *listing]


@click.group(cls=ModelsGroup)
def models() -> None:
    """List the models of your servers, and choose a default.

    \b
      adapter models             all servers
      adapter models groq        one server, like `adapter models list groq`
      adapter models default     the model that is used when you name none
    """


@models.command("list")
@click.argument("provider", required=False, shell_complete=providers_word)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
@click.pass_context
def list_models(ctx: click.Context, provider: str | None, as_json: bool) -> None:
    """List the models of all servers, or of one PROVIDER. A star marks the default.

    Exit code: for one provider, that of its failure. For several, 1 if some of them do not
    answer; the command lists the models of the others.
    """
    from adapter.providers.discovery import discover
    from adapter.providers.model_cache import cache_models

    config = load()
    providers = [config.provider(provider)] if provider else list(config.providers)
    lists, errors = discover(providers)
    cache_models(lists, providers)
    if provider and errors:
        raise errors[provider]
    if as_json:
        rows = [
            {"provider": p.name, "default_model": p.default_model, "models": lists[p.name]}
            for p in providers
            if p.name in lists
        ]
        click.echo(json_text(rows))
    elif not providers:
        click.echo(NOTHING, err=True)
    else:
        for p in providers:
            for model in lists.get(p.name, ()):
                default = p.default_model in (model, model.removesuffix(":latest"))
                click.echo(printable(f"{p.name}/{model}{' *' if default else ''}"))
    for error in errors.values():
        click.echo(printable(f"warning: {error}"), err=True)
    ctx.exit(ExitCode.ERROR if errors else ExitCode.OK)


@models.command("default")
@click.argument("model", required=False, metavar="[PROVIDER[/MODEL]]", shell_complete=models_word)
@dry_run_option
@config_option
def default_model(model: str | None, dry_run: bool) -> None:
    """Show or set the model that is used when you name none.

    This is gptme's `[models] default`. The variables GPTME_MODEL and MODEL take precedence.
    """
    from adapter.call.resolution import choose_model, resolve
    from adapter.providers.registration import set_default_model
    from adapter.sharing.checks import check_default_model

    config = load_or_new()
    if model is not None:
        resolve(model, config)  # raises for what no query could use
        report_diffs(set_default_model(model, config, dry_run=dry_run), dry_run)
        if dry_run:
            return
        config = load()
    elif config.default_model is None:
        click.echo(
            f"[models] default is not set; without -m the model is {choose_model(config)}", err=True
        )
        return
    else:
        click.echo(printable(config.default_model))
    for warning in check_default_model(config):
        click.echo(str(warning), err=True)
    if (used := choose_model(config)) != config.default_model:
        click.echo(printable(f"note: GPTME_MODEL or MODEL takes precedence: {used}"), err=True)

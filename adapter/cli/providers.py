"""``adapter providers``: what is configured."""

from __future__ import annotations

from typing import ClassVar

import click

from adapter._text import one_line, printable
from adapter.cli.lazy import LazyGroup
from adapter.cli.options import config_option, load
from adapter.cli.output import json_text
from adapter.config.loading import Config
from adapter.config.provider import Provider

__all__ = ["providers"]

EMPTY = """\
📭 No custom providers configured

Add one to {path}:

[[providers]]
name = "my-provider"
base_url = "http://localhost:8000/v1"
api_key_env = "MY_PROVIDER_API_KEY"
default_model = "my-model"
"""


class ProvidersGroup(LazyGroup):
    """``list`` is here; what takes longer to import is elsewhere."""

    lazy: ClassVar = {
        "add": ("adapter.cli.managing", "add_provider"),
        "discover": ("adapter.cli.managing", "discover_servers"),
        "remove": ("adapter.cli.managing", "remove_provider"),
        "show": ("adapter.cli.showing", "show_provider"),
        "test": ("adapter.cli.checkup", "test_providers"),
    }


@click.group(cls=ProvidersGroup)
def providers() -> None:
    """Show, add, remove, find and test providers."""


@providers.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, without keys.")
def list_providers(as_json: bool) -> None:
    """List the configured providers, in the order of the files."""
    config = load()
    if as_json:
        click.echo(json_text([_row(p) for p in config.providers]))
    else:
        click.echo(_text(config), nl=False)


def _text(config: Config) -> str:
    """Return the listing of gptme's specification, spacing and emoji included."""
    if not config.providers:
        from adapter.config.files import shared_file

        return EMPTY.format(path=printable(str(shared_file())))
    blocks = [f"🔌 Found {len(config.providers)} custom provider(s):"]
    for provider in config.providers:
        lines = [
            f"📡 {provider.name}",
            f"   Base URL: {provider.base_url}",
            f"   API Key: {provider.key_source}",
        ]
        if provider.default_model:
            lines.append(f"   Default Model: {provider.default_model}")
        blocks.append("\n".join(map(one_line, lines)))
    return "\n\n".join(blocks) + "\n"


def _row(provider: Provider) -> dict[str, object]:
    return {
        "name": provider.name,
        "base_url": provider.base_url,
        "api_key_source": provider.key_source,
        "default_model": provider.default_model,
        "files": list(provider.origin),
    }

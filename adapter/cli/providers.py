"""``adapter providers``: what is configured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import click

from adapter._text import one_line, printable
from adapter.cli.options import LazyGroup, config_option, load, providers_word
from adapter.cli.output import json_text
from adapter.config.loading import Config
from adapter.config.provider import Provider

__all__ = ["providers"]

EMPTY = """\
📭 No custom providers configured

Add one: adapter providers add groq   (--help names those that are known)
Or look for servers on this machine: adapter providers discover
Or write it to {path}:

[[providers]]
name = "my-provider"
base_url = "http://localhost:8000/v1"
api_key_env = "MY_PROVIDER_API_KEY"
default_model = "my-model"
"""


class ProvidersGroup(LazyGroup):
    """``list`` and ``show`` are here; what takes longer to import is elsewhere."""

    lazy: ClassVar = {
        "add": ("adapter.cli.registration", "add_provider"),
        "discover": ("adapter.cli.registration", "discover_servers"),
        "remove": ("adapter.cli.registration", "remove_provider"),
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
        click.echo(json_text([_row(p, _aliases(config)) for p in config.providers]))
    else:
        click.echo(_listing(config), nl=False)


def _listing(config: Config) -> str:
    """Return the listing of gptme's specification, spacing and emoji included."""
    if not config.providers:
        from adapter.config.files import shared_file

        return EMPTY.format(path=printable(str(shared_file())))
    blocks = [f"🔌 Found {len(config.providers)} custom provider(s):"]
    aliases = _aliases(config)
    for provider in config.providers:
        lines = [
            f"📡 {provider.name}",
            f"   Base URL: {provider.base_url}",
            f"   API Key: {provider.key_source}",
        ]
        if provider.default_model:
            lines.append(f"   Default Model: {provider.default_model}")
        if names := aliases.get(provider.name):
            lines.append(f"   Aliases: {', '.join(names)}")
        blocks.append("\n".join(map(one_line, lines)))
    return "\n\n".join(blocks) + "\n"


def _aliases(config: Config) -> dict[str, dict[str, str]]:
    """Return for each provider's name the aliases of its models, with what each stands for."""
    from adapter.call.resolution import aliases

    owners: dict[str, dict[str, str]] = {}
    for alias, model in aliases(config).items():
        owner = model if config.find(model) else model.partition("/")[0]
        owners.setdefault(owner, {})[alias] = model
    return owners


def _row(provider: Provider, aliases: Mapping[str, Mapping[str, str]]) -> dict[str, object]:
    return {
        "name": provider.name,
        "base_url": provider.base_url,
        "api_key_source": provider.key_source,
        "default_model": provider.default_model,
        "aliases": dict(aliases.get(provider.name, {})),
        "files": list(provider.origin),
    }


@providers.command("show", short_help="Show all there is to say about one provider.")
@click.argument("name", shell_complete=providers_word)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, without keys.")
@config_option
def show_provider(name: str, as_json: bool) -> None:
    """Show one provider: its fields, where its key comes from, and LiteLLM's parameters."""
    config = load()
    provider = config.provider(name)
    details = _details(provider, config)
    params = _masked_params(provider)
    warnings = _warnings(provider, config)
    if as_json:
        click.echo(json_text({**details, "litellm": params, "warnings": warnings}))
        return
    lines = [f"📡 {provider.name}"]
    for label, value in details.items():
        if label != "name" and value not in (None, []):
            shown = ", ".join(value) if isinstance(value, list) else value
            lines.append(
                f"   {label.replace('_', ' ').capitalize().replace('url', 'URL')}: {shown}"
            )
    lines += ["   LiteLLM:", *(f"     {k}: {v}" for k, v in params.items())]
    lines += [f"   Warning: {warning}" for warning in warnings]
    click.echo("\n".join(map(one_line, lines)))


def _details(provider: Provider, config: Config) -> dict[str, object]:
    from adapter.config.files import files_with
    from adapter.errors import MissingKeyError
    from adapter.secrets.secret import MASK

    try:
        found = provider.resolve_key().found
        state = "set" if found else "not set, so a placeholder is sent"
    except MissingKeyError as error:
        state = f"missing: {error}"
    return {
        "name": provider.name,
        "base_url": provider.base_url,
        "api_key": MASK if provider.api_key else None,
        "api_key_env": provider.api_key_env,
        "default_model": provider.default_model,
        "key_source": provider.key_source,
        "key": state,
        "files": files_with(provider.name, config.files),
    }


def _masked_params(provider: Provider) -> dict[str, Any]:
    """Return LiteLLM's parameters to print; of headers only references to variables are shown."""
    from adapter.call.translation import params_for
    from adapter.secrets.policy import mask_secrets
    from adapter.secrets.references import variable_of
    from adapter.secrets.secret import MASK

    params = mask_secrets(params_for(provider, provider.default_model or "MODEL", MASK, {}))
    for field in {"headers", "extra_headers"} & params.keys():
        headers = provider.extras[field]
        params[field] = (
            {name: value if variable_of(value) else MASK for name, value in headers.items()}
            if isinstance(headers, Mapping)
            else MASK
        )
    return params


def _warnings(provider: Provider, config: Config) -> list[str]:
    from adapter.secrets.references import variable_of
    from adapter.upstream.prefixes import NOT_EXPRESSIBLE, OPENAI_COMPATIBLE

    name = provider.name
    warnings = [p.message for p in config.warnings if p.provider == name]
    if name in OPENAI_COMPATIBLE or name in NOT_EXPRESSIBLE:
        warnings.append(f"shadows LiteLLM's built-in {name}: {name}/... goes here")
    if name in ("local", "embedded"):
        warnings.append(f"takes the place of the built-in {name}")
    headers = provider.extras.get("extra_headers")
    for header, value in headers.items() if isinstance(headers, Mapping) else ():
        variable = variable_of(value)
        if variable and config.getenv(variable) is None:
            warnings.append(
                f"the header {header} takes its value from ${variable}, which is not set: "
                "calls fail (exit code 3)"
            )
    if not provider.default_model:
        warnings.append(f"has no default_model: name one, as in {name}/MODEL")
    return warnings

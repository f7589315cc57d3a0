"""``adapter providers show``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from adapter._text import one_line
from adapter.cli.options import config_option, load, providers_word
from adapter.cli.output import json_text
from adapter.config.loading import Config
from adapter.config.provider import Provider
from adapter.errors import MissingKeyError
from adapter.secrets.references import variable_of
from adapter.secrets.secret import MASK

__all__ = ["show_provider"]


@click.command("show")
@click.argument("name", shell_complete=providers_word)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, without keys.")
@config_option
def show_provider(name: str, as_json: bool) -> None:
    """Show one provider: its fields, where its key comes from, and LiteLLM's parameters."""
    loaded = load()
    provider = loaded.provider(name)
    facts = _facts(provider, loaded)
    if as_json:
        click.echo(json_text(facts))
        return
    lines = [f"📡 {provider.name}"]
    for label, value in facts.items():
        if label in ("name", "litellm", "warnings") or value in (None, []):
            continue
        shown = ", ".join(value) if isinstance(value, list) else value
        lines.append(f"   {label.replace('_', ' ').capitalize()}: {shown}")
    lines.append("   LiteLLM:")
    lines += [f"     {k}: {v}" for k, v in dict(facts["litellm"]).items()]  # type: ignore[call-overload]  # a dict
    lines += [f"   Warning: {warning}" for warning in facts["warnings"]]  # type: ignore[attr-defined]  # a list
    click.echo("\n".join(map(one_line, lines)))


def _facts(provider: Provider, config: Config) -> dict[str, object]:
    from adapter.call.translation import params_for
    from adapter.config.files import files_with
    from adapter.secrets.policy import mask_secrets

    state = "set"
    try:
        if not provider.resolve_key().found:
            state = "not set, so a placeholder is sent"
    except MissingKeyError as error:
        state = f"missing: {error}"
    model = provider.default_model or "MODEL"
    params = mask_secrets(params_for(provider, model, MASK, {}))
    for field in ("headers", "extra_headers"):
        if field in params:
            params[field] = _headers(provider.extras[field])
    return {
        "name": provider.name,
        "base_url": provider.base_url,
        "api_key": MASK if provider.api_key else None,
        "api_key_env": provider.api_key_env,
        "default_model": provider.default_model,
        "key_source": provider.key_source,
        "key": state,
        "files": files_with(provider.name, config.files),
        "litellm": params,
        "warnings": _warnings(provider, config),
    }


def _headers(given: Any) -> Any:
    """Return headers with references only: any other value, whatever its name, may be a key."""
    if not isinstance(given, Mapping):
        return MASK
    return {name: value if variable_of(value) else MASK for name, value in given.items()}


def _warnings(provider: Provider, config: Config) -> list[str]:
    from adapter.upstream.prefixes import NOT_EXPRESSIBLE, OPENAI_COMPATIBLE

    found = [p.message for p in config.warnings if p.provider == provider.name]
    if provider.name in OPENAI_COMPATIBLE or provider.name in NOT_EXPRESSIBLE:
        found.append(f"shadows LiteLLM's built-in {provider.name}: {provider.name}/... goes here")
    if provider.name in ("local", "embedded"):
        found.append(f"takes the place of the built-in {provider.name}")
    headers = provider.extras.get("extra_headers")
    for header, value in headers.items() if isinstance(headers, Mapping) else ():
        variable = variable_of(value)
        if variable and config.getenv(variable) is None:
            found.append(
                f"the header {header} takes its value from ${variable}, which is not set: "
                "calls fail (exit code 3)"
            )
    if not provider.default_model:
        found.append(f"has no default_model: name one, as in {provider.name}/MODEL")
    return found

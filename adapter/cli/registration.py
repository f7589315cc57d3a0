"""``adapter providers add``, ``remove`` and ``discover``."""

from __future__ import annotations

import shlex
from contextlib import nullcontext
from dataclasses import replace
from itertools import count
from typing import Any

import click

from adapter._text import did_you_mean, printable
from adapter.cli.keys import (
    key_from_stdin,
    key_typed,
    keyring_entry,
    on_terminal,
    read_key,
)
from adapter.cli.options import (
    config_option,
    dry_run_option,
    load,
    load_or_new,
    offered,
    providers_word,
)
from adapter.cli.output import report_diffs
from adapter.config.presets import PRESETS
from adapter.config.provider import Provider, base_url_fault
from adapter.errors import ConfigError
from adapter.keys.precedence import default_variable
from adapter.keys.sources import KEYRING_SERVICE, in_keyring
from adapter.providers import registration
from adapter.providers.registration import add, remove
from adapter.secrets.references import is_variable

__all__ = ["add_provider", "discover_servers", "remove_provider"]

PRESET_NAMES = ", ".join(PRESETS)


@click.command(
    "add",
    help=f"""Add a provider.

    These names need no options: {PRESET_NAMES}. On a terminal, the command asks for what is
    missing. It writes a key that you type to config.local.toml, which only you can read, or with
    --keyring to the OS keyring.
    """,
)
@click.argument(
    "name", required=False, shell_complete=lambda ctx, param, word: offered(PRESETS, word)
)
@click.option("--base-url", metavar="URL", help="The server's URL, without /chat/completions.")
@click.option("--api-key-env", metavar="VAR", help="The variable that holds the key.")
@click.option("--api-key-stdin", is_flag=True, help="Read the key itself from stdin's first line.")
@click.option(
    "--keyring",
    is_flag=True,
    help="Ask for the key, or read it from stdin, and keep it in the OS keyring.",
)
@click.option("--default-model", metavar="MODEL", help="The model when only NAME is given.")
@click.option(
    "--local", is_flag=True, help="Write the provider to config.local.toml, not to the shared file."
)
@click.option(
    "--from-local", is_flag=True, help="Make the provider from OPENAI_BASE_URL and OPENAI_API_KEY."
)
@dry_run_option
@config_option
def add_provider(
    name: str | None,
    base_url: str | None,
    api_key_env: str | None,
    api_key_stdin: bool,
    keyring: bool,
    default_model: str | None,
    local: bool,
    from_local: bool,
    dry_run: bool,
) -> None:
    _exclude("--api-key-env", api_key_env, "--api-key-stdin", api_key_stdin)
    _exclude("--api-key-env", api_key_env, "--keyring", keyring)
    # the key of OPENAI_API_KEY is for the server of OPENAI_BASE_URL
    _exclude("--from-local", from_local, "--base-url", base_url)
    _exclude("--from-local", from_local, "--keyring", keyring)
    config = load_or_new()
    asking = on_terminal() and not api_key_stdin
    name = name or _ask_name(asking)
    new = PRESETS.get(name) or Provider(name, "")
    if from_local:
        new = registration.from_local(name, config)
    if base_url and base_url.rstrip("/") != new.base_url.rstrip("/"):
        new = Provider(name, base_url)  # the variable's key is for its own server
    model = default_model or new.default_model
    new = replace(new, api_key_env=api_key_env or new.api_key_env, default_model=model)
    if not new.base_url and not asking:
        raise click.UsageError(
            f"{name} is not a known provider{did_you_mean(name, PRESETS)}: give --base-url URL, "
            f"or one of these names: {PRESET_NAMES}"
        )
    if api_key_stdin or keyring:
        extras = {"api_key_keyring": True} if keyring else {}
        new = replace(new, api_key_env=None, extras=extras)
    if api_key_stdin or keyring or (asking and not from_local):
        # what cannot be added is refused before a key is asked for
        trial = new if new.base_url else replace(new, base_url="http://localhost")
        add(trial, config, local=local, dry_run=True)
    if asking and not from_local:
        new = _prompt_for(new)
    elif api_key_stdin and not keyring:
        new = replace(new, api_key=key_from_stdin(name))
    entry: Any = nullcontext()
    if keyring and not dry_run:
        entry = keyring_entry(name, read_key(name, from_stdin=not asking))
    with entry:
        report_diffs(add(new, config, local=local, dry_run=dry_run), dry_run)
    _warn_of_conventional_key(new)
    if not dry_run and new.api_key_env and load().getenv(new.api_key_env) is None:
        click.echo(f"its key is not set yet: export {new.api_key_env}=...", err=True)


def _exclude(one: str, value: object, other: str, other_value: object) -> None:
    if value and other_value:
        raise click.UsageError(f"{one} and {other} cannot be used together")


def _ask_name(asking: bool) -> str:
    if not asking:
        raise click.UsageError("name the provider, as in: adapter providers add groq")
    click.echo(f"Known: {PRESET_NAMES}; or a name of your own", err=True)
    return str(click.prompt("Name", err=True))


def _prompt_for(new: Provider) -> Provider:
    """Ask for what is missing, on stderr; a key is not shown."""
    if new.extras:
        in_keyring("get_password", new.name)  # where there is none, no key is asked for
    # of a known server without a key's variable it is known that it needs none
    preset = PRESETS.get(new.name)
    is_keyless = preset is not None and new.base_url == preset.base_url
    asks_for_key = not (new.api_key_env or new.extras or is_keyless)
    if not new.base_url:
        url = click.prompt("Base URL", err=True, value_proc=_url)
        new = replace(new, base_url=url)
        if asks_for_key:
            variable = _optional("Variable that holds the key", value_proc=_variable)
            new = replace(new, api_key_env=variable)
            asks_for_key = not variable
    if asks_for_key:
        new = replace(new, api_key=key_typed(new.name, "Key (empty for none)"))
    if not new.default_model:
        new = replace(new, default_model=_optional("Default model"))
    return new


def _optional(question: str, **options: Any) -> str | None:
    text = f"{question} (empty for none)"
    return click.prompt(text, default="", err=True, show_default=False, **options) or None


def _url(text: str) -> str:
    """Return a base URL that was typed in; the error makes click ask again."""
    if wrong := base_url_fault(text.strip()):
        raise click.UsageError("; ".join(wrong))
    return text.strip()


def _variable(text: str) -> str:
    """Return a variable's name, as :func:`_url` does a URL; the error does not show the value."""
    if text.strip() and not is_variable(text.strip()):
        raise click.UsageError(
            "that is not the name of a variable, like GROQ_API_KEY; "
            "leave it empty to be asked for the key itself"
        )
    return text.strip()


def _warn_of_conventional_key(new: Provider) -> None:
    """Warn that another server under a known name gets the key of that name, by convention."""
    preset, variable = PRESETS.get(new.name), default_variable(new.name)
    if preset is None or preset.base_url.rstrip("/") == new.base_url.rstrip("/"):
        return
    has_source = new.api_key or new.api_key_env or new.extras
    if preset.api_key_env == variable and not has_source:
        click.echo(
            f"warning: if ${variable} is set, it is sent to {printable(new.base_url)}; "
            "to avoid that, choose another name or use --api-key-env",
            err=True,
        )


@click.command("remove")
@click.argument("name", shell_complete=providers_word)
@dry_run_option
@config_option
def remove_provider(name: str, dry_run: bool) -> None:
    """Remove a provider, and its key, from every file that has it."""
    config = load()
    keyring = config.provider(name).extras.get("api_key_keyring")
    default = config.default_model or ""
    report_diffs(remove(name, config, dry_run=dry_run), dry_run)
    if default.partition("/")[0] == name:
        click.echo(
            f"note: the default model is still {printable(default)}: "
            "`adapter models default MODEL` sets another",
            err=True,
        )
    if keyring and not dry_run:
        click.echo(
            f"its key stays in the keyring: service {KEYRING_SERVICE}, user {printable(name)}",
            err=True,
        )


@click.command("discover")
@dry_run_option
@config_option
def discover_servers(dry_run: bool) -> None:
    """Look for model servers on this machine, and offer to add them.

    Ollama, LM Studio, vLLM, llama.cpp, LocalAI and Jan are looked for on their usual ports. No key
    is sent.
    """
    from adapter.providers.discovery import find_local

    config = load()
    servers = list(find_local(config))
    if not servers:
        besides = " that is not configured yet" if config.providers else ""
        click.echo(f"no model server of this machine answers on its usual port{besides}", err=True)
        return
    names_in_use = {provider.name for provider in config.providers}
    for server, models in servers:
        shown = ", ".join(models[:3]) + (", ..." if len(models) > 3 else "")
        click.echo(printable(f"{server.name}: {server.base_url} ({shown or 'no models'})"))
        names = (f"{server.name}-{n}" if n > 1 else server.name for n in count(1))
        name = next(n for n in names if n not in names_in_use)
        names_in_use.add(name)
        new = replace(server, name=name, default_model=models[0] if models else None)
        why = "" if name == server.name else f" (the name {server.name} is taken)"
        if dry_run or not on_terminal():
            words = ["adapter", "providers", "add", name, "--base-url", server.base_url]
            words += ["--default-model", new.default_model] if new.default_model else []
            # to be pasted: a model's name is the server's word
            click.echo(f"to add it{why}: {printable(shlex.join(words))}", err=True)
        elif click.confirm(f"Add {name}{why}?", err=True):
            try:
                report_diffs(add(new, load()), dry_run)
            except ConfigError as error:
                click.echo(f"Error: {error}", err=True)

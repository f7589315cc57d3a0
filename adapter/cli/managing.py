"""``adapter providers add``, ``remove`` and ``discover``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection
from itertools import chain, count
from typing import TYPE_CHECKING

import click

from adapter._text import printable
from adapter.cli.keys import key_from_stdin, key_typed
from adapter.cli.options import config_option, load, load_or_new, providers_word
from adapter.cli.output import diff_text
from adapter.config.checks import VARIABLE
from adapter.config.loading import Config
from adapter.config.provider import base_url_fault
from adapter.errors import ConfigError
from adapter.keys.precedence import default_variable
from adapter.keys.sources import KEYRING_SERVICE

if TYPE_CHECKING:
    from adapter.providers.registration import NewProvider

__all__ = [
    "add_provider",
    "discover_servers",
    "remove_provider",
]

dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Print what would change as a diff, write nothing."
)


@click.command("add")
@click.argument("name", required=False)
@click.option("--base-url", metavar="URL", help="Up to and without /chat/completions.")
@click.option("--api-key-env", metavar="VAR", help="The variable that holds the key.")
@click.option("--api-key-stdin", is_flag=True, help="Read the key itself from stdin's first line.")
@click.option("--default-model", metavar="MODEL", help="The model when only NAME is given.")
@click.option("--local", is_flag=True, help="Write it to config.local.toml, not the shared file.")
@click.option("--from-local", is_flag=True, help="Take OPENAI_BASE_URL and OPENAI_API_KEY.")
@dry_run_option
@config_option
def add_provider(
    name: str | None,
    base_url: str | None,
    api_key_env: str | None,
    api_key_stdin: bool,
    default_model: str | None,
    local: bool,
    from_local: bool,
    dry_run: bool,
) -> None:
    """Add a provider.

    A known name (groq, openrouter, ollama, ...) needs no more. On a terminal, what is missing is
    asked for; a key that is typed in goes to config.local.toml, which only you can read.
    """
    from adapter.providers.registration import add

    if api_key_env and api_key_stdin:
        raise click.UsageError("--api-key-env and --api-key-stdin exclude each other")
    if from_local and base_url:
        # the key of OPENAI_API_KEY is for the server of OPENAI_BASE_URL
        raise click.UsageError("--from-local and --base-url exclude each other")
    loaded = load_or_new()
    asking = sys.stdin is not None and sys.stdin.isatty() and not api_key_stdin
    if not name:
        if not asking:
            raise click.UsageError("name the provider, as in: adapter providers add groq")
        name = str(click.prompt("Name", err=True))
    new = _given(name, loaded, base_url, from_local)
    new = new._replace(
        api_key_env=api_key_env or new.api_key_env,
        default_model=default_model or new.default_model,
    )
    if not new.base_url and not asking:
        raise click.UsageError(f"{name} is no known provider: give --base-url URL")
    if api_key_stdin or (asking and not from_local):
        # what cannot be added is refused before a key is asked for
        sure = new if new.base_url else new._replace(base_url="http://localhost")
        add(sure, loaded, local=local, dry_run=True)
        if api_key_stdin:
            new = new._replace(api_key=key_from_stdin(name), api_key_env=None)
        else:
            new = _ask(new)
    _report(add(new, loaded, local=local, dry_run=dry_run), dry_run)
    _tell_known_key(new)
    if not dry_run:
        _tell_key(new)


def _given(name: str, config: Config, base_url: str | None, from_local: bool) -> NewProvider:
    """Return what the name, and the options for the server, say about the new provider."""
    from adapter.providers.registration import from_local as taken_from_local
    from adapter.providers.registration import known

    if from_local:
        return taken_from_local(name, config)
    new = known(name)
    if base_url and base_url.rstrip("/") != new.base_url.rstrip("/"):
        return new._replace(base_url=base_url, api_key_env=None)  # its key is for its own server
    return new


def _ask(new: NewProvider) -> NewProvider:
    """Ask for what is missing, on stderr; a key is not shown."""
    if not new.base_url:
        url = click.prompt("Base URL", err=True, value_proc=_url)
        new = new._replace(base_url=url)
        if not new.api_key_env:
            text = "Variable that holds the key (empty for none)"
            variable = click.prompt(
                text, default="", err=True, show_default=False, value_proc=_variable
            )
            new = new._replace(api_key_env=variable or None)
    if not new.api_key_env:
        new = new._replace(api_key=key_typed(new.name, "Key (empty for none)"))
    if not new.default_model:
        model = click.prompt(
            "Default model (empty for none)", default="", err=True, show_default=False
        )
        new = new._replace(default_model=model or None)
    return new


def _url(typed: str) -> str:
    """Return a base URL that was typed in; the error makes click ask again."""
    if wrong := base_url_fault(typed.strip()):
        raise click.UsageError("; ".join(wrong))
    return typed.strip()


def _variable(typed: str) -> str:
    """Return a variable's name, as :func:`_url` does a URL; the error does not show the value."""
    if typed.strip() and not VARIABLE.fullmatch(typed.strip()):
        raise click.UsageError(
            "that is not the name of a variable, like GROQ_API_KEY; "
            "leave it empty to be asked for the key itself"
        )
    return typed.strip()


def _report(diffs: dict[str, str], dry_run: bool) -> None:
    """Show the diffs of a dry run; else name on stderr the files that were written."""
    for path, diff in diffs.items():
        if dry_run:
            click.echo(diff_text(diff), nl=False)
        elif diff:
            click.echo(f"wrote {click.format_filename(path)}", err=True)


def _tell_key(new: NewProvider) -> None:
    if not new.api_key_env:
        return
    if load().getenv(new.api_key_env) is None:
        click.echo(f"its key is not set yet: export {new.api_key_env}=...", err=True)


def _tell_known_key(new: NewProvider) -> None:
    """Warn that another server under a known name gets the key of that name, by convention."""
    from adapter.providers.registration import known

    row = known(new.name)
    variable = default_variable(new.name)
    elsewhere = row.base_url.rstrip("/") != new.base_url.rstrip("/")
    if elsewhere and row.api_key_env == variable and not new.api_key and not new.api_key_env:
        click.echo(
            f"warning: ${variable}, when it is set, is sent to {printable(new.base_url)}; "
            "another name, or --api-key-env, avoids that",
            err=True,
        )


@click.command("remove")
@click.argument("name", shell_complete=providers_word)
@dry_run_option
@config_option
def remove_provider(name: str, dry_run: bool) -> None:
    """Remove a provider, and its key, from every file that has it."""
    from adapter.providers.registration import remove

    loaded = load()
    keyring = loaded.provider(name).extras.get("api_key_keyring")
    _report(remove(name, loaded, dry_run=dry_run), dry_run)
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
    from adapter.providers.registration import NewProvider, add

    loaded = load()
    found = list(find_local(loaded))
    if not found:
        click.echo("no server answers that is not configured already", err=True)
        return
    taken = {provider.name for provider in loaded.providers}
    for server in found:
        models = ", ".join(server.models[:3]) + (", ..." if len(server.models) > 3 else "")
        click.echo(printable(f"{server.name}: {server.base_url} ({models or 'no models'})"))
        name = _free(server.name, taken)
        taken.add(name)
        new = NewProvider(name, server.base_url, None, server.models[0] if server.models else None)
        why = "" if name == server.name else f" (the name {server.name} is taken)"
        if dry_run or sys.stdin is None or not sys.stdin.isatty():
            click.echo(f"to add it{why}: {printable(_command(new))}", err=True)
        elif click.confirm(f"Add {name}{why}?", err=True):
            try:
                _report(add(new, load()), dry_run)
            except ConfigError as error:
                click.echo(f"Error: {error}", err=True)


def _free(name: str, taken: Collection[str]) -> str:
    """Return the name, or the first of ``NAME-2``, ``NAME-3``, ... that nobody has."""
    names = chain([name], (f"{name}-{number}" for number in count(2)))
    return next(n for n in names if n not in taken)


def _command(new: NewProvider) -> str:
    """Return the command that adds a server, to be pasted: a model's name is the server's word."""
    words = ["adapter", "providers", "add", new.name, "--base-url", new.base_url]
    words += ["--default-model", new.default_model] if new.default_model else []
    return shlex.join(words)

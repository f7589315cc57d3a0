"""``adapter providers add``, ``remove`` and ``discover``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from adapter.cli.options import config_option, load, providers_word
from adapter.errors import ConfigError, printable

if TYPE_CHECKING:
    from adapter.managing import NewProvider

__all__ = ["add_provider", "discover_servers", "remove_provider"]

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
    from adapter.managing import add, known
    from adapter.managing import from_local as taken_from_local

    loaded = load()
    asking = sys.stdin is not None and sys.stdin.isatty() and not api_key_stdin
    if not name:
        if not asking:
            raise click.UsageError("name the provider, as in: adapter providers add groq")
        name = str(click.prompt("Name", err=True))
    new = taken_from_local(name, loaded) if from_local else known(name)
    if base_url and not from_local:
        new = new._replace(base_url=base_url, api_key_env=None)  # its key is for its own server
    new = new._replace(
        base_url=base_url or new.base_url,
        api_key_env=api_key_env or new.api_key_env,
        default_model=default_model or new.default_model,
    )
    if api_key_stdin:
        new = _with_key_from_stdin(new)
    if not new.base_url and not asking:
        raise click.UsageError(f"{name} is no known provider: give --base-url URL")
    if asking and not from_local:
        new = _ask(new)
    _report(add(new, loaded, local=local, dry_run=dry_run), dry_run)
    if not dry_run:
        _tell_key(new)


def _with_key_from_stdin(new: NewProvider) -> NewProvider:
    from adapter.keys import Secret

    key = sys.stdin.readline().strip()
    if not key:
        raise click.UsageError("--api-key-stdin: stdin holds no key")
    return new._replace(api_key=Secret(key), api_key_env=None)


def _ask(new: NewProvider) -> NewProvider:
    """Ask for what is missing, on stderr; a key is not shown."""
    from adapter.keys import Secret

    if not new.base_url:
        new = new._replace(base_url=str(click.prompt("Base URL", err=True)))
        variable = click.prompt(
            "Variable that holds the key (empty for none)", default="", err=True, show_default=False
        )
        new = new._replace(api_key_env=variable or None)
    if not new.api_key_env and not new.api_key:
        typed = click.prompt(
            "Key (empty for none)", default="", hide_input=True, err=True, show_default=False
        )
        new = new._replace(api_key=Secret(typed) if typed else None)
    if not new.default_model:
        model = click.prompt(
            "Default model (empty for none)", default="", err=True, show_default=False
        )
        new = new._replace(default_model=model or None)
    return new


def _report(diffs: dict[str, str], dry_run: bool) -> None:
    for path, diff in diffs.items():
        if dry_run:
            click.echo(printable(diff), nl=False)
        elif diff:
            click.echo(f"wrote {click.format_filename(path)}", err=True)


def _tell_key(new: NewProvider) -> None:
    if not new.api_key_env:
        return
    if load().getenv(new.api_key_env) is None:
        click.echo(f"its key is not set yet: export {new.api_key_env}=...", err=True)


@click.command("remove")
@click.argument("name", shell_complete=providers_word)
@dry_run_option
@config_option
def remove_provider(name: str, dry_run: bool) -> None:
    """Remove a provider, and its key, from every file that has it."""
    from adapter.managing import remove

    _report(remove(name, load(), dry_run=dry_run), dry_run)


@click.command("discover")
@dry_run_option
@config_option
def discover_servers(dry_run: bool) -> None:
    """Look for model servers on this machine, and offer to add them.

    Ollama, LM Studio, vLLM, llama.cpp, LocalAI and Jan are looked for on their usual ports. No key
    is sent.
    """
    from adapter.managing import NewProvider, add, find_local

    loaded = load()
    found = list(find_local(loaded))
    if not found:
        click.echo("no server answers that is not configured already", err=True)
        return
    for server in found:
        models = ", ".join(server.models[:3]) + (", ..." if len(server.models) > 3 else "")
        click.echo(printable(f"{server.name}: {server.base_url} ({models or 'no models'})"))
        model = server.models[0] if server.models else None
        command = f"adapter providers add {server.name} --base-url {server.base_url}"
        command += f" --default-model {model}" if model else ""
        if loaded.find(server.name) is not None:
            click.echo(f"the name {server.name} is taken: {printable(command)}", err=True)
        elif dry_run or sys.stdin is None or not sys.stdin.isatty():
            click.echo(f"to add it: {printable(command)}", err=True)
        elif click.confirm(f"Add {server.name}?", err=True):
            try:
                new = NewProvider(server.name, server.base_url, None, model)
                _report(add(new, load()), dry_run)
            except ConfigError as error:
                click.echo(f"Error: {error}", err=True)

"""``adapter keys``: keys in the OS keyring."""

from __future__ import annotations

import sys

import click

from adapter.cli.options import config_option, load, providers_word
from adapter.errors import AdapterError, printable

__all__ = ["keys"]


@click.group()
def keys() -> None:
    """Keep keys in the OS keyring."""


@keys.command("set")
@click.argument("name", shell_complete=providers_word)
@config_option
def set_key(name: str) -> None:
    """Put the key of provider NAME into the keyring.

    It is asked for without showing it, or read from stdin's first line.
    """
    from adapter.managing import set_keyring

    load().provider(name)
    if sys.stdin is not None and sys.stdin.isatty():
        key = str(click.prompt("Key", hide_input=True, err=True))
    else:
        key = sys.stdin.readline() if sys.stdin is not None else ""
    if not key.strip():
        raise click.UsageError("the key is empty")
    _keyring("set_password", name, key.strip())
    if set_keyring(name, True):
        click.echo(f"provider {name} takes its key from the keyring now", err=True)


@keys.command("unset")
@click.argument("name", shell_complete=providers_word)
@config_option
def unset_key(name: str) -> None:
    """Remove the key of provider NAME from the keyring."""
    from adapter.managing import set_keyring

    load().provider(name)
    _keyring("delete_password", name)
    set_keyring(name, False)


def _keyring(function: str, *args: str) -> None:
    from adapter.key_sources import KEYRING_SERVICE

    try:
        import keyring
    except ImportError:
        raise AdapterError('this needs keyring: pip install "gptme-litellm[keyring]"') from None
    try:
        getattr(keyring, function)(KEYRING_SERVICE, *args)
    except Exception as error:  # noqa: BLE001 - backends raise what they like
        raise AdapterError(f"the keyring: {printable(str(error))[:300]}") from None

"""What several commands share: groups, the ``--config`` option, how warnings are shown.

What reads a configuration is imported by those that do: ``--help`` takes a third less without.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import click

from adapter.errors import AdapterError

if TYPE_CHECKING:
    from adapter.config.loading import Config

__all__ = [
    "LazyGroup",
    "config_option",
    "dry_run_option",
    "load",
    "load_or_new",
    "model_option",
    "models_word",
    "offered",
    "parameters_option",
    "providers_word",
]


Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def _use_config(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value == "":
        raise click.BadParameter("the file name is empty")
    if value is not None:
        # the drop-in functions read this too, so that a call sees the file the command saw
        os.environ["ADAPTER_CONFIG"] = value


config_option: Callable[[Decorated], Decorated] = click.option(
    "--config",
    metavar="FILE",
    expose_value=False,
    callback=_use_config,
    help="Read this TOML file and no other. [env: ADAPTER_CONFIG]",
)


dry_run_option: Callable[[Decorated], Decorated] = click.option(
    "--dry-run", is_flag=True, help="Print what would change as a diff, write nothing."
)


def model_option(help: str) -> Callable[[Decorated], Decorated]:
    """Return the option ``-m`` of what asks a model."""
    return click.option(
        "-m",
        "--model",
        envvar="ADAPTER_MODEL",
        shell_complete=models_word,
        metavar="PROVIDER[/MODEL]",
        help=help,
    )


def parameters_option(help: str) -> Callable[[Decorated], Decorated]:
    """Return the option ``-o`` of what asks a model; its values are pairs of texts."""
    return click.option(
        "-o", "--option", "options", nargs=2, multiple=True, metavar="KEY VALUE", help=help
    )


class LazyGroup(click.Group):
    """A group whose further commands are named, not imported: name -> (module, attribute)."""

    lazy: ClassVar[dict[str, tuple[str, str]]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self.lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.lazy:
            module, attribute = self.lazy[cmd_name]
            command: click.Command = getattr(import_module(module), attribute)
            return command
        return super().get_command(ctx, cmd_name)


def load(path: str | os.PathLike[str] | None = None) -> Config:
    """Return the configuration, with its warnings shown on stderr. Raises ``ConfigError``."""
    from adapter.config.loading import load_config

    config = load_config(path)
    for warning in config.warnings:
        click.echo(str(warning), err=True)
    return config


def load_or_new(path: str | os.PathLike[str] | None = None) -> Config:
    """Return the configuration to write to, as :func:`load` does; an empty one for a new file."""
    from adapter.config.files import config_paths
    from adapter.config.loading import Config

    paths, named = config_paths(path)
    return Config(paths=paths) if named and not os.path.exists(paths[0]) else load(path)


def providers_word(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a configured provider."""
    config = _current()
    return offered((p.name for p in config.providers), incomplete) if config else []


def models_word(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a provider, one of its cached models, an alias, or ``embedded``."""
    from adapter.call.resolution import EMBEDDED, aliases
    from adapter.providers.model_cache import cached_models

    if (config := _current()) is None:
        return []
    words = [*(p.name for p in config.providers), *aliases(config)]
    for p in config.providers:
        if incomplete.startswith(f"{p.name}/"):
            words += [f"{p.name}/{model}" for model in cached_models(p) or ()]
    return offered([*words, EMBEDDED], incomplete)


def _current() -> Config | None:
    """Return the configuration; a broken one is told by commands, not while one is typed."""
    from adapter.config.loading import load_config

    try:
        return load_config()
    except AdapterError:
        return None


def offered(words: Iterable[str], incomplete: str) -> list[str]:
    """Return the words that begin so and may be offered.

    Bash inserts them unquoted, and servers name models: ``$(...)`` would run. A comma or a
    wildcard would not arrive whole.
    """
    plain = re.compile(r"[\w./:@+][\w./:@+-]*", re.ASCII)
    return [w for w in words if w.startswith(incomplete) and plain.fullmatch(w)]

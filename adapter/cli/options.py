"""What several commands share: the ``--config`` option and how warnings are shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from adapter.config import Config, load_config

__all__ = ["config_option", "load", "models_word", "providers_word"]


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


def load() -> Config:
    """Return the configuration, with its warnings shown on stderr. Raises ``ConfigError``."""
    config = load_config()
    for warning in config.warnings:
        click.echo(str(warning), err=True)
    return config


def providers_word(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete a provider's name; what does it is imported when a shell asks."""
    from adapter.cli.completing import complete_provider

    return list(complete_provider(ctx, param, incomplete))


def models_word(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete a model, as :func:`providers_word` does a provider."""
    from adapter.cli.completing import complete_model

    return list(complete_model(ctx, param, incomplete))

"""``adapter serve``: run the configured providers as a LiteLLM gateway."""

from __future__ import annotations

import os
import signal
import time
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

from adapter._text import printable
from adapter.cli.options import config_option, load
from adapter.errors import ConfigError, ExitCode, GatewayError
from adapter.gateway.runtime import Gateway, left_behind, running

if TYPE_CHECKING:
    from adapter.config.loading import Config
    from adapter.gateway.lifecycle import Started

__all__ = ["serve"]

CALL = """\
Key:     adapter serve --key --port {port}

  curl {url}/v1/chat/completions \\
    -H "Authorization: Bearer $(adapter serve --key --port {port})" \\
    -H "Content-Type: application/json" \\
    -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'

  from openai import OpenAI  # with OPENAI_API_KEY=$(adapter serve --key --port {port})
  client = OpenAI(base_url="{url}/v1")
  client.chat.completions.create(model="{model}", messages=[{{"role": "user", "content": "Hello"}}])
"""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Port to listen on; 0 takes a free one. With --stop and --key: which gateway. "
    "[default: 4000]",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    metavar="N",
    default=1,
    show_default=True,
    help="Processes that answer. Each has LiteLLM in its memory.",
)
@click.option("--detach", is_flag=True, help="Run in the background.")
@click.option("--status", is_flag=True, help="Show the gateways that run.")
@click.option("--stop", "stopping", is_flag=True, help="End the gateway in the background.")
@click.option("--key", "show_key", is_flag=True, help="Print the master key of a running gateway.")
@config_option
@click.pass_context
def serve(
    ctx: click.Context,
    host: str,
    port: int | None,
    workers: int,
    detach: bool,
    status: bool,
    stopping: bool,
    show_key: bool,
) -> None:
    """Run the configured providers as a LiteLLM gateway, here or in the background.

    Exit codes of --status: 0 a gateway runs, 1 none does.
    """
    if detach + status + stopping + show_key > 1:
        raise click.UsageError("--detach, --status, --stop and --key exclude each other")
    if status:
        ctx.exit(_show_status())
    if stopping:
        _stop(port)
        return
    if show_key:
        found = _choose(list(running()), port)
        if found is None:
            raise GatewayError("no gateway runs: start one with `adapter serve --detach`")
        click.echo(str(found.key))
        return
    _start(host, 4000 if port is None else port, workers, detach)


def _start(host: str, port: int, workers: int, detach: bool) -> None:
    from adapter.gateway.lifecycle import start

    loaded = load()
    if not loaded.providers:
        raise GatewayError(
            "there is nothing to serve: no provider is configured (adapter providers list)"
        )
    click.echo("Starting the gateway (some seconds) ...", err=True)
    previous = None if detach else signal.signal(signal.SIGTERM, _terminated)
    started = None
    try:
        started = start(loaded, host, port, detach=detach, workers=workers)
        _tell(started)
        if detach:
            return
        code = started.process.wait()
    except (KeyboardInterrupt, _Terminated) as ended:
        if started is not None and not detach:
            _end(started)
        if isinstance(ended, KeyboardInterrupt):
            raise
        return
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)
    raise GatewayError(f"the gateway ended by itself (exit code {code}); see above", ExitCode.ERROR)


def _tell(started: Started) -> None:
    for reason in started.left_out:
        click.echo(f"warning: left out: {reason}", err=True)
    click.echo(_describe(started))
    if started.gateway.detached:
        click.echo(f"Log: {started.gateway.log}. `adapter serve --stop` ends it.", err=True)


class _Terminated(BaseException):
    """SIGTERM, as an exception."""


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated


def _end(started: Started) -> None:
    from adapter.gateway.lifecycle import stop

    click.echo("Stopping the gateway ...", err=True)
    stop(started.gateway)
    started.process.wait()


def _describe(started: Started) -> str:
    """Return the start-up text: URL, models, how to call it. The key is not in it."""
    names = [m for m in started.models if not m.endswith("/*")]
    wild = [m.removesuffix("*") + "MODEL" for m in started.models if m.endswith("/*")]
    model = names[0] if names else next(iter(wild), "PROVIDER/MODEL")
    lines = [
        f"Gateway: {started.gateway.url} (LiteLLM Proxy, pid {started.gateway.pid})",
        f"Models:  {', '.join((*names, *wild))}",
        CALL.format(
            url=started.gateway.url, port=started.gateway.port, model=model.replace('"', '\\"')
        ),
    ]
    return printable("\n".join(lines).rstrip("\n"))


def _show_status() -> int:
    gateways = list(running())
    for url in left_behind():
        click.echo(printable(f"the gateway at {url} ended without being stopped"), err=True)
    if not gateways:
        click.echo("no gateway runs", err=True)
        return ExitCode.ERROR
    try:
        loaded = load()
    except ConfigError as error:
        loaded = None
        click.echo(f"error: {error}", err=True)
    for gateway in gateways:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(gateway.started))
        how = "in the background" if gateway.detached else "in a terminal"
        if gateway.workers > 1:
            how = f"{gateway.workers} workers, {how}"
        files = [path for path in gateway.config if os.path.exists(path)]
        lines = [
            f"Gateway: {gateway.url} (pid {gateway.pid}, {how}, since {since})",
            f"Configuration: {', '.join(files) or 'none'} ({_state(gateway, loaded)})",
        ]
        lines += [f"Log: {gateway.log}"] if gateway.log else []
        click.echo(printable("\n".join(lines)))
    return ExitCode.OK


def _state(gateway: Gateway, loaded: Config | None) -> str:
    """Return whether it says what the configuration says; no command is run to read a key."""
    from adapter.gateway.fingerprints import is_current

    if loaded is None:
        return "unknown: the configuration of now has errors"
    if gateway.config != loaded.paths:
        return "another configuration"
    unasked = [p for p in loaded.providers if not p.asks_for_key]
    if not is_current(gateway.fingerprints, loaded, gateway.salt, unasked):
        return "stale: something it was started with has changed"
    return "up to date"


def _stop(port: int | None) -> None:
    from adapter.gateway.lifecycle import stop

    gateway = _choose([g for g in running() if g.detached], port)
    if gateway is None:
        click.echo("no gateway runs in the background", err=True)
        return
    stop(gateway)
    click.echo(f"the gateway at {gateway.url} has ended", err=True)


def _choose(gateways: list[Gateway], port: int | None) -> Gateway | None:
    """Return the gateway on ``port``, or the only one. Raises when it is not clear which."""
    chosen = gateways if port is None else [g for g in gateways if g.port == port]
    if len(chosen) > 1:
        ports = ", ".join(str(g.port) for g in chosen)
        raise click.UsageError(f"several gateways run: choose one with --port ({ports})")
    return chosen[0] if chosen else None

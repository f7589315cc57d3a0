"""``adapter serve``: run the configured providers as a LiteLLM gateway."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from adapter._text import printable
from adapter.cli.options import config_option, load
from adapter.errors import ConfigError, ExitCode, GatewayError
from adapter.gateway.runtime import Gateway, ended_gateways, running

if TYPE_CHECKING:
    from adapter.config.loading import Config
    from adapter.gateway.lifecycle import Launch

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
    help="Port to listen on; 0 chooses a free one. With --stop or --key, the gateway's port. "
    "[default: 4000]",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    metavar="N",
    default=1,
    show_default=True,
    help="Number of processes. Each keeps LiteLLM in its own memory.",
)
@click.option("--detach", is_flag=True, help="Run in the background.")
@click.option("--status", is_flag=True, help="Show the running gateways.")
@click.option("--stop", "stopping", is_flag=True, help="End the gateway in the background.")
@click.option(
    "--restart", is_flag=True, help="End the gateway in the background and start it again."
)
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
    restart: bool,
    show_key: bool,
) -> None:
    """Run the configured providers as a LiteLLM gateway, here or in the background.

    --restart keeps the address, port, workers and random key of the gateway in the background. If
    none runs, it does the same as --detach.

    Exit codes of --status: 0 if a gateway runs, 1 if none does.
    """
    if detach + status + stopping + restart + show_key > 1:
        raise click.UsageError(
            "--detach, --status, --stop, --restart and --key cannot be used together"
        )
    if status:
        ctx.exit(_show_status())
    if stopping:
        _stop(port)
        return
    if show_key:
        gateway = _choose(list(running()), port)
        if gateway is None:
            raise GatewayError("no gateway runs: start one with `adapter serve --detach`")
        click.echo(str(gateway.key))
        return
    old = _choose([g for g in running() if g.detached], port) if restart else None
    if old is not None:
        default = ParameterSource.DEFAULT
        host = old.host if ctx.get_parameter_source("host") is default else host
        workers = old.workers if ctx.get_parameter_source("workers") is default else workers
        port = old.port
    _start(host, 4000 if port is None else port, workers, detach or restart, old)


def _start(host: str, port: int, workers: int, detach: bool, replaced: Gateway | None) -> None:
    from adapter.gateway.lifecycle import start_gateway, stop_gateway

    loaded = load()
    if not detach:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    launch = None
    try:
        launch = start_gateway(
            loaded,
            host,
            port,
            detach=detach,
            workers=workers,
            replaced=replaced,
            on_launch=lambda: click.echo("Starting the gateway (some seconds) ...", err=True),
        )
        _show_launch(launch)
        if detach:
            return
        code = launch.process.wait()
    except (KeyboardInterrupt, SystemExit):
        if launch is not None and not detach:
            click.echo("Stopping the gateway ...", err=True)
            stop_gateway(launch.gateway)
            launch.process.wait()
        raise
    raise GatewayError(f"the gateway ended by itself (exit code {code}); see above", ExitCode.ERROR)


def _show_launch(launch: Launch) -> None:
    """Print URL, models, and how to call it. The key is not printed."""
    for reason in launch.omissions:
        click.echo(f"warning: left out: {reason}", err=True)
    gateway = launch.gateway
    names = [m for m in launch.models if not m.endswith("/*")]
    wildcards = [m.removesuffix("*") + "MODEL" for m in launch.models if m.endswith("/*")]
    model = next(iter((*names, *wildcards)), "PROVIDER/MODEL")
    call = CALL.format(url=gateway.url, port=gateway.port, model=model.replace('"', '\\"'))
    click.echo(f"Gateway: {gateway.url} (LiteLLM Proxy, pid {gateway.pid})")
    click.echo(printable(f"Models:  {', '.join((*names, *wildcards))}\n{call}"), nl=False)
    if gateway.detached:
        click.echo(f"Log: {gateway.log}. `adapter serve --stop` ends it.", err=True)


def _show_status() -> int:
    gateways = list(running())
    for url in ended_gateways():
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
        click.echo(f"Gateway: {gateway.url} (pid {gateway.pid}, {how}, since {since})")
        state = _state(gateway, loaded)
        click.echo(printable(f"Configuration: {', '.join(files) or 'none'} ({state})"))
        if gateway.log:
            click.echo(printable(f"Log: {gateway.log}"))
    return ExitCode.OK


def _state(gateway: Gateway, loaded: Config | None) -> str:
    """Return whether it says what the configuration says; no command is run to read a key."""
    from adapter.gateway.settings import fingerprint

    if loaded is None:
        return "unknown: the current configuration has errors"
    if gateway.config != loaded.paths:
        return "another configuration"
    if gateway.fingerprint != fingerprint(loaded, gateway.salt):
        return "stale: its configuration, keys or variables have changed since it started"
    return "up to date"


def _stop(port: int | None) -> None:
    from adapter.gateway.lifecycle import stop_gateway

    gateway = _choose([g for g in running() if g.detached], port)
    if gateway is None:
        click.echo("no gateway runs in the background", err=True)
        return
    stop_gateway(gateway)
    click.echo(f"the gateway at {gateway.url} has ended", err=True)


def _choose(gateways: list[Gateway], port: int | None) -> Gateway | None:
    """Return the gateway on ``port``, or the only one. Raises when it is not clear which."""
    chosen = gateways if port is None else [g for g in gateways if g.port == port]
    if len(chosen) > 1:
        ports = ", ".join(str(g.port) for g in chosen)
        raise click.UsageError(f"several gateways run: choose one with --port ({ports})")
    return chosen[0] if chosen else None

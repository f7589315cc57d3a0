"""``adapter worker``: start, stop and show the process that keeps LiteLLM imported."""

from __future__ import annotations

import sys
import time
from contextlib import suppress

import click

from adapter._text import printable
from adapter.cli.options import config_option, load
from adapter.config.loading import load_config
from adapter.errors import AdapterError, GatewayError
from adapter.worker import client

__all__ = ["serve", "start_after_query", "worker"]

START_SECONDS = 120.0
"""How long to wait for the worker, which has LiteLLM to import."""

STOP_SECONDS = 5.0


@click.group()
def worker() -> None:
    """Keep LiteLLM imported, so that queries need not (Linux).

    A query at a terminal starts a worker by itself, unless ADAPTER_WORKER or mode in
    [plugin.litellm.worker] is off. It ends when nothing was asked for idle_minutes (10).
    """
    if sys.platform != "linux":
        raise GatewayError("the worker runs on Linux only; each query imports LiteLLM itself")


@worker.command()
@config_option
def start() -> None:
    """Start the worker, and wait until it answers."""
    from adapter.worker.starting import start as start_worker

    process = start_worker(load().settings.get("worker", {}), stderr=None)
    deadline = time.monotonic() + START_SECONDS
    while (outcome := client.request("status")).reply is None:
        if process is not None and process.poll() is not None:
            raise GatewayError("the worker ended at start", 1)
        if time.monotonic() > deadline:
            raise GatewayError(f"the worker did not start: {outcome.why}", 1)
        time.sleep(0.05)
    click.echo(f"the worker runs (pid {outcome.reply['pid']})", err=True)


@worker.command()
def stop() -> None:
    """End the worker; queries under way are answered before."""
    outcome = client.request("stop")
    if outcome.reply is None:
        click.echo(outcome.why, err=True)
        return
    deadline = time.monotonic() + STOP_SECONDS
    while client.request("status").reply is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    click.echo("the worker has ended", err=True)


@worker.command()
@click.pass_context
def status(ctx: click.Context) -> None:
    """Show the worker. Exit codes: 0 it runs, 1 it does not."""
    outcome = client.request("status")
    if outcome.reply is None:
        click.echo(outcome.why, err=True)
        ctx.exit(1)
    details = outcome.reply
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(details["started"]))
    click.echo(f"Worker: pid {details['pid']}, since {since}")
    click.echo(f"Memory: {details['bytes'] / 2**20:.0f} MB")
    click.echo(f"Queries: {details['queries']}")
    if details["refused"]:
        click.echo(printable(f"Last one refused: {details['refused']}"))


def start_after_query() -> None:
    """Start a worker for the next queries, where its user wants one and this query needed it."""
    if "litellm" not in sys.modules:
        return
    with suppress(AdapterError, OSError, AttributeError):  # a query is answered without one as well
        settings = load_config().settings.get("worker", {})
        mode = client.mode_of(settings)
        if mode == "on" or (mode == "auto" and sys.stderr is not None and sys.stderr.isatty()):
            from adapter.worker.starting import start as start_worker

            start_worker(settings)


def serve() -> None:
    """Be the worker: what ``adapter.worker.starting`` runs in a process of its own."""
    from adapter.cli.main import main
    from adapter.worker.process import run_worker

    run_worker(main)

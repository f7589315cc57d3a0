"""``adapter worker``: start, stop and show the process that keeps LiteLLM imported."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import click

from adapter._text import printable
from adapter.cli.options import config_option, load
from adapter.config.loading import load_config
from adapter.errors import AdapterError, GatewayError
from adapter.worker.client import NoWorkerError, mode_of, state

__all__ = ["start_after_query", "worker"]

START_SECONDS = 120.0
"""How long to wait for the worker, which has LiteLLM to import."""

STOP_SECONDS = 5.0


@click.group()
def worker() -> None:
    """Keep LiteLLM imported, so that queries start quickly (Linux).

    A query at a terminal starts a worker, unless ADAPTER_WORKER or mode in
    [plugin.litellm.worker] is off. The worker ends after idle_minutes (10) without a query.
    """
    if sys.platform != "linux":
        raise GatewayError("the worker runs on Linux only; each query imports LiteLLM itself")


@worker.command()
@config_option
def start() -> None:
    """Start the worker, and wait until it answers."""
    from adapter.worker.process import start_worker

    settings = load().settings.get("worker", {})
    process = None
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            click.echo(f"the worker runs (pid {state()[0]})", err=True)
            return
        except NoWorkerError as error:
            process = process or start_worker(settings, stderr=None)  # one before may be ending
            if process is not None and process.poll() is not None:
                raise GatewayError("the worker ended while it started", 1) from None
            if time.monotonic() > deadline:
                raise GatewayError(f"the worker did not start: {error}", 1) from None
            time.sleep(0.05)


@worker.command()
def stop() -> None:
    """End the worker. Running queries are still answered."""
    deadline = time.monotonic() + STOP_SECONDS
    try:
        os.kill(state()[0], signal.SIGTERM)
    except NoWorkerError as error:
        click.echo(str(error), err=True)
        return
    with suppress(NoWorkerError):
        while time.monotonic() < deadline:
            time.sleep(0.02)
            state()
    click.echo("the worker has ended", err=True)


@worker.command()
@click.pass_context
def status(ctx: click.Context) -> None:
    """Show the worker. Exit codes: 0 if it runs, 1 if it does not."""
    try:
        pid, started, queries, refusal = state()
    except NoWorkerError as error:
        click.echo(str(error), err=True)
        ctx.exit(1)
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(started))
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])  # `proc_pid_statm(5)`
    click.echo(f"Worker: pid {pid}, since {since}")
    click.echo(f"Memory: {pages * os.sysconf('SC_PAGESIZE') / 2**20:.0f} MB")
    click.echo(f"Queries: {queries}")
    if refusal:
        click.echo(printable(f"Last query refused: {refusal}"))


def start_after_query() -> None:
    """Start a worker for the next queries, where its user wants one and this query needed it."""
    if "litellm" not in sys.modules:
        return
    with suppress(AdapterError, OSError, AttributeError):  # a query is answered without one as well
        settings = load_config().settings.get("worker", {})
        mode = mode_of(settings)
        if mode == "on" or (mode == "auto" and sys.stderr is not None and sys.stderr.isatty()):
            from adapter.worker.process import start_worker

            start_worker(settings)

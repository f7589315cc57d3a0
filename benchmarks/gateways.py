"""Gateways to measure: `adapter serve`, and LiteLLM's own proxy on the exported config.yaml."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.measuring import SCRIPTS

__all__ = ["ADAPTER", "Gateway", "adapter_gateway", "litellm_proxy"]

ADAPTER = str(SCRIPTS / "adapter")
PATIENCE = 120


class Gateway(NamedTuple):
    """Where a gateway listens, its master key, and its process, whose children may answer."""

    port: int
    key: str
    pid: int


@contextmanager
def adapter_gateway(environ: Mapping[str, str], *options: str) -> Iterator[Gateway]:
    """Run `adapter serve --detach` in the background while the context lasts."""

    def serve(*more: str) -> str:
        done = subprocess.run(
            [ADAPTER, "serve", *more],
            env=dict(environ),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"adapter serve {' '.join(more)} failed: {done.stderr}")
        return done.stdout

    started = serve("--detach", "--port", "0", *options)
    try:
        port = int(started.split("http://127.0.0.1:", 1)[1].split(" ", 1)[0])
        pid = int(started.rpartition("pid ")[2].partition(")")[0])
        yield Gateway(port, serve("--key").strip(), pid)
    finally:
        serve("--stop")


@contextmanager
def litellm_proxy(environ: Mapping[str, str], port: int, workers: int) -> Iterator[Gateway]:
    """Run `litellm --config` on what `adapter config export` writes, in ``workers`` processes."""
    config = Path(environ["HOME"], "exported.yaml")
    subprocess.run(
        [ADAPTER, "config", "export", "-o", str(config)],
        env=dict(environ),
        capture_output=True,
        check=True,
    )
    key = "sk-benchmark"
    command = [str(SCRIPTS / "litellm"), "--config", str(config), "--port", str(port)]
    command += ["--num_workers", str(workers)]
    with (
        open(config.with_suffix(".log"), "wb") as log,
        subprocess.Popen(
            [sys.executable, *command, "--host", "127.0.0.1", "--telemetry", "False"],
            env={**environ, "LITELLM_MASTER_KEY": key, "LITELLM_LOG": "ERROR"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            _wait_for(f"http://127.0.0.1:{port}/health/liveliness")
            yield Gateway(port, key, process.pid)
        finally:
            process.terminate()


def _wait_for(url: str) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)

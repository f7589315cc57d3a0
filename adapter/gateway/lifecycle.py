"""Run the LiteLLM Proxy on the configured providers: start one, find it again, stop it.

The proxy is a child process; what it is given is made in ``gateway_setup``, what it runs is in
``gateway_process``.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from adapter._text import printable
from adapter.errors import ExitCode, GatewayError
from adapter.gateway.child import start_child
from adapter.gateway.fingerprints import fingerprints
from adapter.gateway.runtime import Gateway, Slot, is_alive, new_file, running
from adapter.gateway.setup import (
    check_installed,
    configuration,
    environment,
    guard_settings,
    master_key,
)
from adapter.sharing.exporting import yaml_text

if TYPE_CHECKING:
    from subprocess import Popen

    from adapter.config.loading import Config

__all__ = ["DEFAULT_HOST", "DEFAULT_PORT", "Started", "start", "stop"]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 4000
"""LiteLLM's own default."""

START_SECONDS = 180.0
"""How long a start may take. On two busy cores LiteLLM's imports alone take half a minute."""

STOP_SECONDS = 10.0
"""How long a gateway may take to end the answers under way; then it is killed."""


class Started(NamedTuple):
    """A gateway that has just been started, and its process.

    ``models`` are the names under which it offers the providers; ``left_out`` says, for each
    provider that it does not offer, why.
    """

    gateway: Gateway
    process: Popen[bytes]
    models: tuple[str, ...]
    left_out: tuple[str, ...]


def start(
    config: Config,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    *,
    detach: bool = False,
    workers: int = 1,
) -> Started:
    """Start a gateway and return when it answers, which takes some seconds.

    A detached one outlives this process; any other ends with it, however that ends. ``workers``
    are the processes that answer; each has LiteLLM in it. Raises
    :class:`GatewayError` when the port is taken, the extra ``gateway`` is missing, another host
    than loopback is asked for without a master key, or LiteLLM does not start.
    """
    check_installed()
    master = master_key(config, host)
    listener = _listen(host, port)
    with listener:
        port = listener.getsockname()[1]
        _check_port(port)
        slot = Slot()
        yaml_path = slot.folder / f"gateway-{port}.yaml"
        try:
            log = slot.folder / f"gateway-{port}.log" if detach else None
            content, keys, left_out = configuration(config)
            with open(new_file(yaml_path), "wb") as file:
                file.write(yaml_text(content).encode())
            environ = environment(config, {**keys, "LITELLM_MASTER_KEY": str(master)}, yaml_path)
            given = {**guard_settings(content, environ, host), "workers": workers}
            process = _launch(listener, slot, environ, given, log)
            salt = secrets.token_hex(16)
            gateway = slot.publish(
                url=f"http://{_address(host)}:{port}",
                port=port,
                pid=process.pid,
                key=master,
                salt=salt,
                fingerprints=fingerprints(config, salt),
                config=config.paths,
                workers=workers,
                detached=detach,
                log=str(log) if log else None,
                started=time.time(),
            )
        except BaseException as error:
            slot.close(discard=True)
            yaml_path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                path = error.filename or slot.folder
                raise GatewayError(
                    f"{path}: cannot be written: {error.strerror}", ExitCode.ERROR
                ) from None
            raise
        slot.close(discard=False)
    assert process.stdin is not None
    if detach:
        process.stdin.write(b"stay\n")
        process.stdin.close()
    models = [e["model_name"] for e in content["model_list"]]
    return Started(gateway, process, tuple(models), tuple(left_out))


def stop(gateway: Gateway) -> None:
    """End ``gateway``: answers under way may end, for some seconds; then it is killed."""
    for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
        if not is_alive(gateway):
            return
        with suppress(ProcessLookupError):
            os.kill(gateway.pid, number)
        deadline = time.monotonic() + seconds
        while is_alive(gateway) and time.monotonic() < deadline:
            time.sleep(0.02)
    if is_alive(gateway):
        raise GatewayError(
            f"the gateway at {gateway.url} (pid {gateway.pid}) does not end", ExitCode.ERROR
        )


def _listen(host: str, port: int) -> socket.socket:
    """Bind here, not in the child: a taken port shows at once, and cannot change hands."""
    try:
        family, *_, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except (OSError, OverflowError, UnicodeError) as error:
        _check_port(port)
        number = getattr(error, "errno", None) or 0
        why = os.strerror(number) if number > 0 else getattr(error, "strerror", None) or str(error)
        raise GatewayError(
            f"cannot listen on {host}:{port}: {why}; --port chooses another port"
        ) from None


def _check_port(port: int) -> None:
    """Refuse a port that a gateway has on any address: its files are named after the port."""
    own = next((g for g in running() if g.port == port), None)
    if own is not None:
        raise GatewayError(
            f"a gateway runs at {own.url} already (pid {own.pid}): `adapter serve --stop` ends "
            "one in the background, --port chooses another port"
        )


def _address(host: str) -> str:
    """Return the host by which this machine reaches a gateway that listens on ``host``."""
    bare = host.strip("[]")
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bare, bare)
    return f"[{local}]" if ":" in local else local


def _launch(
    listener: socket.socket,
    slot: Slot,
    environ: dict[str, str],
    given: dict[str, Any],
    log: Path | None,
) -> Popen[bytes]:
    """Start the proxy's process and return when it is ready. It holds the lock of ``slot``."""
    settings = {
        "sys_path": [*map(str, sys.path), str(Path(__file__).parents[1])],
        "listener": listener.fileno(),
        "lock": slot.fd,
        **given,
    }
    output = 2 if log is None else new_file(log)
    try:
        process, said = start_child(
            settings,
            (listener.fileno(), slot.fd),
            stdout=output,
            stderr=output,
            env=environ,
            cwd="/",  # LiteLLM puts the working folder on the module path
            start_new_session=True,  # Ctrl-C is for this process, which tells the child
        )
    finally:
        if log is not None:
            os.close(output)
    assert process.stdin is not None
    try:
        _wait(process, said, log)
    except BaseException:
        process.kill()
        process.wait()
        process.stdin.close()
        raise
    finally:
        os.close(said)
    return process


def _wait(process: Popen[bytes], said: int, log: Path | None) -> None:
    """Wait until the child says that it is ready. Raises :class:`GatewayError` if it ends first."""
    import select

    if not select.select([said], [], [], START_SECONDS)[0]:
        raise GatewayError(f"the gateway was not ready after {START_SECONDS:.0f} s")
    if os.read(said, 1):
        return
    code = process.wait()
    where = f"; its log is {log}" if log else ""
    raise GatewayError(f"the gateway ended at start (exit code {code}): {_reason(log)}{where}")


def _reason(log: Path | None) -> str:
    """Return what a failed start says last, which is the error of a Python traceback."""
    if log is None:
        return "see above"
    lines = log.read_text(errors="replace").splitlines()
    told = [line.strip() for line in lines if line.strip() and not line.startswith((" ", "\t"))]
    errors = [line for line in told if "Error" in line or "Exception" in line]
    return printable((errors or told or ["it said nothing"])[-1][:300])

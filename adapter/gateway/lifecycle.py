"""Run LiteLLM's proxy on the configured providers: start a gateway and stop it.

The proxy is a child process: what it is given is made in ``settings``, what it runs is in
``process``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter._text import printable
from adapter.call.translation import reply_limits
from adapter.errors import ExitCode, GatewayError
from adapter.gateway.runtime import Gateway, RuntimeFile, create_file, is_alive, running
from adapter.gateway.settings import (
    ProxyConfig,
    check_installed,
    fingerprint,
    guard_settings,
    master_key,
    proxy_config,
    proxy_environment,
)
from adapter.sharing.exporting import yaml_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from adapter.config.loading import Config

__all__ = ["DEFAULT_HOST", "DEFAULT_PORT", "Launch", "start_gateway", "stop_gateway"]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 4000
"""LiteLLM's own default."""

START_SECONDS = 180.0
"""How long a start may take. On two busy cores LiteLLM's imports alone take half a minute."""

STOP_SECONDS = 10.0
"""How long a gateway may take to end the answers under way; then it is killed."""

# With -I neither the working folder nor a PYTHON* variable decides what `import json` means.
CHILD = """\
import json, sys
line = sys.stdin.buffer.readline()
if not line:
    sys.exit()  # the parent was interrupted
settings = json.loads(line)
sys.path[:] = settings.pop("sys_path")
from adapter.gateway.process import run
run(**settings)
"""


@dataclass(frozen=True)
class Launch:
    """A gateway that has just been started, and its process.

    ``models`` are the names under which it offers the providers; ``omissions`` says, for each
    provider that it does not offer, why.
    """

    gateway: Gateway
    process: subprocess.Popen[bytes]
    models: tuple[str, ...]
    omissions: tuple[str, ...]


def start_gateway(  # noqa: PLR0913 - most are options of the command, given by name
    config: Config,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    *,
    detach: bool = False,
    log_file: bool = False,
    workers: int = 1,
    replaced: Gateway | None = None,
    on_launch: Callable[[], object] = lambda: None,
) -> Launch:
    """Start a gateway and return when it answers, which takes some seconds.

    A detached one outlives this process; any other ends with it, however that ends, and logs to
    stderr without ``log_file``. ``workers`` are the processes that answer; each has LiteLLM in it.
    ``replaced`` is a gateway to end first, unless this one cannot start; a key that was made for it
    stays. ``on_launch`` is called when only LiteLLM has to start yet. Raises :class:`GatewayError`
    when the port is taken, the extra ``gateway`` is missing, there is no model to offer, another
    host than loopback is asked for without a master key, or LiteLLM does not start.
    """
    check_installed()
    key = master_key(config, host, replaced.key if replaced else None)
    proxy = None
    if replaced is not None:
        proxy = _offer(config)
        stop_gateway(replaced)
    with _listen(host, port) as listener:
        port = listener.getsockname()[1]
        _check_port(port)
        with _runtime_files(port) as (file, yaml_path):
            log = file.folder / f"gateway-{port}.log" if detach or log_file else None
            proxy = proxy or _offer(config)
            environ, guard = _write_settings(config, proxy, yaml_path, host, key)
            on_launch()
            process = _launch(listener, file, environ, log, {"workers": workers, "guard": guard})
            try:
                _wait(_address(host), port, log)
                salt = secrets.token_hex(16)
                gateway = file.publish(
                    url=f"http://{_address(host)}:{port}",
                    host=host,
                    port=port,
                    pid=process.pid,
                    key=key,
                    salt=salt,
                    fingerprint=fingerprint(config, salt),
                    config=config.paths,
                    workers=workers,
                    detached=detach,
                    log=str(log) if log else None,
                    started=time.time(),
                )
            except BaseException:
                process.kill()
                process.communicate()  # closes its stdin
                raise
    if detach:
        _let_go(process)
    models = tuple(entry["model_name"] for entry in proxy.content["model_list"])
    return Launch(gateway, process, models, proxy.omissions)


def _write_settings(
    config: Config, proxy: ProxyConfig, yaml_path: Path, host: str, key: str
) -> tuple[dict[str, str], dict[str, Any]]:
    """Write the proxy's YAML; return the environment of its process, and its guard's settings."""
    with open(create_file(yaml_path), "wb") as yaml_file:
        yaml_file.write(yaml_text(proxy.content).encode())
    variables = {**proxy.variables, "LITELLM_MASTER_KEY": str(key)}
    environ = proxy_environment(config, variables, yaml_path)
    own, limits = config.settings.get("gateway", {}), reply_limits(config)
    guard = guard_settings(proxy.content, environ, host, own, limits)
    return environ, dataclasses.asdict(guard)


@contextmanager
def _runtime_files(port: int) -> Iterator[tuple[RuntimeFile, Path]]:
    """Yield a gateway's runtime file and the path of its YAML; neither outlives a failed start."""
    file = RuntimeFile()
    yaml_path = file.folder / f"gateway-{port}.yaml"
    try:
        yield file, yaml_path
    except BaseException as error:
        file.close(discard=True)
        yaml_path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            message = f"{error.filename or file.folder}: cannot be written: {error.strerror}"
            raise GatewayError(message, ExitCode.ERROR) from None
        raise
    file.close(discard=False)


def _offer(config: Config) -> ProxyConfig:
    """Return LiteLLM's configuration; raise :class:`GatewayError` where no model is in it."""
    proxy = proxy_config(config)
    if not proxy.content["model_list"]:
        reasons = proxy.omissions or ["no provider is configured (adapter providers add groq)"]
        raise GatewayError(f"there is nothing to serve: {'; '.join(reasons)}")
    return proxy


def stop_gateway(gateway: Gateway) -> None:
    """End ``gateway``: answers under way may end, for some seconds; then it is killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not is_alive(gateway):
            return
        with suppress(ProcessLookupError):
            os.kill(gateway.pid, number)
        deadline = time.monotonic() + STOP_SECONDS
        while is_alive(gateway) and time.monotonic() < deadline:
            time.sleep(0.02)
    if is_alive(gateway):
        message = f"the gateway at {gateway.url} (pid {gateway.pid}) does not end"
        raise GatewayError(message, ExitCode.ERROR)


def _listen(host: str, port: int) -> socket.socket:
    """Return a bound socket for the child, so that nobody else can take the port meanwhile."""
    try:
        family, *_, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except (OSError, OverflowError, UnicodeError) as error:
        _check_port(port)
        number = getattr(error, "errno", None) or 0
        why = os.strerror(number) if number > 0 else getattr(error, "strerror", None) or str(error)
        raise GatewayError(
            f"cannot listen on {host}:{port}: {why}; choose another port with --port"
        ) from None


def _check_port(port: int) -> None:
    """Raise :class:`GatewayError` for a gateway's port on any address: files are named after it."""
    own = next((g for g in running() if g.port == port), None)
    if own is not None:
        raise GatewayError(
            f"a gateway already runs at {own.url} (pid {own.pid}): end it with "
            "`adapter serve --stop`, or choose another port with --port"
        )


def _address(host: str) -> str:
    """Return the host by which this machine reaches a gateway that listens on ``host``."""
    bare = host.strip("[]")
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bare, bare)
    return f"[{local}]" if ":" in local else local


def _launch(
    listener: socket.socket,
    file: RuntimeFile,
    environ: dict[str, str],
    log: Path | None,
    settings: dict[str, Any],
) -> subprocess.Popen[bytes]:
    """Start the proxy's process, which gets the socket and the lock of ``file``.

    It ends when its stdin does.
    """
    descriptors = {"listener": listener.fileno(), "lock": file.fd}
    path = [*map(str, sys.path), str(Path(__file__).parents[2])]
    line = json.dumps({**settings, **descriptors, "sys_path": path})
    output = 2 if log is None else create_file(log)
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", CHILD],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=tuple(descriptors.values()),
            env=environ,
            cwd="/",  # LiteLLM puts the working folder on the module path
            start_new_session=True,  # Ctrl-C is for this process, which tells the child
        )
    finally:
        if log is not None:
            os.close(output)
        listener.close()  # a connection that nobody answers any more is then reset
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it died at once, which whoever waits for it sees
        process.stdin.write(line.encode() + b"\n")
    return process


def _wait(host: str, port: int, log: Path | None) -> None:
    """Wait until the gateway answers a probe. Raises :class:`GatewayError` if it ends first."""
    connection = HTTPConnection(host.strip("[]"), port, timeout=START_SECONDS)
    try:
        connection.request("GET", "/health/liveliness")
        connection.getresponse()
    except TimeoutError:
        raise GatewayError(f"the gateway was not ready after {START_SECONDS:.0f} s") from None
    except (OSError, HTTPException):
        where = f"; its log is {log}" if log else ""
        raise GatewayError(
            f"the gateway ended while it started: {_last_error(log)}{where}"
        ) from None
    finally:
        connection.close()


def _let_go(process: subprocess.Popen[bytes]) -> None:
    """Tell a gateway to stay when this process ends."""
    assert process.stdin is not None
    process.stdin.write(b"stay\n")
    process.stdin.close()


def _last_error(log: Path | None) -> str:
    """Return what a failed start says last, which is the error of a Python traceback."""
    if log is None:
        return "see above"
    lines = log.read_text(errors="replace").splitlines()
    texts = [line.strip() for line in lines if line.strip() and not line.startswith((" ", "\t"))]
    errors = [line for line in texts if "Error" in line or "Exception" in line]
    return printable((errors or texts or ["it printed no error"])[-1][:300])

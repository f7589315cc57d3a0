"""Run a program on a gateway of ours, which ends with it; the terminal and its end are its own."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from types import FrameType
from typing import Any

from adapter.config.loading import Config
from adapter.errors import AdapterError
from adapter.gateway.lifecycle import start_gateway, stop_gateway
from adapter.gateway.runtime import Gateway
from adapter.programs.env import (
    OUTER_GATEWAY,
    check_model,
    environment,
    find_gateway,
    outer_gateway,
)
from adapter.upstream.network import exempt_this_machine

__all__ = ["command_line", "end_as", "run", "run_installed"]

FORWARDED = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2")
"""Signals that are the command's: it decides what they mean."""

FROM_TERMINAL = ("SIGINT", "SIGQUIT")
"""Those that a terminal sends to all processes in the foreground."""

KNOWN: Mapping[str, Mapping[str, Any]] = json.loads(
    files("adapter.programs").joinpath("known.json").read_bytes()
)
"""Program -> the flags, variables and files that it needs besides the common variables.

``settings`` go before its own arguments always, ``arguments`` where a model is named, after them
with ``last``. ``files`` are written to a ``{folder}``, which ``variable`` may name. In all of them
``{url}``, ``{key}`` and ``{model}`` are filled in, the model also ``{quoted}``, for JSON and YAML.
"""


def run(
    config: Config,
    command: Sequence[str],
    *,
    model: str | None = None,
    providers: Sequence[str] = (),
    warn: Callable[[str], object] = lambda text: None,
) -> int:
    """Run ``command`` and return its exit code, minus the number of a signal that ended it.

    A gateway that runs already is used, else one is started for the time of the command, with
    ``providers`` alone where they are named. Raises :class:`AdapterError`, with the shell's exit
    codes for a command that cannot be run.
    """
    program = _find(command[0])
    if model is not None:
        check_model(model, config)
        if Path(command[0]).name not in KNOWN:
            warn(f"warning: -m has no effect: --help does not list {command[0]}")
    with _gateway(config, providers, warn) as gateway, tempfile.TemporaryDirectory() as folder:
        names = {"url": gateway.url, "key": str(gateway.key), "model": model or ""}
        arguments, more = command_line(command, names, Path(folder))
        exempt_this_machine(gateway.url)  # the program inherits NO_PROXY
        own = {OUTER_GATEWAY: gateway.url}
        environ = {**environment(config, gateway).applied(os.environ), **more, **own}
        return _wait([program, *arguments], environ)


def run_installed(config: Config, command: Sequence[str]) -> int:
    """Run ``command`` as :func:`run` does, without a gateway.

    :func:`adapter.install` is done in each Python that it starts (``site/sitecustomize.py``). These
    read the keys and call the providers themselves.
    """
    program = _find(command[0])
    environ = environment(config, None).applied(os.environ)
    path = (str(Path(__file__).parent / "site"), os.environ.get("PYTHONPATH"))
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    return _wait([program, *command[1:]], environ)


def _find(name: str) -> str:
    program = shutil.which(name)
    if program is None:
        message = f"{shlex.quote(name)}: there is no such command, or it is not a program"
        error = AdapterError(message)
        error.exit_code = 126 if os.path.exists(name) else 127
        raise error
    return program


@contextmanager
def _gateway(
    config: Config, names: Sequence[str], warn: Callable[[str], object]
) -> Iterator[Gateway]:
    """Yield a gateway that runs, or one that is ended afterwards."""
    if names:
        chosen = tuple(config.provider(name) for name in names)
        config = dataclasses.replace(config, providers=chosen)
    elif running := outer_gateway() or find_gateway(config):
        yield running
        return
    launch = start_gateway(config, port=0, log_file=True)
    for reason in launch.omissions:
        warn(f"warning: left out: {reason}")
    try:
        yield launch.gateway
    finally:
        stop_gateway(launch.gateway)
        launch.process.wait()


def command_line(
    command: Sequence[str], names: Mapping[str, str], folder: Path
) -> tuple[list[str], dict[str, str]]:
    """Return the arguments of a command, and variables, with what a known program needs.

    Its files are written to ``folder``.
    """
    row = KNOWN.get(Path(command[0]).name, {})
    own = list(command[1:])
    names = {**names, "folder": str(folder), "quoted": json.dumps(names["model"])}
    settings = [text.format(**names) for text in row.get("settings", ())]
    if not names["model"]:
        return [*settings, *own], {}
    added = [text.format(**names) for text in row.get("arguments", ())]
    for name, text in row.get("files", {}).items():
        (folder / name).write_text(text.format(**names), encoding="utf-8")
    environ = {k: v.format(**names) for k, v in row.get("environment", {}).items()}
    if "variable" in row:
        environ[row["variable"]] = str(folder)
    return [*settings, *own, *added] if row.get("last") else [*settings, *added, *own], environ


def _wait(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a program in the foreground, with the signals that this process gets."""
    pending: list[int] = []
    process: subprocess.Popen[bytes] | None = None

    def forward(number: int, frame: FrameType | None) -> None:
        if process is None:
            pending.append(number)
        elif signal.Signals(number).name not in FROM_TERMINAL or not _in_foreground():
            process.send_signal(number)  # not sent to one that has ended

    numbers = [getattr(signal, name) for name in FORWARDED if hasattr(signal, name)]  # Windows
    # what is ignored, as by nohup, the command is to ignore, too
    numbers = [n for n in numbers if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, forward) for number in numbers}
    try:
        try:
            process = subprocess.Popen(arguments, env=dict(environ))
        except OSError as error:
            if error.errno == errno.ENOEXEC:  # a script without "#!", which a shell runs, too
                return _wait(["/bin/sh", *arguments], environ)
            failed = AdapterError(f"{arguments[0]}: cannot be run: {error.strerror}")
            failed.exit_code = 126
            raise failed from None
        for number in pending:
            process.send_signal(number)
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code


def end_as(code: int) -> int:
    """Return an exit code of :func:`run`; of a signal's end this process, without a core file.

    A shell's script goes on after Ctrl-C where the command's end is hidden from it.
    """
    if code < 0:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code % 256


def _in_foreground() -> bool:
    """Whether the terminal sends its signals to this process and the command alike."""
    with suppress(OSError):
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
        try:
            return os.tcgetpgrp(terminal) == os.getpgrp()
        finally:
            os.close(terminal)
    return False

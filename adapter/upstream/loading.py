"""LiteLLM, imported once, late and quietly."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from adapter.config.loading import load_config
from adapter.errors import AdapterError, ConfigError
from adapter.secrets.errors import scrub_logs
from adapter.upstream.network import repair_no_proxy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

__all__ = [
    "import_litellm",
    "keep_off_huggingface",
    "load_for_command",
    "load_litellm",
    "missing_variables",
    "set_again",
    "set_command_defaults",
]

LOGGERS = (
    *("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"),
    *("openai._base_client", "openai._response", "openai._legacy_response"),
    *("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy"),
)
"""Those of LiteLLM and what it sends with that may record a key, however they are set up."""

FEWEST_FILES = 16
"""Descriptors that a call takes, with those of stdin, stdout and stderr, and some to spare."""

FORK_SECONDS = 5.0
"""How long a fork waits for other threads: LiteLLM's log takes some 0.5 s of the first call."""

LOG_THREADS = "litellm-logging"
"""How the names of the threads begin that write LiteLLM's log."""

IMPORTING = "<frozen importlib._bootstrap>"
"""The file name of the code that imports a module."""

_lock = threading.Lock()
_loaded: Any = None


def load_litellm() -> Any:
    """Return LiteLLM, importing it on the first call, which takes seconds.

    No price map is fetched from the network unless ``LITELLM_LOCAL_MODEL_COST_MAP`` says so, and
    LiteLLM's banners, which it prints on stdout, are off. ``disable_streaming_logging = true`` in
    the configuration's ``litellm_settings`` is carried out, now and once: a streamed chunk then
    takes about half the time, and LiteLLM's callbacks and cache see no streams (LiteLLM).
    """
    global _loaded  # noqa: PLW0603 - the one process-wide import, made once under the lock
    if _loaded is None:
        with _lock:
            if _loaded is None:
                repair_no_proxy()
                _loaded = import_litellm()
                os.environ.update(_set_by_import)
                with suppress(ConfigError):  # raised again by the call that needs a provider
                    settings = load_config().settings.get("litellm_settings", {})
                    if settings.get("disable_streaming_logging") is True:
                        _loaded.disable_streaming_logging = True
    return _loaded


_set_by_import: dict[str, str] = {}


def set_again(variables: Mapping[str, str]) -> None:
    """Let :func:`load_litellm` set ``variables``, which LiteLLM's import has set.

    For a process that was forked from the one where LiteLLM was imported.
    """
    _set_by_import.update(variables)


def load_for_command() -> Any:
    """Return LiteLLM as the command uses it; the import takes seconds, the first time.

    Raises :class:`AdapterError` where too few files may be open for a call.
    """
    _check_open_files()
    set_command_defaults()
    return load_litellm()


def _check_open_files() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if 0 <= most < FEWEST_FILES:
        raise AdapterError(
            f"only {most} files may be open at a time, too few for a call: "
            f"ulimit -n {FEWEST_FILES}, or more"
        )


def missing_variables(model: str) -> list[str]:
    """Return the variables that LiteLLM wants for a model of its own, if its key is not set.

    LiteLLM knows them for some of its providers only, and here not before it is imported.
    """
    missing: list[str] = []
    with suppress(Exception):  # whatever it raises for a name that it does not know
        missing = _loaded.validate_environment(model)["missing_keys"] if _loaded else []
    return missing


def set_command_defaults() -> None:
    """Set LiteLLM's variables as the command wants them, unless its user has said otherwise."""
    # LiteLLM's default mode loads ./.env, where a cloned repository could redirect a key
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    os.environ.setdefault("LITELLM_LOG", "ERROR")  # its warnings are for those who run a proxy


@cache
def import_litellm() -> Any:
    """Return LiteLLM imported, once, as :func:`load_litellm` does; no configuration is read."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    path = list(sys.path)
    with _collector_paused("litellm" not in sys.modules):
        import litellm
    # LiteLLM's import leaves the working directory on the path, and its calls import more
    sys.path[:] = path
    litellm.suppress_debug_info = True
    keep_off_huggingface(litellm)
    scrub_logs(LOGGERS)
    if hasattr(os, "register_at_fork"):  # not on Windows
        os.register_at_fork(before=_await_threads, after_in_child=_leave_to_parent)
    return litellm


def keep_off_huggingface(litellm: Any) -> None:
    """Let LiteLLM count tokens with what it has, unless its user has said otherwise.

    For a model whose id has ``llama-2`` or ``llama-3`` in it, it would fetch a tokenizer from
    huggingface.co to count a stream's tokens, which takes most of a minute where there is no way.
    """
    if litellm.disable_hf_tokenizer_download is None:
        litellm.disable_hf_tokenizer_download = True


def _await_threads() -> None:
    """Before a fork, wait until no thread writes LiteLLM's log or imports a module.

    Either may hold a lock (of a module that it imports, or inside pydantic) that nobody would let
    go of in the child, whose first call would hang.
    """
    until = time.monotonic() + FORK_SECONDS
    while _others_hold_locks() and time.monotonic() < until:
        time.sleep(0.005)


def _others_hold_locks() -> bool:
    from concurrent.futures import thread as executors

    frames: dict[int, FrameType] = getattr(sys, "_current_frames", dict)()
    for thread in threading.enumerate():
        place = frames.get(thread.ident or 0)
        if place is None or thread is threading.current_thread():
            continue
        if thread.name.startswith(LOG_THREADS) and place.f_code.co_filename != executors.__file__:
            return True
        while place is not None:
            if place.f_code.co_filename == IMPORTING:
                return True
            place = place.f_back
    return False


def _leave_to_parent() -> None:
    """In a forked child, make LiteLLM's clients and log threads anew: the parent's are not here.

    Open connections are the parent's, and two must not talk on one. They are kept, not closed: to
    close an asynchronous one would reach into the parent's event loop, which waits on a descriptor
    that both share. Of the threads that write LiteLLM's log, or of their callers, one may have held
    a lock that nobody would let go here.
    """
    import litellm

    with suppress(Exception):  # a child may be of a program that never calls LiteLLM again
        cache = litellm.in_memory_llm_clients_cache
        _parents.append((cache, getattr(cache, "evicted_client_closer", None)))
        litellm.in_memory_llm_clients_cache = type(cache)()
    with suppress(Exception):
        from litellm.litellm_core_utils.thread_pool_executor import executor

        _parents.append(dict(vars(executor)))
        workers, pending = (
            getattr(litellm.constants, name, default)
            for name, default in (
                ("LOGGING_EXECUTOR_MAX_THREADS", 100),
                ("LOGGING_EXECUTOR_MAX_PENDING_TASKS", 1000),
            )
        )
        type(executor).__init__(executor, workers, pending)


_parents: list[Any] = []


@contextmanager
def _collector_paused(pause: bool) -> Iterator[None]:
    """Pause the garbage collector: an import makes many objects and no garbage (about 12 %)."""
    pause = pause and gc.isenabled()
    if pause:
        gc.disable()
    try:
        yield
    finally:
        if pause:
            gc.enable()

"""The gateway's own process: the LiteLLM Proxy, with what a local gateway needs around it."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TextIO

from adapter.call.facts import facts_of
from adapter.gateway.guard import App, guarded
from adapter.gateway.responses import Hidden, remember
from adapter.query.answers import CONNECT_SECONDS, TIMEOUT_SECONDS
from adapter.upstream.loading import keep_off_huggingface
from adapter.upstream.redirects import ANYWHERE, guard_redirects

__all__ = ["GRACE_SECONDS", "RedactedLog", "end_with_parent", "remove_files", "serve"]

GRACE_SECONDS = 5
"""How long an answer under way may go on after SIGTERM."""


def serve(settings: Mapping[str, Any]) -> None:
    """Run until SIGTERM, or until the parent of an attached gateway is gone.

    ``lock`` is the lock of the gateway's file, and ``None`` where another process keeps it.
    """
    for fd in (settings["listener"], settings["lock"], settings["ready"]):
        if fd is not None:
            os.set_inheritable(fd, False)  # nobody but this process keeps the lock
    threading.Thread(target=end_with_parent, daemon=True).start()
    hidden = Hidden(settings["secrets"])
    sys.stdout = RedactedLog(sys.stdout, hidden)
    sys.stderr = RedactedLog(sys.stderr, hidden)
    path = list(sys.path)
    gc.disable()  # an import makes many objects and no garbage
    import litellm
    import litellm.proxy.proxy_server as proxy
    import uvicorn

    keep_off_huggingface(litellm)  # before its configuration is read, which may say otherwise
    sys.path[:] = path  # LiteLLM's import puts folders on it
    guard_redirects(ANYWHERE)
    gc.enable()
    gc.freeze()
    key = os.environ["LITELLM_MASTER_KEY"] if settings["only_master"] else None
    app = guarded(proxy.app, hidden, local=settings["local"], key=key)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        http="h11",  # the same on every machine; it answers HTTP/1.0 as `loopback` expects
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    listener = socket.socket(fileno=settings["listener"])
    _server(config, app, settings).run(sockets=[listener])


def end_with_parent() -> None:
    """End this process when its stdin does, unless the parent says that it is to stay."""
    if os.read(0, 16) != b"stay\n":
        os.kill(os.getpid(), signal.SIGTERM)


def _server(config: Any, app: App, settings: Mapping[str, Any]) -> Any:
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                _add_hooks()
                await _warm_up(app)
                os.write(settings["ready"], b"1")
                os.close(settings["ready"])

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            await super().shutdown(sockets)
            if settings["lock"] is not None:
                remove_files(settings["lock"])

    return Server(config)


async def _warm_up(app: App) -> None:
    """Make the imports that LiteLLM leaves to the first query (about a second), calling nobody."""
    import httpx
    import litellm
    import openai.resources  # noqa: F401 - what the first call of a provider imports

    litellm.token_counter(model="gpt-4o", text="warm")
    body = {"model": "-", "messages": [{"role": "user", "content": "-"}]}
    headers = {"Authorization": f"Bearer {os.environ['LITELLM_MASTER_KEY']}"}
    logging.disable(logging.CRITICAL)  # that there is no such model is no error here
    try:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            await client.post("/v1/chat/completions", json=body, headers=headers)
    finally:
        logging.disable(logging.NOTSET)


def remove_files(lock: int) -> None:
    """Remove the runtime file of this process, unless it is another's by now."""
    from adapter.gateway.runtime import folder

    own = os.fstat(lock)
    for path in folder().glob("gateway-*.json"):
        with suppress(OSError):
            if os.path.samestat(path.lstat(), own):
                path.unlink()
                path.with_suffix(".yaml").unlink()


def _add_hooks() -> None:
    """Register what LiteLLM calls: before each request to a provider, and when one failed."""
    import httpx
    import litellm
    from litellm.integrations.custom_logger import CustomLogger

    class Hooks(CustomLogger):  # type: ignore[misc]  # LiteLLM is not type-checked
        async def async_pre_call_deployment_hook(
            self, kwargs: dict[str, Any], call_type: Any
        ) -> dict[str, Any]:
            """Limit the time to connect, as a query without a gateway does."""
            seconds = kwargs.get("timeout") or TIMEOUT_SECONDS
            if isinstance(seconds, int | float):
                connect = min(seconds, CONNECT_SECONDS)
                kwargs["timeout"] = httpx.Timeout(seconds, connect=connect)
            return kwargs

        async def async_post_call_failure_hook(
            self, request_data: Any, original_exception: Exception, *args: Any, **kwargs: Any
        ) -> None:
            """Keep what explains the error: to its client LiteLLM tells status and message only."""
            facts = facts_of(original_exception)
            text = json.dumps(facts._replace(said=facts.said[:2000]))
            remember(text)

    litellm.callbacks.append(Hooks())


class RedactedLog:
    """A text stream that never writes a key: servers echo them in errors, which LiteLLM logs."""

    def __init__(self, stream: TextIO, hidden: Hidden) -> None:
        self._stream = stream
        self._hidden = hidden

    def write(self, text: str) -> int:
        shown = self._hidden.clean(text.encode("utf-8", "surrogatepass"))
        return self._stream.write(shown.decode("utf-8", "surrogatepass"))

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

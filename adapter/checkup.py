"""Whether a provider works, step by step, up to the first that fails: what, and what to do."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from adapter.discovery import AnswerError, models_of
from adapter.errors import UNREACHABLE, AdapterError
from adapter.failures import explain
from adapter.keys import ResolvedKey
from adapter.parallel import within
from adapter.providers import Provider
from adapter.translation import Target, api_base

__all__ = ["STEPS", "Step", "check", "exit_code"]

CONNECT_SECONDS = 10.0
COMPLETION_SECONDS = 60.0
MARGIN_SECONDS = 5.0
"""How much longer a step may take in all, so that what it waits for can report its own limit."""

_NO_CHAT = re.compile(
    r"embed|whisper|tts|speech|audio|transcri|rerank|moderat|guard|dall-e|image|stable-diff|flux",
    re.IGNORECASE,
)
"""Ids of models that take no chat. Only which model to try is chosen by it, where none is named."""

OK, FAILED, SKIPPED = "ok", "failed", "skipped"


class Step(NamedTuple):
    """One step: ``ok``, ``failed`` or ``skipped``, how long it took, and what to do about it.

    ``exit_code`` is the command's for a step that failed (``errors.EXIT_CODES``), else 0.
    """

    step: str
    status: str
    seconds: float
    message: str
    fix: str = ""
    exit_code: int = 0


class _Result(NamedTuple):
    status: str
    message: str
    fix: str = ""
    exit_code: int = 0


class _State:
    """What one step leaves to the next."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.parts = urlsplit(api_base(provider.base_url))
        self.host = self.parts.hostname or ""
        self.port = self.parts.port or (443 if self.parts.scheme == "https" else 80)
        self.key: ResolvedKey | None = None
        self.models: list[str] | None = None
        self.error: AnswerError | None = None
        """Why there are no ``models``, where the server gave no list."""


def check(provider: Provider, limit: float | None = None) -> Iterator[Step]:
    """Yield each step as it is done; a failed one is the last.

    ``limit`` is in seconds, for each step, instead of the step's own. The time that importing
    LiteLLM takes is no step's.
    """
    state = _State(provider)
    for name, run in STEPS.items():
        seconds = (COMPLETION_SECONDS if run is _completion else CONNECT_SECONDS) + MARGIN_SECONDS
        if run is _completion and _asked_model(state):
            from adapter.oneshot import load_for_command

            load_for_command()
        started = time.perf_counter()
        try:
            result = within(limit or seconds, partial(run, state))
        except AdapterError as error:
            what, _, fix = str(error).partition("\n")
            result = _Result(FAILED, what, fix.strip(), error.exit_code)
        except TimeoutError as error:
            fix = f"check base_url and the network: {provider.base_url}"
            result = _Result(FAILED, str(error), fix, UNREACHABLE)
        yield Step(name, result.status, time.perf_counter() - started, *result[1:])
        if result.status == FAILED:
            return


def exit_code(codes: list[int]) -> int:
    """Return the command's exit code for those of several providers: 1 when they differ."""
    failed = {code for code in codes if code}
    return 0 if not failed else failed.pop() if len(failed) == 1 else 1


def _key(state: _State) -> _Result:
    state.key = state.provider.resolve_key()
    return _Result(OK, str(state.key))


def _by_proxy(state: _State) -> str | None:
    """Return the HTTP proxy that the environment names for the host, if any."""
    from urllib.request import getproxies, proxy_bypass

    proxy = getproxies().get(state.parts.scheme) or getproxies().get("all")
    return proxy if proxy and not proxy_bypass(state.host) else None


def _name(state: _State) -> _Result:
    if _by_proxy(state):
        return _Result(SKIPPED, "an HTTP proxy does it")
    try:
        found = socket.getaddrinfo(state.host, state.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        message = f"the name {state.host} is not known: {why}"
        return _Result(FAILED, message, f"check base_url: {state.provider.base_url}", 6)
    return _Result(OK, ", ".join(dict.fromkeys(str(a[4][0]) for a in found)))


def _connect(state: _State) -> _Result:
    if _by_proxy(state):
        return _Result(SKIPPED, "an HTTP proxy does it")
    try:
        socket.create_connection((state.host, state.port), CONNECT_SECONDS).close()
    except OSError as error:
        why = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        message = f"cannot connect to {state.host}:{state.port}: {why}"
        return _Result(FAILED, message, "is the server running, and the port right?", 6)
    return _Result(OK, f"{state.host}:{state.port}")


def _tls(state: _State) -> _Result:
    import ssl

    import httpx

    if state.parts.scheme != "https":
        return _Result(SKIPPED, "plain http")
    if _by_proxy(state):
        return _Result(SKIPPED, "an HTTP proxy does it")
    context = httpx.create_ssl_context()  # trusts whom the requests trust
    try:
        with (
            socket.create_connection((state.host, state.port), CONNECT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=state.host) as secured,
        ):
            return _Result(OK, str(secured.version()))
    except ssl.SSLCertVerificationError as error:
        message = f"its certificate cannot be verified: {error.verify_message}"
        fix = "for a certificate of your own: export SSL_CERT_FILE=/path/to/ca.pem"
        return _Result(FAILED, message, fix, 6)
    except OSError as error:
        fix = f"does the server speak TLS on port {state.port}? Otherwise write http://"
        return _Result(FAILED, f"the TLS handshake failed: {error}", fix, 6)


def _authentication(state: _State) -> _Result:
    """Ask for the models. Only a refused key is a failure of this step."""
    try:
        state.models = models_of(state.provider, CONNECT_SECONDS)
    except AnswerError as error:
        if error.status in (401, 403):
            raise
        state.error = error
        return _Result(SKIPPED, "GET /models does not tell")
    found = state.key and state.key.found
    return _Result(OK, "the key was not refused" if found else "no key needed")


def _models(state: _State) -> _Result:
    if state.models is not None:
        return _Result(OK, f"{len(state.models)} model(s)")
    assert state.error is not None
    missing = state.error.status in (404, 405, 501)
    if not missing and state.error.status != 200:
        raise state.error
    if likely := _likely_base(state):
        there = "there is no" if missing else "no list of models is at"
        message = f"{there} {state.parts.path.rstrip('/')}/models"
        return _Result(FAILED, message, f'write base_url = "{likely}"', 4)
    if missing or state.error.is_json:
        return _Result(SKIPPED, "the server lists no models, so the completion tells")
    fix = "is base_url that of the API, not of a web page? Often it ends in /v1"
    return _Result(FAILED, str(state.error), fix, state.error.exit_code)


def _likely_base(state: _State) -> str | None:
    """Return the same server's base that ends in ``/v1``, if there are models under it."""
    if state.parts.path.rstrip("/").endswith("/v1"):
        return None
    path = f"{state.parts.path.rstrip('/')}/v1"
    likely = urlunsplit((state.parts.scheme, state.parts.netloc, path, "", ""))
    try:
        models_of(replace(state.provider, base_url=likely), CONNECT_SECONDS)
    except AdapterError:
        return None
    return likely


def _default(state: _State) -> _Result:
    from difflib import get_close_matches

    model = state.provider.default_model
    if not model:
        return _Result(SKIPPED, "no default_model is configured")
    if not state.models:
        return _Result(SKIPPED, "the server lists no models")
    if model in state.models or f"{model}:latest" in state.models:  # as Ollama takes it
        return _Result(OK, model)
    near = [m for m in state.models if model in m or m in model][:3]
    near = near or get_close_matches(model, state.models, n=3, cutoff=0.4) or state.models[:3]
    fix = f"the nearest it has: {', '.join(near)}"
    return _Result(FAILED, f"the server has no model {model!r}", fix, 4)


def _asked_model(state: _State) -> str | None:
    """Return the model for the completion: the default, else the first listed one that chats."""
    listed = state.models or []
    chats = [m for m in listed if not _NO_CHAT.search(m)]
    return state.provider.default_model or next(iter(chats or listed), None)


def _completion(state: _State) -> _Result:
    from adapter.calls import drop_in

    model = _asked_model(state)
    if model is None and state.models is None:
        fix = 'name one in the [[providers]] table: default_model = "..."'
        return _Result(FAILED, "no model to ask: the server lists none", fix, 2)
    if model is None:
        return _Result(SKIPPED, "the server has no model")
    key = state.key or state.provider.resolve_key()
    target = Target(state.provider.name, state.provider.base_url, model, key, {})
    try:
        answer: Any = drop_in("completion")(
            model=f"{state.provider.name}/{model}",
            messages=[{"role": "user", "content": "Hi"}],
            max_tokens=1,
            timeout=COMPLETION_SECONDS,
            # one request, to this provider, whatever the configuration says
            max_retries=0,
            num_retries=0,
            fallbacks=[],
            context_window_fallback_dict={},
        )
    except Exception as error:  # noqa: BLE001 - whatever LiteLLM raises is explained
        failure = explain(error, target, model)
        return _Result(FAILED, failure.what, failure.fix, failure.exit_code)
    if not answer.choices:
        return _Result(FAILED, "the reply held no answer", "see the server's log", 7)
    return _Result(OK, f"{model} answered")


STEPS: dict[str, Callable[[_State], _Result]] = {
    "key": _key,
    "name": _name,
    "connect": _connect,
    "TLS": _tls,
    "authentication": _authentication,
    "models": _models,
    "default model": _default,
    "completion": _completion,
}
"""The steps by name, in order."""

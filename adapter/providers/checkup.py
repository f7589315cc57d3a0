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

from adapter.call.failures import explain
from adapter.call.translation import Target, api_base
from adapter.config.provider import Provider
from adapter.errors import AdapterError, ExitCode
from adapter.keys.precedence import ResolvedKey
from adapter.providers.discovery import ListingError, models_of
from adapter.providers.parallel import run_within
from adapter.upstream import network
from adapter.upstream.loading import load_litellm

__all__ = ["STEPS", "Step", "check", "exit_code"]

CONNECT_SECONDS = 10.0
COMPLETION_SECONDS = 60.0
MARGIN_SECONDS = 5.0
"""How much longer a step may take in all, so that what it waits for can report its own limit."""

PROXY = "the HTTP proxy does this"
OK, FAILED, SKIPPED, WARNING = "ok", "failed", "skipped", "warning"

_NO_CHAT = re.compile(
    r"embed|whisper|tts|speech|audio|transcri|rerank|moderat|guard|dall-e|image|stable-diff|flux",
    re.IGNORECASE,
)
"""Ids of models that take no chat. Only which model to try is chosen by it, where none is named."""

_NO_SUCH_MODEL = (ExitCode.ERROR, ExitCode.NOT_FOUND, ExitCode.PROVIDER_FAILED)
"""How a completion fails for want of a model: servers answer 400, 404 or 500.

A refused key, a rate limit and silence say nothing about the model.
"""

REASONING_TOKENS = 256
"""What a reasoning model may take: with fewer it may refuse to answer at all (OpenAI)."""

_NEW_LIMIT = "max_completion_tokens"
"""The limit that reasoning models of OpenAI and Azure take instead of ``max_tokens``."""


class Step(NamedTuple):
    """How a step went and what to do about it; ``seconds`` is how long it took.

    ``status`` is ``ok``, ``failed``, ``skipped`` or ``warning``, which fails nothing;
    ``exit_code`` is the command's for a step that failed, else 0.
    """

    status: str
    message: str
    fix: str = ""
    exit_code: int = ExitCode.OK
    step: str = ""
    seconds: float = 0.0


def _unreachable(message: str, fix: str) -> Step:
    return Step(FAILED, message, fix, ExitCode.UNREACHABLE)


class _Checkup:
    """The steps of one provider as methods, and what one leaves to the next."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.parts = urlsplit(api_base(provider.base_url))
        self.host, self.port = network.address_of(provider.base_url)
        self.proxy = network.proxy_of(provider.base_url)
        self.key: ResolvedKey | None = None
        self.models: list[str] | None = None
        self.error: ListingError | None = None
        """Why there are no ``models``, where the server gave no list."""
        self.nearest = ""
        """The listed models nearest to a default model that is not listed, in words."""

    def check_key(self) -> Step:
        self.key = self.provider.resolve_key()
        return Step(OK, str(self.key))

    def resolve_name(self) -> Step:
        if self.proxy:
            return Step(SKIPPED, PROXY)
        try:
            addresses = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or str(error)
            message = f"the name {self.host} is not known: {why}"
            return _unreachable(message, f"check base_url: {self.provider.base_url}")
        return Step(OK, ", ".join(dict.fromkeys(str(a[4][0]) for a in addresses)))

    def connect(self) -> Step:
        """Connect to the server, or to the proxy that stands before it."""
        host, port, place = self.host, self.port, f"{self.host}:{self.port}"
        fix = "is the server running, and the port right?"
        if self.proxy:
            host, port = network.address_of(self.proxy.url)
            place = f"the proxy {host}:{port} of ${self.proxy.variable}"
            fix = network.connect_advice(self.provider.base_url)
        try:
            socket.create_connection((host, port), CONNECT_SECONDS).close()
        except OSError as error:
            why = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
            return _unreachable(f"cannot connect to {place}: {why}", fix)
        return Step(OK, place)

    def shake_hands(self) -> Step:
        import ssl

        if self.parts.scheme != "https":
            return Step(SKIPPED, "plain http")
        context = network.tls(self.provider.extras.get("ssl_verify"))
        if self.proxy:
            return Step(SKIPPED, PROXY)
        try:
            with (
                socket.create_connection((self.host, self.port), CONNECT_SECONDS) as plain,
                context.wrap_socket(plain, server_hostname=self.host) as secured,
            ):
                return Step(OK, str(secured.version()))
        except ssl.SSLCertVerificationError as error:
            message = f"its certificate cannot be verified: {error.verify_message}"
            fix = "for a certificate of your own: export SSL_CERT_FILE=/path/to/ca.pem"
            return _unreachable(message, fix)
        except OSError as error:
            fix = f"does the server speak TLS on port {self.port}? Otherwise write http://"
            return _unreachable(f"the TLS handshake failed: {error}", fix)

    def authenticate(self) -> Step:
        """Ask for the models. Only a refused key is a failure of this step."""
        try:
            self.models = models_of(self.provider, CONNECT_SECONDS)
        except ListingError as error:
            if error.status in (401, 403):
                raise
            self.error = error
            return Step(SKIPPED, "GET /models does not show it")
        has_key = self.key and self.key.found
        return Step(OK, "the server did not refuse the key" if has_key else "no key needed")

    def list_models(self) -> Step:
        if self.models is not None:
            return Step(OK, f"{len(self.models)} model(s)")
        assert self.error is not None
        missing = self.error.status in (404, 405, 501)
        if not missing and self.error.status != 200:
            raise self.error
        if likely := self.likely_base():
            there = "there is no" if missing else "there is no list of models at"
            message = f"{there} {self.parts.path.rstrip('/')}/models"
            return Step(FAILED, message, f'write base_url = "{likely}"', ExitCode.NOT_FOUND)
        if missing or self.error.is_json:
            return Step(
                SKIPPED, "the server lists no models; the completion shows whether it works"
            )
        fix = "is base_url that of the API, not of a web page? Often it ends in /v1"
        return Step(FAILED, str(self.error), fix, self.error.exit_code)

    def likely_base(self) -> str | None:
        """Return the same server's base that ends in ``/v1``, if there are models under it."""
        if self.parts.path.rstrip("/").endswith("/v1"):
            return None
        path = f"{self.parts.path.rstrip('/')}/v1"
        likely = urlunsplit((self.parts.scheme, self.parts.netloc, path, "", ""))
        try:
            models_of(replace(self.provider, base_url=likely), CONNECT_SECONDS)
        except AdapterError:
            return None
        return likely

    def find_default(self) -> Step:
        from difflib import get_close_matches

        model = self.provider.default_model
        if not model:
            return Step(SKIPPED, "no default_model is configured")
        if not self.models:
            return Step(SKIPPED, "the server lists no models")
        if model in self.models or f"{model}:latest" in self.models:  # as Ollama takes it
            return Step(OK, model)
        near = [m for m in self.models if model in m or m in model][:3]
        near = near or get_close_matches(model, self.models, n=3, cutoff=0.4) or self.models[:3]
        self.nearest = f"use one of the closest models: {', '.join(near)}"
        message = f"{model!r} is not listed by the server"
        return Step(WARNING, message, f"if it is misspelt, {self.nearest}")

    def model_to_try(self) -> str | None:
        """Return the model for the completion: the default, else the first that chats."""
        models = self.models or []
        chats = [m for m in models if not _NO_CHAT.search(m)]
        return self.provider.default_model or next(iter(chats or models), None)

    def complete(self) -> Step:
        model = self.model_to_try()
        if model is None and self.models is None:
            fix = 'name one in the [[providers]] table: default_model = "..."'
            return Step(FAILED, "no model to ask: the server lists none", fix, ExitCode.USAGE)
        if model is None:
            return Step(SKIPPED, "the server has no model")
        key = self.key or self.provider.resolve_key()
        target = Target(self.provider.name, self.provider.base_url, model, key, {})
        result = Step(OK, f"{model} answered")
        try:
            try:
                reply = _complete_briefly(self.provider, model, max_tokens=1)
            except Exception as error:
                if _NEW_LIMIT not in str(error):
                    raise
                reply = _complete_briefly(
                    self.provider, model, max_completion_tokens=REASONING_TOKENS
                )
                fix = f"limit its answers with -o {_NEW_LIMIT} N, not with -o max_tokens N"
                result = Step(WARNING, f"{model} answered; it refuses max_tokens", fix)
        except Exception as error:  # noqa: BLE001 - whatever LiteLLM raises is explained
            failure = explain(error, target, model)
            return Step(FAILED, failure.what, failure.fix, failure.exit_code)
        if not reply.choices:
            fix = "see the server's log"
            return Step(FAILED, "the reply held no answer", fix, ExitCode.PROVIDER_FAILED)
        return result


def _complete_briefly(provider: Provider, model: str, **limit: int) -> Any:
    """Return the reply to one short request to this provider, whatever is configured for it."""
    from adapter.call.drop_ins import drop_in

    return drop_in("completion")(
        model=f"{provider.name}/{model}",
        messages=[{"role": "user", "content": "Hi"}],
        timeout=COMPLETION_SECONDS,
        max_retries=0,
        num_retries=0,
        fallbacks=[],
        context_window_fallback_dict={},
        **limit,
    )


STEPS: dict[str, Callable[[_Checkup], Step]] = {
    "key": _Checkup.check_key,
    "name": _Checkup.resolve_name,
    "connect": _Checkup.connect,
    "TLS": _Checkup.shake_hands,
    "authentication": _Checkup.authenticate,
    "models": _Checkup.list_models,
    "default model": _Checkup.find_default,
    "completion": _Checkup.complete,
}
"""The steps by name, in order."""


def check(
    provider: Provider,
    limit: float | None = None,
    on_start: Callable[[str], None] = lambda step: None,
    load: Callable[[], Any] = load_litellm,
) -> Iterator[Step]:
    """Yield each step as it is done; a failed one is the last.

    A default model that is not listed waits for the completion: servers answer for models that
    they do not list (Azure's deployments, OpenRouter's variants). Only where that fails as it
    does for want of a model is the model at fault, and its step the last.

    ``limit`` is in seconds, for each step, instead of the step's own. ``on_start`` is called with
    the name of each step as it begins. ``load`` imports LiteLLM, whose time is no step's.
    """
    checkup = _Checkup(provider)
    unlisted: Step | None = None
    for name, run in STEPS.items():
        on_start(name)
        longest = CONNECT_SECONDS
        if run is _Checkup.complete and checkup.model_to_try():
            longest = COMPLETION_SECONDS
            load()
        started = time.perf_counter()
        try:
            result = run_within(limit or longest + MARGIN_SECONDS, partial(run, checkup))
        except AdapterError as error:
            what, _, fix = str(error).partition("\n")
            result = Step(FAILED, what, fix.strip(), error.exit_code)
        except TimeoutError as error:
            result = _unreachable(str(error), network.connect_advice(provider.base_url))
        step = result._replace(step=name, seconds=round(time.perf_counter() - started, 6))
        if run is _Checkup.find_default and step.status == WARNING:
            unlisted = step
            continue
        if unlisted is not None and step.exit_code in _NO_SUCH_MODEL:
            message = f"{unlisted.message}: {step.message}"
            code = ExitCode.NOT_FOUND
            yield unlisted._replace(
                status=FAILED, message=message, fix=checkup.nearest, exit_code=code
            )
            return
        if unlisted is not None:
            yield unlisted._replace(
                message=f"{unlisted.message} (the completion shows whether it works)"
            )
        yield step
        if step.status == FAILED:
            return


def exit_code(codes: list[int]) -> int:
    """Return the command's exit code for those of several providers: 1 when they differ."""
    failed = {code for code in codes if code}
    return 0 if not failed else failed.pop() if len(failed) == 1 else ExitCode.ERROR

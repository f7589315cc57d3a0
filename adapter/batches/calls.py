"""One request of a batch and how it ended: through LiteLLM, or posted as it stands."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache, lru_cache
from importlib import import_module
from time import time
from typing import Any, NamedTuple

from adapter.batches.checking import why_not_direct
from adapter.batches.formats import URLS
from adapter.call.drop_ins import drop_in
from adapter.call.failures import Failure, explain, explain_details
from adapter.call.resolution import resolve
from adapter.call.translation import Target, retry_limit, target_of
from adapter.errors import AdapterError, ExitCode
from adapter.query.prices import cost
from adapter.query.schemas import violation
from adapter.secrets.scrubber import scrub
from adapter.upstream.direct import Poster
from adapter.upstream.exceptions import ErrorDetails, causes, error_details, error_words
from adapter.upstream.loading import load_litellm
from adapter.upstream.results import request_id

__all__ = ["Calls", "Outcome", "result_line"]

_RETRIED = frozenset({ExitCode.RATE_LIMITED, ExitCode.UNREACHABLE, ExitCode.PROVIDER_FAILED})

_CODES: Mapping[int, str] = {
    ExitCode.AUTHENTICATION: "authentication",
    ExitCode.NOT_FOUND: "not_found",
    ExitCode.RATE_LIMITED: "rate_limited",
    ExitCode.UNREACHABLE: "unreachable",
    ExitCode.PROVIDER_FAILED: "provider_failed",
}
"""Exit code -> the ``code`` of a line's error, ``failed`` for others."""


@dataclass
class Outcome:
    """How a request ended.

    ``body`` is the server's JSON, as text in one line. ``code`` and ``message`` tell of an error
    that no response tells of; ``failure`` says of any what happened, in words. ``retry_after`` is
    in seconds, ``cost`` in US dollars.
    """

    status: int | None = None
    request_id: str = ""
    body: str = "null"
    exit_code: int = ExitCode.OK
    code: str | None = None
    message: str = ""
    failure: str = ""
    retry_after: float | None = None
    is_unknown: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None

    @property
    def is_retried(self) -> bool:
        """Whether asking again may help."""
        return self.exit_code in _RETRIED and self.code != "schema_mismatch"


def result_line(custom_id: str, outcome: Outcome) -> bytes:
    """Return the line of OUTPUT or the errors file, as OpenAI writes it ("Batch API")."""
    response = "null"
    if outcome.status is not None:
        number = json.dumps(outcome.request_id or f"req_{secrets.token_hex(12)}")
        response = (
            f'{{"status_code": {outcome.status}, "request_id": {number}, "body": {outcome.body}}}'
        )
    error = {"code": outcome.code, "message": outcome.message} if outcome.code else None
    line = (
        f'{{"id": "batch_req_{secrets.token_hex(12)}", "custom_id": {json.dumps(custom_id)}, '
        f'"response": {response}, "error": {json.dumps(error)}}}\n'
    )
    return line.encode("utf-8", "surrogatepass")


class _Function(NamedTuple):
    """A drop-in function, the SDK's class whose ``create`` has a body's parameters, and the answer.

    ``field`` is what an answer has a list in.
    """

    name: str
    module: str
    resource: str
    field: str


_FUNCTIONS = {
    url: _Function(*names)
    for url, names in {
        "/v1/chat/completions": ("acompletion", "chat.completions", "AsyncCompletions", "choices"),
        "/v1/completions": ("atext_completion", "completions", "AsyncCompletions", "choices"),
        "/v1/embeddings": ("aembedding", "embeddings", "AsyncEmbeddings", "data"),
        "/v1/responses": ("aresponses", "responses", "AsyncResponses", "output"),
    }.items()
}


@cache
def _parameters(url: str) -> frozenset[str]:
    """Return the fields of a body that OpenAI's API knows."""
    function = _FUNCTIONS[url]
    resource = getattr(import_module(f"openai.resources.{function.module}"), function.resource)
    names = inspect.signature(resource.create).parameters
    return frozenset(names) - {"self", "extra_headers", "extra_query", "extra_body", "timeout"}


class Calls:
    """Makes the calls of a batch in this process.

    ``timeout`` is in seconds, for one request. Answers that do not hold ``schema`` fail. With
    ``direct`` a body is posted as it stands, with the model id in place of the model string.
    """

    def __init__(
        self, *, timeout: float, direct: bool = False, schema: dict[str, Any] | None = None
    ) -> None:
        self._timeout = timeout
        self._schema = schema
        self._poster = Poster() if direct else None
        self._target = lru_cache(maxsize=1000)(lambda model: target_of(resolve(model)))

    async def start(self) -> None:
        """Import what calls need, which takes seconds."""
        if self._poster is not None:
            await self._poster.open()
        else:
            load_litellm()
            gc.freeze()  # its half a million objects stay, and need not be looked through again

    async def call(self, url: str, body: dict[str, Any]) -> Outcome:
        """Return how a request ended; whatever it raises is an outcome."""
        model = body["model"]
        target = None
        try:
            if self._poster is not None and (target := target_of(resolve(model))) is not None:
                outcome = await self._posted(self._poster, target, url, body)
            else:
                target = self._target(model)
                outcome = await self._through_litellm(target, url, body)
        except Exception as error:  # noqa: BLE001 - one request's, told in its line
            return _failed(error, target, model)
        if self._schema is None or outcome.exit_code != ExitCode.OK or url == "/v1/embeddings":
            return outcome
        if why := violation(self._schema, _text(json.loads(outcome.body))):
            outcome.exit_code = ExitCode.PROVIDER_FAILED
            outcome.code = "schema_mismatch"
            outcome.message = outcome.failure = scrub(why)
        return outcome

    async def close(self) -> None:
        """Close the connections."""
        if self._poster is not None:
            await self._poster.close()

    async def _through_litellm(
        self, target: Target | None, url: str, body: dict[str, Any]
    ) -> Outcome:
        resolution = resolve(body["model"])
        # of a provider that takes a body as it stands, LiteLLM would drop or refuse some fields
        translated = why_not_direct(resolution) is not None
        names = _parameters(url) if translated else {"model", URLS[url]}
        arguments = {name: value for name, value in body.items() if name in names}
        if len(arguments) < len(body):  # such as vLLM's: sent as they stand
            arguments["extra_body"] = {k: v for k, v in body.items() if k not in names}
        provider = resolution.provider
        configured: Mapping[str, Any] = provider.extras if provider is not None else {}
        # how often to try, and where, is the batch's to say
        arguments[retry_limit(configured)] = 0
        if "fallbacks" in configured or "context_window_fallback_dict" in configured:
            arguments.update(fallbacks=[], context_window_fallback_dict={})
        if "timeout" not in configured:
            arguments["timeout"] = self._timeout
        call = drop_in(_FUNCTIONS[url].name)(**arguments)
        result = await asyncio.wait_for(call, self._timeout)
        try:
            text = result.model_dump_json(exclude_none=True)
        except ValueError:  # half a character, which a model may say
            text = json.dumps(result.model_dump(exclude_none=True), default=str)
        outcome = Outcome(200, request_id(result) or "", scrub(text))
        expected = _FUNCTIONS[url].field
        if not getattr(result, expected, None):
            details = _without_answer(expected, "")
            return _told(outcome, explain_details(details, target, body["model"]), {})
        usage = getattr(result, "usage", None)
        return _counted(outcome, usage.model_dump() if usage else None, body["model"], target)

    async def _posted(
        self, poster: Poster, target: Target, url: str, body: dict[str, Any]
    ) -> Outcome:
        content = json.dumps(
            {**body, "model": target.model}, ensure_ascii=False, separators=(",", ":")
        )
        path = url.removeprefix("/v1")
        reply = await poster.post(target.params, path, content.encode(), self._timeout)
        try:
            parsed = json.loads(reply.content)
            text = reply.content.decode()
        except (ValueError, RecursionError):
            parsed, text = None, json.dumps(reply.content.decode("utf-8", "replace"))
        if "\n" in text or "\r" in text:
            text = json.dumps(parsed)
        outcome = Outcome(reply.status, reply.headers.get("x-request-id", ""), scrub(text))
        expected = _FUNCTIONS[url].field
        answer = parsed if isinstance(parsed, dict) else {}
        if reply.status == 200 and answer.get(expected) and isinstance(answer[expected], list):
            return _counted(outcome, answer.get("usage"), body["model"], target)
        words = error_words(parsed) or reply.content.decode("utf-8", "replace")
        details = ErrorDetails("APIStatusError", reply.status, True, words)
        if reply.status == 200 and answer:  # some servers send their errors so
            details = _without_answer(expected, words)
        elif reply.status == 200:
            details = ErrorDetails(
                "APIStatusError", None, True, words, broken="the reply is not JSON"
            )
        failure = explain_details(details, target, body["model"])
        return _told(outcome, failure, reply.headers)


def _without_answer(field: str, words: str) -> ErrorDetails:
    """Return what stands for a reply under status 200 that has nothing in ``field``."""
    return ErrorDetails(f"no {field} in the reply", 500, False, words)


def _counted(outcome: Outcome, usage: Any, model: str, target: Target | None) -> Outcome:
    """Add what a response says of its tokens, and their cost where that is known."""
    if isinstance(usage, dict):
        for name, fields in (
            ("input_tokens", ("prompt_tokens", "input_tokens")),
            ("output_tokens", ("completion_tokens", "output_tokens")),
        ):
            count = next((usage[field] for field in fields if usage.get(field)), 0)
            setattr(outcome, name, count if isinstance(count, int) else 0)
        with suppress(Exception):  # a price is no reason to lose an answer
            outcome.cost = cost(model, target, usage)
    return outcome


def _told(outcome: Outcome, failure: Failure, headers: Mapping[str, str]) -> Outcome:
    """Add to an outcome what went wrong."""
    outcome.exit_code = failure.exit_code
    outcome.failure = failure.what
    outcome.retry_after = _seconds(headers.get("retry-after", ""))
    if outcome.status is None or outcome.status < 400:
        outcome.code = _CODES.get(failure.exit_code, "failed")
        outcome.message = failure.what
    return outcome


def _failed(error: Exception, target: Target | None, model: str) -> Outcome:
    """Return the outcome that an error stands for; a rejected request has its response."""
    if isinstance(error, AdapterError):
        return _told(Outcome(), Failure(error.exit_code, scrub(str(error)), ""), {})
    failure = explain(error, target, model)
    details = error_details(error)
    outcome, headers = Outcome(), {}
    if details.from_server and (details.status or 0) >= 400:
        outcome.status = details.status
        response = next(
            cause.response
            for cause in causes(error)
            if hasattr(cause, "response") and not type(cause).__module__.startswith("litellm")
        )
        headers = response.headers
        outcome.request_id = headers.get("x-request-id", "")
        try:
            body = json.loads(response.text)
        except Exception:  # noqa: BLE001 - a page, or a response that was not read
            body = {"error": {"message": details.message, "code": details.status}}
        outcome.body = scrub(json.dumps(body))
    elif failure.exit_code in _RETRIED:
        outcome.is_unknown = not details.unreachable or "time limit" in details.unreachable
    return _told(outcome, failure, headers)


def _seconds(text: str) -> float | None:
    """Return a ``Retry-After`` in seconds (RFC 9110, 10.2.3), ``None`` where it says nothing."""
    with suppress(ValueError):
        seconds = float(text)
        return max(0.0, seconds) if seconds == seconds else None  # noqa: PLR0124 - not for nan
    with suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    return None


def _text(body: Any) -> str:
    """Return the text of a response, ``""`` where it has none."""
    with suppress(LookupError, TypeError, AttributeError):
        if body.get("output") is not None:
            contents = (c for item in body["output"] for c in item.get("content") or ())
            return "".join(c["text"] for c in contents if c.get("type") == "output_text")
        choice = body["choices"][0]
        return str((choice["message"]["content"] if "message" in choice else choice["text"]) or "")
    return ""

"""Check a gateway's requests: their routes, their size, and the fields that they may hold."""

from __future__ import annotations

import json
import re
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Iterator,
    MutableMapping,
)
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl

from adapter.secrets.references import reference_to

__all__ = [
    "ALWAYS_REFUSED",
    "ROUTING_FIELDS",
    "App",
    "Message",
    "Receive",
    "RequestRefusedError",
    "Send",
    "body_of",
    "check_fields",
    "read_body",
    "route_pattern",
]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Coroutine[Any, Any, None]]

_CALLS = (
    *("chat/completions", "completions", "embeddings", "responses", "moderations", "rerank"),
    *("images/generations", "images/edits", "audio/speech", "audio/transcriptions"),
)
_GENERATE = ("generateContent", "streamGenerateContent", "countTokens")

ROUTES = (
    *(f"{version}/{call}" for version in ("", "/v1") for call in _CALLS),
    *("/v1/messages", "/v1/messages/count_tokens", "/v2/rerank", "/realtime", "/v1/realtime"),
    *(
        f"{base}/{{model:path}}/{call}"
        for base in ("/engines", "/openai/deployments")
        for call in ("chat/completions", "completions", "embeddings")
    ),
    *(
        f"{base}/{{model:path}}:{verb}"
        for base in ("/models", "/v1beta/models")
        for verb in _GENERATE
    ),
    *("/models", "/models/{model}", "/v1/models", "/v1/models/{model}"),
    *("/model/info", "/v1/model/info", "/v2/model/info", "/model_group/info"),
    *("/health", "/health/readiness", "/health/liveliness", "/health/liveness"),
)
"""What a gateway answers: calls of configured models, in OpenAI's form, Anthropic's and Google's,
lists of models, and health. LiteLLM's proxy has a thousand other routes, some of which send its
variables to a host of the caller's choice."""

ALWAYS_REFUSED = frozenset(
    {"custom_llm_provider", "litellm_credential_name", "model_list", "use_litellm_proxy"}
)
ROUTING_FIELDS = ALWAYS_REFUSED | {"api_base", "base_url", "router_settings", "user_config"}
"""Fields of a request that say where a call goes; a provider's key would go there."""

NESTED_FIELDS = (
    *("litellm_embedding_config", "litellm_metadata", "litellm_params", "metadata"),
    *("fallbacks", "content_policy_fallbacks", "context_window_fallbacks"),
    "router_settings_override",
)
"""Fields of a request whose own fields LiteLLM takes for such."""

_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
_REFERENCE = reference_to("")


class RequestRefusedError(Exception):
    """A request that LiteLLM's proxy does not get; ``status`` is what its client is told."""

    def __init__(self, status: int, why: str) -> None:
        self.status = status
        super().__init__(why)


def route_pattern(routes: Iterable[str]) -> re.Pattern[str]:
    """Return what the paths of ``ROUTES`` and of ``routes`` match.

    Routes are written as Starlette's: ``{name}`` stands for a part without a slash, ``{name:path}``
    for any.
    """
    patterns = []
    for route in (*ROUTES, *routes):
        parts = re.split(r"(\{\w+(?::path)?\})", route)
        patterns.append(
            "".join(
                (".+" if part.endswith(":path}") else "[^/]+") if index % 2 else re.escape(part)
                for index, part in enumerate(parts)
            )
        )
    return re.compile("|".join(patterns))


async def read_body(scope: Message, receive: Receive, limit: int) -> bytes | None:
    """Return the body of a request, ``None`` where its client has left meanwhile.

    Raises :class:`RequestRefusedError` for more than ``limit`` bytes, of which no more are read.
    """
    too_large = RequestRefusedError(
        413,
        f"the request has more than {limit:,} bytes, the max_request_bytes of "
        "[plugin.litellm.gateway]",
    )
    length = dict(scope["headers"]).get(b"content-length", b"")
    if length.isdigit() and int(length) > limit:
        raise too_large
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > limit:
            raise too_large
        if not message.get("more_body", False):
            return bytes(body)


def body_of(body: bytes) -> Receive:
    """Return an ASGI ``receive`` that gives ``body`` at once."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def check_fields(
    scope: Message, body: bytes, refused: Collection[str], *, json_only: bool
) -> None:
    """Raise :class:`RequestRefusedError` for a request that says where its call is to go.

    Refused are the fields in ``refused``, also in the query and the headers, and values that name
    a variable of the gateway's (``os.environ/VAR``), which LiteLLM puts in its place.
    With ``json_only`` a body that is no form must be a JSON object.
    """
    query = scope.get("query_string", b"").decode("latin-1")
    content_type = dict(scope["headers"]).get(b"content-type", b"").decode("latin-1")
    fields: list[tuple[str, Any]] = parse_qsl(query, keep_blank_values=True)
    fields += [(name.decode("latin-1").replace("-", "_"), "") for name, _ in scope["headers"]]
    if content_type.partition(";")[0].strip().lower() in _FORMS:
        fields += await _form_fields(scope, body)
    elif body:
        fields += _json_fields(body, json_only)
    for name, value in fields:
        names = {*re.findall(r"[^\[\]]+", name)}  # a form's metadata[name]
        is_nested = not names.isdisjoint(NESTED_FIELDS)
        parts = list(_parts(value, is_nested))
        if is_nested:
            names.update(key for part in parts if isinstance(part, dict) for key in part)
        for field in sorted(names & set(refused)):
            raise RequestRefusedError(
                400,
                f"{field} cannot be set in a request: a gateway's calls go where its "
                "configuration says",
            )
        for text in parts:
            if isinstance(text, str) and text.lstrip().startswith(_REFERENCE):
                raise RequestRefusedError(400, f"a request cannot name a variable: {_REFERENCE}...")


async def _form_fields(scope: Message, body: bytes) -> list[tuple[str, Any]]:
    from starlette.exceptions import HTTPException
    from starlette.formparsers import MultiPartException
    from starlette.requests import Request

    try:
        async with Request(scope, body_of(body)).form() as form:
            return [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    except (HTTPException, MultiPartException, ValueError) as error:
        raise RequestRefusedError(400, f"the form cannot be read: {error}") from None


def _json_fields(body: bytes, json_only: bool) -> list[tuple[str, Any]]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        if not json_only and _REFERENCE.encode() not in body:
            return []
        raise RequestRefusedError(400, f"the body is not JSON: {error}") from None
    if isinstance(fields, dict):
        return list(fields.items())
    if json_only:
        raise RequestRefusedError(400, "the body is not a JSON object")
    return [("", fields)]


def _parts(value: Any, decode: bool) -> Iterator[Any]:
    """Yield ``value`` and all its parts; with ``decode`` also those of texts that are JSON."""
    queue = [value]
    while queue:
        part = queue.pop()
        yield part
        if isinstance(part, dict):
            queue += part.values()
        elif isinstance(part, list):
            queue += part
        elif decode and isinstance(part, str) and part.lstrip().startswith(("{", "[")):
            with suppress(ValueError, RecursionError):
                queue.append(json.loads(part))

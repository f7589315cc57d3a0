"""The client a call is sent with: it names no account of OpenAI's and keeps the model id.

LiteLLM takes a client of the caller's (``client=``) for every function. Ours differ from those
that LiteLLM makes in four things: no ``OPENAI_*`` header of the environment goes to another host
(:func:`_sdk_client`), a redirect to another host is refused (``http``), the model id and the roles
on the wire are those that were asked for, whatever LiteLLM's map makes of them, and what servers
send in another form than OpenAI's is repaired (:func:`_client_class`, ``repairs``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from adapter.errors import AdapterError
from adapter.keys.precedence import PLACEHOLDER_KEY
from adapter.secrets.secret import Secret
from adapter.upstream.http import Scope, guard_client, http_handler, scope
from adapter.upstream.prefixes import OPENAI_COMPATIBLE
from adapter.upstream.repairs import EventsWithData, reply_class, stream_class

__all__ = ["NO_BRIDGE", "bind_client"]

DEFAULT_RETRIES = 2
"""LiteLLM's own default for ``max_retries`` (``litellm.llms.openai``)."""

REQUEST_SECONDS = 600
"""The SDK's default; each request of LiteLLM's carries a timeout of its own."""

NO_BRIDGE = "_skip_responses_api_bridge"
"""Tells ``litellm.completion`` to post to ``/chat/completions`` whatever its map says of the id."""

ROLES = "gptme_litellm_roles"
"""The roles of a call's messages, which LiteLLM passes on to our client in ``extra_body``."""

_CHAT = frozenset({"completion", "acompletion", "batch_completion"})
_TEXT = frozenset({"text_completion", "atext_completion"})
_RESPONSES = frozenset({"responses", "aresponses"})
_MODERATION = frozenset({"moderation", "amoderation"})  # of the SDK, whatever the class

EXACT_CLASSES = frozenset({"openai", "litellm_proxy"})
"""LiteLLM's provider classes for servers whose model ids are their own: sent as they are."""

HTTP_CLASSES = frozenset(
    {
        *("cometapi", "compactifai", "databricks", "deepseek", "edenai", "fireworks_ai", "groq"),
        *("heroku", "hosted_vllm", "huggingface", "lemonade", "minimax", "mistral", "nadir"),
        *("openrouter", "ovhcloud", "together_ai", "xai"),
    }
)
"""LiteLLM's provider classes that send with an ``HTTPHandler``, not with the OpenAI SDK."""

OWN_CLIENT_CLASSES = frozenset(
    {"aiohttp_openai", "amazon_nova", "cloudflare", "gradient_ai", "maritalk"}
)
"""Those that take no client: a redirect is followed as LiteLLM does, without the key."""


def bind_client(
    params: dict[str, Any],
    function: str,
    is_async: bool,
    mode: str | None = None,
    max_bytes: int | None = None,
) -> None:
    """Give LiteLLM's arguments for ``function`` a client of ours; one of the caller's is guarded.

    ``params["model"]`` is ``"<provider class>/<id>"``. ``mode`` is what the configuration says of
    the model: ``"responses"`` lets LiteLLM ask ``/responses`` for a chat completion.
    ``max_bytes`` is the length of a reply, see :func:`http_handler`. Raises
    :class:`AdapterError` where a client of the caller's cannot be guarded.
    """
    prefix, _, model = params["model"].partition("/")
    base_url = str(params["api_base"])
    exact_chat = prefix in EXACT_CLASSES and function in _CHAT
    if params.get("client") is not None:
        _guard(params["client"], base_url)
        if exact_chat and mode != "responses":
            params[NO_BRIDGE] = True
        return
    bridged = exact_chat and mode == "responses"
    if bridged:
        params["model"] = f"{prefix}/responses/{model}"
    if (
        bridged
        or function in _RESPONSES
        or (prefix in HTTP_CLASSES and function not in _MODERATION)
    ):
        session, verify = params.get("shared_session"), params.pop("ssl_verify", None)
        params["client"] = http_handler(base_url, is_async, session, verify, max_bytes)
        if function in _RESPONSES:
            # LiteLLM may make another id of it, but adds this to the body last
            params["extra_body"] = {"model": model, **(params.get("extra_body") or {})}
        return
    is_sdks = prefix in OPENAI_COMPATIBLE and prefix not in OWN_CLIENT_CLASSES
    if not is_sdks and function not in _MODERATION:
        return
    retries = params.get("max_retries")
    if retries is not None and not isinstance(retries, int):
        return  # LiteLLM refuses it where it makes a client
    exact = model if prefix in EXACT_CLASSES else None
    params["client"] = _sdk_client(params, is_async, exact, max_bytes)
    params.pop("project", None)  # the client has it; LiteLLM would put it into the body
    _keep_roles(params)
    if prefix == "openai" and function in _TEXT:
        # LiteLLM asks /chat/completions for ids that it knows as chat models
        params["model"] = f"text-completion-openai/{model}"
    if exact_chat or function in _TEXT:
        params[NO_BRIDGE] = True


def _keep_roles(params: dict[str, Any]) -> None:
    """Tell our client the roles ``system`` and ``developer`` of a call: LiteLLM changes them.

    It sends ``system`` as ``user`` to models that it takes for OpenAI's (``o3-mini``), and
    ``developer`` as ``system`` to others.
    """
    messages, extra = params.get("messages"), params.get("extra_body") or {}
    if not isinstance(messages, list) or not isinstance(extra, Mapping):
        return
    roles = [m.get("role") if isinstance(m, Mapping) else None for m in messages]
    if "system" in roles or "developer" in roles:
        params["extra_body"] = {**extra, ROLES: roles}


def _with_roles(messages: Any, roles: list[Any]) -> Any:
    """Return ``messages`` with the roles that the caller gave them."""
    if not isinstance(messages, list) or len(messages) != len(roles):
        return messages
    return [
        {**message, "role": role} if role in ("system", "developer") else message
        for message, role in zip(messages, roles, strict=True)
    ]


def _sdk_client(
    params: Mapping[str, Any], is_async: bool, model: str | None, max_bytes: int | None
) -> Any:
    """Return the OpenAI client for a call to a provider of ours, the same for the same ``params``.

    The SDK puts ``OPENAI_ORG_ID``, ``OPENAI_PROJECT_ID`` and ``OPENAI_CUSTOM_HEADERS`` of the
    environment into the headers of every request, whatever host it goes to; this client does not.
    What the caller names (``organization=``, ``project=``, ``litellm.organization``) is sent.
    """
    import litellm

    retries = params.get("max_retries")
    retries = DEFAULT_RETRIES if retries is None else retries
    organization = params.get("organization") or litellm.organization or None
    project = params.get("project") or None
    base_url, session = str(params["api_base"]), params.get("shared_session")
    api_key = Secret(params.get("api_key") or PLACEHOLDER_KEY)
    handler = http_handler(base_url, is_async, session, params.get("ssl_verify"), max_bytes)
    clients = scope(is_async).clients
    # LiteLLM changes a client's organization and retries; the id is that of a cached handler
    key = (base_url, api_key, retries, organization, project, model, id(handler))
    client = clients.get(key)
    if client is not None and client.handler is handler:
        return client
    client = _client_class(is_async)(
        api_key=str(api_key),
        base_url=base_url,
        max_retries=retries,
        organization=organization,
        project=project,
        timeout=REQUEST_SECONDS,
        http_client=handler.client,
        default_headers=_without_environment(api_key, organization, project),
    )
    client.handler, client.model_id = handler, model
    return Scope.store(clients, key, client)


def _without_environment(
    api_key: str, organization: str | None, project: str | None
) -> dict[str, Any]:
    """Return default headers that leave out what the SDK takes from ``OPENAI_*`` variables."""
    import openai

    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")
    names = [line.partition(":")[0].strip() for line in lines if ":" in line]  # as the SDK does
    if organization is None:
        names.append("OpenAI-Organization")
    if project is None:
        names.append("OpenAI-Project")
    sent = {
        "Accept": "application/json",
        "Authorization": f"Bearer {api_key}",
        "Content-Type": "application/json",
    }
    return {name: sent.get(name, openai.Omit()) for name in names}


def _split_options(options: Any) -> tuple[dict[str, Any], list[Any]]:
    """Return the SDK's options without what is no parameter of the server's, and the roles in it.

    LiteLLM puts what it does not know among the parameters of the request's body.
    """
    options = dict(options or {})
    if not (extra := dict(options.get("extra_json") or {})):
        return options, []
    for name in (NO_BRIDGE, "ssl_verify"):
        extra.pop(name, None)
    roles = extra.pop(ROLES, None) or []
    if isinstance(extra.get("extra_query"), Mapping):
        options["params"] = {**extra.pop("extra_query"), **(options.get("params") or {})}
    options["extra_json"] = extra
    return options, roles


@cache
def _client_class(is_async: bool) -> Any:
    """Return the SDK's client class, whose requests carry the model id that was asked for."""
    import openai

    base: Any = openai.AsyncOpenAI if is_async else openai.OpenAI

    class Client(base):  # type: ignore[misc]  # the SDK is imported only when called
        """The SDK's client for one model id, kept with the HTTP client that it sends with."""

        handler: Any = None
        model_id: str | None = None

        def post(self, path: str, *, body: Any = None, options: Any = None, **others: Any) -> Any:
            """Post as the SDK does; all of its functions that name a model come through here."""
            options, roles = _split_options(options)
            if isinstance(body, Mapping):
                body = {k: v for k, v in body.items() if k != NO_BRIDGE}
                if self.model_id is not None and "model" in body:
                    body["model"] = self.model_id
                if roles:
                    body["messages"] = _with_roles(body.get("messages"), roles)
            if path == "/chat/completions":
                others["cast_to"] = reply_class(others["cast_to"])
                if others.get("stream_cls") is not None:
                    others["stream_cls"] = stream_class(others["stream_cls"])
            return super().post(path, body=body, options=options, **others)

        def _make_sse_decoder(self) -> Any:
            return EventsWithData(super()._make_sse_decoder())

    Client.__name__ = Client.__qualname__ = base.__name__
    return Client


def _guard(client: Any, base_url: str) -> None:
    """Refuse redirects to another host for calls with a client that the caller made."""
    import openai

    if isinstance(client, openai.OpenAI | openai.AsyncOpenAI):
        http = getattr(client, "_client", None)  # the SDK has no public name for it
    else:
        http = getattr(client, "client", None)  # LiteLLM's handlers
        if http is None:
            return
    if not hasattr(http, "event_hooks"):
        raise AdapterError(
            f"client= of this call cannot be kept from following redirects with openai "
            f"{openai.__version__}: leave it out, or install openai<4"
        )
    guard_client(http, base_url)

"""Make the configuration, the environment and the master key of a gateway's process.

A provider's key is a variable of that process; the configuration only refers to it.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from adapter._install import install_extra
from adapter._tables import leaves
from adapter.config.provider import is_loopback
from adapter.errors import GatewayError, MissingKeyError
from adapter.keys.precedence import PLACEHOLDER_KEY
from adapter.secrets.policy import is_certain, is_secret
from adapter.secrets.references import reference_to, referenced_variable
from adapter.secrets.scrubber import register
from adapter.secrets.secret import Secret
from adapter.sharing.exporting import abilities, entries, sections

if TYPE_CHECKING:
    from adapter.config.loading import Config
    from adapter.config.provider import Provider

__all__ = [
    "GuardSettings",
    "ProxyConfig",
    "check_installed",
    "fingerprint",
    "guard_settings",
    "master_key",
    "proxy_config",
    "proxy_environment",
]

SHORTEST_KEY = 16
"""In characters, of a master key of the user's own: others can try keys on an open port."""

MAX_REQUEST_BYTES = 64 * 1024 * 1024
"""Of a request's body, unless the configuration says otherwise; LiteLLM takes it into memory."""

NOT_INHERITED = (
    "OPENAI_",  # LiteLLM sends these to any host
    "LITELLM_",
    "CONFIG_FILE_PATH",  # beats the configuration given
    "WORKER_CONFIG",
    "DATABASE_",  # LiteLLM would connect, or refuse to start without prisma
    "DIRECT_URL",
    "SERVER_ROOT_PATH",
)
"""Variables (by their beginning) that a gateway gets only where the configuration names them."""

OWN_SETTINGS: Mapping[str, str] = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # no price map from the network
    "LITELLM_MODE": "PRODUCTION",  # no ./.env
    "LITELLM_LOG": "ERROR",
    "LITELLM_CORS_ORIGINS": ",",  # none; unset or empty means all
    "LITELLM_CORS_ALLOW_CREDENTIALS": "false",
    "NO_DOCS": "True",
    "NO_REDOC": "True",
    "NO_OPENAPI": "True",
    "DISABLE_ADMIN_UI": "True",
}

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "router_settings": {"num_retries": 0, "disable_cooldowns": True},
    # else Anthropic's clients are answered by way of /responses, which many servers lack
    "litellm_settings": {"use_chat_completions_url_for_anthropic_messages": True},
    "general_settings": {"always_include_stream_usage": False},
}
"""Settings that keep a call through a gateway the same as one without, unless configured."""

OTHERS_HAVE_KEYS = frozenset(
    {
        *("custom_auth", "database_url", "enable_jwt_auth", "enable_oauth2_auth"),
        *("enable_oauth2_proxy_auth", "pass_through_endpoints", "public_routes"),
    }
)
"""Of ``general_settings``: with one of them LiteLLM takes other keys than the master key, or none
for the routes that its user names."""


@dataclass(frozen=True)
class ProxyConfig:
    """LiteLLM's configuration, the variables it takes keys from, and why providers are left out."""

    content: dict[str, Any]
    variables: dict[str, str] = field(repr=False)
    omissions: tuple[str, ...]


@dataclass(frozen=True)
class GuardSettings:
    """Settings of the guard before the proxy.

    ``local_only`` says that only this machine may ask; ``master_key_only`` that every request must
    carry the master key; ``secrets`` are taken out of answers and logs. ``routes`` are answered
    besides a gateway's own, all of LiteLLM's where it is ``None``. ``client_credentials`` says that
    a request may name another server and key. ``max_request_bytes`` is of a body,
    ``max_response_bytes`` of a server's reply, by its base.
    """

    local_only: bool
    master_key_only: bool
    secrets: Sequence[str] = field(repr=False)
    routes: Sequence[str] | None = ()
    client_credentials: bool = False
    max_request_bytes: int = MAX_REQUEST_BYTES
    max_response_bytes: Mapping[str, int] = field(default_factory=dict)


def proxy_config(config: Config) -> ProxyConfig:
    """Translate the configuration for LiteLLM's proxy.

    The settings of ``[plugin.litellm]`` win over :data:`DEFAULTS`.
    """
    variables: dict[str, str] = {}
    omissions = []
    model_list: list[dict[str, Any]] = []
    table = abilities(config)
    for provider in config.providers:
        try:
            key, headers = _credentials(provider, variables)
        except MissingKeyError as error:
            omissions.append(str(error))
        else:
            model_list += entries(provider, key, headers, able=table.get(provider.name, {}))
    content: dict[str, Any] = {"model_list": model_list, **sections(config)}
    for section, defaults in DEFAULTS.items():
        content[section] = {**defaults, **content.get(section, {})}
    content["general_settings"].pop("master_key", None)  # given by environment
    return ProxyConfig(content, variables, tuple(omissions))


def _credentials(provider: Provider, variables: dict[str, str]) -> tuple[str, dict[str, str]]:
    """Return a provider's key and headers for LiteLLM; secrets go to ``variables``.

    Raises :class:`MissingKeyError`.
    """

    def reference(value: str) -> str:
        variable = f"GATEWAY_KEY_{len(variables) + 1}"
        variables[variable] = str(value)
        return reference_to(variable)

    key, headers = provider.resolve_key().value, provider.headers()
    secret = {h for h, v in headers.items() if isinstance(v, Secret) or is_secret((h,), v)}
    return reference(key), {h: reference(v) if h in secret else v for h, v in headers.items()}


def proxy_environment(
    config: Config, variables: Mapping[str, str], yaml_path: Path
) -> dict[str, str]:
    """Return the environment of the proxy's process: this one's without what it must not inherit.

    ``variables`` are added, and those that the configuration names.
    """
    settings = json.dumps(
        [dict(config.settings), [dict(p.extras) for p in config.providers]], default=str
    )
    prefixes = (*NOT_INHERITED, *(() if "redis" in settings else ("REDIS_",)))
    environ = {k: v for k, v in os.environ.items() if not k.startswith(prefixes)}
    environ.update({k: v for k in config.references() if (v := config.getenv(k))})
    log = {"LITELLM_LOG": os.environ["LITELLM_LOG"]} if "LITELLM_LOG" in os.environ else {}
    return {**environ, **OWN_SETTINGS, **log, **variables, "CONFIG_FILE_PATH": str(yaml_path)}


def guard_settings(
    content: Mapping[str, Any],
    environ: Mapping[str, str],
    host: str,
    own: Mapping[str, Any] = MappingProxyType({}),
    limits: Mapping[str, int] = MappingProxyType({}),
) -> GuardSettings:
    """Return the settings of the guard before a proxy on ``content`` and ``environ``.

    ``own`` is the table ``[plugin.litellm.gateway]``, ``limits`` are of replies, by base.
    """
    settings = content["general_settings"]
    other_keys = "DATABASE_URL" in environ or any(settings.get(name) for name in OTHERS_HAVE_KEYS)
    secrets = {environ["LITELLM_MASTER_KEY"], *_secrets(content, environ)}
    routes = own.get("routes", ())
    return GuardSettings(
        local_only=is_loopback(host),
        master_key_only=not other_keys,
        secrets=sorted(secrets - {PLACEHOLDER_KEY}),
        routes=None if routes == "all" else routes,
        client_credentials=settings.get("allow_client_side_credentials") is True
        or any(
            entry["litellm_params"].get("configurable_clientside_auth_params")
            for entry in content.get("model_list", ())
        ),
        max_request_bytes=own.get("max_request_bytes", MAX_REQUEST_BYTES),
        max_response_bytes=dict(limits),
    )


def _secrets(content: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the keys and passwords in LiteLLM's configuration and in the variables it names.

    They are taken out of answers: of what stands there literally, only what is certain to be one.
    """
    for path, value in leaves(content):
        variable = referenced_variable(value)
        if variable is None:
            if isinstance(value, str) and is_certain(path, value):
                yield value
        elif is_secret((*path, variable), secret := environ.get(variable, "")):
            yield secret


def fingerprint(config: Config, salt: str) -> str:
    """Return a digest of what a gateway is made from, to tell later whether it is stale.

    It covers the configuration, the variables that it names, the keys and the packages' versions,
    but no key of a command or a keyring, which may ask its user. With a random ``salt`` it tells
    nothing of a key.
    """
    providers = [
        [p.name, p.base_url, p.default_model, p.key_source, p.extras, _secrets_of(p)]
        for p in config.providers
    ]
    variables = [(name, config.getenv(name)) for name in config.references()]
    versions = [version(name) for name in ("gptme-litellm", "litellm", "openai")]
    parts = [providers, config.settings, config.models, variables, versions]
    text = json.dumps(parts, sort_keys=True, default=str)
    return blake2b(text.encode(), key=salt.encode(), digest_size=32).hexdigest()


def _secrets_of(provider: Provider) -> list[str] | None:
    """Return a provider's key and headers; ``None`` where it has none, or reading it might ask."""
    if provider.asks_for_key:
        return None
    try:
        return [str(provider.resolve_key().value), *map(str, provider.headers().values())]
    except MissingKeyError:  # the gateway leaves it out
        return None


def master_key(config: Config, host: str, former: Secret | None = None) -> Secret:
    """Return the gateway's key: the user's own, else a random one where only this machine may ask.

    ``former`` is the key of the gateway that it replaces, which stands in for a new one. Raises
    :class:`GatewayError` for one that others could guess or no header can carry.
    """
    setting = config.settings.get("general_settings", {}).get("master_key")
    own = os.environ.get("LITELLM_MASTER_KEY")
    if not own and isinstance(setting, str):
        variable = referenced_variable(setting)
        own = config.getenv(variable) if variable else setting
    key = Secret(own or "")
    fix = 'set LITELLM_MASTER_KEY to a long random one: python3 -c "import secrets; print('
    fix += "'sk-' + secrets.token_urlsafe(32))\""
    if not key:
        if is_loopback(host):
            return former or register("sk-" + secrets.token_urlsafe(32))
        raise GatewayError(f"--host {host} is open to others, so it needs your own key: {fix}")
    if not (key.isascii() and key.isprintable()):
        raise GatewayError(
            f"the master key contains a control character or a non-ASCII character: {fix}"
        )
    if len(key) < SHORTEST_KEY:
        raise GatewayError(f"the master key is shorter than {SHORTEST_KEY} characters: {fix}")
    return register(key)


def check_installed() -> None:
    """Raise :class:`GatewayError` where LiteLLM's proxy cannot run."""
    if sys.platform == "win32":
        raise GatewayError(
            "adapter serve does not run on Windows; run LiteLLM itself on the exported file: "
            "adapter config export -o config.yaml; litellm --config config.yaml"
        )
    for module in ("fastapi", "uvicorn", "orjson", "apscheduler"):
        if find_spec(module) is None:
            raise GatewayError(
                f"the gateway needs the LiteLLM Proxy, which is not installed (no {module}). "
                f"Run: {install_extra('gateway')}"
            )

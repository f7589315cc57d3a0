"""What a gateway's process is given: LiteLLM's configuration, its environment, its master key.

A provider's key is a variable of that process; the configuration only refers to it.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter.config.provider import is_loopback
from adapter.errors import GatewayError, MissingKeyError
from adapter.keys.precedence import PLACEHOLDER_KEY, Secret, guarded, reference_to
from adapter.secrets.policy import is_certain, is_secret
from adapter.sharing.exporting import entries, sections

if TYPE_CHECKING:
    from adapter.config.loading import Config

__all__ = [
    "check_installed",
    "configuration",
    "environment",
    "guard_settings",
    "master_key",
]

SHORTEST_KEY = 16
"""In characters, of a master key of the user's own: others can try keys on an open port."""

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

OTHERS_HAVE_KEYS = frozenset(
    {
        *("custom_auth", "database_url", "enable_jwt_auth", "enable_oauth2_auth"),
        *("enable_oauth2_proxy_auth", "pass_through_endpoints", "public_routes"),
    }
)
"""Of ``general_settings``: with one of them LiteLLM takes other keys than the master key, or none
for the routes that its user names."""


def guard_settings(
    content: Mapping[str, Any], environ: Mapping[str, str], host: str
) -> dict[str, Any]:
    """Return what the guard before the proxy is given: who may ask, and what no answer shows."""
    settings = content["general_settings"]
    others = "DATABASE_URL" in environ or any(settings.get(name) for name in OTHERS_HAVE_KEYS)
    secrets = {environ["LITELLM_MASTER_KEY"], *_secrets(content, environ, ())}
    return {
        "local": is_loopback(host),
        "only_master": not others,
        "secrets": sorted(secrets - {PLACEHOLDER_KEY}),
    }


def _secrets(value: Any, environ: Mapping[str, str], path: tuple[str, ...]) -> Iterator[str]:
    """Yield the keys and passwords in LiteLLM's configuration and in the variables it names.

    They are taken out of answers: of what stands there literally, only what is certain to be one.
    """
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _secrets(item, environ, (*path, str(name)))
    elif isinstance(value, list):
        for item in value:
            yield from _secrets(item, environ, path)
    elif isinstance(value, str):
        variable = value.removeprefix("os.environ/")
        if variable == value:
            found = is_certain(path, value)
        else:
            value = environ.get(variable, "")
            found = is_secret((*path, variable), value)
        if found:
            yield value


def configuration(config: Config) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """Return LiteLLM's configuration, the variables it refers to for keys, and what is left out.

    The settings of ``[plugin.litellm]`` win over those made here, which keep a query through a
    gateway the same as one without: no retries, no pause of a provider after a failure.
    """
    keys: dict[str, str] = {}
    left_out = []
    chosen = []
    for provider in config.providers:
        try:
            values = {"": str(provider.resolve_key().value), **provider.headers()}
        except MissingKeyError as error:
            left_out.append(str(error))
            continue
        key, headers = "", {}
        for header, value in values.items():
            if header and not isinstance(value, Secret) and not is_secret((header,), value):
                headers[header] = value
                continue
            variable = f"GATEWAY_KEY_{len(keys) + 1}"
            keys[variable] = str(value)
            if header:
                headers[header] = reference_to(variable)
            else:
                key = reference_to(variable)
        chosen.append((provider, key, headers))
    content: dict[str, Any] = {
        "model_list": [e for found in chosen for e in entries(*found)],
        **sections(config),
    }
    content["router_settings"] = {
        "num_retries": 0,
        "disable_cooldowns": True,
        **content.get("router_settings", {}),
    }
    content["general_settings"] = {
        "always_include_stream_usage": False,
        **content.get("general_settings", {}),
    }
    content["general_settings"].pop("master_key", None)  # given by environment
    return content, keys, left_out


def environment(config: Config, own: Mapping[str, str], yaml_path: Path) -> dict[str, str]:
    """Return the environment of the proxy's process."""
    settings = json.dumps(
        [dict(config.settings), [dict(p.extras) for p in config.providers]], default=str
    )
    kept = config.references()
    dropped = (*NOT_INHERITED, *(() if "redis" in settings else ("REDIS_",)))
    environ = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    environ.update({k: v for k in kept if (v := config.getenv(k))})
    log = {"LITELLM_LOG": os.environ["LITELLM_LOG"]} if "LITELLM_LOG" in os.environ else {}
    return {**environ, **OWN_SETTINGS, **log, **own, "CONFIG_FILE_PATH": str(yaml_path)}


def master_key(config: Config, host: str) -> Secret:
    given = _given_master_key(config)
    fix = 'set LITELLM_MASTER_KEY to a long random one: python3 -c "import secrets; print('
    fix += "'sk-' + secrets.token_urlsafe(32))\""
    if not given:
        if is_loopback(host):
            return guarded("sk-" + secrets.token_urlsafe(32))
        raise GatewayError(f"--host {host} is open to others, so it needs your own key: {fix}")
    if not (given.isascii() and given.isprintable()):
        raise GatewayError(f"the master key holds a control or a non-ASCII character: {fix}")
    if len(given) < SHORTEST_KEY:
        raise GatewayError(f"the master key is shorter than {SHORTEST_KEY} characters: {fix}")
    return guarded(given)


def _given_master_key(config: Config) -> Secret:
    given = os.environ.get("LITELLM_MASTER_KEY")
    if not given:
        setting = config.settings.get("general_settings", {}).get("master_key")
        if isinstance(setting, str):
            variable = setting.removeprefix("os.environ/")
            given = config.getenv(variable) if variable != setting else setting
    return Secret(given or "")


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
                'Run: pip install "gptme-litellm[gateway]"'
            )

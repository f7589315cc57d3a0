"""What is made to happen for docs/errors.md: broken files, missing keys, refused command lines."""

from __future__ import annotations

import io
import os
import shlex
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from adapter import embedded
from adapter.call.resolution import resolve
from adapter.cli.main import run
from adapter.config.files import MAX_INTEGER_BITS, MAX_VALUES, OUR_TABLES
from adapter.config.loading import Config, expire_looks, load_config
from adapter.config.provider import Provider
from adapter.errors import AdapterError, ConfigError, Problem
from adapter.gateway import lifecycle as gateway
from adapter.gateway import settings as gateway_settings
from adapter.providers.discovery import models_of

URL = "https://api.groq.com/openai/v1"
TABLE = f'[[providers]]\nname = "groq"\nbase_url = "{URL}"\n'
OURS = "[plugin.litellm.providers.groq]\n"


def provider(**fields: object) -> str:
    """Return a ``[[providers]]`` table; ``None`` leaves a field out."""
    values = {"name": "groq", "base_url": URL, **fields}
    lines = [
        f"{k} = {v}" if isinstance(v, int) else f'{k} = "{v}"'
        for k, v in values.items()
        if v is not None
    ]
    return "\n".join(["[[providers]]", *lines, ""])


BROKEN: Mapping[str, tuple[str | bytes, ...]] = {
    "A file": (
        TABLE + "timeout\n",
        "x = " + "[" * 9000,
        "x = " + "[" * 101 + "]" * 101,
        f"x = {1 << MAX_INTEGER_BITS}\n",
        f"x = [{'1,' * MAX_VALUES}]\n",
        b'name = "\xff"\n',
        b"#" * (4 * 1024 * 1024 + 1),
    ),
    "`[[providers]]`": (
        provider(name=None, base_url=None),
        provider(name=""),
        provider(name="my/groq"),
        provider(name="my groq"),
        provider(name=7),
        provider() + provider(),
        provider(base_url=None),
        provider(base_url="groq.com/openai/v1"),
        provider(base_url="http://localhost:http/v1"),
        provider(base_url="http://local host:8000/v1"),
        provider(base_url="https://me:secret@llm.example.org/v1"),
        provider(base_url="https://llm.example.org/v1?key=secret"),
        provider(base_url="https://llm.example.org/v1/chat/completions"),
        provider(base_url="http://llm.example.org/v1", api_key_env="LLM_KEY"),
        provider(api_key_env="gsk-a-key"),
        provider(api_key_env="GROQ_API_KEY", api_key="gsk_1"),
        provider(api_key="gsk_1"),
        provider(api_key="$GROQ_API_KEY"),
        provider(api_key="Bearer gsk_1"),
        provider(name="my-llm") + provider(name="my_llm"),
        provider(api_base=URL),
        'providers = "groq"\n',
        'providers = ["groq"]\n',
    ),
    "`[plugin.litellm]`": (
        "[plugin.litellm.provider.groq]\n",
        TABLE + "[plugin.litellm.providers]\ngroq = 30\n",
        TABLE + "[plugin.litellm.providers.grok]\ntimeout = 30\n",
        TABLE + OURS + 'custom_llm_provider = "azure"\n',
        TABLE + OURS + 'api_base = "https://llm.example.org/v1"\n',
        TABLE + OURS + 'model = "llama"\n',
        TABLE + OURS + 'api_key = "gsk_1"\n',
        TABLE + OURS + "api_key_cmd = true\n",
        TABLE + OURS + "api_key_file = 1\n",
        TABLE + OURS + 'api_key_file = "keys/groq"\n',
        TABLE + OURS + 'api_key_keyring = "yes"\n',
        TABLE + OURS + 'api_key_comand = "pass groq"\n',
        TABLE + OURS + 'api_key_cmd = "pass groq"\napi_key_keyring = true\n',
        TABLE + OURS + "stream = true\n",
        TABLE + OURS + 'extra_query = "v=1"\n',
        TABLE + OURS + 'extra_headers = "X-Key"\n',
        TABLE + OURS + "extra_headers = { X-Key = 1 }\n",
        TABLE + OURS + 'extra_headers = { X-Key = "${MY_KEY}" }\n',
        TABLE + OURS + 'extra_headers = { X-Key = "Token ${MY_KEY}" }\n',
        TABLE + OURS + "max_response_bytes = 0\n",
        TABLE + OURS + "timeout = 0\n",
        TABLE + OURS + "max_retries = 1.5\n",
        TABLE + OURS + "num_retries = -1\n",
    ),
    "Other tables": (
        "env = 1\n",
        "[env]\nKEYS = []\n",
        'models = "groq"\n',
        "[models]\ndefault = 1\n",
        "plugin = 1\n",
        "[plugin]\nlitellm = 1\n",
        *(f"[plugin.litellm]\n{name} = 1\n" for name in OUR_TABLES),
        TABLE + '[plugin.litellm.models]\n"groq/x" = 1\n',
        TABLE + '[plugin.litellm.models."groq/x"]\nmode = 1\n',
        TABLE + "[plugin.litellm.models.groq]\nmode = 'chat'\n",
        "[plugin.litellm.router_settings]\nmodel_group_alias = 1\n",
        TABLE + '[plugin.litellm.models."grok/x"]\nmode = "chat"\n',
        "[plugin.litellm.worker]\nmode = true\n",
        "[plugin.litellm.worker]\nidle_minutes = 0\n",
        "[plugin.litellm.worker]\nidle = 5\n",
        "[plugin.litellm.gateway]\nroutes = 1\nmax_request_bytes = 0\n",
    ),
}
"""Configurations with something wrong, by the heading under which that is told."""


REFUSED = (
    "adapter -m groq",
    'adapter -m groq -o stream true "hello"',
    'adapter -m groq --json --extract "hello"',
    'adapter -m groq --schema none.json "hello"',
    'adapter -m groq -a none.png "hello"',
    'adapter --gateway localhost:4000 -m groq "hello"',
    "adapter provider list",
    "adapter help",
    "adapter providers add",
    "adapter providers add my-server",
    "adapter providers add groq",
    "adapter providers remove grok",
    "adapter models grok",
    "adapter keys set groq",
    "adapter config export --include-secrets",
    "adapter config import none.yaml",
    "adapter serve --stop --key",
    "adapter serve --key",
)
"""Command lines with something wrong, where `groq` is configured and stdin is empty."""


def problems(content: str | bytes, folder: Path, mode: int = 0o644) -> Iterator[Problem]:
    """Yield what is said about a file; one with ``api_key`` can be read by others."""
    path = folder / "gptme.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    expire_looks()
    try:
        yield from load_config(path).warnings
    except ConfigError as error:
        yield from error.problems


def unreadable(folder: Path) -> Iterator[Problem]:
    """Yield what is said about a path that is no file to read."""
    looped = folder / "loop.toml"
    looped.symlink_to(looped)
    for path in (folder / "none.toml", folder, looped):
        try:
            load_config(path)
        except ConfigError as error:
            yield from error.problems
    yield from problems(TABLE + OURS + 'api_key_cmd = "pass groq"\n', folder, mode=0o666)


def raised(call: Callable[[], object]) -> AdapterError:
    """Return the error that ``call`` raises."""
    try:
        call()
    except AdapterError as error:
        return error
    raise AssertionError("it raises nothing any more")


def keys(folder: Path) -> Iterator[AdapterError]:
    """Yield the errors of keys that are not there."""
    open_file, empty = folder / "open", folder / "empty"
    for path in (open_file, empty):
        path.write_text("", encoding="utf-8")
    open_file.chmod(0o644)
    empty.chmod(0o600)

    def key(**extras: Any) -> AdapterError:
        return raised(Provider("groq", URL, extras=extras).resolve_key)

    yield raised(Provider("groq", URL, api_key_env="GROQ_API_KEY").resolve_key)
    yield raised(Provider("groq", URL, api_key="gsk_\u00e9").resolve_key)
    yield key(api_key_cmd=["no-such-command"])
    yield key(api_key_cmd="echo the store is locked >&2; exit 1")
    yield key(api_key_cmd="true")
    yield key(api_key_file=str(folder / "groq"))
    yield key(api_key_file=str(open_file))
    yield key(api_key_file=str(empty))
    with mock.patch.dict(sys.modules, {"keyring": None}):
        yield key(api_key_keyring=True)
    nothing = SimpleNamespace(get_password=lambda service, name: None)
    with mock.patch.dict(sys.modules, {"keyring": nothing}):
        yield key(api_key_keyring=True)
    header = Provider("groq", URL, extras={"extra_headers": {"X-Key": "$MY_KEY"}})
    yield raised(header.headers)


def models() -> Iterator[AdapterError]:
    """Yield the errors of models that cannot be found."""
    config = Config(providers=(Provider("groq", URL),))
    with mock.patch.object(embedded, "is_available", return_value=False):
        yield raised(lambda: resolve(None, config))
    for model in ("groq", "groq/", "local", "local/llama3.2"):
        yield raised(partial(resolve, model, config))
    with mock.patch.object(embedded, "_packaged_model", return_value=None):
        yield raised(embedded.model_path)
    with mock.patch.object(embedded, "_has_llama", return_value=False):
        yield raised(embedded.start_server)
    yield raised(lambda: embedded.model_path({embedded.MODEL_VARIABLE: "/home/me/none.gguf"}))
    yield raised(lambda: config.provider("grok"))


def environment(folder: Path) -> Iterator[AdapterError]:
    """Yield the errors that the environment's variables cause, of a server's list of models."""

    def listing(base_url: str, **variables: str) -> AdapterError:
        with mock.patch.dict(os.environ, variables):
            return raised(lambda: models_of(Provider("p", base_url, api_key="k")))

    https, http = "https://llm.example.org/v1", "http://llm.example.org/v1"
    yield listing(https, SSL_CERT_FILE=str(folder / "none.pem"))
    yield listing(http, HTTP_PROXY="http://127.0.0.1:1")
    yield listing(http, HTTP_PROXY="gopher://127.0.0.1:1")


def gateways() -> Iterator[AdapterError]:
    """Yield the errors of a gateway's start."""
    with mock.patch.object(gateway_settings, "find_spec", return_value=None):
        yield raised(gateway_settings.check_installed)
    yield raised(lambda: gateway_settings.master_key(Config(), "0.0.0.0"))
    with mock.patch.dict(os.environ, {"LITELLM_MASTER_KEY": "sk-1234"}):
        yield raised(lambda: gateway_settings.master_key(Config(), "127.0.0.1"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = raised(lambda: gateway._listen("127.0.0.1", port))
        yield type(error)(str(error).replace(str(port), "4000"))


def typed() -> Iterator[tuple[str, int, str]]:
    """Yield command lines that are refused, their exit code and what they say last."""
    for line in REFUSED:
        said = io.StringIO()
        nothing = io.TextIOWrapper(io.BytesIO())
        with mock.patch.multiple(sys, stdin=nothing, stderr=said):
            exit_code = run(shlex.split(line)[1:])
        words = said.getvalue().partition("Error: ")[2].replace("\n    fix:", "; fix:")
        yield line, exit_code, words

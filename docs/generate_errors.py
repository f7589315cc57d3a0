"""Write docs/errors.md: exit codes and errors with their fix, each made to happen here.

Usage: python docs/generate_errors.py. A test compares the page with what this makes, and checks
that nothing that ``adapter config check`` can say is left out.
"""

from __future__ import annotations

import inspect
import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest import mock

from adapter import embedded, errors, failures, gateway, gateway_setup
from adapter.config import Config, load_config
from adapter.errors import EXIT_CODES, AdapterError, ConfigError, Problem
from adapter.facts import Facts
from adapter.keys import ResolvedKey, Secret
from adapter.plugin_checks import OUR_TABLES
from adapter.providers import Provider
from adapter.resolution import resolve
from adapter.translation import Target

PAGE = Path(__file__).with_name("errors.md")

SHOWN = "/home/me/.config/gptme"
"""What stands for the folder in which the errors are made to happen."""

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
        TABLE + OURS + 'extra_headers = "X-Key"\n',
        TABLE + OURS + "extra_headers = { X-Key = 1 }\n",
        TABLE + OURS + 'extra_headers = { X-Key = "${MY_KEY}" }\n',
        TABLE + OURS + 'extra_headers = { X-Key = "Token ${MY_KEY}" }\n',
    ),
    "Other tables": (
        "env = 1\n",
        "[env]\nKEYS = []\n",
        'models = "groq"\n',
        "[models]\ndefault = 1\n",
        "plugin = 1\n",
        "[plugin]\nlitellm = 1\n",
        *(f"[plugin.litellm]\n{name} = 1\n" for name in OUR_TABLES),
    ),
}
"""Configurations with something wrong, by the heading under which that is told."""


def code(text: str) -> str:
    """Return ``text`` as code in a cell of a table."""
    text = " ".join(text.split()).replace("|", "\\|")
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), ["---"] * len(list(head)), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def problems(content: str | bytes, folder: Path) -> Iterator[Problem]:
    """Yield what is said about a file; one with ``api_key`` can be read by others."""
    path = folder / "gptme.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(0o644)
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


def configuration(folder: Path) -> str:
    """Return the tables of all that can be wrong in the files."""
    parts = []
    for heading, contents in BROKEN.items():
        found = list(unreadable(folder)) if heading == "A file" else []
        found += [problem for content in contents for problem in problems(content, folder)]
        rows = {code(("warning: " if p.warning else "") + p.message): code(p.fix) for p in found}
        parts.append(f"### {heading}\n\n" + table(("said", "fix"), rows.items()))
    return "\n\n".join(parts)


def exceptions() -> str:
    """Return the table of our exceptions."""
    classes = [getattr(errors, name) for name in errors.__all__]
    ours = [c for c in classes if inspect.isclass(c) and issubclass(c, AdapterError)]
    return table(
        ("exception", "exit code", ""),
        [
            (
                f"[`{c.__name__}`](api.md#adapter.{c.__name__})",
                str(c.exit_code),
                str(inspect.getdoc(c)).partition("\n")[0].replace("``", "`"),
            )
            for c in sorted(ours, key=lambda c: (c.exit_code != 1, c.exit_code))
        ],
    )


def calls() -> str:
    """Return the table of failed calls."""
    found = ResolvedKey(Secret("k"), "$GROQ_API_KEY", "GROQ_API_KEY")
    absent = ResolvedKey(Secret("k"), "$GROQ_API_KEY (default)", "GROQ_API_KEY", found=False)
    target = Target("groq", URL, "openai/gpt-oss-120b", found, {})
    keyless = Target("groq", URL, "openai/gpt-oss-120b", absent, {})
    cases = [(target, Facts((), status, True, "...")) for status in (400, 401, 403)]
    cases += [(keyless, Facts((), 401, True, "..."))]
    cases += [(target, Facts((), status, True, "...")) for status in (404, 408, 429, 500)]
    kinds = {**failures._CANNOT_CONNECT, **failures._BROKEN}
    one_each = {words: kind for kind, words in reversed(kinds.items())}
    cases += [(target, Facts((kind,), None, False, "")) for kind in reversed(one_each.values())]
    rows = []
    for where, facts in cases:
        said = failures.explain_facts(facts, where, "groq")
        what = code(said.what.removeprefix(failures.where(where)).lstrip(": "))
        what += " to a call without a key" if where is keyless else ""
        rows.append((str(said.exit_code), what, code(said.fix) if said.fix else ""))
    return table(("exit code", "said", "fix"), rows)


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
        yield raised(embedded.start)
    yield raised(lambda: embedded.model_path({embedded.VARIABLE: "/home/me/none.gguf"}))
    yield raised(lambda: config.provider("grok"))


def gateways() -> Iterator[AdapterError]:
    """Yield the errors of a gateway's start."""
    with mock.patch.object(gateway_setup, "find_spec", return_value=None):
        yield raised(gateway_setup.check_installed)
    yield raised(lambda: gateway_setup.master_key(Config(), "0.0.0.0"))
    with mock.patch.dict(os.environ, {"LITELLM_MASTER_KEY": "sk-1234"}):
        yield raised(lambda: gateway_setup.master_key(Config(), "127.0.0.1"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = raised(lambda: gateway._listen("127.0.0.1", port))
        yield type(error)(str(error).replace(str(port), "4000"))


def listed(found: Iterable[AdapterError]) -> str:
    return table(("exit code", "said"), [(str(e.exit_code), code(str(e))) for e in found])


TEXT = """\
# Exit codes and errors

<!-- Made by `python docs/generate_errors.py`. -->

Every message names what happened, where, and what to do. None shows a key. `adapter config check`
says all that is wrong in the files at once, `adapter providers test NAME` tries a provider step by
step.

## Exit codes

{exit_codes}

Of several commands, 1 says something of its own: `config import` left something out, `config export
--discover` did not get a server's list of models, `serve --status` found no gateway, `models` or
`providers test` had several providers that fail in different ways.

## In Python

{exceptions}

What a server answers, and what goes wrong on the way there, arrives as LiteLLM's own exception,
with a note (PEP 678) that names the provider, its base URL and where its key came from.

## A call that failed

The command begins with the provider, its base URL and where its key came from, as in
`provider 'groq' (https://api.groq.com/openai/v1, key $GROQ_API_KEY) answered 401: ...`, where
`...` is what the server said, with keys taken out. Then:

{calls}

An answer without text, or against `--schema`, is 7. A model that neither a provider nor LiteLLM
knows is 4:

```console
$ adapter -m grok/openai/gpt-oss-120b "Explain quantum computing"
Error: unknown model 'grok/openai/gpt-oss-120b': no provider of that name, and LiteLLM knows \
none (did you mean 'groq'?)
  `adapter providers list` shows the configured ones; use PROVIDER/MODEL
```

## Keys

{keys}

## Models

{models}

## The gateway

{gateways}

## The configuration

What `adapter config check` prints, and every command that reads the files, with the file and line
before it. A warning stops nothing.

{configuration}
"""


def text() -> str:
    """Return the whole page."""
    with TemporaryDirectory() as name, mock.patch.dict(os.environ, clear=True):
        os.environ.update({"HOME": name, "PATH": os.defpath, "XDG_RUNTIME_DIR": name})
        folder = Path(name)
        made = TEXT.format(
            exit_codes=table(("code", "meaning"), [(str(c), m) for c, m in EXIT_CODES.items()]),
            exceptions=exceptions(),
            calls=calls(),
            keys=listed(keys(folder)),
            models=listed(models()),
            gateways=listed(gateways()),
            configuration=configuration(folder),
        )
    return made.replace(name, SHOWN)


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")

"""Write docs/errors.md: exit codes and errors with their fix, each made to happen here.

Usage: python docs/generate_errors.py. A test compares the page with what this makes, and checks
that nothing that ``adapter config check`` can say is left out.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from error_cases import (
    BROKEN,
    URL,
    environment,
    gateways,
    keys,
    models,
    problems,
    provider,
    typed,
    unreadable,
)

from adapter import errors
from adapter.call import failures
from adapter.call.translation import Target
from adapter.config import loading
from adapter.errors import AdapterError, ExitCode
from adapter.keys.precedence import ResolvedKey
from adapter.secrets.secret import Secret
from adapter.upstream import exceptions as upstream_exceptions
from adapter.upstream.exceptions import ErrorDetails

PAGE = Path(__file__).with_name("errors.md")

SHOWN = "/home/me"
"""What stands for the home folder in which the errors are made to happen."""


def code(text: str) -> str:
    """Return ``text`` as code in a cell of a table."""
    text = " ".join(text.split()).replace("|", "\\|")
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), ["---"] * len(list(head)), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def configuration(folder: Path) -> str:
    """Return the tables of all that can be wrong in the files."""
    parts = []
    for heading, contents in BROKEN.items():
        found = list(unreadable(folder)) if heading == "A file" else []
        found += [problem for content in contents for problem in problems(content, folder)]
        rows = {code(("warning: " if p.warning else "") + p.message): code(p.fix) for p in found}
        parts.append(f"### {heading}\n\n" + table(("message", "fix"), rows.items()))
    return "\n\n".join(parts)


def exceptions() -> str:
    """Return the table of our exceptions."""
    classes = [getattr(errors, name) for name in errors.__all__]
    ours = [c for c in classes if inspect.isclass(c) and issubclass(c, AdapterError)]
    return table(
        ("exception", "exit code", "when"),
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
    cases = [(target, ErrorDetails("", status, True, "...")) for status in (400, 401, 403)]
    cases += [(keyless, ErrorDetails("", 401, True, "..."))]
    cases += [(target, ErrorDetails("", status, True, "...")) for status in (404, 408, 429, 500)]
    failed = ErrorDetails("", None, False, "")
    cases += [(target, failed._replace(unreachable=why)) for why in upstream_exceptions.UNREACHABLE]
    cases += [(target, failed._replace(broken=why)) for why in upstream_exceptions.BROKEN]
    rows = []
    for where, details in cases:
        said = failures.explain_details(details, where, "groq")
        what = code(said.what.removeprefix(failures.where(where)).lstrip(": "))
        what += " to a call without a key" if where is keyless else ""
        rows.append((str(said.exit_code), what, code(said.fix) if said.fix else ""))
    return table(("exit code", "message", "fix"), rows)


def listed(found: Iterable[AdapterError]) -> str:
    return table(
        ("exit code", "message"),
        [(str(e.exit_code), code(str(e).replace("\n", ";\n"))) for e in found],
    )


TEXT = """\
# Exit codes and errors

<!-- Made by `python docs/generate_errors.py`. -->

Every message says what happened, where, and what to do. No message shows a key. `adapter config
check` reports everything that is wrong in the files at once. `adapter providers test NAME` tries a
provider step by step.

## Exit codes

{exit_codes}

The path in code 4 is the path of a URL. Code 7 also stands for any failure after part of the answer
was printed. Code 1 has a special meaning in these commands:

- `config import` left something out.
- `config export --discover` did not get a server's list of models.
- `serve --status` found no gateway.
- `models` or `providers test` had several providers that fail in different ways.

## In Python

{exceptions}

A server's error, or a failure on the way there, raises LiteLLM's own exception. Its note (PEP 678)
names the provider, its base URL and where its key came from.

## A call that failed

The message begins with the provider, its base URL and where its key came from:
`provider 'groq' (https://api.groq.com/openai/v1, key $GROQ_API_KEY) answered 401: ...`. The `...`
is what the server said, with keys removed. The table shows how the message goes on:

{calls}

An answer without text, or one that does not match `--schema`, gives exit code 7. After part of an
answer was printed, each of these failures gives 7, and its message ends with
`the answer above is not complete`. A model that neither a provider nor LiteLLM knows gives 4:

```console
$ adapter -m grok/openai/gpt-oss-120b "Explain quantum computing"
Error: unknown model 'grok/openai/gpt-oss-120b': no provider of that name, and LiteLLM knows \
none (did you mean 'groq'?)
  `adapter providers list` shows the configured ones, `adapter providers add` adds one
```

## The command line

The command refuses these before it sends anything. In the examples, `groq` is configured and stdin
is empty.

{typed}

## Keys

{keys}

## Models

{models}

## Proxies and certificates

{environment}

## The gateway

{gateways}

## The configuration

`adapter config check`, and every command that reads the files, prints these messages with the file
and line before them. A warning does not stop a command.

{configuration}
"""


def text() -> str:
    """Return the whole page."""
    with (
        TemporaryDirectory() as name,
        mock.patch.dict(os.environ, clear=True),
        mock.patch.object(loading, "LOOK_SECONDS", 0),  # each file is read as soon as it is written
    ):
        os.environ.update({"HOME": name, "PATH": os.defpath, "XDG_RUNTIME_DIR": name})
        folder = Path(name) / ".config" / "gptme"
        folder.mkdir(parents=True)
        (folder / "gptme.toml").write_text(provider(api_key_env="GROQ_API_KEY"), encoding="utf-8")
        rows = [(code(line), str(exit_code), code(said)) for line, exit_code, said in typed()]
        made = TEXT.format(
            exit_codes=table(("code", "meaning"), [(str(c), c.meaning) for c in ExitCode]),
            exceptions=exceptions(),
            calls=calls(),
            typed=table(("command", "exit code", "message"), rows),
            keys=listed(keys(folder)),
            models=listed(models()),
            environment=listed(environment(folder)),
            gateways=listed(gateways()),
            configuration=configuration(folder),
        )
    return made.replace(name, SHOWN)


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")

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
    return table(("exit code", "said", "fix"), rows)


def listed(found: Iterable[AdapterError]) -> str:
    return table(
        ("exit code", "said"),
        [(str(e.exit_code), code(str(e).replace("\n", ";\n"))) for e in found],
    )


TEXT = """\
# Exit codes and errors

<!-- Made by `python docs/generate_errors.py`. -->

Every message names what happened, where, and what to do. None shows a key. `adapter config check`
says all that is wrong in the files at once, `adapter providers test NAME` tries a provider step by
step.

## Exit codes

{exit_codes}

In 4 the path is that of a URL. 7 is also any failure after part of the answer was printed.

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

An answer without text, or against `--schema`, is 7. After part of an answer was printed, each of
these is 7 and ends with `the answer above is not complete`. A model that neither a provider nor
LiteLLM knows is 4:

```console
$ adapter -m grok/openai/gpt-oss-120b "Explain quantum computing"
Error: unknown model 'grok/openai/gpt-oss-120b': no provider of that name, and LiteLLM knows \
none (did you mean 'groq'?)
  `adapter providers list` shows the configured ones, `adapter providers add` adds one
```

## The command line

Usage, and what else is refused before anything is sent. Here `groq` is configured, and stdin is
empty.

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

What `adapter config check` prints, and every command that reads the files, with the file and line
before it. A warning stops nothing.

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
            typed=table(("typed", "exit code", "said"), rows),
            keys=listed(keys(folder)),
            models=listed(models()),
            environment=listed(environment(folder)),
            gateways=listed(gateways()),
            configuration=configuration(folder),
        )
    return made.replace(name, SHOWN)


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")

"""Write docs/howto/: a page for each file of config_examples/, made from the file itself.

Usage: python docs/generate_howto.py. A test compares the pages with what this makes.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from example_files import Example, blocks, read

from adapter import MissingKeyError, Provider
from adapter.call.failures import Failure, explain_details
from adapter.call.translation import Target, api_base
from adapter.config.presets import PRESETS
from adapter.config.provider import is_private_host
from adapter.upstream.exceptions import ErrorDetails

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).with_name("howto")

MARK = "<!-- Made by `python docs/generate_howto.py` from config_examples/{file}. -->"

SECTIONS = {
    "Start": ("Start it", ""),
    "Key": ("The key", "Create it at "),
    "Model": ("Its models", "See the list at "),
}
"""Field of a header -> the section's heading, and what comes before an address alone."""

STEPS = """\
This tries the provider step by step, from the key to a completion of one token. It says what to do
about the first step that fails. The usual errors:"""

INDEX = """\
# How-to

{mark}

There is a page for each service and server with a file in `config_examples/`. It says where the key
comes from, how to configure and start the provider, how to send a query, and what the errors mean.

{table}

A local server needs no key. Its variable is for a server that was started with a key. `adapter
providers discover` looks for servers on this machine. Add any other OpenAI-compatible server by its
base URL:

```bash
adapter providers add my-server --base-url http://localhost:9000/v1
```

`adapter providers add NAME` knows the base URL and the key's variable of these names:
{names}.
"""

REFUSED = ErrorDetails("", None, False, "", unreachable="the connection was refused")


class Note(NamedTuple):
    """An error of one service: its status, what the server says, what to do about it."""

    status: int
    said: str
    fix: str


NOTES: Mapping[str, Note] = {
    "azure-gpt4": Note(
        404,
        "`DeploymentNotFound`: no deployment has that name",
        "`default_model` is the name of a deployment, not that of a model",
    ),
    "deepseek": Note(
        402,
        "`Insufficient Balance`",
        "add funds (<https://api-docs.deepseek.com/quick_start/error_codes>)",
    ),
    "groq": Note(
        400,
        "`model_decommissioned`: the model is retired",
        "take its replacement from <https://console.groq.com/docs/deprecations>",
    ),
    "litellm-proxy": Note(
        400,
        "`Invalid model name passed in model=...`",
        "name a `model_name` of the proxy's `config.yaml`",
    ),
    "llamacpp": Note(503, "`Loading model`", "wait until the server has read the model's file"),
    "ollama": Note(404, "the model is not found", "`ollama pull MODEL`, as `ollama list` shows it"),
    "openrouter": Note(
        402, "the account has no credits", "add some, or use a model whose id ends in `:free`"
    ),
    "vllm-local": Note(
        400,
        "the model has no chat template",
        "serve an instruction-tuned model, or start vLLM with `--chat-template`",
    ),
}
"""Provider -> an error that is its own, as its documentation describes it."""

SEE_ALSO: Mapping[str, str] = {
    "litellm-proxy": "You can also send a query to a proxy that you have not configured, with "
    "[`--gateway URL`](../sharing.md#any-litellm-proxy).",
}
"""Provider -> what stands after its queries."""


def adding(provider: Provider) -> str:
    """Return the command that writes the provider's table."""
    words = ["adapter", "providers", "add", provider.name]
    if provider.name not in PRESETS:
        words += ["--base-url", provider.base_url]
        words += ["--api-key-env", provider.api_key_env] if provider.api_key_env else []
    words += ["--default-model", str(provider.default_model)]
    return shlex.join(words)


def shorter(provider: Provider) -> str:
    """Return the sentence about a known name for the same server, where there is one."""
    same = [k.name for k in PRESETS.values() if k.base_url == provider.base_url]
    if provider.name in same or not same:
        return ""
    return f" `adapter providers add {same[0]}` does the same with a shorter name."


def explained(provider: Provider, details: ErrorDetails, key: str | None = "k") -> Failure:
    """Return what the command says about a failed call, made with that key or without one."""
    variable = provider.key_source.removeprefix("$").removesuffix(" (default)")
    target = Target(
        provider.name,
        provider.base_url,
        str(provider.default_model),
        provider.resolve_key({variable: key} if key else {}),
        {"api_base": api_base(provider.base_url)},
    )
    return explain_details(details, target, provider.name)


def answered(provider: Provider, status: int, key: str | None = "k") -> Failure:
    return explained(provider, ErrorDetails("", status, True, ""), key)


def failures(provider: Provider) -> Iterator[str]:
    """Yield the usual errors, with the command's own words and exit codes."""

    def line(code: int, what: str, fix: str) -> str:
        return f"- {what} (exit code {code}): {fix}."

    note = NOTES.get(provider.name)
    try:
        provider.resolve_key({})
    except MissingKeyError as error:
        what, _, fix = str(error).partition(": ")
        yield line(error.exit_code, f"`{what}`", f"`{fix.partition(' (or')[0]}`")
    if is_private_host(urlsplit(provider.base_url).hostname or ""):
        said = explained(provider, REFUSED)
        what = said.what.rpartition(": ")[2]
        yield line(said.exit_code, f"`{what}`", "start the server, on the port of `base_url`")
    said = answered(provider, 401, "k" if provider.api_key_env else None)
    yield line(
        said.exit_code,
        "`answered 401`",
        re.sub(r"(export )?\$?[A-Z_]+_KEY\S*", r"`\g<0>`", said.fix),
    )
    if note is None or note.status != 404:
        fix = f"`adapter models {provider.name}` lists the models that the server has"
        yield line(answered(provider, 404).exit_code, "`answered 404`", fix)
    if note:
        code = answered(provider, note.status).exit_code
        yield line(code, f"`answered {note.status}`, {note.said}", note.fix)


def program(model: str, question: str) -> str:
    """Return the same question in Python."""
    return (
        "```python\nfrom adapter import completion\n\n"
        f'messages = [{{"role": "user", "content": "{question}"}}]\n'
        f'reply = completion(model="{model}", messages=messages)\n'
        "print(reply.choices[0].message.content)\n```"
    )


def page(example: Example) -> str:
    """Return the how-to of one example."""
    bases = {provider.base_url for provider in example.providers}
    parts = [f"# {example.title}", MARK.format(file=example.file), example.what]
    for field, (heading, before) in SECTIONS.items():
        if lines := example.fields.get(field):
            text = list(blocks(lines, bases))
            text[0] = before + text[0] if text[0].startswith("<") else text[0]
            parts += [f"## {heading}", *text]
    tries = [
        line.replace(f" --config config_examples/{example.file}", "")
        for line in example.fields["Try it"]
    ]
    question = tries[0].split('"')[1]
    configured = f"```toml\n{example.toml}\n```"
    if len(example.providers) > 1:
        parts += ["## Configure it", "In `~/.config/gptme/gptme.toml`:", configured]
        parts += ["## Ask it something", code(*tries), program("groq", question)]
        return "\n\n".join(parts) + "\n"
    (provider,) = example.providers
    name = provider.name
    parts += ["## Configure it", "The base URL: " + next(blocks(example.fields["Base URL"], bases))]
    written = f"This writes the provider to gptme's configuration.{shorter(provider)} By hand:"
    parts += [code(adding(provider)), written]
    parts += [configured, "## Ask it something"]
    parts += [code(tries[0], tries[0].replace(name, f"{name}/{provider.default_model}", 1))]
    parts += [program(name, question), *filter(None, [SEE_ALSO.get(name)])]
    parts += ["## When it does not work"]
    parts += [code(f"adapter providers test {name}"), STEPS, "\n".join(failures(provider))]
    parts += ["[All exit codes and errors](../errors.md)"]
    return "\n\n".join(parts) + "\n"


def code(*lines: str) -> str:
    return "```bash\n" + "\n".join(lines) + "\n```"


def index(examples: list[Example]) -> str:
    """Return the page that lists the others."""
    rows = [
        f"| [{e.title}]({e.page}) | {e.what.rstrip('.')} | "
        + ", ".join(f"`{p.key_source.removesuffix(' (default)')}`" for p in e.providers)
        + " |"
        for e in examples
    ]
    table = "| | what it is | key |\n| --- | --- | --- |\n" + "\n".join(rows)
    names = ", ".join(f"`{name}`" for name in PRESETS)
    return INDEX.format(mark=MARK.format(file="*"), table=table, names=names)


def pages() -> dict[str, str]:
    """Return the name of each page and its text."""
    examples = [read(path) for path in sorted((ROOT / "config_examples").glob("*.toml"))]
    examples.sort(key=lambda e: (len(e.providers) > 1, e.title.lower()))
    return {"index.md": index(examples), **{e.page: page(e) for e in examples}}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")

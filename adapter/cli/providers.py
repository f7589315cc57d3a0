"""``adapter providers``: what is configured, and whether it works, all providers at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar

import click

from adapter._text import one_line, printable
from adapter.cli.options import LazyGroup, config_option, load, providers_word
from adapter.cli.output import fit, json_text
from adapter.config.loading import Config
from adapter.config.provider import Provider

if TYPE_CHECKING:
    from adapter.providers.checkup import Step

__all__ = ["providers"]

EMPTY = """\
📭 No custom providers configured

Add one: adapter providers add groq   (--help names those that are known)
Or look for servers on this machine: adapter providers discover
Or write it to {path}:

[[providers]]
name = "my-provider"
base_url = "http://localhost:8000/v1"
api_key_env = "MY_PROVIDER_API_KEY"
default_model = "my-model"
"""


class ProvidersGroup(LazyGroup):
    """What takes longer to import is elsewhere, or imported where it is used."""

    lazy: ClassVar = {
        "add": ("adapter.cli.registration", "add_provider"),
        "discover": ("adapter.cli.registration", "discover_servers"),
        "remove": ("adapter.cli.registration", "remove_provider"),
    }


@click.group(cls=ProvidersGroup)
def providers() -> None:
    """Show, add, remove, find and test providers."""


@providers.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, without keys.")
def list_providers(as_json: bool) -> None:
    """List the configured providers, in the order of the files."""
    config = load()
    if as_json:
        click.echo(json_text([_row(p, _aliases(config)) for p in config.providers]))
    else:
        click.echo(_listing(config), nl=False)


def _listing(config: Config) -> str:
    """Return the listing of gptme's specification, spacing and emoji included."""
    if not config.providers:
        from adapter.config.files import shared_file

        return EMPTY.format(path=printable(str(shared_file())))
    blocks = [f"🔌 Found {len(config.providers)} custom provider(s):"]
    aliases = _aliases(config)
    for provider in config.providers:
        lines = [
            f"📡 {provider.name}",
            f"   Base URL: {provider.base_url}",
            f"   API Key: {provider.key_source}",
        ]
        if provider.default_model:
            lines.append(f"   Default Model: {provider.default_model}")
        if names := aliases.get(provider.name):
            lines.append(f"   Aliases: {', '.join(names)}")
        blocks.append("\n".join(map(one_line, lines)))
    return "\n\n".join(blocks) + "\n"


def _aliases(config: Config) -> dict[str, dict[str, str]]:
    """Return for each provider's name the aliases of its models, with what each stands for."""
    from adapter.call.resolution import aliases

    owners: dict[str, dict[str, str]] = {}
    for alias, model in aliases(config).items():
        owner = model if config.find(model) else model.partition("/")[0]
        owners.setdefault(owner, {})[alias] = model
    return owners


def _row(provider: Provider, aliases: Mapping[str, Mapping[str, str]]) -> dict[str, object]:
    return {
        "name": provider.name,
        "base_url": provider.base_url,
        "api_key_source": provider.key_source,
        "default_model": provider.default_model,
        "aliases": dict(aliases.get(provider.name, {})),
        "files": list(provider.origin),
    }


@providers.command("show", short_help="Show everything about one provider.")
@click.argument("name", shell_complete=providers_word)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, without keys.")
@config_option
def show_provider(name: str, as_json: bool) -> None:
    """Show one provider: its fields, where its key comes from, and LiteLLM's parameters."""
    config = load()
    provider = config.provider(name)
    details = _details(provider, config)
    params = _masked_params(provider)
    warnings = _warnings(provider, config)
    if as_json:
        click.echo(json_text({**details, "litellm": params, "warnings": warnings}))
        return
    lines = [f"📡 {provider.name}"]
    for label, value in details.items():
        if label != "name" and value not in (None, []):
            shown = ", ".join(value) if isinstance(value, list) else value
            lines.append(
                f"   {label.replace('_', ' ').capitalize().replace('url', 'URL')}: {shown}"
            )
    lines += ["   LiteLLM:", *(f"     {k}: {v}" for k, v in params.items())]
    lines += [f"   Warning: {warning}" for warning in warnings]
    click.echo("\n".join(map(one_line, lines)))


def _details(provider: Provider, config: Config) -> dict[str, object]:
    from adapter.config.files import files_with
    from adapter.errors import MissingKeyError
    from adapter.secrets.secret import MASK

    try:
        found = provider.resolve_key().found
        state = "set" if found else "not set, so a placeholder is sent"
    except MissingKeyError as error:
        state = f"missing: {error}"
    return {
        "name": provider.name,
        "base_url": provider.base_url,
        "api_key": MASK if provider.api_key else None,
        "api_key_env": provider.api_key_env,
        "default_model": provider.default_model,
        "key_source": provider.key_source,
        "key": state,
        "files": files_with(provider.name, config.files),
    }


def _masked_params(provider: Provider) -> dict[str, Any]:
    """Return LiteLLM's parameters to print; of headers only references to variables are shown."""
    from adapter.call.translation import params_for
    from adapter.secrets.policy import mask_secrets
    from adapter.secrets.references import variable_of
    from adapter.secrets.secret import MASK

    params = mask_secrets(params_for(provider, provider.default_model or "MODEL", MASK, {}))
    for field in {"headers", "extra_headers"} & params.keys():
        headers = provider.extras[field]
        params[field] = (
            {name: value if variable_of(value) else MASK for name, value in headers.items()}
            if isinstance(headers, Mapping)
            else MASK
        )
    return params


def _warnings(provider: Provider, config: Config) -> list[str]:
    from adapter.secrets.references import variable_of
    from adapter.upstream.prefixes import NOT_EXPRESSIBLE, OPENAI_COMPATIBLE

    name = provider.name
    warnings = [p.message for p in config.warnings if p.provider == name]
    if name in OPENAI_COMPATIBLE or name in NOT_EXPRESSIBLE:
        warnings.append(f"shadows LiteLLM's built-in {name}: {name}/... goes here")
    if name in ("local", "embedded"):
        warnings.append(f"takes the place of the built-in {name}")
    for header, value in provider.extra_headers.items():
        variable = variable_of(value)
        if variable and config.getenv(variable) is None:
            warnings.append(
                f"the header {header} takes its value from ${variable}, which is not set: "
                "calls fail (exit code 3)"
            )
    if not provider.default_model:
        warnings.append(f"has no default_model: name one, as in {name}/MODEL")
    return warnings


MARKS = {"ok": "✔", "failed": "✘", "skipped": "–", "warning": "!", "passed": "✅", "broken": "❌"}  # noqa: RUF001 - a dash, as meant
ASCII_MARKS = dict(zip(MARKS, ("+", "x", "-", "!", "PASS", "FAIL"), strict=True))


@providers.command("test")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=providers_word)
@click.option("--all", "every", is_flag=True, help="Test all configured providers.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
@click.pass_context
def test_providers(ctx: click.Context, names: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Test providers, step by step, up to the first step that fails.

    The steps: key, name resolution, connection, TLS, authentication, the list of models, the
    default model in it, a completion of one token. A default model that is not in the list is a
    warning when it answers all the same. The exit code is that of the failing step, or 1 when
    several providers fail in different ways.
    """
    from adapter.providers.checkup import exit_code

    config = load()
    if names and every:
        raise click.UsageError("name a provider, or use --all")
    tested = [config.provider(n) for n in dict.fromkeys(names)] if names else [*config.providers]
    if not tested:
        raise click.UsageError("no provider is configured: adapter providers add groq")
    if len(tested) > 1 and not names and not every:
        listed = ", ".join(p.name for p in tested)
        raise click.UsageError(f"name one of these, or use --all: {listed}")
    live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not as_json
    results = _run_tests(tested, live)
    if as_json:
        click.echo(json_text([_test_row(p, results[p.name]) for p in tested]))
    elif not live:
        click.echo("\n\n".join(_report(p, results[p.name]) for p in tested))
    else:
        for p in tested:
            if {"failed", "warning"} & {s.status for s in results[p.name]}:
                click.echo(f"\n{_report(p, results[p.name])}")
    ctx.exit(exit_code([steps[-1].exit_code for steps in results.values()]))


def _run_tests(tested: list[Provider], live: bool) -> dict[str, list[Step]]:
    from adapter.providers.checkup import check
    from adapter.providers.parallel import map_concurrently
    from adapter.upstream.loading import load_for_command

    table = _Table(tested, live)

    def run_one(provider: Provider) -> None:
        begin = partial(table.note, provider.name)
        for step in check(provider, on_start=begin, load=load_for_command):
            table.note(provider.name, step)

    try:
        map_concurrently(run_one, tested)
    finally:
        table.close()
    return table.steps


class _Table:
    """The steps of each provider, and if ``live`` a line for each, drawn anew in place.

    A line is never wider than the terminal, and there are never more than it has rows: the cursor
    can go back up to neither.
    """

    def __init__(self, tested: list[Provider], live: bool) -> None:
        self.steps: dict[str, list[Step]] = {p.name: [] for p in tested}
        self._running: dict[str, str] = {}
        self._lock = Lock()
        self._lines = 0
        self._live = live

    def note(self, name: str, step: Step | str) -> None:
        """Take a provider's step that is done, or the name of one that begins."""
        with self._lock:
            if isinstance(step, str):
                self._running[name] = step
            else:
                self.steps[name].append(step)
            if self._live:
                self._draw()

    def close(self) -> None:
        """Draw no more: what is left when the command is interrupted goes on without being seen."""
        with self._lock:
            self._live = False

    def _draw(self) -> None:
        from shutil import get_terminal_size

        size = get_terminal_size()
        rows = [self._row(name, steps) for name, steps in self.steps.items()]
        room = max(size.lines - 1, 1)
        if len(rows) > room:  # what is not done yet first, and a line that counts the rest
            rows.sort(key=lambda row: row[0])
        lines = [line for _, line in rows[: room if len(rows) <= room else room - 1]]
        lines += [f"and {len(rows) - len(lines)} more"] if len(lines) < len(rows) else []
        up = f"\x1b[{self._lines}A" if self._lines else ""
        body = "".join(f"\x1b[2K{fit(printable(line), size.columns - 1)}\n" for line in lines)
        sys.stdout.write(up + body)  # in one piece, so that nothing flickers
        sys.stdout.flush()
        self._lines = len(lines)

    def _row(self, name: str, steps: list[Step]) -> tuple[bool, str]:
        """Return whether a provider is done, and its line: marks, name, step, time so far."""
        from adapter.providers.checkup import STEPS

        done = len(steps) == len(STEPS) or bool(steps and steps[-1].status == "failed")
        step = steps[-1].step if done else f"{self._running.get(name, '')} ..."
        marks = "".join(_marks()[s.status] for s in steps)
        seconds = sum(s.seconds for s in steps)
        return done, f"{marks:{len(STEPS)}} {name}  {step} ({seconds:.2f} s)"


def _marks() -> dict[str, str]:
    """Return the marks that stdout can show: of others, good and bad would look the same."""
    try:
        "".join(MARKS.values()).encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return ASCII_MARKS
    return MARKS


def _report(provider: Provider, steps: list[Step]) -> str:
    marks = _marks()
    head = marks["broken" if steps[-1].status == "failed" else "passed"]
    lines = [f"{head} {provider.name} ({provider.base_url})"]
    for s in steps:
        lines.append(f"   {marks[s.status]} {s.step:15} {s.seconds:7.3f} s  {s.message}")
        lines += [f"     fix: {s.fix}"] if s.fix else []
    return "\n".join(map(printable, lines))


def _test_row(provider: Provider, steps: list[Step]) -> dict[str, object]:
    fields = ("step", "status", "seconds", "message", "fix")
    return {
        "provider": provider.name,
        "ok": steps[-1].status != "failed",
        "exit_code": steps[-1].exit_code,
        "steps": [{field: getattr(step, field) for field in fields} for step in steps],
    }

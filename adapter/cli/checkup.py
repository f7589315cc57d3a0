"""``adapter providers test``: each step of each provider, all providers at once."""

from __future__ import annotations

import os
import shutil
import sys
from functools import partial
from threading import Lock

import click

from adapter._text import printable
from adapter.cli.options import config_option, load, providers_word
from adapter.cli.output import fit, json_text
from adapter.config.provider import Provider
from adapter.providers.checkup import STEPS, Step, check, exit_code
from adapter.providers.parallel import map_concurrently

__all__ = ["test_providers"]

MARKS = {"ok": "✔", "failed": "✘", "skipped": "–", "warning": "!", "passed": "✅", "broken": "❌"}  # noqa: RUF001 - a dash, as meant

ASCII_MARKS = {
    "ok": "+",
    "failed": "x",
    "skipped": "-",
    "warning": "!",
    "passed": "PASS",
    "broken": "FAIL",
}


@click.command("test")
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
    config = load()
    if names and every:
        raise click.UsageError("name providers, or give --all")
    providers = [config.provider(n) for n in dict.fromkeys(names)] if names else [*config.providers]
    if not providers:
        raise click.UsageError("no provider is configured: adapter providers add groq")
    if len(providers) > 1 and not names and not every:
        listed = ", ".join(p.name for p in providers)
        raise click.UsageError(f"name one, or give --all: {listed}")
    live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not as_json
    results = _run(providers, live)
    if as_json:
        click.echo(json_text([_row(p, results[p.name]) for p in providers]))
    elif not live:
        click.echo("\n\n".join(_report(p, results[p.name]) for p in providers))
    else:
        advised = [
            p for p in providers if {"failed", "warning"} & {s.status for s in results[p.name]}
        ]
        click.echo("".join(f"\n{_report(p, results[p.name])}\n" for p in advised), nl=False)
    ctx.exit(exit_code([steps[-1].exit_code for steps in results.values()]))


def _run(providers: list[Provider], live: bool) -> dict[str, list[Step]]:
    from adapter.upstream.loading import load_for_command

    table = _Table(providers, live)

    def run_one(provider: Provider) -> None:
        begin = partial(table.note, provider.name)
        for step in check(provider, on_start=begin, load=load_for_command):
            table.note(provider.name, step)

    try:
        map_concurrently(run_one, providers)
    finally:
        table.close()
    return table.steps


class _Table:
    """The steps of each provider, and if ``live`` a line for each, drawn anew in place.

    A line is never wider than the terminal, and there are never more than it has rows: the cursor
    can go back up to neither.
    """

    def __init__(self, providers: list[Provider], live: bool) -> None:
        self.steps: dict[str, list[Step]] = {p.name: [] for p in providers}
        self._running: dict[str, str] = {}
        self._lock = Lock()
        self._lines = 0
        self._live = live

    def note(self, name: str, step: Step | str) -> None:
        """Take a provider's step that is done, or the name of one that begins."""
        with self._lock:
            if isinstance(step, Step):
                self.steps[name].append(step)
            else:
                self._running[name] = step
            if self._live:
                self._draw()

    def close(self) -> None:
        """Draw no more: what is left when the command is interrupted goes on without being seen."""
        with self._lock:
            self._live = False

    def _draw(self) -> None:
        size = shutil.get_terminal_size()
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


def _row(provider: Provider, steps: list[Step]) -> dict[str, object]:
    fields = ("step", "status", "seconds", "message", "fix")
    return {
        "provider": provider.name,
        "ok": steps[-1].status != "failed",
        "exit_code": steps[-1].exit_code,
        "steps": [{field: getattr(step, field) for field in fields} for step in steps],
    }

"""``adapter.batch()`` and ``adapter.abatch()``: a file of requests, answered once each."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypedDict

from adapter.batches.calls import Calls
from adapter.batches.checking import check
from adapter.batches.engine import Engine, Limits, Transport
from adapter.batches.files import Files, errors_path
from adapter.batches.formats import Recipe, Source
from adapter.batches.pool import Pool
from adapter.batches.processes import Child
from adapter.batches.progress import BatchSummary, show_progress
from adapter.call.resolution import choose_model
from adapter.config.loading import load_config
from adapter.errors import ConfigError
from adapter.query.schemas import load_schema, response_format

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["BatchOptions", "Run", "abatch", "batch"]

LINES_PER_PROCESS = 100
"""At least, for one more process: it takes seconds to import LiteLLM."""

TIMEOUT_SECONDS = 600.0
"""For one request, as in LiteLLM."""


class BatchOptions(TypedDict, total=False):
    """The options of a batch, as ``adapter batch --help`` says; times are in seconds."""

    errors: str | None
    model: str | None
    prompt: str | None
    system: str | None
    options: Mapping[str, Any] | None
    schema: str | None
    limit: int | None
    dry_run: bool
    in_order: bool
    concurrency: int
    rpm: float | None
    tpm: float | None
    retries: int
    max_failures: int
    max_refusals: int
    no_repeat: bool
    retry_failed: bool
    processes: int | None
    direct: bool
    timeout: float | None
    engine: str
    address: str | None
    progress: bool


def batch(input: str, output: str, **options: Unpack[BatchOptions]) -> BatchSummary:
    """Send each request of the file ``input`` once, and write the answers to ``output``.

    ``options`` are those of ``adapter batch``, with underscores. If a run ended early, the same
    call continues it. Returns a summary; its ``exit_code`` is 0 if all lines are answered, 1 if
    some are in the errors file, and higher if the run ended early, for the reason in ``ended``.
    Raises :class:`ConfigError` with everything that is wrong in the input, before anything is
    sent, and :class:`AdapterError` if another run writes to ``output``. Inside an event loop, use
    :func:`abatch`.
    """
    with Run(input, output, options) as run:
        return asyncio.run(run.ask())


async def abatch(input: str, output: str, **options: Unpack[BatchOptions]) -> BatchSummary:
    """Do what :func:`batch` does, in the running event loop.

    If it is cancelled, it drops the requests in flight. The same call continues the batch.
    """
    run = await asyncio.to_thread(Run, input, output, options)
    with run:
        return await run.ask()


class Run:
    """A batch whose input was checked; it holds the lock until it is left.

    Raises what :func:`batch` raises.
    """

    def __init__(self, input: str, output: str, options: BatchOptions) -> None:
        self._options = options
        self._closing = ExitStack()
        self._schema = load_schema(schema) if (schema := options.get("schema")) else None
        with self._closing:
            self._begin(input, output)
            self._closing = self._closing.pop_all()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *args: object) -> None:
        self._closing.close()

    def _begin(self, input: str, output: str) -> None:
        options = self._options
        prompt, model = options.get("prompt"), options.get("model")
        if prompt is not None and not model:
            model = choose_model(load_config())
        reply_format = response_format(self._schema) if self._schema is not None else None
        recipe = Recipe(
            model, prompt, options.get("system"), options.get("options") or {}, reply_format
        )
        errors = options.get("errors") or errors_path(output)
        if "-" in (output, errors):
            raise ConfigError("OUTPUT and --errors are files, which the next run reads: name one")
        source = Source(input, os.path.dirname(os.path.realpath(output)), plain=prompt is not None)
        self._closing.callback(source.close)
        files = Files(output, errors)
        if files.output == files.errors or any(
            source.is_same_as(path) for path in (files.output, files.errors)
        ):
            raise ConfigError("INPUT, OUTPUT and --errors must be three different files")
        index, self.destinations = check(
            source,
            recipe,
            limit=options.get("limit"),
            direct=bool(options.get("direct")),
            keys=options.get("engine") != "ray",
        )
        limits = {n: options[n] for n in Limits.__dataclass_fields__ if n in options}  # type: ignore[literal-required]  # they are names of its
        self._engine = Engine(source, recipe, index, self.destinations, Limits(**limits))
        self.summary = BatchSummary(files.output, files.errors, len(index))
        if not options.get("dry_run"):
            self._closing.callback(files.close)
            files.open()
            self.summary = self._engine.resume(files)

    async def ask(self, *, is_command: bool = False) -> BatchSummary:
        """Ask what is left, and return the summary.

        The command's own run ends by Ctrl-C with what is in flight, and by a second one at once.
        """
        if self._options.get("dry_run"):
            return self.summary
        if is_command:
            self._take_signals()
        transport = self._transport()
        shown = None
        if self._options.get("progress"):
            shown = asyncio.create_task(show_progress(self.summary))
        try:
            if self.summary.left:
                await transport.start()
            return await self._engine.run(transport)
        except asyncio.CancelledError:
            if not is_command or self.summary.ended is None:
                raise
            return self.summary
        finally:
            if shown is not None:
                shown.cancel()
                await asyncio.gather(shown, return_exceptions=True)
            await transport.close()

    def _take_signals(self) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def stop() -> None:
            if self.summary.ended is None:
                sys.stderr.write(
                    "adapter: waiting for the requests in flight; press Ctrl-C again to drop them\n"
                )
                self._engine.interrupt()
            elif task is not None:
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)

    def _transport(self) -> Transport:
        """Return where the calls are made."""
        options = self._options
        direct = bool(options.get("direct"))
        settings: dict[str, Any] = {
            "timeout": options.get("timeout") or TIMEOUT_SECONDS,
            "direct": direct,
            "schema": self._schema,
        }
        if options.get("engine", "local") == "ray":
            from adapter.batches.ray import Actors

            return Actors(
                settings, self.destinations, options.get("processes"), options.get("address")
            )
        processes = options.get("processes")
        if processes is None:
            most = 1 + self.summary.left // LINES_PER_PROCESS
            processes = 1 if direct else min(_cores(), most)
        if any(destination.is_embedded for destination in self.destinations):
            processes = 1  # each would load the model
        return Calls(**settings) if processes == 1 else Pool(processes, lambda: Child(settings))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

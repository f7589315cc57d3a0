"""How far a batch is, on stderr, and the summary at its end."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, TextIO

from adapter._text import printable
from adapter.errors import ExitCode

__all__ = ["BatchSummary", "show_progress"]

TERMINAL_SECONDS = 0.5
PLAIN_SECONDS = 10.0
"""Between two looks at the progress, and between two lines where nobody can overwrite one."""


@dataclass
class BatchSummary:
    """The result of a run of a batch.

    ``output`` and ``errors`` are the paths of the two files. ``lines`` is the number of lines in
    the input, and ``earlier`` the number that were answered or had failed before this run. This run
    got ``answered`` answers, wrote ``failed`` lines to the errors file and sent ``requests``
    requests. ``input_tokens`` and ``output_tokens`` are the servers' counts. ``cost`` is in US
    dollars, for the answers whose price LiteLLM knows. ``seconds`` is the time since the first
    request. If the run ended before all lines were sent, ``ended`` says why and how to continue.
    ``exit_code`` is the exit code of the command.
    """

    output: str
    errors: str
    lines: int = 0
    earlier: int = 0
    answered: int = 0
    failed: int = 0
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    seconds: float = 0.0
    ended: str | None = None
    exit_code: int = ExitCode.OK
    _began: float = field(default_factory=time.monotonic, repr=False)

    @property
    def left(self) -> int:
        """The number of lines that are neither answered nor failed."""
        return self.lines - self.earlier - self.answered - self.failed

    def as_dict(self) -> dict[str, Any]:
        """Return the summary as a dictionary for JSON."""
        table = {name: value for name, value in asdict(self).items() if name != "_began"}
        return {**table, "left": self.left, "exit_code": int(self.exit_code)}

    def begin(self) -> None:
        """Start to count the seconds, once everything is ready to make calls."""
        self._began = time.monotonic()

    def passed(self) -> float:
        """Return the seconds since :meth:`begin`."""
        return time.monotonic() - self._began

    def progress(self) -> str:
        """Return one line: done, failed, rate, tokens, cost, time left."""
        done = self.answered + self.failed
        rate = done / max(self.passed(), 0.001)
        words = [f"{self.earlier + done:,} of {self.lines:,} done", f"{self.failed:,} failed"]
        words.append(f"{rate:,.1f}/s")
        words.append(f"{self.input_tokens + self.output_tokens:,} tokens")
        if self.cost is not None:
            words.append(f"${self.cost:,.4f}")
        if done and self.left:
            minutes, seconds = divmod(round(self.left / rate), 60)
            words.append(f"{minutes // 60}:{minutes % 60:02}:{seconds:02} left")
        return ", ".join(words)

    def __str__(self) -> str:
        """Return the summary in lines to read."""
        price = "" if self.cost is None else f", ${self.cost:,.4f}"
        counts = f"{self.answered:,} answered, {self.failed:,} failed, {self.earlier:,} done before"
        lines = [
            f"{counts}, {self.left:,} left; {self.requests:,} requests in {self.seconds:.1f} s",
            f"  {self.input_tokens:,} tokens in, {self.output_tokens:,} out{price}",
            f"  answers: {self.output}",
        ]
        if self.failed:
            lines.append(f"  failures: {self.errors} (--retry-failed sends them again)")
        if self.ended:
            lines.append(f"ended: {self.ended}")
        return printable("\n".join(lines))


async def show_progress(summary: BatchSummary, stream: TextIO | None = None) -> None:
    """Show the progress until this is cancelled; a stream that cannot be written is left alone."""
    stream = sys.stderr if stream is None else stream
    terminal = stream.isatty()
    try:
        while True:
            await asyncio.sleep(TERMINAL_SECONDS if terminal else PLAIN_SECONDS)
            end = "" if terminal else "\n"
            stream.write(("\r\x1b[K" if terminal else "adapter: ") + summary.progress() + end)
            stream.flush()
    except (OSError, ValueError):  # closed: the batch is what counts
        return
    finally:
        if terminal:
            with suppress(OSError, ValueError):
                stream.write("\r\x1b[K")
                stream.flush()

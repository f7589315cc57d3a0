"""What a batch shows while it runs, where nobody sits at a terminal."""

from __future__ import annotations

import asyncio
import io
import time

import pytest

from adapter.batches import progress
from adapter.batches.progress import BatchSummary, show_progress


class Pipe(io.StringIO):
    """A pipe whose reader goes away after two lines."""

    def write(self, text: str) -> int:
        if self.getvalue().count("\n") == 2:
            raise BrokenPipeError
        return super().write(text)


def test_a_line_every_ten_seconds_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that is closed ends the lines, and nothing else."""
    assert progress.PLAIN_SECONDS == 10
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.001)
    began = time.monotonic() - 100
    summary = BatchSummary("out", "errors", 4000, 1000, 1990, 10, _began=began)
    summary.input_tokens, summary.output_tokens, summary.cost = 5000, 1, 0.25
    stream = Pipe()

    asyncio.run(show_progress(summary, stream))

    counts = "3,000 of 4,000 done, 10 failed, 20.0/s, 5,001 tokens"
    assert stream.getvalue() == f"adapter: {counts}, $0.2500, 0:00:50 left\n" * 2

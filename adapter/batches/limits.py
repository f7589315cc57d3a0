"""When a request may be sent: requests and tokens a minute, pauses, and how many at once."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

__all__ = ["Lane", "Rate"]

LONGEST_PAUSE = 600.0
"""In seconds: a server that asks for more is asked again then, to see."""

FIRST_PAUSE = 1.0
"""In seconds, where a server says 429 or 503 and not for how long; it doubles up to a minute."""


class Rate:
    """At most ``per_minute`` units in any 60 seconds, spread over them (GCRA).

    A second's worth may be taken at once, and the rest is spaced so that both together keep it.
    """

    def __init__(self, per_minute: float) -> None:
        at_once = per_minute // 60
        self._interval = 60 / (per_minute - at_once)
        self._ahead = at_once * self._interval
        self._due = 0.0

    def wait(self, now: float) -> float:
        """Return for how many seconds nothing can be taken."""
        return self._due - self._ahead - now

    def take(self, units: float, now: float) -> None:
        """Take ``units`` at ``now``; less than none are given back."""
        self._due = max(now, self._due) + units * self._interval


class Lane:
    """What is sent to one destination: how much, how often, and whether it has ended.

    ``concurrency`` is how many lines have a place at most, from before their first request until
    their result is on disk. ``limit`` is how many requests are in flight at most: a server that
    answers 429 or 503 halves it, once for all that was sent before, and each round of answers adds
    one again.
    """

    def __init__(self, concurrency: int, rpm: float | None, tpm: float | None) -> None:
        self._places = concurrency
        self._in_flight = 0
        self.limit = float(concurrency)
        self.paused_until = 0.0
        self.refusals = 0
        self.ended = False
        self._most = concurrency
        self.counts_tokens = tpm is not None
        self._rates = [(Rate(rate), by) for rate, by in ((rpm, False), (tpm, True)) if rate]
        self._freed = asyncio.Event()
        self._lowered = 0.0
        self._pauses = 0
        self._output_tokens = 100.0  # of an answer, on average

    def restore(self, sent: float, tokens: int) -> None:
        """Count a request of an earlier run, sent at the Unix time ``sent``."""
        self._take(tokens, time.monotonic() - max(0.0, time.time() - sent))

    def _take(self, tokens: float, now: float) -> None:
        for rate, counts_tokens in self._rates:
            rate.take(tokens if counts_tokens else 1, now)

    async def place(self, stopped: asyncio.Event) -> bool:
        """Wait for a place and take it; ``False`` where nothing is sent any more."""
        while not (stopped.is_set() or self.ended):
            if self._places:
                self._places -= 1
                return True
            self._freed.clear()
            await self._freed.wait()
        return False

    def release(self) -> None:
        """Give a place back."""
        self._places += 1
        self._freed.set()

    def wake(self) -> None:
        """Let who waits look whether there is still something to wait for."""
        self._freed.set()

    async def turn(self, size: int, stopped: asyncio.Event) -> int | None:
        """Wait until a request of ``size`` bytes may be sent; return the tokens counted for it.

        :meth:`end_turn` follows its answer. ``None`` where nothing is sent any more.
        """
        tokens = size // 4 + round(self._output_tokens)
        while not (stopped.is_set() or self.ended):
            now = time.monotonic()
            wait = max(self.paused_until - now, *(r.wait(now) for r, _ in self._rates), 0.0)
            if wait > 0:
                await pause(wait, stopped)
            elif self._in_flight < max(1, int(self.limit)):
                self._in_flight += 1
                self._take(tokens, now)
                return tokens
            else:
                self._freed.clear()
                await self._freed.wait()
        return None

    def end_turn(self) -> None:
        """Let another request be sent."""
        self._in_flight -= 1
        self._freed.set()

    def count_answer(self, counted: int, size: int, tokens: int) -> None:
        """Correct what was counted for a request by the tokens that it took."""
        self._pauses = 0
        self.refusals = 0
        if self.limit < self._most:
            self.limit += 1 / self.limit
        if tokens:
            self._output_tokens += (max(0, tokens - size // 4) - self._output_tokens) / 20
            for rate, counts_tokens in self._rates:
                if counts_tokens:
                    rate.take(tokens - counted, 0.0)

    def push_back(self, retry_after: float | None, sent: float) -> None:
        """Pause, and lower the concurrency, for a 429 or 503 to what was sent at ``sent``."""
        now = time.monotonic()
        if sent >= self._lowered:
            self._lowered = now
            self.limit = max(1.0, self.limit / 2)
            self._pauses += 1
        if retry_after is None:
            retry_after = min(60.0, FIRST_PAUSE * 2 ** (self._pauses - 1))
        self.paused_until = max(self.paused_until, now + min(retry_after, LONGEST_PAUSE))


async def pause(seconds: float, stopped: asyncio.Event) -> None:
    """Wait, but not longer than until ``stopped`` is set."""
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(stopped.wait(), seconds)

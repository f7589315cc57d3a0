"""Requests and tokens a minute, by a clock of the test's own."""

from __future__ import annotations

import asyncio

import pytest

from adapter.batches.limits import Lane, Rate


def sent(rate: Rate, seconds: float) -> list[float]:
    """Return the times at which one unit after the other is taken as soon as it can be."""
    now, times = 0.0, []
    while now < seconds:
        times.append(now)
        rate.take(1, now)
        now = max(now, now + rate.wait(now))
    return times


@pytest.mark.parametrize("per_minute", [1, 7, 59, 60, 61, 600, 6000])
def test_no_minute_has_more_and_a_long_time_has_nearly_as_many(per_minute: int) -> None:
    times = sent(Rate(per_minute), 300)

    for start in times:
        window = [time for time in times if start <= time < start + 60 - 1e-6]
        assert len(window) <= per_minute
    assert len(times) >= 5 * per_minute * 0.98


def test_what_was_not_needed_is_given_back() -> None:
    rate = Rate(600)
    rate.take(1000, 0)
    assert rate.wait(0) > 60
    rate.take(-995, 0)

    assert rate.wait(0) <= 0


def test_a_429_lowers_the_concurrency_once_for_all_that_was_sent_before() -> None:
    lane = Lane(64, None, None)
    for _ in range(64):
        lane.push_back(0, sent=1.0)
    assert lane.limit == 32

    lane.push_back(0, sent=float("inf"))
    assert lane.limit == 16

    for _ in range(3000):
        lane.count_answer(0, 0, 0)
    assert lane.limit == pytest.approx(64, abs=1)


def test_what_waited_is_sent_by_the_lowered_concurrency() -> None:
    """64 requests are refused; after the pause half as many are in flight at once, not all."""

    async def in_flight() -> list[int]:
        lane, stopped = Lane(64, None, None), asyncio.Event()
        now, most = 0, []

        async def ask(*, refused: bool) -> None:
            nonlocal now
            await lane.turn(10, stopped)
            now += 1
            most.append(now)
            await asyncio.sleep(0.01)
            now -= 1
            lane.end_turn()
            if refused:
                lane.push_back(0.01, sent=0.0)

        await asyncio.gather(*(ask(refused=True) for _ in range(64)))
        first = max(most)
        most.clear()
        await asyncio.gather(*(ask(refused=False) for _ in range(64)))
        return [first, max(most)]

    assert asyncio.run(in_flight()) == [64, 32]


def test_a_pause_of_days_is_tried_before_its_end() -> None:
    lane = Lane(4, None, None)
    lane.push_back(1e9, sent=1.0)

    assert lane.paused_until < 1e9

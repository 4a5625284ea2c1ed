"""The tables make way for orders in a burst, and only then."""

import asyncio
from typing import Any, cast

import pytest

from exchange.projections.pace import BURST_LAG_MAX, Pace
from exchange.projections.runner import ProjectionRunner


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def follow(journal_per_s: int, tables_per_s: int, seconds: float) -> tuple[float, int]:
    """Return (the part of the time for which the tables rested, their lag at the end)."""
    clock, end, reached, rested_s = Clock(), 10_000.0, 0, 0.0
    pace = Pace(clock)
    while clock.now_s < 100 + seconds:
        took_s = 6_000 / tables_per_s
        clock.now_s += took_s
        end += took_s * journal_per_s
        reached += 6_000
        rest_s = pace.rest_s(6_000, took_s, reached, int(end))
        clock.now_s += rest_s
        end += rest_s * journal_per_s
        rested_s += rest_s
        if reached > end:
            return rested_s / (clock.now_s - 100), 0
    return rested_s / (clock.now_s - 100), int(end) - reached


@pytest.mark.parametrize("journal_per_s", [0, 1_000, 12_000, 18_000])
def test_what_can_be_followed_is_followed_without_a_rest(journal_per_s: int) -> None:
    assert follow(journal_per_s, 20_000, 10) == (0, 0)


def test_in_a_burst_half_of_the_time_belongs_to_orders() -> None:
    rested, lag = follow(45_000, 25_000, 5)
    assert rested == pytest.approx(0.5, abs=0.05)
    assert lag < BURST_LAG_MAX


def test_a_long_burst_is_followed_at_full_speed_from_the_bound_on() -> None:
    rested, lag = follow(30_000, 25_000, 60)
    assert 0.1 < rested < 0.4
    assert lag < 60 * (30_000 - 25_000) + BURST_LAG_MAX, "never resting would leave the first part of it, too"


def test_after_a_burst_there_is_no_rest() -> None:
    clock = Clock()
    pace = Pace(clock)
    rests = []
    for number, end in enumerate((50_000, 70_000, 90_000, 90_000, 90_000)):
        clock.now_s += 0.2
        rests.append(pace.rest_s(6_000, 0.2, 6_000 * (number + 1), end))
    assert rests == [0, 0.2, 0.2, 0, 0]


async def test_a_look_at_the_journal_waits_for_what_its_connection_is_doing() -> None:
    asked: list[str] = []

    class Connection:
        async def fetchval(self, query: str, shard: int) -> int:
            asked.append(query)
            return 5

    runner = ProjectionRunner("postgresql://nowhere", 1)
    runner._connection = cast("Any", Connection())
    async with runner._step:  # as a rebuild has it
        looking = asyncio.create_task(runner._make_way(1, 0.0))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not asked
    await looking
    assert len(asked) == 1
    assert runner.lag == 5

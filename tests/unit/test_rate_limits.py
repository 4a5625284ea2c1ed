"""Budgets: bursts, refill, weights, and that cancels have their own."""

import pytest

from exchange.gateway.rate_limits import BURST_S, LocalRateLimits


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def limits(clock: Clock, requests: int = 10, cancels: int = 5, subjects_max: int = 100) -> LocalRateLimits:
    return LocalRateLimits({"requests": requests, "cancels": cancels}, subjects_max, clock)


def test_two_seconds_worth_come_at_once_and_then_one_a_tenth_of_a_second() -> None:
    clock = Clock()
    budgets = limits(clock)
    left = [budgets.take(1, "requests", 1) for _ in range(20)]
    assert [each.remaining for each in left] == list(range(19, -1, -1))
    assert {each.limit for each in left} == {10 * BURST_S}
    assert not any(each.wait_s for each in left)
    refused = budgets.take(1, "requests", 1)
    assert refused.wait_s == pytest.approx(0.1)
    assert refused.remaining == 0
    clock.now += 0.1
    assert budgets.take(1, "requests", 1).wait_s == 0
    clock.now += 1000
    assert budgets.take(1, "requests", 1).remaining == 19


def test_waiting_as_long_as_was_said_is_enough() -> None:
    clock = Clock()
    budgets = limits(clock, requests=7)
    for weight in (14, 3, 5, 14, 1, 1, 2):
        wait_s = budgets.take(1, "requests", weight).wait_s
        clock.now += wait_s
        assert budgets.take(1, "requests", 0 if wait_s == 0 else weight).wait_s == 0


def test_a_refused_request_costs_nothing() -> None:
    clock = Clock()
    budgets = limits(clock)
    budgets.take(1, "requests", 20)
    for _ in range(100):
        assert budgets.take(1, "requests", 1).wait_s == pytest.approx(0.1)


def test_cancels_have_a_budget_that_requests_never_touch() -> None:
    budgets = limits(Clock())
    while budgets.take(1, "requests", 1).wait_s == 0:
        pass
    assert [budgets.take(1, "cancels", 1).remaining for _ in range(10)] == list(range(9, -1, -1))
    assert budgets.take(1, "cancels", 1).wait_s > 0


def test_a_weight_counts_as_many_times_and_weight_zero_only_looks() -> None:
    budgets = limits(Clock())
    assert budgets.take(1, "requests", 5).remaining == 15
    assert budgets.take(1, "requests", 0).remaining == 15
    assert budgets.take(1, "requests", 10).remaining == 5
    assert budgets.take(1, "requests", 6).wait_s == pytest.approx(0.1)
    assert budgets.take(1, "requests", 5).remaining == 0


def test_what_weighs_more_than_the_whole_budget_needs_the_whole_budget() -> None:
    budgets = limits(Clock())
    assert budgets.take(1, "requests", 1000).remaining == 0
    assert budgets.take(2, "requests", 1).remaining == 19
    assert budgets.take(2, "requests", 1000).wait_s == pytest.approx(0.1)


def test_subjects_do_not_share_and_an_account_is_no_key() -> None:
    budgets = limits(Clock())
    budgets.take(1234, "requests", 20)
    assert budgets.take("1234", "requests", 1).remaining == 19


def test_at_the_bound_whoever_has_all_is_forgotten_and_nobody_who_owes() -> None:
    clock = Clock()
    budgets = limits(clock, subjects_max=100)
    budgets.take(1, "requests", 15)
    for stranger in range(2, 2000):
        clock.now += 0.002
        budgets.take(stranger, "requests", 1)
    assert len(budgets._full_at["requests"]) <= 100
    assert budgets.take(1, "requests", 0).remaining == 20, "its 1.5 s have passed"
    budgets.take(1, "requests", 15)
    for stranger in range(2000, 2500):
        clock.now += 0.002
        budgets.take(stranger, "requests", 1)
    assert budgets.take(1, "requests", 0).remaining == 15, "a second of its 1.5 is still owed"


def test_the_memory_is_bounded_when_everybody_owes() -> None:
    budgets = limits(Clock(), subjects_max=100)
    for stranger in range(1000):
        budgets.take(stranger, "requests", 20)
    assert len(budgets._full_at["requests"]) == 100
    assert budgets.take(999, "requests", 1).wait_s > 0
    assert budgets.take(0, "requests", 1).wait_s == 0


def test_the_headers_tell_what_is_left_and_when_all_is_back() -> None:
    budgets = limits(Clock())
    assert budgets.take(1, "requests", 11).headers() == [
        (b"ratelimit-limit", b"20"),
        (b"ratelimit-remaining", b"9"),
        (b"ratelimit-reset", b"2"),
    ]

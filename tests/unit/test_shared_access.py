"""Several API processes admit as one: what one spends and takes, the others know."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, cast

from exchange.cluster.relay import Relay
from exchange.gateway.rate_limits import BURST_S, LocalRateLimits
from exchange.gateway.shared_access import SharedAccess
from exchange.gateway.signatures import SeenSignatures

NOW = 1_700_000_000.0


class Room:
    """Where everybody hears everybody, oneself included, as through Redis."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Callable[[bytes], None]]] = defaultdict(list)

    async def listen(self, listeners: Mapping[str, Callable[[bytes], None]]) -> None:
        for channel, listener in listeners.items():
            self._listeners[channel].append(listener)

    def speak(self, channel: str, message: bytes) -> None:
        for listener in self._listeners[channel]:
            listener(message)


def member(room: Room) -> SharedAccess:
    limits = LocalRateLimits({"requests": 10, "cancels": 10}, clock=lambda: NOW)
    return SharedAccess(cast(Relay, room), 1, limits, SeenSignatures(clock=lambda: NOW))


async def told(*members: SharedAccess) -> None:
    tasks = [asyncio.create_task(each.run()) for each in members]
    await asyncio.sleep(0.2)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_one_process_spent_the_others_lack() -> None:
    room = Room()
    one, other = member(room), member(room)
    for _ in range(15):
        assert not one.take(7, "requests", 1).wait_s
    await told(one, other)
    assert other.take(7, "requests", 0).remaining == 10 * BURST_S - 15
    assert other.take(7, "cancels", 0).remaining == 10 * BURST_S
    assert other.take(8, "requests", 0).remaining == 10 * BURST_S
    assert one.take(7, "requests", 0).remaining == 5, "what one hears of oneself was paid for"


async def test_a_budget_is_never_emptier_than_empty() -> None:
    room = Room()
    members = [member(room) for _ in range(3)]
    for each in members:
        for _ in range(10 * BURST_S):
            assert not each.take("key", "requests", 1).wait_s
    await told(*members)
    budget = members[0].take("key", "requests", 1)
    assert 0 < budget.wait_s <= 0.1 + 1e-6, "one second's tenth pays for the next request"


async def test_a_signature_that_one_took_no_other_takes() -> None:
    room = Room()
    one, other = member(room), member(room)
    until = int(NOW * 1000) + 5_000
    assert one.first_time(b"s" * 32, until)
    await told(one, other)
    assert not other.first_time(b"s" * 32, until)
    assert not one.first_time(b"s" * 32, until)
    assert other.first_time(b"t" * 32, until)


async def test_what_is_not_understood_changes_nothing() -> None:
    room = Room()
    one = member(room)
    running: asyncio.Task[Any] = asyncio.create_task(one.run())
    await asyncio.sleep(0)
    room.speak("exchange:1:spending", b"\xff?")
    running.cancel()
    assert one.take(1, "requests", 0).remaining == 10 * BURST_S

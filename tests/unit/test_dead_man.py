"""The dead-man timer: whose deadline the engine holds when a trader and connections want one each."""

import asyncio
from typing import Any, cast

import pytest

from exchange.contracts import commands
from exchange.contracts.refusals import EdgeReason, Refused, refuse
from exchange.gateway import dead_man
from exchange.gateway.context import Exchange
from exchange.gateway.dead_man import LEASE_S, DeadMan
from exchange.gateway.principal import SESSION_PERMISSIONS, Principal
from exchange.storage.journal import Entry

SECOND_NS = 1_000_000_000
ANN = Principal(1000, SESSION_PERMISSIONS, float("inf"), 1000)


class Engine:
    """Holds a deadline an account, and fires it; stands for the exchange and its corridor."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * SECOND_NS + 123_456
        self.deadlines: dict[int, int] = {}
        self.taken: list[int] = []
        self.is_down = False
        self.corridor = self

    async def submit(self, command: bytearray) -> Entry:
        await asyncio.sleep(0)
        if self.is_down:
            raise refuse(EdgeReason.UNAVAILABLE, "down")
        order = commands.read_order(command)
        assert order.expire_ns == 0 or order.expire_ns > self.now_ns
        self.deadlines[order.account] = order.expire_ns
        self.taken.append(order.expire_ns)
        return Entry(len(self.taken), bytes(command), b"")

    def cancel_after(self, account: int) -> int:
        return self.deadlines.get(account, 0)

    def passes(self, seconds: float) -> set[int]:
        """Let time pass; return the accounts whose timer fired."""
        self.now_ns += int(seconds * SECOND_NS)
        fired = {account for account, due_ns in self.deadlines.items() if 0 < due_ns <= self.now_ns}
        self.deadlines = {account: due_ns for account, due_ns in self.deadlines.items() if account not in fired}
        return fired

    def left_s(self, account: int = ANN.account) -> float:
        return (self.deadlines[account] - self.now_ns) / SECOND_NS


@pytest.fixture
def engine() -> Engine:
    return Engine()


def made(engine: Engine) -> DeadMan:
    return DeadMan(cast(Exchange, engine), lambda: engine.now_ns)


async def set_timer(timer: DeadMan, seconds: float) -> dict[str, Any]:
    _, state = await timer.set_timer(ANN, int(seconds * 1000))
    return state


async def test_a_traders_timer_is_set_put_off_and_turned_off(engine: Engine) -> None:
    timer = made(engine)
    state = await set_timer(timer, 5)
    assert (state["remaining_ms"], state["cancel_on_disconnect"]) == (5000, False)
    assert engine.left_s() == pytest.approx(5, abs=0.002)
    assert not engine.passes(4)
    await set_timer(timer, 5)
    assert not engine.passes(4)
    assert (await set_timer(timer, 0))["cancel_at"] is None
    assert not engine.passes(1000)
    await set_timer(timer, 1)
    assert engine.passes(2) == {ANN.account}
    assert timer.state(ANN.account)["cancel_at"] is None


async def test_a_lease_lasts_as_long_as_it_is_renewed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_man, "RENEW_EVERY_S", 0.01)
    timer = made(engine)
    await timer.watch(ANN.account)
    assert engine.left_s() == pytest.approx(LEASE_S, abs=0.002)
    for _ in range(20):
        assert not engine.passes(LEASE_S / 3)
        taken = len(engine.taken)
        async with asyncio.timeout(10):
            while len(engine.taken) == taken:  # noqa: ASYNC110 - it happens by the clock
                await asyncio.sleep(0.005)
    assert timer.state(ANN.account) == {"cancel_at": None, "remaining_ms": None, "cancel_on_disconnect": True}
    await timer.close()
    assert engine.passes(LEASE_S + 1) == {ANN.account}


async def test_the_earlier_of_both_fires_and_neither_puts_the_other_off(engine: Engine) -> None:
    timer = made(engine)
    await set_timer(timer, 3600)
    await timer.watch(ANN.account)
    assert engine.left_s() == pytest.approx(LEASE_S, abs=0.002)
    assert timer.state(ANN.account)["remaining_ms"] == 3_600_000
    await set_timer(timer, 5)
    assert engine.left_s() == pytest.approx(5, abs=0.002)
    await timer.watch(ANN.account)  # another connection
    assert engine.left_s() == pytest.approx(5, abs=0.002)
    await set_timer(timer, 0)
    assert engine.left_s() == pytest.approx(LEASE_S, abs=0.002)
    await set_timer(timer, 60)
    await timer.release(ANN.account)
    assert engine.left_s() == pytest.approx(LEASE_S, abs=0.002), "one connection is left"
    await timer.release(ANN.account)
    assert engine.left_s() == pytest.approx(60, abs=0.002), "the trader's own is what is left"
    await set_timer(timer, 0)
    assert engine.deadlines == {ANN.account: 0}
    await timer.close()


async def test_after_a_timer_fired_the_lease_goes_on(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_man, "RENEW_EVERY_S", 0.01)
    timer = made(engine)
    await timer.watch(ANN.account)
    await set_timer(timer, 1)
    assert engine.passes(2) == {ANN.account}
    async with asyncio.timeout(10):
        while not engine.cancel_after(ANN.account):  # noqa: ASYNC110 - it happens by the clock
            await asyncio.sleep(0.005)
    assert engine.left_s() == pytest.approx(LEASE_S, abs=0.002)
    await timer.close()


async def test_what_a_dead_process_left_stays_what_it_was(engine: Engine) -> None:
    before = made(engine)
    await before.watch(ANN.account)
    await before.close()
    after = made(engine)  # the next process
    engine.passes(5)
    assert after.state(ANN.account) == {"cancel_at": None, "remaining_ms": None, "cancel_on_disconnect": False}
    await set_timer(after, 60)
    assert engine.left_s() == pytest.approx(LEASE_S - 5, abs=0.002), "nobody came back for the orders of the connection"
    await set_timer(after, 0)
    assert engine.left_s() == pytest.approx(LEASE_S - 5, abs=0.002)
    await after.watch(ANN.account)
    assert engine.left_s() == pytest.approx(LEASE_S, abs=0.002), "now somebody did"
    await after.release(ANN.account)
    assert engine.deadlines == {ANN.account: 0}
    await after.close()
    await set_timer(after, 7)
    assert made(engine).state(ANN.account)["remaining_ms"] == 7000, "a trader's timer is the trader's for the next too"


async def test_a_connection_whose_orders_could_not_be_cancelled_leaves_the_lease_behind(engine: Engine) -> None:
    timer = made(engine)
    await timer.watch(ANN.account)
    await timer.watch(ANN.account)
    timer.abandon(ANN.account)
    await set_timer(timer, 5)
    await set_timer(timer, 0)
    await timer.release(ANN.account)  # the orders of the other one have ended: not those of the first
    await timer.close()
    assert engine.passes(LEASE_S + 1) == {ANN.account}


async def test_where_nothing_can_be_made_durable_nothing_is_promised(engine: Engine) -> None:
    timer = made(engine)
    engine.is_down = True
    for refused in (timer.watch(ANN.account), set_timer(timer, 5)):
        with pytest.raises(Refused):
            await refused
    assert timer.state(ANN.account) == {"cancel_at": None, "remaining_ms": None, "cancel_on_disconnect": False}


async def test_changes_at_once_end_with_the_earlier_deadline(engine: Engine) -> None:
    timer = made(engine)
    await asyncio.gather(timer.watch(ANN.account), set_timer(timer, 5), timer.watch(ANN.account))
    assert engine.left_s() == pytest.approx(5, abs=0.002)
    await asyncio.gather(timer.release(ANN.account), set_timer(timer, 90), timer.release(ANN.account))
    assert engine.left_s() == pytest.approx(90, abs=0.002)
    await timer.close()

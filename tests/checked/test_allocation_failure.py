"""Memory that runs out is a MemoryError at whichever allocation it is, and ends the shard: no crash, no leak."""

from collections.abc import Callable
from typing import TypeVar

import pytest

from engine.matching import Shard, SnapshotError
from engine.records import COMMAND_SIZE
from tests.checked.allocator import Allocator
from tests.support import commands
from tests.support.commands import BUY, SELL, Sequencer, stamp
from tests.support.flow import random_flow, stamped

T = TypeVar("T")


def _spacious() -> bytes:
    """Commands that outgrow every table: 1,400 balances, 2,000 resting orders on 500 prices, 1,500 events at once."""
    prices = range(1, 20_000, 40)
    batch = [commands.define_asset(1, "USD"), commands.define_asset(2, "BTC")]
    batch.append(commands.define_market(1, "BTC/USD", 2, 1))
    batch += [commands.deposit(account, asset, 10**12) for account in range(2, 702) for asset in (1, 2)]
    batch += [commands.place(2 + n % 700, 1, BUY, prices[n % len(prices)], 10) for n in range(2_000)]
    batch.append(commands.place_market(2, 1, SELL, 15_000))
    return Sequencer().stamp(*batch)


def _accounts() -> bytes:
    """Accounts that outgrow their table, with shares of fees, and timers of which half fire and end an order each."""
    accounts = range(2, 152)
    batch = [commands.define_asset(1, "USD"), commands.define_asset(2, "BTC")]
    batch.append(commands.define_market(1, "BTC/USD", 2, 1))
    batch += [commands.deposit(account, 1, 10**6) for account in accounts]
    batch += [commands.place(account, 1, BUY, 10, 1) for account in accounts]
    batch += [commands.set_fees(account, 500_000, 250_000) for account in accounts]
    batch += [commands.cancel_after(account, 10**9 + account % 2) for account in accounts]
    sequencer = Sequencer()
    return sequencer.stamp(*batch) + sequencer.stamp(commands.clock(), timestamp_ns=10**9)


FLOWS = {
    "spacious": _spacious(),
    "accounts": _accounts(),
    "random": b"".join(stamped(random_flow(seed=5, count=600))),
}


def _apply(flow: bytes) -> Shard:
    shard = Shard()
    shard.apply(flow)
    return shard


def _next_command(sequence: int) -> bytes:
    return stamp(commands.deposit(2, 1, 1), sequence + 1, 0)


def _fails_at_every_allocation(allocator: Allocator, work: Callable[[], T]) -> int:
    """Do the work with its first, second, ... allocation failing until none is left. Returns how many there were."""
    before = allocator.blocks_live()
    number = 0
    while True:
        number += 1
        with allocator.failing(number):
            try:
                work()
            except MemoryError:
                failed = True
            else:
                failed = False
        assert allocator.blocks_live() == before, f"allocation {number} failed, and something was left behind"
        if not failed:
            return number - 1


@pytest.mark.parametrize("name", FLOWS)
def test_every_allocation_of_a_shard_may_fail(allocator: Allocator, name: str) -> None:
    def work() -> None:
        shard = Shard()
        try:
            shard.apply(FLOWS[name])
        except MemoryError:
            _is_of_no_further_use(shard)
            raise

    assert _fails_at_every_allocation(allocator, work) > 20


def _is_of_no_further_use(shard: Shard) -> None:
    shard.digest()
    with pytest.raises(MemoryError, match="before"):
        shard.apply(_next_command(shard.sequence))
    with pytest.raises(MemoryError, match="before"):
        shard.snapshot()


@pytest.mark.parametrize("name", FLOWS)
def test_every_allocation_of_a_restore_may_fail(allocator: Allocator, name: str) -> None:
    image = _apply(FLOWS[name]).snapshot()
    assert _fails_at_every_allocation(allocator, lambda: Shard.restore(image)) > 20


@pytest.mark.parametrize("name", FLOWS)
def test_a_shard_leaves_nothing_behind_whatever_it_was_used_for(allocator: Allocator, name: str) -> None:
    before = allocator.blocks_live()
    image = _apply(FLOWS[name]).snapshot()
    restored = Shard.restore(image)
    restored.apply(_next_command(restored.sequence))
    assert allocator.blocks_live() > before
    del restored
    assert allocator.blocks_live() == before


def test_a_refusal_leaves_nothing_behind(allocator: Allocator) -> None:
    before = allocator.blocks_live()
    image = _apply(FLOWS["random"]).snapshot()
    shard = Shard()
    for size in range(0, len(image), 997):
        with pytest.raises(SnapshotError):
            Shard.restore(image[:size])
    for wrong in (bytes(COMMAND_SIZE), bytes(7)):
        with pytest.raises((ValueError, RuntimeError)):
            shard.apply(wrong)
    del shard
    assert allocator.blocks_live() == before

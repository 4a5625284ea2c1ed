"""Shards come and go, orders come and go, and the process stays as large as it was."""

import gc
from typing import Any

import numpy as np
import psutil
import pytest

from engine.matching import Shard
from engine.records import LAYOUT_VERSION, ORDER_COMMAND, CommandKind
from tests.support import commands
from tests.support.commands import BUY, Sequencer
from tests.support.flow import opening, random_flow, stamped

ROUNDS = 1_000
GROWTH_MAX = 1.08  # of the resident memory, which noise of the allocator may cause
FLOW = b"".join(stamped(random_flow(seed=11, count=300)))
pytestmark = pytest.mark.timeout(600)


def _resident_bytes() -> int:
    gc.collect()
    return psutil.Process().memory_info().rss


def _one_life() -> Shard:
    """A shard that lives, is saved and restored, and goes on."""
    shard = Shard()
    shard.apply(FLOW)
    restored = Shard.restore(shard.snapshot())
    restored.apply(Sequencer(restored.sequence).stamp(commands.deposit(2, 1, 1)))
    return restored


def test_shards_that_are_dropped_leave_nothing_behind() -> None:
    for _ in range(ROUNDS // 4):
        _one_life()
    before = _resident_bytes()
    for _ in range(ROUNDS):
        _one_life()
    assert _resident_bytes() < before * GROWTH_MAX


def test_shards_that_are_kept_are_seen() -> None:
    before = _resident_bytes()
    kept = [_one_life() for _ in range(ROUNDS // 4)]
    assert _resident_bytes() > before * GROWTH_MAX, f"{len(kept)} shards must show, or the test above sees nothing"


def test_timers_that_are_set_over_and_over_leave_nothing_behind() -> None:
    shard = Shard()
    batch: Any = np.zeros(1_000, ORDER_COMMAND)
    batch["version"], batch["kind"] = LAYOUT_VERSION, CommandKind.CANCEL_AFTER
    batch["account"] = 2 + np.arange(1_000) % 200

    def set_again(rounds: int) -> None:
        for _ in range(rounds):
            batch["sequence"] = shard.sequence + 1 + np.arange(1_000)
            batch["expire_ns"] = 10**18 + batch["sequence"].astype(np.int64)
            shard.apply(batch.tobytes())

    set_again(50)
    before = _resident_bytes()
    set_again(1_000)
    assert shard.next_due_ns == 10**18 + shard.sequence - 199
    assert _resident_bytes() < before * GROWTH_MAX


def test_orders_that_are_gone_leave_nothing_behind() -> None:
    shard, sequencer = Shard(), Sequencer()
    shard.apply(sequencer.stamp(*opening()))

    def a_day() -> None:
        for price in range(1, 20_000, 40):
            shard.apply(sequencer.stamp(commands.place(2, 1, BUY, price, 1)))
            shard.apply(sequencer.stamp(commands.cancel(2, sequencer.sequence)))

    for _ in range(10):
        a_day()
    before = _resident_bytes()
    for _ in range(30):
        a_day()
    assert shard.open_orders == 0
    assert _resident_bytes() < before * GROWTH_MAX

"""An order is answered from the live state as from its own events; what the live state remembers for it is bounded."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.matching import Shard
from engine.records import EVENT_SIZE, CommandKind
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.commands import KIND
from exchange.contracts.events import is_rejected
from exchange.corridor import live as live_module
from exchange.corridor.live import Live
from exchange.corridor.writer import split_entries
from exchange.gateway.order_entry import OrderEntry, render_placed
from tests.support.flow import random_flow, stamped
from tests.support.full_flow import full_flow


@pytest.mark.parametrize("flow", [random_flow, full_flow], ids=["plain", "full"])
@pytest.mark.parametrize("batch", [1, 16])
def test_an_order_is_answered_as_its_own_command_left_it(flow: Any, batch: int) -> None:
    shard, live = Shard(), Live(Catalogue())
    entry_point = OrderEntry(cast(Any, SimpleNamespace(live=live)), cast(Any, None))
    commands = stamped(flow(5, 3_000))
    answered = traded = 0
    for start in range(0, len(commands), batch):
        part = commands[start : start + batch]
        entries = split_entries(part, shard.apply(b"".join(part)))
        live.apply(entries)
        for entry in entries:
            if entry.command[KIND] != CommandKind.PLACE or is_rejected(entry.events):
                continue
            order = live.order(entry.sequence)
            market = live.catalogue.markets[int.from_bytes(entry.command[40:44], "little")]
            answer = entry_point.placed(entry, market)
            if order is not None and order.sequence == entry.sequence:
                # Whoever names it later is told to it: only a list does, and is answered as a whole.
                named = {
                    "other_leg_order_id": answer["other_leg_order_id"],
                    "parent_order_id": answer["parent_order_id"],
                }
                assert answer == render_placed(entry, market) | named
                answered += 1
                traded += len(entry.events) > EVENT_SIZE and bool(answer["fills"])
    assert answered > 300
    assert traded > 100


def test_no_more_ended_orders_are_remembered_than_the_bound_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "ENDED_MAX", 20)
    shard, live = Shard(), Live(Catalogue())
    commands = stamped(random_flow(5, 3_000))
    most = 0
    for command in commands:
        live.apply(split_entries([command], shard.apply(bytes(command))))
        most = max(most, len(live.ended))
    assert most == 20

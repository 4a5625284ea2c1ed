"""An order is answered from the live state as from its own events; what the live state remembers for it is bounded."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from engine.matching import Shard
from engine.records import EVENT_SIZE, CommandKind, EventKind
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.commands import KIND
from exchange.contracts.events import is_rejected, read_events
from exchange.contracts.order_state import fills_of_order
from exchange.contracts.orders import render_fill, render_order
from exchange.contracts.units import Market
from exchange.corridor import live as live_module
from exchange.corridor.live import Live
from exchange.corridor.writer import split_entries
from exchange.gateway.order_entry import OrderEntry, show_all, show_placed
from exchange.storage.journal import Entry
from tests.support.flow import random_flow, stamped
from tests.support.full_flow import full_flow
from tests.support.slow_orders import SlowOrder

PLACING = (CommandKind.PLACE, CommandKind.CANCEL_REPLACE)


@pytest.mark.parametrize("flow", [random_flow, full_flow], ids=["plain", "full"])
@pytest.mark.parametrize("batch", [1, 16])
def test_an_order_is_answered_as_its_own_command_left_it(flow: Any, batch: int) -> None:
    shard, live = Shard(), Live(Catalogue())
    entry_point = OrderEntry(cast(Any, SimpleNamespace(live=live, catalogue=live.catalogue)), cast(Any, None))
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
            answer = msgspec.json.decode(entry_point.placed(entry))
            if order is not None and order.sequence == entry.sequence:
                # Whoever names it later is told to it: only a list does, and is answered as a whole.
                named = {
                    "other_leg_order_id": answer["other_leg_order_id"],
                    "parent_order_id": answer["parent_order_id"],
                }
                assert answer == msgspec.json.decode(show_placed(entry, market)) | named
                answered += 1
                traded += len(entry.events) > EVENT_SIZE and bool(answer["fills"])
    assert answered > 300
    assert traded > 100


def rendered_slowly(entries: Sequence[Entry], market: Market) -> list[dict[str, Any]]:
    """The Orders with fills that consecutive commands placed, as they were after the last of them."""
    orders: dict[int, SlowOrder] = {}
    fills: dict[int, list[dict[str, Any]]] = {}
    for entry in entries:
        for event in read_events(entry.events):
            if event.kind == EventKind.ACCEPTED:
                order = orders[event.order_id] = SlowOrder.accepted(event, entry.command)
                fills[event.order_id] = []
                if order.named_id in orders:
                    orders[order.named_id].link(order)
                continue
            is_of_two = event.kind in (EventKind.TRADED, EventKind.PREVENTED)
            for order_id in (event.order_id, event.maker_order_id) if is_of_two else (event.order_id,):
                if order_id in orders:
                    orders[order_id].take(event)
                    fills[order_id] += [render_fill(fill, market) for fill in fills_of_order((event,), order_id)]
    return [render_order(cast(Any, order), market) | {"fills": fills[order_id]} for order_id, order in orders.items()]


@pytest.mark.parametrize("flow", [random_flow, full_flow], ids=["plain", "full"])
@pytest.mark.parametrize("together", [1, 3])
def test_orders_are_shown_as_their_own_commands_left_them(flow: Any, together: int) -> None:
    catalogue = Catalogue()
    commands = stamped(flow(7, 2_000))
    entries = split_entries(commands, Shard().apply(b"".join(commands)))
    seen, linked = 0, 0
    for at in range(0, len(entries) - together, together):
        part = entries[at : at + together]
        for entry in part:
            if not is_rejected(entry.events):
                catalogue.define(entry.command)
        market = catalogue.markets.get(int.from_bytes(part[0].command[40:44], "little"))
        if market is None or any(entry.command[KIND] not in PLACING for entry in part):
            continue
        expected = rendered_slowly(part, market)
        assert [bytes(shown) for shown in show_all(part, market)] == [msgspec.json.encode(order) for order in expected]
        seen += sum(bool(order["fills"]) for order in expected)
        linked += sum(order["parent_order_id"] is not None for order in expected)
    assert seen > 50
    assert linked or together == 1 or flow is random_flow


def test_no_more_ended_orders_are_remembered_than_the_bound_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "ENDED_MAX", 20)
    shard, live = Shard(), Live(Catalogue())
    commands = stamped(random_flow(5, 3_000))
    most = 0
    for command in commands:
        live.apply(split_entries([command], shard.apply(bytes(command))))
        most = max(most, len(live.ended))
    assert most == 20

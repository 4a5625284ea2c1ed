"""A hub over an engine without a database: commands become durable at once, and the journal is a list."""

import asyncio
from collections.abc import Sequence
from typing import Any

from engine.matching import Shard
from exchange.contracts import commands
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.order_state import OrderState
from exchange.contracts.units import Market
from exchange.corridor.genesis import genesis
from exchange.corridor.live import Live
from exchange.corridor.writer import split_entries
from exchange.gateway.hub import Hub, Subscription
from exchange.gateway.subscriber import Message
from exchange.storage.journal import Entry
from tests.support.stream_socket import Listener


class ListArchive:
    """The journal as a list."""

    def __init__(self, journal: list[Entry]) -> None:
        self.journal = journal
        self.reads = 0

    async def entries(self, after: int, limit: int) -> Sequence[Entry]:
        self.reads += 1
        await asyncio.sleep(0)
        return self.journal[after : after + limit]

    async def order(self, account: int, order_id: int, sequence: int) -> OrderState | None:
        await asyncio.sleep(0)
        live = Live(Catalogue())
        found: OrderState | None = None
        for entry in self.journal[:sequence]:
            changes = live.apply([entry])
            found = changes.orders.get(account, {}).get(order_id, found)
        return found

    async def book(self, market: int, sequence: int) -> tuple[int, Sequence[Sequence[int]]]:
        await asyncio.sleep(0)
        shard = Shard()
        for entry in self.journal[:sequence]:
            shard.apply(entry.command)
        return shard.state(market).mode, visible_orders(shard, market)


def visible_orders(shard: Shard, market: int) -> list[tuple[int, int, int, int]]:
    """(order_id, side, price_ticks, visible_lots) of the book, in the order of the queue."""
    orders = []
    for order_id, _, side, price_ticks, remaining_lots, _ in shard.book(market):
        order = shard.order(order_id)
        assert order is not None
        orders.append((order_id, side, price_ticks, order.visible_lots if order.display_lots else remaining_lots))
    return orders


class Streamed:
    """An engine, its journal, and a hub that hears of every batch. ``restart`` makes another hub over the same."""

    def __init__(self, opening: Sequence[bytes] = ()) -> None:
        """``opening``: stamped commands that define other markets than the demo's."""
        self.shard, self.journal = Shard(), list[Entry]()
        self.archive = ListArchive(self.journal)
        self.restart()
        if opening:
            self.commit(split_entries(opening, self.shard.apply(b"".join(opening))))
        else:
            self.do(*genesis(), *[commands.deposit(who, asset, 10**16) for who in range(7, 11) for asset in (1, 2)])
        self.hub.begin_term(self.shard)

    def restart(self) -> None:
        """A process that was not there before: nothing but the journal. The one before ends its connections."""
        if self.journal:
            self.hub.close_all(1012, "the exchange is restarting")
        self.live = Live(Catalogue())
        if self.journal:
            self.live.apply(self.journal)
        self.hub = Hub(self.live.catalogue, self.live, self.archive)
        self.hub.begin_term(self.shard)

    def applied(self, *batch: bytearray, timestamp_ns: int = 1) -> list[Entry]:
        """Let the engine have a batch that is not durable yet."""
        for number, command in enumerate(batch, start=self.shard.sequence + 1):
            commands.stamp(command, number, timestamp_ns)
        return split_entries(batch, self.shard.apply(b"".join(batch)))

    def commit(self, entries: Sequence[Entry]) -> None:
        self.journal += entries
        self.hub.publish(self.live.apply(entries))

    def do(self, *batch: bytearray, timestamp_ns: int = 1) -> None:
        self.commit(self.applied(*batch, timestamp_ns=timestamp_ns))

    def market(self, symbol: str = "BTC/USD") -> Market:
        return self.live.catalogue.market(symbol)

    async def listen(self, channel: str, listener: Listener | None = None, **terms: Any) -> Listener:
        """Subscribe, and wait until it has begun."""
        listener = listener or Listener()
        self.hub.connections.add(listener.subscriber)
        self.answers: list[Message] = []
        market = None if channel == "orders" else self.market(terms.pop("symbol", "BTC/USD"))
        wanted = Subscription(
            subscriber=listener.subscriber,
            channel=channel,
            market=market,
            acknowledge=self.answers.append,
            is_wanted=lambda: True,
            **terms,
        )
        beginning = self.hub.subscribe(wanted)
        if beginning is not None:
            await beginning
        return listener

    def turn(self) -> None:
        """What the clock does: everything conflated is told, and everybody has a turn."""
        for streams in self.hub._markets.values():
            streams.flush_depth()
            streams.flush_ticker()
            streams.flush_candles()
        for steps in (self.hub.rounds.turns(), self.hub.rounds.end_jobs()):
            for _ in steps:
                pass

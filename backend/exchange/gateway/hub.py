"""Fan-out: what the journal has, told to whoever subscribed.

One message is made a channel, and shared by all its subscribers. Depth and ticker are conflated to a few messages a
second; trades and private orders go out with every batch. A subscriber that does not read is disconnected when its
buffer is full, and never slows anybody else.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from engine.matching import Shard
from engine.records import FLAG_AUCTION, Side
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.events import Event
from exchange.contracts.orders import SIDE_NAMES, render_account_fill, render_order, timestamp_text
from exchange.contracts.units import Market
from exchange.corridor.live import Changes, Live
from exchange.gateway.markets import MODE_NAMES, render_ticker

BUFFER_MESSAGES = 256  # a subscriber; at the bound it is disconnected
DEPTH_LEVELS = 500  # a side of a snapshot
DEPTH_EVERY_S = 0.05
TICKER_EVERY_S = 0.25
HEARTBEAT_EVERY_S = 5.0
SLOW_CONSUMER = 4008

Message = dict[str, Any]


def encode(message: Message) -> str:
    return msgspec.json.encode(message).decode()


class Subscriber:
    """One connection's outgoing messages: bounded, in order."""

    def __init__(self) -> None:
        self._messages: deque[str] = deque()
        self._arrived = asyncio.Event()
        self.close_code: int | None = None
        self.close_reason = ""

    def send(self, text: str) -> None:
        """Queue a message; when the buffer is full the connection is closed instead."""
        if self.close_code is not None:
            return
        if len(self._messages) >= BUFFER_MESSAGES:
            self._messages.clear()
            self.close(SLOW_CONSUMER, "slow consumer: messages were not read")
            return
        self._messages.append(text)
        self._arrived.set()

    def close(self, code: int, reason: str) -> None:
        """End the connection after what is queued."""
        self.close_code, self.close_reason = code, reason
        self._arrived.set()

    async def next(self) -> str | None:
        """Return the next message to send, None when the connection is to be closed."""
        while not self._messages:
            if self.close_code is not None:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        return self._messages.popleft()


class Channel:
    """A stream of messages that carry the sequence they include and that of the message before."""

    def __init__(self, name: str, sequence: int, symbol: str | None = None) -> None:
        self.subscribers: set[Subscriber] = set()
        self._head: Message = {"channel": name} | ({"symbol": symbol} if symbol else {})
        self._sequence = sequence

    def advance(self, sequence: int) -> None:
        """Pass over what nobody listens to."""
        self._sequence = sequence

    def update(self, sequence: int, content: Message) -> None:
        """Tell every subscriber what the stream's state became at a sequence."""
        stamp = {"sequence": sequence, "prev_sequence": self._sequence}
        text = encode({"type": "update"} | self._head | stamp | content)
        self._sequence = sequence
        for subscriber in self.subscribers:
            subscriber.send(text)

    def snapshot(self, subscriber: Subscriber, content: Message) -> None:
        """Begin a subscription: the whole state at the sequence of the last message."""
        subscriber.send(encode({"type": "snapshot"} | self._head | {"sequence": self._sequence} | content))
        self.subscribers.add(subscriber)


class MarketStreams:
    """The public channels of one market."""

    def __init__(self, market: Market, sequence: int) -> None:
        self.market = market
        self.depth = Channel("depth", sequence, market.symbol)
        self.trades = Channel("trades", sequence, market.symbol)
        self.ticker = Channel("ticker", sequence, market.symbol)
        self.changed_levels: set[tuple[int, int]] = set()
        self.ticker_changed = False


class Hub:
    """Publishes what the corridor journaled. Call ``publish`` once a batch, in order; run ``run`` beside it."""

    def __init__(self, catalogue: Catalogue, live: Live) -> None:
        self._catalogue = catalogue
        self._live = live
        self._streams: dict[int, MarketStreams] = {}
        self._private: dict[int, Channel] = {}
        self._shard = Shard()
        self._waiting: dict[tuple[Subscriber, int], None] = {}  # private subscriptions that begin with the next batch
        self.connections: set[Subscriber] = set()

    @property
    def subscribers(self) -> int:
        """How many subscriptions there are."""
        channels = [c for s in self._streams.values() for c in (s.depth, s.trades, s.ticker)]
        return sum(len(channel.subscribers) for channel in (*channels, *self._private.values()))

    # From the corridor

    def publish(self, changes: Changes) -> None:
        """Take what a durable batch changed."""
        for number, levels in changes.levels.items():
            streams = self._market(number)
            streams.changed_levels |= levels
            streams.ticker_changed = True
        for number in changes.modes:
            self._market(number).ticker_changed = True
        for number, trades in changes.trades.items():
            self._publish_trades(self._market(number), trades, changes.sequence)
        if self._private:
            for account in changes.accounts:
                if account in self._private:
                    self._publish_private(account, changes)
        waiting, self._waiting = self._waiting, {}
        for subscriber, account in waiting:
            if subscriber in self.connections:
                self._begin_orders(subscriber, account)

    def begin_term(self, shard: Shard) -> None:
        """After a recovery the streams go on from another state: everybody gets new snapshots by connecting again."""
        self._shard = shard
        self.close_all(1012, "the exchange recovered: connect again")
        self._streams.clear()
        self._private.clear()
        self._waiting.clear()

    def _market(self, number: int) -> MarketStreams:
        streams = self._streams.get(number)
        if streams is None:
            streams = self._streams[number] = MarketStreams(self._catalogue.markets[number], self._live.sequence)
        return streams

    def _publish_trades(self, streams: MarketStreams, trades: list[Event], sequence: int) -> None:
        streams.ticker_changed = True
        if not streams.trades.subscribers:
            streams.trades.advance(sequence)
            return
        streams.trades.update(sequence, {"trades": [render_trade(trade, streams.market) for trade in trades]})

    def _publish_private(self, account: int, changes: Changes) -> None:
        markets = self._catalogue.markets
        orders = changes.orders.get(account, {}).values()
        self._private[account].update(
            changes.sequence,
            {
                "timestamp_ns": changes.timestamp_ns,
                "orders": [render_order(order, markets[order.market]) for order in orders],
                "fills": [render_account_fill(fill, markets[fill.market]) for fill in changes.fills.get(account, ())],
                "balances": self._balances(account),
            },
        )

    # The clock

    async def run(self) -> None:
        """Send what is conflated, and heartbeats, until cancelled."""
        next_ticker = next_heartbeat = 0.0
        while True:
            await asyncio.sleep(DEPTH_EVERY_S)
            now = time.monotonic()
            for streams in self._streams.values():
                self._flush_depth(streams)
            if now >= next_ticker:
                next_ticker = now + TICKER_EVERY_S
                for streams in self._streams.values():
                    self._flush_ticker(streams)
            if now >= next_heartbeat:
                next_heartbeat = now + HEARTBEAT_EVERY_S
                text = encode({"type": "heartbeat", "sequence": self._live.sequence, "timestamp_ns": time.time_ns()})
                for subscriber in self.connections:
                    subscriber.send(text)

    def _flush_depth(self, streams: MarketStreams) -> None:
        changed, streams.changed_levels = streams.changed_levels, set()
        if not changed:
            return
        if not streams.depth.subscribers:
            streams.depth.advance(self._live.sequence)
            return
        levels = self._live.markets[streams.market.number].levels
        sides: dict[int, list[tuple[str, str]]] = {Side.BUY: [], Side.SELL: []}
        for side, price_ticks in sorted(changed):
            lots = levels[side].get(price_ticks, 0)
            sides[side].append((streams.market.price_text(price_ticks), streams.market.quantity_text(lots)))
        streams.depth.update(
            self._live.sequence,
            {"timestamp_ns": self._live.timestamp_ns, "bids": sides[Side.BUY][::-1], "asks": sides[Side.SELL]},
        )

    def _flush_ticker(self, streams: MarketStreams) -> None:
        changed, streams.ticker_changed = streams.ticker_changed, False
        if not changed:
            return
        if not streams.ticker.subscribers:
            streams.ticker.advance(self._live.sequence)
            return
        streams.ticker.update(self._live.sequence, self._ticker(streams.market))

    # Subscriptions

    def subscribe(self, subscriber: Subscriber, channel: str, market: Market) -> None:
        """Send the snapshot of a public channel and its updates from then on.

        Raises KeyError for an unknown channel.
        """
        streams = self._market(market.number)
        begin: dict[str, Callable[[], None]] = {
            "depth": lambda: self._begin_depth(subscriber, streams),
            "trades": lambda: streams.trades.snapshot(subscriber, {"trades": self._latest_trades(market)}),
            "ticker": lambda: self._begin_ticker(subscriber, streams),
        }
        begin[channel]()

    def _begin_depth(self, subscriber: Subscriber, streams: MarketStreams) -> None:
        self._flush_depth(streams)  # so that the snapshot is the state at the last message's sequence
        market = streams.market
        _, bids, asks = self._live.depth(market.number, DEPTH_LEVELS)
        sides = {
            name: [(market.price_text(price), market.quantity_text(lots)) for price, lots in levels]
            for name, levels in (("bids", bids), ("asks", asks))
        }
        streams.depth.snapshot(subscriber, sides | {"tick_size": market.tick_size, "lot_size": market.lot_size})

    def _begin_ticker(self, subscriber: Subscriber, streams: MarketStreams) -> None:
        self._flush_ticker(streams)
        streams.ticker.snapshot(subscriber, self._ticker(streams.market))

    def subscribe_orders(self, subscriber: Subscriber, account: int) -> None:
        """Send the account's open orders and balances, and what changes from then on.

        While a batch is on its way to the journal the engine's balances are ahead of it: the snapshot waits for that.
        """
        if self._shard.sequence != self._live.sequence:
            self._waiting[subscriber, account] = None
        else:
            self._begin_orders(subscriber, account)

    def _begin_orders(self, subscriber: Subscriber, account: int) -> None:
        channel = self._private.get(account)
        if channel is None:
            channel = self._private[account] = Channel("orders", self._live.sequence)
        orders = self._live.orders_of.get(account, {}).values()
        content = {
            "orders": [render_order(order, self._catalogue.markets[order.market]) for order in orders],
            "balances": self._balances(account),
        }
        channel.snapshot(subscriber, content)

    def unsubscribe(self, subscriber: Subscriber, channel: str, market: Market) -> None:
        """Send no more of a public channel."""
        getattr(self._market(market.number), channel).subscribers.discard(subscriber)

    def unsubscribe_orders(self, subscriber: Subscriber, account: int) -> None:
        """Send no more of the account's orders."""
        self._waiting.pop((subscriber, account), None)
        channel = self._private.get(account)
        if channel is not None:
            channel.subscribers.discard(subscriber)
            if not channel.subscribers:
                del self._private[account]

    def forget(self, subscriber: Subscriber) -> None:
        """The connection is gone."""
        self.connections.discard(subscriber)
        for streams in self._streams.values():
            for channel in (streams.depth, streams.trades, streams.ticker):
                channel.subscribers.discard(subscriber)
        for account in [a for a, channel in self._private.items() if subscriber in channel.subscribers]:
            self.unsubscribe_orders(subscriber, account)

    def close_all(self, code: int, reason: str) -> None:
        """End every connection."""
        for subscriber in self.connections:
            subscriber.close(code, reason)

    def _latest_trades(self, market: Market) -> list[Message]:
        trades = self._live.markets[market.number].latest_trades
        return [render_trade(trade, market) for trade in reversed(trades)]

    def _ticker(self, market: Market) -> Message:
        status = MODE_NAMES[self._live.mode(market.number)]
        return {"status": status} | render_ticker(market, self._live.ticker(market.number))

    def _balances(self, account: int) -> list[Message]:
        # Read between a commit and the next batch, when the engine's balances are the journal's.
        balances = []
        for asset in self._catalogue.assets.values():
            available, held = self._shard.balance(account, asset.number)
            if available or held:
                texts = (asset.to_text(available), asset.to_text(held), asset.to_text(available + held))
                balances.append({"asset": asset.name, **dict(zip(("available", "held", "total"), texts, strict=True))})
        return balances


def render_trade(trade: Event, market: Market) -> Message:
    """A public trade of docs/api.md; side is the taker's."""
    return {
        "trade_id": str(trade.trade_id),
        "price": market.price_text(trade.price_ticks),
        "quantity": market.quantity_text(trade.quantity_lots),
        "side": SIDE_NAMES[Side(trade.side)],
        "auction": bool(trade.flags & FLAG_AUCTION),
        "executed_at": timestamp_text(trade.timestamp_ns),
        "timestamp_ns": trade.timestamp_ns,
    }

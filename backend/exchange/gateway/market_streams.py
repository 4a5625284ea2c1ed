"""The public channels of one market, and what their messages say (docs/streams.md).

depth      levels, conflated                 depth.raw  levels, every batch
ticker     the last 24 hours, conflated      trades     every one
candles    of an interval, conflated         l3         single orders, every step
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from engine.market_data import L2Update, L3Update
from engine.market_data.mirror import depth_checksum
from engine.orders.words import SIDE_NAMES
from engine.records import FLAG_AUCTION, EventKind, Side
from exchange.contracts.events import Event, read_events
from exchange.contracts.orders import timestamp_text
from exchange.contracts.units import Market
from exchange.corridor.live import DAY_MINUTES, MINUTE_NS, Changes, Live, LiveMarket, Trades
from exchange.gateway.channels import Channel, Conflated, Log, Tape
from exchange.gateway.markets import INTERVAL_MINUTES, MODE_NAMES, render_ticker
from exchange.gateway.order_feed import OrderFeed, render_orders, render_steps
from exchange.gateway.subscriber import Message, encode

DEPTH_LEVELS = 500  # a side of a snapshot
CHECKSUM_LEVELS = 10
CANDLES = 2  # in a snapshot

LevelTexts = Mapping[tuple[int, int], tuple[str, str]]  # (side, price_ticks) -> (price, quantity)


class MarketStreams:
    """One market's channels, as of the last batch. ``when_told`` is called with each channel that has something new."""

    def __init__(self, market: Market, live: Live, when_told: Callable[[Channel], None]) -> None:
        self.market = market
        self._live = live
        self._when_told = when_told
        sequence = live.sequence
        self.depth = Conflated(
            self._head("depth"), sequence, self._depth_snapshot, when_told, lambda c: self._levels(c) | self._depth_end
        )
        self.raw = Log(self._head("depth.raw"), sequence, self._book, when_told)
        self.trades = Tape(self._head("trades"), sequence, self._latest_trades, when_told)
        self.ticker = Conflated(
            self._head("ticker"), sequence, self._ticker_snapshot, when_told, lambda change: change["ticker"]
        )
        self.l3 = Log(self._head("l3"), sequence, lambda: {}, when_told)  # its snapshots take a moment: l3_snapshot
        self.l3_beginning = 0  # how many are about to listen
        self._l3_snapshot: tuple[int, bytes] | None = None
        self.candles: dict[str, Conflated] = {}
        self.feed: OrderFeed | None = None  # while somebody listens to l3
        self._changed_levels: set[tuple[int, int]] = set()
        self._changed_minutes: set[int] = set()
        self._ticker_changed = False
        self._depth_end: Message = {}  # what a depth update ends with: the time and the checksum at its sequence
        self._checksum: tuple[int, int] = (-1, 0)  # and the sequence that it is of

    @property
    def channels(self) -> list[Channel]:
        return [self.depth, self.raw, self.trades, self.ticker, self.l3, *self.candles.values()]

    def candles_of(self, interval: str) -> Conflated:
        """The channel of an interval."""
        channel = self.candles.get(interval)
        if channel is None:
            self.flush_candles()
            head = self._head("candles") | {"interval": interval}
            minutes = INTERVAL_MINUTES[interval]

            def snapshot() -> Message:
                self.flush_candles()
                known = self._state.minutes  # of 24 hours: a candle that began before them is not whole
                since_ns = known[-1].opened_ns - DAY_MINUTES * MINUTE_NS if known else 0
                opened = {_opened(minute.opened_ns, minutes) for minute in known}
                whole = sorted(at for at in opened if at > since_ns)
                return {"candles": [self._candle(at, minutes) for at in whole[-CANDLES:]]}

            def content(changes: dict[int, Message]) -> Message:
                return {"candles": [changes[at] for at in sorted(changes)]}

            channel = Conflated(head, self._live.sequence, snapshot, self._when_told, content)
            self.candles[interval] = channel
        return channel

    # From the corridor

    def take_levels(self, levels: set[tuple[int, int]], changes: Changes) -> None:
        """Levels have changed in a batch."""
        self._changed_levels |= levels
        self._ticker_changed = True
        if not self.raw.subscribers:
            self.raw.advance(changes.sequence)
            return
        self.raw.update(changes.sequence, self.raw_content(self._texts(levels), changes.timestamp_ns, self.checksum()))

    def take_trades(self, trades: Trades, changes: Changes) -> None:
        """There were trades in a batch."""
        self._ticker_changed = True
        self._changed_minutes |= trades.minutes
        if not self.trades.subscribers:
            self.trades.advance(changes.sequence)
            return
        self.trades.extend(changes.sequence, show_trades(trades.records, self.market))

    def take_mode(self) -> None:
        """The market's mode has changed in a batch."""
        self._ticker_changed = True

    def take_entries(self, changes: Changes) -> None:
        """Follow a batch order by order, while somebody listens."""
        if self.feed is None:
            return
        if not self.l3.subscribers and not self.l3_beginning:
            self.feed = self._l3_snapshot = None
            return
        steps = [update for update in self.feed.take(changes.entries) if isinstance(update, L3Update)]
        if steps:
            self.l3.update(changes.sequence, render_steps(self.market, steps))

    def open_l3(self, feed: OrderFeed) -> None:
        """Follow single orders from now on; the feed is as of the last batch."""
        self.feed, self._l3_snapshot = feed, None
        self.l3.advance(self._live.sequence)

    async def l3_snapshot(self) -> tuple[int, bytes]:
        """A snapshot that the kept messages lead on from, and its sequence. Not for two at the same time."""
        assert self.feed is not None, "whoever begins l3 has opened it"
        known = self._l3_snapshot
        if known is None or not self.l3.keeps(known[0]):
            sequence, orders, checksum = self.l3.sequence, self.feed.orders(), self.feed.checksum
            bids, asks = await render_orders(self.market, orders)
            content = {"bids": msgspec.Raw(bids), "asks": msgspec.Raw(asks), "checksum": checksum} | self._units
            head = {"type": "snapshot"} | self._head("l3") | {"sequence": sequence}
            known = self._l3_snapshot = sequence, encode(head | content)
        return known

    # By the clock

    def flush_depth(self) -> None:
        """Let the depth channel have what changed since it last had."""
        changed, self._changed_levels = self._changed_levels, set()
        if not changed:
            return
        if not self.depth.subscribers:
            self.depth.advance(self._live.sequence)
            return
        self._depth_end = {"timestamp_ns": self._live.timestamp_ns, "checksum": self.checksum()}
        self.depth.update(self._live.sequence, self._texts(changed))

    def flush_ticker(self) -> None:
        """Let the ticker channel have what is now, if it changed."""
        changed, self._ticker_changed = self._ticker_changed, False
        if not changed:
            return
        if not self.ticker.subscribers:
            self.ticker.advance(self._live.sequence)
            return
        self.ticker.update(self._live.sequence, {"ticker": self.render_ticker()})

    def flush_candles(self) -> None:
        """Let the candle channels have the candles that changed since they last had."""
        changed, self._changed_minutes = self._changed_minutes, set()
        if not changed:
            return
        for interval, channel in self.candles.items():
            if not channel.subscribers:
                channel.advance(self._live.sequence)
                continue
            minutes = INTERVAL_MINUTES[interval]
            opened = {_opened(minute, minutes) for minute in changed}
            channel.update(self._live.sequence, {at: self._candle(at, minutes) for at in opened})

    # What messages say

    def checksum(self) -> int:
        """CRC-32 of the best 10 levels after the last batch, as docs/streams.md says."""
        if self._checksum[0] != self._live.sequence:
            bids, asks = (self._state.depth(side, CHECKSUM_LEVELS) for side in (Side.BUY, Side.SELL))
            self._checksum = self._live.sequence, depth_checksum(bids, asks)  # type: ignore[arg-type]
        return self._checksum[1]

    def raw_content(self, changes: LevelTexts, timestamp_ns: int, checksum: int) -> Message:
        """The content of an update of levels."""
        return self._levels(changes) | {"timestamp_ns": timestamp_ns, "checksum": checksum}

    def raw_content_of(self, update: L2Update) -> Message:
        """The same, of a command's update."""
        market = self.market
        texts = {
            (level.side, level.price_ticks): (
                market.price_text(level.price_ticks),
                market.quantity_text(level.visible_lots),
            )
            for level in update.levels
        }
        return self.raw_content(texts, update.timestamp_ns, update.checksum)

    def render_ticker(self) -> Message:
        """The content of a ticker message."""
        number = self.market.number
        status = MODE_NAMES[self._live.mode(number)]
        return {"status": status} | render_ticker(self.market, self._live.ticker(number))

    def _head(self, channel: str) -> Message:
        return {"channel": channel, "symbol": self.market.symbol}

    @property
    def _state(self) -> LiveMarket:
        return self._live.markets[self.market.number]

    @property
    def _units(self) -> Message:
        return {"tick_size": self.market.tick_size, "lot_size": self.market.lot_size}

    def _texts(self, levels: set[tuple[int, int]]) -> LevelTexts:
        price_text, quantity_text, now = self.market.price_text, self.market.quantity_text, self._state.levels
        return {
            (side, price): (price_text(price), quantity_text(now[side].get(price, 0))) for side, price in sorted(levels)
        }

    def _levels(self, changes: LevelTexts) -> Message:
        bids = [changes[key] for key in sorted(changes, reverse=True) if key[0] == Side.BUY]
        asks = [changes[key] for key in sorted(changes) if key[0] == Side.SELL]
        return {"bids": bids, "asks": asks}

    def _depth_snapshot(self) -> Message:
        self.flush_depth()
        return self._book()

    def _book(self) -> Message:
        price_text, quantity_text = self.market.price_text, self.market.quantity_text
        bids, asks = (
            [(price_text(price), quantity_text(lots)) for price, lots in self._state.depth(side, DEPTH_LEVELS)]
            for side in (Side.BUY, Side.SELL)
        )
        return {"bids": bids, "asks": asks, "checksum": self.checksum()} | self._units

    def _latest_trades(self) -> Message:
        latest = self._live.latest_trades(self.market.number)
        return {"trades": [render_trade(trade, self.market) for trade in reversed(latest)]}

    def _ticker_snapshot(self) -> Message:
        self.flush_ticker()
        return self.render_ticker()

    def _candle(self, opened_ns: int, minutes: int) -> Message:
        """The trades since then, for so many minutes, as one candle. The last 24 hours are known."""
        end_ns = opened_ns + minutes * MINUTE_NS
        part = [minute for minute in self._state.minutes if opened_ns <= minute.opened_ns < end_ns]
        return {
            "opened_at": timestamp_text(opened_ns),
            "open": self.market.price_text(part[0].open_ticks),
            "high": self.market.price_text(max(minute.high_ticks for minute in part)),
            "low": self.market.price_text(min(minute.low_ticks for minute in part)),
            "close": self.market.price_text(part[-1].close_ticks),
            "volume": self.market.quantity_text(sum(minute.volume_lots for minute in part)),
            "trades": sum(minute.trades for minute in part),
        }


def _opened(timestamp_ns: int, minutes: int) -> int:
    return timestamp_ns - timestamp_ns % (minutes * MINUTE_NS)


def show_trades(events: bytes, market: Market) -> bytes:
    """Return the trades of event records as ``render_trade`` has them, oldest first: a list, as JSON."""
    shown = market.face.trades(events)
    if shown is not None:
        return shown
    trades = [event for event in read_events(events) if event.kind == EventKind.TRADED]
    return msgspec.json.encode([render_trade(trade, market) for trade in trades])


def render_trade(trade: Event, market: Market) -> dict[str, Any]:
    """A public trade; side is the taker's."""
    return {
        "trade_id": str(trade.trade_id),
        "price": market.price_text(trade.price_ticks),
        "quantity": market.quantity_text(trade.quantity_lots),
        "side": SIDE_NAMES[Side(trade.side)],
        "auction": bool(trade.flags & FLAG_AUCTION),
        "executed_at": timestamp_text(trade.timestamp_ns),
        "timestamp_ns": trade.timestamp_ns,
    }

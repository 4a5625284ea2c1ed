"""Fan-out: what the journal has, told to whoever subscribed.

    publish(batch) ──> channels: each message made once ──> rounds: every subscriber that is behind takes what is newer

Publishing costs the same however many listen, and rounds (rounds.py) have a share of time. Only what concerns a single
account is told at once.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from exchange.contracts.catalogue import Catalogue
from exchange.contracts.order_state import Fill, OrderState
from exchange.contracts.orders import show_account_fill, show_order
from exchange.contracts.units import Market
from exchange.corridor.live import Changes, Live
from exchange.gateway.channels import Channel, Private
from exchange.gateway.market_streams import MarketStreams
from exchange.gateway.order_feed import OrderFeed
from exchange.gateway.resume import MissedLevels, MissedOrders, MissedSteps, MissedTrades
from exchange.gateway.rounds import Rounds
from exchange.gateway.subscriber import Message, Subscriber, encode
from exchange.gateway.tail import Archive, CannotFollow, Tail
from exchange.observability import metrics

logger = logging.getLogger("exchange.streams")

DEPTH_EVERY_S = 0.1
SUMMARY_EVERY_S = 0.25  # ticker and candles
HEARTBEAT_EVERY_S = 5.0
LOOK_EVERY_S = 1.0  # for connections that take nothing
RECONNECT_MS = 500  # after a restart, at the earliest; spread over so much more a client (RECONNECT_SPREAD_MS)
RECONNECT_SPREAD_MS = 2
PUBLIC_CHANNELS = ("depth", "depth.raw", "l3", "trades", "ticker", "candles")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What a client asks for.

    ``acknowledge`` is called right before the first message is sent, and ``is_wanted`` before that: some take a moment
    to begin, and the client may be gone by then.
    """

    subscriber: Subscriber
    channel: str
    market: Market | None = None  # None: the account's own
    interval: str = ""
    account: int = 0
    resume_from: int | None = None
    acknowledge: Callable[[Message], None]
    is_wanted: Callable[[], bool]

    def snapshot_instead(self, why: str) -> None:
        """Tell that what was missed cannot be had."""
        metrics.STREAM_RESUMES.labels("resnapshot").inc()
        self.acknowledge({"resume": "resnapshot", "detail": why})

    def replayed(self) -> None:
        """Tell that what was missed follows."""
        metrics.STREAM_RESUMES.labels("replayed").inc()
        self.acknowledge({"resume": "replayed"})


class Balances(Protocol):
    """What accounts have after the last command that was applied, which may not be in the journal yet."""

    @property
    def sequence(self) -> int: ...

    def balance(self, account: int, asset: int) -> tuple[int, int]: ...


class _Nothing:
    sequence = 0

    def balance(self, account: int, asset: int) -> tuple[int, int]:
        return 0, 0


class Hub:
    """Publishes what was journaled. Call ``publish`` once a batch, in order; run ``run`` beside it."""

    def __init__(self, catalogue: Catalogue, live: Live, archive: Archive | None = None) -> None:
        self._catalogue = catalogue
        self._live = live
        self._tail = Tail(archive)
        self._markets: dict[int, MarketStreams] = {}
        self._private: dict[int, Private] = {}
        self._balances: Balances = _Nothing()
        self._when_exact: list[Callable[[], None]] = []  # what waits for the balances to be the journal's
        self._opening: dict[int, asyncio.Lock] = {}
        self.connections: set[Subscriber] = set()
        self.rounds = Rounds(self.connections, self._heartbeat)

    @property
    def subscribers(self) -> int:
        """How many subscriptions there are."""
        public = (channel for streams in self._markets.values() for channel in streams.channels)
        return sum(sum(map(len, channel.subscribers)) for channel in (*public, *self._private.values()))

    # From the corridor

    def publish(self, changes: Changes) -> None:
        """Take what a durable batch changed. Nothing that goes wrong here is the corridor's trouble."""
        try:
            self._publish(changes)
        except Exception:
            logger.exception("the streams broke at sequence %d", changes.sequence)
            self._break_off()

    def _publish(self, changes: Changes) -> None:
        self._tail.extend(changes.entries)
        for number, levels in changes.levels.items():
            self._market(number).take_levels(levels, changes)
        for number in changes.modes:
            self._market(number).take_mode()
        for number, trades in changes.trades.items():
            self._market(number).take_trades(trades, changes)
        for streams in self._markets.values():
            streams.take_entries(changes)
        if self._private:
            for account in changes.accounts:
                if account in self._private:
                    self._publish_private(account, changes)
        waiting, self._when_exact = self._when_exact, []
        for call in waiting:
            call()

    def begin_term(self, balances: Balances) -> None:
        """After a recovery the streams go on from another state: everybody connects again, and resumes."""
        self._balances = balances
        self.close_all(1012, "the exchange recovered: connect again")
        self._begin_anew()

    def _break_off(self) -> None:
        self.close_all(1011, "the streams broke: connect again")
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._markets.clear()
        self._private.clear()
        self._when_exact.clear()
        self.rounds.begin_anew()
        self._tail.begin(self._live.sequence)

    def _market(self, number: int) -> MarketStreams:
        streams = self._markets.get(number)
        if streams is None:
            market = self._catalogue.markets[number]
            streams = self._markets[number] = MarketStreams(market, self._live, self.rounds.touch)
        return streams

    def _publish_private(self, account: int, changes: Changes) -> None:
        orders = changes.orders.get(account, {}).values()
        content = self._private_content(account, orders, changes.fills.get(account, ()))
        self._private[account].update(changes.sequence, content)

    # By the clock

    async def run(self) -> None:
        """Take rounds, tell what is conflated, and heartbeats, until cancelled."""
        while True:
            try:
                async with asyncio.TaskGroup() as together:
                    together.create_task(self.rounds.run())
                    together.create_task(self._tick())
            except* Exception:
                logger.exception("the rounds of the streams broke")
                self._break_off()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _tick(self) -> None:
        next_summary = next_heartbeat = next_look = 0.0
        while True:
            await asyncio.sleep(DEPTH_EVERY_S)
            now = time.monotonic()
            for streams in self._markets.values():
                streams.flush_depth()
            if now >= next_summary:
                next_summary = now + SUMMARY_EVERY_S
                for streams in self._markets.values():
                    streams.flush_ticker()
                    streams.flush_candles()
            if now >= next_heartbeat:
                next_heartbeat = now + HEARTBEAT_EVERY_S
                self.rounds.beat()
            if now >= next_look:
                next_look = now + LOOK_EVERY_S
                for subscriber in [one for one in self.connections if one.cohort is None]:
                    subscriber.look()

    def _heartbeat(self) -> bytes:
        return encode({"type": "heartbeat", "sequence": self._live.sequence, "timestamp_ns": time.time_ns()})

    # Subscriptions

    def subscribe(self, wanted: Subscription) -> Awaitable[None] | None:
        """Send a channel from now on; the awaitable is for those that take a moment to begin.

        It raises CannotFollow where the orders of a market (l3) cannot be had now.
        """
        if wanted.market is None:
            if wanted.resume_from is not None:
                return self._resume_orders(wanted, wanted.resume_from)
            self._exactly(lambda: self._begin_orders(wanted, lambda: wanted.acknowledge({})))
            return None
        streams = self._market(wanted.market.number)
        if wanted.resume_from is not None:
            return self._resume(wanted, streams, wanted.resume_from)
        if wanted.channel == "l3":
            return self._begin_l3(wanted, streams, lambda: wanted.acknowledge({}))
        wanted.acknowledge({})
        self._channel(streams, wanted).begin(wanted.subscriber)
        return None

    async def _resume(self, wanted: Subscription, streams: MarketStreams, sequence: int) -> None:
        """Send what a public channel told after a sequence, and go on; or a snapshot where that cannot be had."""
        try:
            await self._reach(sequence)
            missed = await self._missed(wanted, streams, sequence)
        except CannotFollow as error:
            why = str(error)
            if wanted.channel == "l3":
                await self._begin_l3(wanted, streams, lambda: wanted.snapshot_instead(why))
            elif wanted.is_wanted():
                wanted.snapshot_instead(why)
                self._channel(streams, wanted).begin(wanted.subscriber)
            return
        if wanted.is_wanted():
            channel = self._channel(streams, wanted)
            wanted.replayed()
            if missed is None:
                channel.resume(wanted.subscriber, sequence)
            else:
                channel.go_on(wanted.subscriber, missed)

    async def _missed(self, wanted: Subscription, streams: MarketStreams, sequence: int) -> bytes | None:
        """Frames that lead from a sequence to now; None where the channel has them itself."""
        name, channel = wanted.channel, self._channel(streams, wanted)
        self._flush(streams, name)
        if channel.keeps(sequence) and (name != "l3" or streams.feed is not None):
            return None
        if name == "ticker":
            return channel.frame(channel.sequence, sequence, streams.render_ticker())
        if name == "trades":
            trades = MissedTrades(streams, sequence)
            await self._tail.follow(sequence, trades.take)
            return trades.frames()
        if name == "depth.raw":
            levels = MissedLevels(streams, await self._feed_at(streams.market, sequence))
            await self._tail.follow(sequence, levels.take)
            return levels.frames()
        if name == "l3":
            steps = MissedSteps(streams, await self._feed_at(streams.market, sequence))
            await self._tail.follow(sequence, steps.take)
            if streams.feed is None:
                streams.open_l3(steps.feed)
            return steps.frames()
        raise CannotFollow("the changes since then are not kept")

    async def _begin_l3(self, wanted: Subscription, streams: MarketStreams, acknowledge: Callable[[], None]) -> None:
        """Send a snapshot of all orders, which takes a moment to make, and what came meanwhile."""
        streams.l3_beginning += 1
        try:
            async with self._opening.setdefault(streams.market.number, asyncio.Lock()):
                await self._open_l3(streams)
                sequence, snapshot = await streams.l3_snapshot()
        finally:
            streams.l3_beginning -= 1
        if not streams.l3.keeps(sequence):
            raise CannotFollow("the market moves faster than a snapshot of its orders is made")
        if wanted.is_wanted():
            acknowledge()
            wanted.subscriber.send(snapshot)
            streams.l3.resume(wanted.subscriber, sequence)

    async def _reach(self, sequence: int) -> None:
        if await self._tail.ahead(sequence):
            raise CannotFollow(f"this exchange has come to entry {self._tail.sequence}")

    def _flush(self, streams: MarketStreams, name: str) -> None:
        flush = {"depth": streams.flush_depth, "ticker": streams.flush_ticker, "candles": streams.flush_candles}
        flush.get(name, lambda: None)()

    async def _open_l3(self, streams: MarketStreams) -> None:
        """Begin to follow a market order by order, unless somebody has."""
        if streams.feed is None:
            feed = await self._feed_at(streams.market, self._tail.sequence)
            await self._tail.follow(feed.sequence, feed.pass_over)
            if streams.feed is None:
                streams.open_l3(feed)

    async def _feed_at(self, market: Market, sequence: int) -> OrderFeed:
        mode, orders = await self._tail.archive.book(market.number, sequence)
        return await OrderFeed.begin(market, sequence, mode, orders)

    def _channel(self, streams: MarketStreams, wanted: Subscription) -> Channel:
        return self._channel_of(streams, wanted.channel, wanted.interval)

    def _channel_of(self, streams: MarketStreams, name: str, interval: str) -> Channel:
        if name == "candles":
            return streams.candles_of(interval)
        channels: dict[str, Channel] = {
            "depth": streams.depth,
            "depth.raw": streams.raw,
            "l3": streams.l3,
            "trades": streams.trades,
            "ticker": streams.ticker,
        }
        return channels[name]

    def unsubscribe(self, subscriber: Subscriber, name: str, market: Market, interval: str = "") -> None:
        """Send no more of a public channel."""
        self._channel_of(self._market(market.number), name, interval).leave(subscriber)

    # The private channel

    async def _resume_orders(self, wanted: Subscription, sequence: int) -> None:
        """Send what happened to an account after a sequence, and go on; or a snapshot where that cannot be had."""
        missed, known = MissedOrders(wanted.account), dict[int, OrderState]()
        try:
            await self._reach(sequence)
            at = await self._follow_orders(missed, known, sequence)
        except CannotFollow as error:
            why = str(error)
            self._exactly(lambda: self._begin_orders(wanted, lambda: wanted.snapshot_instead(why)))
            return
        self._exactly(lambda: self._go_on_orders(wanted, missed, known, at, sequence))

    async def _follow_orders(self, missed: MissedOrders, known: dict[int, OrderState], sequence: int) -> int:
        """Learn what happened to an account up to now, and what became of its orders; return the last sequence."""
        while True:
            await self._tail.follow(sequence, missed.take)
            sequence = self._tail.sequence
            unknown = [order_id for order_id in missed.changed if self._state(missed, known, order_id) is None]
            if not unknown:
                return sequence
            for order_id in unknown:  # these have ended long ago: the tables have their last state
                order = await self._tail.archive.order(missed.account, order_id, sequence)
                if order is None:
                    raise CannotFollow(f"order {order_id} is not in the tables")
                known[order_id] = order

    def _go_on_orders(
        self, wanted: Subscription, missed: MissedOrders, known: dict[int, OrderState], at: int, sequence: int
    ) -> None:
        try:
            missed.take(self._tail.after(at))  # the batch that was waited for, if one was
        except CannotFollow as error:
            why = str(error)
            self._begin_orders(wanted, lambda: wanted.snapshot_instead(why))
            return
        states = [self._state(missed, known, order_id) for order_id in missed.changed]
        orders = [order for order in states if order is not None]
        if len(orders) < len(states):
            self._begin_orders(wanted, lambda: wanted.snapshot_instead("an order was forgotten meanwhile"))
        elif wanted.is_wanted():
            wanted.replayed()
            channel = self._private_channel(wanted.account)
            begun = b""
            if sequence < channel.sequence:
                content = self._private_content(wanted.account, orders, missed.fills)
                begun = channel.frame(channel.sequence, sequence, content)
            channel.go_on(wanted.subscriber, begun)

    def _state(self, missed: MissedOrders, known: dict[int, OrderState], order_id: int) -> OrderState | None:
        """What has become of an order: live or ended lately, ended while it was missed, or in the tables."""
        order = self._live.order(order_id)
        if order is None and (placed := missed.placed.get(order_id)) is not None and not placed.is_live:
            order = placed
        return order or known.get(order_id)

    def _exactly(self, call: Callable[[], None]) -> None:
        """Call when the balances are the journal's: now, or with the batch that is under way."""
        if self._balances.sequence != self._live.sequence:
            self._when_exact.append(call)
        else:
            call()

    def _begin_orders(self, wanted: Subscription, acknowledge: Callable[[], None]) -> None:
        if wanted.is_wanted():
            acknowledge()
            self._private_channel(wanted.account).begin(wanted.subscriber)

    def _tell_now(self, channel: Channel) -> None:
        """A private channel has something new: its few subscribers get it at once."""
        channel.line_up()
        for subscriber in channel.subscribers:
            assert isinstance(subscriber, Subscriber), "whoever has an account's channel is apart"
            subscriber.mark(channel)
            subscriber.flush_soon()

    def _private_channel(self, account: int) -> Private:
        channel = self._private.get(account)
        if channel is None:

            def snapshot() -> Message:
                return self._private_content(account, self._live.orders_of.get(account, {}).values(), ())

            head = {"channel": "orders"}
            channel = self._private[account] = Private(head, self._live.sequence, snapshot, self._tell_now)
        return channel

    def _private_content(self, account: int, orders: Iterable[OrderState], fills: Iterable[Fill]) -> Message:
        """Orders, fills, and what the account has, as of the last batch: the balances must be exact now."""
        markets = self._catalogue.markets
        return {
            "timestamp_ns": self._live.timestamp_ns,
            "orders": [show_order(order, markets[order.market]) for order in orders],
            "fills": [show_account_fill(fill, markets[fill.market]) for fill in fills],
            "balances": self._render_balances(account),
        }

    def _render_balances(self, account: int) -> list[Message]:
        balances = []
        for asset in self._catalogue.assets.values():
            available, held = self._balances.balance(account, asset.number)
            if available or held:
                texts = (asset.to_text(available), asset.to_text(held), asset.to_text(available + held))
                balances.append({"asset": asset.name, **dict(zip(("available", "held", "total"), texts, strict=True))})
        return balances

    def unsubscribe_orders(self, subscriber: Subscriber, account: int) -> None:
        """Send no more of the account's orders."""
        channel = self._private.get(account)
        if channel is not None:
            channel.leave(subscriber)
            if not channel.subscribers:
                del self._private[account]

    # Connections

    def forget(self, subscriber: Subscriber) -> None:
        """The connection is gone."""
        self.connections.discard(subscriber)
        for channel in list(subscriber.channels):
            channel.leave(subscriber)
        for account in [a for a, channel in self._private.items() if subscriber in channel.subscribers]:
            self.unsubscribe_orders(subscriber, account)

    def close_all(self, code: int, reason: str) -> None:
        """Tell everybody that the connection ends, why and when to come back, and end it."""
        spread_ms = RECONNECT_SPREAD_MS * len(self.connections)
        for subscriber in list(self.connections):
            wait_ms = RECONNECT_MS + random.randint(0, spread_ms)  # noqa: S311 - so that not all come at once
            told = {
                "type": "shutdown",
                "reason": reason,
                "reconnect_after_ms": wait_ms,
                "sequence": self._live.sequence,
            }
            subscriber.send(encode(told))
            subscriber.close(code, reason)

"""What a subscriber missed, made of the entries that it missed: for the channels that must not miss anything.

Each of these takes the entries in order (``Tail.follow``) and then gives frames that lead from where the subscriber was
to where its channel is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.market_data import L2Update, L3Update
from engine.records import EventKind
from exchange.contracts.events import Event, read_events
from exchange.contracts.order_state import Fill, OrderState, fills_of
from exchange.gateway.channels import Channel
from exchange.gateway.market_streams import MarketStreams, render_trade
from exchange.gateway.order_feed import OrderFeed, render_steps
from exchange.gateway.subscriber import Message
from exchange.gateway.tail import CannotFollow
from exchange.storage.journal import Entry

MISSED_BYTES_MAX = 4 * 1024 * 1024  # of messages; who missed more is told to take a snapshot
_MONEY = frozenset((EventKind.DEPOSITED, EventKind.WITHDRAWN))
_ORDER_KINDS = frozenset(
    (
        EventKind.ACCEPTED,
        EventKind.TRIGGERED,
        EventKind.ACTIVATED,
        EventKind.REFRESHED,
        EventKind.AMENDED,
        EventKind.CANCELLED,
    )
)


class Missed:
    """Messages in the making, from a sequence to that of a channel."""

    def __init__(self, channel: Channel, sequence: int) -> None:
        self._channel = channel
        self._sequence = sequence
        self._last: tuple[int, Message] | None = None
        self._frames: list[bytes] = []
        self._bytes = 0

    def add(self, sequence: int, content: Message) -> None:
        """Raises CannotFollow where it gets too much."""
        self._finish_last()
        self._last = sequence, content

    def frames(self, nothing: Message) -> bytes:
        """The messages, the last of which ends where the channel is. ``nothing``: the content where there was none."""
        end = self._channel.sequence
        if self._sequence < end or self._last is not None:
            self._last = end, self._last[1] if self._last is not None else nothing
            self._finish_last()
        return b"".join(self._frames)

    def _finish_last(self) -> None:
        if self._last is None:
            return
        sequence, content = self._last
        frame = self._channel.frame(sequence, self._sequence, content)
        self._frames.append(frame)
        self._bytes += len(frame)
        self._sequence, self._last = sequence, None
        if self._bytes > MISSED_BYTES_MAX:
            raise CannotFollow(f"more than {MISSED_BYTES_MAX} bytes of messages were missed")


class MissedTrades:
    """Of one market: a message for every slice of the journal that has some."""

    def __init__(self, streams: MarketStreams, sequence: int) -> None:
        self._market = streams.market
        self._missed = Missed(streams.trades, sequence)

    def take(self, entries: Sequence[Entry]) -> None:
        trades = [
            render_trade(event, self._market)
            for entry in entries
            for event in read_events(entry.events)
            if event.kind == EventKind.TRADED and event.market == self._market.number
        ]
        if trades:
            self._missed.add(entries[-1].sequence, {"trades": trades})

    def frames(self) -> bytes:
        return self._missed.frames({"trades": []})


class MissedLevels:
    """Of one market: a message for every command that changed the book."""

    def __init__(self, streams: MarketStreams, feed: OrderFeed) -> None:
        self._streams = streams
        self._feed = feed
        self._missed = Missed(streams.raw, feed.sequence)

    def take(self, entries: Sequence[Entry]) -> None:
        for update in self._feed.take(entries):
            if isinstance(update, L2Update):
                self._missed.add(update.sequence, self._streams.raw_content_of(update))

    def frames(self) -> bytes:
        streams = self._streams
        return self._missed.frames(streams.raw_content({}, 0, streams.checksum()))


class MissedSteps:
    """Of one market's orders: a message for every command that changed the book."""

    def __init__(self, streams: MarketStreams, feed: OrderFeed) -> None:
        self._streams = streams
        self.feed = feed
        self._missed = Missed(streams.l3, feed.sequence)

    def take(self, entries: Sequence[Entry]) -> None:
        for update in self.feed.take(entries):
            if isinstance(update, L3Update):
                self._missed.add(update.sequence, render_steps(self._streams.market, [update]))

    def frames(self) -> bytes:
        return self._missed.frames({"timestamp_ns": 0, "changes": [], "checksum": self.feed.checksum})


@dataclass(slots=True)
class MissedOrders:
    """Of one account: which orders changed, those that were placed meanwhile as they are now, and all fills."""

    account: int
    changed: dict[int, None] = field(default_factory=dict)  # order ids, in the order of their first change
    placed: dict[int, OrderState] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)

    def take(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            for event in read_events(entry.events):
                kind = event.kind
                if kind == EventKind.TRADED:
                    self._trade(event)
                elif kind == EventKind.PREVENTED:
                    self._change(event.account, event.order_id, event)
                    self._change(event.maker_account, event.maker_order_id, event)
                elif kind in _ORDER_KINDS and event.account == self.account:
                    if kind == EventKind.ACCEPTED:
                        self._place(event, entry.command)
                    self._change(event.account, event.order_id, event)

    def _place(self, event: Event, command: bytes) -> None:
        order = self.placed[event.order_id] = OrderState.accepted(event, command)
        if order.named_id:
            self.changed[order.named_id] = None
            if order.named_id in self.placed:
                self.placed[order.named_id].link(order)

    def _trade(self, trade: Event) -> None:
        for account, fill in zip((trade.account, trade.maker_account), fills_of(trade), strict=True):
            if account == self.account:
                self.fills.append(fill)
                self._change(account, fill.order_id, trade)

    def _change(self, account: int, order_id: int, event: Event) -> None:
        if account == self.account:
            self.changed[order_id] = None
            if order_id in self.placed:
                self.placed[order_id].take(event)

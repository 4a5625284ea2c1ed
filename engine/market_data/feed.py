"""One shard's markets out of its events: apply them, get the messages."""

from typing import NoReturn, Self

from engine.market_data.decoding import Buffer, Event, read_events
from engine.market_data.messages import L2Snapshot, L3Snapshot, Message
from engine.market_data.snapshot import FeedSnapshot
from engine.market_data.view import KINDS, BookView, EventsInconsistent
from engine.records import EventKind

_TRADED, _MARKET_DEFINED = int(EventKind.TRADED), int(EventKind.MARKET_DEFINED)


class Feed:
    """All markets of a shard. `sequence` is that of the last command whose events were applied."""

    def __init__(self) -> None:
        self.sequence = 0
        self._trades = 0
        self._views: dict[int, BookView] = {}

    @classmethod
    def restore(cls, snapshot: FeedSnapshot) -> Self:
        """The feed that made the snapshot. Raises ValueError for one whose orders do not fit their checksum."""
        feed = cls()
        feed.sequence, feed._trades = snapshot.sequence, snapshot.trades
        feed._views = {market.market: BookView.restore(market) for market in snapshot.markets}
        return feed

    def snapshot(self) -> FeedSnapshot:
        """All that the feed knows."""
        return FeedSnapshot(self.sequence, self._trades, tuple(self.l3_snapshot(market) for market in self._views))

    def l3_snapshot(self, market: int) -> L3Snapshot:
        """Every visible order of a market. Raises KeyError for a market that the events did not define."""
        return self._views[market].l3_snapshot(self.sequence)

    def l2_snapshot(self, market: int, levels: int = 0) -> L2Snapshot:
        """A market's best levels of each side, so many at most (0: all). Raises KeyError as above."""
        return self._views[market].l2_snapshot(self.sequence, levels)

    def view(self, market: int) -> BookView:
        """The view of a market. Raises KeyError as above."""
        return self._views[market]

    @property
    def markets(self) -> list[int]:
        """The numbers of all markets."""
        return list(self._views)

    def apply(self, events: Buffer) -> list[Message]:
        """Take the events of whole commands, in their order; what they let be told.

        Events of commands up to `sequence` were applied before and are passed over. Raises ValueError for a buffer that
        is no whole number of records, and EventsInconsistent for events that do not follow what was applied: then the
        feed is of no use any more and has to be restored.
        """
        messages: list[Message] = []
        touched: dict[BookView, None] = {}
        applied = sequence = self.sequence
        timestamp_ns = 0
        for event in read_events(events):
            if event.sequence <= applied:
                continue
            if event.sequence != sequence:
                for view in touched:
                    messages += view.finish(sequence, timestamp_ns)
                touched.clear()
                sequence, timestamp_ns = self._next(event, sequence), event.timestamp_ns
            kind = event.kind
            if kind in KINDS:
                if kind == _TRADED:
                    self._count_trade(event)
                view = self._views.get(event.market) or self._unknown(event)
                touched[view] = None
                view.apply(event)
            elif kind == _MARKET_DEFINED:
                self._views[event.market] = BookView(event.market)
        for view in touched:
            messages += view.finish(sequence, timestamp_ns)
        self.sequence = sequence
        return messages

    def _next(self, event: Event, sequence: int) -> int:
        if event.sequence < sequence:
            raise EventsInconsistent(f"an event of command {event.sequence} comes after those of command {sequence}")
        return event.sequence

    def _count_trade(self, event: Event) -> None:
        self._trades += 1
        if event.trade_id != self._trades:
            raise EventsInconsistent(
                f"command {event.sequence}: trade {event.trade_id} comes where trade {self._trades} was to come"
            )

    def _unknown(self, event: Event) -> NoReturn:
        raise EventsInconsistent(
            f"command {event.sequence}: market {event.market} was not defined; the markets are {self.markets}"
        )

"""The markets as of the last durable command, in memory.

Books by level, latest trades, tickers, modes, and everybody's live orders. Fed by the writer with journaled entries
only, so nothing here is ever ahead of the journal. Every order passes here, so what an entry does is compiled
(engine/orders/live.pyx), and what it did is told as it lies: trades and fills are read when somebody wants them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from operator import attrgetter
from typing import overload

from engine.orders.live import DAY_MINUTES, LATEST_TRADES, MINUTE_NS, LiveMarket, LiveState, Minute
from engine.records import Mode, Side
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.events import Event, read_events, write_event
from exchange.contracts.order_state import Fill, OrderState, fills_of
from exchange.storage.journal import Entry

__all__ = ["DAY_MINUTES", "LATEST_TRADES", "MINUTE_NS", "Changes", "Live", "LiveMarket", "Minute", "Ticker", "Trades"]

ENDED_MAX = 10_000  # at the bound the one that ended first is forgotten; the tables have it


@dataclass(frozen=True, slots=True)
class Ticker:
    """A market's last 24 hours; None where there was no trade or no order."""

    last_price_ticks: int | None
    best_bid_ticks: int | None
    best_ask_ticks: int | None
    volume_24h_lots: int
    open_24h_ticks: int | None
    high_24h_ticks: int | None
    low_24h_ticks: int | None


class Trades(Sequence[Event]):
    """TRADED events of one market, read when somebody wants them. ``minutes``: when the minutes began they are of."""

    def __init__(self, records: Sequence[bytes], minutes: AbstractSet[int]) -> None:
        self._records = records
        self.minutes = minutes

    @property
    def records(self) -> bytes:
        """As the journal has them, one after another."""
        return b"".join(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Event]:
        return read_events(self.records)

    @overload
    def __getitem__(self, at: int) -> Event: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Event]: ...
    def __getitem__(self, at: int | slice) -> Event | Sequence[Event]:
        if isinstance(at, slice):
            return tuple(self)[at]
        (event,) = read_events(self._records[at])
        return event


class Changes:
    """What a batch of entries changed, for those who tell the world."""

    def __init__(
        self,
        sequence: int,
        timestamp_ns: int,
        levels: Mapping[int, set[tuple[int, int]]],
        trades: Mapping[int, Trades],
        changed: Sequence[OrderState],
        accounts: AbstractSet[int],
        modes: AbstractSet[int],
        entries: Sequence[Entry],
    ) -> None:
        self.sequence = sequence
        self.timestamp_ns = timestamp_ns
        self.levels = levels  # market -> {(side, price_ticks)}
        self.trades = trades  # market -> TRADED events
        self._changed = changed
        self.accounts = accounts  # whose balances may have changed
        self.modes = modes  # markets whose mode changed
        self.entries = entries  # the batch itself

    @cached_property
    def orders(self) -> dict[int, dict[int, OrderState]]:
        """By account and order id, the latest state of what changed."""
        orders: dict[int, dict[int, OrderState]] = {}
        for order in self._changed:
            orders.setdefault(order.account, {})[order.order_id] = order
        return orders

    @cached_property
    def fills(self) -> dict[int, list[Fill]]:
        """By account, in the order in which they happened."""
        fills: dict[int, list[Fill]] = {}
        for trade in sorted(chain(*self.trades.values()), key=attrgetter("trade_id")):
            for account, fill in zip((trade.account, trade.maker_account), fills_of(trade), strict=True):
                fills.setdefault(account, []).append(fill)
        return fills


class Live(LiveState):
    """See the module. ``sequence``: the last entry it includes."""

    def __init__(self, catalogue: Catalogue) -> None:
        super().__init__(catalogue, ENDED_MAX)
        self.catalogue = catalogue

    def begin(
        self,
        sequence: int,
        timestamp_ns: int,
        live_orders: Iterable[OrderState],
        minutes: Mapping[int, Sequence[Minute]],
        latest_trades: Mapping[int, Sequence[Event]],
        modes: Mapping[int, int],
    ) -> None:
        """Start a term from the tables, which are as far as ``sequence``. Trades and minutes oldest first."""
        self.reset(sequence, timestamp_ns, live_orders)
        for number, market in self.markets.items():
            latest = latest_trades.get(number, ())
            market.begin(modes.get(number, Mode.OPEN), minutes.get(number, ()), map(write_event, latest))
            if latest:
                market.last_price_ticks = latest[-1].price_ticks

    def apply(self, entries: Sequence[Entry]) -> Changes:
        """Take journaled entries, in sequence, and return what they changed."""
        levels, traded, changed, accounts, modes = self.fold(entries)
        trades = {market: Trades(*of_market) for market, of_market in traded.items()}
        return Changes(self.sequence, self.timestamp_ns, levels, trades, changed, accounts, modes, entries)

    def depth(self, market_number: int, levels: int) -> tuple[int, list[tuple[int, int]], list[tuple[int, int]]]:
        """Return (sequence, bids, asks), at most ``levels`` (price_ticks, quantity_lots) a side, best first."""
        market = self.markets[market_number]
        return self.sequence, market.depth(Side.BUY, levels), market.depth(Side.SELL, levels)

    def latest_trades(self, market_number: int) -> Sequence[Event]:
        """Return a market's latest trades, oldest first."""
        return list(read_events(b"".join(self.markets[market_number].latest)))

    def ticker(self, market_number: int) -> Ticker:
        """Return what a market did within the last 24 hours."""
        market = self.markets[market_number]
        bids, asks = market.levels[Side.BUY], market.levels[Side.SELL]
        day = [minute for minute in market.minutes if minute.opened_ns > self.timestamp_ns - DAY_MINUTES * MINUTE_NS]
        return Ticker(
            last_price_ticks=market.last_price_ticks,
            best_bid_ticks=bids.keys()[-1] if bids else None,
            best_ask_ticks=asks.keys()[0] if asks else None,
            volume_24h_lots=sum(minute.volume_lots for minute in day),
            open_24h_ticks=day[0].open_ticks if day else None,
            high_24h_ticks=max((minute.high_ticks for minute in day), default=None),
            low_24h_ticks=min((minute.low_ticks for minute in day), default=None),
        )

    def mode(self, market_number: int) -> int:
        """What a market lets happen (engine/records.py, Mode)."""
        return self.markets[market_number].mode

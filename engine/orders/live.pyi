from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from sortedcontainers import SortedDict

from engine.orders.state import OrderState

LATEST_TRADES: int
MINUTE_NS: int
DAY_MINUTES: int

class Minute:
    """One minute of a market's trades."""

    def __init__(
        self,
        opened_ns: int,
        open_ticks: int,
        high_ticks: int,
        low_ticks: int,
        close_ticks: int,
        volume_lots: int,
        trades: int,
    ) -> None: ...
    @property
    def opened_ns(self) -> int: ...
    @property
    def open_ticks(self) -> int: ...
    @property
    def high_ticks(self) -> int: ...
    @property
    def low_ticks(self) -> int: ...
    @property
    def close_ticks(self) -> int: ...
    @property
    def volume_lots(self) -> int: ...
    @property
    def trades(self) -> int: ...

class LiveMarket:
    """One market's levels, latest trades and last 24 hours."""

    last_price_ticks: int | None
    mode: int  # what the market lets happen (engine/records.py, Mode)
    @property
    def levels(self) -> dict[int, SortedDict[int, int]]:
        """By side: price_ticks -> quantity_lots."""
    @property
    def latest(self) -> deque[bytes]:
        """TRADED records, oldest first."""
    @property
    def minutes(self) -> deque[Minute]:
        """Those with trades, oldest first."""
    def begin(self, mode: int, minutes: Iterable[Minute], latest: Iterable[bytes]) -> None:
        """Know what was before; oldest first."""
    def depth(self, side: int, levels: int) -> list[tuple[int, int]]:
        """At most ``levels`` (price_ticks, quantity_lots), best first."""

class _Catalogue(Protocol):
    @property
    def markets(self) -> Iterable[int]: ...
    def define(self, command: bytes) -> None: ...

class _Entry(Protocol):
    @property
    def sequence(self) -> int: ...
    @property
    def command(self) -> bytes: ...
    @property
    def events(self) -> bytes: ...

class LiveState:
    """Live orders by id and by account, the ``ended_max`` orders that ended last, and the markets.

    ``catalogue`` hears of definitions, and knows the numbers of markets.
    """

    def __init__(self, catalogue: _Catalogue, ended_max: int) -> None:
        """Raises ValueError for an ``ended_max`` below 1."""

    @property
    def sequence(self) -> int:
        """The last entry that it includes."""
    @property
    def timestamp_ns(self) -> int: ...
    @property
    def markets(self) -> dict[int, LiveMarket]: ...
    @property
    def orders(self) -> dict[int, OrderState]: ...
    @property
    def orders_of(self) -> dict[int, dict[int, OrderState]]: ...
    @property
    def ended(self) -> dict[int, OrderState]:
        """In the order in which they ended."""
    def reset(self, sequence: int, timestamp_ns: int, live_orders: Iterable[OrderState]) -> None:
        """Begin anew with these orders and the catalogue's markets."""
    def fold(
        self, entries: Sequence[_Entry]
    ) -> tuple[
        dict[int, set[tuple[int, int]]],
        dict[int, tuple[list[bytes], set[int]]],
        list[OrderState],
        set[int],
        set[int],
    ]:
        """Take journaled entries, in sequence.

        Return what they changed: by market the levels, (side, price_ticks); by market its TRADED records and when the
        minutes began that they are of; the orders, each as often as an entry changed it; the accounts whose balances
        may have changed; the markets whose mode changed. Raises KeyError for an order or a market that is not known,
        ValueError for what is no record.
        """
    def order(self, order_id: int) -> OrderState | None:
        """Return an order that is live, or that was and has ended lately."""

"""Reader of Bitstamp's recorded order log (L3), and its translation to orders for a market that matches by itself.

Format: one event a line, `epoch_ms kind json`, oldest first; plain text, or compressed when the name ends in `.xz`.

| kind | json |
|---|---|
| order_created, order_changed, order_deleted | `id`, `order_type` (0 buy, 1 sell), `price`, `amount` (what remains) |
| trade | `id`, `price`, `amount` (binary floats: rounded to 8 decimals) |
| order_book | `bids`, `asks`: the venue's own best 20 levels, `[price, amount]`, best first |

The log tells what the venue's matching did; our market does its own matching. So only what people *asked for* is
played:

- **created** is a limit order of the original amount at its price. An aggressor crosses the book and our market fills
  it by itself. Market orders were recorded as limit orders too: sells at the best bid, buys about 10 % above the best
  ask.
- **changed** at the same price is the trace of a fill, which our own match makes: nothing is sent.
- **changed** at another price is the venue walking a market order to the next level: the order is replaced (cancel,
  then place at the new price, never for more than our market left of it).
- **deleted** with an amount left is the owner's cancel. **deleted** with nothing left is a complete fill, which our
  own match has normally made already: the cancel sent for it then finds the order ended, and otherwise takes away an
  order that the venue's book no longer has. So differences never live longer than the order that caused them.
- **trade** is only counted. **order_book** is the moment to compare the two books.

What cannot be reproduced: orders that rested before the recording began (they are never created, so an early
aggressor finds less than it did; hence the warm-up before books are compared); market buys given as an amount of
money, whose last lots the venue rounded in its own way; sweeps that took the venue up to two seconds and our market
an instant; snapshots that the venue published a few milliseconds behind its own order log. What is missing or out of
order in the recording is counted in `TapeTranslator.gaps` and sent nowhere: see `Gap`.
"""

import lzma
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

AMOUNT_DECIMALS = Decimal("0.00000001")
LATE_EVENT_MEMORY = 4096  # ended or refused order ids remembered, so that a late event is not taken for a new order

Level = tuple[Decimal, Decimal]  # price, quantity
Side = Literal["Buy", "Sell"]


class TapeError(Exception):
    """A recording that cannot be read; the message names file, line and cause."""


class _OrderJson(msgspec.Struct):
    id: int
    order_type: Literal[0, 1]
    price: Decimal
    amount: Decimal


class _TradeJson(msgspec.Struct):
    id: int
    price: Decimal
    amount: Decimal


class _BookJson(msgspec.Struct):
    bids: list[Level]
    asks: list[Level]


class OrderChange(StrEnum):
    """What the venue said of an order."""

    CREATED = "order_created"
    CHANGED = "order_changed"
    DELETED = "order_deleted"


@dataclass(frozen=True, slots=True)
class TapeOrder:
    """An order's event. `quantity` is what remained of it then, in the base asset; `price` is in the quote asset."""

    timestamp_ms: int
    change: OrderChange
    order_id: int
    side: Side
    price: Decimal
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class TapeTrade:
    """A trade as the venue printed it."""

    timestamp_ms: int
    trade_id: int
    price: Decimal
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class TapeBook:
    """The venue's own snapshot: at most 20 levels a side, best first."""

    timestamp_ms: int
    bids: list[Level]
    asks: list[Level]


TapeEvent = TapeOrder | TapeTrade | TapeBook

_ORDER_CHANGES = {change.value.encode(): change for change in OrderChange}
_order_decoder = msgspec.json.Decoder(_OrderJson)
_trade_decoder = msgspec.json.Decoder(_TradeJson)
_book_decoder = msgspec.json.Decoder(_BookJson)


def read_tape(path: Path) -> Iterator[TapeEvent]:
    """Yield the events of a recording, one line in memory at a time.

    Raises TapeError with file and line number for what is no event, and for a file that is missing, cut off or not a
    recording.
    """
    number = 0
    try:
        with _open(path) as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    event = _parse(line)
                except (ValueError, ArithmeticError) as error:
                    raise TapeError(f"{path}, line {number}: {error}") from error
                yield event
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise TapeError(f"{path}: cannot be read after line {number}: {error}") from error


def count_events(path: Path, limit: int | None = None) -> int:
    """How many lines a recording has, `limit` at most. Raises TapeError for a file that cannot be read."""
    try:
        with _open(path) as lines:
            return sum(1 for _ in islice(lines, limit))
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise TapeError(f"{path}: cannot be read: {error}") from error


def _open(path: Path) -> BinaryIO | lzma.LZMAFile:
    return lzma.open(path, "rb") if path.suffix == ".xz" else path.open("rb")


def _parse(line: bytes) -> TapeEvent:
    parts = line.split(None, 2)
    if len(parts) != 3:
        raise ValueError("expected `epoch_ms kind json`")
    stamp, kind, text = parts
    if not stamp.isdigit():
        raise ValueError(f"{stamp.decode(errors='replace')!r} is no time in milliseconds")
    if kind == b"order_book":
        book = _book_decoder.decode(text)
        return TapeBook(int(stamp), book.bids, book.asks)
    if kind == b"trade":
        trade = _trade_decoder.decode(text)
        return TapeTrade(
            int(stamp), trade.id, trade.price.quantize(AMOUNT_DECIMALS), trade.amount.quantize(AMOUNT_DECIMALS)
        )
    if kind not in _ORDER_CHANGES:
        raise ValueError(
            f"unknown kind {kind.decode(errors='replace')!r}, expected order_created, order_changed, order_deleted, "
            "trade or order_book"
        )
    order = _order_decoder.decode(text)
    if not (order.price.is_finite() and order.amount.is_finite() and order.price > 0 and order.amount >= 0):
        raise ValueError(f"order {order.id}: price {order.price} must be above 0 and amount {order.amount} not below 0")
    side: Side = "Sell" if order.order_type else "Buy"
    return TapeOrder(int(stamp), _ORDER_CHANGES[kind], order.id, side, order.price, order.amount)


@dataclass(frozen=True, slots=True)
class Place:
    """Place a limit order (good till cancelled)."""

    order_id: int
    side: Side
    price: Decimal
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel what is left of the order; `filled` when the venue filled it completely, so that it should have ended."""

    order_id: int
    filled: bool


@dataclass(frozen=True, slots=True)
class Replace:
    """Cancel the order and place what our market left of it, `quantity` at most; `revision` counts from 1."""

    order_id: int
    side: Side
    price: Decimal
    quantity: Decimal
    revision: int


Step = Place | Cancel | Replace | TapeBook


class Gap(StrEnum):
    """What is missing or out of order in the recording; such an event is counted and skipped."""

    DELETED_UNSEEN = "deleted, never created (rested before the recording, or was lost)"
    CHANGED_UNSEEN = "changed, never created"
    DELETED_TWICE = "deleted twice"
    CHANGED_AFTER_END = "changed after it was deleted"
    CREATED_AFTER_END = "created after it was deleted (the two events arrived swapped: it never rests)"
    CREATED_TWICE = "created twice"
    CREATED_EMPTY = "created with nothing left"


@dataclass(slots=True)
class _Live:
    price: Decimal
    revision: int = 0


@dataclass
class TapeTranslator:
    """Turns events into steps, in order. Holds the recording's live orders and the last LATE_EVENT_MEMORY ended."""

    gaps: Counter[Gap] = field(default_factory=Counter)
    trades: int = 0  # printed by the venue
    _live: dict[int, _Live] = field(default_factory=dict)
    _ended: OrderedDict[int, None] = field(default_factory=OrderedDict)

    def translate(self, event: TapeEvent) -> Step | None:
        """Return the step that the event asks for, None when our market does by itself what it tells."""
        match event:
            case TapeBook():
                return event
            case TapeTrade():
                self.trades += 1
                return None
            case TapeOrder(change=OrderChange.CREATED):
                return self._created(event)
            case TapeOrder(change=OrderChange.CHANGED):
                return self._changed(event)
            case _:
                return self._deleted(event)

    def _created(self, event: TapeOrder) -> Step | None:
        if event.order_id in self._ended:
            return self._count(Gap.CREATED_AFTER_END)
        if event.order_id in self._live:
            return self._count(Gap.CREATED_TWICE)
        if not event.quantity:
            return self._count(Gap.CREATED_EMPTY)
        self._live[event.order_id] = _Live(event.price)
        return Place(event.order_id, event.side, event.price, event.quantity)

    def _changed(self, event: TapeOrder) -> Step | None:
        live = self._live.get(event.order_id)
        if live is None:
            return self._count(Gap.CHANGED_AFTER_END if event.order_id in self._ended else Gap.CHANGED_UNSEEN)
        if event.price == live.price or not event.quantity:
            return None
        live.price = event.price
        live.revision += 1
        return Replace(event.order_id, event.side, event.price, event.quantity, live.revision)

    def _deleted(self, event: TapeOrder) -> Step | None:
        if self._live.pop(event.order_id, None) is None:
            seen = event.order_id in self._ended
            self._end(event.order_id)
            return self._count(Gap.DELETED_TWICE if seen else Gap.DELETED_UNSEEN)
        self._end(event.order_id)
        return Cancel(event.order_id, filled=not event.quantity)

    def _end(self, order_id: int) -> None:
        self._ended[order_id] = None
        if len(self._ended) > LATE_EVENT_MEMORY:
            self._ended.popitem(last=False)

    def _count(self, gap: Gap) -> Step | None:
        self.gaps[gap] += 1
        return None

"""What a market tells the public, in ticks and lots: one message a stream, market and command.

Every message carries the `sequence` of the command that caused it and `prev_sequence`, that of the stream's message
before (0 for the first). So a command's changes arrive together or not at all, and between two messages no book is
crossed by an order that is about to trade. `docs/market_data.md` has the rules for a consumer.
"""

from enum import IntEnum
from typing import NamedTuple


class Action(IntEnum):
    """What happens to an order in the book."""

    ADD = 1  # it takes the last place at its price
    CHANGE = 2  # it shows another quantity and keeps its place
    EXECUTE = 3  # it trades, and leaves if nothing is visible any more
    DELETE = 4


class OrderChange(NamedTuple):
    """One step of the order-by-order book (L3)."""

    action: int
    order_id: int
    side: int
    price_ticks: int
    visible_lots: int  # after the step; 0: it has left
    executed_lots: int  # EXECUTE; 0 otherwise
    trade_id: int  # EXECUTE; 0 otherwise


class LevelChange(NamedTuple):
    """What stands at a price now (L2)."""

    side: int
    price_ticks: int
    visible_lots: int  # of all its orders; 0: the level is gone
    orders: int


class Trade(NamedTuple):
    """A trade; `side` is the aggressor's, 0 in an auction, where nobody is."""

    trade_id: int
    side: int
    price_ticks: int
    quantity_lots: int


class ModeChange(NamedTuple):
    """The market's mode changes (`engine.records.Mode`), and what an auction that ends with it came to."""

    mode: int
    previous_mode: int
    until_ns: int  # AUCTION: when it ends by itself; 0: when it is told to
    reference_price_ticks: int  # the middle of the price band; 0: none
    reason: int
    auction_price_ticks: int  # 0: no auction ended, or nothing crossed
    auction_lots: int
    auction_surplus_side: int
    auction_surplus_lots: int


class L3Update(NamedTuple):
    """Changes of single orders, to be applied in their order, and the checksum of the book after them."""

    market: int
    sequence: int
    prev_sequence: int
    timestamp_ns: int
    changes: tuple[OrderChange, ...]
    checksum: int


class L2Update(NamedTuple):
    """Changed levels, each once, and the checksum of the book after them."""

    market: int
    sequence: int
    prev_sequence: int
    timestamp_ns: int
    levels: tuple[LevelChange, ...]
    checksum: int


class L1Update(NamedTuple):
    """The best bid and ask; price and lots are 0 for a side that is empty. Only when one of the four changed."""

    market: int
    sequence: int
    prev_sequence: int
    timestamp_ns: int
    bid_price_ticks: int
    bid_lots: int
    ask_price_ticks: int
    ask_lots: int


class TradesUpdate(NamedTuple):
    """Trades, oldest first."""

    market: int
    sequence: int
    prev_sequence: int
    timestamp_ns: int
    trades: tuple[Trade, ...]


class ModeUpdate(NamedTuple):
    """Mode changes, oldest first."""

    market: int
    sequence: int
    prev_sequence: int
    timestamp_ns: int
    changes: tuple[ModeChange, ...]


Message = L3Update | L2Update | L1Update | TradesUpdate | ModeUpdate


class BookOrder(NamedTuple):
    """An order of an L3 snapshot."""

    order_id: int
    side: int
    price_ticks: int
    visible_lots: int


class Level(NamedTuple):
    """A price of an L2 snapshot."""

    price_ticks: int
    visible_lots: int
    orders: int


class StreamSequences(NamedTuple):
    """The sequence of each stream's last message, 0 for none."""

    l3: int = 0
    l2: int = 0
    l1: int = 0
    trades: int = 0
    mode: int = 0


class L3Snapshot(NamedTuple):
    """Every order in the book, bids then asks, best price first, in the order of the queue; all that a view knows."""

    market: int
    sequence: int  # of the last command that the snapshot includes
    mode: int
    checksum: int
    streams: StreamSequences
    orders: tuple[BookOrder, ...]


class L2Snapshot(NamedTuple):
    """The levels of the book, best first."""

    market: int
    sequence: int  # of the last command that the snapshot includes
    mode: int
    checksum: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]

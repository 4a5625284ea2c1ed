from typing import Any

import numpy as np

Trades = tuple[tuple[int, int, int, int], ...]
Records = np.ndarray[Any, np.dtype[np.void]]

class Book:
    """The resting orders of one market: price first, then time. Matching only: no accounts, no money.

    Sides, times in force and flags are the numbers of `engine.records`. An order id is 0 to 2**64 - 1, a price 1 to
    PRICE_TICKS_MAX ticks, a quantity 1 to QUANTITY_LOTS_MAX - 1 lots.

    A trade is (maker_order_id, taker_order_id, price_ticks, quantity_lots), at the maker's price; trades come in the
    order in which they happen. An order that a market may refuse at any time (see the methods) gets None. Anything
    else that is wrong raises ValueError that names the argument and its limits, or TypeError for what is no integer.
    Neither changes the book. MemoryError leaves it as it was, but where only the answer found no memory: then the
    operation has been done. Of a batch, the operations before have been done.

    An instance belongs to one thread.
    """

    def limit(
        self,
        order_id: int,
        side: int,
        price_ticks: int,
        quantity_lots: int,
        time_in_force: int = 1,
        flags: int = 0,
    ) -> Trades | None:
        """Trade at `price_ticks` or better. What remains of a GTC order rests, of an IOC order it is dropped.

        None: a FOK order that cannot be filled whole, a post-only order that would trade.
        ValueError: an order with this id rests already.
        """

    def market(self, order_id: int, side: int, quantity_lots: int) -> Trades:
        """Trade at any price. What remains is dropped. ValueError: an order with this id rests already."""

    def cancel(self, order_id: int) -> int:
        """Take a resting order out and return its remaining lots; 0 when no such order rests."""

    def replace(self, order_id: int, price_ticks: int, quantity_lots: int) -> Trades | None:
        """Give a resting order a price and a remaining quantity.

        It keeps its place when only the quantity falls. Otherwise it trades where it now may, and what remains goes
        behind the orders at its price. None: no such order rests.
        """

    def apply(self, operations: Records) -> tuple[Records, Records]:
        """Do a batch: a one-dimensional, contiguous array of `engine.book_records.OPERATION`, at most 2**32 - 1.

        Returns the trades (TRADE) and the refusals (REFUSED), both in order and read-only. Whatever is wrong with an
        operation is a refusal, and the next one goes on. ValueError: not such an array.
        """

    def best(self, side: int) -> int | None:
        """Best price of a side in ticks, None when nothing rests there."""

    def depth(self, side: int, levels: int | None = None) -> list[tuple[int, int, int]]:
        """(price_ticks, total_lots, orders) of the best levels of a side, best first; of all without a number."""

    def orders(self, side: int) -> list[tuple[int, int, int]]:
        """(order_id, price_ticks, remaining_lots) of a side's orders, in the order in which they would trade."""

    def __len__(self) -> int:
        """Number of resting orders."""

def layout() -> dict[str, int]:
    """Sizes in bytes of the C records, by their names in `engine.book_records`."""

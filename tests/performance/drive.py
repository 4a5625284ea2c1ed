"""The loops that are timed. Each does every operation of a flow and returns the CPU time it took, in ns.

The garbage collector rests while the clock runs, for all alike. A flow is a list of (kind, order_id, side, price_ticks,
quantity_lots).
"""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Flow = list[tuple[int, int, int, int, int]]
LIMIT, MARKET, CANCEL = 1, 2, 3


def flow_of(operations: Any) -> Flow:
    """The flow of an array of operations."""
    columns = ("kind", "order_id", "side", "price_ticks", "quantity_lots")
    return list(zip(*(operations[column].tolist() for column in columns), strict=True))


@contextmanager
def clock() -> Iterator[Callable[[], int]]:
    """CPU time since the beginning, in ns."""
    gc.collect()
    gc.disable()
    began = time.process_time_ns()
    try:
        yield lambda: time.process_time_ns() - began
    finally:
        gc.enable()


def our_calls(book: Any, flow: Flow) -> int:
    """One call of our book an operation."""
    limit, market, cancel, replace = book.limit, book.market, book.cancel, book.replace
    with clock() as elapsed:
        for kind, order_id, side, price_ticks, quantity_lots in flow:
            if kind == LIMIT:
                limit(order_id, side, price_ticks, quantity_lots)
            elif kind == CANCEL:
                cancel(order_id)
            elif kind == MARKET:
                market(order_id, side, quantity_lots)
            else:
                replace(order_id, price_ticks, quantity_lots)
        return elapsed()


def peer_calls(peer: Any, flow: Flow) -> int:
    """One call of a face of `tests.performance.peers` an operation."""
    limit, market, cancel, replace = peer.limit, peer.market, peer.cancel, peer.replace
    with clock() as elapsed:
        for kind, order_id, side, price_ticks, quantity_lots in flow:
            if kind == LIMIT:
                limit(order_id, side, price_ticks, quantity_lots)
            elif kind == CANCEL:
                cancel(order_id)
            elif kind == MARKET:
                market(order_id, side, quantity_lots)
            else:
                replace(order_id, side, price_ticks, quantity_lots)
        return elapsed()


def empty_calls(empty: Callable[..., None], flow: Flow) -> int:
    """One call an operation, with its five numbers, that does nothing."""
    with clock() as elapsed:
        for kind, order_id, side, price_ticks, quantity_lots in flow:
            empty(kind, order_id, side, price_ticks, quantity_lots)
        return elapsed()


def our_batch(book: Any, operations: Any) -> int:
    """All operations in one call."""
    with clock() as elapsed:
        book.apply(operations)
        return elapsed()

"""Three seeded order flows of one market, as arrays of `engine.book_records.OPERATION`.

`realistic`: resting orders, cancels and modifies around a wandering mid price, one operation in ten aggressive.
`sweep`: cycles of resting orders and two aggressors that take most of both sides.
`deep`: many resting orders, then cancels in random order.

They are made once with a book that is not the one measured, and kept in the system's temporary directory.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from engine.book_records import OPERATION, OperationKind
from engine.records import Side, TimeInForce
from tests.support.slow_book import SlowBook, Trade

Operations = np.ndarray[Any, np.dtype[np.void]]

VERSION = 2  # of what the generators below make: a new number makes the kept files stale
OPENING_ORDERS = 10_000
LIVE_ORDERS = 7_500
SWEEP_CYCLE = 66
DEEP_LEVELS = 10_000
SIZES = {"realistic": 1_000_000, "sweep": 500_000, "deep": 1_950_000}


def workload(name: str, count: int | None = None, seed: int = 1) -> Operations:
    """The operations of a workload: the first `count` of it, or for `deep` one of that size."""
    count = SIZES[name] if count is None else count
    folder = Path(tempfile.gettempdir()) / f"exchange-workloads-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{name}-{count}-{seed}-{VERSION}.npy"
    if not path.exists():
        unfinished = path.with_suffix(f".{os.getpid()}.npy")
        np.save(unfinished, _GENERATORS[name](np.random.default_rng(seed), count))
        unfinished.replace(path)
    operations: Operations = np.load(path)
    return operations


def play(book: SlowBook, operations: Operations) -> list[Trade]:
    """All trades that the operations cause in a slow book. Each of them must be accepted."""
    trades: list[Trade] = []
    for kind, side, time_in_force, flags, _, order_id, price_ticks, quantity_lots in operations.tolist():
        if kind == OperationKind.LIMIT:
            answer: Any = book.limit(order_id, side, price_ticks, quantity_lots, time_in_force, flags)
        elif kind == OperationKind.CANCEL:
            assert book.cancel(order_id) > 0
            continue
        elif kind == OperationKind.MARKET:
            answer = book.market(order_id, side, quantity_lots)
        else:
            answer = book.replace(order_id, price_ticks, quantity_lots)
        trades += answer
    return trades


class _Flow:
    """Operations as they are made, and the book that they lead to."""

    def __init__(self, count: int) -> None:
        self.book = SlowBook()
        self.operations = np.zeros(count, OPERATION)
        self.made = 0
        self._ids: list[int] = []  # live orders, for a uniform choice
        self._places: dict[int, int] = {}

    def limit(self, side: int, price_ticks: int, quantity_lots: int) -> None:
        order_id = self.made + 1
        self._write(OperationKind.LIMIT, order_id, side, price_ticks, quantity_lots)
        self._ended(self.book.limit(order_id, side, price_ticks, quantity_lots))
        if order_id in self.book.resting:
            self._places[order_id] = len(self._ids)
            self._ids.append(order_id)

    def market(self, side: int, quantity_lots: int) -> None:
        order_id = self.made + 1
        self._write(OperationKind.MARKET, order_id, side, 0, quantity_lots)
        self._ended(self.book.market(order_id, side, quantity_lots))

    def cancel(self, order_id: int) -> None:
        self._write(OperationKind.CANCEL, order_id, 0, 0, 0)
        self.book.cancel(order_id)
        self._forget(order_id)

    def replace(self, order_id: int, price_ticks: int, quantity_lots: int) -> None:
        side = self.book.resting[order_id].side  # the book knows it; engines without such an operation need it
        self._write(OperationKind.REPLACE, order_id, side, price_ticks, quantity_lots)
        self._ended(self.book.replace(order_id, price_ticks, quantity_lots))

    def any_live(self, choice: float) -> int:
        """A live order; `choice` is uniform in [0, 1)."""
        return self._ids[int(choice * len(self._ids))]

    @property
    def live(self) -> int:
        return len(self._ids)

    def _write(self, kind: int, order_id: int, side: int, price_ticks: int, quantity_lots: int) -> None:
        time_in_force = TimeInForce.GTC if kind == OperationKind.LIMIT else 0
        self.operations[self.made] = (kind, side, time_in_force, 0, 0, order_id, price_ticks, quantity_lots)
        self.made += 1

    def _ended(self, trades: Any) -> None:
        for maker_id, _, _, _ in trades:
            if maker_id not in self.book.resting:
                self._forget(maker_id)

    def _forget(self, order_id: int) -> None:
        place, last = self._places.pop(order_id), self._ids.pop()
        if last != order_id:
            self._ids[place] = last
            self._places[last] = place


def _realistic(rng: np.random.Generator, count: int) -> Operations:
    flow = _Flow(count)
    mids = _wander(rng, count)
    uniforms, sides = rng.random((count, 3)).tolist(), rng.integers(1, 3, count).tolist()
    for mid, uniform, side, lots in zip(mids.tolist(), uniforms, sides, _lots(rng, count), strict=True):
        limit_share = 0.45 + 0.9 * (LIVE_ORDERS - flow.live) / LIVE_ORDERS
        if flow.made >= OPENING_ORDERS and uniform[0] < 0.1:
            _aggress(flow, side, uniform, lots)
        elif flow.made < OPENING_ORDERS or uniform[0] < 0.1 + limit_share:
            flow.limit(side, _behind_touch(flow.book, side, mid, _geometric(uniform[1], 0.05)), lots[0])
        elif uniform[1] < 0.9:
            flow.cancel(flow.any_live(uniform[2]))
        else:
            _modify(flow, uniform, lots)
    return flow.operations


def _wander(rng: np.random.Generator, count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    # A random walk that turns back at 15,000 and 25,000.
    walked = 5_000 + np.cumsum(rng.uniform(-0.3, 0.3, count))
    return 15_000 + np.abs((walked + 10_000) % 20_000 - 10_000)


def _lots(rng: np.random.Generator, count: int) -> list[list[int]]:
    # Of a resting order, of an aggressor.
    return np.column_stack([rng.integers(1, 101, count), rng.integers(1, 151, count)]).tolist()  # type: ignore[no-any-return]


def _geometric(uniform: float, p: float) -> int:
    return 1 + int(np.log1p(-uniform) / np.log1p(-p))


def _behind_touch(book: SlowBook, side: int, mid: float, away: int) -> int:
    # A price so far from the mid price, and never one that crosses.
    if side == Side.BUY:
        ask = book.best(Side.SELL)
        price = int(mid) + 1 - away
        return price if ask is None else min(price, ask - 1)
    bid = book.best(Side.BUY)
    price = int(mid) + away
    return price if bid is None else max(price, bid + 1)


def _aggress(flow: _Flow, side: int, uniform: list[float], lots: list[int]) -> None:
    opposite = flow.book.best(Side.SELL if side == Side.BUY else Side.BUY)
    if uniform[1] < 0.5 or opposite is None:
        flow.market(side, lots[1])
    else:
        through = _geometric(uniform[2], 0.5)
        flow.limit(side, opposite + through if side == Side.BUY else opposite - through, lots[1])


def _modify(flow: _Flow, uniform: list[float], lots: list[int]) -> None:
    order_id = flow.any_live(uniform[2])
    order = flow.book.resting[order_id]
    kind = (uniform[1] - 0.9) * 10
    if kind < 0.7:
        away = 1 + int(kind / 0.7 * 3)
        price = order.price_ticks - away if order.side == Side.BUY else order.price_ticks + away
        flow.replace(order_id, price, order.remaining_lots)
    else:
        flow.replace(order_id, order.price_ticks, order.remaining_lots + lots[0])


def _sweep(rng: np.random.Generator, count: int) -> Operations:
    flow = _Flow(count)
    mids = 20_000 + np.cumsum(rng.uniform(-0.3, 0.3, count))
    away = rng.geometric(0.08, count).tolist()
    lots = rng.integers(1, 101, count).tolist()
    sides = rng.integers(1, 3, count).tolist()
    while flow.made < count:
        at = flow.made
        place = at % SWEEP_CYCLE
        if place < SWEEP_CYCLE - 2:
            flow.limit(sides[at], _behind_touch(flow.book, sides[at], float(mids[at]), away[at]), lots[at])
            continue
        side = Side.BUY if place == SWEEP_CYCLE - 2 else Side.SELL
        opposite = Side.SELL if side == Side.BUY else Side.BUY
        total_lots = sum(level[1] for level in flow.book.depth(opposite))
        flow.market(side, max(total_lots * 9 // 10, 1))
    return flow.operations


def _deep(rng: np.random.Generator, count: int) -> Operations:
    # Of 39 operations 20 rest: a million of 1,950,000.
    resting = count * 20 // 39
    operations = np.zeros(count, OPERATION)
    limits, cancels = operations[:resting], operations[resting:]
    limits["kind"], limits["time_in_force"] = OperationKind.LIMIT, TimeInForce.GTC
    limits["order_id"] = np.arange(1, resting + 1)
    offsets = rng.integers(0, DEEP_LEVELS, resting)
    limits["price_ticks"] = 15_000 + offsets
    limits["side"] = np.where(offsets < DEEP_LEVELS // 2, Side.BUY, Side.SELL)
    limits["quantity_lots"] = rng.integers(1, 101, resting)
    cancels["kind"] = OperationKind.CANCEL
    cancels["order_id"] = rng.permutation(limits["order_id"])[: len(cancels)]
    return operations


_GENERATORS: dict[str, Callable[[np.random.Generator, int], Operations]] = {
    "realistic": _realistic,
    "sweep": _sweep,
    "deep": _deep,
}

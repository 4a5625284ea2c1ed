"""What the demo's market makers and takers decide: pure functions of a seed and of what they were told.

Prices are whole ticks and quantities whole lots. A fair price wanders as a binary float, which is opinion and not
money; every order made from it is whole ticks again.
"""

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from exchange.simulation.client import Market, Order, Side

VOLATILITY_MEMORY = 0.99  # of the logarithm of the volatility, from one step to the next
VOLATILITY_SHOCK = 0.12
JUMP_PROBABILITY = 0.002
JUMP_SIZE = 8  # times an ordinary step


@dataclass(frozen=True, slots=True)
class Style:
    """How a market is traded in the demo. Amounts in its own quote and base asset."""

    symbol: str
    price: Decimal  # where the fair price starts when the market has no believable last price
    step: Decimal  # ordinary change of the fair price in one second
    half_spread: Decimal  # of the tightest maker
    quantity: Decimal  # of the innermost quote
    quantity_step: Decimal  # what people would round to


STYLES = (
    Style("BTC/USD", Decimal(65_000), Decimal("5.5"), Decimal("1.50"), Decimal("0.08"), Decimal("0.0001")),
    Style("ETH/USD", Decimal(3_400), Decimal("0.42"), Decimal("0.12"), Decimal("1.2"), Decimal("0.001")),
)


@dataclass(frozen=True, slots=True)
class Grid:
    """A market's tick and lot; converts at the edge."""

    symbol: str
    tick: Decimal
    lot: Decimal

    @classmethod
    def of(cls, market: Market) -> "Grid":
        """The grid of a market as the exchange describes it."""
        return cls(market.symbol, Decimal(market.tick_size), Decimal(market.lot_size))

    def ticks(self, price: Decimal | str) -> int:
        """The price in ticks, rounded down."""
        return int(Decimal(price) / self.tick)

    def lots(self, quantity: Decimal | str) -> int:
        """The quantity in lots, rounded down."""
        return int(Decimal(quantity) / self.lot)

    def price_text(self, price_ticks: int) -> str:
        """The price as the API takes it."""
        return format(price_ticks * self.tick, "f")

    def quantity_text(self, quantity_lots: int) -> str:
        """The quantity as the API takes it."""
        return format(quantity_lots * self.lot, "f")


class FairPrice:
    """A random walk whose volatility comes in waves, with a rare jump; stays within 1/8 and 8 times its start."""

    def __init__(self, start_ticks: int, step_ticks: float, rng: random.Random) -> None:
        self._start = start_ticks
        self._price = float(start_ticks)
        self._step = step_ticks
        self._log_volatility = 0.0
        self._rng = rng

    @property
    def ticks(self) -> int:
        """Where it is now."""
        return max(round(self._price), 1)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        rng = self._rng
        self._log_volatility = VOLATILITY_MEMORY * self._log_volatility + rng.gauss(0, VOLATILITY_SHOCK)
        size = JUMP_SIZE if rng.random() < JUMP_PROBABILITY else 1
        self._price += rng.gauss(0, self._step * math.exp(self._log_volatility) * size * math.sqrt(seconds))
        self._price = min(max(self._price, self._start / 8), self._start * 8)


def start_ticks(grid: Grid, style: Style, last_price: str | None) -> int:
    """Where a fair price starts: at the market's last price, unless that is beyond half or twice the usual one."""
    if last_price is not None and style.price / 2 <= Decimal(last_price) <= style.price * 2:
        return grid.ticks(last_price)
    return grid.ticks(style.price)


@dataclass(frozen=True, slots=True)
class Quote:
    """An order that a maker wants, or has (then with its order id). `level` counts from 0, the innermost."""

    side: Side
    level: int
    price_ticks: int
    quantity_lots: int
    order_id: str = ""


@dataclass(frozen=True, slots=True)
class Requote:
    """Cancel one order (where `cancel` is given), then place one (where `place` is given)."""

    cancel: str | None
    place: Quote | None


def quote_of(order: Order, grid: Grid) -> Quote | None:
    """The quote that an open order is, by the mark in its client id; None for what no maker made."""
    mark = (order.client_order_id or "").partition(".")[0]
    side: Side = "Buy" if mark[:1] == "b" else "Sell"
    if mark[:1] not in ("b", "s") or not mark[1:].isdigit() or side != order.side or order.price is None:
        return None
    return Quote(side, int(mark[1:]), grid.ticks(order.price), grid.lots(order.remaining_quantity), order.order_id)


def quote_mark(quote: Quote) -> str:
    """The mark that `quote_of` reads, e.g. "b3"."""
    return f"{quote.side[0].lower()}{quote.level}"


@dataclass(frozen=True, slots=True)
class MakerStyle:
    """One maker's ladder. Distances from its centre grow by `growth` a level, quantities by `swell`."""

    levels: int
    half_spread_ticks: int
    growth: float
    quantity_lots: int
    step_lots: int
    swell: float
    patience: float  # how much of its distance a quote may be off before it is moved


class Maker:
    """A market maker in one market. Its whole ladder is `2 * levels` orders: what it holds beyond that it cancels."""

    def __init__(self, style: MakerStyle, rng: random.Random) -> None:
        self._style = style
        self._jitter = [rng.uniform(0.85, 1.15) for _ in range(2 * style.levels)]

    def ladder(self, fair_ticks: int, inventory: float) -> list[Quote]:
        """The quotes it wants, inner ones first. `inventory`, -1 (sold out) to 1, moves the centre against it."""
        style = self._style
        centre = fair_ticks - inventory * 2 * style.half_spread_ticks
        quotes = []
        for level in range(style.levels):
            distance = max(style.half_spread_ticks * style.growth**level, 1.0)
            bid_lots, ask_lots = (self._quantity(level, side) for side in (0, 1))
            bid = math.floor(centre - distance * self._jitter[2 * level])
            ask = math.ceil(centre + distance * self._jitter[2 * level + 1])
            # A maker never crosses itself, however far its inventory moves it.
            quotes.append(Quote("Buy", level, max(min(bid, fair_ticks - 1), 1), bid_lots))
            quotes.append(Quote("Sell", level, max(ask, fair_ticks + 1), ask_lots))
        return quotes

    def _quantity(self, level: int, side: int) -> int:
        style = self._style
        # Any other number of the same jitter does: the quantity only must not look like the next maker's.
        wanted = style.quantity_lots * style.swell**level * self._jitter[2 * level + 1 - side]
        return whole_steps(wanted, style.step_lots)

    def decide(self, fair_ticks: int, inventory: float, have: Iterable[Quote], budget: int) -> list[Requote]:
        """What to do now, most urgent first, in `budget` messages at most.

        First what is superfluous goes, then quotes on the wrong side of the fair price or far off move, then holes
        are filled.
        """
        held, surplus = _by_place(have, self._style.levels)
        work = [(0.0, Requote(quote.order_id, None)) for quote in surplus]
        for wanted in self.ladder(fair_ticks, inventory):
            present = held.get((wanted.side, wanted.level))
            if present is None:
                work.append((2.0 + wanted.level, Requote(None, wanted)))
            elif (urgency := self._urgency(wanted, present, fair_ticks)) >= 1:
                work.append((1.0 / urgency + wanted.level * 0.1, Requote(present.order_id, wanted)))
        work.sort(key=lambda item: item[0])
        return _within(budget, [requote for _, requote in work])

    def _urgency(self, wanted: Quote, present: Quote, fair_ticks: int) -> float:
        """1 and more: move it. A quote that has lost half of its quantity is renewed too."""
        if (present.price_ticks >= fair_ticks) if present.side == "Buy" else (present.price_ticks <= fair_ticks):
            return 100.0
        if 2 * present.quantity_lots < wanted.quantity_lots:
            return 1.0
        allowed = max(self._style.patience * abs(wanted.price_ticks - fair_ticks), 1.0)
        return abs(wanted.price_ticks - present.price_ticks) / allowed


def _by_place(quotes: Iterable[Quote], levels: int) -> tuple[dict[tuple[Side, int], Quote], list[Quote]]:
    """One quote for each side and level, and what is superfluous."""
    held: dict[tuple[Side, int], Quote] = {}
    surplus = []
    for quote in quotes:
        if quote.level >= levels or (quote.side, quote.level) in held:
            surplus.append(quote)
        else:
            held[quote.side, quote.level] = quote
    return held, surplus


def _within(budget: int, work: list[Requote]) -> list[Requote]:
    chosen = []
    for requote in work:
        budget -= (requote.cancel is not None) + (requote.place is not None)
        if budget < 0:
            break
        chosen.append(requote)
    return chosen


def whole_steps(lots: float, step_lots: int) -> int:
    """The nearest whole number of steps, in lots; one step at least."""
    return max(round(lots / step_lots), 1) * step_lots


def maker_styles(style: Style, grid: Grid, makers: int) -> list[MakerStyle]:
    """`makers` different ladders for a market: from tight and small to wide and large."""
    return [
        MakerStyle(
            levels=6,
            half_spread_ticks=max(grid.ticks(style.half_spread) * (1 + 2 * number), 1),
            growth=1.7 + 0.1 * number,
            quantity_lots=max(grid.lots(style.quantity) * (1 + number), 1),
            step_lots=max(grid.lots(style.quantity_step), 1),
            swell=1.35,
            patience=0.35,
        )
        for number in range(makers)
    ]


@dataclass(frozen=True, slots=True)
class Take:
    """An order that takes what rests: immediate or cancel, at `limit_ticks` at worst. Wait `delay_s` before it."""

    symbol: str
    side: Side
    order_type: Literal["Limit", "Market"]
    limit_ticks: int
    quantity_lots: int
    delay_s: float


@dataclass(frozen=True, slots=True)
class TakerView:
    """What a taker sees of a market. `inventory` as for a maker."""

    fair_ticks: int
    inventory: float
    quantity_lots: int  # an ordinary one
    step_lots: int


def taker_view(style: Style, grid: Grid, fair_ticks: int, inventory: float) -> TakerView:
    """What a taker sees of a market of this style."""
    quantity_lots, step_lots = max(grid.lots(style.quantity), 1), max(grid.lots(style.quantity_step), 1)
    return TakerView(fair_ticks, inventory, quantity_lots, step_lots)


class Taker:
    """Takes at the times of a Poisson process, now and then in a burst; follows the price, minds its inventory."""

    BURST_PROBABILITY = 0.05
    BURST_SIZES = (3, 8)
    REACH = 500  # a taker pays at most 1/REACH beyond the fair price

    def __init__(self, takes_per_second: float, rng: random.Random) -> None:
        self._rate = takes_per_second
        self._rng = rng
        self._last_fair: dict[str, int] = {}

    def decide(self, views: Mapping[str, TakerView]) -> list[Take]:
        """The next take, or burst of takes."""
        rng = self._rng
        symbol = rng.choice(sorted(views))
        view = views[symbol]
        rising = view.fair_ticks - self._last_fair.get(symbol, view.fair_ticks)
        self._last_fair[symbol] = view.fair_ticks
        chance = 0.5 + (0.15 if rising > 0 else -0.15 if rising < 0 else 0) - 0.4 * view.inventory
        side: Side = "Buy" if rng.random() < chance else "Sell"
        count = rng.randint(*self.BURST_SIZES) if rng.random() < self.BURST_PROBABILITY else 1
        # Bursts are paid for by longer waits, so that the rate holds.
        per_decision = 1 + self.BURST_PROBABILITY * (sum(self.BURST_SIZES) / 2 - 1)
        first_s = rng.expovariate(self._rate / per_decision)
        return [
            self._take(symbol, view, side, first_s if number == 0 else rng.uniform(0.05, 0.3))
            for number in range(count)
        ]

    def _take(self, symbol: str, view: TakerView, side: Side, delay_s: float) -> Take:
        rng = self._rng
        reach = max(view.fair_ticks // self.REACH, 1)
        limit = view.fair_ticks + reach if side == "Buy" else max(view.fair_ticks - reach, 1)
        quantity = whole_steps(view.quantity_lots * min(rng.lognormvariate(-1.2, 0.9), 6.0), view.step_lots)
        order_type: Literal["Limit", "Market"] = "Market" if rng.random() < 0.3 else "Limit"
        return Take(symbol, side, order_type, limit, quantity, delay_s)


def inventory_of(base_total: Decimal, base_target: Decimal) -> float:
    """-1 (nothing left) to 1 (twice the target or more)."""
    return float(max(min((base_total - base_target) / base_target, Decimal(1)), Decimal(-1))) if base_target else 0.0

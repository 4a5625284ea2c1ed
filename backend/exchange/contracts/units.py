"""Decimal strings outside, integers inside: the only place that converts between them.

A price is a whole number of ticks, a quantity a whole number of lots, an amount a whole number of an asset's units
(one asset = ``10**scale`` units). Text that is off the grid is refused with the nearest valid value, never rounded.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from engine.orders.faces import MarketFace
from engine.orders.requests import OrderReader
from engine.records import UNITS_MAX, Reason
from exchange.contracts.refusals import AnyReason, EdgeReason, Refused, refuse

DECIMAL_TEXT = re.compile(r"(0|[1-9]\d{0,23})(?:\.(\d{1,24}))?", re.ASCII)
_FRACTION_DIGITS_MAX = 24
_POWERS: tuple[int, ...] = tuple(10**scale for scale in range(80))
PPM = 1_000_000


def parse_decimal(text: object, field: str) -> tuple[int, int]:
    """Return (value, scale) of a plain decimal string such as ``"50000.00"``: the number is value / 10**scale.

    Refuses anything else (JSON numbers, signs, exponents, NaN, more than 24 digits on a side) with FIELD_INVALID.
    """
    if not isinstance(text, str):
        raise refuse(
            EdgeReason.FIELD_INVALID,
            f'{field} must be a decimal string such as "1.5", not a JSON {type(text).__name__}',
            field=field,
            limit="a decimal string",
        )
    match = DECIMAL_TEXT.fullmatch(text)
    if match is None:
        raise refuse(
            EdgeReason.FIELD_INVALID,
            f"{field} must be a plain non-negative decimal string of at most {_FRACTION_DIGITS_MAX} digits on a side "
            f'of the point, such as "1.5"; got {text[:60]!r}',
            field=field,
            limit="a decimal string",
        )
    whole, fraction = match.group(1), match.group(2) or ""
    return int(whole + fraction), len(fraction)


def format_decimal(value: int, scale: int) -> str:
    """Return ``value / 10**scale`` as plain text without superfluous zeros, e.g. (150, 2) -> "1.5"."""
    if value < 0:
        return "-" + format_decimal(-value, scale)
    whole, fraction = divmod(value, _POWERS[scale])
    return f"{whole}.{fraction:0{scale}d}".rstrip("0") if fraction else str(whole)


@dataclass(frozen=True, slots=True)
class Asset:
    """What balances are kept in. ``scale``: 0..18, one asset = 10**scale units."""

    number: int
    name: str
    scale: int

    def to_text(self, units: int) -> str:
        return format_decimal(units, self.scale)

    def to_units(self, text: object, field: str, reason: AnyReason = Reason.AMOUNT_OUT_OF_RANGE) -> int:
        """Return the amount in units, 1 <= units < 2**62; refuses finer text, zero and more."""
        value, scale = parse_decimal(text, field)
        units, rest = _rescale(value, scale, self.scale)
        unit = format_decimal(1, self.scale)
        if rest:
            nearest = format_decimal(min(max(units, 1), UNITS_MAX - 1), self.scale)
            raise refuse(
                reason,
                f"{field} {text} is finer than one unit of {self.name}",
                field=field,
                limit=unit,
                nearest=nearest,
            )
        if units < 1:
            raise refuse(reason, f"{field} must be at least {unit} {self.name}", field=field, limit=unit, nearest=unit)
        if units >= UNITS_MAX:
            most = self.to_text(UNITS_MAX - 1)
            raise refuse(reason, f"{field} must be at most {most} {self.name}", field=field, limit=most, nearest=most)
        return units


def _rescale(value: int, scale: int, to_scale: int) -> tuple[int, int]:
    """Return (whole, rest) of value / 10**scale in steps of 10**-to_scale."""
    if scale <= to_scale:
        return value * _POWERS[to_scale - scale], 0
    return divmod(value, _POWERS[scale - to_scale])


@dataclass(frozen=True)
class Market:
    """A market's numbers as the engine defines them (docs/engine.md, DEFINE_MARKET) and their decimal faces.

    tick_size and lot_size follow from the units: a lot is ``lot_units`` of base, and one lot at one tick costs
    ``tick_lot_units`` of quote.
    """

    number: int
    symbol: str
    base: Asset
    quote: Asset
    lot_units: int
    tick_lot_units: int
    quantity_lots_min: int
    quantity_lots_max: int
    notional_units_min: int
    price_ticks_max: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    # Terms that only CONFIGURE_MARKET gives; 0 is none of each.
    open_orders_max: int = 0  # live orders an account
    position_lots_max: int = 0  # base that an account may own or have bids for
    band_ppm: int = 0  # width of the price band to each side of its reference
    band_action: int = 0
    band_interval_ns: int = 0
    band_auction_ns: int = 0

    @cached_property
    def _tick(self) -> tuple[int, int]:
        """The tick size as (value, scale)."""
        # One whole base asset is 10**base.scale / lot_units lots, so a tick costs that many tick_lot_units.
        numerator = self.tick_lot_units * 10**self.base.scale
        value, rest = divmod(numerator, self.lot_units)
        scale = self.quote.scale
        while rest:
            numerator *= 10
            scale += 1
            value, rest = divmod(numerator, self.lot_units)
            if scale > 48:
                raise ValueError(f"the tick size of {self.symbol} is no finite decimal")
        while scale and value % 10 == 0:
            value //= 10
            scale -= 1
        return value, scale

    @cached_property
    def tick_size(self) -> str:
        return format_decimal(*self._tick)

    @cached_property
    def face(self) -> MarketFace:
        """What shows its orders and fills."""
        lot = (self.lot_units, self.base.scale)
        return MarketFace(self.symbol, self.base.name, self.quote.name, self.quote.scale, self._tick, lot)

    @cached_property
    def reader(self) -> OrderReader:
        """What reads the plain orders of requests."""
        return OrderReader(
            self.number,
            self._tick,
            (self.lot_units, self.base.scale),
            tick_lot_units=self.tick_lot_units,
            price_ticks_max=self.price_ticks_max,
            quantity_lots_min=self.quantity_lots_min,
            quantity_lots_max=self.quantity_lots_max,
            notional_units_min=self.notional_units_min,
        )

    @property
    def tick_scale(self) -> int:
        """Decimals of the tick size."""
        return self._tick[1]

    @cached_property
    def lot_size(self) -> str:
        return self.base.to_text(self.lot_units)

    def price_text(self, price_ticks: int) -> str:
        """E.g. "50000.00": as many decimals as the tick size has."""
        value, scale = self._tick
        whole, fraction = divmod(price_ticks * value, _POWERS[scale])
        return f"{whole}.{fraction:0{scale}d}" if scale else str(whole)

    def quantity_text(self, quantity_lots: int) -> str:
        return format_decimal(quantity_lots * self.lot_units, self.base.scale)

    def notional_units(self, price_ticks: int, quantity_lots: int) -> int:
        return price_ticks * quantity_lots * self.tick_lot_units

    def price_ticks(self, text: object, field: str = "price", reason: Reason = Reason.PRICE_OUT_OF_RANGE) -> int:
        """Return the price in ticks, 1 <= ticks <= price_ticks_max; refuses off-tick and out-of-range text."""
        value, scale = parse_decimal(text, field)
        tick_value, tick_scale = self._tick
        common = max(scale, tick_scale)
        step = tick_value * _POWERS[common - tick_scale]
        ticks, rest = divmod(value * _POWERS[common - scale], step)
        if rest:
            nearest = self.price_text(min(max(ticks + (2 * rest >= step), 1), self.price_ticks_max))
            raise refuse(
                Reason.PRICE_OFF_TICK,
                f"{field} {text} is not a multiple of the tick size {self.tick_size}; "
                f"the nearest valid {field} is {nearest}",
                field=field,
                limit=self.tick_size,
                nearest=nearest,
            )
        if not 1 <= ticks <= self.price_ticks_max:
            raise _out_of_range(reason, field, ticks, 1, self.price_ticks_max, self.price_text)
        return ticks

    def quantity_lots(
        self,
        text: object,
        field: str = "quantity",
        reason: Reason = Reason.QUANTITY_OUT_OF_RANGE,
        bounds: tuple[int, int] | None = None,
    ) -> int:
        """Return the quantity in lots, within ``bounds``: by default the market's minimum and maximum.

        Refuses off-lot and out-of-range text.
        """
        low, high = bounds or (self.quantity_lots_min, self.quantity_lots_max)
        value, scale = parse_decimal(text, field)
        common = max(scale, self.base.scale)
        lot = self.lot_units * _POWERS[common - self.base.scale]
        lots, rest = divmod(value * _POWERS[common - scale], lot)
        if rest:
            nearest = self.quantity_text(min(max(lots + (2 * rest >= lot), low), high))
            raise refuse(
                Reason.QUANTITY_OFF_LOT,
                f"{field} {text} is not a multiple of the lot size {self.lot_size}; "
                f"the nearest valid {field} is {nearest}",
                field=field,
                limit=self.lot_size,
                nearest=nearest,
            )
        if not low <= lots <= high:
            raise _out_of_range(reason, field, lots, low, high, self.quantity_text)
        return lots

    def check_notional(self, price_ticks: int, quantity_lots: int) -> None:
        """Refuse a limit order whose value is out of range, with the nearest quantity that is valid at its price."""
        notional = self.notional_units(price_ticks, quantity_lots)
        per_lot = price_ticks * self.tick_lot_units
        if notional < self.notional_units_min:
            nearest = self.quantity_text(-(-self.notional_units_min // per_lot))
            limit = self.quote.to_text(self.notional_units_min)
            detail = (
                f"price x quantity is {self.quote.to_text(notional)} {self.quote.name}, "
                f"at least {limit} is needed: quantity {nearest} at this price"
            )
            raise refuse(Reason.NOTIONAL_TOO_SMALL, detail, field="quantity", limit=limit, nearest=nearest)
        if notional >= UNITS_MAX:
            nearest = self.quantity_text((UNITS_MAX - 1) // per_lot)
            limit = self.quote.to_text(UNITS_MAX - 1)
            detail = f"price x quantity must be at most {limit} {self.quote.name}: quantity {nearest} at this price"
            raise refuse(Reason.NOTIONAL_TOO_LARGE, detail, field="quantity", limit=limit, nearest=nearest)


def _out_of_range(reason: Reason, field: str, value: int, low: int, high: int, text: Callable[[int], str]) -> Refused:
    bound = text(low if value < low else high)
    word = "at least" if value < low else "at most"
    return refuse(reason, f"{field} must be {word} {bound}", field=field, limit=bound, nearest=bound)


@dataclass(frozen=True, slots=True)
class Grid:
    """Numbers that an operator sets: the multiples ``low`` to ``high`` of a step of value / 10**scale."""

    value: int
    scale: int
    low: int
    high: int

    def to_text(self, steps: int) -> str:
        return format_decimal(steps * self.value, self.scale)

    def steps(self, text: object, field: str) -> int:
        """Return how many steps a decimal text is. Refuses with FIELD_INVALID and the nearest number on the grid."""
        value, scale = parse_decimal(text, field)
        common = max(scale, self.scale)
        step = self.value * _POWERS[common - self.scale]
        steps, rest = divmod(value * _POWERS[common - scale], step)
        nearest = self.to_text(min(max(steps + (2 * rest >= step), self.low), self.high))
        if rest:
            limit = self.to_text(1)
            detail = f"{field} {text} is not a multiple of {limit}; the nearest valid {field} is {nearest}"
            raise refuse(EdgeReason.FIELD_INVALID, detail, field=field, limit=limit, nearest=nearest)
        if not self.low <= steps <= self.high:
            word = "at least" if steps < self.low else "at most"
            detail = f"{field} must be {word} {nearest}"
            raise refuse(EdgeReason.FIELD_INVALID, detail, field=field, limit=nearest, nearest=nearest)
        return steps


def ratio_grid(most_ppm: int) -> Grid:
    """Ratios in millionths, such as fees and the width of a price band."""
    return Grid(1, 6, 0, most_ppm)


def lot_grid(base: Asset) -> Grid:
    """Lot sizes, in units of base."""
    return Grid(1, base.scale, 1, UNITS_MAX - 1)


def check_lot_units(base: Asset, lot_units: int, field: str) -> None:
    """Refuse a lot size that is not 1, 2 or 5 times a power of ten: ticks would be no decimals."""
    powers = 10 ** (len(str(lot_units)) - 1)
    if lot_units in (powers, 2 * powers, 5 * powers):
        return
    nearest = base.to_text(min((powers, 2 * powers, 5 * powers, 10 * powers), key=lambda lot: abs(lot - lot_units)))
    limit = "1, 2 or 5 times a power of ten"
    detail = f"{field} must be {limit}; the nearest valid {field} is {nearest}"
    raise refuse(EdgeReason.FIELD_INVALID, detail, field=field, limit=limit, nearest=nearest)


def tick_grid(base: Asset, quote: Asset, lot_units: int) -> Grid:
    """Tick sizes, in steps of the smallest: where a lot costs one unit of quote. A step is one of tick_lot_units."""
    # The smallest is 10**base.scale / (lot_units * 10**quote.scale), and lot_units divides a power of ten.
    digits = len(str(lot_units))
    value, scale = 10**digits // lot_units * 10**base.scale, quote.scale + digits
    while scale and value % 10 == 0:
        value, scale = value // 10, scale - 1
    return Grid(value, scale, 1, UNITS_MAX - 1)


def fee_text(ppm: int) -> str:
    """A fee rate as a decimal fraction, e.g. 1000 -> "0.001"."""
    return format_decimal(ppm, 6)

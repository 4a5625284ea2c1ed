"""A market: its terms, its book, and what is true of it now."""

from dataclasses import dataclass, field

from engine.records import BandAction, MarketState, Mode, Side
from engine.reference.definitions import PPM, Definition, Terms
from engine.reference.orders import Book, Order, opposite


@dataclass(slots=True)
class Market:
    """Prices in ticks, 0: none; times in nanoseconds. Amounts are in units of the asset concerned."""

    definition: Definition
    terms: Terms
    configured: bool = False
    mode: Mode = Mode.OPEN
    last_price: int = 0
    range_low: int = 0
    range_high: int = 0
    reference: int = 0
    reference_since: int = 0
    auction_end: int = 0
    book: Book = field(default_factory=Book)

    @property
    def number(self) -> int:
        return self.definition.market

    @property
    def price_ticks_max(self) -> int:
        return self.definition.price_ticks_max

    @property
    def state(self) -> MarketState:
        """What is true of it now, in the words of the digest's item 8."""
        triggers = self.range_low, self.range_high
        return MarketState(
            self.mode, self.last_price, *triggers, self.reference, self.reference_since, self.auction_end
        )

    def notional(self, price_ticks: int, quantity_lots: int) -> int:
        """Quote units that so many lots cost at this price."""
        return price_ticks * quantity_lots * self.definition.tick_lot_units

    def base_units(self, quantity_lots: int) -> int:
        """Base units that so many lots are."""
        return quantity_lots * self.definition.lot_units

    def asset_paid_by(self, side: Side) -> int:
        """What a buyer or a seller gives."""
        return self.definition.quote if side is Side.BUY else self.definition.base

    def is_beyond_band(self, side: Side, price_ticks: int) -> bool:
        """Whether the band is on and the price too high for a buyer or too low for a seller."""
        if self.terms.band_ppm == 0 or self.reference == 0:
            return False
        width = self.reference * self.terms.band_ppm // PPM
        if side is Side.BUY:
            return price_ticks > self.reference + width
        return price_ticks < max(1, self.reference - width)

    def is_stopped_at(self, side: Side, price_ticks: int) -> bool:
        """Whether the band keeps a taker from trading at this price: one with an auction whomever it favours."""
        if self.mode is not Mode.OPEN:
            return False
        too_good = self.terms.band_action == BandAction.AUCTION and self.is_beyond_band(opposite(side), price_ticks)
        return too_good or self.is_beyond_band(side, price_ticks)

    def band_refuses(self, order: Order) -> bool:
        """Whether an order with a limit is beyond a band whose action is REJECT."""
        return self.terms.band_action == BandAction.REJECT and self.is_beyond_band(order.side, order.price_ticks)

    def grow_range(self, low_ticks: int, high_ticks: int) -> None:
        """The price was at both ends: triggers between are met."""
        self.range_low = min(self.range_low, low_ticks) if self.range_low else low_ticks
        self.range_high = max(self.range_high, high_ticks)

    def is_met(self, order: Order) -> bool:
        """Whether the trigger range meets the order's trigger."""
        return order.is_met_by(self.range_low, self.range_high)

    def slid_price(self, order: Order) -> int:
        """The best passive price for an order that would cross; it may be out of range."""
        if order.is_buy:
            return self.book.best_price(Side.SELL) - 1
        return self.book.best_price(Side.BUY) + 1

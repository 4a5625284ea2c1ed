"""Assets and markets: what they consist of and when a definition is acceptable."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.records import ASSET_SCALE_MAX, FEE_PPM_MAX, PRICE_TICKS_MAX, QUANTITY_LOTS_MAX, UNITS_MAX
from engine.reference.codec import AssetCommand, MarketCommand

ASSETS_MAX = 256
MARKETS_MAX = 1024
NAME_CHARACTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
SYMBOL_CHARACTERS = frozenset(range(0x21, 0x7F))
PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class Asset:
    """One asset is `10**scale` units."""

    asset: int
    scale: int
    name: str


@dataclass(frozen=True, slots=True)
class Market:
    """A pair of assets and the rules for orders in it. Amounts are in units of the asset concerned."""

    market: int
    base: int
    quote: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    lot_units: int
    tick_lot_units: int
    quantity_lots_min: int
    quantity_lots_max: int
    notional_units_min: int
    price_ticks_max: int
    symbol: str

    def notional(self, price_ticks: int, quantity_lots: int) -> int:
        """Quote units that so many lots cost at this price."""
        return price_ticks * quantity_lots * self.tick_lot_units

    def base_units(self, quantity_lots: int) -> int:
        """Base units that so many lots are."""
        return quantity_lots * self.lot_units


def asset_is_valid(command: AssetCommand, assets: Sequence[Asset]) -> bool:
    """Whether the command may define the next asset after `assets`."""
    return (
        command.asset == len(assets) + 1 <= ASSETS_MAX
        and command.scale <= ASSET_SCALE_MAX
        and _is_new_name(command.name, NAME_CHARACTERS, [asset.name for asset in assets])
    )


def market_is_valid(command: MarketCommand, assets: Sequence[Asset], markets: Sequence[Market]) -> bool:
    """Whether the command may define the next market after `markets`."""
    return (
        command.market == len(markets) + 1 <= MARKETS_MAX
        and 1 <= command.base <= len(assets)
        and 1 <= command.quote <= len(assets)
        and command.base != command.quote
        and command.maker_fee_ppm <= FEE_PPM_MAX
        and command.taker_fee_ppm <= FEE_PPM_MAX
        and 1 <= command.lot_units < UNITS_MAX
        and 1 <= command.tick_lot_units < UNITS_MAX
        and 1 <= command.quantity_lots_min <= command.quantity_lots_max < QUANTITY_LOTS_MAX
        and 0 <= command.notional_units_min < UNITS_MAX
        and 1 <= command.price_ticks_max <= PRICE_TICKS_MAX
        and command.quantity_lots_max * command.lot_units < UNITS_MAX
        and _is_new_name(command.symbol, SYMBOL_CHARACTERS, [market.symbol for market in markets])
    )


def _is_new_name(name: bytes, characters: frozenset[int], used: list[str]) -> bool:
    # A zero byte inside the name is no character of a name, so nothing can follow the first one.
    return len(name) > 0 and characters.issuperset(name) and name.decode("ascii") not in used


def fee(received_units: int, ppm: int) -> int:
    """Units that a party who receives `received_units` pays, rounded down."""
    return received_units * ppm // PPM

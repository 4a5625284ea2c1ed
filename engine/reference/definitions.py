"""Assets and markets: what they consist of and when a definition is acceptable."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from engine.records import (
    ASSET_SCALE_MAX,
    BAND_PPM_MAX,
    FEE_PPM_MAX,
    PRICE_TICKS_MAX,
    QUANTITY_LOTS_MAX,
    UNITS_MAX,
    BandAction,
)
from engine.reference.codec import AssetCommand, Command, MarketCommand, TermsCommand

ASSETS_MAX = 256
MARKETS_MAX = 1024
NAME_CHARACTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
SYMBOL_CHARACTERS = frozenset(range(0x21, 0x7F))
PPM = 1_000_000


class FromCommand:
    """A dataclass that takes its fields from a command."""

    @classmethod
    def of(cls, command: Command) -> Self:
        assert dataclasses.is_dataclass(cls)
        return cls(**{field.name: getattr(command, field.name) for field in dataclasses.fields(cls)})


@dataclass(frozen=True, slots=True)
class Asset(FromCommand):
    """One asset is `10**scale` units."""

    asset: int
    scale: int
    name: bytes


@dataclass(frozen=True, slots=True)
class Definition(FromCommand):
    """A pair of assets and what never changes about it, and the terms that it began with."""

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
    symbol: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms(FromCommand):
    """What CONFIGURE_MARKET replaces. Zero: no band, no limit."""

    maker_fee_ppm: int
    taker_fee_ppm: int
    band_ppm: int = 0
    band_action: int = 0
    open_orders_max: int = 0
    quantity_lots_min: int
    quantity_lots_max: int
    notional_units_min: int
    position_lots_max: int = 0
    band_interval_ns: int = 0
    band_auction_ns: int = 0

    @classmethod
    def as_defined(cls, definition: Definition) -> Self:
        """The terms of a market that was not configured."""
        return cls(
            maker_fee_ppm=definition.maker_fee_ppm,
            taker_fee_ppm=definition.taker_fee_ppm,
            quantity_lots_min=definition.quantity_lots_min,
            quantity_lots_max=definition.quantity_lots_max,
            notional_units_min=definition.notional_units_min,
        )


def asset_is_valid(command: AssetCommand, assets: Sequence[Asset]) -> bool:
    """Whether the command may define the next asset after `assets`."""
    return (
        command.asset == len(assets) + 1 <= ASSETS_MAX
        and command.scale <= ASSET_SCALE_MAX
        and _is_new_name(command.name, NAME_CHARACTERS, [asset.name for asset in assets])
    )


def definition_is_valid(command: MarketCommand, assets: Sequence[Asset], definitions: Sequence[Definition]) -> bool:
    """Whether the command may define the next market after `definitions`."""
    return (
        command.market == len(definitions) + 1 <= MARKETS_MAX
        and 1 <= command.base <= len(assets)
        and 1 <= command.quote <= len(assets)
        and command.base != command.quote
        and 1 <= command.lot_units < UNITS_MAX
        and 1 <= command.tick_lot_units < UNITS_MAX
        and 1 <= command.price_ticks_max <= PRICE_TICKS_MAX
        and _bounds_are_valid(command, command.lot_units)
        and _is_new_name(command.symbol, SYMBOL_CHARACTERS, [definition.symbol for definition in definitions])
    )


def terms_are_valid(command: TermsCommand, definition: Definition) -> bool:
    """Whether the command may replace the terms of the market with this definition."""
    trips_auctions = command.band_ppm > 0 and command.band_action == BandAction.AUCTION
    return (
        _bounds_are_valid(command, definition.lot_units)
        and command.band_ppm <= BAND_PPM_MAX
        and command.band_action in set(BandAction)
        and 0 <= command.position_lots_max < QUANTITY_LOTS_MAX
        and command.band_interval_ns >= 0
        and command.band_auction_ns >= (1 if trips_auctions else 0)
        and 0 <= command.reference_price_ticks <= definition.price_ticks_max
    )


def _bounds_are_valid(command: MarketCommand | TermsCommand, lot_units: int) -> bool:
    return (
        command.maker_fee_ppm <= FEE_PPM_MAX
        and command.taker_fee_ppm <= FEE_PPM_MAX
        and 1 <= command.quantity_lots_min <= command.quantity_lots_max < QUANTITY_LOTS_MAX
        and 0 <= command.notional_units_min < UNITS_MAX
        and command.quantity_lots_max * lot_units < UNITS_MAX
    )


def _is_new_name(name: bytes, characters: frozenset[int], used: list[bytes]) -> bool:
    # A zero byte inside the name is no character of a name, so nothing can follow the first one.
    return len(name) > 0 and characters.issuperset(name) and name not in used


def fee(received_units: int, ppm: int) -> int:
    """Units that a party who receives `received_units` pays, rounded down."""
    return received_units * ppm // PPM

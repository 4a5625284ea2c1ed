"""The assets and markets of a shard: as its definition commands declare them, on the terms in force."""

import difflib
import struct
from collections.abc import Iterable
from dataclasses import replace

from engine.records import ASSET_COMMAND, MARKET_COMMAND, MARKET_TERMS_COMMAND, CommandKind, Reason
from exchange.contracts.refusals import EdgeReason, refuse
from exchange.contracts.units import Asset, Market

_ASSET = struct.Struct("<32xII16s")
_MARKET = struct.Struct("<32xIIIIIIqqqqqq24s")
_TERMS = struct.Struct("<32xIIIIIIqqqqqqq")
_TERMS_FIELDS = (
    "market", "maker_fee_ppm", "taker_fee_ppm", "band_ppm", "band_action", "open_orders_max", "quantity_lots_min",
    "quantity_lots_max", "notional_units_min", "position_lots_max", "band_interval_ns", "band_auction_ns",
    "reference_price_ticks",
)  # fmt: skip
assert ASSET_COMMAND.fields is not None and ASSET_COMMAND.fields["name"][1] == 40
assert MARKET_COMMAND.fields is not None and MARKET_COMMAND.fields["symbol"][1] == 104
assert MARKET_TERMS_COMMAND.fields is not None and MARKET_TERMS_COMMAND.fields["market"][1] == 32


class Catalogue:
    """Look up assets and markets by number, name or symbol. Grows by accepted definition commands only."""

    def __init__(self, definitions: Iterable[bytes] = ()) -> None:
        self.assets: dict[int, Asset] = {}
        self.markets: dict[int, Market] = {}
        self._assets_by_name: dict[str, Asset] = {}
        self.markets_by_symbol: dict[str, Market] = {}  # as they are written: BTC/USD and BTC-USD
        for command in definitions:
            self.define(command)

    def define(self, command: bytes) -> None:
        """Take one accepted DEFINE_ASSET, DEFINE_MARKET or CONFIGURE_MARKET record; other kinds are ignored."""
        kind = command[1]
        if kind == CommandKind.DEFINE_ASSET:
            self._define_asset(command)
        elif kind == CommandKind.DEFINE_MARKET:
            self._define_market(command)
        elif kind == CommandKind.CONFIGURE_MARKET:
            self._configure_market(command)

    def _define_asset(self, command: bytes) -> None:
        number, scale, name = _ASSET.unpack_from(command)
        asset = Asset(number, name.rstrip(b"\0").decode("ascii"), scale)
        self.assets[number] = self._assets_by_name[asset.name] = asset

    def _define_market(self, command: bytes) -> None:
        fields = _MARKET.unpack_from(command)
        number, base, quote, maker_fee_ppm, taker_fee_ppm, _ = fields[:6]
        lot_units, tick_lot_units, quantity_min, quantity_max, notional_min, price_max, symbol = fields[6:]
        market = Market(
            number=number,
            symbol=symbol.rstrip(b"\0").decode("ascii"),
            base=self.assets[base],
            quote=self.assets[quote],
            lot_units=lot_units,
            tick_lot_units=tick_lot_units,
            quantity_lots_min=quantity_min,
            quantity_lots_max=quantity_max,
            notional_units_min=notional_min,
            price_ticks_max=price_max,
            maker_fee_ppm=maker_fee_ppm,
            taker_fee_ppm=taker_fee_ppm,
        )
        self._know(market)

    def _configure_market(self, command: bytes) -> None:
        terms = dict(zip(_TERMS_FIELDS, _TERMS.unpack_from(command), strict=True))
        number = terms.pop("market")
        del terms["reference_price_ticks"]  # a fact of that moment, no term
        self._know(replace(self.markets[number], **terms))

    def _know(self, market: Market) -> None:
        self.markets[market.number] = market
        for spelling in (market.symbol, market.symbol.replace("/", "-")):
            self.markets_by_symbol[spelling] = market

    def market(self, symbol: object) -> Market:
        """Return the market of ``BTC/USD`` or ``BTC-USD`` (any letter case); refuses an unknown one."""
        if isinstance(symbol, str):
            market = self.markets_by_symbol.get(symbol) or self.markets_by_symbol.get(symbol.upper())
            if market is not None:
                return market
        self._require_definitions()
        known = ", ".join(market.symbol for market in self.markets.values()) or "none"
        detail = f"symbol {str(symbol)[:40]!r} is not a market here; the markets are: {known}"
        raise refuse(Reason.UNKNOWN_SYMBOL, detail, field="symbol", limit=known, nearest=self._nearest_symbol(symbol))

    def asset(self, name: object) -> Asset:
        """Return the asset of a name such as ``USD``; refuses an unknown one."""
        if isinstance(name, str) and (asset := self._assets_by_name.get(name.upper())) is not None:
            return asset
        self._require_definitions()
        known = ", ".join(self._assets_by_name) or "none"
        detail = f"asset {str(name)[:40]!r} is not listed here; the assets are: {known}"
        raise refuse(Reason.UNKNOWN_ASSET, detail, field="asset", limit=known, nearest=None)

    def _require_definitions(self) -> None:
        # Every journal begins with definitions: without any, the exchange is still reading it,
        # and "unknown" would be a lie.
        if not self.markets:
            raise refuse(
                EdgeReason.UNAVAILABLE, "the exchange is starting and does not know its markets yet", retry_after_s=1
            )

    def _nearest_symbol(self, symbol: object) -> str | None:
        if not isinstance(symbol, str):
            return None
        known = [market.symbol for market in self.markets.values()]
        return next(iter(difflib.get_close_matches(symbol[:40].upper(), known, n=1, cutoff=0.5)), None)

"""Projection `catalogue`: the assets and markets that accepted commands defined, their terms and modes now."""

from collections.abc import Iterable

from engine.records import EventKind
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.commands import configure_market, define_asset, define_market
from exchange.contracts.events import Event
from exchange.contracts.units import Market
from exchange.projections.slice import Connection, Slice
from exchange.storage.tables import assets, markets

_DEFINED_TERMS = ("lot_units", "tick_lot_units", "price_ticks_max")
_CONFIGURED_TERMS = (
    "quantity_lots_min", "quantity_lots_max", "notional_units_min", "maker_fee_ppm", "taker_fee_ppm",
    "open_orders_max", "position_lots_max", "band_ppm", "band_action", "band_interval_ns", "band_auction_ns",
)  # fmt: skip
_BOTH = _CONFIGURED_TERMS[:5]
_MARKET_TERMS = (*_DEFINED_TERMS, *_CONFIGURED_TERMS)
_MARKET_COLUMNS = ("shard", "market", "symbol", "base", "quote", *_MARKET_TERMS, "sequence")
_SET = ", ".join(f"{name} = ${number}" for number, name in enumerate(_CONFIGURED_TERMS, start=3))
_CONFIGURE = f"UPDATE markets SET {_SET} WHERE shard = $1 AND market = $2"  # noqa: S608 - the names are our own


class CatalogueTables:
    """Fills the tables from ``catalogue``, which already knows every definition of the slice."""

    name = "catalogue"
    tables = (assets, markets)

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def forget(self) -> None:
        pass

    async def write(self, connection: Connection, entries: Slice) -> None:
        for _, event in entries.definitions:
            if event.kind == EventKind.ASSET_DEFINED:
                await self._write_asset(connection, entries.shard, event)
            elif event.kind == EventKind.MARKET_DEFINED:
                await self._write_market(connection, entries.shard, event)
            elif event.kind == EventKind.MARKET_CONFIGURED:
                terms = _values(self._catalogue.markets[event.market], _CONFIGURED_TERMS)
                await connection.execute(_CONFIGURE, entries.shard, event.market, *terms)
            else:
                query = "UPDATE markets SET mode = $3 WHERE shard = $1 AND market = $2"
                await connection.execute(query, entries.shard, event.market, event.mode)

    async def _write_asset(self, connection: Connection, shard: int, event: Event) -> None:
        asset = self._catalogue.assets[event.asset]
        await connection.execute(
            "INSERT INTO assets (shard, asset, name, scale, sequence) VALUES ($1, $2, $3, $4, $5)",
            shard, asset.number, asset.name, asset.scale, event.sequence,
        )  # fmt: skip

    async def _write_market(self, connection: Connection, shard: int, event: Event) -> None:
        market = self._catalogue.markets[event.market]
        terms = _values(market, _MARKET_TERMS)
        row = (shard, market.number, market.symbol, market.base.number, market.quote.number, *terms, event.sequence)
        await connection.copy_records_to_table("markets", records=[row], columns=_MARKET_COLUMNS)


async def load_catalogue(connection: Connection, shard: int, catalogue: Catalogue) -> None:
    """Take in the definitions that the tables have."""
    query = "SELECT asset, name, scale FROM assets WHERE shard = $1 ORDER BY asset"
    for number, name, scale in await connection.fetch(query, shard):
        catalogue.define(bytes(define_asset(number, name, scale)))
    query = "SELECT * FROM markets WHERE shard = $1 ORDER BY market"
    for row in await connection.fetch(query, shard):
        number = row["market"]
        defined = {name: row[name] for name in (*_DEFINED_TERMS, *_BOTH)}
        catalogue.define(bytes(define_market(number, row["symbol"], row["base"], row["quote"], **defined)))
        catalogue.define(bytes(configure_market(number, **{name: row[name] for name in _CONFIGURED_TERMS})))


def _values(market: Market, names: Iterable[str]) -> list[int]:
    return [getattr(market, name) for name in names]

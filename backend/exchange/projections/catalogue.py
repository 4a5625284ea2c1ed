"""Projection `catalogue`: the assets and markets that accepted commands defined."""

from engine.records import EventKind
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.commands import define_asset, define_market
from exchange.contracts.events import Event
from exchange.projections.slice import Connection, Slice
from exchange.storage.tables import assets, markets

_MARKET_TERMS = (
    "lot_units", "tick_lot_units", "quantity_lots_min", "quantity_lots_max", "notional_units_min", "price_ticks_max",
    "maker_fee_ppm", "taker_fee_ppm",
)  # fmt: skip
_MARKET_COLUMNS = ("shard", "market", "symbol", "base", "quote", *_MARKET_TERMS, "sequence")


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
            else:
                await self._write_market(connection, entries.shard, event)

    async def _write_asset(self, connection: Connection, shard: int, event: Event) -> None:
        asset = self._catalogue.assets[event.asset]
        await connection.execute(
            "INSERT INTO assets (shard, asset, name, scale, sequence) VALUES ($1, $2, $3, $4, $5)",
            shard, asset.number, asset.name, asset.scale, event.sequence,
        )  # fmt: skip

    async def _write_market(self, connection: Connection, shard: int, event: Event) -> None:
        market = self._catalogue.markets[event.market]
        terms = [getattr(market, name) for name in _MARKET_TERMS]
        row = (shard, market.number, market.symbol, market.base.number, market.quote.number, *terms, event.sequence)
        await connection.copy_records_to_table("markets", records=[row], columns=_MARKET_COLUMNS)


async def load_catalogue(connection: Connection, shard: int, catalogue: Catalogue) -> None:
    """Take in the definitions that the tables have."""
    query = "SELECT asset, name, scale FROM assets WHERE shard = $1 ORDER BY asset"
    for number, name, scale in await connection.fetch(query, shard):
        catalogue.define(bytes(define_asset(number, name, scale)))
    query = "SELECT * FROM markets WHERE shard = $1 ORDER BY market"
    for row in await connection.fetch(query, shard):
        terms = {name: row[name] for name in _MARKET_TERMS}
        catalogue.define(bytes(define_market(row["market"], row["symbol"], row["base"], row["quote"], **terms)))

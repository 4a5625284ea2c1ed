"""What follows from tables that are proven already, or from definitions: candles, assets, markets."""

from operator import itemgetter

from engine.matching import Shard
from engine.records import EventKind
from exchange.audit.report import Report
from exchange.audit.rows import Comparison, Connection
from exchange.audit.tables import selection
from exchange.contracts.catalogue import Catalogue

MINUTE_NS = 60 * 10**9

CANDLE_COLUMNS = (
    "market", "opened_ns", "open_ticks", "high_ticks", "low_ticks", "close_ticks", "volume_lots", "quote_units",
    "trades",
)  # fmt: skip
ASSET_COLUMNS = ("asset", "name", "scale", "sequence")
MARKET_TERMS = (
    "maker_fee_ppm", "taker_fee_ppm", "lot_units", "tick_lot_units", "quantity_lots_min", "quantity_lots_max",
    "notional_units_min", "price_ticks_max", "open_orders_max", "position_lots_max", "band_ppm", "band_action",
    "band_interval_ns", "band_auction_ns",
)  # fmt: skip
MARKET_COLUMNS = ("market", "symbol", "base", "quote", *MARKET_TERMS, "mode", "sequence")

# The trades are proven by now: a candle is what its minute's trades make it.
_CANDLES = f"""
WITH made AS (
    SELECT market, executed_ns - executed_ns % {MINUTE_NS} AS opened_ns,
           (array_agg(price_ticks ORDER BY trade_id))[1] AS open_ticks, max(price_ticks) AS high_ticks,
           min(price_ticks) AS low_ticks, (array_agg(price_ticks ORDER BY trade_id DESC))[1] AS close_ticks,
           sum(quantity_lots)::numeric(40, 0) AS volume_lots, sum(notional_units)::numeric(40, 0) AS quote_units,
           count(*) AS trades, max(sequence) AS sequence
    FROM trades WHERE shard = $1 AND sequence <= $2 AND executed_ns >= $3 GROUP BY 1, 2
), held AS (SELECT * FROM candles_1m WHERE shard = $1 AND opened_ns >= $3)
SELECT market, opened_ns, made.sequence,
       CASE WHEN held.trades IS NULL THEN 'is missing' WHEN made.trades IS NULL THEN 'is not the journal''s'
            ELSE 'is ' || concat_ws(' ', held.open_ticks, held.high_ticks, held.low_ticks, held.close_ticks,
                                    held.volume_lots, held.quote_units, held.trades)
                 || ' and should be ' || concat_ws(' ', made.open_ticks, made.high_ticks, made.low_ticks,
                                    made.close_ticks, made.volume_lots, made.quote_units, made.trades) END AS what
FROM made FULL JOIN held USING (market, opened_ns)
WHERE (made.open_ticks, made.high_ticks, made.low_ticks, made.close_ticks, made.volume_lots, made.quote_units,
       made.trades) IS DISTINCT FROM (held.open_ticks, held.high_ticks, held.low_ticks, held.close_ticks,
       held.volume_lots, held.quote_units, held.trades)
ORDER BY opened_ns, market LIMIT 1000
"""  # noqa: S608 - our own number


async def check_candles(connection: Connection, shard: int, upto: int, since_ns: int, report: Report) -> int:
    """Compare the minutes from ``since_ns`` on with the trades up to a sequence; return how many there are."""
    for market, opened_ns, sequence, what in await connection.fetch(_CANDLES, shard, upto, since_ns):
        report.find("candles", sequence, f"market {market}, minute from {opened_ns} ns: {what}")
    query = "SELECT count(*) FROM candles_1m WHERE shard = $1 AND opened_ns >= $2"
    count: int = await connection.fetchval(query, shard, since_ns)
    return count


Definitions = dict[tuple[EventKind, int], int]  # kind and number -> the sequence of the definition


async def check_catalogue(
    connection: Connection, number: int, shard: Shard, catalogue: Catalogue, defined: Definitions, report: Report
) -> int:
    """Compare assets and markets with what was defined, on the terms and in the mode of now; return how many."""
    assets = [
        (asset.number, asset.name, asset.scale, defined.get((EventKind.ASSET_DEFINED, asset.number)))
        for asset in catalogue.assets.values()
    ]
    markets = [
        (market.number, market.symbol, market.base.number, market.quote.number,
         *(getattr(market, name) for name in MARKET_TERMS), shard.state(market.number).mode,
         defined.get((EventKind.MARKET_DEFINED, market.number)))
        for market in catalogue.markets.values()
    ]  # fmt: skip
    for table, columns, expected in (("assets", ASSET_COLUMNS, assets), ("markets", MARKET_COLUMNS, markets)):
        rows = await connection.fetch(f"{selection(table, columns)} ORDER BY 1", number)
        unknown = {row[0] for row in expected if row[-1] is None}  # defined before the beginning: when is not known
        found = [(*tuple(row)[:-1], None) if row[0] in unknown else tuple(row) for row in rows]
        Comparison(report, "catalogue", columns, itemgetter(slice(0, 1)), "sequence").compare(found, expected)
    return len(assets) + len(markets)

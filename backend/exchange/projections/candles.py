"""Projection `candles`: every minute of a market's trades. Longer intervals are made of minutes by the reader."""

from engine.orders.tallies import Minutes
from exchange.projections.slice import TURN_ROWS, Connection, Slice, in_turns
from exchange.storage.tables import candles_1m

_UPSERT = """
INSERT INTO candles_1m
    (shard, market, opened_ns, open_ticks, high_ticks, low_ticks, close_ticks, volume_lots, quote_units, trades)
SELECT $1, * FROM unnest($2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                         $8::text[]::numeric[], $9::text[]::numeric[], $10::bigint[])
ON CONFLICT (shard, market, opened_ns) DO UPDATE SET
    high_ticks = greatest(candles_1m.high_ticks, excluded.high_ticks),
    low_ticks = least(candles_1m.low_ticks, excluded.low_ticks),
    close_ticks = excluded.close_ticks,
    volume_lots = candles_1m.volume_lots + excluded.volume_lots,
    quote_units = candles_1m.quote_units + excluded.quote_units,
    trades = candles_1m.trades + excluded.trades
"""


class Candles:
    name = "candles"
    tables = (candles_1m,)

    def forget(self) -> None:
        pass

    async def write(self, connection: Connection, entries: Slice) -> None:
        if not entries.trades:
            return
        minutes = Minutes()
        async for events in entries.turns():
            minutes.take(events)
        async for rows in in_turns(minutes.rows(), TURN_ROWS):
            *columns, volumes, amounts, trades = zip(*rows, strict=True)
            totals = [list(map(str, column)) for column in (volumes, amounts)]
            await connection.execute(_UPSERT, entries.shard, *columns, *totals, trades)

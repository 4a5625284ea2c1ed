"""Projection `candles`: every minute of a market's trades. Longer intervals are made of minutes by the reader."""

from dataclasses import dataclass

from exchange.contracts.events import Event
from exchange.projections.slice import Connection, Slice, in_turns
from exchange.storage.tables import candles_1m

MINUTE_NS = 60 * 10**9

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


@dataclass(slots=True)
class _Candle:
    """The trades of a slice within one minute."""

    open_ticks: int
    high_ticks: int
    low_ticks: int
    close_ticks: int = 0
    volume_lots: int = 0
    quote_units: int = 0
    trades: int = 0

    def take(self, trade: Event) -> None:
        price_ticks = trade.price_ticks
        self.high_ticks = max(self.high_ticks, price_ticks)
        self.low_ticks = min(self.low_ticks, price_ticks)
        self.close_ticks = price_ticks
        self.volume_lots += trade.quantity_lots
        self.quote_units += trade.amount
        self.trades += 1

    def row(self) -> tuple[int | str, ...]:
        prices = (self.open_ticks, self.high_ticks, self.low_ticks, self.close_ticks)
        return (*prices, str(self.volume_lots), str(self.quote_units), self.trades)


class Candles:
    name = "candles"
    tables = (candles_1m,)

    def forget(self) -> None:
        pass

    async def write(self, connection: Connection, entries: Slice) -> None:
        candles: dict[tuple[int, int], _Candle] = {}
        async for batch in in_turns(entries.trades):
            for trade in batch:
                key = (trade.market, trade.timestamp_ns - trade.timestamp_ns % MINUTE_NS)
                if key not in candles:
                    candles[key] = _Candle(trade.price_ticks, trade.price_ticks, trade.price_ticks)
                candles[key].take(trade)
        if candles:
            rows = [(*key, *candle.row()) for key, candle in sorted(candles.items(), key=lambda item: item[0])]
            await connection.execute(_UPSERT, entries.shard, *zip(*rows, strict=True))

"""Projection `trades`: trades as the public sees them, fills as their owners do."""

from engine.orders.rows import fill_rows, trade_rows
from exchange.projections.slice import Connection, Slice, copy_rows
from exchange.storage.tables import fills, trades

TRADE_COLUMNS = (
    "shard", "trade_id", "sequence", "market", "side", "price_ticks", "quantity_lots", "notional_units",
    "taker_order_id", "maker_order_id", "executed_ns", "is_auction",
)  # fmt: skip
FILL_COLUMNS = (
    "shard", "account", "trade_id", "is_maker", "order_id", "market", "side", "price_ticks", "quantity_lots",
    "fee_units", "sequence", "executed_ns", "is_auction",
)  # fmt: skip


class Trades:
    name = "trades"
    tables = (trades, fills)

    def forget(self) -> None:
        pass

    async def write(self, connection: Connection, entries: Slice) -> None:
        if entries.trades:
            await copy_rows(connection, "trades", TRADE_COLUMNS, entries.rows(trade_rows))
            await copy_rows(connection, "fills", FILL_COLUMNS, entries.rows(fill_rows))

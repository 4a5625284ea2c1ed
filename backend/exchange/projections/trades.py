"""Projection `trades`: trades as the public sees them, fills as their owners do."""

from collections.abc import AsyncIterator

from engine.records import FLAG_AUCTION, Side
from exchange.contracts.events import Event
from exchange.projections.slice import Connection, Slice, in_turns
from exchange.storage.tables import fills, trades

_TRADE_COLUMNS = (
    "shard", "trade_id", "sequence", "market", "side", "price_ticks", "quantity_lots", "notional_units",
    "taker_order_id", "maker_order_id", "executed_ns", "is_auction",
)  # fmt: skip
_FILL_COLUMNS = (
    "shard", "account", "trade_id", "is_maker", "order_id", "market", "side", "price_ticks", "quantity_lots",
    "fee_units", "sequence", "executed_ns", "is_auction",
)  # fmt: skip
_OPPOSITE = {int(Side.BUY): int(Side.SELL), int(Side.SELL): int(Side.BUY)}


def _auction(trade: Event) -> str:
    return "t" if trade.flags & FLAG_AUCTION else "f"


class Trades:
    name = "trades"
    tables = (trades, fills)

    def forget(self) -> None:
        pass

    async def write(self, connection: Connection, entries: Slice) -> None:
        if entries.trades:
            rows = _trade_rows(entries.shard, entries.trades)
            await connection.copy_to_table("trades", source=rows, columns=_TRADE_COLUMNS)
            rows = _fill_rows(entries.shard, entries.trades)
            await connection.copy_to_table("fills", source=rows, columns=_FILL_COLUMNS)


async def _trade_rows(shard: int, executed: list[Event]) -> AsyncIterator[bytes]:
    async for batch in in_turns(executed):
        yield "".join(
            [
                f"{shard}\t{t.trade_id}\t{t.sequence}\t{t.market}\t{t.side}\t{t.price_ticks}\t{t.quantity_lots}"
                f"\t{t.amount}\t{t.order_id}\t{t.maker_order_id}\t{t.timestamp_ns}\t{_auction(t)}\n"
                for t in batch
            ]
        ).encode()


async def _fill_rows(shard: int, executed: list[Event]) -> AsyncIterator[bytes]:
    async for batch in in_turns(executed):
        yield "".join(
            [
                f"{shard}\t{t.account}\t{t.trade_id}\tf\t{t.order_id}\t{t.market}\t{t.side}\t{t.price_ticks}"
                f"\t{t.quantity_lots}\t{t.taker_fee}\t{t.sequence}\t{t.timestamp_ns}\t{_auction(t)}\n"
                f"{shard}\t{t.maker_account}\t{t.trade_id}\tt\t{t.maker_order_id}\t{t.market}\t{_OPPOSITE[t.side]}"
                f"\t{t.price_ticks}\t{t.quantity_lots}\t{t.maker_fee}\t{t.sequence}\t{t.timestamp_ns}\t{_auction(t)}\n"
                for t in batch
            ]
        ).encode()

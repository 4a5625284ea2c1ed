"""Projection `transfers`: deposits and withdrawals, and the refusals that a reference must find again."""

from exchange.contracts.transfers import Transfer
from exchange.projections.slice import Connection, Slice
from exchange.storage.tables import transfers

_COLUMNS = ("shard", *Transfer._fields)


class Transfers:
    name = "transfers"
    tables = (transfers,)

    def forget(self) -> None:
        pass

    async def write(self, connection: Connection, entries: Slice) -> None:
        if entries.transfers:
            rows = [(entries.shard, *transfer) for transfer in entries.transfers]
            await connection.copy_records_to_table("transfers", records=rows, columns=_COLUMNS)

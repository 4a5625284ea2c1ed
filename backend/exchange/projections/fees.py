"""Projections `fees` and `volumes`: what accounts pay of the markets' fees, and the trading that may earn them less."""

from engine.orders import tallies
from exchange.projections.slice import TURN_ROWS, Connection, Slice, in_turns
from exchange.storage.tables import account_fees, account_volumes

_SET_FEES = """
INSERT INTO account_fees (shard, account, maker_share_ppm, taker_share_ppm, sequence)
SELECT $1, * FROM unnest($2::bigint[], $3::integer[], $4::integer[], $5::bigint[])
ON CONFLICT (shard, account) DO UPDATE SET
    maker_share_ppm = excluded.maker_share_ppm, taker_share_ppm = excluded.taker_share_ppm,
    sequence = excluded.sequence
"""
_ADD_VOLUMES = """
INSERT INTO account_volumes (shard, account, day_ns, market, quote_units, sequence)
SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::integer[], $5::text[]::numeric[], $6::bigint[])
ON CONFLICT (shard, account, day_ns, market) DO UPDATE SET
    quote_units = account_volumes.quote_units + excluded.quote_units, sequence = excluded.sequence
"""


class AccountFees:
    name = "fees"
    tables = (account_fees,)

    def forget(self) -> None:
        pass

    async def write(self, connection: Connection, entries: Slice) -> None:
        latest = {event.account: event for event in entries.fees}
        if latest:
            rows = [
                (account, event.maker_share_ppm, event.taker_share_ppm, event.sequence)
                for account, event in sorted(latest.items())
            ]
            await connection.execute(_SET_FEES, entries.shard, *zip(*rows, strict=True))


class Volumes:
    name = "volumes"
    tables = (account_volumes,)

    def forget(self) -> None:
        pass

    async def write(self, connection: Connection, entries: Slice) -> None:
        if not entries.trades:
            return
        volumes = tallies.Volumes()
        async for events in entries.turns():
            volumes.take(events)
        async for rows in in_turns(volumes.rows(), TURN_ROWS):
            *keys, units, sequences = zip(*rows, strict=True)
            await connection.execute(_ADD_VOLUMES, entries.shard, *keys, list(map(str, units)), sequences)

"""Projections `fees` and `volumes`: what accounts pay of the markets' fees, and the trading that may earn them less."""

from collections import defaultdict

from engine.records import DAY_NS
from exchange.contracts.events import Event
from exchange.projections.slice import Connection, Slice, in_turns
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
        volumes: defaultdict[tuple[int, int, int], list[int]] = defaultdict(lambda: [0, 0])
        async for batch in in_turns(entries.trades):
            for trade in batch:
                _count(trade, volumes)
        if volumes:
            rows = [(*key, str(units), sequence) for key, (units, sequence) in sorted(volumes.items())]
            await connection.execute(_ADD_VOLUMES, entries.shard, *zip(*rows, strict=True))


def _count(trade: Event, volumes: "defaultdict[tuple[int, int, int], list[int]]") -> None:
    """Add a trade to both sides' volume of its day; one with oneself counts for nothing."""
    if trade.account == trade.maker_account:
        return
    day_ns = trade.timestamp_ns - trade.timestamp_ns % DAY_NS
    for account in (trade.account, trade.maker_account):
        volume = volumes[account, day_ns, trade.market]
        volume[0] += trade.amount
        volume[1] = trade.sequence

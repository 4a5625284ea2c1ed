"""What accounts pay of the markets' fees, against the journal and the engine; and their volumes against the trades."""

from operator import itemgetter

from engine.matching import Shard
from engine.records import DAY_NS, EventKind
from exchange.audit.report import Report
from exchange.audit.rows import Comparison, Connection, Row
from exchange.audit.tables import Made, selection

FEE_COLUMNS = ("account", "maker_share_ppm", "taker_share_ppm", "sequence")
VOLUME_COLUMNS = ("account", "day_ns", "market", "quote_units", "sequence")


class FeesAudit:
    """The shares of now."""

    name = "fees"
    projection = "fees"

    def __init__(self, connection: Connection, shard: int, after: Shard, report: Report) -> None:
        self._connection = connection
        self._number = shard
        self._after = after.sequence
        self._report = report
        self._comparison = Comparison(report, self.name, FEE_COLUMNS, itemgetter(slice(0, 1)), "sequence")
        self._set: dict[int, Row] = {}

    @property
    def compared(self) -> int:
        return self._comparison.compared

    async def take(self, made: Made, last: int, shard: Shard) -> None:
        for _, event in made:
            if event.kind == EventKind.FEES_SET:
                row = (event.account, event.maker_share_ppm, event.taker_share_ppm, event.sequence)
                self._set[event.account] = row

    async def finish(self, shard: Shard) -> None:
        for account, _, _, sequence in self._set.values():
            if shard.fee_shares(account) != self._set[account][1:3]:
                self._report.find(
                    "engine", sequence, f"account {account}: its shares of fees are not those of its event"
                )
        query = f"{selection('account_fees', FEE_COLUMNS)} ORDER BY account"
        found = [tuple(row) for row in await self._connection.fetch(query, self._number)]
        # What was set before the beginning the engine still has; when it was set is not known.
        earlier = {row[0]: (row[0], *shard.fee_shares(row[0]), row[3]) for row in found if row[3] <= self._after}
        self._comparison.compare(found, sorted((earlier | self._set).values()))


# The trades and fills are proven by now: a volume is what they add up to.
_VOLUMES = f"""
WITH made AS (
    SELECT f.account, f.executed_ns - f.executed_ns % {DAY_NS} AS day_ns, f.market,
           sum(t.notional_units)::numeric(40, 0) AS quote_units, max(f.sequence) AS sequence
    FROM fills f JOIN trades t USING (shard, trade_id)
    WHERE f.shard = $1 AND f.sequence <= $2 AND f.executed_ns >= $3 AND NOT EXISTS (
        SELECT FROM fills own WHERE own.shard = f.shard AND own.account = f.account AND own.trade_id = f.trade_id
                                AND own.is_maker <> f.is_maker)
    GROUP BY 1, 2, 3
), held AS (SELECT * FROM account_volumes WHERE shard = $1 AND day_ns >= $3)
SELECT account, day_ns, market, coalesce(made.sequence, held.sequence),
       CASE WHEN held.quote_units IS NULL THEN 'is missing' WHEN made.quote_units IS NULL THEN 'is not the journal''s'
            ELSE 'is ' || concat_ws(' ', held.quote_units, held.sequence)
                 || ' and should be ' || concat_ws(' ', made.quote_units, made.sequence) END AS what
FROM made FULL JOIN held USING (account, day_ns, market)
WHERE (made.quote_units, made.sequence) IS DISTINCT FROM (held.quote_units, held.sequence)
ORDER BY day_ns, account, market LIMIT 1000
"""  # noqa: S608 - our own number


async def check_volumes(connection: Connection, shard: int, upto: int, since_ns: int, report: Report) -> int:
    """Compare the days from ``since_ns`` on with the fills up to a sequence; return how many rows there are."""
    for account, day_ns, market, sequence, what in await connection.fetch(_VOLUMES, shard, upto, since_ns):
        report.find("volumes", sequence, f"account {account}, market {market}, day from {day_ns} ns: {what}")
    query = "SELECT count(*) FROM account_volumes WHERE shard = $1 AND day_ns >= $2"
    count: int = await connection.fetchval(query, shard, since_ns)
    return count

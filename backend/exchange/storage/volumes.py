"""What accounts have traded within the days of the fee schedule, and what they pay of the markets' fees.

Volume is counted in one asset. A market that is quoted in another one is counted at the average price (by volume, over
the same days) of the market between the two, base and quote in that order; where there is none, or nothing was traded
there, it counts for nothing.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.records import DAY_NS, FEE_SHARE_PPM_MAX
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.fees import WINDOW_DAYS
from exchange.contracts.units import Asset, Market

WHOLE = (FEE_SHARE_PPM_MAX, FEE_SHARE_PPM_MAX)
Rate = tuple[int, int]  # so many units of the schedule's asset for so many of another

_VOLUMES = """
SELECT coalesce(traded.account, fees.account) AS account, traded.market, traded.quote_units,
       fees.maker_share_ppm, fees.taker_share_ppm
FROM (
    SELECT account, market, sum(quote_units) AS quote_units FROM account_volumes
    WHERE shard = :shard AND day_ns >= :since_ns GROUP BY account, market
) AS traded
FULL JOIN (SELECT * FROM account_fees WHERE shard = :shard) AS fees ON fees.account = traded.account
ORDER BY 1
"""
_VOLUME = """
SELECT market, sum(quote_units) FROM account_volumes
WHERE shard = :shard AND account = :account AND day_ns >= :since_ns GROUP BY market
"""
_FEES = "SELECT maker_share_ppm, taker_share_ppm FROM account_fees WHERE shard = :shard AND account = :account"
_AVERAGE = """
SELECT coalesce(sum(quote_units), 0), coalesce(sum(volume_lots), 0) FROM candles_1m
WHERE shard = :shard AND market = :market AND opened_ns >= :since_ns
"""


@dataclass(frozen=True, slots=True)
class AccountVolume:
    """``units`` of the schedule's asset traded; ``shares``: (maker's, taker's) millionths of fees in force."""

    account: int
    units: int
    shares: tuple[int, int]


def window_begin_ns(now_ns: int) -> int:
    """Return where the days that count begin: the days of the window that are over, and today so far."""
    return now_ns - now_ns % DAY_NS - WINDOW_DAYS * DAY_NS


class Volumes:
    """Reads of one shard."""

    def __init__(self, engine: AsyncEngine, shard: int, catalogue: Catalogue) -> None:
        self._engine = engine
        self._shard = shard
        self._catalogue = catalogue

    async def all(self, asset: Asset, now_ns: int) -> AsyncIterator[AccountVolume]:
        """Yield every account that traded within the window or has shares of its own, by number.

        Read as it is asked for: what is held of it is little, however many they are.
        """
        since_ns = window_begin_ns(now_ns)
        who = {"shard": self._shard, "since_ns": since_ns}
        async with self._engine.connect() as connection:
            rates = await self._rates(connection, asset, since_ns)
            rows = await connection.stream(text(_VOLUMES), who)
            grouped: list[tuple[int, int | None, int, tuple[int, int]]] = []
            async for account, market, units, maker, taker in rows:
                if grouped and grouped[0][0] != account:
                    yield _sum(grouped, rates)
                    grouped = []
                shares = WHOLE if maker is None else (maker, taker)
                grouped.append((account, market, int(units or 0), shares))
            if grouped:
                yield _sum(grouped, rates)

    async def of_account(self, account: int, asset: Asset, now_ns: int) -> AccountVolume:
        """Return one account's."""
        since_ns = window_begin_ns(now_ns)
        who = {"shard": self._shard, "account": account}
        async with self._engine.connect() as connection:
            rows = (await connection.execute(text(_VOLUME), {**who, "since_ns": since_ns})).all()
            fees = (await connection.execute(text(_FEES), who)).one_or_none()
            shares = WHOLE if fees is None else (fees[0], fees[1])
            if not rows:
                return AccountVolume(account, 0, shares)
            rates = await self._rates(connection, asset, since_ns, {market for market, _ in rows})
        return _sum([(account, market, int(units), shares) for market, units in rows], rates)

    async def _rates(
        self, connection: AsyncConnection, asset: Asset, since_ns: int, markets: set[int] | None = None
    ) -> Mapping[int, Rate]:
        """By market (all, or those named), what its quote counts."""
        rates: dict[int, Rate] = {}
        quotes: dict[int, Rate] = {asset.number: (1, 1)}
        for number, market in self._catalogue.markets.items():
            if markets is None or number in markets:
                quote = market.quote.number
                if quote not in quotes:
                    quotes[quote] = await self._average(connection, self._between(market.quote, asset), since_ns)
                rates[number] = quotes[quote]
        return rates

    def _between(self, base: Asset, quote: Asset) -> Market | None:
        pair = (base.number, quote.number)
        markets = self._catalogue.markets.values()
        return next((market for market in markets if (market.base.number, market.quote.number) == pair), None)

    async def _average(self, connection: AsyncConnection, market: Market | None, since_ns: int) -> Rate:
        if market is None:
            return 0, 1
        which = {"shard": self._shard, "market": market.number, "since_ns": since_ns}
        quote_units, lots = (await connection.execute(text(_AVERAGE), which)).one()
        return (int(quote_units), int(lots) * market.lot_units) if lots else (0, 1)


def _sum(rows: list[tuple[int, int | None, int, tuple[int, int]]], rates: Mapping[int, Rate]) -> AccountVolume:
    units = 0
    for _, market, quote_units, _ in rows:
        if market is not None:
            paid, bought = rates.get(market, (0, 1))
            units += quote_units * paid // bought
    return AccountVolume(rows[0][0], units, rows[0][3])

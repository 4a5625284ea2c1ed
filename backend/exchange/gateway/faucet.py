"""The faucet: demo money, up to a limit a day for each account and asset."""

import asyncio
import time

from engine.records import Reason
from exchange.contracts import commands
from exchange.contracts.events import read_events, refusal_of
from exchange.contracts.refusals import EdgeReason, Refused, refuse
from exchange.contracts.units import Asset
from exchange.gateway.context import Exchange
from exchange.settings import FAUCET_DAILY_LIMITS
from exchange.storage.queries import Balance, Queries

DAY_NS = 86_400 * 1_000_000_000
LOCKS = 64


class Faucet:
    """Deposits demo money. What was drawn is counted in the ledger, so that no restart forgets it."""

    def __init__(self, exchange: Exchange, queries: Queries) -> None:
        self._exchange = exchange
        self._queries = queries
        # One draw at a time for an account, so that two cannot both find the limit unreached; strangers rarely share
        # a lock.
        self._locks = tuple(asyncio.Lock() for _ in range(LOCKS))

    async def draw(self, account: int, asset: Asset, amount: int) -> Balance:
        """Deposit ``amount`` units and return the balance. Raises Refused FORBIDDEN, FAUCET_LIMIT or the corridor's."""
        if not self._exchange.settings.faucet:
            raise refuse(EdgeReason.FORBIDDEN, "the faucet of demo money is closed on this exchange")
        async with self._locks[account % LOCKS]:
            await self._check_limit(account, asset, amount)
            outcome = await self._exchange.corridor.submit(commands.deposit(account, asset.number, amount))
            await self._exchange.caught_up(outcome.sequence)
        for event in read_events(outcome.events):
            if (refusal := refusal_of(event)) is not None:
                raise Refused(refusal)
        found = await self._queries.balances(account)
        return next(balance for balance in found if balance.asset == asset.number)

    async def _check_limit(self, account: int, asset: Asset, amount: int) -> None:
        limit_text = FAUCET_DAILY_LIMITS.get(asset.name)
        limit = asset.to_units(limit_text, "limit") if limit_text else 0
        left = limit
        if amount <= limit:
            # Everything durable counts, deposits whose answer was lost included.
            await self._exchange.caught_up(await self._exchange.corridor.head())
            now_ns = time.time_ns()
            left -= await self._queries.deposited_since(account, asset.number, now_ns - now_ns % DAY_NS)
            if amount <= left:
                return
        left_text = asset.to_text(max(left, 0))
        raise refuse(
            Reason.FAUCET_LIMIT,
            f"the faucet gives at most {limit_text or '0'} {asset.name} a day (UTC); {left_text} are left today",
            field="amount",
            limit=limit_text or "0",
            nearest=left_text if left > 0 else None,
        )

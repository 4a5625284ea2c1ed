"""The fee tiers: who has traded more pays less, from the next hour on.

At the start of every hour (UTC) and of every term the process that leads reads what accounts have traded, and sets the
shares of those whose tier is another than they pay by. What it reads may differ from one process or moment to another;
what counts is the SET_FEES in the journal, which every replay finds there.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from sqlalchemy.exc import SQLAlchemyError

from engine.records import REVENUE_ACCOUNT
from exchange.contracts import commands
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.fees import FeeSchedule
from exchange.contracts.refusals import Refused
from exchange.contracts.units import Asset
from exchange.storage.database import DatabaseUnreachable, heed_cancellation
from exchange.storage.journal import Entry
from exchange.storage.volumes import Volumes

HOUR_NS = 3600 * 10**9
POLL_S = 1.0
RETRY_S = 10.0
AT_ONCE = 100  # commands that share a commit

logger = logging.getLogger(__name__)


class FeeTiers:
    """Keeps every account in its tier. ``caught_up``: wait until the tables include all that is durable."""

    def __init__(
        self,
        volumes: Volumes,
        schedule: FeeSchedule,
        catalogue: Catalogue,
        submit: Callable[[bytearray], Awaitable[Entry]],
        caught_up: Callable[[], Awaitable[None]],
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._volumes = volumes
        self._schedule = schedule
        self._catalogue = catalogue
        self._submit = submit
        self._caught_up = caught_up
        self._clock_ns = clock_ns

    async def run(self, leads: Callable[[], bool]) -> None:
        """Set the tiers whenever it is time, while this process leads, until cancelled."""
        done: int | None = None
        while True:
            hour, wait_s = self._clock_ns() // HOUR_NS, POLL_S
            if not leads():
                done = None
            elif done != hour:
                try:
                    await self.assign()
                    done = hour
                except (Refused, SQLAlchemyError, DatabaseUnreachable, OSError) as error:
                    heed_cancellation()
                    logger.warning("fee tiers are set later: %s", error)
                    wait_s = RETRY_S
            await asyncio.sleep(wait_s)

    async def assign(self) -> int:
        """Put every account into the tier of its volume; return how many changed. Raises Refused as the corridor."""
        asset = next((known for known in self._catalogue.assets.values() if known.name == self._schedule.asset), None)
        if asset is None:
            logger.warning("no asset is called %s: everybody pays the markets' fees", self._schedule.asset)
            return 0
        await self._caught_up()
        changed = 0
        due: list[bytearray] = []
        async for command in self._changes(asset):
            due.append(command)
            changed += 1
            if len(due) == AT_ONCE:
                await asyncio.gather(*map(self._submit, due))
                due.clear()
        await asyncio.gather(*map(self._submit, due))
        if changed:
            logger.info("fee tiers: %d accounts changed theirs", changed)
        return changed

    async def _changes(self, asset: Asset) -> AsyncIterator[bytearray]:
        tiers = self._schedule.tiers
        async for volume in self._volumes.all(asset, self._clock_ns()):
            shares = tiers[self._schedule.tier_of(volume.units, asset)].shares
            if volume.account > REVENUE_ACCOUNT and volume.shares != shares:
                yield commands.set_fees(volume.account, *shares)

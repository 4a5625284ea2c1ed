"""The tables as processes see them that do not make them: how far they are, and how to hurry them."""

import asyncio
import logging
from contextlib import suppress
from typing import NoReturn

import asyncpg

from exchange.cluster.channels import Channels
from exchange.cluster.messages import Entries, Hurry, NotUnderstood, Reached, decoder, encode, entries_of
from exchange.cluster.relay import Relay
from exchange.projections.runner import ProjectionRunner
from exchange.storage.database import DatabaseUnreachable, connect, heed_cancellation
from exchange.storage.journal import BROKEN

logger = logging.getLogger("exchange.cluster")

LOOK_S = 1.0
LOOK_WAITED_FOR_S = 0.05
CONNECT_AGAIN_S = 0.5
HURRIES_MAX = 1_000
_WATERMARK = "SELECT coalesce(min(sequence), 0) FROM watermarks WHERE shard = $1"

_read_reached = decoder(Reached)
_read_hurry = decoder(Hurry)
_read_entries = decoder(Entries)


class FollowedTables:
    """How far the projectors are: told through Redis, and looked up where nobody tells."""

    def __init__(self, dsn: str, shard: int, relay: Relay) -> None:
        self._dsn = dsn
        self._shard = shard
        self._relay = relay
        self._channels = Channels(shard)
        self._waiters: set[tuple[int, asyncio.Future[None]]] = set()
        self._waited_for = asyncio.Event()
        self.watermark = 0

    async def wait_for(self, sequence: int, timeout_s: float | None) -> None:
        """Return when the tables include ``sequence``. Raises TimeoutError; ``timeout_s`` None waits for ever."""
        if sequence <= self.watermark:
            return
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter := (sequence, reached))
        self._relay.speak(self._channels.hurry, encode(Hurry(sequence)))
        self._waited_for.set()
        try:
            async with asyncio.timeout(timeout_s):
                await reached
        finally:
            self._waiters.discard(waiter)

    async def run(self) -> None:
        """What a leader runs for its term, until cancelled: nothing, since the tables are made elsewhere."""
        await asyncio.Event().wait()

    async def follow(self) -> NoReturn:
        """Look until cancelled."""
        await self._relay.listen({self._channels.tables: self._take})
        while True:
            with suppress(DatabaseUnreachable, asyncpg.PostgresError, *BROKEN):
                await self._look()
            heed_cancellation()
            await asyncio.sleep(CONNECT_AGAIN_S)

    async def _look(self) -> None:
        connection = await connect(self._dsn, settings={"application_name": f"exchange tables {self._shard}"})
        try:
            while True:
                self._reached(await connection.fetchval(_WATERMARK, self._shard))
                if self._waiters:
                    await asyncio.sleep(LOOK_WAITED_FOR_S)
                    continue
                self._waited_for.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._waited_for.wait()
        finally:
            connection.terminate()

    def _take(self, message: bytes) -> None:
        with suppress(NotUnderstood):
            self._reached(_read_reached(message).watermark)

    def _reached(self, watermark: int) -> None:
        self.watermark = watermark  # it goes back when tables are made again
        for sequence, reached in self._waiters:
            if sequence <= watermark and not reached.done():
                reached.set_result(None)


class Projector:
    """Makes the tables, for the processes that follow them."""

    def __init__(self, dsn: str, shard: int, relay: Relay | None) -> None:
        self._relay = relay
        self._channels = Channels(shard)
        self._hurries: set[asyncio.Task[None]] = set()
        self.runner = ProjectionRunner(dsn, shard, on_reached=self._tell)

    async def run(self) -> None:
        """Follow the journal until cancelled. Raises ProjectionError when the tables cannot."""
        if self._relay is not None:
            await self._relay.listen({self._channels.entries: self._grown, self._channels.hurry: self._hurry})
        await self.runner.run()

    def _tell(self, watermark: int) -> None:
        if self._relay is not None:
            self._relay.speak(self._channels.tables, encode(Reached(watermark)))

    def _grown(self, message: bytes) -> None:
        with suppress(NotUnderstood):
            entries = entries_of(_read_entries(message))
            self.runner.nudge(entries[-1].sequence)

    def _hurry(self, message: bytes) -> None:
        if len(self._hurries) >= HURRIES_MAX:
            return  # those before it hurry already
        with suppress(NotUnderstood):
            hurrying = asyncio.create_task(self.runner.wait_for(_read_hurry(message).sequence, None))
            self._hurries.add(hurrying)
            hurrying.add_done_callback(self._hurries.discard)

"""Redis between the roles: channels that are spoken on and listened to. Nothing is kept there.

Messages go out in one round trip for all that have gathered; on one channel they arrive in the order in which they were
spoken, and those of one process in that order on all its channels. While Redis is away nothing is passed on, who speaks
is told so, and the relay connects again by itself.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from exchange.storage.database import heed_cancellation

logger = logging.getLogger("exchange.cluster")

IO_TIMEOUT_S = 2.0
CONNECT_AGAIN_S = 0.25
PING_EVERY_S = 1.0  # where there is nothing to say
WAITING_BYTES_MAX = 32 * 1024 * 1024  # at the bound a message is not taken: its speaker is told
TOGETHER_MAX = 500  # messages a round trip

_AWAY = (RedisError, OSError, TimeoutError, EOFError)


class NotSpoken(Exception):
    """A message reached nobody: Redis is away, nobody listens, or too much is waiting."""


class Relay:
    """One process's connection to the others. ``run`` keeps it up."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._listeners: dict[str, Callable[[bytes], None]] = {}
        self._on_change: list[Callable[[bool], None]] = []
        self._waiting: deque[tuple[str, bytes, asyncio.Future[int] | None]] = deque()
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()
        self._pubsub: PubSub | None = None
        self.up = False

    def on_change(self, told: Callable[[bool], None]) -> None:
        """Name who hears that Redis is there (True) or away (False)."""
        self._on_change.append(told)

    # Speaking

    def speak(self, channel: str, message: bytes) -> None:
        """Say something to whoever listens; it is lost where that is nobody."""
        with suppress(NotSpoken):
            self._queue(channel, message, None)

    async def tell(self, channel: str, message: bytes) -> None:
        """Say something to somebody. Raises NotSpoken, and then nobody has heard it."""
        heard: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue(channel, message, heard)
        if not await heard:
            raise NotSpoken(f"nobody listens on {channel}")

    def _queue(self, channel: str, message: bytes, heard: "asyncio.Future[int] | None") -> None:
        if not self.up:
            raise NotSpoken("Redis is away")
        if self._waiting_bytes + len(message) > WAITING_BYTES_MAX:
            raise NotSpoken("too much is waiting for Redis")
        self._waiting.append((channel, message, heard))
        self._waiting_bytes += len(message)
        self._arrived.set()

    # Listening

    async def listen(self, listeners: Mapping[str, Callable[[bytes], None]]) -> None:
        """Hand what is said on each channel to its listener, now and after every connection."""
        self._listeners.update(listeners)
        if self._pubsub is not None:
            with suppress(*_AWAY):  # the next connection listens to them
                await self._pubsub.subscribe(*listeners)

    async def ignore(self, channel: str) -> None:
        """Listen to a channel no more."""
        self._listeners.pop(channel, None)
        if self._pubsub is not None:
            with suppress(*_AWAY):
                await self._pubsub.unsubscribe(channel)

    # The connection

    async def run(self) -> None:
        """Be connected whenever Redis is there, until cancelled."""
        told_away = False
        while True:
            try:
                await self._be_connected()
            except _AWAY as error:
                heed_cancellation()
                if not told_away:
                    logger.warning("Redis is away, connecting again: %s", type(error).__name__)
                told_away = True
            else:
                told_away = False
            await asyncio.sleep(CONNECT_AGAIN_S)

    async def _be_connected(self) -> None:
        """Speak and listen until one of the two fails."""
        once = Retry(NoBackoff(), 0)
        options: dict[str, Any] = {"socket_connect_timeout": IO_TIMEOUT_S, "retry": once, "protocol": 3}
        speaker = Redis.from_url(self._url, socket_timeout=IO_TIMEOUT_S, **options)
        listener = Redis.from_url(self._url, socket_timeout=None, **options)
        pubsub = listener.pubsub(ignore_subscribe_messages=True)
        tasks: list[asyncio.Task[None]] = []
        try:
            await speaker.ping()
            if self._listeners:
                await pubsub.subscribe(*self._listeners)
            self._pubsub = pubsub
            self._change(True)
            logger.info("connected to Redis")
            tasks = [asyncio.create_task(self._speak_on(speaker)), asyncio.create_task(self._listen_on(pubsub))]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._pubsub = None
            self._change(False)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for open_end in (pubsub, speaker, listener):
                with suppress(*_AWAY):
                    await open_end.aclose()

    def _change(self, up: bool) -> None:
        was, self.up = self.up, up
        if not up:
            for _, _, heard in self._waiting:
                _fail(heard)
            self._waiting.clear()
            self._waiting_bytes = 0
        if was != up:
            for told in self._on_change:
                told(up)

    async def _speak_on(self, speaker: Redis) -> None:
        while True:
            try:
                async with asyncio.timeout(PING_EVERY_S):
                    await self._arrived.wait()
            except TimeoutError:
                await speaker.ping()
                continue
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), TOGETHER_MAX))]
            if not self._waiting:
                self._arrived.clear()
            try:
                async with speaker.pipeline(transaction=False) as pipeline:
                    for channel, message, _ in batch:
                        self._waiting_bytes -= len(message)
                        pipeline.publish(channel, message)
                    receivers = await pipeline.execute()
            except BaseException:
                # Whether they were heard is not known: who asked for something waits for its answer as long as ever.
                for _, _, heard in batch:
                    _settle(heard, 1)
                raise
            for (_, _, heard), count in zip(batch, receivers, strict=True):
                _settle(heard, count)

    async def _listen_on(self, pubsub: PubSub) -> None:
        while True:
            if not pubsub.subscribed:
                await asyncio.sleep(CONNECT_AGAIN_S)
                continue
            async for message in pubsub.listen():
                listener = self._listeners.get(message["channel"].decode())
                if listener is not None and message["type"] == "message":
                    listener(message["data"])


def _settle(heard: "asyncio.Future[int] | None", count: int) -> None:
    if heard is not None and not heard.done():
        heard.set_result(count)


def _fail(heard: "asyncio.Future[int] | None") -> None:
    if heard is not None and not heard.done():
        heard.set_exception(NotSpoken("Redis went away"))

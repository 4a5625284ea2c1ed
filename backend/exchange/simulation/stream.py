"""A subscription to the WebSocket streams that knows when it missed something.

Messages of one channel and symbol form a chain (`prev_sequence`). A message that does not continue the chain is
dropped and the channel is subscribed again, so that the next thing a reader sees of it is a snapshot.
"""

import itertools
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import aiohttp
import msgspec

from exchange.simulation.client import Account, ApiClient

Subscription = tuple[str, str | None]  # channel, symbol (None for the private channel)


class StreamLost(Exception):
    """The connection ended, or the exchange refused to stream; connect again."""


async def read_stream(
    client: ApiClient, subscriptions: Sequence[Subscription], account: Account | None = None
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield snapshot and update messages as documents, complete from each snapshot on. Raises StreamLost at the end."""
    try:
        async with client.websocket() as socket:
            reader = _Reader(socket, account)
            for subscription in subscriptions:
                await reader.subscribe(subscription)
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT and (document := await reader.take(message.data)) is not None:
                    yield document
            raise StreamLost(f"the exchange closed the stream with code {socket.close_code}")
    except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
        raise StreamLost(f"stream: {type(error).__name__} {error}") from error


class _Reader:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse, account: Account | None) -> None:
        self._socket = socket
        self._account = account
        self._ids = itertools.count(1)
        self._sequences: dict[Subscription, int] = {}  # of the last message; absent while a snapshot is awaited

    async def subscribe(self, subscription: Subscription) -> None:
        channel, symbol = subscription
        self._sequences.pop(subscription, None)
        if channel == "orders" and self._account is not None:
            await self._operate({"op": "authenticate", "token": await self._account.token()})
        await self._operate(
            {"op": "subscribe", "channel": channel} | ({"symbol": symbol.replace("/", "-")} if symbol else {})
        )

    async def _operate(self, operation: dict[str, Any]) -> None:
        await self._socket.send_str(msgspec.json.encode(operation | {"id": next(self._ids)}).decode())

    async def take(self, text: str) -> dict[str, Any] | None:
        document: dict[str, Any] = msgspec.json.decode(text)
        kind = document.get("type")
        if kind == "error":
            if document.get("reason") != "TOKEN_EXPIRED":
                raise StreamLost(f"the exchange refused the stream: {document.get('reason')} {document.get('detail')}")
            await self.subscribe(("orders", None))
            return None
        subscription = (document.get("channel", ""), document.get("symbol"))
        if kind == "snapshot":
            self._sequences[subscription] = document["sequence"]
            return document
        if kind != "update" or subscription not in self._sequences:
            return None
        if document["prev_sequence"] != self._sequences[subscription]:
            await self.subscribe(subscription)
            return None
        self._sequences[subscription] = document["sequence"]
        return document

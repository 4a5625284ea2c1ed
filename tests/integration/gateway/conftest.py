"""The edge over a local exchange, and a client of it."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from exchange.gateway.app import create_app
from exchange.gateway.context import Exchange
from tests.support.local_exchange import LocalCorridor, local_exchange, serving, with_order_entry
from tests.support.traders import Trader, trader


@pytest.fixture
async def exchange(database_url: str) -> AsyncIterator[Exchange]:
    async with local_exchange(database_url) as running:
        yield running


@pytest.fixture
async def client(exchange: Exchange) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(create_app(exchange)) as connected:
        yield connected


@pytest.fixture
async def trading(exchange: Exchange) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the whole API, order entry included."""
    async with serving(with_order_entry(exchange)) as connected:
        yield connected


@pytest.fixture
async def corridor(exchange: Exchange) -> LocalCorridor:
    assert isinstance(exchange.corridor, LocalCorridor)
    return exchange.corridor


@pytest.fixture
async def alice(client: aiohttp.ClientSession, corridor: LocalCorridor) -> Trader:
    return await trader(client, corridor, "alice")


@pytest.fixture
async def bob(client: aiohttp.ClientSession, corridor: LocalCorridor) -> Trader:
    return await trader(client, corridor, "bob")

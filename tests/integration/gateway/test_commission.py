"""The fee schedule for everybody, and what an account pays by it."""

import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from engine.records import Side
from exchange.contracts import commands
from exchange.gateway.context import Exchange
from tests.support.local_exchange import local_exchange, registered, serving, with_order_entry


@pytest.fixture
async def exchange(database_url: str) -> AsyncIterator[Exchange]:
    async with local_exchange(database_url, EXCHANGE_FEE_TIERS="0:1:1,1000:0.5:0.8,5000:0:0.25") as running:
        yield running


@pytest.fixture
async def client(exchange: Exchange) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(with_order_entry(exchange)) as connected:
        yield connected


async def get(client: aiohttp.ClientSession, path: str, headers: dict[str, str] | None = None) -> Any:
    async with client.get(f"/api/v1/{path}", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_the_schedule_is_public(client: aiohttp.ClientSession) -> None:
    schedule = await get(client, "fees/schedule")
    assert (schedule["asset"], schedule["window_days"]) == ("USD", 30)
    assert schedule["tiers"] == [
        {"tier": 0, "volume_from": "0", "maker_share": "1", "taker_share": "1"},
        {"tier": 1, "volume_from": "1000", "maker_share": "0.5", "taker_share": "0.8"},
        {"tier": 2, "volume_from": "5000", "maker_share": "0", "taker_share": "0.25"},
    ]


async def test_commission_tells_volume_tier_fees_in_force_and_what_is_missing(
    client: aiohttp.ClientSession, exchange: Exchange
) -> None:
    account, headers = await registered(client)
    fresh = await get(client, "account/commission", headers)
    assert (fresh["volume_30d"], fresh["tier"], fresh["maker_share"], fresh["taker_share"]) == ("0", 0, "1", "1")
    assert fresh["next_tier"] == {
        "tier": 1, "volume_from": "1000", "maker_share": "0.5", "taker_share": "0.8", "missing": "1000",
    }  # fmt: skip
    assert fresh["markets"][0] == {"symbol": "BTC/USD", "maker": "0.001", "taker": "0.002"}
    for asset in (1, 2):
        for owner in (account, 7):
            await exchange.corridor.submit(commands.deposit(owner, asset, 10**15))
    for owner, side in ((7, Side.SELL), (account, Side.BUY)):
        await exchange.corridor.submit(commands.place(owner, 1, side, 2, 1, 0, 120_050, 10**8))
    traded = await get(client, "account/commission", headers)
    assert (traded["volume_30d"], traded["tier"], traded["maker_share"]) == ("1200.5", 1, "1")
    assert traded["next_tier"]["missing"] == "3799.5"
    assert traded["tiers_set_at"][14:19] == "00:00"
    await exchange.corridor.submit(commands.set_fees(account, 500_000, 800_000))
    await exchange.caught_up(exchange.corridor.sequence)
    paid = await get(client, "account/commission", headers)
    assert (paid["maker_share"], paid["taker_share"]) == ("0.5", "0.8")
    assert paid["markets"][0] == {"symbol": "BTC/USD", "maker": "0.0005", "taker": "0.0016"}
    assert (await get(client, "account/commission", (await registered(client, "bob"))[1]))["volume_30d"] == "0"


async def test_the_highest_tier_has_none_after_it(client: aiohttp.ClientSession, exchange: Exchange) -> None:
    account, headers = await registered(client)
    exchange.corridor.now_ns = time.time_ns()  # type: ignore[attr-defined]
    for asset in (1, 2):
        for owner in (account, 7):
            await exchange.corridor.submit(commands.deposit(owner, asset, 10**15))
    for owner, side in ((7, Side.SELL), (account, Side.BUY)):
        await exchange.corridor.submit(commands.place(owner, 1, side, 2, 1, 0, 500_000, 10**8))
    answer = await get(client, "account/commission", headers)
    assert (answer["volume_30d"], answer["tier"], answer["next_tier"]) == ("5000", 2, None)


async def test_a_tested_order_tells_the_fees_that_it_would_pay(
    client: aiohttp.ClientSession, exchange: Exchange
) -> None:
    account, headers = await registered(client)
    await exchange.corridor.submit(commands.deposit(account, 1, 10**15))
    await exchange.corridor.submit(commands.set_fees(account, 500_000, 800_000))
    order = {"symbol": "BTC/USD", "side": "Buy", "quantity": "1", "price": "100.00"}
    async with client.post("/api/v1/orders/test", json=order, headers=headers) as answer:
        assert answer.status == 200
        assert (await answer.json())["fees"] == {"maker": "0.0005", "taker": "0.0016"}

"""kill -9 at random instants: nothing acknowledged is lost or doubled, every unknown outcome can be learned.

EXCHANGE_KILLS sets how often; `make soak` kills 100 times.
"""

import asyncio
import os
import random
import uuid
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.support.books import check_books, read
from tests.support.server import ExchangeServer

KILLS = int(os.environ.get("EXCHANGE_KILLS", "8"))
TRADERS = 8
WORKERS_PER_TRADER = 2


@dataclass
class Evidence:
    """What the traders were told, and what they do not know."""

    acknowledged: dict[str, str] = field(default_factory=dict)  # client order id -> order id
    refused: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)  # order ids
    unknown: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)  # client order id -> (token, body)


async def trade(session: aiohttp.ClientSession, url: str, token: str, rng: random.Random, evidence: Evidence) -> None:
    """Place and cancel until the exchange is gone."""
    headers = {"Authorization": f"Bearer {token}"}
    mine: list[str] = []
    while True:
        if mine and rng.random() < 0.3:
            order_id = mine.pop(rng.randrange(len(mine)))
            try:
                async with session.delete(f"{url}/api/v1/orders/{order_id}", headers=headers) as answer:
                    if answer.status == 200:
                        evidence.cancelled.add(order_id)
                    elif answer.status >= 500:
                        return
            except aiohttp.ClientError:
                return
            continue
        client_order_id = uuid.uuid4().hex
        body = {
            "symbol": "BTC/USD", "side": rng.choice(("Buy", "Sell")), "price": f"{50000 + rng.randint(-50, 50)}.00",
            "quantity": f"0.{rng.randint(1, 99):03d}", "order_type": "Limit", "client_order_id": client_order_id,
        }  # fmt: skip
        evidence.unknown[client_order_id] = (token, body)
        try:
            async with session.post(f"{url}/api/v1/orders", json=body, headers=headers) as answer:
                content = await answer.json()
        except (aiohttp.ClientError, ValueError):
            return
        if answer.status == 201:
            del evidence.unknown[client_order_id]
            evidence.acknowledged[client_order_id] = content["order_id"]
            mine.append(content["order_id"])
        elif answer.status == 422:
            del evidence.unknown[client_order_id]
            evidence.refused.add(client_order_id)
        elif answer.status == 503:
            return
        else:
            raise AssertionError((answer.status, content))


async def load_until_killed(
    exchange: ExchangeServer, tokens: list[str], rng: random.Random, evidence: Evidence
) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        workers = [
            asyncio.create_task(trade(session, exchange.url, token, random.Random(rng.random()), evidence))
            for token in tokens
            for _ in range(WORKERS_PER_TRADER)
        ]
        await asyncio.sleep(rng.uniform(0.02, 1.0))
        await asyncio.to_thread(exchange.kill)
        await asyncio.gather(*workers)


def resolve_unknown(exchange: ExchangeServer, evidence: Evidence) -> None:
    """Every order whose answer was lost can be asked for; one that was not received can be sent again, once."""
    for client_order_id, (token, body) in list(evidence.unknown.items()):
        status, found = exchange.call("GET", f"/api/v1/orders/by-client-id/{client_order_id}", token=token)
        if status == 404:
            assert found["reason"] == "NOT_RECEIVED"
        again, placed = exchange.call("POST", "/api/v1/orders", body, token)
        assert again == (201 if status == 404 else status) or again == 422, (status, again, placed)
        if again in (200, 201):
            assert status == 404 or placed["order_id"] == found["order_id"]
            evidence.acknowledged[client_order_id] = placed["order_id"]
        else:
            evidence.refused.add(client_order_id)
        del evidence.unknown[client_order_id]


def test_kill_9_loses_and_doubles_nothing(own_exchange: ExchangeServer) -> None:
    exchange, evidence = own_exchange, Evidence()
    seed = int(os.environ.get("EXCHANGE_KILL_SEED", "1"))
    rng = random.Random(seed)
    funds = {"USD": "10000000", "BTC": "1000"}
    for number in range(TRADERS):
        exchange.trader(f"trader-{number}", funds)
    for kill in range(KILLS):
        login = [
            ("POST", "/api/v1/auth/login", {"username": f"trader-{n}", "password": "correct horse battery"})
            for n in range(TRADERS)
        ]
        tokens = [exchange.call(*call)[1]["access_token"] for call in login]
        asyncio.run(load_until_killed(exchange, tokens, rng, evidence))
        exchange.start(wait=False)
        if rng.random() < 0.25:  # killed again while it recovers
            asyncio.run(asyncio.sleep(rng.uniform(0.1, 0.8)))
            exchange.kill()
            exchange.start(wait=False)
        exchange.wait_ready()
        resolve_unknown(exchange, evidence)
        print(
            f"kill {kill + 1}/{KILLS}: {len(evidence.acknowledged)} acknowledged, {len(evidence.cancelled)} cancelled"
        )
    shard = check_books(exchange)  # waits until the tables have everything
    orders = {
        row["client_order_id"]: row for row in read(exchange, "SELECT client_order_id, order_id, status FROM orders")
    }
    assert {client_id: str(row["order_id"]) for client_id, row in orders.items()} == evidence.acknowledged
    by_id = {str(row["order_id"]): row["status"] for row in orders.values()}
    assert all(by_id[order_id] == 4 for order_id in evidence.cancelled), "a cancel that was answered stays"
    (total,) = read(exchange, "SELECT count(*) AS n, count(DISTINCT (account, client_order_id)) AS ids FROM orders")
    assert total["n"] == total["ids"] == len(evidence.acknowledged)
    exchange.stop()
    exchange.start()
    assert exchange.recovered_digest() == (shard.sequence, f"{shard.digest():016x}")

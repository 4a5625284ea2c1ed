"""Traders of a local exchange, who place orders past the edge and read through it."""

import csv
import io
from dataclasses import dataclass
from typing import Any

import aiohttp

from engine.records import OrderType, Side, TimeInForce
from exchange.contracts import commands
from tests.support.local_exchange import LocalCorridor, registered

USD, BTC = 1, 2
BTC_USD, ETH_USD = 1, 2


@dataclass
class Trader:
    """Somebody signed in, and what they do on the exchange."""

    account: int
    headers: dict[str, str]
    client: aiohttp.ClientSession
    corridor: LocalCorridor

    async def place(
        self, side: Side, price_ticks: int, quantity_lots: int, client_order_id: str = "", **terms: int
    ) -> int:
        """Return the order's id."""
        terms = {"market": BTC_USD, "order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC, "flags": 0} | terms
        command = commands.place(
            self.account, side=side, price_ticks=price_ticks, quantity_lots=quantity_lots,
            client_order_id=client_order_id.encode(), **terms,
        )  # fmt: skip
        return (await self.corridor.submit(command)).sequence

    async def get(self, path: str, **query: Any) -> tuple[int, Any]:
        async with self.client.get(f"/api/v1/{path}", params=query, headers=self.headers) as answer:
            return answer.status, await answer.json()

    async def items(self, path: str, **query: Any) -> list[Any]:
        """All pages of a list, joined."""
        items: list[Any] = []
        cursor: dict[str, str] = {}
        while True:
            status, page = await self.get(f"history/{path}", **query, **cursor)
            assert status == 200, page
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            cursor = {"cursor": page["next_cursor"]}

    async def rows(self, path: str, **query: Any) -> list[dict[str, str]]:
        """The rows of a CSV export."""
        async with self.client.get(f"/api/v1/history/{path}", params=query, headers=self.headers) as answer:
            text = await answer.text()
            assert (answer.status, answer.content_type) == (200, "text/csv"), text
            assert "attachment" in answer.headers["content-disposition"]
        return list(csv.DictReader(io.StringIO(text)))


async def trader(client: aiohttp.ClientSession, corridor: LocalCorridor, name: str) -> Trader:
    account, headers = await registered(client, name)
    await corridor.deposit(account, USD, 10**6 * 10**10)
    await corridor.deposit(account, BTC, 100 * 10**8)
    return Trader(account, headers, client, corridor)

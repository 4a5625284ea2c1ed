"""Traders: they place, change, cancel, retry and ask, and believe nothing that they were not told."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from exchange.contracts.refusals import EdgeReason, Refusal
from tests.simulation.request import Evidence, Request, Told

Ask = Callable[[Request], Awaitable[dict[str, Any] | Refusal]]  # raises TimeoutError, ConnectionError
#: After these a trader knows no more than before.
UNKNOWN = (EdgeReason.UNAVAILABLE, EdgeReason.OVERLOADED, EdgeReason.OUTCOME_UNKNOWN)
UNKNOWN_NAMES = {reason.name for reason in UNKNOWN}
NEVER_S = 600.0


class Trader:
    """One account. ``told``: the highest sequence that it knows of."""

    def __init__(
        self, account: int, rng: random.Random, ask: Ask, evidence: Evidence, time: Callable[[], float]
    ) -> None:
        self.account = account
        self.told = 0
        self._rng = rng
        self._send = ask
        self._evidence = evidence
        self._time = time
        self._orders: list[int] = []
        self._placed: list[Request] = []
        self._count = 0
        self.unknown: list[Request] = []  # placements whose outcome it does not know

    async def trade(self, operations: int, pause_s: float) -> None:
        """Do so many things, one after another."""
        for _ in range(operations):
            await asyncio.sleep(self._rng.expovariate(1 / pause_s))
            await self._do_something()

    async def resolve(self) -> None:
        """Learn what became of every placement whose answer was lost; send again what was not received."""
        for request in self.unknown:
            client_order_ids = _client_order_ids(request)
            for client_order_id in client_order_ids:
                await self._insist(Request("ask", self.account, body={"client_order_id": client_order_id}))
            await self._insist(request)
        self.unknown.clear()

    async def _insist(self, request: Request) -> None:
        """Ask until there is an answer that says something."""
        deadline = self._time() + NEVER_S
        while self._time() < deadline:
            answer = await self._ask(request)
            if answer is not None:
                return
            await asyncio.sleep(self._rng.uniform(0.1, 1))
        self._evidence.unresolved.append(request)

    async def _ask(self, request: Request) -> dict[str, Any] | Refusal | None:
        """Send a request once; None where the outcome is not known or nothing was taken."""
        before, asked_at = self.told, self._time()
        try:
            answer = await self._send(request)
        except (TimeoutError, ConnectionError):
            return None
        if isinstance(answer, Refusal) and answer.reason in UNKNOWN:
            return None
        self._evidence.told.append(Told(request, answer, before, asked_at, self._time()))
        self._learn(answer)
        return None if is_unknown(answer) else answer

    def _learn(self, answer: dict[str, Any] | Refusal) -> None:
        if isinstance(answer, Refusal):
            self.told = max(self.told, answer.sequence or 0)
            return
        for outcome in answer.get("outcomes", ()):
            if outcome["order"] is not None:
                self._learn(outcome["order"])
        if "order_id" in answer:
            self.told = max(self.told, answer["sequence"])
            if int(answer["order_id"]) not in self._orders:
                self._orders.append(int(answer["order_id"]))

    # What it does

    async def _do_something(self) -> None:
        choice = self._rng.random()
        if choice < 0.5 or not self._orders:
            await self._place(self._placement())
        elif choice < 0.58 and self._placed:
            await self._place(self._rng.choice(self._placed))  # once more, long after
        elif choice < 0.78:
            await self._ask(Request("cancel", self.account, self._rng.choice(self._orders[-6:])))
        elif choice < 0.86:
            body = {self._rng.choice(("price", "quantity")): str(self._rng.randint(1, 30))}
            await self._ask(Request("amend", self.account, self._rng.choice(self._orders[-6:]), body))
        elif choice < 0.96:
            await self._ask(Request("read", self.account, self._rng.choice(self._orders)))
        elif self._placed:
            asked = self._rng.choice(_client_order_ids(self._rng.choice(self._placed)))
            await self._ask(Request("ask", self.account, body={"client_order_id": asked}))

    def _placement(self) -> Request:
        choice = self._rng.random()
        if choice < 0.1 and self._orders:
            order_id = self._rng.choice(self._orders[-6:])
            return Request("replace", self.account, order_id, {**self._order(), "mode": "allow_failure"})
        if choice < 0.25:
            operations = [self._order() for _ in range(self._rng.randint(1, 4))]
            return Request("batch", self.account, body={"operations": operations})
        return Request("place", self.account, body=self._order())

    def _order(self) -> dict[str, Any]:
        self._count += 1
        rng = self._rng
        order = {
            "symbol": "BTC/USD", "side": rng.choice(("Buy", "Sell")), "quantity": str(rng.randint(1, 20)),
            "price": str(rng.randint(96, 104)), "client_order_id": f"{self.account}-{self._count}",
        }  # fmt: skip
        kind = rng.random()
        if kind < 0.08:
            return order | {"post_only": True}
        if kind < 0.14:
            return order | {"time_in_force": rng.choice(("IOC", "FOK"))}
        if kind < 0.24:
            seconds = int(self._time()) + rng.randint(1, 20)
            return order | {
                "time_in_force": "GTD",
                "expire_at": f"2026-01-01T00:{seconds // 60:02d}:{seconds % 60:02d}Z",
            }
        if kind < 0.32:
            return order | {"order_type": "StopLimit", "trigger_price": str(rng.randint(96, 104))}
        if kind < 0.36:
            return order | {"quantity": "200", "display_quantity": "7"}
        return order

    async def _place(self, request: Request) -> None:
        """Place and, where there is no answer, find out at once, or send again, or leave it for later."""
        self._placed.append(request)
        if await self._ask(request) is not None:
            return
        choice = self._rng.random()
        if choice < 0.3:
            await asyncio.gather(*[self._ask(request) for _ in range(self._rng.randint(1, 3))])
        elif choice < 0.6:
            for client_order_id in _client_order_ids(request):
                await self._ask(Request("ask", self.account, body={"client_order_id": client_order_id}))
        if request not in self.unknown:
            self.unknown.append(request)


def is_unknown(answer: dict[str, Any] | Refusal) -> bool:
    """Whether the outcome of something that was asked for is still not known."""
    if isinstance(answer, Refusal):
        return answer.reason in UNKNOWN
    problems = [outcome["problem"] for outcome in answer.get("outcomes", ())]
    return any(problem is not None and problem["reason"] in UNKNOWN_NAMES for problem in problems)


def _client_order_ids(request: Request) -> list[str]:
    if request.kind == "batch":
        return [operation["client_order_id"] for operation in request.body["operations"]]
    assert request.client_order_id is not None
    return [request.client_order_id]

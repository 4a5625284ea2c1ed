"""Where a recording is played: the two ways into an exchange behind one small protocol, and the one over HTTP."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from exchange.simulation.client import Account, ApiClient, Depth, OrderRequest, Refused, Side, Unreachable

DEPTH_WAIT_S = 10.0

Level = tuple[Decimal, Decimal]  # price, quantity


@dataclass(frozen=True, slots=True)
class PlaceOutcome:
    """`order_id` is None for a refusal, which `reason` names. `repeated`: the exchange knew this client id already."""

    order_id: str | None
    reason: str | None = None
    is_open: bool = False
    fills: int = 0
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class CancelOutcome:
    """`cancelled` is False for an order that had ended before. `left` is the quantity that was never filled."""

    cancelled: bool
    left: Decimal


class Venue(Protocol):
    """One market of an exchange, entered as any of `accounts` traders."""

    accounts: int

    async def place(
        self, account: int, client_order_id: str, side: Side, price: Decimal, quantity: Decimal
    ) -> PlaceOutcome:
        """Place a limit order as trader number `account` (0..accounts-1)."""

    async def cancel(self, account: int, order_id: str) -> CancelOutcome:
        """Cancel what is left of the trader's order."""

    async def book(self, levels: int) -> tuple[list[Level], list[Level]]:
        """Bids and asks, best first, including everything answered so far."""


class BookBehind(Exception):
    """The depth that the exchange serves stays behind the orders that it has acknowledged."""


class HttpVenue:
    """A market behind the public API, traded by registered users."""

    def __init__(self, client: ApiClient, symbol: str, traders: list[Account]) -> None:
        self.accounts = len(traders)
        self._client = client
        self._symbol = symbol
        self._traders = traders
        self._sequence = 0  # the latest that an answer told

    async def place(
        self, account: int, client_order_id: str, side: Side, price: Decimal, quantity: Decimal
    ) -> PlaceOutcome:
        # Who traded with whom is not in a recording: the accounts are drawn, and one may meet itself.
        request = OrderRequest(
            client_order_id, self._symbol, side, format(quantity, "f"), format(price, "f"), self_trade_prevention="None"
        )
        try:
            placed = await self._traders[account].place(request)
        except Refused as refusal:
            return PlaceOutcome(None, refusal.reason)
        order = placed.order
        self._sequence = max(self._sequence, order.sequence)
        return PlaceOutcome(order.order_id, None, order.is_open, len(order.fills), placed.repeated)

    async def cancel(self, account: int, order_id: str) -> CancelOutcome:
        trader = self._traders[account]
        try:
            order = await trader.cancel(order_id)
            cancelled = True
        except Refused as refusal:
            if refusal.reason != "ORDER_ENDED":
                raise
            order = await trader.order(order_id)
            cancelled = False
        self._sequence = max(self._sequence, order.sequence)
        return CancelOutcome(cancelled, Decimal(order.quantity) - Decimal(order.filled_quantity))

    async def book(self, levels: int) -> tuple[list[Level], list[Level]]:
        deadline = time.monotonic() + DEPTH_WAIT_S
        while (depth := await self._client.depth(self._symbol, levels)).sequence < self._sequence:
            if time.monotonic() > deadline:
                raise BookBehind(
                    f"depth includes sequence {depth.sequence}, orders were answered up to {self._sequence}"
                )
            await asyncio.sleep(0.01)
        return _levels(depth)


def _levels(depth: Depth) -> tuple[list[Level], list[Level]]:
    bids, asks = (
        [(Decimal(price), Decimal(quantity)) for price, quantity in side] for side in (depth.bids, depth.asks)
    )
    return bids, asks


async def ensure_funds(trader: Account, funds: Mapping[str, Decimal]) -> None:
    """Ask the faucet for each asset of which the account has less than half of `funds` (asset -> amount).

    Raises Refused when the faucet gives no more and Unreachable when it does not answer.
    """
    balances = await trader.balances()
    for asset, amount in funds.items():
        total = Decimal(balances[asset].total) if asset in balances else Decimal(0)
        if total >= amount / 2:
            continue
        try:
            await trader.ask_faucet(asset, format(amount - total, "f"))
        except Unreachable:
            balances = await trader.balances()  # answered or not, what counts is what arrived
            if asset not in balances or Decimal(balances[asset].total) < amount / 2:
                raise

"""The demo's robots at work: decisions of `robots.py` carried out on an account, whatever the exchange answers."""

import asyncio
import contextlib
import itertools
import logging
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Protocol

from exchange.simulation.account_view import AccountView
from exchange.simulation.client import Account, OrderRequest, Refused
from exchange.simulation.robots import (
    FairPrice,
    Grid,
    Maker,
    MakerStyle,
    Style,
    Take,
    Taker,
    inventory_of,
    quote_mark,
    quote_of,
    taker_view,
)
from exchange.simulation.venue import ensure_funds

TICK_S = 1.0
REFUND_EVERY_S = 600.0
MAKER_FUNDS = {"USD": Decimal(5_000_000), "BTC": Decimal(60), "ETH": Decimal(1_200)}
TAKER_FUNDS = {"USD": Decimal(2_000_000), "BTC": Decimal(25), "ETH": Decimal(500)}
ENDED_REASONS = frozenset({"ORDER_ENDED", "UNKNOWN_ORDER"})

logger = logging.getLogger("exchange.demo")


@dataclass
class DemoCounts:
    """What the robots did."""

    placed: int = 0
    cancelled: int = 0
    reconnects: int = 0
    refused: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class LiveMarket:
    """A market the robots trade in, and the one opinion that they share on its price."""

    style: Style
    grid: Grid
    fair: FairPrice

    @property
    def base(self) -> str:
        return self.style.symbol.partition("/")[0]


class Desk:
    """A robot's account while one connection lasts. Refusals are counted and not raised, but for 401 and 403."""

    def __init__(
        self, account: Account, funds: Mapping[str, Decimal], counts: DemoCounts, stopping: asyncio.Event
    ) -> None:
        self.view = AccountView()
        self._account = account
        self._funds = funds
        self._counts = counts
        self._stopping = stopping
        self._funded_at = -REFUND_EVERY_S
        # Client ids are unique for ever, so they start from the clock.
        self._ids = (f"{time.time_ns() // 1_000_000:x}-{number:x}" for number in itertools.count())

    async def fund(self) -> None:
        """Ask the faucet for what is missing, not too often; a robot trades with what it gets."""
        if time.monotonic() - self._funded_at < REFUND_EVERY_S:
            return
        self._funded_at = time.monotonic()
        try:
            await ensure_funds(self._account, self._funds)
        except Refused as refusal:
            self._refused(refusal)

    async def place(self, request: OrderRequest) -> None:
        """Place; the client id given is a mark that a unique ending is added to."""
        try:
            named = replace(request, client_order_id=f"{request.client_order_id}.{next(self._ids)}")
            placed = await self._account.place(named)
        except Refused as refusal:
            self._refused(refusal)
            if refusal.reason == "INSUFFICIENT_FUNDS":
                await self.fund()
            return
        self._counts.placed += 1
        self.view.apply(placed.order)

    async def cancel(self, order_id: str) -> None:
        """Cancel; an order that has ended is forgotten."""
        try:
            self.view.apply(await self._account.cancel(order_id))
            self._counts.cancelled += 1
        except Refused as refusal:
            if refusal.reason in ENDED_REASONS:
                self.view.forget(order_id)
            self._refused(refusal)

    def _refused(self, refusal: Refused) -> None:
        if refusal.status in (401, 403):
            raise refusal
        self._counts.refused[refusal.reason] += 1
        logger.debug("%s: %s", self._account.username, refusal)

    async def pause(self, seconds: float) -> bool:
        """Wait, shorter when the demo stops; True when it goes on."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return not self._stopping.is_set()

    def inventory(self, asset: str) -> float:
        """-1 to 1, see `inventory_of`."""
        return inventory_of(self.view.totals.get(asset, Decimal(0)), self._funds[asset])


class Robot(Protocol):
    """What a robot does with its desk."""

    @property
    def funds(self) -> Mapping[str, Decimal]:
        """What the faucet should give it, by asset."""

    async def act(self, desk: Desk) -> None:
        """One round, at the robot's own pace."""


class MakerRobot:
    """Keeps one ladder in each market. What it does not need at once of its `rate` (messages a second and market) it
    saves up
    to one whole ladder's worth, for when the price runs."""

    funds = MAKER_FUNDS

    def __init__(self, ladders: Sequence[tuple[LiveMarket, MakerStyle]], rate: float, rng: random.Random) -> None:
        self._rate = rate
        self._makers = [(market, Maker(style, rng)) for market, style in ladders]
        self._allowances = [2.0 * style.levels for _, style in ladders]
        self._allowance_max = max((2.0 * style.levels for _, style in ladders), default=0.0)

    async def act(self, desk: Desk) -> None:
        for number, (market, maker) in enumerate(self._makers):
            saved = min(self._allowances[number] + self._rate * TICK_S, self._allowance_max)
            self._allowances[number] = saved - await self._requote(desk, market, maker, int(saved))
        await desk.pause(TICK_S)

    async def _requote(self, desk: Desk, market: LiveMarket, maker: Maker, budget: int) -> int:
        grid = market.grid
        mine = [order for order in desk.view.orders.values() if order.symbol == grid.symbol]
        quotes = [quote for order in mine if (quote := quote_of(order, grid)) is not None]
        messages = 0
        for requote in maker.decide(market.fair.ticks, desk.inventory(market.base), quotes, budget):
            if requote.cancel is not None:
                await desk.cancel(requote.cancel)
                messages += 1
            if (quote := requote.place) is not None:
                price, quantity = grid.price_text(quote.price_ticks), grid.quantity_text(quote.quantity_lots)
                await desk.place(
                    OrderRequest(quote_mark(quote), grid.symbol, quote.side, quantity, price, post_only=True)
                )
                messages += 1
        return messages


class TakerRobot:
    """Takes from the book at random times."""

    funds = TAKER_FUNDS

    def __init__(self, markets: Sequence[LiveMarket], taker: Taker) -> None:
        self._markets = {market.grid.symbol: market for market in markets}
        self._taker = taker

    async def act(self, desk: Desk) -> None:
        views = {
            symbol: taker_view(market.style, market.grid, market.fair.ticks, desk.inventory(market.base))
            for symbol, market in self._markets.items()
        }
        for take in self._taker.decide(views):
            if not await desk.pause(take.delay_s):
                return
            await desk.place(self._request(take))

    def _request(self, take: Take) -> OrderRequest:
        grid = self._markets[take.symbol].grid
        quantity = grid.quantity_text(take.quantity_lots)
        price = grid.price_text(take.limit_ticks)
        return OrderRequest("t", take.symbol, take.side, quantity, price, take.order_type, "IOC")

"""Where a recording is played without HTTP: straight into the path of an order, in this process."""

from collections.abc import Awaitable, Callable
from decimal import Decimal

from engine.records import EventKind, OrderType, Reason, Side, TimeInForce
from exchange.contracts import commands
from exchange.contracts.events import find_refusal, read_events
from exchange.contracts.refusals import Refused as OffGrid
from exchange.contracts.units import Asset, Market
from exchange.simulation.client import Refused
from exchange.simulation.client import Side as SideName
from exchange.simulation.venue import CancelOutcome, Level, PlaceOutcome

PlaceCommand = Callable[[bytearray, int, str], Awaitable[tuple[bytes, bool]]]  # + account, client id -> + repeated
Submit = Callable[[bytearray], Awaitable[bytes]]  # a command record -> its events, when they are durable
ReadBook = Callable[
    [int], tuple[list[tuple[int, int]], list[tuple[int, int]]]
]  # levels -> bids, asks as (price_ticks, quantity_lots)

#: Of a plain order's own command, in a market where nothing waits or expires.
_OWN_KINDS = (EventKind.ACCEPTED, EventKind.TRADED)
SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}


class DirectVenue:
    """A market entered by command records. `traders` are account numbers (2 and up); fund them first."""

    def __init__(
        self, submit: Submit, place: PlaceCommand, read_book: ReadBook, market: Market, traders: list[int]
    ) -> None:
        self.accounts = len(traders)
        self._submit = submit
        self._place = place
        self._read_book = read_book
        self._market = market
        self._traders = traders

    async def place(
        self, account: int, client_order_id: str, side: SideName, price: Decimal, quantity: Decimal
    ) -> PlaceOutcome:
        market = self._market
        try:
            price_ticks, quantity_lots = (
                market.price_ticks(format(price, "f")),
                market.quantity_lots(format(quantity, "f")),
            )
        except OffGrid as error:
            return PlaceOutcome(None, error.refusal.reason.name)
        command = commands.place(
            self._traders[account], market.number, SIDES[side], OrderType.LIMIT, TimeInForce.GTC, 0,
            price_ticks, quantity_lots, client_order_id.encode("ascii"),
        )  # fmt: skip
        events, repeated = await self._place(command, self._traders[account], client_order_id)
        refusal = find_refusal(events)
        if refusal is not None:
            return PlaceOutcome(None, refusal.reason.name, repeated=repeated)
        accepted, *trades = (event for event in read_events(events) if event.kind in _OWN_KINDS)
        remaining = trades[-1].remaining_lots if trades else accepted.remaining_lots
        return PlaceOutcome(str(accepted.order_id), None, remaining > 0, len(trades), repeated)

    async def cancel(self, account: int, order_id: str) -> CancelOutcome:
        events = await self._submit(commands.cancel(self._traders[account], int(order_id)))
        for event in read_events(events):
            if event.kind == EventKind.CANCELLED and event.reason == Reason.CANCELLED_BY_OWNER:
                return CancelOutcome(True, Decimal(self._market.quantity_text(event.quantity_lots)))
        # Only the owner cancels here and each order once, so an order that is gone was filled.
        return CancelOutcome(False, Decimal(0))

    async def book(self, levels: int) -> tuple[list[Level], list[Level]]:
        bids, asks = ([self._level(*level) for level in side] for side in self._read_book(levels))
        return bids, asks

    def _level(self, price_ticks: int, quantity_lots: int) -> Level:
        return Decimal(self._market.price_text(price_ticks)), Decimal(self._market.quantity_text(quantity_lots))


async def deposit(submit: Submit, account: int, asset: Asset, amount: Decimal) -> None:
    """Give an account money. Raises Refused."""
    command = commands.deposit(account, asset.number, asset.to_units(format(amount, "f"), "amount"))
    refusal = find_refusal(await submit(command))
    if refusal is not None:
        detail = f"deposit of {amount} {asset.name} to account {account}"
        raise Refused(422, {"reason": refusal.reason.name, "detail": detail})

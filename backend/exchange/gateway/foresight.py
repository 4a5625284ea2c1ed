"""POST /api/v1/orders/test: what the exchange would say to an order, without sending it.

Every check of the edge, then those of docs/engine.md (PLACE 7-17) that the published book, the account's balance and
the market's state can answer. What it cannot know: hidden quantities and own orders in the book, which change what is
fillable; whether the client_order_id was used; and what happens before the order itself would arrive.
"""

from typing import Any, NamedTuple

import msgspec
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope

from engine.records import (
    FLAG_POST_ONLY,
    FLAG_SLIDE,
    BandAction,
    MarketState,
    Mode,
    OrderType,
    Reason,
    Side,
    TimeInForce,
)
from exchange.contracts import commands
from exchange.contracts.events import engine_detail
from exchange.contracts.refusals import Refusal, Refused
from exchange.contracts.units import PPM, Market
from exchange.gateway.commission import account_fees
from exchange.gateway.explain import explain_order, position_lots
from exchange.gateway.json_endpoint import Answer, Endpoint, decode, read_json_body
from exchange.gateway.order_entry import OrderEntry
from exchange.gateway.order_limits import check_command
from exchange.gateway.order_request import LASTING, OrderRequest, place_command
from exchange.gateway.principal import Principal

TEST_PATH = "/api/v1/orders/test"
_LEVELS = 1_000
_decoder = msgspec.json.Decoder(OrderRequest)
_CLOSED = {Mode.HALTED: Reason.MARKET_HALTED, Mode.CANCEL_ONLY: Reason.MARKET_CANCEL_ONLY}
_CLOSED_TO_TAKERS = {Mode.POST_ONLY: Reason.MARKET_POST_ONLY, Mode.AUCTION: Reason.MARKET_IN_AUCTION}


class Walk(NamedTuple):
    """What an order would trade with the published book."""

    lots: int
    notional_units: int


class Foresight:
    """Serves the route that tests an order."""

    def __init__(self, entry: OrderEntry) -> None:
        self._exchange = entry.exchange

    def routes(self) -> list[BaseRoute]:
        """The route, to be put before FastAPI's own."""
        return [Route(TEST_PATH, Endpoint(self._test), methods=["POST"])]

    async def _test(self, scope: Scope, receive: Receive) -> Answer:
        body = await read_json_body(scope, receive)
        principal = self._exchange.access.admit(scope, body, "trade")
        return 200, self.test_order(principal, decode(_decoder, body, "order", OrderRequest.__struct_fields__))

    def test_order(self, principal: Principal, request: OrderRequest) -> dict[str, Any]:
        """Return what an order would need and trade now. Raises the Refused that it would get."""
        market = self._exchange.catalogue.market(request.symbol)
        command, _ = place_command(principal.account, market, request)
        check_command(principal, command, self._exchange)
        order = commands.read_order(command)
        state = self._exchange.corridor.state(market.number)
        order = _slid(order, self._opposite(order), market, state)
        walk = self._walk(order, market)
        needed = _needed_units(order, market, walk)
        reason = self._reason(order, market, state, walk, needed)
        if reason is not None:
            refusal = Refusal(reason, engine_detail(reason))
            raise Refused(explain_order(refusal, order, market, self._exchange))
        asset = market.quote if order.side == Side.BUY else market.base
        return {
            "symbol": market.symbol,
            "price": market.price_text(order.price_ticks) if order.price_ticks else None,
            "trades_at_once": market.quantity_text(walk.lots if _meets_book(order, state) else 0),
            "needed": {"asset": asset.name, "amount": asset.to_text(needed)},
            "fees": account_fees(market, self._exchange.corridor.fee_shares(principal.account)),
        }

    def _opposite(self, order: commands.Order) -> "list[tuple[int, int]]":
        _, bids, asks = self._exchange.live.depth(order.market, _LEVELS)
        return list(asks if order.side == Side.BUY else bids)

    def _walk(self, order: commands.Order, market: Market) -> Walk:
        lots, notional = 0, 0
        left, rest = order.quantity_lots, order.amount
        for price_ticks, level_lots in self._opposite(order):
            if not _within(order, price_ticks):
                break
            per_lot = price_ticks * market.tick_lot_units
            take = min(level_lots, rest // per_lot if order.amount else left)
            lots, notional = lots + take, notional + take * per_lot
            left, rest = left - take, rest - take * per_lot
            if take < level_lots:
                break
        return Walk(lots, notional)

    def _reason(
        self, order: commands.Order, market: Market, state: MarketState, walk: Walk, needed: int
    ) -> Reason | None:
        """The first check of the engine's that the order fails, in the engine's order."""
        for check in (
            _closed(order, state),
            _beyond_band(order, market, state),
            _wrong_trigger(order, market, state),
            _would_cross(order, walk, state),
            _not_fillable(order, walk),
            self._over_limits(order, market),
        ):
            if check is not None:
                return check
        paid = market.quote if order.side == Side.BUY else market.base
        available, _ = self._exchange.corridor.balance(order.account, paid.number)
        return Reason.INSUFFICIENT_FUNDS if available < needed else None

    def _over_limits(self, order: commands.Order, market: Market) -> Reason | None:
        mine = [o for o in self._exchange.live.orders_of.get(order.account, {}).values() if o.market == market.number]
        if order.time_in_force in LASTING and 0 < market.open_orders_max <= len(mine):
            return Reason.OPEN_ORDERS_LIMIT
        if order.side == Side.SELL or not market.position_lots_max:
            return None
        position = position_lots(order.account, market, self._exchange)
        return Reason.POSITION_LIMIT if position + order.quantity_lots > market.position_lots_max else None


def _slid(
    order: commands.Order, opposite: "list[tuple[int, int]]", market: Market, state: MarketState
) -> commands.Order:
    if not order.flags & FLAG_SLIDE or state.mode == Mode.AUCTION or not opposite or not _within(order, opposite[0][0]):
        return order
    passive = opposite[0][0] + (-1 if order.side == Side.BUY else 1)
    return order._replace(price_ticks=passive) if 1 <= passive <= market.price_ticks_max else order


def _meets_book(order: commands.Order, state: MarketState) -> bool:
    return order.order_type <= OrderType.LIMIT and state.mode != Mode.AUCTION


def _within(order: commands.Order, price_ticks: int) -> bool:
    if order.price_ticks == 0:
        return True
    return price_ticks <= order.price_ticks if order.side == Side.BUY else price_ticks >= order.price_ticks


def _needed_units(order: commands.Order, market: Market, walk: Walk) -> int:
    if order.order_type == OrderType.MARKET:
        return walk.notional_units if order.side == Side.BUY else walk.lots * market.lot_units
    if order.side == Side.SELL:
        return order.quantity_lots * market.lot_units
    return market.notional_units(order.price_ticks, order.quantity_lots)


def _closed(order: commands.Order, state: MarketState) -> Reason | None:
    mode = Mode(state.mode)
    if mode in _CLOSED:
        return _CLOSED[mode]
    return None if order.time_in_force in LASTING else _CLOSED_TO_TAKERS.get(mode)


def _beyond_band(order: commands.Order, market: Market, state: MarketState) -> Reason | None:
    reference = state.reference_price_ticks
    if not (market.band_ppm and reference and market.band_action == BandAction.REJECT):
        return None
    if order.order_type != OrderType.LIMIT or state.mode == Mode.AUCTION:
        return None
    width = reference * market.band_ppm // PPM
    if order.side == Side.BUY:
        return Reason.PRICE_BAND if order.price_ticks > reference + width else None
    return Reason.PRICE_BAND if order.price_ticks < max(1, reference - width) else None


def _wrong_trigger(order: commands.Order, market: Market, state: MarketState) -> Reason | None:
    if order.order_type <= OrderType.LIMIT:
        return None
    trigger, last = order.trigger_price_ticks, state.last_price_ticks
    if order.order_type == OrderType.TRAILING_STOP and not trigger:
        trigger = last + (order.trail_ticks if order.side == Side.BUY else -order.trail_ticks)
        if not last or not 1 <= trigger <= market.price_ticks_max:
            return Reason.TRAIL_INVALID
    stops = order.order_type in (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP)
    above = stops == (order.side == Side.BUY)
    met = last >= trigger if above else last <= trigger
    return Reason.TRIGGER_ALREADY_MET if last and met else None


def _would_cross(order: commands.Order, walk: Walk, state: MarketState) -> Reason | None:
    if order.order_type != OrderType.LIMIT or not walk.lots or state.mode == Mode.AUCTION:
        return None
    if state.mode == Mode.POST_ONLY or order.flags & FLAG_POST_ONLY:
        return Reason.POST_ONLY_WOULD_CROSS
    return None


def _not_fillable(order: commands.Order, walk: Walk) -> Reason | None:
    if order.time_in_force == TimeInForce.FOK and walk.lots < order.quantity_lots:
        return Reason.FOK_NOT_FILLABLE
    if walk.lots < order.min_quantity_lots:
        return Reason.MIN_QUANTITY_NOT_FILLABLE
    return Reason.NO_LIQUIDITY if order.amount and not walk.lots else None

"""The call auction: orders collect, and at its end all that can trade does, at one price."""

from engine.records import FLAG_AUCTION, EventKind, Mode, Reason, Side
from engine.reference.ending import end_filled, end_other_leg
from engine.reference.market import Market
from engine.reference.matching import change_mode, leave_trace, maker_fee_ppm, settle
from engine.reference.orders import Order
from engine.reference.state import State

AMOUNT_MAX = 2**63 - 1

Indicative = tuple[int, int, int, int]  # price_ticks, volume_lots, surplus_side, surplus_lots


def indicative(market: Market) -> Indicative:
    """What an uncross would do now; zeros when nothing crosses."""
    best_bid, best_ask = market.book.best_price(Side.BUY), market.book.best_price(Side.SELL)
    if not 0 < best_ask <= best_bid:
        return 0, 0, 0, 0
    return min((_result(market, price) for price in _candidates(market)), key=lambda result: _rank(market, result))


def _candidates(market: Market) -> list[int]:
    """Prices between best ask and best bid among which the best of all of them is.

    Demand changes only right above a bid and supply only at an ask: between, one price is as good as another but for
    its distance to the last price. So the ends of each such stretch, and the last price, are enough.
    """
    prices = {market.last_price}
    for order in market.book.bids:
        prices |= {order.price_ticks, order.price_ticks + 1}
    for order in market.book.asks:
        prices |= {order.price_ticks, order.price_ticks - 1}
    best_bid, best_ask = market.book.best_price(Side.BUY), market.book.best_price(Side.SELL)
    return [price for price in sorted(prices) if best_ask <= price <= best_bid]


def _result(market: Market, price_ticks: int) -> Indicative:
    demand = sum(order.remaining_lots for order in market.book.bids if order.price_ticks >= price_ticks)
    supply = sum(order.remaining_lots for order in market.book.asks if order.price_ticks <= price_ticks)
    if demand == supply:
        return price_ticks, demand, 0, 0
    return price_ticks, min(demand, supply), Side.BUY if demand > supply else Side.SELL, abs(demand - supply)


def _rank(market: Market, result: Indicative) -> tuple[int, int, int, int]:
    price_ticks, volume_lots, _, surplus_lots = result
    return -volume_lots, surplus_lots, abs(price_ticks - market.last_price), price_ticks


def leave_auction(state: State, market: Market, mode: Mode, until_ns: int, reason: Reason) -> None:
    """The market, which is in AUCTION, uncrosses and gets another mode."""
    uncross(state, market)
    change_mode(state, market, mode, until_ns, reason)


def uncross(state: State, market: Market) -> None:
    """Everything that the indicative price promises."""
    price_ticks, volume_lots, surplus_side, surplus_lots = indicative(market)
    sizes = {"quantity_lots": min(volume_lots, AMOUNT_MAX), "remaining_lots": min(surplus_lots, AMOUNT_MAX)}
    state.emit(EventKind.UNCROSSED, market=market.number, side=surplus_side, price_ticks=price_ticks, **sizes)
    if volume_lots == 0:
        return
    while volume_lots:
        bid, ask = market.book.bids[0], market.book.asks[0]
        lots = min(bid.remaining_lots, ask.remaining_lots, volume_lots)
        end_other_leg(state, bid)
        end_other_leg(state, ask)
        settle(state, bid, ask, price_ticks, lots, bid.flags | FLAG_AUCTION, maker_fee_ppm(state, bid))
        volume_lots -= lots
        for order in (bid, ask):
            _show_the_rest(state, order)
    leave_trace(state, market, [price_ticks], uncrossed=True)


def _show_the_rest(state: State, order: Order) -> None:
    if order.remaining_lots == 0:
        end_filled(state, order)
    elif order.display_lots:
        order.visible_lots = min(order.visible_lots, order.remaining_lots)

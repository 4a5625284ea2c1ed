"""What an event does to balances: double entry, derived from docs/engine.md and not from the engine's ledger.

The changes of an event's postings sum to zero in each asset, over all accounts and both parts of a balance.
"""

from enum import IntEnum
from typing import NamedTuple

from engine.records import EXTERNAL_ACCOUNT, REVENUE_ACCOUNT, EventKind, Side
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.events import Event
from exchange.contracts.transfers import is_adjustment
from exchange.contracts.units import Market

_HOLDS = frozenset((EventKind.ACCEPTED, EventKind.TRIGGERED, EventKind.ACTIVATED, EventKind.AMENDED))


class PostingKind(IntEnum):
    """Why a balance changed."""

    DEPOSIT = 1
    WITHDRAWAL = 2
    HOLD = 3
    RELEASE = 4
    TRADE_IN = 5
    TRADE_OUT = 6
    FEE = 7
    ADJUSTMENT = 8


class Posting(NamedTuple):
    """One change of one balance, in units of the asset. An order or trade of 0 is none."""

    account: int
    asset: int
    kind: int
    available_change: int
    held_change: int
    order_id: int
    trade_id: int


def postings_of(event: Event, catalogue: Catalogue, command: bytes) -> list[Posting]:
    """Return the postings of an event of a command, in the order in which they happen. Changes of zero are left out."""
    if event.kind in _HOLDS:
        return _hold(event, catalogue, event.amount)
    if event.kind == EventKind.CANCELLED:
        return _hold(event, catalogue, -event.amount)
    if event.kind == EventKind.TRADED:
        return _trade(event, catalogue)
    if event.kind == EventKind.PREVENTED:
        return _prevented(event, catalogue)
    if event.kind == EventKind.DEPOSITED:
        kind = PostingKind.ADJUSTMENT if is_adjustment(command) else PostingKind.DEPOSIT
        return _transfer(event, kind, EXTERNAL_ACCOUNT, event.account)
    if event.kind == EventKind.WITHDRAWN:
        kind = PostingKind.ADJUSTMENT if is_adjustment(command) else PostingKind.WITHDRAWAL
        return _transfer(event, kind, event.account, EXTERNAL_ACCOUNT)
    return []


def _transfer(event: Event, kind: PostingKind, payer: int, receiver: int) -> list[Posting]:
    return [
        Posting(payer, event.asset, kind, -event.amount, 0, 0, 0),
        Posting(receiver, event.asset, kind, event.amount, 0, 0, 0),
    ]


def _hold(event: Event, catalogue: Catalogue, units: int) -> list[Posting]:
    """Hold more for the event's order, or less where units are negative."""
    market = catalogue.markets[event.market]
    return _move(event.account, _paid_with(market, event.side), units, event.order_id)


def _prevented(event: Event, catalogue: Catalogue) -> list[Posting]:
    """Both orders of a self-trade that did not happen may need less."""
    market = catalogue.markets[event.market]
    maker_side = Side.SELL if event.side == Side.BUY else Side.BUY
    return [
        *_move(event.account, _paid_with(market, event.side), -event.hold_released, event.order_id),
        *_move(event.maker_account, _paid_with(market, maker_side), -event.amount, event.maker_order_id),
    ]


def _paid_with(market: Market, side: int) -> int:
    return (market.quote if side == Side.BUY else market.base).number


def _move(account: int, asset: int, held: int, order_id: int) -> list[Posting]:
    """Between the available and held parts of a balance."""
    kind = PostingKind.HOLD if held > 0 else PostingKind.RELEASE
    return [Posting(account, asset, kind, -held, held, order_id, 0)] if held else []


def _trade(trade: Event, catalogue: Catalogue) -> list[Posting]:
    """Both parties pay from held and receive into available; each pays its fee out of what it received."""
    market = catalogue.markets[trade.market]
    base, quote = market.base.number, market.quote.number
    base_units, quote_units, trade_id = trade.quantity_lots * market.lot_units, trade.amount, trade.trade_id
    taker = (trade.account, trade.order_id, trade.taker_fee)
    maker = (trade.maker_account, trade.maker_order_id, trade.maker_fee)
    buyer, seller = (taker, maker) if trade.side == Side.BUY else (maker, taker)
    buyer_account, buyer_order, buyer_fee = buyer
    seller_account, seller_order, seller_fee = seller
    postings = [
        Posting(buyer_account, quote, PostingKind.TRADE_OUT, 0, -quote_units, buyer_order, trade_id),
        Posting(seller_account, quote, PostingKind.TRADE_IN, quote_units, 0, seller_order, trade_id),
        Posting(seller_account, base, PostingKind.TRADE_OUT, 0, -base_units, seller_order, trade_id),
        Posting(buyer_account, base, PostingKind.TRADE_IN, base_units, 0, buyer_order, trade_id),
    ]
    if seller_fee:
        postings += _fee(seller_account, quote, seller_fee, seller_order, trade_id)
    if buyer_fee:
        postings += _fee(buyer_account, base, buyer_fee, buyer_order, trade_id)
    if trade.hold_released:
        released = trade.hold_released
        postings.append(
            Posting(trade.account, quote, PostingKind.RELEASE, released, -released, trade.order_id, trade_id)
        )
    return postings


def _fee(account: int, asset: int, fee_units: int, order_id: int, trade_id: int) -> tuple[Posting, Posting]:
    return (
        Posting(account, asset, PostingKind.FEE, -fee_units, 0, order_id, trade_id),
        Posting(REVENUE_ACCOUNT, asset, PostingKind.FEE, fee_units, 0, order_id, trade_id),
    )

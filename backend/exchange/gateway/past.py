"""What was: the book of a market and the balances of an account after any entry of the journal."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from engine.records import Reason
from exchange.contracts.orders import timestamp_text
from exchange.contracts.refusals import EdgeReason, refuse
from exchange.gateway import history_schemas as schemas
from exchange.gateway.accounts import render_balance
from exchange.gateway.context import Exchange, Past
from exchange.gateway.dependencies import Asks, CurrentExchange
from exchange.gateway.markets import render_levels
from exchange.gateway.orders import SIGNED_IN
from exchange.gateway.principal import Principal
from exchange.gateway.problems import problems
from exchange.storage.queries import Balance

router = APIRouter(prefix="/api/v1/history", tags=["history"])

Sequence = Annotated[int, Query(ge=1, le=2**63 - 1, description="An entry of the journal")]
WEIGHT = 10
LookingBack = Annotated[Principal, Depends(Asks("read", weight=WEIGHT))]
_REFUSALS = (EdgeReason.FIELD_INVALID, EdgeReason.OVERLOADED, EdgeReason.UNAVAILABLE)


@router.get("/book", response_model=schemas.PastDepth, responses=problems(*_REFUSALS, Reason.UNKNOWN_SYMBOL))
async def get_past_book(
    exchange: CurrentExchange,
    symbol: Annotated[str, Query(examples=["BTC-USD"])],
    sequence: Sequence,
    levels: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> dict[str, Any]:
    """Return the price levels of a market as everybody saw them after an entry of the journal."""
    market = exchange.catalogue.market(symbol)
    book = await _past(exchange).book(market.number, sequence, levels)
    if book is None:
        detail = f"{market.symbol} was not a market yet after entry {sequence}"
        raise refuse(Reason.UNKNOWN_SYMBOL, detail, field="symbol", limit="a market of then", nearest=None)
    timestamp_ns, bids, asks = book
    return {
        "symbol": market.symbol,
        "sequence": sequence,
        "bids": render_levels(market, bids),
        "asks": render_levels(market, asks),
        "happened_at": timestamp_text(timestamp_ns),
    }


@router.get("/balances", response_model=schemas.PastBalances, responses=problems(*SIGNED_IN, *_REFUSALS))
async def list_past_balances(exchange: CurrentExchange, who: LookingBack, sequence: Sequence) -> dict[str, Any]:
    """Return what you had after an entry of the journal."""
    timestamp_ns, found = await _past(exchange).balances(who.account, sequence)
    items = [
        render_balance(exchange.catalogue.assets[asset], Balance(asset, *found[asset], sequence))
        for asset in sorted(found)
    ]
    return {"items": items, "sequence": sequence, "happened_at": timestamp_text(timestamp_ns)}


def _past(exchange: Exchange) -> Past:
    if exchange.past is None:
        raise refuse(EdgeReason.UNAVAILABLE, "this process does not look into the past")
    return exchange.past

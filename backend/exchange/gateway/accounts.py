"""The account's money: balances, ledger, fills, and the faucet of demo money."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from engine.records import Reason
from exchange.contracts.orders import render_account_fill, timestamp_text
from exchange.contracts.refusals import EdgeReason
from exchange.contracts.units import Asset
from exchange.gateway import schemas
from exchange.gateway.auth import BODY_REFUSALS
from exchange.gateway.dependencies import FRESH_OWN, Asks, CurrentExchange, CurrentQueries, SignedIn
from exchange.gateway.faucet import Faucet
from exchange.gateway.orders import LIST_REFUSALS, SIGNED_IN
from exchange.gateway.paging import Cursor, Limit, decode_cursor, encode_cursor
from exchange.gateway.principal import Principal
from exchange.gateway.problems import problems
from exchange.storage.queries import Balance, LedgerEntry

router = APIRouter(prefix="/api/v1", tags=["account"])
LEDGER_KINDS = ("", "Deposit", "Withdrawal", "Hold", "Release", "TradeIn", "TradeOut", "Fee", "Adjustment")


async def current_faucet(request: Request) -> Faucet:
    faucet: Faucet = request.app.state.faucet
    return faucet


CurrentFaucet = Annotated[Faucet, Depends(current_faucet)]


@router.get(
    "/balances",
    response_model=schemas.Balances,
    responses=problems(*SIGNED_IN, EdgeReason.FIELD_INVALID),
    dependencies=FRESH_OWN,
)
async def list_balances(exchange: CurrentExchange, queries: CurrentQueries, account: SignedIn) -> dict[str, Any]:
    """Return what you have, and the sequence that it includes at least."""
    await exchange.read_your_writes(account)
    sequence = exchange.projections.watermark
    found = await queries.balances(account)
    items = [render_balance(exchange.catalogue.assets[balance.asset], balance) for balance in found]
    return {"items": items, "sequence": max(sequence, *(balance.sequence for balance in found), 0)}


@router.get(
    "/ledger",
    response_model=schemas.Ledger,
    responses=problems(*SIGNED_IN, EdgeReason.FIELD_INVALID, Reason.UNKNOWN_ASSET),
    dependencies=FRESH_OWN,
)
async def list_ledger(
    exchange: CurrentExchange,
    queries: CurrentQueries,
    account: SignedIn,
    asset: Annotated[str | None, Query(description="One asset only", examples=["USD"])] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Return every change of your balances, newest first."""
    number = exchange.catalogue.asset(asset).number if asset else None
    key = decode_cursor(cursor, "ledger", 2)
    await exchange.read_your_writes(account)
    before = (key[0], key[1]) if key else None
    found = await queries.ledger(account, asset=number, before=before, limit=limit)
    more = encode_cursor("ledger", found[-1].sequence, found[-1].position) if len(found) == limit else None
    return {
        "items": [render_entry(exchange.catalogue.assets[entry.asset], entry) for entry in found],
        "next_cursor": more,
    }


@router.get("/fills", response_model=schemas.AccountFills, responses=LIST_REFUSALS, dependencies=FRESH_OWN)
async def list_fills(
    exchange: CurrentExchange,
    queries: CurrentQueries,
    account: SignedIn,
    symbol: Annotated[str | None, Query(description="One market only")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Return the fills of all your orders, newest first."""
    market = exchange.catalogue.market(symbol).number if symbol else None
    key = decode_cursor(cursor, "fills", 2)
    await exchange.read_your_writes(account)
    before = (key[0], bool(key[1])) if key else None
    found = await queries.account_fills(account, market=market, before=before, limit=limit)
    more = encode_cursor("fills", found[-1].trade_id, int(found[-1].is_maker)) if len(found) == limit else None
    items = [render_account_fill(fill, exchange.catalogue.markets[fill.market]) for fill in found]
    return {"items": items, "next_cursor": more}


@router.post(
    "/faucet",
    status_code=201,
    response_model=schemas.Balance,
    responses=problems(
        *BODY_REFUSALS,
        *SIGNED_IN,
        EdgeReason.FORBIDDEN,
        Reason.UNKNOWN_ASSET,
        Reason.AMOUNT_OUT_OF_RANGE,
        Reason.FAUCET_LIMIT,
        EdgeReason.OVERLOADED,
        EdgeReason.OUTCOME_UNKNOWN,
    ),
)
async def draw_from_faucet(
    exchange: CurrentExchange,
    faucet: CurrentFaucet,
    principal: Annotated[Principal, Depends(Asks("transfer"))],
    body: schemas.FaucetRequest,
) -> dict[str, Any]:
    """Give yourself demo money, up to the asset's daily limit, and return the balance."""
    asset = exchange.catalogue.asset(body.asset)
    return render_balance(asset, await faucet.draw(principal.account, asset, asset.to_units(body.amount, "amount")))


def render_balance(asset: Asset, balance: Balance) -> dict[str, Any]:
    """The balance of docs/api.md."""
    return {
        "asset": asset.name,
        "available": asset.to_text(balance.available),
        "held": asset.to_text(balance.held),
        "total": asset.to_text(balance.available + balance.held),
    }


def render_entry(asset: Asset, entry: LedgerEntry) -> dict[str, Any]:
    """The ledger entry of docs/api.md."""
    return {
        "entry_id": f"{entry.sequence}-{entry.position}",
        "asset": asset.name,
        "kind": LEDGER_KINDS[entry.kind],
        "available_change": asset.to_text(entry.available_change),
        "held_change": asset.to_text(entry.held_change),
        "available": asset.to_text(entry.available_after),
        "held": asset.to_text(entry.held_after),
        "sequence": entry.sequence,
        "order_id": None if entry.order_id is None else str(entry.order_id),
        "trade_id": None if entry.trade_id is None else str(entry.trade_id),
        "created_at": timestamp_text(entry.created_ns),
    }

"""The routes of admins: assets, markets and the audit log; and what all their routes share.

A session of an admin may ask, an API key never. Whether the account is an admin is asked of the tables, not of the
token (access_state.py), so that a revoked admin is none within a second.
"""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from engine.records import Mode, Reason
from exchange.contracts.orders import timestamp_text
from exchange.contracts.refusals import EdgeReason
from exchange.contracts.units import Market
from exchange.gateway import admin_schemas, market_terms
from exchange.gateway.auth import BODY_REFUSALS, BUSY, CurrentDevice
from exchange.gateway.context import Exchange
from exchange.gateway.dependencies import Asks, CurrentExchange
from exchange.gateway.listing import Listing
from exchange.gateway.markets import MODE_NAMES, Symbol
from exchange.gateway.paging import Cursor, Limit, decode_cursor, encode_cursor
from exchange.gateway.principal import Principal
from exchange.gateway.problems import problems
from exchange.storage import audit_log
from exchange.storage.audit_log import Actor

router = APIRouter(prefix="/api/v1/admin", tags=["admin"])
ADMIN = (EdgeReason.ADMIN_ONLY, *BUSY)
COMMAND = (*BODY_REFUSALS, *ADMIN, EdgeReason.OUTCOME_UNKNOWN)
TERMS = (Reason.PRICE_OFF_TICK, Reason.PRICE_OUT_OF_RANGE, Reason.DEFINITION_INVALID)


async def current_actor(
    exchange: CurrentExchange, device: CurrentDevice, principal: Annotated[Principal, Depends(Asks("administer"))]
) -> Actor:
    """The admin who asks, as the audit log names them."""
    admin = exchange.access.state.admins.get(principal.account)
    return Actor(principal.account, admin.username if admin else str(principal.account), device.address)


async def current_listing(request: Request) -> Listing:
    listing: Listing = request.app.state.listing
    return listing


CurrentActor = Annotated[Actor, Depends(current_actor)]
CurrentListing = Annotated[Listing, Depends(current_listing)]


# Assets and markets


@router.get("/assets", response_model=admin_schemas.AssetList, responses=problems(*ADMIN))
async def admin_list_assets(exchange: CurrentExchange, actor: CurrentActor) -> dict[str, Any]:
    """Return every asset."""
    return {"items": [{"name": asset.name, "scale": asset.scale} for asset in exchange.catalogue.assets.values()]}


@router.post(
    "/assets",
    status_code=201,
    response_model=admin_schemas.AssetInfo,
    responses=problems(*COMMAND, EdgeReason.ALREADY_DEFINED, EdgeReason.LIMIT_REACHED, Reason.DEFINITION_INVALID),
)
async def admin_create_asset(
    listing: CurrentListing, actor: CurrentActor, body: admin_schemas.NewAsset
) -> dict[str, Any]:
    """List an asset. Its scale is for ever."""
    asset = await listing.add_asset(actor, body)
    return {"name": asset.name, "scale": asset.scale}


@router.get("/markets", response_model=admin_schemas.AdminMarketList, responses=problems(*ADMIN))
async def admin_list_markets(exchange: CurrentExchange, actor: CurrentActor) -> dict[str, Any]:
    """Return every market with its terms and its mode."""
    return {"items": [render_market(exchange, market) for market in exchange.catalogue.markets.values()]}


@router.post(
    "/markets",
    status_code=201,
    response_model=admin_schemas.AdminMarket,
    responses=problems(
        *COMMAND, *TERMS, Reason.UNKNOWN_ASSET, EdgeReason.ALREADY_DEFINED, EdgeReason.LIMIT_REACHED
    ),
)  # fmt: skip
async def admin_create_market(
    exchange: CurrentExchange, listing: CurrentListing, actor: CurrentActor, body: admin_schemas.NewMarket
) -> dict[str, Any]:
    """List a market. It trades at once, unless `mode` says otherwise."""
    market = await listing.add_market(actor, body)
    return render_market(exchange, market)


@router.patch(
    "/markets/{symbol}",
    response_model=admin_schemas.AdminMarket,
    responses=problems(*COMMAND, *TERMS, Reason.UNKNOWN_SYMBOL),
)
async def admin_change_terms(
    exchange: CurrentExchange,
    listing: CurrentListing,
    actor: CurrentActor,
    symbol: Symbol,
    body: admin_schemas.MarketTerms,
) -> dict[str, Any]:
    """Change the terms of a market from now on. Live orders stay as they are."""
    market = await listing.change_terms(actor, symbol, body)
    return render_market(exchange, market)


@router.put(
    "/markets/{symbol}/mode",
    response_model=admin_schemas.AdminMarket,
    responses=problems(*COMMAND, Reason.UNKNOWN_SYMBOL, Reason.EXPIRE_TIME_INVALID),
)
async def admin_set_mode(
    exchange: CurrentExchange,
    listing: CurrentListing,
    actor: CurrentActor,
    symbol: Symbol,
    body: admin_schemas.ModeChange,
) -> dict[str, Any]:
    """Open or halt a market, or let it take cancels only, passive orders only, or orders for an auction."""
    market = await listing.set_mode(actor, symbol, body)
    return render_market(exchange, market)


def render_market(exchange: Exchange, market: Market) -> dict[str, Any]:
    """An AdminMarket. Halted where this exchange takes no orders."""
    known = exchange.corridor.takes_orders
    mode = exchange.live.mode(market.number) if known else Mode.HALTED
    return market_terms.render_terms(
        market, MODE_NAMES[mode], exchange.corridor.state(market.number) if known else None
    )


# The audit log


@router.get(
    "/audit-log",
    response_model=admin_schemas.AuditLogPage,
    responses=problems(*ADMIN, EdgeReason.FIELD_INVALID),
)
async def admin_list_audit_log(
    exchange: CurrentExchange,
    actor: CurrentActor,
    action: Annotated[
        str | None,
        Query(pattern=r"^[a-z_.]{1,64}$", description="One action only", examples=["market.set_mode"]),
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Return what was done with an operator's power, newest first."""
    key = decode_cursor(cursor, "audit-log", 1)
    async with exchange.database.engine.connect() as connection:
        rows = await audit_log.page(connection, before=key[0] if key else None, action=action, limit=limit)
    more = encode_cursor("audit-log", rows[-1].sequence) if len(rows) == limit else None
    return {"items": [render_row(row) for row in rows], "next_cursor": more}


def render_row(row: audit_log.Row) -> dict[str, Any]:
    """An AuditLogRow."""
    return {
        "sequence": row.sequence,
        "recorded_at": timestamp_text(row.recorded_ns),
        "account_id": None if row.actor_account is None else str(row.actor_account),
        "actor": row.actor,
        "address": row.address,
        "action": row.action,
        "parameters": json.loads(row.parameters),
        "outcome": row.outcome,
        "reason": row.reason,
        "intent": row.intent,
        "journal_sequence": row.journal_sequence,
        "hash": row.hash.hex(),
    }

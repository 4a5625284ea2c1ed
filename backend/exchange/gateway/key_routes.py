"""The routes of API keys: make, list, revoke, look at oneself; and the kill switch."""

import ipaddress
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response

from exchange.contracts.catalogue import Catalogue
from exchange.contracts.orders import timestamp_text
from exchange.contracts.refusals import EdgeReason, Refused, refuse
from exchange.gateway import access_schemas
from exchange.gateway.api_keys import ApiKey, ApiKeys, KeyTerms, ed25519_public_key
from exchange.gateway.auth import (
    BODY_REFUSALS,
    BUSY,
    CurrentDevice,
    CurrentSessions,
    Manager,
    Overseer,
    session_of,
    uncached,
)
from exchange.gateway.dependencies import Asks, CurrentExchange
from exchange.gateway.kill_switch import cancel_all
from exchange.gateway.principal import Principal
from exchange.gateway.problems import problems
from exchange.gateway.rate_limits import BudgetName, RateLimits
from exchange.gateway.sessions import log_event

LIFETIME_MAX = timedelta(days=3660)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

router = APIRouter(prefix="/api/v1/api-keys", tags=["api keys"])
kill_router = APIRouter(prefix="/api/v1/account", tags=["api keys"])


async def current_keys(request: Request, response: Response) -> ApiKeys:
    uncached(response)
    keys: ApiKeys = request.app.state.api_keys
    return keys


CurrentKeys = Annotated[ApiKeys, Depends(current_keys)]


@router.post(
    "",
    status_code=201,
    response_model=access_schemas.CreatedApiKey,
    responses=problems(*BODY_REFUSALS, EdgeReason.LIMIT_REACHED, *BUSY),
)
async def create_api_key(
    exchange: CurrentExchange,
    keys: CurrentKeys,
    device: CurrentDevice,
    principal: Manager,
    body: access_schemas.NewApiKey,
) -> dict[str, Any]:
    """Make a key. Its secret is in this answer and nowhere else."""
    terms = read_terms(body, exchange.catalogue, datetime.now(UTC))
    key, secret = await keys.create(principal.account, terms, read_public_key(body))
    log_event(f"auth API key {key.key_id} made", principal.account, device)
    return render_key(key) | {"secret": secret}


@router.get("", response_model=access_schemas.ApiKeyList, responses=problems(*BUSY))
async def list_api_keys(keys: CurrentKeys, principal: Overseer) -> dict[str, Any]:
    """Return your keys, newest first, those that were revoked lately among them."""
    return {"items": [render_key(key) for key in await keys.of_account(principal.account)]}


@router.get("/self", response_model=access_schemas.ApiKeySelf, responses=problems(EdgeReason.FORBIDDEN, *BUSY))
async def inspect_api_key(
    exchange: CurrentExchange,
    device: CurrentDevice,
    response: Response,
    principal: Annotated[Principal, Depends(Asks(None))],
) -> dict[str, Any]:
    """Return what the key that signs this request may do, and what is left of its rate limits."""
    uncached(response)
    if principal.key is None:
        raise refuse(EdgeReason.FORBIDDEN, "sign this request with an API key: it tells a key about itself")
    return render_key(principal.key) | {
        "account_id": str(principal.account),
        "account_frozen": principal.account in exchange.access.state.frozen,
        "address": device.address,
        "budgets": {
            "requests": render_budget(exchange.access.limits, principal, "requests"),
            "cancels": render_budget(exchange.access.limits, principal, "cancels"),
        },
    }


@router.delete("/{key_id}", status_code=204, responses=problems(EdgeReason.NOT_FOUND, EdgeReason.FIELD_INVALID, *BUSY))
async def revoke_api_key(
    keys: CurrentKeys,
    device: CurrentDevice,
    principal: Overseer,
    key_id: Annotated[str, Path(pattern=r"^[0-9a-f]{24}$", description="A key's id")],
) -> None:
    """Revoke one of your keys, at once and for ever. Its open orders stay."""
    if not await keys.revoke(principal.account, key_id):
        raise refuse(EdgeReason.NOT_FOUND, f"you have no key {key_id}")
    log_event(f"auth API key {key_id} revoked", principal.account, device)


@kill_router.post(
    "/kill-switch",
    response_model=access_schemas.Killed,
    responses=problems(*BODY_REFUSALS, *BUSY, EdgeReason.OUTCOME_UNKNOWN),
)
async def kill_switch(
    exchange: CurrentExchange,
    keys: CurrentKeys,
    sessions: CurrentSessions,
    device: CurrentDevice,
    principal: Annotated[Principal, Depends(Asks("revoke", budget="cancels"))],
    body: access_schemas.KillSwitch,
) -> dict[str, Any]:
    """Revoke all your API keys, end your other sessions, then cancel all your open orders.

    An answer other than 200 may have done part of it: send it again, as often as needed.
    """
    log_event("auth kill switch", principal.account, device)
    # Those who could place orders first, so that none comes after the cancels.
    keys_revoked = await keys.revoke_all(principal.account)
    kept = None if body.end_this_session else session_of(principal)
    sessions_ended = await sessions.end_all(principal.account, kept)
    orders_cancelled = await cancel_all(exchange, principal.account)
    return {
        "keys_revoked": keys_revoked,
        "sessions_ended": sessions_ended,
        "orders_cancelled": orders_cancelled,
    }


def read_terms(body: access_schemas.NewApiKey, catalogue: Catalogue, now: datetime) -> KeyTerms:
    """Return the terms of a key to make. Raises Refused FIELD_INVALID or UNKNOWN_SYMBOL."""
    symbols = None if body.symbols is None else [catalogue.market(symbol).symbol for symbol in body.symbols]
    return KeyTerms(
        label=body.label,
        scopes=tuple(dict.fromkeys(body.scopes)),
        symbols=None if symbols is None else tuple(dict.fromkeys(symbols)),
        notional_max=dict(_read_cap(name, text, catalogue) for name, text in body.notional_max.items()),
        addresses=None if body.addresses is None else tuple(_read_network(text) for text in body.addresses),
        receive_window_ms=body.receive_window_ms,
        expires_ns=_read_expiry(body.expires_at, now),
    )


def read_public_key(body: access_schemas.NewApiKey) -> bytes | None:
    """Return the public key of an Ed25519 key, None for an HMAC key. Raises Refused FIELD_INVALID."""
    if body.kind == "hmac" and body.public_key is None:
        return None
    if body.kind == "hmac":
        detail = "an HMAC key has no public key: leave it out, or make an ed25519 key"
        raise refuse(EdgeReason.FIELD_INVALID, detail, field="public_key", limit="null")
    return ed25519_public_key(body.public_key or "")


def _read_cap(name: str, text: str, catalogue: Catalogue) -> tuple[str, str]:
    quotes = {market.quote.name: market.quote for market in catalogue.markets.values()}
    quote = quotes.get(name.upper())
    if quote is None:
        try:
            market = catalogue.market(name)
        except Refused as refused:
            limit = f"{refused.refusal.limit}, {', '.join(quotes)}"
            detail = f"notional_max names {name[:40]!r}, which is neither a market nor a quote asset here"
            raise refuse(EdgeReason.FIELD_INVALID, detail, field="notional_max", limit=limit) from None
        name, quote = market.symbol, market.quote
    else:
        name = quote.name
    return name, quote.to_text(quote.to_units(text, f"notional_max.{name}", EdgeReason.FIELD_INVALID))


def _read_network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text.strip()))
    except ValueError:
        limit = "an IPv4 or IPv6 address or network"
        detail = f"{text[:50]!r} is not {limit}, such as 203.0.113.7 or 2001:db8::/48 (no bits beyond the prefix)"
        raise refuse(EdgeReason.FIELD_INVALID, detail, field="addresses", limit=limit) from None


def _read_expiry(expires_at: datetime | None, now: datetime) -> int | None:
    if expires_at is None:
        return None
    if now < expires_at <= now + LIFETIME_MAX:
        return (expires_at - EPOCH) // timedelta(microseconds=1) * 1000
    limit = f"after {now:%Y-%m-%dT%H:%M:%SZ}, at most {LIFETIME_MAX.days} days ahead"
    raise refuse(EdgeReason.FIELD_INVALID, f"expires_at must be {limit}", field="expires_at", limit=limit)


def render_key(key: ApiKey) -> dict[str, Any]:
    """An ApiKeyInfo."""
    terms = key.terms

    def moment(at_ns: int | None) -> str | None:
        return None if at_ns is None else timestamp_text(at_ns)

    return {
        "key_id": key.key_id,
        "label": terms.label,
        "kind": key.kind,
        "status": key.status(time.time_ns()),
        "scopes": list(terms.scopes),
        "symbols": None if terms.symbols is None else list(terms.symbols),
        "notional_max": dict(terms.notional_max),
        "addresses": None if terms.addresses is None else list(terms.addresses),
        "receive_window_ms": terms.receive_window_ms,
        "created_at": timestamp_text(key.created_ns),
        "expires_at": moment(terms.expires_ns),
        "last_used_at": moment(key.used_ns),
        "revoked_at": moment(key.revoked_ns),
    }


def render_budget(limits: RateLimits, principal: Principal, name: BudgetName) -> dict[str, Any]:
    """A RateLimitBudget."""
    left = limits.take(principal.subject, name, 0)
    return {"limit": left.limit, "remaining": left.remaining, "full_in_s": round(left.full_s, 3)}

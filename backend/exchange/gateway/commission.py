"""The fee schedule, and what an account pays by it."""

import time
from typing import Any

from fastapi import APIRouter

from exchange.contracts.fees import WINDOW_DAYS, FeeSchedule, effective_fee_ppm, share_text
from exchange.contracts.orders import timestamp_text
from exchange.contracts.refusals import EdgeReason
from exchange.contracts.units import Asset, Market, fee_text
from exchange.gateway import commission_schemas as schemas
from exchange.gateway.context import Exchange
from exchange.gateway.dependencies import FRESH_OWN, CurrentExchange, SignedIn
from exchange.gateway.orders import SIGNED_IN
from exchange.gateway.problems import problems
from exchange.storage.volumes import WHOLE, AccountVolume
from exchange.treasury.fee_tiers import HOUR_NS

schedule_router = APIRouter(prefix="/api/v1/fees", tags=["markets"])
router = APIRouter(prefix="/api/v1/account", tags=["account"])


@schedule_router.get("/schedule", response_model=schemas.FeeSchedule)
async def get_fee_schedule(exchange: CurrentExchange) -> dict[str, Any]:
    """Return by what volume which share of the markets' fees is paid."""
    schedule = exchange.settings.fees
    return {
        "asset": schedule.asset,
        "window_days": WINDOW_DAYS,
        "tiers": [render_tier(schedule, number) for number in range(len(schedule.tiers))],
    }


@router.get(
    "/commission",
    response_model=schemas.Commission,
    responses=problems(*SIGNED_IN, EdgeReason.FIELD_INVALID),
    dependencies=FRESH_OWN,
)
async def get_commission(exchange: CurrentExchange, account: SignedIn) -> dict[str, Any]:
    """Return what you pay in each market, the volume that your tier comes from, and what the next one needs."""
    await exchange.read_your_writes(account)
    schedule, now_ns = exchange.settings.fees, time.time_ns()
    asset = next((known for known in exchange.catalogue.assets.values() if known.name == schedule.asset), None)
    if asset is None:
        traded, tier, next_tier = AccountVolume(account, 0, WHOLE), 0, None
    else:
        traded = await exchange.volumes.of_account(account, asset, now_ns)
        tier = schedule.tier_of(traded.units, asset)
        next_tier = _next_tier(schedule, tier, traded, asset)
    return {
        "asset": schedule.asset,
        "volume_30d": asset.to_text(traded.units) if asset else "0",
        "tier": tier,
        "maker_share": share_text(traded.shares[0]),
        "taker_share": share_text(traded.shares[1]),
        "tiers_set_at": timestamp_text(now_ns - now_ns % HOUR_NS + HOUR_NS),
        "next_tier": next_tier,
        "markets": [{"symbol": market.symbol, **account_fees(market, traded.shares)} for market in _markets(exchange)],
    }


def _markets(exchange: Exchange) -> list[Market]:
    return list(exchange.catalogue.markets.values())


def _next_tier(schedule: FeeSchedule, tier: int, traded: AccountVolume, asset: Asset) -> dict[str, Any] | None:
    if tier + 1 == len(schedule.tiers):
        return None
    missing = schedule.tiers[tier + 1].volume_units(asset) - traded.units
    return render_tier(schedule, tier + 1) | {"missing": asset.to_text(missing)}


def render_tier(schedule: FeeSchedule, number: int) -> dict[str, Any]:
    tier = schedule.tiers[number]
    return {
        "tier": number,
        "volume_from": tier.volume,
        "maker_share": share_text(tier.maker_share_ppm),
        "taker_share": share_text(tier.taker_share_ppm),
    }


def account_fees(market: Market, shares: tuple[int, int]) -> dict[str, str]:
    """What an account of these shares pays in a market, as ratios of what it receives."""
    return {
        "maker": fee_text(effective_fee_ppm(market.maker_fee_ppm, shares[0])),
        "taker": fee_text(effective_fee_ppm(market.taker_fee_ppm, shares[1])),
    }

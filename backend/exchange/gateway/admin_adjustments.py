"""The routes of adjustments: one admin proposes, another decides (treasury/adjustments.py)."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from engine.records import Reason
from exchange.contracts.orders import timestamp_text
from exchange.contracts.refusals import EdgeReason
from exchange.gateway import admin_schemas
from exchange.gateway.admin import ADMIN, COMMAND, CurrentActor
from exchange.gateway.auth import BODY_REFUSALS
from exchange.gateway.context import Exchange
from exchange.gateway.dependencies import CurrentExchange
from exchange.gateway.paging import Cursor, Limit, decode_cursor, encode_cursor
from exchange.gateway.problems import problems
from exchange.storage import adjustments as table
from exchange.storage.adjustments import Adjustment, Proposal

router = APIRouter(prefix="/api/v1/admin/adjustments", tags=["admin"])
AdjustmentId = Annotated[int, Path(ge=1, le=2**63 - 1, description="An adjustment's id", examples=["1"])]
OF_ONE = (*ADMIN, EdgeReason.NOT_FOUND, EdgeReason.FIELD_INVALID)
DECISION = (*OF_ONE, EdgeReason.ADJUSTMENT_STATE, EdgeReason.FOUR_EYES)


@router.post(
    "",
    status_code=201,
    response_model=admin_schemas.Adjustment,
    responses=problems(
        *BODY_REFUSALS,
        *ADMIN,
        EdgeReason.NOT_FOUND,
        Reason.UNKNOWN_ASSET,
        Reason.AMOUNT_OUT_OF_RANGE,
        EdgeReason.LIMIT_REACHED,
    ),
)
async def admin_propose_adjustment(
    exchange: CurrentExchange, actor: CurrentActor, body: admin_schemas.NewAdjustment
) -> dict[str, Any]:
    """Propose to correct a balance. Another admin has a day to approve it; until then nothing moves."""
    asset = exchange.catalogue.asset(body.asset)
    units = asset.to_units(body.amount, "amount")
    proposal = Proposal(int(body.account_id), asset.number, body.direction, units, body.reason)
    return render(exchange, await exchange.adjustments.propose(actor, proposal))


@router.get("", response_model=admin_schemas.AdjustmentList, responses=problems(*ADMIN, EdgeReason.FIELD_INVALID))
async def admin_list_adjustments(
    exchange: CurrentExchange,
    actor: CurrentActor,
    status: Annotated[admin_schemas.AdjustmentStatusText | None, Query(description="Of this status only")] = None,
    account_id: Annotated[int | None, Query(ge=0, le=2**63 - 1, description="Of this account only")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Return adjustments, newest first."""
    key = decode_cursor(cursor, "adjustments", 1)
    now_ns = exchange.adjustments.clock_ns()
    async with exchange.database.engine.connect() as connection:
        found = await table.page(
            connection, status=status, account=account_id, before=key[0] if key else None, now_ns=now_ns, limit=limit
        )
    more = encode_cursor("adjustments", found[-1].adjustment_id) if len(found) == limit else None
    return {"items": [render(exchange, adjustment) for adjustment in found], "next_cursor": more}


@router.get("/{adjustment_id}", response_model=admin_schemas.Adjustment, responses=problems(*OF_ONE))
async def admin_get_adjustment(
    exchange: CurrentExchange, actor: CurrentActor, adjustment_id: AdjustmentId
) -> dict[str, Any]:
    """Return one adjustment."""
    return render(exchange, await exchange.adjustments.get(adjustment_id))


@router.post(
    "/{adjustment_id}/approve",
    response_model=admin_schemas.Adjustment,
    responses=problems(*DECISION, Reason.INSUFFICIENT_FUNDS),
)
async def admin_approve_adjustment(
    exchange: CurrentExchange, actor: CurrentActor, adjustment_id: AdjustmentId
) -> dict[str, Any]:
    """Approve what another admin proposed. It is Executed, or still Approved where the ledger has not answered yet.

    Approving again is safe: the money moves once.
    """
    return render(exchange, await exchange.adjustments.approve(actor, adjustment_id))


@router.post(
    "/{adjustment_id}/reject", response_model=admin_schemas.Adjustment, responses=problems(*COMMAND, *DECISION)
)
async def admin_reject_adjustment(
    exchange: CurrentExchange, actor: CurrentActor, adjustment_id: AdjustmentId, body: admin_schemas.Why
) -> dict[str, Any]:
    """Decide against what another admin proposed."""
    return render(exchange, await exchange.adjustments.reject(actor, adjustment_id, body.reason))


@router.post("/{adjustment_id}/withdraw", response_model=admin_schemas.Adjustment, responses=problems(*DECISION))
async def admin_withdraw_adjustment(
    exchange: CurrentExchange, actor: CurrentActor, adjustment_id: AdjustmentId
) -> dict[str, Any]:
    """Take back what you proposed."""
    return render(exchange, await exchange.adjustments.withdraw(actor, adjustment_id))


def render(exchange: Exchange, adjustment: Adjustment) -> dict[str, Any]:
    """An Adjustment."""
    asset = exchange.catalogue.assets[adjustment.asset]
    return {
        "adjustment_id": str(adjustment.adjustment_id),
        "account_id": str(adjustment.account),
        "username": adjustment.username,
        "asset": asset.name,
        "direction": adjustment.direction,
        "amount": asset.to_text(adjustment.units),
        "reason": adjustment.reason,
        "status": adjustment.status_at(exchange.adjustments.clock_ns()),
        "proposed_by": adjustment.proposer,
        "proposed_at": timestamp_text(adjustment.proposed_ns),
        "expires_at": timestamp_text(adjustment.expires_ns),
        "decided_by": adjustment.decider,
        "decided_at": None if adjustment.decided_ns is None else timestamp_text(adjustment.decided_ns),
        "sequence": adjustment.journal_sequence,
        "refusal": adjustment.refusal,
    }

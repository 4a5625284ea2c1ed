"""The routes by which admins see users, freeze and thaw them, end their sessions and cancel their orders."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.records import EventKind
from exchange.contracts import commands
from exchange.contracts.events import read_events
from exchange.contracts.orders import timestamp_text
from exchange.contracts.refusals import EdgeReason, refuse
from exchange.gateway import access_schemas, admin_schemas
from exchange.gateway.admin import ADMIN, COMMAND, CurrentActor
from exchange.gateway.auth import BODY_REFUSALS, CurrentSessions
from exchange.gateway.context import Exchange
from exchange.gateway.dependencies import CurrentExchange
from exchange.gateway.listing import submit
from exchange.gateway.paging import Cursor, Limit, decode_cursor, encode_cursor
from exchange.gateway.problems import problems
from exchange.storage.audit_log import Actor, recorded_change, recorded_command
from exchange.storage.users import UserRow, page_of_users, set_frozen

router = APIRouter(prefix="/api/v1/admin/users", tags=["admin"])
AccountId = Annotated[int, Path(ge=0, le=2**63 - 1, description="A user's account", examples=["1000"])]
OF_A_USER = (*ADMIN, EdgeReason.NOT_FOUND, EdgeReason.FIELD_INVALID)
CHANGE = (*BODY_REFUSALS, *OF_A_USER)


@router.get("", response_model=admin_schemas.UserList, responses=problems(*ADMIN, EdgeReason.FIELD_INVALID))
async def admin_list_users(
    exchange: CurrentExchange,
    actor: CurrentActor,
    search: Annotated[
        str | None,
        Query(pattern=r"^[A-Za-z0-9_.-]{1,32}$", description="A part of the username, or the account's number"),
    ] = None,
    username: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_.-]{1,32}$", description="This user only")] = None,
    role: Annotated[Literal["user", "admin"] | None, Query(description="One role only")] = None,
    frozen: Annotated[bool | None, Query(description="Frozen ones only, or the others only")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Return users, newest first."""
    key = decode_cursor(cursor, "users", 1)
    async with exchange.database.engine.connect() as connection:
        found = await page_of_users(
            connection,
            search=search,
            username=username,
            role=role,
            frozen=frozen,
            before=key[0] if key else None,
            limit=limit,
        )
    more = encode_cursor("users", found[-1].account_id) if len(found) == limit else None
    return {"items": [render_user(exchange, user) for user in found], "next_cursor": more}


@router.get("/{account_id}", response_model=admin_schemas.UserInfo, responses=problems(*OF_A_USER))
async def admin_get_user(exchange: CurrentExchange, actor: CurrentActor, account_id: AccountId) -> dict[str, Any]:
    """Return one user."""
    async with exchange.database.engine.connect() as connection:
        return render_user(exchange, await existing_user(connection, account_id))


@router.post("/{account_id}/freeze", response_model=admin_schemas.UserInfo, responses=problems(*CHANGE))
async def admin_freeze_user(
    exchange: CurrentExchange, actor: CurrentActor, account_id: AccountId, body: admin_schemas.Why
) -> dict[str, Any]:
    """Let a user read, cancel and take access away, and nothing else. Open orders stay."""
    return await _freeze(exchange, actor, account_id, True, body.reason)


@router.post("/{account_id}/thaw", response_model=admin_schemas.UserInfo, responses=problems(*CHANGE))
async def admin_thaw_user(
    exchange: CurrentExchange, actor: CurrentActor, account_id: AccountId, body: admin_schemas.Why
) -> dict[str, Any]:
    """Let a frozen user trade again."""
    return await _freeze(exchange, actor, account_id, False, body.reason)


@router.post("/{account_id}/end-sessions", response_model=access_schemas.Ended, responses=problems(*CHANGE))
async def admin_end_sessions(
    exchange: CurrentExchange,
    sessions: CurrentSessions,
    actor: CurrentActor,
    account_id: AccountId,
    body: admin_schemas.Why,
) -> dict[str, Any]:
    """End all sessions of a user: they must log in again. API keys stay."""
    parameters = _about(account_id, body.reason)
    async with recorded_change(exchange.database.engine, actor, "user.end_sessions", parameters) as connection:
        await existing_user(connection, account_id)
        ended = await sessions.end_all_within(connection, account_id)
    return {"sessions_ended": ended}


@router.post(
    "/{account_id}/cancel-orders",
    response_model=admin_schemas.OrdersCancelled,
    responses=problems(*COMMAND, EdgeReason.NOT_FOUND),
)
async def admin_cancel_orders(
    exchange: CurrentExchange, actor: CurrentActor, account_id: AccountId, body: admin_schemas.Why
) -> dict[str, Any]:
    """Cancel all live orders of a user but those in halted markets."""
    engine = exchange.database.engine
    async with engine.connect() as connection:  # the command would take account 0 for everybody
        await existing_user(connection, account_id)
    async with recorded_command(engine, actor, "user.cancel_orders", _about(account_id, body.reason)) as recorded:
        entry = await submit(exchange, recorded, commands.mass_cancel(account_id))
    events = read_events(entry.events)
    cancelled = sum(event.quantity_lots for event in events if event.kind == EventKind.MASS_CANCELLED)
    return {"orders_cancelled": cancelled, "sequence": entry.sequence}


async def existing_user(connection: AsyncConnection, account: int) -> UserRow:
    """Return a user. Raises Refused NOT_FOUND."""
    found = await page_of_users(connection, account=account)
    if not found:
        raise refuse(EdgeReason.NOT_FOUND, f"there is no user with account {account}")
    return found[0]


def render_user(exchange: Exchange, user: UserRow) -> dict[str, Any]:
    """A UserInfo."""
    return {
        "account_id": str(user.account_id),
        "username": user.username,
        "role": user.role,
        "created_at": timestamp_text(user.created_ns),
        "frozen_at": None if user.frozen_ns is None else timestamp_text(user.frozen_ns),
        "second_factor": user.second_factor,
        "sessions": user.sessions,
        "live_orders": len(exchange.live.orders_of.get(user.account_id, ())),
    }


async def _freeze(exchange: Exchange, actor: Actor, account: int, frozen: bool, reason: str) -> dict[str, Any]:
    action = "user.freeze" if frozen else "user.thaw"
    async with recorded_change(exchange.database.engine, actor, action, _about(account, reason)) as connection:
        await existing_user(connection, account)
        await set_frozen(connection, account, frozen)
        user = await existing_user(connection, account)
    exchange.access.state.account_frozen(account, frozen)
    return render_user(exchange, user)


def _about(account: int, reason: str) -> dict[str, str]:
    return {"account_id": str(account), "reason": reason}

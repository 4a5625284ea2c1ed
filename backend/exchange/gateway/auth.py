"""Register, log in, refresh, log out; which sessions there are, and ending them."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response

from engine.records import Reason
from exchange.contracts.orders import timestamp_text
from exchange.contracts.refusals import EdgeReason, refuse
from exchange.gateway import access_schemas, schemas
from exchange.gateway.dependencies import Asks, SignedIn
from exchange.gateway.logins import Logins, User
from exchange.gateway.principal import Principal
from exchange.gateway.problems import problems
from exchange.gateway.sessions import Device, Session, Sessions, TokenPair

USER_AGENT_LENGTH_MAX = 200

router = APIRouter(prefix="/api/v1/auth", tags=["sessions"])
BODY_REFUSALS = (Reason.MALFORMED, Reason.BODY_TOO_LARGE, EdgeReason.UNSUPPORTED_MEDIA_TYPE, EdgeReason.FIELD_INVALID)
BUSY = (EdgeReason.OVERLOADED, EdgeReason.UNAVAILABLE)
SECOND_FACTOR = (EdgeReason.SECOND_FACTOR_REQUIRED, EdgeReason.SECOND_FACTOR_INVALID)
#: What every request with an account behind it may be answered.
ADMISSION = (
    EdgeReason.UNAUTHENTICATED,
    EdgeReason.TOKEN_EXPIRED,
    EdgeReason.SIGNATURE_INVALID,
    EdgeReason.KEY_REVOKED,
    EdgeReason.KEY_EXPIRED,
    EdgeReason.TIMESTAMP_INVALID,
    EdgeReason.REPLAYED,
    EdgeReason.ADDRESS_FORBIDDEN,
    EdgeReason.SCOPE_MISSING,
    EdgeReason.ACCOUNT_FROZEN,
    EdgeReason.THROTTLED,
    EdgeReason.OVERLOADED,
    EdgeReason.UNAVAILABLE,
)


def uncached(response: Response) -> None:
    # Tokens, secrets and codes must not stay in any cache.
    response.headers["cache-control"] = "no-store"


async def current_logins(request: Request, response: Response) -> Logins:
    uncached(response)
    logins: Logins = request.app.state.logins
    return logins


async def current_sessions(request: Request, response: Response) -> Sessions:
    uncached(response)
    sessions: Sessions = request.app.state.sessions
    return sessions


async def current_device(request: Request) -> Device:
    """Where the request comes from; behind a proxy the server resolves it from what the proxy sends."""
    agent = request.headers.get("user-agent", "")
    printable = "".join(letter for letter in agent[:USER_AGENT_LENGTH_MAX] if letter.isprintable())
    return Device(request.client.host if request.client else "unknown", printable)


CurrentLogins = Annotated[Logins, Depends(current_logins)]
CurrentSessions = Annotated[Sessions, Depends(current_sessions)]
CurrentDevice = Annotated[Device, Depends(current_device)]
#: Who may see who has access, and take it away; and who may give it. Never an API key.
Overseer = Annotated[Principal, Depends(Asks("revoke"))]
Manager = Annotated[Principal, Depends(Asks("manage", weight=10))]


@router.post(
    "/register",
    status_code=201,
    response_model=schemas.Session,
    responses=problems(*BODY_REFUSALS, EdgeReason.USERNAME_TAKEN, EdgeReason.THROTTLED, *BUSY),
)
async def register(logins: CurrentLogins, device: CurrentDevice, credentials: schemas.Credentials) -> dict[str, Any]:
    """Open an account and its first session."""
    user, pair = await logins.register(credentials.username, credentials.password, device)
    return render_session(user, pair)


@router.post(
    "/login",
    response_model=schemas.Session,
    responses=problems(*BODY_REFUSALS, EdgeReason.CREDENTIALS_INVALID, *SECOND_FACTOR, EdgeReason.THROTTLED, *BUSY),
)
async def login(
    logins: CurrentLogins, device: CurrentDevice, credentials: access_schemas.LoginCredentials
) -> dict[str, Any]:
    """Begin a session. The answer to a wrong username and to a wrong password is the same."""
    user, pair = await logins.login(credentials.username, credentials.password, device, credentials.code)
    return render_session(user, pair)


@router.post(
    "/refresh",
    response_model=schemas.TokenPair,
    responses=problems(*BODY_REFUSALS, EdgeReason.UNAUTHENTICATED, *BUSY),
)
async def refresh(sessions: CurrentSessions, device: CurrentDevice, body: schemas.RefreshRequest) -> dict[str, Any]:
    """Exchange a refresh token for a new pair. Using a token twice ends the whole session."""
    return render_pair(await sessions.refresh(body.refresh_token, device))


@router.post("/logout", status_code=204, responses=problems(*BODY_REFUSALS, *BUSY))
async def logout(sessions: CurrentSessions, device: CurrentDevice, body: schemas.RefreshRequest) -> None:
    """End a session: neither its refresh token nor its access token is good for anything any more."""
    await sessions.logout(body.refresh_token, device)


@router.get("/me", response_model=schemas.Me, responses=problems(*BUSY))
async def me(logins: CurrentLogins, account: SignedIn) -> dict[str, Any]:
    """Return who is signed in."""
    user = await logins.user(account)
    return {
        "account_id": str(user.account_id),
        "username": user.username,
        "created_at": timestamp_text(user.created_ns),
        "role": user.role,
    }


@router.get("/sessions", response_model=access_schemas.SessionList, responses=problems(*BUSY))
async def list_sessions(sessions: CurrentSessions, principal: Overseer) -> dict[str, Any]:
    """Return your sessions, the one that was used last first."""
    found = await sessions.of_account(principal.account)
    return {"items": [render_session_info(session, principal.session_id) for session in found]}


@router.delete(
    "/sessions/{session_id}",
    status_code=204,
    responses=problems(EdgeReason.NOT_FOUND, EdgeReason.FIELD_INVALID, *BUSY),
)
async def end_session(
    sessions: CurrentSessions,
    principal: Overseer,
    session_id: Annotated[uuid.UUID, Path(description="A session's id")],
) -> None:
    """End one of your sessions, at once: its access token is refused from now on."""
    if not await sessions.end(principal.account, session_id):
        raise refuse(EdgeReason.NOT_FOUND, f"you have no session {session_id}")


@router.delete("/sessions", response_model=access_schemas.Ended, responses=problems(EdgeReason.FIELD_INVALID, *BUSY))
async def end_other_sessions(sessions: CurrentSessions, principal: Overseer) -> dict[str, Any]:
    """End all your sessions but the one that asks."""
    return {"sessions_ended": await sessions.end_all(principal.account, session_of(principal))}


def session_of(principal: Principal) -> uuid.UUID | None:
    """The session that asks; None for a key."""
    try:
        return uuid.UUID(principal.session_id)
    except (ValueError, TypeError):  # no session, or a token of ours with a foreign idea of one
        return None


def render_session(user: User, pair: TokenPair) -> dict[str, Any]:
    return {"account_id": str(user.account_id), "username": user.username, **render_pair(pair)}


def render_pair(pair: TokenPair) -> dict[str, Any]:
    return {
        "access_token": pair.access_token,
        "expires_in": pair.expires_in,
        "refresh_token": pair.refresh_token,
        "token_type": "Bearer",
    }


def render_session_info(session: Session, current: str | None) -> dict[str, Any]:
    return {
        "session_id": str(session.session_id),
        "current": str(session.session_id) == current,
        "created_at": timestamp_text(session.created_ns),
        "last_used_at": timestamp_text(session.used_ns),
        "address": session.address,
        "user_agent": session.user_agent,
    }

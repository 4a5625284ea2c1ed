"""Register, log in, refresh, log out."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from engine.records import Reason
from exchange.contracts.orders import timestamp_text
from exchange.contracts.refusals import EdgeReason
from exchange.gateway import schemas
from exchange.gateway.dependencies import SignedIn
from exchange.gateway.problems import problems
from exchange.gateway.sessions import Sessions, TokenPair, User

router = APIRouter(prefix="/api/v1/auth", tags=["sessions"])
BODY_REFUSALS = (Reason.MALFORMED, Reason.BODY_TOO_LARGE, EdgeReason.UNSUPPORTED_MEDIA_TYPE, EdgeReason.FIELD_INVALID)
BUSY = (EdgeReason.OVERLOADED, EdgeReason.UNAVAILABLE)


async def current_sessions(request: Request, response: Response) -> Sessions:
    # Tokens must not stay in any cache.
    response.headers["cache-control"] = "no-store"
    sessions: Sessions = request.app.state.sessions
    return sessions


CurrentSessions = Annotated[Sessions, Depends(current_sessions)]


@router.post(
    "/register",
    status_code=201,
    response_model=schemas.Session,
    responses=problems(*BODY_REFUSALS, EdgeReason.USERNAME_TAKEN, EdgeReason.THROTTLED, *BUSY),
)
async def register(request: Request, sessions: CurrentSessions, credentials: schemas.Credentials) -> dict[str, Any]:
    """Open an account and its first session."""
    user, pair = await sessions.register(credentials.username, credentials.password, address_of(request))
    return render_session(user, pair)


@router.post(
    "/login",
    response_model=schemas.Session,
    responses=problems(*BODY_REFUSALS, EdgeReason.CREDENTIALS_INVALID, EdgeReason.THROTTLED, *BUSY),
)
async def login(request: Request, sessions: CurrentSessions, credentials: schemas.Credentials) -> dict[str, Any]:
    """Begin a session. The answer to a wrong username and to a wrong password is the same."""
    user, pair = await sessions.login(credentials.username, credentials.password, address_of(request))
    return render_session(user, pair)


@router.post(
    "/refresh",
    response_model=schemas.TokenPair,
    responses=problems(*BODY_REFUSALS, EdgeReason.UNAUTHENTICATED, *BUSY),
)
async def refresh(request: Request, sessions: CurrentSessions, body: schemas.RefreshRequest) -> dict[str, Any]:
    """Exchange a refresh token for a new pair. Using a token twice ends the whole session."""
    return render_pair(await sessions.refresh(body.refresh_token, address_of(request)))


@router.post("/logout", status_code=204, responses=problems(*BODY_REFUSALS, *BUSY))
async def logout(request: Request, sessions: CurrentSessions, body: schemas.RefreshRequest) -> None:
    """End a session: its refresh token is no longer good for anything."""
    await sessions.logout(body.refresh_token, address_of(request))


@router.get(
    "/me",
    response_model=schemas.Me,
    responses=problems(EdgeReason.UNAUTHENTICATED, EdgeReason.TOKEN_EXPIRED, *BUSY),
)
async def me(sessions: CurrentSessions, account: SignedIn) -> dict[str, Any]:
    """Return who is signed in."""
    user = await sessions.user(account)
    return {
        "account_id": str(user.account_id),
        "username": user.username,
        "created_at": timestamp_text(user.created_ns),
    }


def address_of(request: Request) -> str:
    """The client's address; behind a proxy the server resolves it from what the proxy sends."""
    return request.client.host if request.client else "unknown"


def render_session(user: User, pair: TokenPair) -> dict[str, Any]:
    return {"account_id": str(user.account_id), "username": user.username, **render_pair(pair)}


def render_pair(pair: TokenPair) -> dict[str, Any]:
    return {
        "access_token": pair.access_token,
        "expires_in": pair.expires_in,
        "refresh_token": pair.refresh_token,
        "token_type": "Bearer",
    }

"""Access tokens: signed JWTs after RFC 8725 (best current practice) and RFC 9068 (their profile for access tokens)."""

import secrets
import time
import uuid
from collections import OrderedDict

import jwt

from exchange.contracts.refusals import EdgeReason, Refused, refuse
from exchange.gateway.principal import SESSION_PERMISSIONS, Principal

ALGORITHM = "HS256"
TOKEN_TYPE = "at+jwt"  # noqa: S105 - a media type
ISSUER = "exchange"
AUDIENCE = "exchange-api"
ACCESS_TOKEN_LIFETIME_S = 600
CLOCK_SKEW_S = 5
TOKEN_LENGTH_MAX = 1024
CACHE_SIZE = 16_384

_REQUIRED_CLAIMS = ["iss", "aud", "sub", "sid", "iat", "exp", "jti"]


def issue_access_token(secret: str, account: int, session_id: uuid.UUID) -> str:
    """Return a token that proves for ACCESS_TOKEN_LIFETIME_S seconds that its bearer is a session of the account."""
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(account),
        "sid": str(session_id),
        "iat": now,
        "exp": now + ACCESS_TOKEN_LIFETIME_S,
        "jti": secrets.token_urlsafe(12),
    }
    return jwt.encode(claims, secret, algorithm=ALGORITHM, headers={"typ": TOKEN_TYPE})


class TokenVerifier:
    """Tells whose token it is. Valid tokens are remembered, so that each order after the first costs a look-up.

    The memory is bounded: at ``cache_size`` the token that was used longest ago is forgotten, and verified again when
    it comes back.
    """

    def __init__(self, secret: str, cache_size: int = CACHE_SIZE) -> None:
        self._secret = secret
        self._cache_size = cache_size
        self._known: OrderedDict[str, Principal] = OrderedDict()

    def verify(self, token: str) -> Principal:
        """Return whose token it is. Raises Refused UNAUTHENTICATED or TOKEN_EXPIRED."""
        principal = self._known.get(token)
        if principal is None:
            principal = self._check(token)
            self._remember(token, principal)
        else:
            self._known.move_to_end(token)
        if time.time() >= principal.expires_at:
            self._known.pop(token, None)
            raise _expired()
        return principal

    def _remember(self, token: str, principal: Principal) -> None:
        self._known[token] = principal
        if len(self._known) > self._cache_size:
            self._known.popitem(last=False)

    def _check(self, token: str) -> Principal:
        if len(token) > TOKEN_LENGTH_MAX:
            raise _invalid("it is too long")
        try:
            decoded = jwt.decode_complete(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                leeway=CLOCK_SKEW_S,
                options={"require": _REQUIRED_CLAIMS, "strict_aud": True},
            )
        except jwt.ExpiredSignatureError:
            raise _expired() from None
        except jwt.InvalidTokenError:
            raise _invalid("it was not issued here or was changed") from None
        return _principal(decoded["header"], decoded["payload"])


def _principal(header: dict[str, object], claims: dict[str, object]) -> Principal:
    issued_at, expires_at, subject, session = claims["iat"], claims["exp"], claims["sub"], claims["sid"]
    if header.get("typ") != TOKEN_TYPE:
        raise _invalid("it is no access token")
    if not isinstance(issued_at, int) or not isinstance(expires_at, int):
        raise _invalid("its claims have the wrong types")
    if not isinstance(subject, str) or not isinstance(session, str):
        raise _invalid("its claims have the wrong types")
    if expires_at - issued_at > ACCESS_TOKEN_LIFETIME_S:
        raise _invalid("it lives longer than access tokens do")
    if not (subject.isascii() and subject.isdigit() and len(subject) < 19):
        raise _invalid("its subject is no account")
    account = int(subject)
    return Principal(account, SESSION_PERMISSIONS, expires_at + CLOCK_SKEW_S, account, session)


def bearer_token(authorization: str | None) -> str:
    """Return the token of an ``Authorization: Bearer`` header. Raises Refused UNAUTHENTICATED."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise refuse(EdgeReason.UNAUTHENTICATED, "send the header `Authorization: Bearer <access token>`")
    return token


def _invalid(why: str) -> Refused:
    return refuse(EdgeReason.UNAUTHENTICATED, f"the access token is not valid: {why}; log in again")


def _expired() -> Refused:
    return refuse(EdgeReason.TOKEN_EXPIRED, "the access token has expired; POST /api/v1/auth/refresh gives a new one")

"""Who gets in: every request with an account behind it passes here, whichever way it is served.

bearer token or signature ─> Principal ─> rate limit ─> permission
"""

import logging
import math
import time
from collections.abc import Callable, MutableMapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from exchange.contracts.refusals import EdgeReason, Refused, refuse
from exchange.gateway.access_state import AccessState
from exchange.gateway.api_keys import ApiKey
from exchange.gateway.edge import headers_by_name
from exchange.gateway.principal import FROZEN_PERMISSIONS, Permission, Principal
from exchange.gateway.rate_limits import Budget, BudgetName, LocalRateLimits, RateLimits
from exchange.gateway.sealing import SealBroken, Sealer
from exchange.gateway.signatures import (
    AHEAD_MS_MAX,
    SIGNATURE,
    TIMESTAMP,
    SeenFull,
    SeenSignatures,
    Signatures,
    signed_text,
)
from exchange.gateway.tokens import TokenVerifier, bearer_token
from exchange.settings import Settings

KEY_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER = b"x-exchange-key", b"x-exchange-timestamp", b"x-exchange-signature"
STREAM_TARGET = b"/ws/v1"  # what a stream's client signs, as a GET without a body

Scope = MutableMapping[str, Any]

logger = logging.getLogger("exchange.auth")


class Access:
    """Tells who asks, and refuses what they may not do or not now."""

    def __init__(
        self,
        engine: AsyncEngine,
        settings: Settings,
        limits: RateLimits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.sealer = Sealer(settings.jwt_secret)
        self.state = AccessState(engine, self.sealer)
        self.tokens = TokenVerifier(settings.jwt_secret)
        self.limits: RateLimits = limits or LocalRateLimits(
            {"requests": settings.requests_per_s, "cancels": settings.cancels_per_s}
        )
        self._admins_need_second_factor = settings.admin_second_factor
        self.seen: Signatures = SeenSignatures(clock=clock)
        self._clock = clock

    def admit(
        self, scope: Scope, body: bytes, permission: Permission | None, budget: BudgetName = "requests", weight: int = 1
    ) -> Principal:
        """Return who sent a request once it is paid for and allowed. What is left of the budget is put into ``scope``.

        ``permission``: None where everybody with an account may.

        Raises Refused: UNAUTHENTICATED, TOKEN_EXPIRED, those of signatures, THROTTLED, SCOPE_MISSING, ADMIN_ONLY,
        ACCOUNT_FROZEN, or UNAVAILABLE before the tables were read.
        """
        principal = self.identify(scope, body)
        self.let_in(scope, principal, permission, budget, weight)
        return principal

    def let_in(
        self,
        scope: Scope,
        principal: Principal,
        permission: Permission | None,
        budget: BudgetName = "requests",
        weight: int = 1,
    ) -> None:
        """Do the same for who is known already: a message on a stream. Raises Refused."""
        # Every order passes here: who may is let through with two look-ups.
        scope["rate_limit"] = left = self.limits.take(principal.subject, budget, weight)
        if left.wait_s:
            raise throttled(left, budget)
        if permission not in principal.permissions or principal.account in self.state.frozen:
            self.require(principal, permission)

    def lets(self, principal: Principal, permission: Permission) -> bool:
        """Whether a principal may, were it paid for."""
        return permission in principal.permissions and principal.account not in self.state.frozen

    def charge(self, scope: Scope, principal: Principal, budget: BudgetName, weight: int) -> None:
        """Pay for a request, or for more of it. Raises Refused THROTTLED."""
        scope["rate_limit"] = left = self.limits.take(principal.subject, budget, weight)
        if left.wait_s:
            raise throttled(left, budget)

    def require(self, principal: Principal, permission: Permission | None) -> None:
        """Raises Refused SCOPE_MISSING, ADMIN_ONLY or ACCOUNT_FROZEN."""
        if permission is None:
            return
        if permission == "administer" and principal.session_id is not None:
            self._require_admin(principal)
        elif permission not in principal.permissions:
            raise _scope_missing(principal, permission)
        if principal.account in self.state.frozen and permission not in FROZEN_PERMISSIONS:
            raise refuse(EdgeReason.ACCOUNT_FROZEN, "this account is frozen: it may read, cancel, and take access away")

    def _require_admin(self, principal: Principal) -> None:
        admin = self.state.admins.get(principal.account)
        if admin is None:
            raise refuse(EdgeReason.ADMIN_ONLY, "only an admin of this exchange may do this")
        if self._admins_need_second_factor and not admin.has_second_factor:
            detail = "an admin of this exchange needs a second factor: turn yours on"
            raise refuse(EdgeReason.ADMIN_ONLY, detail, field="second_factor", limit="enabled")

    def identify_token(self, token: str) -> Principal:
        """Return the session of an access token. Raises Refused UNAUTHENTICATED or TOKEN_EXPIRED."""
        principal = self.tokens.verify(token)
        if principal.session_id in self.state.ended_sessions or not self.state.loaded:
            self.check(principal)
        return principal

    def identify_stream(self, key_id: str, timestamp: str, signature: str, address: str) -> Principal:
        """Return the key that a stream's client signed with. Raises Refused as ``admit``."""
        key, at, signed = (text.encode(errors="replace") for text in (key_id, timestamp, signature))
        return self._signed(key, at, signed, "GET", STREAM_TARGET, b"", address)

    def check(self, principal: Principal) -> None:
        """Raises Refused where a principal that was good once is no longer."""
        if not self.state.loaded:
            raise refuse(EdgeReason.UNAVAILABLE, "the exchange is starting: ask again in a moment")
        if principal.key is not None:
            self._check_living(self.state.keys.get(principal.key.key_id))
        elif principal.session_id in self.state.ended_sessions:
            raise refuse(EdgeReason.UNAUTHENTICATED, "the session of this access token was ended; log in again")

    def identify(self, scope: Scope, body: bytes) -> Principal:
        """Return who sent a request. Raises Refused UNAUTHENTICATED, TOKEN_EXPIRED, those of signatures."""
        headers = headers_by_name(scope)
        authorization = headers.get(b"authorization")
        key_id = headers.get(KEY_HEADER)
        if key_id is None:
            return self.identify_token(bearer_token(authorization.decode("latin-1") if authorization else None))
        if authorization is not None:
            raise refuse(EdgeReason.UNAUTHENTICATED, "send either Authorization or X-Exchange-Key, not both")
        query: bytes = scope["query_string"]
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        target = path + b"?" + query if query else path
        timestamp, signature = headers.get(TIMESTAMP_HEADER, b""), headers.get(SIGNATURE_HEADER, b"")
        client = scope.get("client")
        return self._signed(key_id, timestamp, signature, scope["method"], target, body, client[0] if client else "")

    def _signed(
        self, key_id: bytes, timestamp: bytes, signature: bytes, method: str, target: bytes, body: bytes, address: str
    ) -> Principal:
        """Check everything about a signed request. Nothing about a key is told to who does not hold it."""
        if not self.state.loaded:
            raise refuse(EdgeReason.UNAVAILABLE, "the exchange is starting: ask again in a moment")
        if not TIMESTAMP.fullmatch(timestamp):
            raise refuse(
                EdgeReason.UNAUTHENTICATED, "X-Exchange-Timestamp must be the time in Unix milliseconds, 13 digits"
            )
        if not SIGNATURE.fullmatch(signature):
            detail = "X-Exchange-Signature must be 64 (HMAC-SHA256) or 128 (Ed25519) lower-case hexadecimal digits"
            raise refuse(EdgeReason.UNAUTHENTICATED, detail)
        raw_signature = bytes.fromhex(signature.decode())
        key = self.state.keys.get(key_id.decode("latin-1"))
        text = signed_text(timestamp, method, target, body)
        if key is None or not _fits(key, text, raw_signature):
            raise refuse(
                EdgeReason.SIGNATURE_INVALID,
                "there is no such key, or the signature is not that of `timestamp`, method, path with query and the "
                "SHA-256 of the body, on four lines",
            )
        self._check_living(key)
        self._check_time(key, int(timestamp), raw_signature)
        if not key.takes_from(address):
            raise refuse(EdgeReason.ADDRESS_FORBIDDEN, f"this key may not be used from {address or 'here'}")
        self.state.key_used(key.key_id)
        expires_ns = key.terms.expires_ns
        expires_at = float("inf") if expires_ns is None else expires_ns / 1e9
        return Principal(key.account, key.permissions, expires_at, key.key_id, key=key)

    def _check_living(self, key: ApiKey | None) -> None:
        status = "revoked" if key is None else key.status(int(self._clock() * 1e9))
        if status == "revoked":
            raise refuse(EdgeReason.KEY_REVOKED, "this key was revoked: make a new one")
        if status == "expired":
            raise refuse(EdgeReason.KEY_EXPIRED, "this key has expired: make a new one")

    def _check_time(self, key: ApiKey, timestamp_ms: int, signature: bytes) -> None:
        now_ms = int(self._clock() * 1000)
        window_ms = key.terms.receive_window_ms
        if not now_ms - window_ms <= timestamp_ms <= now_ms + AHEAD_MS_MAX:
            age_ms = now_ms - timestamp_ms
            when = f"{age_ms} ms old" if age_ms > 0 else f"{-age_ms} ms in the future"
            raise refuse(
                EdgeReason.TIMESTAMP_INVALID,
                f"the request is {when}; the key takes requests up to {window_ms} ms old: set your clock",
                field="X-Exchange-Timestamp",
                limit=f"{window_ms} ms",
                nearest=str(now_ms),
            )
        try:
            if self.seen.first_time(signature, timestamp_ms + window_ms):
                return
        except SeenFull:
            raise refuse(EdgeReason.OVERLOADED, "too many signed requests at once; try again in a moment") from None
        detail = "this very request was received before: give each one a timestamp of its own"
        raise refuse(EdgeReason.REPLAYED, detail, field="X-Exchange-Timestamp", limit="unique", nearest=str(now_ms))


def _fits(key: ApiKey, text: bytes, signature: bytes) -> bool:
    try:
        return key.verifier.fits(text, signature)
    except SealBroken as error:
        logger.warning("API key unusable: %s", error)
        return False


def throttled(left: Budget, budget: BudgetName) -> Refused:
    """What could not be paid for."""
    seconds = math.ceil(left.wait_s)
    detail = f"the limit of {budget} is used up; this one can be had in {seconds} s"
    return refuse(EdgeReason.THROTTLED, detail, retry_after_s=seconds)


def _scope_missing(principal: Principal, permission: Permission) -> Refused:
    assert principal.key is not None, "a session may do everything"
    scopes = principal.key.terms.scopes
    need = {"read": "read", "trade": "trade", "cancel": "trade", "transfer": "transfer"}.get(permission)
    if need is None:
        detail = "no API key may do this: sign in with your password"
    else:
        detail = f"this key has no {need} scope; it has {', '.join(scopes)}"
    return refuse(EdgeReason.SCOPE_MISSING, detail, field="scopes", limit=need or "a session")

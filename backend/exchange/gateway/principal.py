"""Who is asking and what they may do: the one value that every route asks for."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from exchange.gateway.api_keys import ApiKey

#: read; trade: place and change orders; cancel; transfer: move money in and out; revoke: take access away (sessions,
#: keys, the kill switch); manage: give access (keys, the second factor); administer: what admins do, which is asked of
#: the account and not of the session.
Permission = Literal["read", "trade", "cancel", "transfer", "revoke", "manage", "administer"]

SESSION_PERMISSIONS: frozenset[Permission] = frozenset(("read", "trade", "cancel", "transfer", "revoke", "manage"))
#: A frozen account may look, get out of the market, and lock others out: nothing that makes it worse.
FROZEN_PERMISSIONS: frozenset[Permission] = frozenset(("read", "cancel", "revoke"))
#: What a scope of an API key lets it do. No scope manages keys, sessions or the second factor.
SCOPE_PERMISSIONS: dict[str, frozenset[Permission]] = {
    "read": frozenset(("read",)),
    "trade": frozenset(("trade", "cancel")),
    "transfer": frozenset(("transfer",)),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """An account as one of its sessions or one of its keys. ``expires_at``: Unix seconds; infinity for never."""

    account: int
    permissions: frozenset[Permission]
    expires_at: float
    subject: int | str  # whose rate limit it draws on: each key has its own, all sessions of an account have one
    session_id: str | None = None
    key: "ApiKey | None" = None


def scope_permissions(scopes: Iterable[str]) -> frozenset[Permission]:
    """Return what a key of these scopes may do."""
    return frozenset(permission for scope in scopes for permission in SCOPE_PERMISSIONS[scope])

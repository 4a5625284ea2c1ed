"""API keys: programs that sign their requests, each with what it may do, where, from where and for how much."""

import ipaddress
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from sqlalchemy import ColumnElement, Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from exchange.contracts.refusals import EdgeReason, refuse
from exchange.contracts.units import Market
from exchange.gateway.principal import Permission, scope_permissions
from exchange.gateway.sealing import Sealer
from exchange.gateway.signatures import Ed25519Verifier, HmacVerifier, Verifier
from exchange.storage.tables import api_keys, users

KeyKind = Literal["hmac", "ed25519"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

KEYS_MAX = 30  # an account, that are not revoked
REVOKED_KEPT = 30  # an account; at the bound the one that was revoked first is forgotten
KEY_ID_BYTES = 12
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """What the owner of a key decides about it. ``None`` for symbols and addresses: all of them.

    ``notional_max``: symbol or quote asset -> the most that one order may be worth, in whole quote assets as text.
    """

    label: str
    scopes: tuple[str, ...]
    symbols: tuple[str, ...] | None
    notional_max: Mapping[str, str]
    addresses: tuple[str, ...] | None
    receive_window_ms: int
    expires_ns: int | None


@dataclass(frozen=True)
class ApiKey:
    """A key as its row tells. Times in nanoseconds of Unix time."""

    key_id: str
    account: int
    kind: KeyKind
    terms: KeyTerms
    created_ns: int
    used_ns: int | None
    revoked_ns: int | None
    verifier_of: Callable[[], Verifier] = field(repr=False, compare=False)
    _caps: dict[int, int | None] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def verifier(self) -> Verifier:
        """Made when the key is used first. Raises SealBroken where its secret cannot be read any more."""
        return self.verifier_of()

    @cached_property
    def permissions(self) -> frozenset[Permission]:
        return scope_permissions(self.terms.scopes)

    @cached_property
    def symbols(self) -> frozenset[str] | None:
        return None if self.terms.symbols is None else frozenset(self.terms.symbols)

    @cached_property
    def networks(self) -> tuple[Network, ...] | None:
        addresses = self.terms.addresses
        return None if addresses is None else tuple(ipaddress.ip_network(address) for address in addresses)

    def takes_from(self, address: str) -> bool:
        """Whether the key may be used from an address."""
        if self.networks is None:
            return True
        try:
            client = ipaddress.ip_address(address)
        except ValueError:  # a Unix socket: no address at all
            return False
        plain = getattr(client, "ipv4_mapped", None) or client
        return any(plain in network for network in self.networks)

    def notional_cap(self, market: Market) -> int | None:
        """The most that one order may be worth on a market, in quote units; None for no cap."""
        if market.number not in self._caps:
            caps = self.terms.notional_max
            text = caps.get(market.symbol) or caps.get(market.quote.name)
            self._caps[market.number] = market.quote.to_units(text, "notional_max") if text else None
        return self._caps[market.number]

    def status(self, now_ns: int) -> Literal["active", "expired", "revoked"]:
        if self.revoked_ns is not None:
            return "revoked"
        return "expired" if self.terms.expires_ns is not None and self.terms.expires_ns <= now_ns else "active"


def ed25519_public_key(pem: str) -> bytes:
    """Return the 32 bytes of an Ed25519 public key in PEM. Raises Refused FIELD_INVALID."""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, Ed25519PublicKey):
        return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    limit = "an Ed25519 public key in PEM, as `openssl pkey -pubout` writes it"
    raise refuse(EdgeReason.FIELD_INVALID, f"public_key must be {limit}", field="public_key", limit=limit)


class ApiKeys:
    """Makes, lists and revokes keys. ``changed`` hears of each at once; other processes find it in the table."""

    def __init__(self, engine: AsyncEngine, sealer: Sealer, changed: Callable[[ApiKey], None]) -> None:
        self._engine = engine
        self._sealer = sealer
        self._changed = changed

    async def create(self, account: int, terms: KeyTerms, public_key: bytes | None) -> tuple[ApiKey, str | None]:
        """Make a key and return (key, its secret): an Ed25519 key where a public key is given, else an HMAC key.

        The secret of an HMAC key is told here and never again. Raises Refused LIMIT_REACHED.
        """
        now_ns = time.time_ns()
        key_id = secrets.token_hex(KEY_ID_BYTES)
        secret = secrets.token_urlsafe(SECRET_BYTES) if public_key is None else None
        row: dict[str, Any] = {
            "key_id": key_id,
            "account_id": account,
            "label": terms.label,
            "kind": "ed25519" if secret is None else "hmac",
            "secret": None if secret is None else self._sealer.seal(secret.encode(), _place(key_id)),
            "public_key": public_key,
            "scopes": list(terms.scopes),
            "symbols": None if terms.symbols is None else list(terms.symbols),
            "notional_max": dict(terms.notional_max),
            "addresses": None if terms.addresses is None else list(terms.addresses),
            "receive_window_ms": terms.receive_window_ms,
            "created_ns": now_ns,
            "expires_ns": terms.expires_ns,
            "changed_ns": now_ns,
        }
        async with self._engine.begin() as connection:
            await self._make_room(connection, account)
            found = (await connection.execute(insert(api_keys).values(row).returning(api_keys))).one()
        key = read_key(found, self._sealer)
        self._changed(key)
        return key, secret

    async def of_account(self, account: int) -> list[ApiKey]:
        """Return an account's keys, newest first, those revoked lately among them."""
        query = select(api_keys).where(api_keys.c.account_id == account)
        async with self._engine.connect() as connection:
            rows = await connection.execute(query.order_by(api_keys.c.created_ns.desc(), api_keys.c.key_id))
            return [read_key(row, self._sealer) for row in rows]

    async def revoke(self, account: int, key_id: str) -> bool:
        """Revoke one key for ever; False where the account has no such key."""
        mine = (api_keys.c.account_id == account) & (api_keys.c.key_id == key_id)
        if await self._revoke(mine):
            return True
        async with self._engine.connect() as connection:
            return await connection.scalar(select(api_keys.c.key_id).where(mine)) is not None

    async def revoke_all(self, account: int) -> int:
        """Revoke all keys of an account; return how many there were."""
        return await self._revoke(api_keys.c.account_id == account)

    async def _revoke(self, which: ColumnElement[bool]) -> int:
        now_ns = time.time_ns()
        revoking = update(api_keys).where(which, api_keys.c.revoked_ns.is_(None))
        async with self._engine.begin() as connection:
            rows = await connection.execute(revoking.values(revoked_ns=now_ns, changed_ns=now_ns).returning(api_keys))
            keys = [read_key(row, self._sealer) for row in rows]
        for key in keys:
            self._changed(key)
        return len(keys)

    async def _make_room(self, connection: AsyncConnection, account: int) -> None:
        # The user's row is the lock: two requests at once cannot both find room for the last key.
        await connection.execute(select(users.c.account_id).where(users.c.account_id == account).with_for_update())
        mine = api_keys.c.account_id == account
        revoked = select(api_keys.c.key_id).where(mine, api_keys.c.revoked_ns.is_not(None))
        forgotten = revoked.order_by(api_keys.c.revoked_ns.desc()).offset(REVOKED_KEPT)
        await connection.execute(delete(api_keys).where(api_keys.c.key_id.in_(forgotten)))
        living = select(func.count()).select_from(api_keys).where(mine, api_keys.c.revoked_ns.is_(None))
        if (await connection.scalar(living) or 0) >= KEYS_MAX:
            detail = f"an account has at most {KEYS_MAX} keys that are not revoked: revoke one first"
            raise refuse(EdgeReason.LIMIT_REACHED, detail, field="keys", limit=str(KEYS_MAX))


def read_key(row: Row[Any], sealer: Sealer) -> ApiKey:
    """Return the key of a row of api_keys."""
    secret, public_key, place = row.secret, row.public_key, _place(row.key_id)

    def verifier() -> Verifier:
        if public_key is not None:
            return Ed25519Verifier(public_key)
        return HmacVerifier(sealer.open(secret, place))

    terms = KeyTerms(
        label=row.label,
        scopes=tuple(row.scopes),
        symbols=None if row.symbols is None else tuple(row.symbols),
        notional_max=row.notional_max,
        addresses=None if row.addresses is None else tuple(row.addresses),
        receive_window_ms=row.receive_window_ms,
        expires_ns=row.expires_ns,
    )
    return ApiKey(row.key_id, row.account_id, row.kind, terms, row.created_ns, row.used_ns, row.revoked_ns, verifier)


def _place(key_id: str) -> str:
    return f"api_keys/{key_id}"

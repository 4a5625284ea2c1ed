"""Signed requests as docs/access.md tells a client to make them, and keys of every kind to sign them with."""

import hashlib
import hmac
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_apart = itertools.count()


@dataclass
class Signer:
    """The client's half of a key."""

    key_id: str
    sign: Callable[[bytes], bytes] = field(repr=False)

    def headers(self, method: str, target: str, body: bytes = b"", at_ms: int | None = None) -> dict[str, str]:
        """The three headers; without a time, a millisecond of the last 200 that no other request of the test has."""
        timestamp = str(int(time.time() * 1000) - next(_apart) % 200 if at_ms is None else at_ms)
        text = "\n".join((timestamp, method, target, hashlib.sha256(body).hexdigest()))
        return {
            "X-Exchange-Key": self.key_id,
            "X-Exchange-Timestamp": timestamp,
            "X-Exchange-Signature": self.sign(text.encode()).hex(),
        }


def hmac_signer(key_id: str, secret: str) -> Signer:
    return Signer(key_id, lambda text: hmac.new(secret.encode(), text, hashlib.sha256).digest())


def ed25519_signer(key_id: str, private: Ed25519PrivateKey) -> Signer:
    return Signer(key_id, private.sign)


def public_pem(private: Ed25519PrivateKey) -> str:
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


async def make_key(
    client: aiohttp.ClientSession, session: dict[str, str], kind: str = "hmac", **terms: Any
) -> tuple[Signer, dict[str, Any]]:
    """Make a key with a session's headers; return (its signer, what the exchange told of it)."""
    private = Ed25519PrivateKey.generate()
    body = {"label": "test", "kind": kind, "scopes": ["read", "trade"], **terms}
    if kind == "ed25519":
        body["public_key"] = public_pem(private)
    async with client.post("/api/v1/api-keys", json=body, headers=session) as answer:
        told: dict[str, Any] = await answer.json()
        assert answer.status == 201, told
    if kind == "ed25519":
        return ed25519_signer(told["key_id"], private), told
    return hmac_signer(told["key_id"], told["secret"]), told

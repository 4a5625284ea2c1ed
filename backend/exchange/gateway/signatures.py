"""Signed requests: the text that is signed, how the two kinds of key check it, and that none is taken twice."""

import hashlib
import hmac
import re
import time
from collections.abc import Callable
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

RECEIVE_WINDOW_MS = 5_000
RECEIVE_WINDOW_MS_MAX = 60_000
AHEAD_MS_MAX = 1_000  # a client's clock may run ahead by this much
SEEN_MAX = 500_000  # signatures, about 100 MB

TIMESTAMP = re.compile(rb"[1-9][0-9]{12}")  # milliseconds, from 2001 to 2286
SIGNATURE = re.compile(rb"(?:[0-9a-f]{64}|[0-9a-f]{128})")  # HMAC-SHA256 or Ed25519, hexadecimal


def signed_text(timestamp: bytes, method: str, target: bytes, body: bytes) -> bytes:
    """Return what both kinds of key sign, four lines: timestamp, method, path with query, SHA-256 of the body.

    ``timestamp``: Unix milliseconds; ``target``: as on the request line; an empty body has the hash of nothing.
    """
    return b"%b\n%b\n%b\n%b" % (timestamp, method.encode(), target, hashlib.sha256(body).hexdigest().encode())


class Verifier(Protocol):
    """Half of a key: tells whether the other half signed."""

    def fits(self, text: bytes, signature: bytes) -> bool: ...


class HmacVerifier:
    """HMAC-SHA256 (RFC 2104); the secret is the text that its owner was shown, as bytes."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def fits(self, text: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(hmac.digest(self._secret, text, "sha256"), signature)


class Ed25519Verifier:
    """Ed25519 (RFC 8032). ``public_key``: 32 bytes."""

    def __init__(self, public_key: bytes) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(public_key)

    def fits(self, text: bytes, signature: bytes) -> bool:
        try:
            self._key.verify(signature, text)
        except InvalidSignature:
            return False
        return True


class SeenFull(Exception):
    """As many signatures are remembered as there is room for."""


class Signatures(Protocol):
    """Where taken signatures are remembered."""

    def first_time(self, signature: bytes, good_until_ms: int) -> bool:
        """Remember a signature; False where it was taken before. Raises SeenFull."""


class SeenSignatures:
    """Signatures taken within their window, so that a recording of a request is worthless.

    At most ``seen_max`` are remembered; at the bound further requests are refused, since forgetting one would let it
    be played again. This is one process's memory: where several serve one exchange they tell each other what they took
    (shared_access.py).
    """

    def __init__(self, seen_max: int = SEEN_MAX, clock: Callable[[], float] = time.time) -> None:
        self._seen_max = seen_max
        self._clock = clock
        self._until: dict[int, set[bytes]] = {}  # Unix second after which they are refused by their age -> signatures
        self._count = 0

    def first_time(self, signature: bytes, good_until_ms: int) -> bool:
        """Remember a signature; False where it was taken before. ``good_until_ms`` follows from what it signs.

        Raises SeenFull.
        """
        second = good_until_ms // 1000 + 1
        of_second = self._until.get(second)
        if of_second is None:
            self._forget_old()
            of_second = self._until[second] = set()
        if signature in of_second:
            return False
        if self._count >= self._seen_max:
            self._forget_old()
            if self._count >= self._seen_max:
                raise SeenFull
        of_second.add(signature)
        self._count += 1
        return True

    def _forget_old(self) -> None:
        now = self._clock()
        for second in [second for second in self._until if second < now]:
            self._count -= len(self._until.pop(second))

"""Secrets that the exchange must be able to read again, sealed with a key derived from the installation's secret."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES = 12
PURPOSE = b"exchange: secrets at rest, version 1"


class SealBroken(Exception):
    """A sealed secret was changed, moved to another row, or sealed with another installation's secret."""


class Sealer:
    """AES-256-GCM under HKDF-SHA256 of the installation's secret (RFC 5869, NIST SP 800-38D).

    What is sealed is bound to its place: ``place`` names the row, and a secret copied to another row does not open.
    """

    def __init__(self, installation_secret: str) -> None:
        derived = HKDF(SHA256(), length=32, salt=None, info=PURPOSE).derive(installation_secret.encode())
        self._cipher = AESGCM(derived)

    def seal(self, secret: bytes, place: str) -> bytes:
        """Return nonce and ciphertext."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, place.encode())

    def open(self, sealed: bytes, place: str) -> bytes:
        """Return what was sealed for the place. Raises SealBroken."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError) as error:
            raise SealBroken(f"the secret of {place} does not open with this installation's secret") from error

"""What is signed, how both kinds of key check it, and that nothing is taken twice."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from exchange.gateway.sealing import SealBroken, Sealer
from exchange.gateway.signatures import (
    SIGNATURE,
    TIMESTAMP,
    Ed25519Verifier,
    HmacVerifier,
    SeenFull,
    SeenSignatures,
    signed_text,
)

SECRET = "the-secret-of-an-installation-32-bytes-or-more"
TEXT = signed_text(b"1700000000000", "POST", b"/api/v1/orders?x=1", b'{"a":1}')


def test_the_signed_text_is_four_lines() -> None:
    body_hash = "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    assert hashlib.sha256(b'{"a":1}').hexdigest() == body_hash
    assert TEXT.decode().split("\n") == ["1700000000000", "POST", "/api/v1/orders?x=1", body_hash]


def test_an_hmac_signature_is_that_of_rfc_4231() -> None:
    verifier = HmacVerifier(b"Jefe")
    signature = bytes.fromhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    assert verifier.fits(b"what do ya want for nothing?", signature)
    assert not verifier.fits(b"what do ya want for nothing!", signature)
    assert not HmacVerifier(b"jefe").fits(b"what do ya want for nothing?", signature)


def test_an_ed25519_signature_is_that_of_rfc_8032() -> None:
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert Ed25519Verifier(public).fits(b"\x72", signature)
    assert not Ed25519Verifier(public).fits(b"\x73", signature)


def test_a_signature_of_the_other_kind_or_another_length_never_fits() -> None:
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    hmac_signature = bytes(32)
    for signature in (b"", hmac_signature, private.sign(TEXT)[:-1], private.sign(TEXT) + b"\0"):
        assert not Ed25519Verifier(public).fits(TEXT, signature)
        assert not HmacVerifier(public).fits(TEXT, signature)
    assert Ed25519Verifier(public).fits(TEXT, private.sign(TEXT))


def test_a_second_spelling_of_an_ed25519_signature_does_not_fit() -> None:
    """S + L verifies the same equation: taking it would let a seen request be played again."""
    order = 2**252 + 27742317777372353535851937790883648493
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    signature = private.sign(TEXT)
    other = signature[:32] + (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
    assert not Ed25519Verifier(public).fits(TEXT, other)


@pytest.mark.parametrize("text", [b"", b"0", b"170000000000", b"17000000000000", b"1700000000.00", b" 1700000000000"])
def test_a_timestamp_is_thirteen_digits(text: bytes) -> None:
    assert not TIMESTAMP.fullmatch(text)
    assert TIMESTAMP.fullmatch(b"1700000000000")


@pytest.mark.parametrize("text", [b"", b"0" * 63, b"0" * 65, b"A" * 64, b"g" * 64, b"0" * 127, b"0" * 129])
def test_a_signature_is_lower_case_hexadecimal_of_one_of_two_lengths(text: bytes) -> None:
    assert not SIGNATURE.fullmatch(text)
    assert SIGNATURE.fullmatch(b"0" * 64) and SIGNATURE.fullmatch(b"f" * 128)


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def good_until(clock: Clock, seconds: float = 5) -> int:
    return int((clock.now + seconds) * 1000)


def test_a_signature_is_taken_once() -> None:
    clock = Clock()
    seen = SeenSignatures(clock=clock)
    until = good_until(clock)
    assert [seen.first_time(b"a", until), seen.first_time(b"a", until), seen.first_time(b"b", until)] == [
        True,
        False,
        True,
    ]


def test_it_is_remembered_for_as_long_as_its_age_would_let_it_pass() -> None:
    clock = Clock()
    seen = SeenSignatures(clock=clock)
    until = good_until(clock)
    assert seen.first_time(b"a", until)
    clock.now += 5
    assert not seen.first_time(b"a", until)
    clock.now += 2
    seen.first_time(b"b", good_until(clock))
    assert seen._count == 1, "what is too old anyway is forgotten"


def test_when_the_memory_is_full_nothing_is_taken_until_time_makes_room() -> None:
    clock = Clock()
    seen = SeenSignatures(seen_max=10, clock=clock)
    for number in range(10):
        assert seen.first_time(bytes([number]), good_until(clock))
    with pytest.raises(SeenFull):
        seen.first_time(b"eleventh", good_until(clock))
    assert not seen.first_time(bytes([3]), good_until(clock)), "what is known is still known"
    clock.now += 7
    assert seen.first_time(b"eleventh", good_until(clock))


def test_what_is_sealed_opens_in_its_place_only() -> None:
    sealer = Sealer(SECRET)
    sealed = sealer.seal(b"secret", "api_keys/1")
    assert b"secret" not in sealed
    assert sealer.open(sealed, "api_keys/1") == b"secret"
    assert sealer.seal(b"secret", "api_keys/1") != sealed, "every seal has a nonce of its own"
    assert Sealer(SECRET).open(sealed, "api_keys/1") == b"secret", "a restart opens it"
    damaged = [sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:5], b""]
    for opener, box, place in [
        (sealer, sealed, "api_keys/2"),
        (Sealer(SECRET + "x"), sealed, "api_keys/1"),
        *((sealer, box, "api_keys/1") for box in damaged),
    ]:
        with pytest.raises(SealBroken):
            opener.open(box, place)

"""Access tokens (RFC 8725) and password hashing."""

import asyncio
import base64
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from exchange.contracts.refusals import EdgeReason, Refused
from exchange.gateway import tokens
from exchange.gateway.logins import check_password, checked_username
from exchange.gateway.passwords import WAITING_HASHES_MAX, PasswordHashing
from exchange.gateway.principal import SESSION_PERMISSIONS, Principal
from exchange.gateway.tokens import TokenVerifier, bearer_token, issue_access_token

SECRET = "a-secret-of-sixty-four-bytes-or-more-" + "0123456789abcdef" * 2
ACCOUNT = 1234
SESSION = uuid.UUID(int=5)


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    plain = {"iss": "exchange", "aud": "exchange-api", "sub": str(ACCOUNT), "sid": str(SESSION)}
    plain |= {"iat": now, "exp": now + 600, "jti": "j"}
    return {name: value for name, value in (plain | changes).items() if value is not None}


def signed(payload: dict[str, Any], *, key: str = SECRET, algorithm: str = "HS256", typ: str | None = "at+jwt") -> str:
    return jwt.encode(payload, key, algorithm=algorithm, headers={"typ": typ})


def refusal_of(token: str) -> EdgeReason:
    with pytest.raises(Refused) as caught:
        TokenVerifier(SECRET).verify(token)
    assert not token or token not in caught.value.refusal.detail
    reason = caught.value.refusal.reason
    assert isinstance(reason, EdgeReason)
    return reason


def test_an_issued_token_is_verified_for_its_account() -> None:
    verifier = TokenVerifier(SECRET)
    token = issue_access_token(SECRET, ACCOUNT, SESSION)
    for _ in range(3):
        principal = verifier.verify(token)
        assert (principal.account, principal.session_id, principal.key) == (ACCOUNT, str(SESSION), None)
        assert principal.permissions == SESSION_PERMISSIONS
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "at+jwt"}
    issued = jwt.decode(token, options={"verify_signature": False})
    assert set(issued) == {"iss", "aud", "sub", "sid", "iat", "exp", "jti"}
    assert 0 < issued["exp"] - issued["iat"] <= 600


def test_two_tokens_of_an_account_differ() -> None:
    assert issue_access_token(SECRET, ACCOUNT, SESSION) != issue_access_token(SECRET, ACCOUNT, SESSION)


def unsigned(payload: dict[str, Any]) -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none', 'typ': 'at+jwt'})}.{part(payload)}."


def without(claim: str) -> Callable[[], str]:
    return lambda: signed(claims(**{claim: None}))


# Made when they are used: tokens made at import would have grown old by then.
FORGERIES: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "no token": lambda: "a.b.c",
    "too long": lambda: "x" * 5000,
    "unsigned": lambda: unsigned(claims()),
    "another key": lambda: signed(claims(), key=SECRET[::-1]),
    "another algorithm": lambda: signed(claims(), algorithm="HS512"),
    "another type": lambda: signed(claims(), typ="JWT"),
    "no type": lambda: signed(claims(), typ=None),
    "another issuer": lambda: signed(claims(iss="elsewhere")),
    "another audience": lambda: signed(claims(aud="another-api")),
    "several audiences": lambda: signed(claims(aud=["exchange-api", "another-api"])),
    "a name as subject": lambda: signed(claims(sub="alice")),
    "a negative account": lambda: signed(claims(sub="-1")),
    "an account beyond int64": lambda: signed(claims(sub="9" * 19)),
    "a number as session": lambda: signed(claims(sid=5)),
    "a long life": lambda: signed(claims(exp=int(time.time()) + 601)),
    "of the future": lambda: signed(claims(iat=int(time.time()) + 60, exp=int(time.time()) + 600)),
    **{f"without {claim}": without(claim) for claim in ("iss", "aud", "sub", "sid", "iat", "exp", "jti")},
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_token_that_is_not_exactly_ours_is_refused(forgery: str) -> None:
    assert refusal_of(FORGERIES[forgery]()) == EdgeReason.UNAUTHENTICATED


def test_a_token_signed_by_us_and_changed_is_refused() -> None:
    head, body, signature = issue_access_token(SECRET, ACCOUNT, SESSION).split(".")
    other = base64.urlsafe_b64encode(json.dumps(claims(sub="1")).encode()).decode().rstrip("=")
    assert refusal_of(f"{head}.{other}.{signature}") == EdgeReason.UNAUTHENTICATED
    assert refusal_of(f"{head}.{body}.") == EdgeReason.UNAUTHENTICATED


def test_an_expired_token_is_told_apart() -> None:
    now = int(time.time())
    assert refusal_of(signed(claims(iat=now - 700, exp=now - 100))) == EdgeReason.TOKEN_EXPIRED


def test_a_remembered_token_still_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    verifier = TokenVerifier(SECRET)
    token = issue_access_token(SECRET, ACCOUNT, SESSION)
    assert verifier.verify(token).expires_at <= time.time() + 600 + tokens.CLOCK_SKEW_S
    later = time.time() + 606
    monkeypatch.setattr(time, "time", lambda: later)
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            verifier.verify(token)
        assert caught.value.refusal.reason == EdgeReason.TOKEN_EXPIRED


def test_the_memory_of_tokens_is_bounded_and_keeps_what_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    verifier = TokenVerifier(SECRET, cache_size=3)
    checks = 0
    check = verifier._check

    def counted(token: str) -> Principal:
        nonlocal checks
        checks += 1
        return check(token)

    monkeypatch.setattr(verifier, "_check", counted)
    used, *others = (issue_access_token(SECRET, account, SESSION) for account in range(1000, 1010))
    for other in others:
        verifier.verify(used)
        verifier.verify(other)
        assert len(verifier._known) <= 3
    assert checks == 10, "the one in use was never checked again"
    verifier.verify(others[0])
    assert checks == 11


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic x", "token"])
def test_only_a_bearer_header_carries_a_token(header: str | None) -> None:
    with pytest.raises(Refused):
        bearer_token(header)


def test_the_scheme_is_read_in_any_letter_case() -> None:
    assert bearer_token("bearer abc") == bearer_token("Bearer abc") == "abc"


async def test_a_password_fits_its_hash_in_any_unicode_spelling() -> None:
    hashing = PasswordHashing()
    encoded = await hashing.hash("passw\u00f6rt zw\u00f6lf")
    assert encoded.startswith("$argon2id$")
    assert not hashing.needs_rehash(encoded)
    assert await hashing.verify(encoded, "passwo\u0308rt zwo\u0308lf")
    assert not await hashing.verify(encoded, "passwort zwolf")
    assert not await hashing.verify("not a hash", "passwort zwolf")
    assert not await hashing.verify(None, "passwort zwolf")
    assert hashing.needs_rehash("$argon2id$v=19$m=8192,t=1,p=1$c29tZXNhbHQ$YWFhYWFhYWFhYWFhYWFhYQ")
    hashing.close()


async def test_more_hashes_than_may_wait_are_refused() -> None:
    hashing = PasswordHashing()
    asked = [hashing.hash("correct horse battery") for _ in range(WAITING_HASHES_MAX + 5)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert {answer.refusal.reason for answer in refused} == {EdgeReason.OVERLOADED}
    assert len(refused) == 5
    hashing.close()


def test_usernames_have_one_spelling() -> None:
    assert checked_username("Alice_1.x-y") == "alice_1.x-y"
    for name in ("ab", "a" * 33, "a b c", "älice", "alice\n", ""):
        with pytest.raises(Refused):
            checked_username(name)


def test_passwords_have_ten_to_128_characters() -> None:
    for length in (10, 128):
        check_password("x" * length)
    for length in (0, 9, 129):
        with pytest.raises(Refused) as caught:
            check_password("x" * length)
        assert caught.value.refusal.field == "password"

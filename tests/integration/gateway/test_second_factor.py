"""The second factor over HTTP, and its codes with a clock of our own."""

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pyotp
import pytest
from sqlalchemy import select, update

from exchange.contracts.refusals import EdgeReason, Refused
from exchange.gateway.context import Exchange
from exchange.gateway.totp import SecondFactors
from exchange.storage.tables import second_factors
from tests.support.local_exchange import registered

PASSWORD = "correct horse battery"
ALICE = {"username": "alice", "password": PASSWORD}
FACTOR = "/api/v1/auth/second-factor"
STEP_NS = 30 * 10**9


async def ask(
    client: aiohttp.ClientSession, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    async with client.request(method, path, json=body, headers=headers) as answer:
        return answer.status, await answer.json() if answer.status != 204 else None


async def login(client: aiohttp.ClientSession, **more: Any) -> tuple[int, Any]:
    return await ask(client, "POST", "/api/v1/auth/login", ALICE | more)


async def enrolled(client: aiohttp.ClientSession, session: dict[str, str]) -> tuple[pyotp.TOTP, list[str]]:
    status, enrolment = await ask(client, "POST", FACTOR, {"password": PASSWORD}, session)
    assert status == 201, enrolment
    totp = pyotp.TOTP(enrolment["secret"])
    # With the code before the present one, so that the present one and the next are left to the test.
    code = totp.at(time.time() - 30)
    status, confirmed = await ask(client, "POST", f"{FACTOR}/confirm", {"code": code}, session)
    assert status == 200, confirmed
    return totp, confirmed["recovery_codes"]


def reason(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["reason"]


async def test_it_is_in_force_once_it_was_confirmed_and_not_before(client: aiohttp.ClientSession) -> None:
    _, session = await registered(client)
    assert (await ask(client, "GET", FACTOR, headers=session))[1] == {
        "enabled": False, "enabled_at": None, "recovery_codes_left": 0,
    }  # fmt: skip
    status, enrolment = await ask(client, "POST", FACTOR, {"password": PASSWORD}, session)
    uri = urlsplit(enrolment["otpauth_uri"])
    assert (status, uri.scheme, uri.netloc, uri.path) == (201, "otpauth", "totp", "/Exchange:alice")
    assert parse_qs(uri.query)["secret"] == [enrolment["secret"]]
    assert (await login(client))[0] == 200, "an enrolment that was not confirmed asks for nothing"
    wrong = await ask(client, "POST", f"{FACTOR}/confirm", {"code": "000000"}, session)
    assert reason(wrong) == (401, "SECOND_FACTOR_INVALID")
    assert (await login(client))[0] == 200
    code = pyotp.TOTP(enrolment["secret"]).now()
    status, confirmed = await ask(client, "POST", f"{FACTOR}/confirm", {"code": code}, session)
    assert (status, len(set(confirmed["recovery_codes"]))) == (200, 10)
    assert reason(await login(client)) == (401, "SECOND_FACTOR_REQUIRED")
    assert reason(await login(client, code=code)) == (401, "SECOND_FACTOR_INVALID"), "it has confirmed the enrolment"
    state = (await ask(client, "GET", FACTOR, headers=session))[1]
    assert (state["enabled"], state["recovery_codes_left"]) == (True, 10)


async def test_a_code_is_good_for_one_login(client: aiohttp.ClientSession) -> None:
    _, session = await registered(client)
    totp, _ = await enrolled(client, session)
    code = totp.now()
    assert (await login(client, code=code))[0] == 200
    assert reason(await login(client, code=code)) == (401, "SECOND_FACTOR_INVALID")
    assert (await login(client, code=totp.at(time.time() + 30)))[0] == 200, "the next one is good a little early"


async def test_a_wrong_password_is_refused_alike_with_a_code_and_without(client: aiohttp.ClientSession) -> None:
    _, session = await registered(client)
    totp, _ = await enrolled(client, session)
    for more in ({}, {"code": totp.now()}, {"code": "000000"}):
        refused = await login(client, password="wrong horse battery", **more)
        assert reason(refused) == (401, "CREDENTIALS_INVALID")
    assert (await login(client, code=totp.now()))[0] == 200, "a code beside a wrong password is not used up"


async def test_guessing_codes_is_throttled_and_being_asked_for_one_is_not(client: aiohttp.ClientSession) -> None:
    _, session = await registered(client)
    await enrolled(client, session)
    assert {reason(await login(client)) for _ in range(15)} == {(401, "SECOND_FACTOR_REQUIRED")}
    guesses = [reason(await login(client, code=f"{number:06d}")) for number in range(11)]
    assert guesses == [(401, "SECOND_FACTOR_INVALID")] * 10 + [(429, "THROTTLED")]


async def test_a_recovery_code_stands_in_once(client: aiohttp.ClientSession) -> None:
    _, session = await registered(client)
    _, codes = await enrolled(client, session)
    assert (await login(client, code=codes[0]))[0] == 200
    assert reason(await login(client, code=codes[0])) == (401, "SECOND_FACTOR_INVALID")
    assert (await login(client, code=codes[1].lower().replace("-", " ")))[0] == 200, "however it is typed"
    assert (await ask(client, "GET", FACTOR, headers=session))[1]["recovery_codes_left"] == 8


async def test_it_is_turned_off_with_password_and_code_and_nothing_less(client: aiohttp.ClientSession) -> None:
    _, session = await registered(client)
    totp, codes = await enrolled(client, session)
    off = f"{FACTOR}/disable"
    code = totp.now()
    assert reason(await ask(client, "POST", off, {"password": PASSWORD}, session)) == (401, "SECOND_FACTOR_REQUIRED")
    wrong = await ask(client, "POST", off, {"password": "wrong horse battery", "code": code}, session)
    assert reason(wrong) == (401, "CREDENTIALS_INVALID")
    guess = await ask(client, "POST", off, {"password": PASSWORD, "code": "000000"}, session)
    assert reason(guess) == (401, "SECOND_FACTOR_INVALID")
    assert reason(await login(client)) == (401, "SECOND_FACTOR_REQUIRED")
    assert await ask(client, "POST", off, {"password": PASSWORD, "code": code}, session) == (204, None)
    assert (await login(client))[0] == 200
    again = await ask(client, "POST", off, {"password": PASSWORD, "code": codes[0]}, session)
    assert reason(again) == (409, "SECOND_FACTOR_STATE")
    await enrolled(client, session)
    assert reason(await login(client, code=codes[0])) == (401, "SECOND_FACTOR_INVALID"), "old recovery codes are gone"


async def test_enrolling_needs_the_password_and_never_replaces_what_is_in_force(client: aiohttp.ClientSession) -> None:
    _, session = await registered(client)
    stolen = await ask(client, "POST", FACTOR, {"password": "wrong horse battery"}, session)
    assert reason(stolen) == (401, "CREDENTIALS_INVALID")
    first = (await ask(client, "POST", FACTOR, {"password": PASSWORD}, session))[1]["secret"]
    totp, _ = await enrolled(client, session)
    assert totp.secret != first, "a new enrolment replaces one that was not confirmed"
    code = totp.now()
    status, problem = await ask(client, "POST", FACTOR, {"password": PASSWORD, "code": code}, session)
    assert (status, problem["reason"]) == (409, "SECOND_FACTOR_STATE")
    nothing = await ask(client, "POST", f"{FACTOR}/confirm", {"code": totp.now()}, session)
    assert reason(nothing) == (409, "SECOND_FACTOR_STATE")


async def test_secrets_and_recovery_codes_are_not_stored_in_plain(
    client: aiohttp.ClientSession, exchange: Exchange
) -> None:
    account, session = await registered(client)
    totp, codes = await enrolled(client, session)
    async with exchange.database.engine.connect() as connection:
        sealed = await connection.scalar(select(second_factors.c.secret))
    assert totp.secret.encode() not in sealed
    assert exchange.access.sealer.open(sealed, f"second_factors/{account}") == totp.secret.encode()
    assert all(len(code) == 19 for code in codes)


class Clock:
    def __init__(self) -> None:
        self.now_ns = 1_700_000_000 * 10**9 // STEP_NS * STEP_NS

    def __call__(self) -> int:
        return self.now_ns


async def test_codes_of_the_neighbouring_steps_are_good_and_no_others_and_time_goes_forward_only(
    client: aiohttp.ClientSession, exchange: Exchange
) -> None:
    account, _ = await registered(client)
    clock = Clock()
    factors = SecondFactors(exchange.database.engine, exchange.access.sealer, clock)
    totp = pyotp.TOTP((await factors.enrol(account, "alice")).secret)

    def code(steps: int) -> str:
        return totp.at(clock.now_ns // 10**9 + 30 * steps)

    await factors.confirm(account, code(-1))
    assert not await factors.use(account, code(-1)), "used"
    assert not await factors.use(account, code(2)), "too early"
    assert await factors.use(account, code(1))
    assert not await factors.use(account, code(0)), "before one that was used"
    clock.now_ns += 10 * STEP_NS
    assert not await factors.use(account, code(-2)), "too late"
    assert await factors.use(account, code(-1))
    assert await factors.use(account, code(0))


async def test_an_enrolment_is_confirmed_within_ten_minutes(client: aiohttp.ClientSession, exchange: Exchange) -> None:
    account, _ = await registered(client)
    clock = Clock()
    factors = SecondFactors(exchange.database.engine, exchange.access.sealer, clock)
    totp = pyotp.TOTP((await factors.enrol(account, "alice")).secret)
    clock.now_ns += 601 * 10**9
    with pytest.raises(Refused) as refused:
        await factors.confirm(account, totp.at(clock.now_ns // 10**9))
    assert refused.value.refusal.reason == EdgeReason.SECOND_FACTOR_STATE


async def test_with_another_installation_secret_recovery_codes_still_work(
    client: aiohttp.ClientSession, exchange: Exchange
) -> None:
    _, session = await registered(client)
    totp, codes = await enrolled(client, session)
    async with exchange.database.engine.begin() as connection:
        await connection.execute(update(second_factors).values(secret=b"sealed with something else"))
    assert reason(await login(client, code=totp.now())) == (401, "SECOND_FACTOR_INVALID")
    assert (await login(client, code=codes[0]))[0] == 200

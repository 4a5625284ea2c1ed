"""The second factor: time-based one-time passwords (RFC 6238: SHA-1, six digits, thirty seconds) and recovery codes."""

import base64
import hashlib
import logging
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import pyotp
from pyotp.exceptions import OTPVerificationError
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine

from exchange.contracts.refusals import EdgeReason, Refused, refuse
from exchange.gateway.sealing import SealBroken, Sealer
from exchange.storage.tables import recovery_codes, second_factors

ISSUER = "Exchange"
NEIGHBOUR_STEPS = 1  # clocks differ: the code before and the code after the present one are good too
SECOND_NS = 1_000_000_000
ENROLMENT_LIFETIME_NS = 600 * SECOND_NS
RECOVERY_CODES = 10
RECOVERY_CODE_BYTES = 10  # 80 bits, 16 letters: beyond guessing, so that a plain hash keeps them
CODE = re.compile(r"[0-9]{6}", re.ASCII)
_BEFORE_ANY_STEP = -1

logger = logging.getLogger("exchange.auth")


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an authenticator has to know: the secret in base32, and the URI that a QR code shows."""

    secret: str
    uri: str


@dataclass(frozen=True, slots=True)
class SecondFactorState:
    """``on_since_ns``: None while it is off."""

    on_since_ns: int | None
    recovery_codes_left: int


class SecondFactors:
    """Enrols, confirms, checks and ends. A code is good once: only later ones are taken after it."""

    def __init__(self, engine: AsyncEngine, sealer: Sealer, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._engine = engine
        self._sealer = sealer
        self._clock_ns = clock_ns

    async def enrol(self, account: int, username: str) -> Enrolment:
        """Make a secret that ``confirm`` puts in force. Raises Refused SECOND_FACTOR_STATE where one is in force."""
        secret = pyotp.random_base32()
        row = {
            "secret": self._sealer.seal(secret.encode(), _place(account)),
            "created_ns": self._clock_ns(),
            "used_step": _BEFORE_ANY_STEP,
        }
        enrolling = upsert(second_factors).values(account_id=account, **row)
        replacing = enrolling.on_conflict_do_update(
            index_elements=[second_factors.c.account_id], set_=row, where=second_factors.c.confirmed_ns.is_(None)
        )
        async with self._engine.begin() as connection:
            made = (await connection.execute(replacing.returning(second_factors.c.account_id))).first()
        if made is None:
            raise _state("the second factor is on: turn it off before you enrol another one")
        uri = pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name=ISSUER)
        return Enrolment(secret, uri)

    async def confirm(self, account: int, code: str) -> list[str]:
        """Turn an enrolment on with one code of it, and return recovery codes, which are told here and never again.

        Raises Refused SECOND_FACTOR_STATE or SECOND_FACTOR_INVALID.
        """
        now_ns = self._clock_ns()
        mine = second_factors.c.account_id == account
        waiting = mine & second_factors.c.confirmed_ns.is_(None)
        waiting &= second_factors.c.created_ns > now_ns - ENROLMENT_LIFETIME_NS
        async with self._engine.begin() as connection:
            query = select(second_factors.c.secret).where(waiting).with_for_update()
            sealed: bytes | None = await connection.scalar(query)
            if sealed is None:
                raise _state("there is nothing to confirm: enrol first, and confirm within ten minutes")
            step = self._step(account, sealed, code)
            if step is None:
                detail = "the code is not the one of now: check the clock of your authenticator"
                raise refuse(EdgeReason.SECOND_FACTOR_INVALID, detail, field="code", limit="the code of now")
            await connection.execute(update(second_factors).where(mine).values(confirmed_ns=now_ns, used_step=step))
            codes = [_recovery_code() for _ in range(RECOVERY_CODES)]
            rows = [{"account_id": account, "code_hash": _hash(made)} for made in codes]
            await connection.execute(insert(recovery_codes).values(rows))
        return codes

    async def is_on(self, account: int) -> bool:
        return (await self.state(account)).on_since_ns is not None

    async def state(self, account: int) -> SecondFactorState:
        mine = second_factors.c.account_id == account
        left = select(func.count()).select_from(recovery_codes).where(recovery_codes.c.account_id == account)
        query = select(second_factors.c.confirmed_ns, left.scalar_subquery()).where(mine)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).first()
        return SecondFactorState(None, 0) if row is None else SecondFactorState(*row)

    async def use(self, account: int, code: str) -> bool:
        """Use a code up, one of the authenticator or a recovery code; False where it is not good."""
        if not CODE.fullmatch(code):
            return await self._use_recovery_code(account, code)
        mine = (second_factors.c.account_id == account) & second_factors.c.confirmed_ns.is_not(None)
        async with self._engine.begin() as connection:
            sealed: bytes | None = await connection.scalar(select(second_factors.c.secret).where(mine))
            step = None if sealed is None else self._step(account, sealed, code)
            if step is None:
                return False
            later = update(second_factors).where(mine, second_factors.c.used_step < step).values(used_step=step)
            return (await connection.execute(later.returning(second_factors.c.account_id))).first() is not None

    async def end(self, account: int) -> None:
        """Turn it off and forget everything about it."""
        async with self._engine.begin() as connection:
            await connection.execute(delete(second_factors).where(second_factors.c.account_id == account))

    async def _use_recovery_code(self, account: int, code: str) -> bool:
        mine = (recovery_codes.c.account_id == account) & (recovery_codes.c.code_hash == _hash(code))
        async with self._engine.begin() as connection:
            used = await connection.execute(delete(recovery_codes).where(mine).returning(recovery_codes.c.account_id))
            return used.first() is not None

    def _step(self, account: int, sealed: bytes, code: str) -> int | None:
        """The time step that a code belongs to; None for a code that is not good now."""
        now_s = self._clock_ns() // SECOND_NS
        try:
            totp = pyotp.TOTP(self._sealer.open(sealed, _place(account)).decode())
            return totp.verify_and_get_timecode(code, for_time=now_s, valid_window=NEIGHBOUR_STEPS)
        except OTPVerificationError:
            return None
        except SealBroken as error:  # recovery codes still work
            logger.warning("second factor unusable: %s", error)
            return None


def _state(detail: str) -> Refused:
    return refuse(EdgeReason.SECOND_FACTOR_STATE, detail)


def _recovery_code() -> str:
    text = base64.b32encode(secrets.token_bytes(RECOVERY_CODE_BYTES)).decode()
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def _hash(recovery_code: str) -> bytes:
    plain = recovery_code.upper().replace("-", "").replace(" ", "")
    return hashlib.sha256(plain.encode()).digest()


def _place(account: int) -> str:
    return f"second_factors/{account}"

"""The routes of the second factor: enrol, confirm, disable. Only a session may, and only with its password."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from exchange.contracts.orders import timestamp_text
from exchange.contracts.refusals import EdgeReason, refuse
from exchange.gateway import access_schemas
from exchange.gateway.auth import (
    BODY_REFUSALS,
    BUSY,
    SECOND_FACTOR,
    CurrentDevice,
    CurrentLogins,
    Manager,
    Overseer,
    uncached,
)
from exchange.gateway.problems import problems
from exchange.gateway.totp import SecondFactors

router = APIRouter(prefix="/api/v1/auth/second-factor", tags=["second factor"])
PROOF_REFUSALS = (*BODY_REFUSALS, EdgeReason.CREDENTIALS_INVALID, EdgeReason.THROTTLED, *BUSY)


async def current_second_factors(request: Request, response: Response) -> SecondFactors:
    uncached(response)
    second_factors: SecondFactors = request.app.state.second_factors
    return second_factors


CurrentSecondFactors = Annotated[SecondFactors, Depends(current_second_factors)]


@router.get("", response_model=access_schemas.SecondFactorInfo, responses=problems(*BUSY))
async def get_second_factor(second_factors: CurrentSecondFactors, principal: Overseer) -> dict[str, Any]:
    """Return whether a login asks for a code, and how many recovery codes are left."""
    state = await second_factors.state(principal.account)
    return {
        "enabled": state.on_since_ns is not None,
        "enabled_at": None if state.on_since_ns is None else timestamp_text(state.on_since_ns),
        "recovery_codes_left": state.recovery_codes_left,
    }


@router.post(
    "",
    status_code=201,
    response_model=access_schemas.SecondFactorEnrolment,
    responses=problems(*PROOF_REFUSALS, *SECOND_FACTOR, EdgeReason.SECOND_FACTOR_STATE),
)
async def enrol_second_factor(
    second_factors: CurrentSecondFactors,
    logins: CurrentLogins,
    device: CurrentDevice,
    principal: Manager,
    body: access_schemas.Proof,
) -> dict[str, Any]:
    """Make a secret for your authenticator. It is in force once you confirm it, within ten minutes."""
    user = await logins.prove(principal.account, body.password, body.code, device)
    enrolment = await second_factors.enrol(principal.account, user.username)
    return {"secret": enrolment.secret, "otpauth_uri": enrolment.uri}


@router.post(
    "/confirm",
    response_model=access_schemas.RecoveryCodes,
    responses=problems(*BODY_REFUSALS, EdgeReason.SECOND_FACTOR_INVALID, EdgeReason.SECOND_FACTOR_STATE, *BUSY),
)
async def confirm_second_factor(
    second_factors: CurrentSecondFactors, principal: Manager, body: access_schemas.Confirmation
) -> dict[str, Any]:
    """Turn the second factor on with a code of your authenticator, and get recovery codes."""
    return {"recovery_codes": await second_factors.confirm(principal.account, body.code)}


@router.post(
    "/disable",
    status_code=204,
    responses=problems(*PROOF_REFUSALS, *SECOND_FACTOR, EdgeReason.SECOND_FACTOR_STATE),
)
async def disable_second_factor(
    second_factors: CurrentSecondFactors,
    logins: CurrentLogins,
    device: CurrentDevice,
    principal: Manager,
    body: access_schemas.Proof,
) -> None:
    """Turn the second factor off, with your password and a code."""
    if not await second_factors.is_on(principal.account):
        raise refuse(EdgeReason.SECOND_FACTOR_STATE, "the second factor is off")
    await logins.prove(principal.account, body.password, body.code, device)
    await second_factors.end(principal.account)

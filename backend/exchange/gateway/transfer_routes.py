"""Money in and out: deposits and withdrawals, and on which terms."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from engine.records import Reason
from exchange.contracts.orders import timestamp_text
from exchange.contracts.refusals import EdgeReason, Refusal, Refused, refuse
from exchange.contracts.transfers import Transfer
from exchange.contracts.units import Asset
from exchange.gateway import transfer_schemas as schemas
from exchange.gateway.auth import BODY_REFUSALS
from exchange.gateway.context import Exchange
from exchange.gateway.dependencies import FRESH_OWN, Asks, CurrentExchange, CurrentQueries, SignedIn
from exchange.gateway.orders import SIGNED_IN
from exchange.gateway.paging import Cursor, Limit, decode_cursor, encode_cursor
from exchange.gateway.principal import Principal
from exchange.gateway.problems import problems
from exchange.storage.queries import Queries
from exchange.storage.transfers import deposits_of
from exchange.storage.withdrawals import Withdrawal, WithdrawalState
from exchange.treasury.deposits import DEPOSIT_PREFIX
from exchange.treasury.terms import terms_of

router = APIRouter(prefix="/api/v1", tags=["transfers"])

_LEDGER_REFUSALS = (EdgeReason.OVERLOADED, EdgeReason.OUTCOME_UNKNOWN)
_REQUEST_REFUSALS = (
    *BODY_REFUSALS,
    *SIGNED_IN,
    *_LEDGER_REFUSALS,
    EdgeReason.FORBIDDEN,
    Reason.UNKNOWN_ASSET,
    Reason.AMOUNT_OUT_OF_RANGE,
    EdgeReason.REFERENCE_REUSED,
)
_LIST_ANSWERS = problems(*SIGNED_IN, EdgeReason.FIELD_INVALID)
_REPEATED = {"description": "Asked for before under the same reference: how it stands now"}
_STATUS_NAMES = {
    WithdrawalState.REQUESTED: "Requested",
    WithdrawalState.SENT: "Sent",
    WithdrawalState.REFUSING: "Sent",  # given back in a moment
    WithdrawalState.COMPLETED: "Completed",
    WithdrawalState.REFUSED: "Refused",
}

Moving = Annotated[Principal, Depends(Asks("transfer"))]
WithdrawalId = Annotated[str, Path(pattern=r"^[0-9]{1,18}$", description="A withdrawal's id")]
Reference = Annotated[
    str | None, Query(pattern=r"^[A-Za-z0-9_.:-]{1,32}$", description="The one of this reference only")
]


@router.get("/transfers/terms", response_model=schemas.TransferTerms, responses=problems(*SIGNED_IN))
async def get_transfer_terms(exchange: CurrentExchange, account: SignedIn) -> dict[str, Any]:
    """Return how money comes in and goes out: least amounts, and where you send deposits to."""
    custody = exchange.deposits.custody
    return {
        "custody": custody.name if custody else None,
        "deposits_on_request": exchange.deposits.on_request,
        "items": [
            {
                "asset": asset.name,
                "step": terms_of(asset).step,
                "deposit_min": terms_of(asset).deposit_min,
                "withdrawal_min": terms_of(asset).withdrawal_min,
                "deposit_address": custody.deposit_address(account, asset) if custody else None,
            }
            for asset in exchange.catalogue.assets.values()
        ],
    }


@router.post("/deposits", status_code=201, response_model=schemas.Deposit, responses=problems(*_REQUEST_REFUSALS))
async def request_deposit(exchange: CurrentExchange, principal: Moving, body: schemas.DepositRequest) -> dict[str, Any]:
    """Credit yourself, where the custody is a sandbox and no real money moves."""
    asset = exchange.catalogue.asset(body.asset)
    deposit = await exchange.deposits.request(principal.account, asset, body.amount, body.reference)
    return render_deposit(asset, deposit)


@router.get("/deposits", response_model=schemas.Deposits, responses=_LIST_ANSWERS, dependencies=FRESH_OWN)
async def list_deposits(
    exchange: CurrentExchange, account: SignedIn, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """Return what came in by way of the custody, newest first."""
    key = decode_cursor(cursor, "deposits", 1)
    await exchange.read_your_writes(account)
    found = await deposits_of(
        exchange.database.engine, exchange.shard, account, DEPOSIT_PREFIX, before=key[0] if key else None, limit=limit
    )
    more = encode_cursor("deposits", found[-1].sequence) if len(found) == limit else None
    assets = exchange.catalogue.assets
    return {"items": [render_deposit(assets[deposit.asset], deposit) for deposit in found], "next_cursor": more}


@router.post(
    "/withdrawals",
    status_code=201,
    response_model=schemas.Withdrawal,
    responses={
        200: _REPEATED | {"model": schemas.Withdrawal},
        **problems(*_REQUEST_REFUSALS, Reason.INSUFFICIENT_FUNDS, EdgeReason.LIMIT_REACHED),
    },
)
async def request_withdrawal(
    exchange: CurrentExchange,
    queries: CurrentQueries,
    principal: Moving,
    body: schemas.WithdrawalRequest,
    response: Response,
) -> dict[str, Any]:
    """Send money out; the answer comes when it is taken from your balance, durably."""
    asset = exchange.catalogue.asset(body.asset)
    try:
        withdrawal, was_there = await exchange.withdrawals.request(
            principal.account, asset, body.amount, body.destination, body.reference
        )
    except Refused as refused:
        raise Refused(await _explain(refused.refusal, exchange, queries, principal.account, asset)) from None
    if was_there:
        response.status_code = 200
    return render_withdrawal(asset, withdrawal)


@router.get("/withdrawals", response_model=schemas.Withdrawals, responses=_LIST_ANSWERS)
async def list_withdrawals(
    exchange: CurrentExchange,
    account: SignedIn,
    reference: Reference = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Return your withdrawals, newest first."""
    key = decode_cursor(cursor, "withdrawals", 1)
    before = key[0] if key else None
    found = await exchange.withdrawals.table.of_account(account, reference=reference, before=before, limit=limit)
    more = encode_cursor("withdrawals", found[-1].withdrawal_id) if len(found) == limit else None
    assets = exchange.catalogue.assets
    items = [render_withdrawal(assets[withdrawal.asset], withdrawal) for withdrawal in found]
    return {"items": items, "next_cursor": more}


@router.get(
    "/withdrawals/{withdrawal_id}",
    response_model=schemas.Withdrawal,
    responses=problems(*SIGNED_IN, EdgeReason.FIELD_INVALID, EdgeReason.NOT_FOUND),
)
async def get_withdrawal(exchange: CurrentExchange, account: SignedIn, withdrawal_id: WithdrawalId) -> dict[str, Any]:
    """Return one of your withdrawals."""
    withdrawal = await exchange.withdrawals.table.find(account, int(withdrawal_id))
    if withdrawal is None:
        raise refuse(EdgeReason.NOT_FOUND, f"you have no withdrawal {withdrawal_id}")
    return render_withdrawal(exchange.catalogue.assets[withdrawal.asset], withdrawal)


async def _explain(refusal: Refusal, exchange: Exchange, queries: Queries, account: int, asset: Asset) -> Refusal:
    """Name what could be withdrawn instead, where the balance is too low."""
    if refusal.reason != Reason.INSUFFICIENT_FUNDS:
        return refusal
    await exchange.read_your_writes(account)
    balances = await queries.balances(account)
    available = next((balance.available for balance in balances if balance.asset == asset.number), 0)
    step = asset.to_units(terms_of(asset).step, "step")
    least = asset.to_units(terms_of(asset).withdrawal_min, "least")
    most = available - available % step
    nearest = asset.to_text(most) if most >= least else None
    detail = f"{asset.to_text(available)} {asset.name} are available; nothing was moved"
    return Refusal(
        refusal.reason, detail, field="amount", limit=asset.to_text(available), nearest=nearest,
        sequence=refusal.sequence,
    )  # fmt: skip


def render_deposit(asset: Asset, deposit: Transfer) -> dict[str, Any]:
    return {
        "deposit_id": str(deposit.sequence),
        "reference": (deposit.reference or "").removeprefix(DEPOSIT_PREFIX),
        "asset": asset.name,
        "amount": asset.to_text(deposit.amount),
        "status": "Credited",
        "sequence": deposit.sequence,
        "created_at": timestamp_text(deposit.created_ns),
    }


def render_withdrawal(asset: Asset, withdrawal: Withdrawal) -> dict[str, Any]:
    return {
        "withdrawal_id": str(withdrawal.withdrawal_id),
        "reference": withdrawal.reference,
        "asset": asset.name,
        "amount": asset.to_text(withdrawal.amount),
        "destination": withdrawal.destination,
        "status": _STATUS_NAMES[withdrawal.state],
        "outside_id": withdrawal.outside_id,
        "refusal": withdrawal.refusal,
        "sequence": withdrawal.sequence,
        "refund_sequence": withdrawal.refund_sequence,
        "created_at": timestamp_text(withdrawal.created_ns),
        "updated_at": timestamp_text(withdrawal.updated_ns),
    }

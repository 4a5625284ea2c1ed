"""Monthly statements, as JSON and as CSV: they add up to the ledger exactly, or they are not told."""

import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.responses import StreamingResponse

from exchange.contracts.refusals import EdgeReason, refuse
from exchange.gateway import history_schemas as schemas
from exchange.gateway.accounts import LEDGER_KINDS
from exchange.gateway.context import Exchange
from exchange.gateway.csv_export import CSV_ANSWER, csv_lines
from exchange.gateway.dependencies import CurrentExchange, Fresh
from exchange.gateway.history import CurrentExports, Exporting, LongHistory, Reading
from exchange.gateway.orders import SIGNED_IN
from exchange.gateway.problems import problems
from exchange.projections.postings import PostingKind
from exchange.storage.history import History
from exchange.storage.statements import AssetStatement, asset_statements

router = APIRouter(prefix="/api/v1/history", tags=["history"])

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])", re.ASCII)
_TELLS_NOTHING = (PostingKind.HOLD, PostingKind.RELEASE)  # between the parts of one balance
_ANSWERS = problems(*SIGNED_IN, EdgeReason.FIELD_INVALID)
Month = Annotated[str, Path(pattern=r"^\d{4}-\d{2}$", description="A month in UTC", examples=["2026-01"])]


@router.get(
    "/statements/{month}.csv",
    response_class=StreamingResponse,
    responses={200: CSV_ANSWER, **problems(*SIGNED_IN, EdgeReason.FIELD_INVALID, EdgeReason.OVERLOADED)},
)
async def export_statement(
    exchange: CurrentExchange,
    history: LongHistory,
    exports: CurrentExports,
    who: Exporting,
    fresh: Fresh,
    month: Month,
) -> StreamingResponse:
    """Return the statement of a month as CSV: opening, movements, closing, by asset."""
    statement = await _statement(exchange, history, who.account, month)
    return await exports.answer(f"statement-{month}.csv", csv_lines("statement", _pages(statement)))


@router.get("/statements/{month}", response_model=schemas.Statement, responses=_ANSWERS)
async def get_statement(
    exchange: CurrentExchange, history: LongHistory, who: Reading, fresh: Fresh, month: Month
) -> dict[str, Any]:
    """Return what a month did to your balances: opening, movements by kind, closing, by asset."""
    return await _statement(exchange, history, who.account, month)


async def _statement(exchange: Exchange, history: History, account: int, month: str) -> dict[str, Any]:
    begin_ns, end_ns = _month_ns(month)
    await exchange.read_your_writes(account)
    watermark = exchange.projections.watermark
    first = min(await history.sequence_at(begin_ns), watermark + 1)
    last = min(await history.sequence_at(end_ns) - 1, watermark)
    found = await asset_statements(exchange.database.long_reads, exchange.shard, account, first, last)
    if not all(asset.reconciles for asset in found):
        raise refuse(EdgeReason.UNAVAILABLE, "the ledger is being made again: ask in a moment", retry_after_s=5)
    return {
        "month": month,
        "account_id": str(account),
        "complete": time.time_ns() >= end_ns,
        "first_sequence": first,
        "last_sequence": last,
        "assets": [_render(exchange, asset) for asset in found],
    }


def _month_ns(month: str) -> tuple[int, int]:
    """Return when a month begins and ends. Refuses one that is none, or has not begun."""
    match = _MONTH.fullmatch(month)
    now = datetime.now(UTC)
    this_month = f"{now:%Y-%m}"
    if match is None or not "1970-01" <= month <= this_month:
        detail = f"there is no statement of {month}: a month is from 1970-01 to {this_month}"
        raise refuse(EdgeReason.FIELD_INVALID, detail, field="month", limit=this_month, nearest=this_month)
    year, number = int(match[1]), int(match[2])
    begin = datetime(year, number, 1, tzinfo=UTC)
    end = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)
    return int(begin.timestamp()) * 10**9, int(end.timestamp()) * 10**9


def _render(exchange: Exchange, statement: AssetStatement) -> dict[str, Any]:
    asset = exchange.catalogue.assets[statement.asset]
    movements = [movement for movement in statement.movements if movement.kind not in _TELLS_NOTHING]
    fees = -sum(movement.units for movement in movements if movement.kind == PostingKind.FEE)
    return {
        "asset": asset.name,
        "opening": asset.to_text(statement.opening),
        "movements": [
            {
                "kind": LEDGER_KINDS[movement.kind],
                "amount": asset.to_text(movement.units),
                "entries": movement.entries,
            }
            for movement in movements
        ],
        "fees": asset.to_text(fees),
        "closing": asset.to_text(statement.closing),
        "closing_held": asset.to_text(statement.closing_held),
    }


async def _pages(statement: Mapping[str, Any]) -> AsyncIterator[list[Mapping[str, Any]]]:
    yield list(_items(statement))


def _items(statement: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for asset in statement["assets"]:
        name = {"asset": asset["asset"]}
        yield name | {"item": "Opening", "amount": asset["opening"], "entries": ""}
        for movement in asset["movements"]:
            yield name | {"item": movement["kind"], "amount": movement["amount"], "entries": movement["entries"]}
        yield name | {"item": "Closing", "amount": asset["closing"], "entries": ""}

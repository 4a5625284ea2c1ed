"""Exports as CSV (RFC 4180): streamed as they are read, in constant memory."""

import csv
import io
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.responses import StreamingResponse

from exchange.contracts.refusals import EdgeReason, refuse

EXPORTS_MAX = 4  # at once; at the bound: refused with OVERLOADED

COLUMNS = {
    "orders": (
        "order_id", "client_order_id", "symbol", "side", "order_type", "time_in_force", "post_only", "price",
        "trigger_price", "quantity", "filled_quantity", "remaining_quantity", "filled_quote", "average_price", "fee",
        "fee_asset", "status", "end_reason", "sequence", "created_at", "updated_at",
    ),
    "fills": (
        "trade_id", "order_id", "symbol", "side", "price", "quantity", "liquidity", "fee", "fee_asset", "sequence",
        "executed_at",
    ),
    "ledger": (
        "entry_id", "asset", "kind", "available_change", "held_change", "available", "held", "sequence", "order_id",
        "trade_id", "created_at",
    ),
    "statement": ("asset", "item", "amount", "entries"),
}  # fmt: skip
CSV_ANSWER: dict[str, Any] = {
    "description": "A header line, then a line a row; decimal numbers with a point, empty where there is none",
    "content": {"text/csv": {"schema": {"type": "string"}}},
}


class Exports:
    """Answers with CSV, at most EXPORTS_MAX at once."""

    def __init__(self) -> None:
        self._running = 0

    async def answer(self, filename: str, lines: AsyncIterator[str]) -> StreamingResponse:
        """Return the answer once its first lines are read: until then it can be refused, later only broken off.

        Raises Refused OVERLOADED, and what reading raises.
        """
        if self._running >= EXPORTS_MAX:
            raise refuse(EdgeReason.OVERLOADED, f"{EXPORTS_MAX} exports are under way; try again in a moment")
        counted = self._counted(lines)
        first = await anext(counted)
        return StreamingResponse(
            _after(first, counted),
            media_type="text/csv; charset=utf-8; header=present",
            headers={"content-disposition": f'attachment; filename="{filename}"', "cache-control": "no-store"},
        )

    async def _counted(self, lines: AsyncIterator[str]) -> AsyncIterator[str]:
        self._running += 1
        try:
            async for line in lines:
                yield line
        finally:
            self._running -= 1


async def _after(first: str, others: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for line in others:
        yield line


async def csv_lines(listing: str, pages: AsyncIterator[list[Mapping[str, Any]]]) -> AsyncIterator[str]:
    """Yield a header and rows of rendered items, a page (of which there is one at least) at a time."""
    columns = COLUMNS[listing]
    header = _lines([columns])
    async for page in pages:
        if header or page:
            yield header + _lines([[_cell(item, column) for column in columns] for item in page])
        header = ""


def _cell(item: Mapping[str, Any], column: str) -> Any:
    if column in ("fee", "fee_asset") and "fees" in item:  # an order's, by asset: one asset at most
        asset, fee = next(iter(item["fees"].items()), (None, None))
        return fee if column == "fee" else asset
    value = item[column]
    return str(value).lower() if isinstance(value, bool) else value


def _lines(rows: list[Any]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()

"""An account's orders, fills and ledger: by time or by sequence, either way, without end; as pages and as CSV."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import StreamingResponse

from engine.orders.words import SIDE_NAMES, STATUS_NAMES
from engine.records import Reason
from exchange.contracts.order_state import OrderStatus
from exchange.contracts.orders import parse_time_ns, render_account_fill, render_order
from exchange.contracts.refusals import EdgeReason
from exchange.gateway import history_schemas as schemas
from exchange.gateway.accounts import LEDGER_KINDS, render_entry
from exchange.gateway.context import Exchange
from exchange.gateway.csv_export import CSV_ANSWER, Exports, csv_lines
from exchange.gateway.dependencies import Asks, CurrentExchange, Fresh
from exchange.gateway.orders import SIGNED_IN
from exchange.gateway.paging import Cursor, Limit, decode_cursor, encode_cursor
from exchange.gateway.principal import Principal
from exchange.gateway.problems import problems
from exchange.storage.history import History, Page, Window

router = APIRouter(prefix="/api/v1/history", tags=["history"])

EXPORT_WEIGHT = 20
EXPORT_ROWS = 2_000  # read at once
_KEY_SIZES = {"orders": 1, "fills": 2, "ledger": 2}
_STATUSES: dict[str, list[int]] = {
    **{name: [number] for number, name in STATUS_NAMES.items()},
    "open": [status for status in OrderStatus if status <= OrderStatus.PARTIALLY_FILLED],
    "closed": [status for status in OrderStatus if status > OrderStatus.PARTIALLY_FILLED],
}
_SIDES = {name.lower(): number for number, name in SIDE_NAMES.items()}
_KINDS = {name.lower(): number for number, name in enumerate(LEDGER_KINDS) if name}
_REFUSALS = (*SIGNED_IN, EdgeReason.FIELD_INVALID, Reason.UNKNOWN_SYMBOL, Reason.UNKNOWN_ASSET)
_PAGE_ANSWERS = problems(*_REFUSALS)
_EXPORT_ANSWERS = {200: CSV_ANSWER, **problems(*_REFUSALS, EdgeReason.OVERLOADED)}

Reading = Annotated[Principal, Depends(Asks("read"))]
Exporting = Annotated[Principal, Depends(Asks("read", weight=EXPORT_WEIGHT))]
Direction = Annotated[Literal["newest", "oldest"], Query(description="Which end to begin at")]
Symbol = Annotated[str | None, Query(description="One market only", examples=["BTC-USD"])]
Side = Annotated[Literal["Buy", "Sell", "buy", "sell"] | None, Query(description="One side only")]
Status = Annotated[
    Literal[
        "open", "closed", "Waiting", "Open", "PartiallyFilled", "Filled", "Cancelled", "Expired", "Rejected"
    ] | None,
    Query(description="`open` and `closed` are groups"),
]  # fmt: skip
Asset = Annotated[str | None, Query(description="One asset only", examples=["USD"])]
Kind = Annotated[
    Literal["Deposit", "Withdrawal", "Hold", "Release", "TradeIn", "TradeOut", "Fee"] | None,
    Query(description="One kind only"),
]
Time = Annotated[str | None, Query(examples=["2026-01-02T00:00:00Z"], description="RFC 3339, UTC")]
Bound = Annotated[int | None, Query(ge=0, le=2**63 - 1)]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a part of history begins and ends, as it is asked for."""

    from_sequence: int | None
    to_sequence: int | None
    from_time: str | None
    to_time: str | None


async def bounds(
    fresh: Fresh,
    from_sequence: Bound = None,
    to_sequence: Bound = None,
    from_time: Time = None,
    to_time: Time = None,
) -> Bounds:
    """Sequences inclusive; ``to_time`` itself is not included."""
    return Bounds(from_sequence, to_sequence, from_time, to_time)


async def current_history(request: Request) -> History:
    history: History = request.app.state.history
    return history


async def long_history(request: Request) -> History:
    history: History = request.app.state.long_history
    return history


async def current_exports(request: Request) -> Exports:
    exports: Exports = request.app.state.exports
    return exports


CurrentBounds = Annotated[Bounds, Depends(bounds)]
CurrentHistory = Annotated[History, Depends(current_history)]
#: For what reads much: on connections apart, and with a longer bound (storage/database.py).
LongHistory = Annotated[History, Depends(long_history)]
CurrentExports = Annotated[Exports, Depends(current_exports)]
Pages = Callable[[Window], Awaitable[Page[dict[str, Any]]]]


@router.get("/orders", response_model=schemas.HistoryOrders, responses=_PAGE_ANSWERS)
async def list_history_orders(
    exchange: CurrentExchange, history: CurrentHistory, who: Reading, within: CurrentBounds, symbol: Symbol = None,
    side: Side = None, status: Status = None, direction: Direction = "newest", limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:  # fmt: skip
    """Return your orders in the order of their placing. By time and sequence of their placing."""
    pages = _orders(exchange, history, who.account, symbol, side, status)
    return await _list(exchange, history, who.account, "orders", pages, within, direction, limit, cursor)


@router.get("/fills", response_model=schemas.HistoryFills, responses=_PAGE_ANSWERS)
async def list_history_fills(
    exchange: CurrentExchange, history: CurrentHistory, who: Reading, within: CurrentBounds, symbol: Symbol = None,
    side: Side = None, direction: Direction = "newest", limit: Limit = 100, cursor: Cursor = None,
) -> dict[str, Any]:  # fmt: skip
    """Return the fills of all your orders."""
    pages = _fills(exchange, history, who.account, symbol, side)
    return await _list(exchange, history, who.account, "fills", pages, within, direction, limit, cursor)


@router.get("/ledger", response_model=schemas.HistoryLedger, responses=_PAGE_ANSWERS)
async def list_history_ledger(
    exchange: CurrentExchange, history: CurrentHistory, who: Reading, within: CurrentBounds, asset: Asset = None,
    kind: Kind = None, direction: Direction = "newest", limit: Limit = 100, cursor: Cursor = None,
) -> dict[str, Any]:  # fmt: skip
    """Return every change of your balances, with what it left."""
    pages = _ledger(exchange, history, who.account, asset, kind)
    return await _list(exchange, history, who.account, "ledger", pages, within, direction, limit, cursor)


@router.get("/orders.csv", response_class=StreamingResponse, responses=_EXPORT_ANSWERS)
async def export_orders(
    exchange: CurrentExchange, history: LongHistory, exports: CurrentExports, who: Exporting,
    within: CurrentBounds, symbol: Symbol = None, side: Side = None, status: Status = None,
    direction: Direction = "oldest",
) -> StreamingResponse:  # fmt: skip
    """Return your orders as CSV, all of them unless filtered."""
    pages = _orders(exchange, history, who.account, symbol, side, status)
    return await _export(exchange, history, exports, who.account, "orders", pages, within, direction)


@router.get("/fills.csv", response_class=StreamingResponse, responses=_EXPORT_ANSWERS)
async def export_fills(
    exchange: CurrentExchange, history: LongHistory, exports: CurrentExports, who: Exporting,
    within: CurrentBounds, symbol: Symbol = None, side: Side = None, direction: Direction = "oldest",
) -> StreamingResponse:  # fmt: skip
    """Return your fills as CSV, all of them unless filtered."""
    pages = _fills(exchange, history, who.account, symbol, side)
    return await _export(exchange, history, exports, who.account, "fills", pages, within, direction)


@router.get("/ledger.csv", response_class=StreamingResponse, responses=_EXPORT_ANSWERS)
async def export_ledger(
    exchange: CurrentExchange, history: LongHistory, exports: CurrentExports, who: Exporting,
    within: CurrentBounds, asset: Asset = None, kind: Kind = None, direction: Direction = "oldest",
) -> StreamingResponse:  # fmt: skip
    """Return your ledger as CSV, all of it unless filtered."""
    pages = _ledger(exchange, history, who.account, asset, kind)
    return await _export(exchange, history, exports, who.account, "ledger", pages, within, direction)


def _orders(
    exchange: Exchange, history: History, account: int, symbol: str | None, side: str | None, status: str | None
) -> Pages:
    market = exchange.catalogue.market(symbol).number if symbol else None
    statuses = _STATUSES[status] if status else None

    async def pages(window: Window) -> Page[dict[str, Any]]:
        found = await history.orders(account, window, market=market, side=_side(side), statuses=statuses)
        return Page([render_order(row, exchange.catalogue.markets[row.market]) for row in found.rows], found.key)

    return pages


def _fills(exchange: Exchange, history: History, account: int, symbol: str | None, side: str | None) -> Pages:
    market = exchange.catalogue.market(symbol).number if symbol else None

    async def pages(window: Window) -> Page[dict[str, Any]]:
        found = await history.fills(account, window, market=market, side=_side(side))
        markets = exchange.catalogue.markets
        rows = [
            render_account_fill(row.fill, markets[row.fill.market]) | {"sequence": row.sequence} for row in found.rows
        ]
        return Page(rows, found.key)

    return pages


def _ledger(exchange: Exchange, history: History, account: int, asset: str | None, kind: str | None) -> Pages:
    number = exchange.catalogue.asset(asset).number if asset else None

    async def pages(window: Window) -> Page[dict[str, Any]]:
        found = await history.ledger(account, window, asset=number, kind=_KINDS[kind.lower()] if kind else None)
        return Page([render_entry(exchange.catalogue.assets[row.asset], row) for row in found.rows], found.key)

    return pages


def _side(side: str | None) -> int | None:
    return _SIDES[side.lower()] if side else None


async def _list(
    exchange: Exchange, history: History, account: int, listing: str, pages: Pages, within: Bounds, direction: str,
    limit: int, cursor: str | None,
) -> dict[str, Any]:  # fmt: skip
    name = f"{direction}-{listing}"
    after = decode_cursor(cursor, name, _KEY_SIZES[listing])
    window = await _window(exchange, history, account, within, direction)
    page = await pages(replace(window, after=after, limit=limit))
    more = encode_cursor(name, *page.key) if page.key else None
    return {"items": page.rows, "next_cursor": more, "sequence": window.last}


async def _export(
    exchange: Exchange, history: History, exports: Exports, account: int, listing: str, pages: Pages, within: Bounds,
    direction: str,
) -> StreamingResponse:  # fmt: skip
    window = await _window(exchange, history, account, within, direction)
    return await exports.answer(f"{listing}.csv", csv_lines(listing, _rows(pages, replace(window, limit=EXPORT_ROWS))))


async def _rows(pages: Pages, window: Window) -> AsyncIterator[list[Mapping[str, Any]]]:
    """Read one page after the other; nothing is held in between, neither rows nor a connection."""
    key: tuple[int, ...] | None = window.after
    while True:
        page = await pages(replace(window, after=key))
        yield list(page.rows)
        if page.key is None:
            return
        key = page.key


async def _window(exchange: Exchange, history: History, account: int, within: Bounds, direction: str) -> Window:
    """What is asked for, as far as the tables are; they include what the account was told of."""
    await exchange.read_your_writes(account)
    first, last = within.from_sequence or 0, exchange.projections.watermark
    if within.to_sequence is not None:
        last = min(last, within.to_sequence)
    if within.from_time is not None:
        first = max(first, await history.sequence_at(parse_time_ns(within.from_time, "from_time")))
    if within.to_time is not None:
        last = min(last, await history.sequence_at(parse_time_ns(within.to_time, "to_time")) - 1)
    return Window(first, last, direction == "newest", None, 0)

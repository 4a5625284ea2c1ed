"""Reads of the account's own orders. They never lag what the account was told."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query

from engine.records import Reason
from exchange.contracts.events import ENGINE_DETAILS, engine_detail
from exchange.contracts.order_state import OrderState
from exchange.contracts.orders import render_fill, render_order
from exchange.contracts.refusals import EdgeReason, Refusal, Refused, refuse
from exchange.gateway import order_schemas as schemas
from exchange.gateway.context import Exchange, tables_behind
from exchange.gateway.dependencies import FRESH_OWN, CurrentExchange, CurrentQueries, SignedIn
from exchange.gateway.paging import PAGE_ROWS_MAX, Cursor, Limit, decode_cursor, encode_cursor
from exchange.gateway.problems import problems
from exchange.storage.queries import Queries

router = APIRouter(prefix="/api/v1/orders", tags=["orders"], dependencies=FRESH_OWN)
# The same paths under the name that older clients use; the document shows the first.
legacy_router = APIRouter(prefix="/api/v1/orders/orders", include_in_schema=False, dependencies=FRESH_OWN)

OrderId = Annotated[str, Path(pattern=r"^[0-9]{1,19}$", description="An order's id")]
ClientOrderId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.:-]{1,36}$", description="The id that you gave the order")]
SIGNED_IN = (EdgeReason.UNAUTHENTICATED, EdgeReason.TOKEN_EXPIRED, EdgeReason.UNAVAILABLE)


async def list_orders(
    exchange: CurrentExchange,
    queries: CurrentQueries,
    account: SignedIn,
    status: Annotated[Literal["open", "closed", "all"], Query()] = "all",
    symbol: Annotated[str | None, Query(description="One market only")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Return your orders, newest first."""
    market = exchange.catalogue.market(symbol).number if symbol else None
    key = decode_cursor(cursor, "orders", 1)
    await exchange.read_your_writes(account)
    before = key[0] if key else None
    found = await queries.orders(account, scope=status, market=market, before=before, limit=limit)
    more = encode_cursor("orders", found[-1].order_id) if len(found) == limit else None
    return {
        "items": [render_order(order, exchange.catalogue.markets[order.market]) for order in found],
        "next_cursor": more,
    }


async def get_order(
    exchange: CurrentExchange, queries: CurrentQueries, account: SignedIn, order_id: OrderId
) -> dict[str, Any]:
    """Return one of your orders with its fills."""
    return await with_fills(exchange, queries, await own_order(exchange, queries, account, int(order_id)))


async def get_order_by_client_id(
    exchange: CurrentExchange, queries: CurrentQueries, account: SignedIn, client_order_id: ClientOrderId
) -> dict[str, Any]:
    """Return the order that you placed under a client order id, or what it was refused for.

    404 NOT_RECEIVED is definitive: no order with this id had arrived when you asked.
    """
    sequence = await exchange.corridor.barrier()
    await exchange.caught_up(sequence)
    order = await queries.order_by_client_id(account, client_order_id)
    if order is not None:
        return await with_fills(exchange, queries, order)
    rejection = await queries.rejection(account, client_order_id)
    if rejection is not None:
        reason = Reason(rejection.reason)
        raise Refused(Refusal(reason, engine_detail(reason), sequence=rejection.sequence))
    # Where the database has crashed since, the tables may have lost the latest, and are making it again.
    watermark, is_known = await queries.is_known(account, client_order_id)
    if is_known or watermark < sequence:
        raise tables_behind()
    raise refuse(EdgeReason.NOT_RECEIVED, f"no order of yours with the client order id {client_order_id} has arrived")


async def list_order_trades(
    exchange: CurrentExchange,
    queries: CurrentQueries,
    account: SignedIn,
    order_id: OrderId,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Return the fills of one of your orders, oldest first."""
    key = decode_cursor(cursor, "order-trades", 2)
    order = await own_order(exchange, queries, account, int(order_id))
    after = (key[0], bool(key[1])) if key else None
    found = await queries.order_fills(account, order.order_id, after=after, limit=limit)
    market = exchange.catalogue.markets[order.market]
    more = encode_cursor("order-trades", found[-1].trade_id, int(found[-1].is_maker)) if len(found) == limit else None
    return {"items": [render_fill(fill, market) for fill in found], "next_cursor": more}


async def own_order(exchange: Exchange, queries: Queries, account: int, order_id: int) -> OrderState:
    """Return an account's order with everything in it that the account was told of. Raises Refused UNKNOWN_ORDER."""
    await exchange.read_your_writes(account)
    order = await queries.order(account, order_id) if order_id < 2**63 else None
    if order is not None:
        return order
    # Where the database has crashed since, the tables may have lost the latest, and are making it again.
    if await queries.watermark() < await exchange.corridor.told(account):
        raise tables_behind()
    raise refuse(Reason.UNKNOWN_ORDER, f"you have no order {order_id}")


async def with_fills(exchange: Exchange, queries: Queries, order: OrderState) -> dict[str, Any]:
    """Return an Order with its first PAGE_ROWS_MAX fills; the rest is paged at /trades."""
    market = exchange.catalogue.markets[order.market]
    fills = []
    if order.filled_lots:
        fills = await queries.order_fills(order.account, order.order_id, after=None, limit=PAGE_ROWS_MAX)
    return {**render_order(order, market), "fills": [render_fill(fill, market) for fill in fills]}


LIST_REFUSALS = problems(*SIGNED_IN, EdgeReason.FIELD_INVALID, Reason.UNKNOWN_SYMBOL)
ORDER_REFUSALS = problems(*SIGNED_IN, EdgeReason.FIELD_INVALID, Reason.UNKNOWN_ORDER)
CLIENT_ID_REFUSALS = problems(
    *SIGNED_IN,
    EdgeReason.NOT_RECEIVED,
    EdgeReason.FIELD_INVALID,
    *(reason for reason in Reason if reason in ENGINE_DETAILS and reason != Reason.UNKNOWN_ORDER),
)
for _router in (router, legacy_router):
    _router.get("", response_model=schemas.Orders, responses=LIST_REFUSALS)(list_orders)
    _router.get("/by-client-id/{client_order_id}", response_model=schemas.OrderWithFills, responses=CLIENT_ID_REFUSALS)(
        get_order_by_client_id
    )
    _router.get("/{order_id}", response_model=schemas.OrderWithFills, responses=ORDER_REFUSALS)(get_order)
    _router.get("/{order_id}/trades", response_model=schemas.OrderFills, responses=ORDER_REFUSALS)(list_order_trades)

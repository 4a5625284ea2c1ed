"""The shapes of requests and answers about orders, as docs/api.md tells them and the OpenAPI document declares them."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from exchange.gateway.shapes import (
    ClientOrderIdText,
    DecimalText,
    EndReasonText,
    IdText,
    OrderStatusText,
    OrderTypeText,
    Problem,
    SelfTradeText,
    Shape,
    SideText,
    SymbolText,
    TimeInForceText,
    TimeText,
    example,
)


class OrderTerms(Shape):
    """What an order is, but for its market and side. Enumerations are read in any letter case."""

    order_type: str = Field(
        "Limit",
        description="Limit, Market, Stop, StopLimit, TakeProfit, TakeProfitLimit or TrailingStop",
        examples=["Limit"],
    )
    quantity: str | None = Field(
        None,
        description="A multiple of the lot size. Needed, but for Market orders by quote_quantity",
        examples=["1.0"],
    )
    quote_quantity: str | None = Field(
        None, description="Market orders, instead of quantity: quote to spend or to receive at most"
    )
    price: str | None = Field(
        None,
        description="A multiple of the tick size: the limit. Market, Stop and TakeProfit orders: the price that they "
        "will not trade beyond",
    )
    trigger_price: str | None = Field(
        None, description="Stop, StopLimit, TakeProfit, TakeProfitLimit: fires when a trade reaches it"
    )
    trail: str | None = Field(None, description="TrailingStop: how far behind the best price the trigger follows")
    time_in_force: str | None = Field(
        None,
        description="GTC (the default), GTD, DAY, IOC or FOK; Market: IOC (the default) or FOK; orders with a trigger: "
        "GTC, GTD or DAY",
    )
    expire_at: str | None = Field(None, description="GTD: when it expires (RFC 3339, UTC)")
    post_only: bool = Field(False, description="Refuse rather than trade at once; lasting limit orders only")
    slide: bool = Field(False, description="With post_only: take the best price that does not trade instead")
    display_quantity: str | None = Field(None, description="An iceberg: how much of it the book shows at a time")
    min_quantity: str | None = Field(None, description="Trade at least this at once, or be refused")
    self_trade_prevention: str | None = Field(
        None,
        description="What happens rather than a trade with an order of your own: CancelNewest (the default), "
        "CancelOldest, CancelBoth, Decrement, or None: it trades",
    )
    client_order_id: ClientOrderIdText | None = Field(
        None, description="Yours, unique for ever: makes the order repeatable"
    )


class PlaceOrder(OrderTerms):
    """A new order. Enumerations are read in any letter case."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"symbol": "BTC/USD", "side": "Buy", "quantity": "1.0", "price": "50000.00", "order_type": "Limit"},
                {"symbol": "BTC/USD", "side": "Buy", "quote_quantity": "100", "order_type": "Market"},
                {
                    "symbol": "BTC/USD",
                    "side": "Sell",
                    "quantity": "1",
                    "order_type": "Stop",
                    "trigger_price": "45000.00",
                },
                {"symbol": "BTC/USD", "side": "Sell", "quantity": "1", "order_type": "TrailingStop", "trail": "500.00"},
                {
                    "symbol": "BTC/USD",
                    "side": "Buy",
                    "quantity": "10",
                    "price": "49000.00",
                    "display_quantity": "1",
                    "time_in_force": "GTD",
                    "expire_at": "2030-01-01T00:00:00Z",
                    "self_trade_prevention": "CancelOldest",
                },
            ]
        },
    )
    symbol: SymbolText = Field(description="BTC/USD or BTC-USD")
    side: str = Field(description="Buy or Sell", examples=["Buy"])


class ReplaceOrder(PlaceOrder):
    """The new order, and what to do if the old one is gone."""

    mode: str = Field("stop_on_failure", description="stop_on_failure, or allow_failure: place in any case")


class AmendOrder(Shape):
    """What is to be another value; at least one."""

    model_config = example(quantity="0.5")
    price: str | None = Field(None, description="Loses the order's priority")
    quantity: str | None = Field(None, description="The new total, filled included; keeps the priority when it falls")
    trigger_price: str | None = Field(None, description="Of an order that still waits for its trigger")
    display_quantity: str | None = Field(None, description="Loses the order's priority")


class PlaceOperation(PlaceOrder):
    """Place an order."""

    op: Literal["place"]


class CancelOperation(Shape):
    """Cancel an order."""

    op: Literal["cancel"]
    order_id: IdText


class AmendOperation(AmendOrder):
    """Amend an order."""

    op: Literal["amend"]
    order_id: IdText


class Batch(Shape):
    """Operations to carry out in order, durable together; one's refusal stops no other."""

    model_config = example(
        operations=[
            {"op": "place", "symbol": "BTC/USD", "side": "Buy", "quantity": "1", "price": "50000.00"},
            {"op": "cancel", "order_id": "1042"},
            {"op": "amend", "order_id": "1043", "quantity": "0.5"},
        ]
    )
    operations: list[Annotated[PlaceOperation | CancelOperation | AmendOperation, Field(discriminator="op")]] = Field(
        min_length=1, max_length=50
    )


class ExitOrder(OrderTerms):
    """An exit of a bracket: symbol, side and quantity are the entry's, its other side and its quantity by default."""

    symbol: SymbolText | None = None
    side: str | None = None


class OrderList(Shape):
    """Orders that hang on each other.

    oco: two `orders` of one side and quantity; when one trades or fires, the other is cancelled. bracket: an `entry`,
    and exits that wait for what it fills; of two exits one cancels the other.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "kind": "bracket",
                    "entry": {"symbol": "BTC/USD", "side": "Buy", "quantity": "1", "price": "50000.00"},
                    "take_profit": {"order_type": "Limit", "price": "55000.00"},
                    "stop_loss": {"order_type": "Stop", "trigger_price": "48000.00"},
                },
                {
                    "kind": "oco",
                    "orders": [
                        {"symbol": "BTC/USD", "side": "Sell", "quantity": "1", "price": "55000.00"},
                        {
                            "symbol": "BTC/USD",
                            "side": "Sell",
                            "quantity": "1",
                            "order_type": "Stop",
                            "trigger_price": "48000.00",
                        },
                    ],
                },
            ]
        },
    )
    kind: str = Field(description="oco or bracket")
    orders: Annotated[list[PlaceOrder], Field(min_length=2, max_length=2)] | None = None
    entry: PlaceOrder | None = None
    take_profit: ExitOrder | None = None
    stop_loss: ExitOrder | None = None


class Fill(Shape):
    """One trade of an order."""

    trade_id: IdText
    price: DecimalText
    quantity: DecimalText
    liquidity: Literal["Maker", "Taker", "Auction"]
    fee: DecimalText
    fee_asset: str
    executed_at: TimeText


class Order(Shape):
    """An order in its latest state."""

    order_id: IdText
    client_order_id: str | None
    symbol: SymbolText
    side: SideText
    order_type: OrderTypeText
    time_in_force: TimeInForceText
    expire_at: TimeText | None = Field(description="GTD and DAY orders")
    post_only: bool
    slide: bool
    self_trade_prevention: SelfTradeText
    price: DecimalText | None
    trigger_price: DecimalText | None = Field(
        description="A TrailingStop's moves with the market; this is where it was when the order was last reported"
    )
    trail: DecimalText | None
    quantity: DecimalText
    quote_quantity: DecimalText | None = Field(description="Of a Market order by it")
    display_quantity: DecimalText | None
    visible_quantity: DecimalText | None = Field(description="What an iceberg shows now")
    min_quantity: DecimalText | None
    filled_quantity: DecimalText
    remaining_quantity: DecimalText
    prevented_quantity: DecimalText = Field(description="What it would have traded with your own orders")
    filled_quote: DecimalText
    average_price: DecimalText | None
    fees: dict[str, str] = Field(description="What was paid, by asset", examples=[{"BTC": "0.001"}])
    status: OrderStatusText
    waiting_for: Literal["Trigger", "Parent"] | None
    end_reason: EndReasonText | None = Field(description="Why it ended without being filled")
    other_leg_order_id: IdText | None = Field(description="One cancels the other")
    parent_order_id: IdText | None = Field(description="The order whose fill wakes this one")
    child_order_id: IdText | None = Field(description="The order that this one's fill wakes")
    amendments: int = Field(description="How often it was amended")
    sequence: int
    created_at: TimeText
    updated_at: TimeText


class OrderWithFills(Order):
    """An order and its fills, oldest first."""

    fills: list[Fill]


class AmendedOrder(OrderWithFills):
    """An order after an amendment, and its place in the queue at its price."""

    priority_kept: bool
    ahead_orders: int = Field(description="Orders before it at its price; 0 for one that waits")
    ahead_quantity: DecimalText = Field(description="What they show")


class ReplacedOrder(OrderWithFills):
    """The new order, and the one that it replaced."""

    replaced: OrderWithFills | None = Field(description="In its final state; null where allow_failure let it pass")
    cancel_refused: str | None = Field(description="Why the old order could not be cancelled")


class MassCancelled(Shape):
    """What a cancel by scope ended."""

    cancelled: int
    order_ids: list[IdText] = Field(description="The first 500")
    sequence: int


class Outcome(Shape):
    """What one operation of a batch would have been answered: an order or a problem."""

    status: int
    order: OrderWithFills | AmendedOrder | None
    problem: Problem | None


class BatchOutcomes(Shape):
    """An outcome each, in the order of the operations."""

    outcomes: list[Outcome]


class PlacedList(Shape):
    """The orders of a list, in the order in which the request names them."""

    kind: Literal["oco", "bracket"]
    orders: list[OrderWithFills]


class SetTimer(Shape):
    """How long the account's orders live on from now; 0: for ever."""

    model_config = example(timeout_ms=60_000)
    timeout_ms: int = Field(description="0 turns the timer off, otherwise 1000 to 86400000", ge=0, le=86_400_000)


class Timer(Shape):
    """The account's dead-man timer."""

    cancel_at: TimeText | None = Field(description="When all your live orders are cancelled; null while it is off")
    remaining_ms: int | None
    cancel_on_disconnect: bool = Field(description="Whether a connection of yours cancels when it ends")


class AssetAmount(Shape):
    """An amount of an asset."""

    asset: str
    amount: DecimalText


class AccountFees(Shape):
    """What this account pays of what it receives in a trade, as ratios."""

    maker: DecimalText
    taker: DecimalText


class TestedOrder(Shape):
    """What an order that was only tested would need and trade now."""

    symbol: SymbolText
    price: DecimalText | None = Field(description="The limit, slid where it would have slid")
    trades_at_once: DecimalText = Field(description="With the book as it is published")
    needed: AssetAmount
    fees: AccountFees


class Orders(Shape):
    """A page of orders, newest first."""

    items: list[Order]
    next_cursor: str | None


class OrderFills(Shape):
    """A page of an order's fills, oldest first."""

    items: list[Fill]
    next_cursor: str | None

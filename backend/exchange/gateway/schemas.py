"""The shapes of requests and answers, as docs/api.md tells them and the OpenAPI document declares them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

DecimalText = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", description="A decimal number as text")]
IdText = Annotated[str, Field(pattern=r"^\d{1,19}$", description="An id: decimal digits")]
TimeText = Annotated[str, Field(json_schema_extra={"format": "date-time"}, description="RFC 3339, UTC, nanoseconds")]
SymbolText = Annotated[str, Field(examples=["BTC/USD"])]
SideText = Literal["Buy", "Sell"]
OrderTypeText = Literal["Limit", "Market"]
TimeInForceText = Literal["GTC", "IOC", "FOK"]
Level = Annotated[list[str], Field(min_length=2, max_length=2, description="price, quantity")]
ClientOrderIdText = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,36}$")]


class Shape(BaseModel):
    """A JSON object."""

    model_config = ConfigDict(extra="forbid")


def example(**members: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [members]})


class Problem(BaseModel):
    """Why a request was refused (RFC 9457, application/problem+json)."""

    # Open on purpose: a reason may add members of its own.
    model_config = ConfigDict(extra="allow")

    type: Annotated[str, Field(examples=["/problems/price-off-tick"])]
    title: str
    status: int = Field(description="The HTTP status")
    detail: str
    code: int = Field(description="1xxx validation, 2xxx risk, 3xxx matching, 9xxx the edge")
    reason: Annotated[str, Field(examples=["PRICE_OFF_TICK"])]
    field: str | None = Field(None, description="Which field is wrong")
    limit: str | None = Field(None, description="The limit that it broke")
    nearest: str | None = Field(None, description="The nearest valid value; null where there is none")
    sequence: int | None = Field(None, description="Of the refused command, where the engine refused")
    request_id: str | None = None
    order_status: str | None = Field(None, description="ORDER_ENDED: in which state it ended")
    filled_quantity: str | None = Field(None, description="ORDER_ENDED: what it had traded")


# --- Sessions ----------------------------------------------------------------------------------------------------


class Credentials(Shape):
    """Username (3-32 of `a-z0-9_.-`, case folded) and password (10-128 characters)."""

    model_config = example(username="alice", password="correct horse battery")  # noqa: S106 - an example
    username: str
    password: str


class RefreshRequest(Shape):
    """The refresh token that was given last."""

    refresh_token: str


class TokenPair(Shape):
    """An access token for `Authorization: Bearer` and the refresh token for the next pair."""

    access_token: str
    expires_in: int = Field(description="Seconds until the access token expires")
    refresh_token: str
    token_type: Literal["Bearer"]


class Session(TokenPair):
    """A new session."""

    account_id: IdText
    username: str


class Me(Shape):
    """The account that is signed in."""

    account_id: IdText
    username: str
    created_at: TimeText


# --- Markets -----------------------------------------------------------------------------------------------------


class Market(Shape):
    """A market: its rules, and its last 24 hours (null where nothing was traded or rests)."""

    symbol: SymbolText
    base: str
    quote: str
    tick_size: DecimalText
    lot_size: DecimalText
    quantity_min: DecimalText
    quantity_max: DecimalText
    notional_min: DecimalText
    price_max: DecimalText
    maker_fee: DecimalText
    taker_fee: DecimalText
    status: Literal["Open", "Halted"]
    last_price: DecimalText | None
    best_bid: DecimalText | None
    best_ask: DecimalText | None
    volume_24h: DecimalText | None
    change_24h: DecimalText | None = Field(description="A ratio: -0.0123 is -1.23 %")
    high_24h: DecimalText | None
    low_24h: DecimalText | None


class Markets(Shape):
    """All markets."""

    items: list[Market]


class Depth(Shape):
    """The order book by price level, best first, as of `sequence`."""

    symbol: SymbolText
    sequence: int
    bids: list[Level]
    asks: list[Level]


class Trade(Shape):
    """A public trade; side is the taker's."""

    trade_id: IdText
    symbol: SymbolText
    price: DecimalText
    quantity: DecimalText
    side: SideText
    sequence: int
    executed_at: TimeText


class Trades(Shape):
    """A page of trades, newest first."""

    items: list[Trade]
    next_cursor: str | None


class Candle(Shape):
    """The trades of an interval."""

    opened_at: TimeText
    open: DecimalText
    high: DecimalText
    low: DecimalText
    close: DecimalText
    volume: DecimalText
    trades: int


class Candles(Shape):
    """Candles, oldest first; an interval without a trade has none."""

    symbol: SymbolText
    interval: str
    items: list[Candle]


# --- Orders ------------------------------------------------------------------------------------------------------


class PlaceOrder(Shape):
    """A new order. Enumerations are read in any letter case."""

    model_config = example(symbol="BTC/USD", side="Buy", quantity="1.0", price="50000.00", order_type="Limit")
    symbol: SymbolText = Field(description="BTC/USD or BTC-USD")
    side: str = Field(description="Buy or Sell", examples=["Buy"])
    order_type: str = Field("Limit", description="Limit or Market", examples=["Limit"])
    quantity: str = Field(description="A multiple of the lot size", examples=["1.0"])
    price: str | None = Field(
        None, description="A multiple of the tick size. Market orders: the price they will not trade beyond"
    )
    time_in_force: str | None = Field(
        None, description="GTC (limit orders' default), IOC (market orders' default) or FOK"
    )
    post_only: bool = Field(False, description="Refuse rather than trade at once; GTC limit orders only")
    client_order_id: ClientOrderIdText | None = Field(
        None, description="Yours, unique for ever: makes the order repeatable"
    )


class Fill(Shape):
    """One trade of an order."""

    trade_id: IdText
    price: DecimalText
    quantity: DecimalText
    liquidity: Literal["Maker", "Taker"]
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
    post_only: bool
    price: DecimalText | None
    quantity: DecimalText
    filled_quantity: DecimalText
    remaining_quantity: DecimalText
    filled_quote: DecimalText
    average_price: DecimalText | None
    fees: dict[str, str] = Field(description="What was paid, by asset", examples=[{"BTC": "0.001"}])
    status: Literal["Open", "PartiallyFilled", "Filled", "Cancelled"]
    end_reason: Literal["CANCELLED_BY_OWNER", "IOC_REMAINDER", "NO_LIQUIDITY"] | None
    sequence: int
    created_at: TimeText
    updated_at: TimeText


class OrderWithFills(Order):
    """An order and its fills, oldest first."""

    fills: list[Fill]


class Orders(Shape):
    """A page of orders, newest first."""

    items: list[Order]
    next_cursor: str | None


class OrderFills(Shape):
    """A page of an order's fills, oldest first."""

    items: list[Fill]
    next_cursor: str | None


# --- Account -----------------------------------------------------------------------------------------------------


class AccountFill(Fill):
    """A fill that names its order."""

    order_id: IdText
    symbol: SymbolText
    side: SideText


class AccountFills(Shape):
    """A page of the account's fills, newest first."""

    items: list[AccountFill]
    next_cursor: str | None


class Balance(Shape):
    """What the account has of an asset; held is what its resting orders need."""

    asset: str
    available: DecimalText
    held: DecimalText
    total: DecimalText


class Balances(Shape):
    """The account's balances as of `sequence`."""

    items: list[Balance]
    sequence: int


class LedgerEntry(Shape):
    """A change of a balance, and the balance after it."""

    entry_id: str
    asset: str
    kind: Literal["Deposit", "Withdrawal", "Hold", "Release", "TradeIn", "TradeOut", "Fee"]
    available_change: DecimalText
    held_change: DecimalText
    available: DecimalText
    held: DecimalText
    sequence: int
    order_id: IdText | None
    trade_id: IdText | None
    created_at: TimeText


class Ledger(Shape):
    """A page of the ledger, newest first."""

    items: list[LedgerEntry]
    next_cursor: str | None


class FaucetRequest(Shape):
    """How much demo money of which asset."""

    model_config = example(asset="USD", amount="10000")
    asset: str
    amount: str


# --- Operation ---------------------------------------------------------------------------------------------------


class Part(BaseModel):
    """A part of the exchange: its status and what explains it."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]
    status: Literal["ok", "degraded", "down", "absent"]


class Health(Shape):
    """The exchange as a whole and by part."""

    status: Literal["ok", "degraded", "down"]
    version: str
    role: Literal["leader", "standby", "starting", "halted"]
    sequence: int
    parts: dict[str, Part]


class ProbeAnswer(Shape):
    """What an orchestrator asks."""

    status: Literal["ok", "down"]
    role: Literal["leader", "standby", "starting", "halted"]

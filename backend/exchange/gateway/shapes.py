"""What the shapes of all requests and answers are made of."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

DecimalText = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", description="A decimal number as text")]
IdText = Annotated[str, Field(pattern=r"^\d{1,19}$", description="An id: decimal digits")]
TimeText = Annotated[str, Field(json_schema_extra={"format": "date-time"}, description="RFC 3339, UTC, nanoseconds")]
SymbolText = Annotated[str, Field(examples=["BTC/USD"])]
SideText = Literal["Buy", "Sell"]
OrderTypeText = Literal["Limit", "Market", "Stop", "StopLimit", "TakeProfit", "TakeProfitLimit", "TrailingStop"]
TimeInForceText = Literal["GTC", "GTD", "DAY", "IOC", "FOK"]
SelfTradeText = Literal["None", "CancelNewest", "CancelOldest", "CancelBoth", "Decrement"]
MarketStatusText = Literal["Open", "CancelOnly", "PostOnly", "Halted", "Auction"]
OrderStatusText = Literal["Waiting", "Open", "PartiallyFilled", "Filled", "Cancelled", "Expired", "Rejected"]
EndReasonText = Literal[
    "CANCELLED_BY_OWNER",
    "IOC_REMAINDER",
    "NO_LIQUIDITY",
    "EXPIRED",
    "SELF_TRADE",
    "LINKED_ORDER",
    "MASS_CANCEL",
    "REPLACED",
    "DEAD_MAN_TIMER",
    "PRICE_BAND",
    "INSUFFICIENT_FUNDS",
    "NOTIONAL_TOO_LARGE",
    "POST_ONLY_WOULD_CROSS",
]
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
    watermark: int | None = Field(None, description="UNAVAILABLE for a min_sequence: how far the tables are")
    refused_order: str | None = Field(None, description="Order lists: which of the orders was refused")
    cancelled_order_ids: list[str] | None = Field(
        None,
        description="Cancelled though the request was refused: a replaced order, a list's others",
    )

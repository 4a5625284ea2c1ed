"""The shapes of docs/history.md."""

from typing import Literal

from pydantic import Field

from exchange.gateway import order_schemas
from exchange.gateway.schemas import AccountFill, Balance, Depth, LedgerEntry
from exchange.gateway.shapes import DecimalText, Shape, TimeText


class PastDepth(Depth):
    """The order book as it was after an entry of the journal, and when that was."""

    happened_at: TimeText


class PastBalances(Shape):
    """What you had of each asset after an entry of the journal; assets of which you had nothing are left out."""

    items: list[Balance]
    sequence: int
    happened_at: TimeText


class HistoryFill(AccountFill):
    """A fill and the entry that it happened with."""

    sequence: int


class _Page(Shape):
    next_cursor: str | None = Field(description="Null where there is no more now. A filtered page may be short before")
    sequence: int = Field(description="The page includes everything up to this entry")


class HistoryOrders(_Page):
    """A page of orders, in the order of their placing."""

    items: list[order_schemas.Order]


class HistoryFills(_Page):
    """A page of fills."""

    items: list[HistoryFill]


class HistoryLedger(_Page):
    """A page of ledger entries."""

    items: list[LedgerEntry]


class StatementMovement(Shape):
    """All entries of a kind in the month; what orders hold and release moves nothing in or out."""

    kind: Literal["Deposit", "Withdrawal", "TradeIn", "TradeOut", "Fee", "Adjustment"]
    amount: DecimalText
    entries: int


class StatementAsset(Shape):
    """An asset in the month: opening + all movements = closing, exactly."""

    asset: str
    opening: DecimalText
    movements: list[StatementMovement]
    fees: DecimalText = Field(description="What was paid, as a positive amount")
    closing: DecimalText
    closing_held: DecimalText = Field(description="What orders held of it at the end")


class Statement(Shape):
    """A month (UTC) of an account, from its ledger."""

    month: str = Field(examples=["2026-01"])
    account_id: str
    complete: bool = Field(description="False for a month that has not ended")
    first_sequence: int = Field(description="The statement is of these entries of the journal")
    last_sequence: int
    assets: list[StatementAsset]

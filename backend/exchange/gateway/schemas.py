"""The shapes of requests and answers, as docs/api.md tells them and the OpenAPI document declares them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from exchange.gateway.order_schemas import Fill
from exchange.gateway.shapes import (
    DecimalText,
    IdText,
    Level,
    MarketStatusText,
    Shape,
    SideText,
    SymbolText,
    TimeText,
    example,
)

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
    role: Literal["user", "admin"]


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
    open_orders_max: int | None = Field(description="Live orders an account; null without limit")
    position_max: DecimalText | None = Field(
        description="Base that an account may own or have bids for; null without limit"
    )
    price_band: DecimalText | None = Field(description="A ratio around the market's reference; null without a band")
    status: MarketStatusText
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
    auction: bool = Field(description="Nobody took: side is Buy then")
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
    kind: Literal["Deposit", "Withdrawal", "Hold", "Release", "TradeIn", "TradeOut", "Fee", "Adjustment"]
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
    role: Literal["leader", "standby", "starting", "halted", "follower", "leaderless"]
    sequence: int
    parts: dict[str, Part]


class ProbeAnswer(Shape):
    """What an orchestrator asks."""

    status: Literal["ok", "down"]
    role: Literal["leader", "standby", "starting", "halted", "follower", "leaderless"]

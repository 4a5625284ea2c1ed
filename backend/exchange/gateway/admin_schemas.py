"""The shapes of what docs/admin.md tells: assets, markets, users, adjustments, the audit log."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from exchange.gateway.shapes import DecimalText, IdText, MarketStatusText, Shape, SymbolText, TimeText, example

RoleText = Literal["user", "admin"]
DirectionText = Literal["Credit", "Debit"]
BandActionText = Literal["Reject", "Auction"]
AdjustmentStatusText = Literal[
    "Proposed", "Approved", "Executed", "Refused", "Rejected", "Withdrawn", "Expired"
]  # fmt: skip
OutcomeText = Literal["Intended", "Done", "Refused", "Unknown"]
SECONDS_MAX = 7 * 86_400

_MODES = {name.lower(): name for name in ("Open", "CancelOnly", "PostOnly", "Halted", "Auction")}


def _any_case(value: object) -> object:
    return _MODES.get(value.lower().replace("_", "").replace("-", ""), value) if isinstance(value, str) else value


ModeText = Annotated[MarketStatusText, BeforeValidator(_any_case)]
AssetName = Annotated[str, Field(pattern=r"^[A-Z0-9]{1,16}$", description="1-16 of A-Z 0-9", examples=["SOL"])]


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("must be one line of text")
    return text.strip()


ReasonText = Annotated[
    str, Field(min_length=3, max_length=500, description="Why, for the audit log"), AfterValidator(_one_line)
]


# --- Assets and markets ------------------------------------------------------------------------------------------


class NewAsset(Shape):
    """An asset to list. One asset is 10**scale of its smallest units."""

    model_config = example(name="SOL", scale=9)
    name: AssetName
    scale: int = Field(ge=0, le=18, description="Decimals that balances are kept to")


class AssetInfo(Shape):
    """An asset of the exchange."""

    name: str
    scale: int


class AssetList(Shape):
    """Every asset, in the order in which they were listed."""

    items: list[AssetInfo]


class PriceBand(Shape):
    """Trades stay within ``width`` (a ratio) of a reference, which moves to the last price every ``interval_s``."""

    model_config = example(width="0.1", action="Auction", interval_s=60, auction_s=300)
    width: DecimalText
    action: BandActionText = Field("Reject", description="What happens at the edge: refuse, or collect for an auction")
    interval_s: int = Field(0, ge=0, le=SECONDS_MAX)
    auction_s: int = Field(0, ge=0, le=SECONDS_MAX, description="Length of that auction; at least 1 for Auction")


class MarketTerms(Shape):
    """What may change about a market. What is left out stays; null takes a limit away."""

    model_config = example(maker_fee="0.0008", taker_fee="0.0018", position_max="250")
    maker_fee: DecimalText | None = Field(None, description="A ratio of what the maker receives, at most 0.1")
    taker_fee: DecimalText | None = Field(None, description="A ratio of what the taker receives, at most 0.1")
    quantity_min: DecimalText | None = None
    quantity_max: DecimalText | None = None
    notional_min: DecimalText | None = Field(None, description="What an order must be worth, in quote; 0 for nothing")
    open_orders_max: int | None = Field(None, ge=1, le=2**32 - 1, description="Live orders an account")
    position_max: DecimalText | None = Field(None, description="Base that an account may own or have bids for")
    price_band: PriceBand | None = None
    reference_price: DecimalText | None = Field(None, description="Where the band's reference is from now on")


class NewMarket(MarketTerms):
    """A market to list. Its symbol is BASE/QUOTE; tick and lot size are for ever."""

    model_config = example(
        base="ETH", quote="BTC", tick_size="0.0001", lot_size="0.0001", maker_fee="0.001", taker_fee="0.002",
        quantity_max="10000", mode="PostOnly",
    )  # fmt: skip
    base: AssetName
    quote: AssetName
    tick_size: DecimalText
    lot_size: DecimalText
    price_max: DecimalText | None = Field(None, description="By default as high as prices go: 4294967295 ticks")
    mode: ModeText = Field("Open", description="In which it begins")


class ModeChange(Shape):
    """What a market is to let happen from now on."""

    model_config = example(mode="Auction", until="2030-01-01T00:05:00Z", reason="opening auction")
    mode: ModeText
    until: str | None = Field(
        None, description="Auction: when it ends by itself, RFC 3339 in UTC; null: when it is told to", max_length=40
    )
    reason: ReasonText | None = None


class AdminMarket(Shape):
    """A market with its terms and its state."""

    symbol: SymbolText
    base: str
    quote: str
    mode: MarketStatusText
    auction_ends_at: TimeText | None
    tick_size: DecimalText
    lot_size: DecimalText
    price_max: DecimalText
    quantity_min: DecimalText
    quantity_max: DecimalText
    notional_min: DecimalText
    maker_fee: DecimalText
    taker_fee: DecimalText
    open_orders_max: int | None
    position_max: DecimalText | None
    price_band: PriceBand | None
    reference_price: DecimalText | None
    last_price: DecimalText | None


class AdminMarketList(Shape):
    """Every market, in the order in which they were listed."""

    items: list[AdminMarket]


# --- Users -------------------------------------------------------------------------------------------------------


class Why(Shape):
    """Why something is done to somebody."""

    model_config = example(reason="asked for by phone, ticket 4711")
    reason: ReasonText


class UserInfo(Shape):
    """A user and their access."""

    account_id: IdText
    username: str
    role: RoleText
    created_at: TimeText
    frozen_at: TimeText | None
    second_factor: bool
    sessions: int = Field(description="Living ones")
    live_orders: int


class UserList(Shape):
    """A page of users, newest first."""

    items: list[UserInfo]
    next_cursor: str | None


class OrdersCancelled(Shape):
    """How many orders were cancelled, and by which entry of the journal."""

    orders_cancelled: int
    sequence: int


# --- Adjustments -------------------------------------------------------------------------------------------------


class NewAdjustment(Shape):
    """A correction of a balance to propose. A credit adds to what is available, a debit takes from it."""

    model_config = example(
        account_id="1000", asset="USD", direction="Credit", amount="12.50", reason="fee charged twice on trade 17"
    )
    account_id: IdText
    asset: str
    direction: Annotated[
        DirectionText, BeforeValidator(lambda value: value.title() if isinstance(value, str) else value)
    ]
    amount: DecimalText
    reason: ReasonText


class Adjustment(Shape):
    """A correction of a balance, and who decided what about it."""

    adjustment_id: IdText
    account_id: IdText
    username: str
    asset: str
    direction: DirectionText
    amount: DecimalText
    reason: str
    status: AdjustmentStatusText
    proposed_by: str
    proposed_at: TimeText
    expires_at: TimeText = Field(description="Until when it can be approved")
    decided_by: str | None
    decided_at: TimeText | None
    sequence: int | None = Field(description="Of the transfer in the journal, or of its refusal")
    refusal: str | None = Field(description="Why the exchange refused it")


class AdjustmentList(Shape):
    """A page of adjustments, newest first."""

    items: list[Adjustment]
    next_cursor: str | None


# --- The audit log -----------------------------------------------------------------------------------------------


class AuditLogRow(Shape):
    """Something that was done with an operator's power. ``hash`` seals it and every row before it."""

    sequence: int
    recorded_at: TimeText
    account_id: IdText | None = Field(description="null: the operator at a command line")
    actor: str
    address: str
    action: str
    parameters: dict[str, Any]
    outcome: OutcomeText
    reason: str | None
    intent: int | None = Field(description="The row whose outcome this is")
    journal_sequence: int | None
    hash: str = Field(pattern=r"^[0-9a-f]{64}$")


class AuditLogPage(Shape):
    """A page of the audit log, newest first."""

    items: list[AuditLogRow]
    next_cursor: str | None

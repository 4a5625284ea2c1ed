"""The shapes of the fee schedule and of what an account pays by it."""

from pydantic import Field

from exchange.gateway.order_schemas import AccountFees
from exchange.gateway.shapes import DecimalText, Shape, SymbolText, TimeText

_SHARE = "Of the market's fee: 0.9 is nine tenths"


class FeeTier(Shape):
    """From a volume on, which share of a market's fees is paid."""

    tier: int
    volume_from: DecimalText
    maker_share: DecimalText = Field(description=_SHARE)
    taker_share: DecimalText = Field(description=_SHARE)


class FeeSchedule(Shape):
    """All tiers, by rising volume."""

    asset: str = Field(description="What volume is counted in")
    window_days: int
    tiers: list[FeeTier]


class NextTier(FeeTier):
    """The tier after yours, and the volume that is missing to it."""

    missing: DecimalText


class MarketFees(AccountFees):
    """What you pay in a market, as ratios of what you receive."""

    symbol: SymbolText


class Commission(Shape):
    """What you pay.

    `tier` is that of your volume now. `maker_share`, `taker_share` and `markets` are in force: they follow the tier at
    `tiers_set_at`.
    """

    asset: str = Field(description="What volume is counted in")
    volume_30d: DecimalText = Field(description="Of today and the 30 days before, UTC; trades with others only")
    tier: int
    maker_share: DecimalText = Field(description=_SHARE)
    taker_share: DecimalText = Field(description=_SHARE)
    tiers_set_at: TimeText
    next_tier: NextTier | None = Field(description="Null in the highest tier")
    markets: list[MarketFees]

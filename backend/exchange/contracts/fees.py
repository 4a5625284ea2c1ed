"""The fee schedule: the more an account has traded within 30 days, the less of the markets' fees it pays."""

from dataclasses import dataclass
from itertools import pairwise

from engine.records import FEE_SHARE_PPM_MAX
from exchange.contracts.refusals import Refused
from exchange.contracts.units import PPM, Asset, format_decimal, parse_decimal

WINDOW_DAYS = 30
_SHARE_SCALE = 6
_FRACTION_SCALE = 24
_PPM_IN_FRACTION: int = 10 ** (_FRACTION_SCALE - _SHARE_SCALE)


@dataclass(frozen=True, slots=True)
class FeeTier:
    """From a volume on (decimal text, in the schedule's asset) an account pays these millionths of a market's fees."""

    volume: str
    maker_share_ppm: int
    taker_share_ppm: int

    @property
    def shares(self) -> tuple[int, int]:
        return self.maker_share_ppm, self.taker_share_ppm

    def volume_units(self, asset: Asset) -> int:
        value, scale = parse_decimal(self.volume, "volume")
        units: int = value * 10**asset.scale // 10**scale
        return units


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """``asset``: the name of what volume is counted in. ``tiers``: by rising volume; the first begins at 0."""

    asset: str
    tiers: tuple[FeeTier, ...]

    def tier_of(self, volume_units: int, asset: Asset) -> int:
        """Return the number of the tier (from 0) that a volume has reached."""
        reached = (number for number, tier in enumerate(self.tiers) if tier.volume_units(asset) <= volume_units)
        return max(reached, default=0)


def parse_tiers(text: str) -> tuple[FeeTier, ...]:
    """Read tiers such as ``0:1:1, 100000:0.9:0.95``: volume, maker's and taker's share of a market's fee.

    Raises ValueError that says what is wrong.
    """
    tiers = tuple(_parse_tier(part.strip()) for part in text.split(","))
    if _fraction(tiers[0].volume) != 0:
        raise ValueError("the first tier must begin at 0")
    for earlier, later in pairwise(tiers):
        if _fraction(later.volume) <= _fraction(earlier.volume):
            raise ValueError(f"the volume {later.volume} is not above that of the tier before it")
        if later.maker_share_ppm > earlier.maker_share_ppm or later.taker_share_ppm > earlier.taker_share_ppm:
            raise ValueError(f"the tier from {later.volume} costs more than the one before it")
    return tiers


def _parse_tier(text: str) -> FeeTier:
    parts = text.split(":")
    if len(parts) != 3:
        raise ValueError(f"{text!r} is not volume:maker:taker, such as 100000:0.9:0.95")
    _fraction(parts[0])
    return FeeTier(parts[0], *(_share_ppm(part) for part in parts[1:]))


def _share_ppm(text: str) -> int:
    ppm, rest = divmod(_fraction(text), _PPM_IN_FRACTION)
    if rest or ppm > FEE_SHARE_PPM_MAX:
        raise ValueError(f"share {text} is not from 0 to 1 in millionths")
    return ppm


def _fraction(text: str) -> int:
    """A decimal number in units of 10**-24, so that all compare."""
    try:
        value, scale = parse_decimal(text, "number")
    except Refused:
        raise ValueError(f"{text!r} is not a decimal number such as 0.9") from None
    fraction: int = value * 10 ** (_FRACTION_SCALE - scale)
    return fraction


def share_text(share_ppm: int) -> str:
    """E.g. 900000 -> "0.9"."""
    return format_decimal(share_ppm, _SHARE_SCALE)


def effective_fee_ppm(market_fee_ppm: int, share_ppm: int) -> int:
    """Return what an account pays where a market asks so much, as the engine counts it."""
    return market_fee_ppm * share_ppm // PPM

"""The fee schedule: how it is written, and which tier a volume has reached."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.reference import Shard
from exchange.contracts.events import read_events
from exchange.contracts.fees import FeeSchedule, FeeTier, effective_fee_ppm, parse_tiers, share_text
from exchange.contracts.units import Asset
from exchange.settings import FEE_TIERS, Settings, SettingsError
from tests.support import commands
from tests.support.commands import BUY, SELL, Sequencer

USD = Asset(1, "USD", 10)
SECRET = "nothing-but-the-tests-use-these-32-bytes"


def test_a_schedule_is_read_as_it_is_written() -> None:
    assert parse_tiers("0:1:1, 1000.50:0.9:0.999999 ,2000:0:0.5") == (
        FeeTier("0", 1_000_000, 1_000_000),
        FeeTier("1000.50", 900_000, 999_999),
        FeeTier("2000", 0, 500_000),
    )
    assert len(parse_tiers(FEE_TIERS)) == 5


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "volume:maker:taker"),
        ("0:1", "volume:maker:taker"),
        ("5:1:1", "begin at 0"),
        ("0:1:1,x:1:1", "not a decimal"),
        ("0:1:1,-5:1:1", "not a decimal"),
        ("0:1:1,10:0.9:0.9,10.0:0.8:0.8", "not above"),
        ("0:1:1,10:0.9:0.9,9:0.8:0.8", "not above"),
        ("0:1:1,10:0.9:1.1", "from 0 to 1"),
        ("0:1:1,10:0.9:0.0000001", "millionths"),
        ("0:1:1,10:0.9:0.9,20:0.8:0.95", "costs more"),
    ],
)
def test_a_schedule_that_cannot_be_meant_is_named_with_the_setting(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_tiers(text)
    if text:
        with pytest.raises(SettingsError, match=f"EXCHANGE_FEE_TIERS: .*{problem}"):
            Settings.load({"JWT_SECRET": SECRET, "EXCHANGE_FEE_TIERS": text})


def test_the_settings_hold_the_schedule() -> None:
    loaded = Settings.load({"JWT_SECRET": SECRET, "EXCHANGE_FEE_TIERS": "0:1:1,7:0.5:0.5", "EXCHANGE_FEE_ASSET": "BTC"})
    assert loaded.fees == FeeSchedule("BTC", (FeeTier("0", 10**6, 10**6), FeeTier("7", 500_000, 500_000)))


@given(
    volumes=st.lists(st.integers(1, 10**12), unique=True, max_size=6),
    units=st.integers(0, 10**24),
)
def test_a_tier_is_reached_by_its_volume_and_not_by_a_unit_less(volumes: list[int], units: int) -> None:
    tiers = tuple(FeeTier(str(volume), 0, 0) for volume in [0, *sorted(volumes)])
    schedule = FeeSchedule("USD", tiers)
    tier = schedule.tier_of(units, USD)
    assert tiers[tier].volume_units(USD) <= units
    assert tier + 1 == len(tiers) or units < tiers[tier + 1].volume_units(USD)
    for number, reached in enumerate(tiers):
        assert schedule.tier_of(reached.volume_units(USD), USD) == number


@given(
    maker_fee=st.integers(0, 100_000),
    taker_fee=st.integers(0, 100_000),
    maker_share=st.integers(0, 10**6),
    taker_share=st.integers(0, 10**6),
)
def test_the_fees_that_are_told_are_those_that_the_engine_takes(
    maker_fee: int, taker_fee: int, maker_share: int, taker_share: int
) -> None:
    shard, sequencer = Shard(), Sequencer()
    fees = {"maker_fee_ppm": maker_fee, "taker_fee_ppm": taker_fee}
    made = [
        commands.define_asset(1, "USD"), commands.define_asset(2, "BTC"),
        commands.define_market(1, "BTC/USD", 2, 1, **fees),
        commands.deposit(7, 1, 10**12), commands.deposit(8, 2, 10**12),
        commands.set_fees(7, maker_share, 1), commands.set_fees(8, 1, taker_share),
        commands.place(7, 1, BUY, 100_000, 50), commands.place(8, 1, SELL, 100_000, 50),
    ]  # fmt: skip
    (trade,) = [event for event in read_events(shard.apply(sequencer.stamp(*made))) if event.kind == 7]
    received_by_maker = 50 * 10
    assert trade.maker_fee == received_by_maker * effective_fee_ppm(maker_fee, maker_share) // 10**6
    assert trade.taker_fee == trade.amount * effective_fee_ppm(taker_fee, taker_share) // 10**6


def test_shares_are_ratios() -> None:
    assert [share_text(ppm) for ppm in (1_000_000, 900_000, 999_999, 0)] == ["1", "0.9", "0.999999", "0"]

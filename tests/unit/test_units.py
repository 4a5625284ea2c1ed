"""Decimal text and integers: round trips are exact, and what is off the grid is refused with a valid neighbour."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.records import UNITS_MAX, Reason
from exchange.contracts.refusals import EdgeReason, Refused
from exchange.contracts.units import Asset, Market, fee_text, format_decimal, parse_decimal

USD, BTC, JPY, SATS = Asset(1, "USD", 10), Asset(2, "BTC", 8), Asset(3, "JPY", 0), Asset(4, "SATS", 0)


def market(base: Asset = BTC, quote: Asset = USD, lot_units: int = 1, tick_lot_units: int = 1, **terms: int) -> Market:
    limits = {
        "quantity_lots_min": 1, "quantity_lots_max": 10**13, "notional_units_min": 10**8, "price_ticks_max": 10**9,
        "maker_fee_ppm": 1_000, "taker_fee_ppm": 2_000,
    } | terms  # fmt: skip
    return Market(1, "BTC/USD", base, quote, lot_units, tick_lot_units, **limits)


MARKETS = [
    market(),
    market(lot_units=10_000, tick_lot_units=50_000),
    market(lot_units=100_000_000, tick_lot_units=2_500_000_000),
    market(base=SATS, quote=JPY, notional_units_min=1),
    market(lot_units=1000, quantity_lots_min=5, quantity_lots_max=777, price_ticks_max=12_345, notional_units_min=1),
]
markets = st.sampled_from(MARKETS)
decimals = st.from_regex(r"\A(0|[1-9][0-9]{0,14})(\.[0-9]{1,14})?\Z")
anything = st.one_of(
    decimals, st.text(max_size=30), st.integers(), st.floats(), st.none(), st.booleans(), st.lists(st.integers())
)


@given(st.integers(-(10**40), 10**40), st.integers(0, 24))
def test_a_formatted_number_is_the_number(value: int, scale: int) -> None:
    text = format_decimal(value, scale)
    assert Fraction(text) == Fraction(value, 10**scale)
    assert "E" not in text
    assert ("." not in text) or text[-1] not in "0."


@given(decimals)
def test_a_parsed_text_is_its_number(text: str) -> None:
    value, scale = parse_decimal(text, "price")
    assert Fraction(value, 10**scale) == Fraction(text)


NO_DECIMALS = (
    "", " 1", "1 ", "+1", "-1", "1e3", "0x1", "1_000", "1,5", ".5", "5.", "00", "01.5", "NaN", "Infinity", "\u0661",
    "1\n", "9" * 25, 1, 1.5, True, None, ["1"],
)  # fmt: skip


@pytest.mark.parametrize("text", NO_DECIMALS)
def test_anything_but_a_plain_decimal_string_is_refused(text: object) -> None:
    with pytest.raises(Refused) as caught:
        parse_decimal(text, "price")
    assert caught.value.refusal.reason == EdgeReason.FIELD_INVALID
    assert caught.value.refusal.field == "price"


@given(markets, st.data())
def test_a_price_survives_the_round_trip_to_text(market: Market, data: st.DataObject) -> None:
    ticks = data.draw(st.integers(1, market.price_ticks_max))
    text = market.price_text(ticks)
    assert market.price_ticks(text) == ticks
    assert Fraction(text) == ticks * Fraction(market.tick_size)


@given(markets, st.data())
def test_a_quantity_survives_the_round_trip_to_text(market: Market, data: st.DataObject) -> None:
    lots = data.draw(st.integers(market.quantity_lots_min, market.quantity_lots_max))
    text = market.quantity_text(lots)
    assert market.quantity_lots(text) == lots
    assert Fraction(text) == lots * Fraction(market.lot_size)


@given(st.sampled_from([USD, BTC, JPY]), st.integers(1, UNITS_MAX - 1))
def test_an_amount_survives_the_round_trip_to_text(asset: Asset, units: int) -> None:
    assert asset.to_units(asset.to_text(units), "amount") == units


@given(markets, anything)
def test_a_price_is_taken_exactly_or_refused_with_the_nearest_valid_one(market: Market, text: object) -> None:
    try:
        ticks = market.price_ticks(text)
    except Refused as refused:
        refusal = refused.refusal
        assert refusal.field == "price"
        assert refusal.limit
        if refusal.reason == EdgeReason.FIELD_INVALID:
            return
        assert refusal.nearest is not None
        nearest = market.price_ticks(refusal.nearest)
        if refusal.reason == Reason.PRICE_OFF_TICK and 1 < nearest < market.price_ticks_max:
            assert abs(Fraction(str(text)) - Fraction(refusal.nearest)) * 2 <= Fraction(market.tick_size)
    else:
        assert isinstance(text, str)
        assert ticks * Fraction(market.tick_size) == Fraction(text)


@given(markets, anything)
def test_a_quantity_is_taken_exactly_or_refused_with_the_nearest_valid_one(market: Market, text: object) -> None:
    try:
        lots = market.quantity_lots(text)
    except Refused as refused:
        refusal = refused.refusal
        assert refusal.field == "quantity"
        assert refusal.limit
        if refusal.reason == EdgeReason.FIELD_INVALID:
            return
        assert refusal.nearest is not None
        nearest = market.quantity_lots(refusal.nearest)
        if refusal.reason == Reason.QUANTITY_OFF_LOT and market.quantity_lots_min < nearest < market.quantity_lots_max:
            assert abs(Fraction(str(text)) - Fraction(refusal.nearest)) * 2 <= Fraction(market.lot_size)
    else:
        assert isinstance(text, str)
        assert lots * Fraction(market.lot_size) == Fraction(text)


@given(st.sampled_from([USD, BTC, JPY]), anything)
def test_an_amount_is_taken_exactly_or_refused_with_a_valid_one(asset: Asset, text: object) -> None:
    try:
        units = asset.to_units(text, "amount")
    except Refused as refused:
        nearest = refused.refusal.nearest
        if refused.refusal.reason != EdgeReason.FIELD_INVALID:
            assert nearest is not None
            asset.to_units(nearest, "amount")
    else:
        assert isinstance(text, str)
        assert Fraction(units, 10**asset.scale) == Fraction(text)


@pytest.mark.parametrize(
    ("text", "reason", "nearest"),
    [
        ("50000.004", Reason.PRICE_OFF_TICK, "50000.00"),
        ("50000.006", Reason.PRICE_OFF_TICK, "50000.01"),
        ("50000.005", Reason.PRICE_OFF_TICK, "50000.01"),
        ("0.001", Reason.PRICE_OFF_TICK, "0.01"),
        ("0", Reason.PRICE_OUT_OF_RANGE, "0.01"),
        ("10000000.01", Reason.PRICE_OUT_OF_RANGE, "10000000.00"),
        ("10000000.001", Reason.PRICE_OFF_TICK, "10000000.00"),
    ],
)
def test_the_nearest_price_of_the_demo_market(text: str, reason: Reason, nearest: str) -> None:
    with pytest.raises(Refused) as caught:
        market().price_ticks(text)
    assert (caught.value.refusal.reason, caught.value.refusal.nearest) == (reason, nearest)


@given(st.integers(1, 10**9), st.integers(1, 10**13))
def test_a_notional_out_of_range_names_a_quantity_that_is_in_range(price: int, lots: int) -> None:
    demo = market()
    try:
        demo.check_notional(price, lots)
    except Refused as refused:
        nearest = refused.refusal.nearest
        assert nearest is not None
        demo.check_notional(price, demo.quantity_lots(nearest))
    else:
        assert demo.notional_units_min <= demo.notional_units(price, lots) < UNITS_MAX


def test_the_demo_markets_grid_is_exact() -> None:
    demo = market()
    assert (demo.tick_size, demo.lot_size) == ("0.01", "0.00000001")
    assert demo.notional_units(5_000_000, 10**8) == USD.to_units("50000", "amount")
    assert (fee_text(1_000), fee_text(2_000), fee_text(0)) == ("0.001", "0.002", "0")


def test_a_tick_size_without_an_end_is_a_broken_definition() -> None:
    with pytest.raises(ValueError, match="no finite decimal"):
        assert market(lot_units=3).tick_size

"""Orders and fills made as JSON in C are, byte for byte, what the dicts of contracts/orders.py are as JSON."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.orders.faces import MarketFace
from engine.orders.words import ORDER_TYPE_NAMES, SELF_TRADE_NAMES, SIDE_NAMES, STATUS_NAMES, TIME_IN_FORCE_NAMES
from engine.records import EVENT, EVENT_SIZE, FLAG_AUCTION, FLAG_POST_ONLY, FLAG_SLIDE, EventKind, Reason
from exchange.contracts.events import Event, read_events
from exchange.contracts.order_state import Fill, OrderState, OrderStatus, fills_of_order
from exchange.contracts.orders import (
    render_account_fill,
    render_fill,
    render_order,
    show_account_fill,
    show_more,
    show_order,
    show_order_with_fills,
)
from exchange.contracts.units import Asset, Market
from exchange.gateway.market_streams import render_trade, show_trades
from tests.support.odd_markets import odd_markets

encode = msgspec.json.encode
NUMBERS = st.one_of(st.just(0), st.integers(1, 1_000), st.integers(1, 2**62), st.sampled_from((10**18, 2**63 - 1)))
ALL_NUMBERS = st.one_of(NUMBERS, NUMBERS, NUMBERS, st.sampled_from((-1, -(2**63))))
WIDE = st.one_of(NUMBERS, st.integers(0, 2**100), st.integers(-(2**127), 2**127 - 1))
IDS = st.one_of(st.integers(1, 1_000), st.integers(0, 2**64 - 1))
TIMES = st.one_of(st.sampled_from((0, 999_999_999, 1_764_311_000_000_000_000, 2**63 - 1)), st.integers(0, 2**63 - 1))
TEXTS = st.one_of(st.none(), st.from_regex(r"\A[A-Za-z0-9_.:-]{1,36}\Z"), st.text(max_size=40))


def known(names: dict[int, Any]) -> st.SearchStrategy[int]:
    return st.sampled_from(sorted(names))


ORDERS = st.builds(
    OrderState,
    order_id=IDS, account=IDS, client_order_id=TEXTS, market=st.just(1), side=known(SIDE_NAMES),
    order_type=known(ORDER_TYPE_NAMES), time_in_force=known(TIME_IN_FORCE_NAMES),
    flags=st.sampled_from((0, FLAG_POST_ONLY, FLAG_POST_ONLY | FLAG_SLIDE, 255)), self_trade=known(SELF_TRADE_NAMES),
    price_ticks=ALL_NUMBERS, quantity_lots=ALL_NUMBERS, remaining_lots=ALL_NUMBERS, filled_lots=ALL_NUMBERS,
    filled_quote_units=WIDE, fee_units=WIDE, prevented_lots=WIDE, quote_units=ALL_NUMBERS,
    trigger_price_ticks=NUMBERS, trail_ticks=NUMBERS, display_lots=NUMBERS, visible_lots=NUMBERS,
    min_quantity_lots=NUMBERS, expire_ns=TIMES, other_leg_id=IDS, parent_id=IDS, child_id=IDS,
    waiting=st.integers(0, 2), amendments=st.integers(0, 2**40), status=known(STATUS_NAMES),
    end_reason=st.sampled_from((0, *Reason)), sequence=IDS, created_ns=TIMES, updated_ns=TIMES,
)  # fmt: skip
UNTOLD = (
    "quote_units", "trigger_price_ticks", "trail_ticks", "display_lots", "visible_lots", "min_quantity_lots",
    "expire_ns", "other_leg_id", "parent_id", "child_id", "waiting", "amendments", "prevented_lots",
)  # fmt: skip


@st.composite
def plain_orders(draw: st.DrawFn) -> OrderState:
    order = draw(ORDERS)
    order.order_type = draw(st.integers(1, 2))
    order.flags &= FLAG_POST_ONLY
    for name in UNTOLD:
        setattr(order, name, 0)
    return order


@st.composite
def trades(draw: st.DrawFn) -> bytes:
    """Event records of which most are trades of order 5 or 6, as the taker or as the maker."""
    event = Event._make((0,) * len(Event._fields))._replace(
        kind=draw(st.sampled_from((EventKind.TRADED, EventKind.TRADED, EventKind.ACCEPTED))),
        side=draw(st.integers(1, 2)),
        flags=draw(st.sampled_from((0, FLAG_AUCTION))),
        order_id=draw(st.integers(5, 7)),
        maker_order_id=draw(st.integers(5, 7)),
        price_ticks=draw(ALL_NUMBERS),
        quantity_lots=draw(ALL_NUMBERS),
        taker_fee=draw(ALL_NUMBERS),
        maker_fee=draw(ALL_NUMBERS),
        timestamp_ns=draw(TIMES),
        trade_id=draw(IDS),
    )
    record = b"".join(
        int(value).to_bytes(EVENT[name].itemsize, "little", signed=value < 0)
        for name, value in zip(Event._fields, event, strict=True)
    )
    assert list(read_events(record)) == [event]
    return record


FILLS = st.builds(
    Fill, trade_id=IDS, order_id=IDS, market=st.just(1), side=st.integers(1, 2), price_ticks=ALL_NUMBERS,
    quantity_lots=ALL_NUMBERS, is_maker=st.booleans(), is_auction=st.booleans(), fee_units=ALL_NUMBERS,
    executed_ns=TIMES,
)  # fmt: skip


@given(st.one_of(ORDERS, plain_orders()), odd_markets())
def test_an_order_is_shown_as_it_is_rendered(order: OrderState, market: Market) -> None:
    assert bytes(show_order(order, market)) == encode(render_order(order, market))


@given(st.one_of(ORDERS, plain_orders()), odd_markets(), st.lists(trades(), max_size=4))
def test_an_order_with_fills_is_shown_as_it_is_rendered(
    order: OrderState, market: Market, records: list[bytes]
) -> None:
    order.order_id, events = 5, b"".join(records)
    fills = [render_fill(fill, market) for fill in fills_of_order(read_events(events), 5)]
    assert bytes(show_order_with_fills(order, market, events)) == encode(render_order(order, market) | {"fills": fills})


@given(FILLS, odd_markets())
def test_a_fill_is_shown_as_it_is_rendered(fill: Fill, market: Market) -> None:
    assert bytes(show_account_fill(fill, market)) == encode(render_account_fill(fill, market))


@given(odd_markets(), st.lists(trades(), max_size=4))
def test_trades_are_shown_to_everybody_as_they_are_rendered(market: Market, records: list[bytes]) -> None:
    events = b"".join(records)
    rendered = [render_trade(event, market) for event in read_events(events) if event.kind == EventKind.TRADED]
    assert show_trades(events, market) == encode(rendered)


@given(st.integers(0, 2**63 - 1))
def test_a_time_is_shown_as_it_is_rendered(timestamp_ns: int) -> None:
    fill = Fill(1, 5, 1, 1, 1, 1, False, False, 1, timestamp_ns)
    shown = BTC_USD.face.account_fill(fill)
    assert shown == encode(render_account_fill(fill, BTC_USD))


BTC_USD = Market(
    3, "BTC/USD", Asset(1, "BTC", 8), Asset(2, "USD", 10), lot_units=500, tick_lot_units=2_500, quantity_lots_min=1,
    quantity_lots_max=10**12, notional_units_min=1, price_ticks_max=10**9, maker_fee_ppm=0, taker_fee_ppm=0,
)  # fmt: skip


def order_of(**fields: Any) -> OrderState:
    usual = dict.fromkeys(OrderState.FIELDS, 0) | {
        "order_id": 5, "client_order_id": "mine-1", "market": 3, "side": 1, "order_type": 2, "time_in_force": 1,
        "self_trade": 1, "price_ticks": 1_000_000, "quantity_lots": 500_000, "remaining_lots": 200_000,
        "filled_lots": 300_000, "filled_quote_units": 300_000 * 999_999 * 2_500, "fee_units": 1_234, "status": 2,
        "sequence": 9, "created_ns": 1_764_311_000_123_456_789, "updated_ns": 1_764_311_001_000_000_000,
    }  # fmt: skip
    return OrderState(**usual | fields)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"side": 2, "fee_units": 10**30},
        {"filled_lots": 0, "remaining_lots": 500_000},
        {"order_type": 7, "trail_ticks": 5, "trigger_price_ticks": 77, "waiting": 1, "status": 0},
        {"flags": 3, "display_lots": 5, "visible_lots": 3, "min_quantity_lots": 2, "expire_ns": 2**62},
        {"status": 4, "end_reason": Reason.REPLACED, "other_leg_id": 2**63, "parent_id": 1, "child_id": 2},
        {"prevented_lots": 2**70, "amendments": 3, "quote_units": 10**17, "client_order_id": None},
    ],
)
def test_usual_orders_are_made_in_c(fields: dict[str, int]) -> None:
    order = order_of(**fields)
    shown = BTC_USD.face.order(order)
    assert shown == encode(render_order(order, BTC_USD))
    assert BTC_USD.face.order_with_fills(order, b"") == encode(render_order(order, BTC_USD) | {"fills": []})


@pytest.mark.parametrize(
    "fields",
    [
        {"client_order_id": 'a"b'},
        {"client_order_id": "a\\b"},
        {"client_order_id": "a\nb"},
        {"client_order_id": "é"},
        {"filled_quote_units": 2**126},
        {"quantity_lots": -1},
        {"created_ns": -1},
    ],
)
def test_what_c_does_not_write_is_left(fields: dict[str, Any]) -> None:
    order = order_of(**fields)
    assert BTC_USD.face.order(order) is None
    assert bytes(show_order(order, BTC_USD)) == encode(render_order(order, BTC_USD))


@pytest.mark.parametrize("fields", [{"side": 0}, {"status": 9}, {"order_type": 8}, {"waiting": 3}, {"end_reason": 77}])
def test_a_number_without_a_name_is_an_error_as_ever(fields: dict[str, int]) -> None:
    for show in (show_order, render_order):
        show_any: Callable[[OrderState, Market], object] = show
        with pytest.raises((KeyError, ValueError)):
            show_any(order_of(**fields), BTC_USD)


@pytest.mark.parametrize("size", [1, EVENT_SIZE - 1, EVENT_SIZE + 1])
def test_what_is_no_record_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="136"):
        BTC_USD.face.order_with_fills(order_of(), bytes(size))


@pytest.mark.parametrize(
    ("tick", "lot", "scale"), [((1, 65), (1, 8), 2), ((1, 2), (1, -1), 2), ((1, 2), (1, 8), 1_000)]
)
def test_a_scale_that_no_market_has_is_refused(tick: tuple[int, int], lot: tuple[int, int], scale: int) -> None:
    with pytest.raises(ValueError, match="scale"):
        MarketFace("BTC/USD", "BTC", "USD", scale, tick, lot)


def test_many_fills_fit() -> None:
    trade = Event._make((0,) * len(Event._fields))._replace(kind=EventKind.TRADED, side=1, order_id=5, maker_order_id=6)
    record = b"".join(
        int(value).to_bytes(EVENT[name].itemsize, "little") for name, value in zip(Event._fields, trade, strict=True)
    )
    shown = msgspec.json.decode(BTC_USD.face.order_with_fills(order_of(), record * 1_000) or b"")
    assert len(shown["fills"]) == 1_000
    assert shown["fills"][0] == shown["fills"][-1]


def test_more_is_told_of_an_order() -> None:
    order = order_of()
    more = {"replaced": show_order(order, BTC_USD), "cancel_refused": None}
    rendered = render_order(order, BTC_USD)
    expected = rendered | {"replaced": rendered, "cancel_refused": None}
    assert bytes(show_more(show_order(order, BTC_USD), more)) == encode(expected)


def test_every_status_has_its_name() -> None:
    assert {OrderStatus(number).name.replace("_", "").lower(): name for number, name in STATUS_NAMES.items()} == {
        name.lower(): name for name in STATUS_NAMES.values()
    }
    assert set(STATUS_NAMES) == set(OrderStatus)

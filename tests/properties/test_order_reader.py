"""The short way from a request to its record: it makes the record that all the rules make, or none."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.orders.requests import plain_orders
from engine.records import FLAG_ALLOW_FAILURE, CommandKind
from exchange.contracts.commands import read_order
from exchange.contracts.refusals import Refused
from exchange.contracts.units import Asset, Market
from exchange.gateway.order_request import (
    ORDER_TYPES,
    SELF_TRADES,
    SIDES,
    TIMES_IN_FORCE,
    OrderRequest,
    _place_command,
    place_command,
)
from tests.support.odd_markets import odd_markets

NEAR_DECIMALS = (
    "", "0", "00", "01", "0.", ".5", "1.", "1.5\n", " 1", "+1", "-1", "1e3", "1_0", "1,5", "1..5", "1.5.5", "NaN",
    "\u0661", "\uff11", "1\u0665", "1.5\u0000", "\ud800", "9" * 24, "9" * 25, "9" * 38, "1." + "0" * 24,
    "1." + "0" * 25, "0." + "0" * 23 + "1", "9" * 24 + "." + "9" * 24, "340282366920938463463374607431768211456",
)  # fmt: skip
anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=40), st.lists(st.integers(), max_size=2)
)
decimals = st.one_of(
    st.sampled_from(NEAR_DECIMALS),
    st.from_regex(r"\A(0|[1-9][0-9]{0,24})(\.[0-9]{1,25})?\Z"),
    st.from_regex(r"\A[0-9.]{1,12}\Z"),
)


def named(names: dict[str, Any]) -> st.SearchStrategy[Any]:
    usual = st.sampled_from(sorted(names))
    return st.one_of(usual, usual.map(str.upper), st.none(), anything)


def around(low: int, high: int) -> st.SearchStrategy[int]:
    return st.one_of(
        st.integers(low, min(low + 50, high)), st.integers(low, high), st.sampled_from((low - 1, high + 1))
    )


@st.composite
def requests(draw: st.DrawFn, market: Market) -> OrderRequest:
    """Requests of which most are nearly right: on the grid of the market, one field or another spoiled."""
    price = around(1, market.price_ticks_max).map(market.price_text)
    quantity = around(market.quantity_lots_min, market.quantity_lots_max).map(market.quantity_text)
    fields: dict[str, Any] = {
        "side": draw(st.sampled_from(("Buy", "Sell"))),
        "order_type": draw(st.sampled_from(("Limit", "Limit", "Market"))),
        "quantity": draw(quantity),
        "price": draw(st.one_of(price, price, st.none())),
        "time_in_force": draw(st.sampled_from((None, "GTC", "IOC", "FOK", "DAY", "GTD"))),
        "post_only": draw(st.booleans()),
        "client_order_id": draw(st.one_of(st.none(), st.from_regex(r"\A[A-Za-z0-9_.:-]{1,36}\Z"))),
        "self_trade_prevention": draw(st.sampled_from((None, *SELF_TRADES))),
    }
    spoiled = {
        "side": named(SIDES),
        "order_type": named(ORDER_TYPES),
        "time_in_force": named(TIMES_IN_FORCE),
        "self_trade_prevention": named(SELF_TRADES),
        "quantity": st.one_of(decimals, anything),
        "price": st.one_of(decimals, anything),
        "client_order_id": st.one_of(st.text(max_size=38), st.from_regex(r"\A[a-z-]{35,38}\n?\Z"), anything),
        "post_only": anything,
        "slide": anything,
        **dict.fromkeys(
            ("quote_quantity", "trigger_price", "trail", "display_quantity", "min_quantity"),
            st.one_of(price, quantity, anything),
        ),
        "expire_at": st.one_of(st.just("2250-01-01T00:00:00Z"), anything),
    }
    for field in draw(st.lists(st.sampled_from(sorted(spoiled)), max_size=2)):
        fields[field] = draw(spoiled[field])
    return OrderRequest(**fields)


def by_all_rules(market: Market, request: OrderRequest, *terms: int) -> bytearray | None:
    try:
        command, client_order_id = _place_command(7, market, request, *terms)
    except Refused:
        return None
    assert client_order_id == request.client_order_id
    return command


@given(st.data(), odd_markets())
def test_an_order_is_read_as_by_all_the_rules_or_left_to_them(data: st.DataObject, market: Market) -> None:
    request = data.draw(requests(market))
    terms = data.draw(
        st.sampled_from(((CommandKind.PLACE, 0, 0), (CommandKind.CANCEL_REPLACE, 2**63 + 5, FLAG_ALLOW_FAILURE)))
    )
    read = market.reader.place(7, request, *terms)
    if read is not None:
        assert type(read) is bytearray
        assert read == by_all_rules(market, request, *terms)


@given(st.data(), odd_markets())
def test_a_number_is_read_as_by_all_the_rules_or_left_to_them(data: st.DataObject, market: Market) -> None:
    request = OrderRequest(side="Buy", order_type="Market", quantity=data.draw(decimals), price=data.draw(decimals))
    read = market.reader.place(7, request, CommandKind.PLACE, 0, 0)
    if read is not None:
        assert read == by_all_rules(market, request, CommandKind.PLACE, 0, 0)


BTC_USD = Market(
    3, "BTC/USD", Asset(1, "BTC", 8), Asset(2, "USD", 10), lot_units=500, tick_lot_units=2_500, quantity_lots_min=1,
    quantity_lots_max=10**12, notional_units_min=1, price_ticks_max=10**9, maker_fee_ppm=0, taker_fee_ppm=0,
)  # fmt: skip
#: What may be written in each field of a plain order; the first is what it is where it is not there.
PLAIN: dict[str, tuple[Any, ...]] = {
    "order_type": ("Limit", "Market"),
    "time_in_force": (None, "GTC", "DAY", "IOC", "FOK"),
    "post_only": (False, True),
    "client_order_id": (None, "a", "Z9_.:-" * 6),
    "self_trade_prevention": (None, *(name for name in SELF_TRADES if name[0].isupper())),
    "quantity": ("0.25", "1000", "0.00000500", "1.000000000000000000000000"),
    "price": ("50000.00", "0.05", "49999.95", "50000000", "7.0500000000000000"),
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in PLAIN.items() for value in values])
@pytest.mark.parametrize("side", ["Buy", "Sell"])
def test_a_plain_order_is_read_the_short_way(side: str, field: str, value: Any) -> None:
    fields = {"side": side, "quantity": "1.5", "price": "50000.05", field: value}
    if value == "Market":
        del fields["price"]
    request = msgspec.convert(msgspec.json.decode(msgspec.json.encode(fields)), OrderRequest)
    read = BTC_USD.reader.place(7, request, CommandKind.PLACE, 0, 0)
    assert read is not None
    assert read == by_all_rules(BTC_USD, request, CommandKind.PLACE, 0, 0)
    assert place_command(7, BTC_USD, request) == (read, request.client_order_id)
    order = read_order(read)
    assert (order.account, order.market) == (7, 3)


def test_a_tick_of_no_use_in_c_is_left_to_the_rules() -> None:
    """A tick size of more digits than fit."""
    dear, quote = Asset(1, "DEAR", 18), Asset(2, "USD", 14)
    market = Market(
        3, "DEAR/USD", dear, quote, lot_units=1, tick_lot_units=2**62 - 1, quantity_lots_min=1,
        quantity_lots_max=10, notional_units_min=1, price_ticks_max=10, maker_fee_ppm=0, taker_fee_ppm=0,
    )  # fmt: skip
    request = OrderRequest(
        side="Sell", order_type="Market", quantity="0.000000000000000001", price=market.price_text(1)
    )
    assert market.reader.place(7, request, CommandKind.PLACE, 0, 0) is None
    assert by_all_rules(market, request, CommandKind.PLACE, 0, 0) is not None


class OtherRequest(OrderRequest):
    """What is asked for beside orders."""


@given(st.data(), odd_markets())
def test_orders_read_together_are_those_read_by_themselves(data: st.DataObject, market: Market) -> None:
    asked = data.draw(st.lists(st.one_of(requests(market), st.builds(OtherRequest), st.none()), max_size=5))
    symbols = st.sampled_from((market.symbol, market.symbol, market.symbol.lower(), "NO/SUCH", None, 1, [], {}))
    for request in asked:
        if request is not None:
            request.symbol = data.draw(symbols)
    read = plain_orders(7, asked, OrderRequest, {market.symbol: market})
    assert len(read) == len(asked)
    for request, order in zip(asked, read, strict=True):
        is_known = type(request) is OrderRequest and request.symbol == market.symbol
        alone = market.reader.place(7, request, CommandKind.PLACE, 0, 0) if is_known else None
        assert order == (None if alone is None else (alone, request.client_order_id))

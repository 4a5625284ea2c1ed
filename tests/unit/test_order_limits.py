"""What a key may trade, as records: every way to spend more than a cap allows."""

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.records import CommandKind, OrderType, Side, TimeInForce
from exchange.contracts import commands
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.refusals import EdgeReason, Refused
from exchange.corridor.genesis import genesis
from exchange.gateway.api_keys import ApiKey, KeyTerms
from exchange.gateway.context import Exchange
from exchange.gateway.order_limits import check_command
from exchange.gateway.principal import Principal, scope_permissions
from exchange.gateway.signatures import HmacVerifier

CATALOGUE = Catalogue(genesis())
BTC, ETH = CATALOGUE.market("BTC/USD"), CATALOGUE.market("ETH/USD")
ACCOUNT = 1000


def principal(account: int = ACCOUNT, symbols: tuple[str, ...] | None = None, **caps: str) -> Principal:
    terms = KeyTerms(
        "x", ("trade",), symbols, {name.replace("_", "/"): cap for name, cap in caps.items()}, None, 5000, None
    )
    key = ApiKey("0" * 24, account, "hmac", terms, time.time_ns(), None, None, lambda: HmacVerifier(b"x"))
    return Principal(account, scope_permissions(["trade"]), float("inf"), key.key_id, key=key)


def exchange(best_bid: str | None = None, **orders: Any) -> Exchange:
    bids = [(BTC.price_ticks(best_bid), 1)] if best_bid else []
    live = SimpleNamespace(
        order=lambda order_id: orders.get(f"order_{order_id}"), depth=lambda market, levels: (1, bids, [])
    )
    return cast(Exchange, SimpleNamespace(catalogue=CATALOGUE, live=live))


def place(
    side: Side, quantity: str, price: str | None = None, order_type: int = OrderType.LIMIT, **more: Any
) -> bytearray:
    market = more.pop("market", BTC)
    return commands.place(
        ACCOUNT, market.number, side, order_type, TimeInForce.GTC, 0, market.price_ticks(price) if price else 0,
        market.quantity_lots(quantity) if quantity else 0, **more,
    )  # fmt: skip


def refusal(who: Principal, command: bytearray, where: Exchange | None = None) -> tuple[EdgeReason, str | None] | None:
    try:
        check_command(who, command, where or exchange())
    except Refused as refused:
        return EdgeReason(refused.refusal.reason), refused.refusal.nearest
    return None


CAPPED = EdgeReason.NOTIONAL_CAPPED
AMOUNT = BTC.quote.to_units("100", "amount")


@pytest.mark.parametrize(
    ("command", "best_bid", "expected"),
    [
        (place(Side.BUY, "1", "100"), None, None),
        (place(Side.BUY, "1", "100.01"), None, (CAPPED, "0.9999")),
        (place(Side.BUY, "1.00000001", "100"), None, (CAPPED, "1")),
        (place(Side.SELL, "1", "100"), None, None),
        (place(Side.SELL, "1", "1"), "100", None),
        # A low limit does not make a sell cheap: it is paid what is bid.
        (place(Side.SELL, "1", "1"), "200", (CAPPED, "0.5")),
        (place(Side.SELL, "1", None, OrderType.MARKET), "200", (CAPPED, "0.5")),
        (place(Side.SELL, "1", None, OrderType.MARKET), "99", None),
        (place(Side.SELL, "1", None, OrderType.MARKET), None, None),
        # What a buy without a price may cost nobody knows.
        (place(Side.BUY, "0.00000001", None, OrderType.MARKET), None, (CAPPED, None)),
        (place(Side.BUY, "1", "100", OrderType.MARKET), None, None),
        (place(Side.BUY, "", None, OrderType.MARKET, amount=AMOUNT), None, None),
        (place(Side.BUY, "", None, OrderType.MARKET, amount=AMOUNT + 1), None, (CAPPED, None)),
        (place(Side.SELL, "", None, OrderType.MARKET, amount=AMOUNT + 1), None, (CAPPED, None)),
        (place(Side.BUY, "1", None, OrderType.STOP, trigger_price_ticks=1), None, (CAPPED, None)),
        (place(Side.BUY, "1", "100", OrderType.STOP_LIMIT, trigger_price_ticks=1), None, None),
        (place(Side.SELL, "1", None, OrderType.TAKE_PROFIT, trigger_price_ticks=20_000), None, (CAPPED, "0.5")),
        (place(Side.BUY, "2", "100", kind=CommandKind.CANCEL_REPLACE, order_id=7), None, (CAPPED, "1")),
        (place(Side.BUY, "5", "100", market=ETH), None, None),
    ],
)
def test_a_cap_bounds_what_one_order_may_be_worth(
    command: bytearray, best_bid: str | None, expected: tuple[EdgeReason, str | None] | None
) -> None:
    who = principal(BTC_USD="100")
    assert refusal(who, command, exchange(best_bid)) == expected
    assert refusal(Principal(ACCOUNT, frozenset(), 0.0, ACCOUNT), command, exchange(best_bid)) is None, (
        "no session has caps"
    )


def test_the_nearest_quantity_is_within_the_cap() -> None:
    who = principal(BTC_USD="100")
    assert refusal(who, place(Side.BUY, "0.9999", "100.01")) is None


def test_a_markets_own_cap_goes_before_that_of_its_quote_asset() -> None:
    who = principal(BTC_USD="100", USD="1000")
    assert refusal(who, place(Side.BUY, "2", "100")) == (CAPPED, "1")
    assert refusal(who, place(Side.BUY, "10", "100", market=ETH)) is None
    assert refusal(who, place(Side.BUY, "11", "100", market=ETH)) == (CAPPED, "10")


def resting(account: int = ACCOUNT, market: int = BTC.number) -> Any:
    price_ticks, lots = BTC.price_ticks("100"), BTC.quantity_lots("1")
    return SimpleNamespace(
        account=account,
        market=market,
        side=Side.BUY,
        price_ticks=price_ticks,
        quantity_lots=lots,
        trigger_price_ticks=0,
    )


def test_an_amendment_counts_as_the_order_that_it_makes() -> None:
    who, where = principal(BTC_USD="100"), exchange(order_7=resting())
    more, dearer = BTC.quantity_lots("1.5"), BTC.price_ticks("101")
    assert refusal(who, commands.amend(ACCOUNT, 7, quantity_lots=more), where) == (CAPPED, "1")
    assert refusal(who, commands.amend(ACCOUNT, 7, price_ticks=dearer), where) == (CAPPED, "0.990099")
    assert refusal(who, commands.amend(ACCOUNT, 7, quantity_lots=more // 2), where) is None


def test_a_key_touches_orders_on_its_markets_only() -> None:
    who = principal(symbols=("ETH/USD",))
    forbidden = (EdgeReason.MARKET_FORBIDDEN, None)
    where = exchange(order_7=resting(), order_8=resting(market=ETH.number), order_9=resting(account=ACCOUNT + 1))
    for named, expected in ((7, forbidden), (8, None), (9, None), (10, None)):
        assert refusal(who, commands.cancel(ACCOUNT, named), where) == expected
        assert refusal(who, commands.amend(ACCOUNT, named, quantity_lots=1), where) == expected
    replacing = place(Side.BUY, "1", "100", market=ETH, kind=CommandKind.CANCEL_REPLACE, order_id=7)
    assert refusal(who, replacing, where) == forbidden
    elsewhere = place(Side.BUY, "1", "100", kind=CommandKind.CANCEL_REPLACE, order_id=8)
    assert refusal(who, elsewhere, where) == forbidden
    assert refusal(who, place(Side.BUY, "1", "100"), where) == forbidden
    assert refusal(who, place(Side.BUY, "1", "100", market=ETH), where) is None
    assert refusal(who, commands.mass_cancel(ACCOUNT, BTC.number), where) == forbidden
    assert refusal(who, commands.mass_cancel(ACCOUNT, ETH.number), where) is None
    assert refusal(who, commands.mass_cancel(ACCOUNT), where) == forbidden
    assert refusal(principal(USD="1"), commands.mass_cancel(ACCOUNT), where) is None, "a cap is no limit for cancels"

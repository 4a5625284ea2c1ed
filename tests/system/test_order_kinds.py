"""Every kind of order and change, through the API of a real exchange: what a trader sends, and what they are told."""

import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.server import ExchangeServer

Json = dict[str, Any]
FUNDS = {"USD": "1000000", "BTC": "100"}


class Desk:
    """Traders on one market of an exchange. ``ann`` makes, ``bob`` takes."""

    def __init__(self, exchange: ExchangeServer) -> None:
        self.exchange = exchange
        run = uuid.uuid4().hex[:6]
        self.ann, self.bob = (exchange.trader(f"{name}-{run}", FUNDS) for name in ("ann", "bob"))

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> tuple[int, Json]:
        return self.exchange.call(method, f"/api/v1{path}", body, token or self.ann)

    def ask(self, side: str, quantity: str | None, price: str | None = None, **terms: Any) -> Json:
        return {"symbol": "BTC/USD", "side": side, "quantity": quantity, "price": price} | terms

    def place(self, side: str, quantity: str | None, price: str | None = None, *, by: str = "", **terms: Any) -> Json:
        status, answer = self.call("POST", "/orders", self.ask(side, quantity, price, **terms), by)
        assert status == 201, answer
        return answer

    def refused(self, side: str, quantity: str | None, price: str | None = None, *, by: str = "", **terms: Any) -> Json:
        status, answer = self.call("POST", "/orders", self.ask(side, quantity, price, **terms), by)
        assert status == 422, answer
        return answer

    def order(self, placed: Json, by: str = "") -> Json:
        status, answer = self.call("GET", f"/orders/{placed['order_id']}", None, by)
        assert status == 200, answer
        return answer

    def trade_at(self, price: str) -> None:
        """Let the last price be this one."""
        resting = self.place("Sell", "0.001", price)
        taken = self.place("Buy", "0.001", price, by=self.bob, order_type="Limit")
        assert self.order(resting)["status"] == taken["status"] == "Filled"

    def balance(self, asset: str, by: str = "") -> Json:
        _, answer = self.call("GET", "/balances", None, by)
        return next(item for item in answer["items"] if item["asset"] == asset)


@pytest.fixture
def desk(exchange_server: ExchangeServer) -> Iterator[Desk]:
    """A desk on a market that nobody else has orders in."""
    desk = Desk(exchange_server)
    yield desk
    for token in (desk.ann, desk.bob):
        status, _ = desk.call("DELETE", "/orders", None, token)
        assert status == 200


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


# --- Orders that wait for a trigger -------------------------------------------------------------------------------


def test_a_stop_waits_holds_nothing_it_cannot_know_and_fires_when_the_market_reaches_it(desk: Desk) -> None:
    desk.trade_at("50000.00")
    stop = desk.place("Buy", "0.5", order_type="Stop", trigger_price="50100.00")
    assert (stop["status"], stop["waiting_for"], stop["trigger_price"]) == ("Waiting", "Trigger", "50100.00")
    assert desk.balance("USD")["held"] == "0"
    offer = desk.place("Sell", "1", "50100.00", by=desk.bob)
    desk.place("Buy", "0.1", "50100.00", by=desk.exchange.trader(f"eve-{uuid.uuid4().hex[:6]}", FUNDS))
    fired = desk.order(stop)
    assert (fired["status"], fired["filled_quantity"], fired["average_price"]) == ("Filled", "0.5", "50100")
    assert (fired["waiting_for"], fired["fills"][0]["liquidity"]) == (None, "Taker")
    assert desk.order(offer, desk.bob)["remaining_quantity"] == "0.4"


def test_a_stop_limit_rests_after_it_fired(desk: Desk) -> None:
    desk.trade_at("50000.00")
    order = desk.place("Sell", "0.5", "49800.00", order_type="stop_limit", trigger_price="49900.00")
    assert (order["order_type"], order["status"]) == ("StopLimit", "Waiting")
    assert desk.balance("BTC")["held"] == "0.5"
    desk.place("Buy", "0.001", "49900.00", by=desk.bob)
    desk.place("Sell", "0.001", "49900.00", by=desk.exchange.trader(f"eve-{uuid.uuid4().hex[:6]}", FUNDS))
    assert desk.order(order)["status"] == "Open"
    _, depth = desk.call("GET", "/markets/BTC-USD/depth")
    assert ["49800.00", "0.5"] in depth["asks"]


def test_a_take_profit_and_a_trailing_stop_wait_too(desk: Desk) -> None:
    desk.trade_at("50000.00")
    profit = desk.place("Sell", "0.1", order_type="TakeProfit", trigger_price="51000.00")
    trailing = desk.place("Sell", "0.1", order_type="TrailingStop", trail="500.00")
    assert (profit["status"], trailing["status"]) == ("Waiting", "Waiting")
    assert (trailing["trail"], trailing["trigger_price"]) == ("500.00", "49500.00")


def test_a_trigger_that_is_met_already_is_refused_with_the_nearest_that_is_not(desk: Desk) -> None:
    desk.trade_at("50000.00")
    problem = desk.refused("Buy", "0.1", order_type="Stop", trigger_price="49000.00")
    assert [problem[name] for name in ("reason", "field", "limit", "nearest")] == [
        "TRIGGER_ALREADY_MET", "trigger_price", "50000.00", "50000.01",
    ]  # fmt: skip


# --- Limits of what is shown, traded and for how long ---------------------------------------------------------------


def test_an_iceberg_shows_a_slice_at_a_time(desk: Desk) -> None:
    iceberg = desk.place("Sell", "1", "60000.00", display_quantity="0.2")
    assert (iceberg["display_quantity"], iceberg["visible_quantity"]) == ("0.2", "0.2")
    _, depth = desk.call("GET", "/markets/BTC-USD/depth")
    assert ["60000.00", "0.2"] in depth["asks"]
    taken = desk.place("Buy", "0.3", "60000.00", by=desk.bob)
    assert taken["status"] == "Filled"
    _, depth = desk.call("GET", "/markets/BTC-USD/depth")
    assert ["60000.00", "0.1"] in depth["asks"]
    left = desk.order(iceberg)
    assert (left["remaining_quantity"], left["visible_quantity"]) == ("0.7", "0.1")


def test_a_minimum_quantity_trades_at_once_or_not_at_all(desk: Desk) -> None:
    desk.place("Sell", "0.1", "60000.00")
    problem = desk.refused("Buy", "1", "60000.00", by=desk.bob, min_quantity="0.5")
    assert [problem[name] for name in ("reason", "field", "limit", "nearest")] == [
        "MIN_QUANTITY_NOT_FILLABLE", "min_quantity", "0.1", "0.1",
    ]  # fmt: skip
    taken = desk.place("Buy", "1", "60000.00", by=desk.bob, min_quantity="0.1")
    assert (taken["filled_quantity"], taken["remaining_quantity"], taken["min_quantity"]) == ("0.1", "0.9", "0.1")


def test_a_market_order_spends_an_amount(desk: Desk) -> None:
    desk.place("Sell", "1", "60000.00")
    bought = desk.place("Buy", None, by=desk.bob, order_type="Market", quote_quantity="6000")
    assert (bought["status"], bought["quantity"], bought["filled_quote"]) == ("Filled", "0.1", "6000")
    assert bought["quote_quantity"] == "6000"
    problem = desk.refused("Buy", None, by=desk.bob, order_type="Market", quote_quantity="0.01", price="1.00")
    assert problem["reason"] == "NO_LIQUIDITY"


def test_an_order_expires_by_itself_and_its_owner_gets_the_money_back(desk: Desk) -> None:
    expire_at = (datetime.now(UTC) + timedelta(seconds=1.5)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    order = desk.place("Buy", "1", "1000.00", time_in_force="GTD", expire_at=expire_at)
    assert order["expire_at"].startswith(expire_at[:-1])
    assert desk.balance("USD")["held"] == "1000"
    ended = until(lambda: found if (found := desk.order(order))["status"] != "Open" else None)
    assert (ended["status"], ended["end_reason"]) == ("Expired", "EXPIRED")
    assert desk.balance("USD") == {"asset": "USD", "available": "1000000", "held": "0", "total": "1000000"}


def test_a_day_order_lasts_until_midnight(desk: Desk) -> None:
    order = desk.place("Buy", "1", "1000.00", time_in_force="DAY")
    assert order["expire_at"].endswith("T00:00:00.000000000Z")


def test_a_sliding_order_takes_the_best_price_that_does_not_trade(desk: Desk) -> None:
    desk.place("Sell", "1", "60000.00")
    order = desk.place("Buy", "1", "60500.00", by=desk.bob, post_only=True, slide=True)
    assert (order["status"], order["price"], order["slide"]) == ("Open", "59999.99", True)


# --- Orders of one account that meet ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "newest", "oldest"),
    [
        (None, "Cancelled", "Open"),
        ("CancelNewest", "Cancelled", "Open"),
        ("cancel_oldest", "Open", "Cancelled"),
        ("CancelBoth", "Cancelled", "Cancelled"),
        ("Decrement", "Cancelled", "Open"),
        ("None", "Filled", "PartiallyFilled"),
    ],
)
def test_what_happens_when_an_account_meets_itself(desk: Desk, mode: str | None, newest: str, oldest: str) -> None:
    resting = desk.place("Sell", "1", "60000.00")
    terms = {} if mode is None else {"self_trade_prevention": mode}
    meeting = desk.place("Buy", "0.4", "60000.00", **terms)
    found = desk.order(resting)
    assert (meeting["status"], found["status"]) == (newest, oldest)
    if newest == "Cancelled":
        assert (meeting["end_reason"], meeting["prevented_quantity"]) == ("SELF_TRADE", "0.4")
    if mode == "Decrement":
        assert (meeting["quantity"], found["quantity"], found["remaining_quantity"]) == ("0", "0.6", "0.6")


# --- Changes ------------------------------------------------------------------------------------------------------


def test_less_quantity_keeps_the_place_in_the_queue_and_another_price_loses_it(desk: Desk) -> None:
    first = desk.place("Buy", "1", "40000.00")
    desk.place("Buy", "2", "40000.00", by=desk.bob)
    status, amended = desk.call("PATCH", f"/orders/{first['order_id']}", {"quantity": "0.5"})
    assert status == 200, amended
    assert (amended["quantity"], amended["priority_kept"], amended["ahead_orders"]) == ("0.5", True, 0)
    status, amended = desk.call("PATCH", f"/orders/{first['order_id']}", {"quantity": "0.7"})
    assert (amended["priority_kept"], amended["ahead_orders"], amended["ahead_quantity"]) == (False, 1, "2")
    assert (amended["amendments"], amended["status"]) == (2, "Open")
    assert desk.balance("USD")["held"] == "28000"


def test_an_amendment_that_crosses_trades_and_its_answer_has_the_fills(desk: Desk) -> None:
    desk.place("Sell", "0.4", "60000.00", by=desk.bob)
    order = desk.place("Buy", "1", "50000.00")
    status, amended = desk.call("PATCH", f"/orders/{order['order_id']}", {"price": "60000.00"})
    assert (status, amended["status"], amended["filled_quantity"]) == (200, "PartiallyFilled", "0.4")
    assert [fill["quantity"] for fill in amended["fills"]] == ["0.4"]
    status, problem = desk.call("PATCH", f"/orders/{order['order_id']}", {"quantity": "0.3"})
    assert [status, problem["reason"], problem["field"], problem["nearest"]] == [
        422, "QUANTITY_BELOW_FILLED", "quantity", "0.40000001",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "reason", "field"),
    [
        ({}, 422, "FIELD_INVALID", "body"),
        ({"price": "1.001"}, 422, "PRICE_OFF_TICK", "price"),
        ({"price": 5}, 422, "FIELD_INVALID", "price"),
        ({"quantity": "0"}, 422, "QUANTITY_OUT_OF_RANGE", "quantity"),
        ({"quantity": "1000"}, 422, "INSUFFICIENT_FUNDS", "quantity"),
        ({"trigger_price": "5.00"}, 422, "TRIGGER_PRICE_INVALID", "trigger_price"),
        ({"display_quantity": "1"}, 422, "DISPLAY_QUANTITY_INVALID", "display_quantity"),
        ({"price": "0.01"}, 422, "NOTIONAL_TOO_SMALL", "quantity"),
        ({"side": "Sell"}, 400, "MALFORMED", "body"),
    ],
)
def test_a_bad_amendment_changes_nothing(desk: Desk, body: Json, status: int, reason: str, field: str) -> None:
    order = desk.place("Buy", "0.5", "40000.00")
    answered, problem = desk.call("PATCH", f"/orders/{order['order_id']}", body)
    assert (answered, problem["reason"], problem["field"]) == (status, reason, field), problem
    same = desk.order(order)
    assert {name: same[name] for name in order} == order


def test_what_has_ended_or_is_not_theirs_cannot_be_changed(desk: Desk) -> None:
    order = desk.place("Buy", "0.5", "40000.00")
    path = f"/orders/{order['order_id']}"
    assert desk.call("PATCH", path, {"quantity": "0.4"}, desk.bob)[1]["reason"] == "UNKNOWN_ORDER"
    status, cancelled = desk.call("DELETE", path)
    assert (status, cancelled["status"]) == (200, "Cancelled")
    status, problem = desk.call("PATCH", path, {"quantity": "0.4"})
    assert (status, problem["reason"], problem["order_status"]) == (409, "ORDER_ENDED", "Cancelled")


def test_a_replacement_is_one_step_and_the_same_one_when_it_is_sent_again(desk: Desk) -> None:
    old = desk.place("Buy", "0.5", "40000.00")
    body = desk.ask("Buy", "0.6", "41000.00", client_order_id=uuid.uuid4().hex)
    status, new = desk.call("POST", f"/orders/{old['order_id']}/replace", body)
    assert (status, new["status"], new["price"]) == (201, "Open", "41000.00")
    assert (new["replaced"]["order_id"], new["replaced"]["end_reason"]) == (old["order_id"], "REPLACED")
    status, again = desk.call("POST", f"/orders/{old['order_id']}/replace", body)
    assert (status, again["order_id"]) == (200, new["order_id"])
    status, found = desk.call("GET", f"/orders/by-client-id/{body['client_order_id']}")
    assert (status, found["order_id"]) == (200, new["order_id"])


def test_a_replacement_stops_at_what_has_ended_unless_it_may_fail(desk: Desk) -> None:
    old = desk.place("Buy", "0.5", "40000.00")
    desk.call("DELETE", f"/orders/{old['order_id']}")
    body = desk.ask("Buy", "0.6", "41000.00")
    status, problem = desk.call("POST", f"/orders/{old['order_id']}/replace", body)
    assert (status, problem["reason"]) == (409, "ORDER_ENDED")
    status, new = desk.call("POST", f"/orders/{old['order_id']}/replace", body | {"mode": "allow_failure"})
    assert (status, new["status"], new["replaced"], new["cancel_refused"]) == (201, "Open", None, "UNKNOWN_ORDER")


def test_a_replacement_that_the_account_cannot_pay_says_that_the_old_order_is_gone(desk: Desk) -> None:
    old = desk.place("Buy", "0.5", "40000.00")
    status, problem = desk.call("POST", f"/orders/{old['order_id']}/replace", desk.ask("Buy", "60", "41000.00"))
    assert (status, problem["reason"], problem["field"]) == (422, "INSUFFICIENT_FUNDS", "quantity")
    assert problem["cancelled_order_ids"] == [old["order_id"]]
    assert desk.order(old)["end_reason"] == "REPLACED"


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("", []),
        ("?symbol=BTC-USD", []),
        ("?symbol=ETH-USD", ["low", "high", "ask"]),
        ("?side=Buy", ["ask"]),
        ("?symbol=BTC-USD&price_to=39500.00", ["high", "ask"]),
        ("?symbol=BTC-USD&price_from=39000.01&price_to=70000.00", ["low"]),
        ("?client_order_id_prefix=high", ["low", "ask"]),
        ("?symbol=BTC-USD&side=Sell&client_order_id_prefix=low", ["low", "high", "ask"]),
    ],
)
def test_orders_are_cancelled_by_scope(desk: Desk, query: str, left: list[str]) -> None:
    run = uuid.uuid4().hex[:8]
    terms = {"low": ("Buy", "39000.00"), "high": ("Buy", "40000.00"), "ask": ("Sell", "70000.00")}
    placed = {
        name: desk.place(side, "0.1", price, client_order_id=f"{name}-{run}") for name, (side, price) in terms.items()
    }
    theirs = desk.place("Buy", "0.1", "39000.00", by=desk.bob)
    status, answer = desk.call("DELETE", f"/orders{query}")
    assert status == 200, answer
    ended = [order["order_id"] for name, order in placed.items() if name not in left]
    assert (answer["cancelled"], answer["order_ids"]) == (len(ended), ended)
    for name, order in placed.items():
        assert desk.order(order)["status"] == ("Open" if name in left else "Cancelled")
    assert desk.order(theirs, desk.bob)["status"] == "Open"


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("?symbl=BTC-USD", "FIELD_INVALID"),
        ("?symbol=", "FIELD_INVALID"),
        ("?symbol=BTC-USD&symbol=ETH-USD", "FIELD_INVALID"),
        ("?symbol=BTC-EUR", "UNKNOWN_SYMBOL"),
        ("?side=Both", "SIDE_INVALID"),
        ("?price_from=1.00", "SCOPE_INVALID"),
        ("?symbol=BTC-USD&price_from=2.00&price_to=1.00", "SCOPE_INVALID"),
        ("?symbol=BTC-USD&price_from=0.001", "PRICE_OFF_TICK"),
        ("?client_order_id_prefix=a%20b", "CLIENT_ORDER_ID_INVALID"),
    ],
)
def test_a_scope_that_is_not_understood_cancels_nothing(desk: Desk, query: str, reason: str) -> None:
    order = desk.place("Buy", "0.1", "39000.00")
    status, problem = desk.call("DELETE", f"/orders{query}")
    assert (status, problem["reason"]) == (422, reason)
    assert desk.order(order)["status"] == "Open"


# --- Several at once ----------------------------------------------------------------------------------------------


def test_a_batch_has_an_outcome_for_each_operation_and_one_refusal_stops_no_other(desk: Desk) -> None:
    old, other = desk.place("Buy", "0.5", "40000.00"), desk.place("Buy", "0.5", "39000.00")
    name = uuid.uuid4().hex
    operations = [
        {"op": "place", **desk.ask("Buy", "0.1", "38000.00", client_order_id=name)},
        {"op": "cancel", "order_id": old["order_id"]},
        {"op": "place", **desk.ask("Buy", "0.1", "38000.001")},
        {"op": "amend", "order_id": other["order_id"], "quantity": "0.4"},
        {"op": "place", **desk.ask("Buy", "1000", "38000.00")},
        {"op": "cancel", "order_id": "1"},
        {"op": "place", **desk.ask("Buy", "0.1", "38000.00", client_order_id=name)},
    ]
    status, answer = desk.call("POST", "/orders/batch", {"operations": operations})
    assert status == 200, answer
    outcomes = answer["outcomes"]
    assert [outcome["status"] for outcome in outcomes] == [201, 200, 422, 200, 422, 404, 200]
    assert outcomes[1]["order"]["status"] == "Cancelled"
    assert outcomes[3]["order"]["priority_kept"] is True
    reasons = [outcome["problem"] and outcome["problem"]["reason"] for outcome in outcomes]
    assert reasons == [None, None, "PRICE_OFF_TICK", None, "INSUFFICIENT_FUNDS", "UNKNOWN_ORDER", None]
    assert outcomes[6]["order"]["order_id"] == outcomes[0]["order"]["order_id"]
    sequences = [outcomes[number]["order"]["sequence"] for number in (0, 1, 3)]
    assert sequences == list(range(sequences[0], sequences[0] + 3)), "in order, with nobody else's in between"


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"operations": []}, 422, "FIELD_INVALID"),
        ({"operations": [{"op": "cancel", "order_id": "1"}] * 51}, 422, "FIELD_INVALID"),
        ({"operations": [{"op": "destroy"}]}, 400, "MALFORMED"),
        ({"operations": [{"op": "cancel", "order": "1"}]}, 400, "MALFORMED"),
        ({"operations": {}}, 400, "MALFORMED"),
        ({}, 400, "MALFORMED"),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(desk: Desk, body: Json, status: int, reason: str) -> None:
    answered, problem = desk.call("POST", "/orders/batch", body)
    assert (answered, problem["reason"]) == (status, reason)


def test_of_a_pair_one_cancels_the_other(desk: Desk) -> None:
    desk.trade_at("50000.00")
    target = desk.ask("Sell", "1", "55000.00", client_order_id=uuid.uuid4().hex)
    stop = desk.ask("Sell", "1", order_type="Stop", trigger_price="45000.00", client_order_id=uuid.uuid4().hex)
    body = {"kind": "oco", "orders": [target, stop]}
    status, answer = desk.call("POST", "/order-lists", body)
    assert status == 201, answer
    limit, conditional = answer["orders"]
    assert (limit["order_type"], conditional["order_type"]) == ("Limit", "Stop"), "as they were asked for"
    assert limit["other_leg_order_id"] == conditional["order_id"]
    assert conditional["other_leg_order_id"] == limit["order_id"]
    assert desk.balance("BTC")["held"] == "1", "one of them trades, never both"
    assert desk.call("POST", "/order-lists", body)[0] == 200
    desk.place("Buy", "0.2", "55000.00", by=desk.bob)
    assert desk.order(limit)["filled_quantity"] == "0.2"
    ended = desk.order(conditional)
    assert (ended["status"], ended["end_reason"]) == ("Cancelled", "LINKED_ORDER")


def test_the_exits_of_a_bracket_wake_for_what_its_entry_filled(desk: Desk) -> None:
    desk.trade_at("50000.00")
    body = {
        "kind": "bracket",
        "entry": desk.ask("Buy", "1", "49000.00"),
        "take_profit": {"order_type": "Limit", "price": "55000.00"},
        "stop_loss": {"order_type": "Stop", "trigger_price": "45000.00"},
    }
    status, answer = desk.call("POST", "/order-lists", body)
    assert status == 201, answer
    entry, profit, loss = answer["orders"]
    assert [order["status"] for order in (entry, profit, loss)] == ["Open", "Waiting", "Waiting"]
    assert [order["waiting_for"] for order in (profit, loss)] == ["Parent", "Parent"]
    assert (profit["side"], profit["quantity"], loss["side"]) == ("Sell", "1", "Sell")
    assert entry["child_order_id"] in (profit["order_id"], loss["order_id"])
    desk.place("Sell", "1", "49000.00", by=desk.bob)
    entry, profit, loss = (desk.order(order) for order in (entry, profit, loss))
    assert [order["status"] for order in (entry, profit, loss)] == ["Filled", "Open", "Waiting"]
    assert loss["waiting_for"] == "Trigger"
    received = f"{1 - 0.001:.3f}".rstrip("0")
    assert profit["quantity"] in ("1", received)


def test_a_list_whose_entry_is_refused_leaves_nothing(desk: Desk) -> None:
    body = {
        "kind": "bracket",
        "entry": desk.ask("Buy", "1000", "49000.00"),
        "take_profit": {"order_type": "Limit", "price": "55000.00"},
        "stop_loss": {"order_type": "Stop", "trigger_price": "45000.00"},
    }
    status, problem = desk.call("POST", "/order-lists", body)
    assert (status, problem["reason"], problem["refused_order"]) == (422, "INSUFFICIENT_FUNDS", "entry")
    assert len(problem["cancelled_order_ids"]) == 2
    _, open_orders = desk.call("GET", "/orders?status=open")
    assert open_orders["items"] == []


LIMIT = {"symbol": "BTC/USD", "side": "Sell", "quantity": "1", "price": "55000.00"}
STOP = {"symbol": "BTC/USD", "side": "Sell", "quantity": "1", "order_type": "Stop", "trigger_price": "100.00"}


@pytest.mark.parametrize(
    ("body", "reason", "field"),
    [
        ({"kind": "both"}, "FIELD_INVALID", "kind"),
        ({"kind": "oco", "orders": [LIMIT]}, "FIELD_INVALID", "orders"),
        ({"kind": "oco", "orders": [LIMIT, LIMIT]}, "LINK_INVALID", "orders[1].order_type"),
        ({"kind": "oco", "orders": [LIMIT, STOP | {"side": "Buy"}]}, "LINK_INVALID", "orders[0].side"),
        ({"kind": "oco", "orders": [LIMIT, STOP | {"quantity": "2"}]}, "LINK_INVALID", "orders[0].quantity"),
        ({"kind": "oco", "orders": [LIMIT, STOP | {"symbol": "ETH/USD"}]}, "LINK_INVALID", "orders[1].symbol"),
        ({"kind": "oco", "orders": [LIMIT | {"price": "1.001"}, STOP]}, "PRICE_OFF_TICK", "orders[0].price"),
        (
            {"kind": "oco", "orders": [LIMIT | {"time_in_force": "IOC"}, STOP]},
            "LINK_INVALID",
            "orders[0].time_in_force",
        ),
        ({"kind": "bracket", "entry": LIMIT}, "FIELD_INVALID", "entry"),
        ({"kind": "bracket", "take_profit": LIMIT}, "FIELD_INVALID", "entry"),
    ],
)
def test_a_list_that_cannot_be_is_refused_before_anything_is_placed(
    desk: Desk, body: Json, reason: str, field: str
) -> None:
    status, problem = desk.call("POST", "/order-lists", body)
    assert (status, problem["reason"], problem["field"]) == (422, reason, field), problem
    assert desk.call("GET", "/orders")[1]["items"] == []


# --- Only tested --------------------------------------------------------------------------------------------------


def test_an_order_that_is_only_tested_moves_nothing(desk: Desk) -> None:
    desk.place("Sell", "1", "60000.00")
    before = desk.call("GET", "/markets/BTC-USD/depth")[1]["sequence"]
    status, answer = desk.call("POST", "/orders/test", desk.ask("Buy", "0.4", "61000.00"), desk.bob)
    assert (status, answer["trades_at_once"], answer["needed"]) == (
        200, "0.4", {"asset": "USD", "amount": "24400"},
    )  # fmt: skip
    assert desk.call("GET", "/markets/BTC-USD/depth")[1]["sequence"] == before
    assert desk.call("GET", "/orders", None, desk.bob)[1]["items"] == []


@pytest.mark.parametrize(
    ("side", "quantity", "price", "terms"),
    [
        ("Buy", "1000", "50000.00", {}),
        ("Buy", "1", "60000.00", {"post_only": True}),
        ("Buy", "2", "60000.00", {"time_in_force": "FOK"}),
        ("Buy", "2", "60000.00", {"min_quantity": "1.5"}),
        ("Buy", None, "1.00", {"order_type": "Market", "quote_quantity": "5"}),
        ("Buy", "0.1", None, {"order_type": "Stop", "trigger_price": "40000.00"}),
        ("Buy", "0.1", "1.001", {}),
        ("Sell", "0.1", None, {"order_type": "TrailingStop", "trail": "60000.00"}),
    ],
)
def test_a_test_refuses_what_the_exchange_refuses_and_in_the_same_words(
    desk: Desk, side: str, quantity: str | None, price: str | None, terms: Json
) -> None:
    desk.trade_at("50000.00")
    desk.place("Sell", "1", "60000.00")
    body = desk.ask(side, quantity, price, **terms)
    status, tested = desk.call("POST", "/orders/test", body, desk.bob)
    _, real = desk.call("POST", "/orders", body, desk.bob)
    assert status == 422, tested
    names = ("reason", "code", "field", "limit", "nearest", "detail")
    assert {name: tested.get(name) for name in names} == {name: real.get(name) for name in names}


# --- After a restart ----------------------------------------------------------------------------------------------


def test_what_waits_and_hangs_on_each_other_survives_a_kill(own_exchange: ExchangeServer) -> None:
    desk = Desk(own_exchange)
    desk.trade_at("50000.00")
    stop = desk.place("Buy", "0.5", order_type="Stop", trigger_price="50100.00")
    expire_at = (datetime.now(UTC) + timedelta(seconds=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    short = desk.place("Buy", "0.1", "1000.00", time_in_force="GTD", expire_at=expire_at)
    iceberg = desk.place("Sell", "1", "60000.00", display_quantity="0.2")
    pair = {
        "kind": "oco",
        "orders": [
            desk.ask("Sell", "1", "70000.00"),
            desk.ask("Sell", "1", order_type="Stop", trigger_price="40000.00"),
        ],
    }
    _, answer = desk.call("POST", "/order-lists", pair)
    own_exchange.kill()
    own_exchange.start()
    assert desk.order(stop)["status"] == "Waiting"
    _, depth = desk.call("GET", "/markets/BTC-USD/depth")
    assert ["60000.00", "0.2"] in depth["asks"]
    assert desk.order(iceberg)["visible_quantity"] == "0.2"
    ended = until(lambda: found if (found := desk.order(short))["status"] != "Open" else None)
    assert ended["status"] == "Expired"
    desk.place("Sell", "1", "50100.00", by=desk.bob)
    desk.place("Buy", "0.1", "50100.00", by=own_exchange.trader("eve", FUNDS))
    assert desk.order(stop)["status"] == "Filled"
    limit, conditional = answer["orders"]
    desk.call("DELETE", f"/orders/{limit['order_id']}")
    assert desk.order(conditional)["end_reason"] == "LINKED_ORDER"

"""What admins do, at the edge: every bound with its nearest valid value, and a row in the audit log for each action."""

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pyotp
import pytest
from sqlalchemy import update

from engine.records import Mode
from exchange.gateway.context import Exchange
from exchange.storage.audit_log import verify
from exchange.storage.tables import users
from tests.support.local_exchange import local_exchange, registered, serving, with_order_entry

Call = Callable[..., Awaitable[tuple[int, Any]]]
SOL = {"name": "SOL", "scale": 9}
SOL_USD = {
    "base": "SOL", "quote": "USD", "tick_size": "0.01", "lot_size": "0.001", "maker_fee": "0.001", "taker_fee": "0.002",
}  # fmt: skip
ORDER = {"symbol": "SOL/USD", "side": "Buy", "quantity": "1.5", "price": "20.00"}


class Desk:
    """A client with an admin's session and a user's."""

    def __init__(self, client: aiohttp.ClientSession, exchange: Exchange) -> None:
        self.client = client
        self.exchange = exchange

    async def begin(self) -> None:
        self.alice, self.alices = await registered(self.client)
        self.root, self.roots = await self.admin("root")

    async def admin(self, name: str) -> tuple[int, dict[str, str]]:
        account, session = await registered(self.client, name)
        async with self.exchange.database.engine.begin() as connection:
            await connection.execute(update(users).where(users.c.account_id == account).values(role="admin"))
        await self.exchange.access.state.refresh()
        return account, session

    async def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """As the admin, unless ``headers`` say otherwise. A path under /admin may be short."""
        path = f"/api/v1{path}" if path.startswith(("/admin", "/orders", "/auth", "/markets")) else path
        async with self.client.request(method, path, json=body, headers=headers or self.roots) as answer:
            return answer.status, None if answer.status == 204 else await answer.json()

    async def log(self) -> list[tuple[str, str, str, int | None]]:
        """(actor, action, outcome, journal sequence) of what admins did beyond logging in, oldest first."""
        _, page = await self.ask("GET", "/admin/audit-log?limit=500")
        rows = reversed(page["items"])
        return [(row["actor"], row["action"], row["outcome"], row["journal_sequence"]) for row in rows]


@pytest.fixture
async def desk(trading: aiohttp.ClientSession, exchange: Exchange) -> Desk:
    made = Desk(trading, exchange)
    await made.begin()
    return made


async def test_a_new_market_trades_at_once_and_the_log_tells_who_listed_it(desk: Desk, exchange: Exchange) -> None:
    assert await desk.ask("POST", "/admin/assets", SOL) == (201, SOL)
    status, market = await desk.ask("POST", "/admin/markets", SOL_USD)
    assert status == 201, market
    assert market | SOL_USD == market
    assert (market["symbol"], market["mode"], market["quantity_min"]) == ("SOL/USD", "Open", "0.001")
    assert market["price_max"] == "42949672.95"
    usd = exchange.catalogue.asset("USD")
    await exchange.corridor.deposit(desk.alice, usd.number, usd.to_units("100", "amount"))  # type: ignore[attr-defined]
    status, order = await desk.ask("POST", "/orders", ORDER, desk.alices)
    assert (status, order["status"], order["symbol"]) == (201, "Open", "SOL/USD"), order
    status, public = await desk.ask("GET", "/markets/SOL-USD")
    assert (status, public["tick_size"], public["best_bid"]) == (200, "0.01", "20.00")
    assert await desk.log() == [
        ("root", "asset.create", "Intended", None),
        ("root", "asset.create", "Done", 8),
        ("root", "market.create", "Intended", None),
        ("root", "market.create", "Done", 9),
    ]


async def test_a_market_begins_on_terms_and_in_a_mode_of_its_own(desk: Desk, exchange: Exchange) -> None:
    await desk.ask("POST", "/admin/assets", SOL)
    terms = {
        "quantity_min": "0.01", "quantity_max": "5000", "notional_min": "1.5", "open_orders_max": 200,
        "position_max": "250", "reference_price": "20.00",
        "price_band": {"width": "0.1", "action": "Auction", "interval_s": 60, "auction_s": 300},
    }  # fmt: skip
    status, market = await desk.ask(
        "POST", "/admin/markets", SOL_USD | terms | {"price_max": "1000000", "mode": "post-only"}
    )
    assert status == 201, market
    assert market | terms == market
    assert (market["mode"], market["price_max"]) == ("PostOnly", "1000000.00")
    state = exchange.corridor.state(3)
    assert (state.mode, state.reference_price_ticks) == (Mode.POST_ONLY, 2000)


BAD_MARKETS = [
    ({"base": "ADA"}, "UNKNOWN_ASSET", "asset", None),
    ({"base": "USD"}, "FIELD_INVALID", "quote", None),
    ({"base": "BTC"}, "ALREADY_DEFINED", "base", None),
    ({"lot_size": "0"}, "FIELD_INVALID", "lot_size", "0.00000001"),
    ({"lot_size": "0.00000001234"}, "FIELD_INVALID", "lot_size", "0.00000001"),
    ({"lot_size": "0.003"}, "FIELD_INVALID", "lot_size", "0.002"),
    ({"lot_size": "0.009"}, "FIELD_INVALID", "lot_size", "0.01"),
    # A lot of 10**-3 ETH at a tick of 10**-8 USD costs a tenth of the smallest unit, 10**-10 USD.
    ({"tick_size": "0.00000001"}, "FIELD_INVALID", "tick_size", "0.0000001"),
    ({"tick_size": "0.00000016"}, "FIELD_INVALID", "tick_size", "0.0000002"),
    ({"tick_size": "0"}, "FIELD_INVALID", "tick_size", "0.0000001"),
    ({"tick_size": "1e-2"}, "FIELD_INVALID", "tick_size", None),
    ({"price_max": "0.001"}, "PRICE_OFF_TICK", "price_max", "0.01"),
    ({"price_max": "99999999999"}, "PRICE_OUT_OF_RANGE", "price_max", "42949672.95"),
    ({"maker_fee": "0.2"}, "FIELD_INVALID", "maker_fee", "0.1"),
    ({"maker_fee": "0.0000004"}, "FIELD_INVALID", "maker_fee", "0"),
    ({"taker_fee": "0.0000016"}, "FIELD_INVALID", "taker_fee", "0.000002"),
    ({"taker_fee": None}, "FIELD_INVALID", "taker_fee", None),
    ({"quantity_min": "0.0005"}, "FIELD_INVALID", "quantity_min", "0.001"),
    ({"quantity_min": "2", "quantity_max": "1"}, "FIELD_INVALID", "quantity_min", "1"),
    ({"quantity_max": "999999999999"}, "FIELD_INVALID", "quantity_max", "46116860184.273"),
    ({"notional_min": "0.00000000001"}, "FIELD_INVALID", "notional_min", "0"),
    ({"notional_min": "99999999999"}, "FIELD_INVALID", "notional_min", "461168601.8427387903"),
    ({"open_orders_max": 0}, "FIELD_INVALID", "open_orders_max", None),
    ({"position_max": "0"}, "FIELD_INVALID", "position_max", "0.001"),
    ({"price_band": {"width": "0"}}, "FIELD_INVALID", "price_band.width", "0.000001"),
    ({"price_band": {"width": "1.5"}}, "FIELD_INVALID", "price_band.width", "1"),
    ({"price_band": {"width": "0.1", "action": "Auction"}}, "FIELD_INVALID", "price_band.auction_s", "1"),
    ({"reference_price": "20.00"}, "FIELD_INVALID", "reference_price", None),
    ({"price_band": {"width": "0.1"}, "reference_price": "20.001"}, "PRICE_OFF_TICK", "reference_price", "20.00"),
    ({"mode": "Closed"}, "FIELD_INVALID", "mode", None),
]


async def test_a_market_that_cannot_be_is_refused_with_the_nearest_value_that_can(desk: Desk) -> None:
    for number, (change, reason, field, nearest) in enumerate(BAD_MARKETS):
        quote = {"name": f"Q{number}", "scale": 10}
        assert (await desk.ask("POST", "/admin/assets", quote))[0] == 201
        base = {"base": "ETH", "quote": "USD" if "base" in change else quote["name"]}
        before = desk.exchange.corridor.sequence
        status, problem = await desk.ask("POST", "/admin/markets", SOL_USD | base | change)
        assert status in (409, 422), (change, problem)
        assert (problem["reason"], problem.get("field"), problem.get("nearest")) == (reason, field, nearest), problem
        assert desk.exchange.corridor.sequence == before, "nothing was sent to the engine"
        if nearest is not None and "quantity_min" not in change:  # what it names is good
            status, market = await desk.ask(
                "POST", "/admin/markets", SOL_USD | base | corrected(change, field, nearest)
            )
            assert status == 201, (change, market)


def corrected(change: dict[str, Any], field: str, nearest: str) -> dict[str, Any]:
    outer, _, inner = field.partition(".")
    if not inner:
        return change | {field: nearest}
    return change | {outer: change[outer] | {inner: int(nearest) if inner == "auction_s" else nearest}}


async def test_terms_change_one_by_one_and_limits_go_away_with_null(desk: Desk) -> None:
    _, before = await desk.ask("GET", "/admin/markets")
    btc = before["items"][0]
    assert (btc["symbol"], btc["open_orders_max"]) == ("BTC/USD", 5000)
    status, after = await desk.ask("PATCH", "/admin/markets/BTC-USD", {"maker_fee": "0", "position_max": "2.5"})
    assert (status, after) == (200, btc | {"maker_fee": "0", "position_max": "2.5"})
    status, after = await desk.ask("PATCH", "/admin/markets/btc-usd", {"open_orders_max": None, "position_max": None})
    assert (status, after) == (200, btc | {"maker_fee": "0", "open_orders_max": None})
    status, problem = await desk.ask("PATCH", "/admin/markets/BTC-USD", {"quantity_max": "0.000000001"})
    assert (status, problem["field"], problem["nearest"]) == (422, "quantity_max", "0.00000001")
    status, problem = await desk.ask("PATCH", "/admin/markets/BTC-USD", {"quantity_max": None})
    assert (status, problem["field"]) == (422, "quantity_max")
    status, problem = await desk.ask("PATCH", "/admin/markets/XRP-USD", {"maker_fee": "0"})
    assert (status, problem["reason"]) == (422, "UNKNOWN_SYMBOL")


async def test_every_mode_is_set_and_lets_happen_what_it_says(desk: Desk, exchange: Exchange) -> None:
    usd = exchange.catalogue.asset("USD")
    await exchange.corridor.deposit(desk.alice, usd.number, usd.to_units("1000", "amount"))  # type: ignore[attr-defined]
    order = {"symbol": "BTC/USD", "side": "Buy", "quantity": "0.1", "price": "100.00"}
    expected = {
        "Halted": "MARKET_HALTED",
        "cancel-only": "MARKET_CANCEL_ONLY",
        "POST_ONLY": None,
        "Auction": None,
        "open": None,
    }
    for mode, reason in expected.items():
        status, market = await desk.ask("PUT", "/admin/markets/BTC-USD/mode", {"mode": mode, "reason": "drill"})
        assert status == 200, market
        _, public = await desk.ask("GET", "/markets/BTC-USD")
        assert public["status"] == market["mode"]
        assert market["mode"].lower() == mode.lower().replace("-", "").replace("_", "")
        status, answer = await desk.ask("POST", "/orders", order, desk.alices)
        assert (answer["reason"] if status >= 400 else None) == reason, answer
    done = [row for row in await desk.log() if row[2] == "Done"]
    assert [row[:3] for row in done] == [("root", "market.set_mode", "Done")] * 5
    assert all(row[3] for row in done)


async def test_an_auction_ends_when_it_is_said_to_and_nothing_else_has_an_end(desk: Desk, exchange: Exchange) -> None:
    later = "2099-01-01T00:00:00Z"
    status, market = await desk.ask("PUT", "/admin/markets/BTC-USD/mode", {"mode": "Auction", "until": later})
    assert (status, market["auction_ends_at"]) == (200, "2099-01-01T00:00:00.000000000Z")
    assert exchange.corridor.state(1).auction_end_ns == 4070908800_000000000
    for body in (
        {"mode": "Halted", "until": later},
        {"mode": "Auction", "until": "2020-01-01T00:00:00Z"},
    ):
        status, problem = await desk.ask("PUT", "/admin/markets/BTC-USD/mode", body)
        assert (status, problem["reason"], problem["field"]) == (422, "EXPIRE_TIME_INVALID", "until")
    status, problem = await desk.ask("PUT", "/admin/markets/BTC-USD/mode", {"mode": "Auction", "until": "tomorrow"})
    assert (status, problem["reason"], problem["field"]) == (422, "FIELD_INVALID", "until")


async def test_users_are_found_frozen_and_thawed(desk: Desk) -> None:
    _, page = await desk.ask("GET", "/admin/users?limit=1")
    assert [user["username"] for user in page["items"]] == ["root"]
    _, page = await desk.ask("GET", f"/admin/users?limit=1&cursor={page['next_cursor']}")
    assert [user["username"] for user in page["items"]] == ["alice"]
    for query in ("search=lic", f"search={desk.alice}", "username=Alice", "role=user", "frozen=false&role=user"):
        _, found = await desk.ask("GET", f"/admin/users?{query}")
        assert [user["username"] for user in found["items"]] == ["alice"], query
    for query in ("search=li_e", "username=lic", "frozen=true"):
        assert (await desk.ask("GET", f"/admin/users?{query}"))[1]["items"] == [], query
    path = f"/admin/users/{desk.alice}"
    status, user = await desk.ask("POST", f"{path}/freeze", {"reason": "asked for by phone"})
    assert (status, user["frozen_at"] is not None) == (200, True)
    status, problem = await desk.ask("POST", "/orders", ORDER | {"symbol": "BTC/USD"}, desk.alices)
    assert (status, problem["reason"]) == (403, "ACCOUNT_FROZEN"), "this process knows at once"
    assert (await desk.ask("GET", "/admin/users?frozen=true"))[1]["items"] == [user]
    status, again = await desk.ask("POST", f"{path}/freeze", {"reason": "twice"})
    assert again["frozen_at"] == user["frozen_at"], "since the first time"
    status, user = await desk.ask("POST", f"{path}/thaw", {"reason": "it was a mistake"})
    assert (status, user["frozen_at"]) == (200, None)
    status, problem = await desk.ask("POST", "/orders", ORDER | {"symbol": "BTC/USD"}, desk.alices)
    assert problem["reason"] == "INSUFFICIENT_FUNDS"
    rows = [row[:3] for row in await desk.log()]
    assert rows == [("root", "user.freeze", "Done")] * 2 + [("root", "user.thaw", "Done")]


async def test_sessions_end_and_orders_are_cancelled(desk: Desk, exchange: Exchange) -> None:
    usd = exchange.catalogue.asset("USD")
    for account in (desk.alice, desk.root):
        await exchange.corridor.deposit(account, usd.number, usd.to_units("1000", "amount"))  # type: ignore[attr-defined]
    order = {"symbol": "BTC/USD", "side": "Buy", "quantity": "0.1", "price": "100.00"}
    for session in (desk.alices, desk.alices, desk.roots):
        assert (await desk.ask("POST", "/orders", order, session))[0] == 201
    path = f"/admin/users/{desk.alice}"
    assert (await desk.ask("GET", path))[1]["live_orders"] == 2
    status, answer = await desk.ask("POST", f"{path}/cancel-orders", {"reason": "asked for by phone"})
    assert (status, answer["orders_cancelled"]) == (200, 2)
    assert (await desk.ask("GET", f"/admin/users/{desk.root}"))[1]["live_orders"] == 1, "of nobody else"
    status, answer = await desk.ask("POST", f"{path}/end-sessions", {"reason": "asked for by phone"})
    assert (status, answer) == (200, {"sessions_ended": 1})
    assert (await desk.ask("GET", "/auth/me", headers=desk.alices))[0] == 401
    rows = await desk.log()
    assert [row[1:3] for row in rows] == [
        ("user.cancel_orders", "Intended"), ("user.cancel_orders", "Done"), ("user.end_sessions", "Done"),
    ]  # fmt: skip
    assert rows[1][3] == exchange.corridor.sequence


@pytest.mark.parametrize("account", [0, 1, 999, 2**62])
async def test_what_is_no_user_is_not_touched(desk: Desk, exchange: Exchange, account: int) -> None:
    """Account 0 would be everybody to a mass cancel."""
    before = exchange.corridor.sequence
    for action in ("freeze", "thaw", "end-sessions", "cancel-orders"):
        status, problem = await desk.ask("POST", f"/admin/users/{account}/{action}", {"reason": "no such"})
        assert (status, problem["reason"]) == (404, "NOT_FOUND"), action
    assert (await desk.ask("GET", f"/admin/users/{account}"))[0] == 404
    assert exchange.corridor.sequence == before
    assert {row[2] for row in await desk.log()} == {"Refused"}


async def test_logins_of_admins_are_in_the_log_and_those_of_users_are_not(desk: Desk, exchange: Exchange) -> None:
    for name in ("alice", "root"):
        body = {"username": name, "password": "correct horse battery"}
        assert (await desk.ask("POST", "/auth/login", body))[0] == 200
    assert await desk.log() == [("root", "admin.login", "Done", None)]
    assert (await desk.ask("GET", "/auth/me"))[1]["role"] == "admin"
    async with exchange.database.engine.connect() as connection:
        assert (await verify(connection)).broken is None


async def test_a_command_that_the_exchange_cannot_take_is_recorded_as_one_whose_outcome_is_not_known(
    desk: Desk, exchange: Exchange
) -> None:
    exchange.corridor.role = "standby"  # type: ignore[misc]
    status, problem = await desk.ask("PUT", "/admin/markets/BTC-USD/mode", {"mode": "Halted"})
    assert (status, problem["reason"]) == (503, "UNAVAILABLE")
    _, page = await desk.ask("GET", "/admin/audit-log?action=market.set_mode")
    assert [row["outcome"] for row in page["items"]] == ["Unknown", "Intended"]
    assert page["items"][0]["intent"] == page["items"][1]["sequence"]
    assert page["items"][0]["reason"].startswith("UNAVAILABLE: ")
    assert page["items"][0]["parameters"] == {"symbol": "BTC/USD", "mode": "Halted"}


async def test_reasons_are_one_line_of_text(desk: Desk) -> None:
    for reason in ("", "  ", "no", "a\nb c", "x" * 501, "a\u0000bc", None):
        status, problem = await desk.ask("POST", f"/admin/users/{desk.alice}/freeze", {"reason": reason})
        assert (status, problem["field"]) == (422, "reason"), reason


async def test_where_admins_need_a_second_factor_they_are_none_without(database_url: str) -> None:
    async with (
        local_exchange(database_url, EXCHANGE_ADMIN_SECOND_FACTOR="on") as exchange,
        serving(with_order_entry(exchange)) as client,
    ):
        desk = Desk(client, exchange)
        await desk.begin()
        status, problem = await desk.ask("GET", "/admin/users")
        assert (status, problem["reason"], problem["field"]) == (403, "ADMIN_ONLY", "second_factor")
        _, enrolment = await desk.ask("POST", "/auth/second-factor", {"password": "correct horse battery"})
        await exchange.access.state.refresh()
        assert (await desk.ask("GET", "/admin/users"))[0] == 403, "not before it is confirmed"
        code = pyotp.TOTP(enrolment["secret"]).now()
        assert (await desk.ask("POST", "/auth/second-factor/confirm", {"code": code}))[0] == 200
        await exchange.access.state.refresh()
        assert (await desk.ask("GET", "/admin/users"))[0] == 200


async def test_a_position_limit_counts_what_is_owned_and_bid_for_and_not_what_waits_for_a_parent(
    desk: Desk, exchange: Exchange
) -> None:
    for name, amount in (("BTC", "1"), ("USD", "1000000")):
        asset = exchange.catalogue.asset(name)
        units = asset.to_units(amount, "amount")
        await exchange.corridor.deposit(desk.alice, asset.number, units)  # type: ignore[attr-defined]
    assert (await desk.ask("PATCH", "/admin/markets/BTC-USD", {"position_max": "1.5"}))[0] == 200
    bracket = {
        "kind": "bracket",
        "entry": {"symbol": "BTC/USD", "side": "Sell", "quantity": "1", "price": "70000"},
        "take_profit": {"order_type": "Limit", "price": "60000"},
        "stop_loss": {"order_type": "Stop", "trigger_price": "80000"},
    }
    status, lists = await desk.ask("POST", "/api/v1/order-lists", bracket, desk.alices)
    assert status == 201, lists
    assert [(order["side"], order["status"]) for order in lists["orders"][1:]] == [("Buy", "Waiting")] * 2

    async def buys(quantity: str) -> list[tuple[int, str | None, str | None]]:
        """What is foreseen, and what happens."""
        body = {"symbol": "BTC/USD", "side": "Buy", "quantity": quantity, "price": "50000"}
        answers = [await desk.ask("POST", path, body, desk.alices) for path in ("/orders/test", "/orders")]
        return [(status, answer.get("reason"), answer.get("nearest")) for status, answer in answers]

    assert await buys("0.6") == [(422, "POSITION_LIMIT", "0.5")] * 2
    assert await buys("0.5") == [(200, None, None), (201, None, None)]
    assert await buys("0.1") == [(422, "POSITION_LIMIT", None)] * 2

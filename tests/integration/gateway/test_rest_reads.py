"""What the reads answer, over real tables that follow a real journal."""

import asyncio
from typing import Any

import aiohttp
import pytest

from engine.records import Side, TimeInForce
from exchange.contracts import commands
from exchange.contracts.events import read_events
from exchange.contracts.refusals import EdgeReason, refuse
from exchange.gateway.context import Exchange
from tests.support.local_exchange import is_rejected, registered
from tests.support.traders import ETH_USD, Trader

MINUTE_NS = 60_000_000_000
DAY_BEGAN_NS = 1_767_312_000_000_000_000  # 2026-01-02T00:00:00Z


async def test_an_order_reads_as_placed_and_its_fills_as_traded(alice: Trader, bob: Trader) -> None:
    resting = await alice.place(Side.SELL, 5_000_000, 10**8, "ask-1")
    taker = await bob.place(Side.BUY, 5_100_000, 4 * 10**7)
    status, order = await alice.get(f"orders/{resting}")
    assert status == 200
    assert {name: order[name] for name in ("order_id", "client_order_id", "symbol", "side", "status")} == {
        "order_id": str(resting), "client_order_id": "ask-1", "symbol": "BTC/USD", "side": "Sell",
        "status": "PartiallyFilled",
    }  # fmt: skip
    assert (order["quantity"], order["filled_quantity"], order["remaining_quantity"]) == ("1", "0.4", "0.6")
    assert (order["price"], order["average_price"], order["filled_quote"]) == ("50000.00", "50000", "20000")
    assert order["fees"] == {"USD": "20"}
    (fill,) = order["fills"]
    assert (fill["liquidity"], fill["price"], fill["quantity"], fill["fee"], fill["fee_asset"]) == (
        "Maker", "50000.00", "0.4", "20", "USD",
    )  # fmt: skip
    _, trades = await bob.get(f"orders/{taker}/trades")
    assert [(fill["liquidity"], fill["fee"], fill["fee_asset"]) for fill in trades["items"]] == [
        ("Taker", "0.0008", "BTC")
    ]


async def test_a_dead_man_timer_shows_in_the_orders_that_it_ends(alice: Trader, bob: Trader) -> None:
    alice.corridor.now_ns = DAY_BEGAN_NS
    partly = await alice.place(Side.BUY, 5_000_000, 10**8)
    await bob.place(Side.SELL, 5_000_000, 4 * 10**7)
    untouched = await alice.place(Side.BUY, 4_000_000, 10**8)
    kept = await bob.place(Side.BUY, 4_000_000, 10**8)
    await alice.corridor.submit(commands.cancel_after(alice.account, DAY_BEGAN_NS + 5 * MINUTE_NS))
    alice.corridor.now_ns = DAY_BEGAN_NS + 5 * MINUTE_NS
    fired = await alice.corridor.submit(commands.clock())
    for order_id, filled in ((partly, "0.4"), (untouched, "0")):
        _, order = await alice.get(f"orders/{order_id}", min_sequence=fired.sequence)
        assert (order["status"], order["end_reason"], order["filled_quantity"]) == (
            "Cancelled",
            "DEAD_MAN_TIMER",
            filled,
        )
    assert (await bob.get(f"orders/{kept}", min_sequence=fired.sequence))[1]["status"] == "Open"
    _, balances = await alice.get("balances", min_sequence=fired.sequence)
    assert all(float(balance["held"]) == 0 for balance in balances["items"])


async def test_nobody_sees_what_is_not_theirs(alice: Trader, bob: Trader) -> None:
    order_id = await alice.place(Side.SELL, 5_000_000, 10**8, "mine")
    for path in (
        f"orders/{order_id}",
        f"orders/{order_id}/trades",
        f"orders/{2**63 - 1}",
        "orders/9999999999999999999",
    ):
        status, problem = await bob.get(path)
        assert (status, problem["reason"]) == (404, "UNKNOWN_ORDER"), path
    status, problem = await bob.get("orders/by-client-id/mine")
    assert (status, problem["reason"]) == (404, "NOT_RECEIVED")
    assert (await bob.get("orders"))[1] == {"items": [], "next_cursor": None}


async def test_the_same_paths_answer_below_orders_orders(alice: Trader) -> None:
    order_id = await alice.place(Side.SELL, 5_000_000, 10**8)
    for path in ("orders", f"orders/{order_id}", f"orders/{order_id}/trades"):
        assert await alice.get(f"orders/{path}") == await alice.get(path)


async def test_reads_never_lag_what_the_owner_was_told(alice: Trader) -> None:
    for _ in range(20):
        order_id = await alice.place(Side.BUY, 100, 10**8)
        status, order = await alice.get(f"orders/{order_id}")
        assert (status, order["status"]) == (200, "Open")
        assert (await alice.get("orders"))[1]["items"][0]["order_id"] == str(order_id)


async def test_tables_that_stand_still_make_reads_wait_and_then_say_so(
    alice: Trader, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange.gateway.context.READ_YOUR_WRITES_TIMEOUT_S", 0.05)
    alice.corridor.told_of[alice.account] = alice.corridor.sequence + 1
    async with alice.client.get("/api/v1/balances", headers=alice.headers) as answer:
        assert (answer.status, (await answer.json())["reason"]) == (503, "UNAVAILABLE")
        assert int(answer.headers["retry-after"]) >= 1


async def test_orders_are_listed_by_state_and_market_newest_first(alice: Trader) -> None:
    open_btc = await alice.place(Side.BUY, 100, 10**8)
    ended = await alice.place(Side.BUY, 100, 10**8, time_in_force=TimeInForce.IOC)
    open_eth = await alice.place(Side.BUY, 100, 10**8, market=ETH_USD)

    async def ids(**query: Any) -> list[int]:
        return [int(order["order_id"]) for order in (await alice.get("orders", **query))[1]["items"]]

    assert await ids() == await ids(status="all") == [open_eth, ended, open_btc]
    assert await ids(status="open") == [open_eth, open_btc]
    assert await ids(status="closed") == [ended]
    assert await ids(status="open", symbol="btc-usd") == [open_btc]


async def test_pages_join_without_gap_or_repetition(alice: Trader, bob: Trader) -> None:
    for number in range(7):
        await alice.place(Side.SELL, 5_000_000 + number, 10**6)
    await bob.place(Side.BUY, 5_000_100, 7 * 10**6)
    for path, key in (
        ("orders", "order_id"),
        ("ledger", "entry_id"),
        ("fills", "trade_id"),
        ("markets/BTC-USD/trades", "trade_id"),
    ):
        _, whole = await alice.get(path, limit=500)
        assert whole["next_cursor"] is None
        assert len(whole["items"]) >= 7
        seen: list[Any] = []
        cursor: dict[str, str] = {}
        while True:
            _, page = await alice.get(path, limit=3, **cursor)
            assert len(page["items"]) <= 3
            seen += page["items"]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert [item[key] for item in seen] == [item[key] for item in whole["items"]], path


async def test_an_order_that_trades_with_its_own_account_has_both_fills_on_every_page(alice: Trader) -> None:
    await alice.place(Side.SELL, 5_000_000, 10**6)
    await alice.place(Side.BUY, 5_000_000, 10**6)
    _, first = await alice.get("fills", limit=1)
    _, second = await alice.get("fills", limit=1, cursor=first["next_cursor"])
    assert {first["items"][0]["liquidity"], second["items"][0]["liquidity"]} == {"Maker", "Taker"}
    assert first["items"][0]["trade_id"] == second["items"][0]["trade_id"]


@pytest.mark.parametrize(
    "cursor", ["x", "Zm9v", "b3JkZXJzOi0x", "b3JkZXJzOjE6Mg", "=" * 8, "b3JkZXJzOjk5OTk5OTk5OTk5OTk5OTk5OTk", "ü"]
)
async def test_a_cursor_that_is_not_of_the_list_is_refused(alice: Trader, cursor: str) -> None:
    status, problem = await alice.get("orders", cursor=cursor)
    assert (status, problem["reason"], problem["field"]) == (422, "FIELD_INVALID", "cursor")


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("orders", {"limit": 0}, "limit"),
        ("orders", {"limit": 501}, "limit"),
        ("orders", {"limit": "many"}, "limit"),
        ("orders", {"status": "lost"}, "status"),
        ("orders/abc", {}, "order_id"),
        ("orders/-1", {}, "order_id"),
        ("markets/BTC-USD/depth", {"levels": 1001}, "levels"),
        ("markets/BTC-USD/candles", {"interval": "2m"}, "interval"),
        ("markets/BTC-USD/candles", {"end": "yesterday"}, "end"),
        ("markets/BTC-USD/candles", {"end": "2026-13-01T00:00:00Z"}, "end"),
    ],
)
async def test_a_bad_parameter_is_named(alice: Trader, path: str, query: dict[str, Any], field: str) -> None:
    status, problem = await alice.get(path, **query)
    assert (status, problem["reason"], problem["field"]) == (422, "FIELD_INVALID", field)


async def test_the_order_of_a_client_id_is_found_and_not_received_is_told(alice: Trader) -> None:
    order_id = await alice.place(Side.BUY, 100, 10**8, "mine-1")
    assert (await alice.get("orders/by-client-id/mine-1"))[1]["order_id"] == str(order_id)
    status, problem = await alice.get("orders/by-client-id/mine-2")
    assert (status, problem["reason"]) == (404, "NOT_RECEIVED")


async def test_a_refused_order_is_remembered_under_its_client_id(alice: Trader) -> None:
    sequence = await alice.place(Side.BUY, 5_000_000, 10**11, "too-much")
    status, problem = await alice.get("orders/by-client-id/too-much")
    assert (status, problem["reason"], problem["sequence"]) == (422, "INSUFFICIENT_FUNDS", sequence)


async def test_not_received_is_only_said_where_the_journal_is_led(alice: Trader) -> None:
    async def no_barrier() -> int:
        raise refuse(EdgeReason.UNAVAILABLE, "standing by")

    alice.corridor.barrier = no_barrier  # type: ignore[method-assign]
    status, problem = await alice.get("orders/by-client-id/unknown")
    assert (status, problem["reason"]) == (503, "UNAVAILABLE")


async def test_balances_and_ledger_agree_to_the_unit(alice: Trader, bob: Trader) -> None:
    await alice.place(Side.SELL, 5_000_001, 123_456_789)
    await bob.place(Side.BUY, 5_000_001, 23_456_789)
    for who in (alice, bob):
        _, balances = await who.get("balances")
        _, ledger = await who.get("ledger", limit=500)
        assert balances["sequence"] >= await who.corridor.told(who.account)
        for balance in balances["items"]:
            latest = next(entry for entry in ledger["items"] if entry["asset"] == balance["asset"])
            assert (latest["available"], latest["held"]) == (balance["available"], balance["held"])
    assert {entry["kind"] for entry in (await bob.get("ledger", asset="usd"))[1]["items"]} == {
        "Deposit",
        "Hold",
        "TradeOut",
    }
    status, problem = await bob.get("ledger", asset="DOGE")
    assert (status, problem["reason"]) == (422, "UNKNOWN_ASSET")


async def test_markets_tell_their_rules_and_their_day(alice: Trader, bob: Trader) -> None:
    _, empty = await alice.get("markets/ETH-USD")
    assert (empty["last_price"], empty["best_bid"], empty["change_24h"], empty["status"]) == (None, None, None, "Open")
    await alice.place(Side.SELL, 5_000_000, 10**8)
    await alice.place(Side.SELL, 5_100_000, 10**8)
    await bob.place(Side.BUY, 5_100_000, 2 * 10**8)
    await alice.place(Side.BUY, 4_900_000, 10**8)
    _, market = await alice.get("markets/btc-usd")
    rules = ("symbol", "tick_size", "lot_size", "maker_fee", "taker_fee", "notional_min")
    assert {name: market[name] for name in rules} == {
        "symbol": "BTC/USD", "tick_size": "0.01", "lot_size": "0.00000001", "maker_fee": "0.001", "taker_fee": "0.002",
        "notional_min": "0.01",
    }  # fmt: skip
    assert (market["last_price"], market["best_bid"], market["best_ask"]) == ("51000.00", "49000.00", None)
    assert (market["volume_24h"], market["change_24h"], market["high_24h"], market["low_24h"]) == (
        "2",
        "0.02",
        "51000.00",
        "50000.00",
    )
    _, markets = await alice.get("markets")
    assert [item["symbol"] for item in markets["items"]] == ["BTC/USD", "ETH/USD"]
    assert markets["items"][0] == market
    status, problem = await alice.get("markets/BTCUSD")
    assert (status, problem["reason"], problem["nearest"]) == (422, "UNKNOWN_SYMBOL", "BTC/USD")


async def test_depth_is_best_first_and_cut_to_the_levels_asked_for(alice: Trader) -> None:
    for price in (100, 102, 101):
        await alice.place(Side.BUY, price, 10**8)
    _, depth = await alice.get("markets/BTC-USD/depth", levels=2)
    assert (depth["bids"], depth["asks"]) == ([["1.02", "1"], ["1.01", "1"]], [])
    assert depth["sequence"] == alice.corridor.sequence


async def test_candles_of_every_interval_are_those_of_the_minutes(alice: Trader, bob: Trader) -> None:
    prices = {0: (100, 130), 1: (90,), 4: (95,), 5: (110,), 61: (120, 80)}
    for minute, minute_prices in prices.items():
        alice.corridor.now_ns = DAY_BEGAN_NS + minute * MINUTE_NS + 1
        for price in minute_prices:
            await alice.place(Side.SELL, price, 10**8)
            taker = await bob.place(Side.BUY, price, 10**8)
    await bob.get(f"orders/{taker}")  # the tables include it now

    async def candles(interval: str, **query: Any) -> list[tuple[str | int, ...]]:
        status, answer = await alice.get(
            "markets/BTC-USD/candles", interval=interval, end="2026-01-02T02:00:00Z", **query
        )
        assert status == 200, answer
        return [
            (
                candle["opened_at"][11:16],
                *(candle[name] for name in ("open", "high", "low", "close", "volume")),
                candle["trades"],
            )
            for candle in answer["items"]
        ]

    assert (await candles("1m"))[:2] == [
        ("00:00", "1.00", "1.30", "1.00", "1.30", "2", 2),
        ("00:01", "0.90", "0.90", "0.90", "0.90", "1", 1),
    ]
    assert await candles("5m") == [
        ("00:00", "1.00", "1.30", "0.90", "0.95", "4", 4),
        ("00:05", "1.10", "1.10", "1.10", "1.10", "1", 1),
        ("01:00", "1.20", "1.20", "0.80", "0.80", "2", 2),
    ]
    assert await candles("5m", limit=2) == (await candles("5m"))[1:]
    assert await candles("1h") == [
        ("00:00", "1.00", "1.30", "0.90", "1.10", "5", 5),
        ("01:00", "1.20", "1.20", "0.80", "0.80", "2", 2),
    ]
    assert await candles("1d") == [("00:00", "1.00", "1.30", "0.80", "0.80", "7", 7)]


async def test_the_faucet_gives_up_to_the_daily_limit_and_not_a_unit_more(
    client: aiohttp.ClientSession, exchange: Exchange
) -> None:
    _, headers = await registered(client)

    async def draw(amount: Any, asset: str = "BTC") -> tuple[int, Any]:
        async with client.post("/api/v1/faucet", json={"asset": asset, "amount": amount}, headers=headers) as answer:
            return answer.status, await answer.json()

    assert await draw("9999.5") == (201, {"asset": "BTC", "available": "9999.5", "held": "0", "total": "9999.5"})
    status, problem = await draw("0.50000001")
    assert (status, problem["reason"], problem["limit"], problem["nearest"]) == (422, "FAUCET_LIMIT", "10000", "0.5")
    assert (await draw("0.5"))[0] == 201
    status, problem = await draw("0.00000001")
    assert (status, problem["reason"], problem["nearest"]) == (422, "FAUCET_LIMIT", None)
    assert (await draw("10000000", "USD"))[0] == 201
    for amount, reason in (
        ("0", "AMOUNT_OUT_OF_RANGE"),
        ("-1", "FIELD_INVALID"),
        (5, "FIELD_INVALID"),
        ("1e3", "FIELD_INVALID"),
    ):
        assert (await draw(amount))[1]["reason"] == reason


async def test_draws_at_once_share_one_limit(client: aiohttp.ClientSession) -> None:
    _, headers = await registered(client)

    async def draw() -> int:
        async with client.post("/api/v1/faucet", json={"asset": "BTC", "amount": "4000"}, headers=headers) as answer:
            return answer.status

    assert sorted(await asyncio.gather(*[draw() for _ in range(4)])) == [201, 201, 422, 422]


async def test_a_rejected_command_is_a_rejected_event(alice: Trader) -> None:
    entry = await alice.corridor.submit(commands.cancel(alice.account, 1))
    assert is_rejected(entry)
    assert len(list(read_events(entry.events))) == 1

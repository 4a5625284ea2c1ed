"""An account's history: by time and by sequence, either way, as pages and as CSV; statements; and what was."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from engine.records import Side, TimeInForce
from exchange.contracts import commands
from exchange.contracts.orders import timestamp_text
from exchange.gateway.context import Exchange
from exchange.history.process import HistoryProcess
from exchange.storage import history
from tests.support.local_exchange import LocalCorridor
from tests.support.traders import ETH_USD, USD, Trader, trader

SECOND_NS = 1_000_000_000
DECEMBER_NS = 1_764_547_200_000_000_000  # 2025-12-01T00:00:00Z
JANUARY_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
FEBRUARY_NS = 1_769_904_000_000_000_000  # 2026-02-01T00:00:00Z


@pytest.fixture
async def corridor(corridor: LocalCorridor, exchange: Exchange) -> AsyncIterator[LocalCorridor]:
    """With what was, which a process of its own tells."""
    exchange.past = past = HistoryProcess(exchange.database.dsn, exchange.shard)
    yield corridor
    await past.close()


async def trade(alice: Trader, bob: Trader, times: int, price_ticks: int = 5_000_000) -> list[int]:
    """Alice sells to Bob so many times; return the sequences of the trades."""
    sequences = []
    for _ in range(times):
        await alice.place(Side.SELL, price_ticks, 10**6)
        sequences.append(await bob.place(Side.BUY, price_ticks, 10**6))
    return sequences


# --- Pages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "key"), [("orders", "order_id"), ("fills", "trade_id"), ("ledger", "entry_id")])
async def test_pages_of_either_direction_hold_everything_once(alice: Trader, bob: Trader, path: str, key: str) -> None:
    await trade(alice, bob, 7)
    newest = await alice.items(path, limit=3)
    oldest = await alice.items(path, limit=4, direction="oldest")
    assert newest == oldest[::-1]
    assert len({item[key] for item in newest}) == len(newest) >= 7
    sequences = [item["sequence"] for item in oldest]
    assert sequences == sorted(sequences)
    assert await alice.items(path, limit=500) == newest


@pytest.mark.parametrize("path", ["orders", "fills", "ledger"])
async def test_what_comes_between_two_pages_neither_shifts_nor_repeats(alice: Trader, bob: Trader, path: str) -> None:
    await trade(alice, bob, 4)
    expected = await alice.items(path)
    _, first = await alice.get(f"history/{path}", limit=2)
    found = first["items"]
    cursor = first["next_cursor"]
    while cursor:
        await trade(alice, bob, 1)
        _, page = await alice.get(f"history/{path}", limit=2, cursor=cursor)
        found += page["items"]
        cursor = page["next_cursor"]
    key = {"orders": "order_id", "fills": "trade_id", "ledger": "entry_id"}[path]
    assert [item[key] for item in found] == [item[key] for item in expected]


@pytest.mark.parametrize("path", ["orders", "fills", "ledger"])
async def test_bounds_by_sequence_and_by_time_cut_the_same(alice: Trader, bob: Trader, path: str) -> None:
    for number in range(6):
        alice.corridor.now_ns = JANUARY_NS + number * SECOND_NS
        await trade(alice, bob, 1)
    everything = await alice.items(path, direction="oldest")
    times = {"orders": "created_at", "fills": "executed_at", "ledger": "created_at"}[path]
    begin, end = timestamp_text(JANUARY_NS + 2 * SECOND_NS), timestamp_text(JANUARY_NS + 4 * SECOND_NS)
    expected = [item for item in everything if begin <= item[times] < end]
    assert 0 < len(expected) < len(everything)
    assert await alice.items(path, direction="oldest", from_time=begin, to_time=end) == expected
    identity = "order_id" if path == "orders" else "sequence"
    first, last = int(expected[0][identity]), int(expected[-1][identity])
    for query in ({"from_sequence": first, "to_sequence": last}, {"from_time": begin, "to_sequence": last}):
        assert await alice.items(path, direction="oldest", limit=2, **query) == expected
    assert await alice.items(path, from_time=timestamp_text(FEBRUARY_NS)) == []
    assert await alice.items(path, to_sequence=1) == []
    assert await alice.items(path, from_time=timestamp_text(0)) == everything[::-1]


async def test_filters_keep_what_they_name(alice: Trader, bob: Trader) -> None:
    await trade(alice, bob, 3)
    open_eth = await alice.place(Side.BUY, 100, 10**8, market=ETH_USD)
    ended = await alice.place(Side.BUY, 100, 10**8, time_in_force=TimeInForce.IOC)

    async def ids(**query: Any) -> list[int]:
        return [int(order["order_id"]) for order in await alice.items("orders", **query)]

    assert await ids(symbol="ETH-USD") == [open_eth]
    assert await ids(side="Buy") == [ended, open_eth]
    assert await ids(status="open") == await ids(status="Open") == [open_eth]
    assert await ids(status="Cancelled") == [ended]
    assert len(await ids(status="closed")) == 4
    assert {item["side"] for item in await bob.items("fills", side="Buy")} == {"Buy"}
    assert await bob.items("fills", side="Sell") == []
    assert {(item["asset"], item["kind"]) for item in await alice.items("ledger", asset="BTC", kind="TradeOut")} == {
        ("BTC", "TradeOut")
    }
    assert len(await alice.items("ledger", kind="Deposit")) == 2


async def test_a_filter_that_finds_little_ends_its_page_after_a_bounded_scan_and_goes_on(
    alice: Trader, bob: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "SCAN_ROWS_MAX", 5)
    first = await alice.place(Side.BUY, 90, 10**8, market=ETH_USD)
    await trade(alice, bob, 8)
    last = await alice.place(Side.BUY, 91, 10**8, market=ETH_USD)
    status, page = await alice.get("history/orders", symbol="ETH-USD")
    assert (status, [item["order_id"] for item in page["items"]]) == (200, [str(last)])
    assert page["next_cursor"], "the rest was not looked at yet"
    for direction, expected in (("newest", [last, first]), ("oldest", [first, last])):
        found = await alice.items("orders", symbol="ETH-USD", direction=direction)
        assert [int(item["order_id"]) for item in found] == expected


async def test_bad_questions_are_refused_by_field(alice: Trader) -> None:
    _, page = await alice.get("history/ledger", limit=1)
    for path, query, field in (
        ("orders", {"cursor": page["next_cursor"]}, "cursor"),
        ("ledger", {"cursor": page["next_cursor"], "direction": "oldest"}, "cursor"),
        ("orders", {"from_time": "yesterday"}, "from_time"),
        ("orders", {"status": "Sleeping"}, "status"),
        ("orders", {"limit": 501}, "limit"),
        ("orders", {"from_sequence": -1}, "from_sequence"),
        ("ledger", {"kind": "Gift"}, "kind"),
        ("fills", {"symbol": "DOGE-USD"}, "symbol"),
        ("book", {"symbol": "BTC-USD", "sequence": 0}, "sequence"),
        ("balances", {"sequence": 2**40}, "sequence"),
        ("statements/2026-13", {}, "month"),
        ("statements/9999-01", {}, "month"),
    ):
        status, problem = await alice.get(f"history/{path}", **query)
        assert (status, problem["field"]) == (422, field), (path, problem)


async def test_nobody_sees_what_is_not_theirs(alice: Trader, bob: Trader) -> None:
    await alice.place(Side.SELL, 6_000_000, 10**6)
    assert await bob.items("orders") == await bob.items("fills") == []
    async with alice.client.get("/api/v1/history/orders", params={"min_sequence": 10**9}) as answer:
        assert answer.status == 401, "who asks is known before anybody waits"


# --- As of a sequence ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["balances", "orders", "fills", "ledger", "history/orders", "history/fills", "history/ledger",
     "history/statements/2026-01", "markets/BTC-USD/depth", "markets/BTC-USD/trades", "markets/BTC-USD/candles"],
)  # fmt: skip
async def test_a_read_waits_for_the_sequence_that_is_asked_for(
    alice: Trader, exchange: Exchange, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequence = await alice.place(Side.BUY, 100, 10**8)
    status, _ = await alice.get(path, min_sequence=sequence)
    assert (status, exchange.projections.watermark >= sequence) == (200, True)
    monkeypatch.setattr("exchange.gateway.context.MIN_SEQUENCE_TIMEOUT_S", 0.05)
    status, problem = await alice.get(path, min_sequence=sequence + 1)
    assert (status, problem["field"], problem["nearest"]) == (422, "min_sequence", str(sequence)), "nobody was told"
    alice.corridor.sequence += 1  # as if the tables were behind
    status, problem = await alice.get(path, min_sequence=sequence + 1)
    assert (status, problem["reason"], problem["watermark"]) == (503, "UNAVAILABLE", sequence)


async def test_lists_never_lag_what_the_owner_was_told(alice: Trader) -> None:
    for _ in range(15):
        order_id = await alice.place(Side.BUY, 100, 10**8)
        _, page = await alice.get("history/orders", limit=1)
        assert page["items"][0]["order_id"] == str(order_id)
        assert page["sequence"] >= order_id


# --- What was -----------------------------------------------------------------------------------------------------


async def test_books_and_balances_of_the_past_are_those_that_were_answered_then(alice: Trader, bob: Trader) -> None:
    told = {}
    for number in range(6):
        await alice.place(Side.SELL, 5_000_000 + number, 10**6)
        sequence = await bob.place(Side.BUY, 4_999_990 + 2 * number, 2 * 10**6)
        _, depth = await alice.get("markets/BTC-USD/depth", min_sequence=sequence)
        _, balances = await bob.get("balances", min_sequence=sequence)
        told[sequence] = (depth, balances["items"])
    for sequence, (depth, balances) in told.items():
        async with alice.client.get(
            "/api/v1/history/book", params={"symbol": "btc-usd", "sequence": sequence, "levels": 50}
        ) as answer:
            book = await answer.json()
            assert answer.status == 200, "everybody may see it"
        assert {name: book[name] for name in depth} == depth
        status, past = await bob.get("history/balances", sequence=sequence)
        assert (status, past["items"]) == (200, balances)
    status, problem = await alice.get("history/book", symbol="BTC-USD", sequence=2)
    assert (status, problem["reason"]) == (422, "UNKNOWN_SYMBOL"), "it was defined later"


# --- CSV ----------------------------------------------------------------------------------------------------------


async def test_exports_hold_what_the_lists_hold(alice: Trader, bob: Trader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchange.gateway.history.EXPORT_ROWS", 3)
    await trade(alice, bob, 5)
    for path, key in (("orders", "order_id"), ("fills", "trade_id"), ("ledger", "entry_id")):
        items = await alice.items(path, direction="oldest")
        rows = await alice.rows(f"{path}.csv")
        assert [row[key] for row in rows] == [item[key] for item in items]
        for row, item in zip(rows, items, strict=True):
            shared = row.keys() & item.keys()
            assert {name: row[name] for name in shared} == {name: _text(item[name]) for name in shared}
            assert len(row.keys() - shared) == (2 if path == "orders" else 0)
    assert (await alice.rows("orders.csv"))[0]["fee_asset"] == "USD"
    assert len(await alice.rows("ledger.csv", kind="Deposit", direction="newest")) == 2


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


# --- Statements ---------------------------------------------------------------------------------------------------


async def test_a_statement_adds_up_to_the_ledger_and_joins_the_month_before(
    client: aiohttp.ClientSession, corridor: LocalCorridor
) -> None:
    corridor.now_ns = DECEMBER_NS
    alice, bob = await trader(client, corridor, "alice"), await trader(client, corridor, "bob")
    for month_ns in (DECEMBER_NS, JANUARY_NS, FEBRUARY_NS - 1):
        corridor.now_ns = month_ns
        await trade(alice, bob, 3, price_ticks=5_000_003)
        await alice.place(Side.SELL, 6_000_000, 10**6)  # stays held
    corridor.now_ns = FEBRUARY_NS
    await corridor.submit(commands.withdraw(alice.account, USD, 12_345))
    _, december = await alice.get("history/statements/2025-12")
    _, january = await alice.get("history/statements/2026-01")
    _, february = await alice.get("history/statements/2026-02")
    assert december["complete"] and january["complete"]
    assert (january["first_sequence"], february["first_sequence"]) == (
        december["last_sequence"] + 1, january["last_sequence"] + 1,
    )  # fmt: skip
    closings = {asset["asset"]: asset["closing"] for asset in december["assets"]}
    assert {asset["asset"]: asset["opening"] for asset in january["assets"]} == closings
    for statement in (december, january, february):
        for asset in statement["assets"]:
            moved = sum(Decimal(movement["amount"]) for movement in asset["movements"])
            assert Decimal(asset["opening"]) + moved == Decimal(asset["closing"])
    entries = [
        entry
        for entry in await alice.items("ledger")
        if january["first_sequence"] <= entry["sequence"] <= january["last_sequence"]
    ]
    for asset in january["assets"]:
        for movement in asset["movements"]:
            of_kind = [e for e in entries if (e["asset"], e["kind"]) == (asset["asset"], movement["kind"])]
            total = sum(Decimal(e["available_change"]) + Decimal(e["held_change"]) for e in of_kind)
            assert (len(of_kind), total) == (movement["entries"], Decimal(movement["amount"]))
        fees = [Decimal(m["amount"]) for m in asset["movements"] if m["kind"] == "Fee"]
        assert Decimal(asset["fees"]) == -sum(fees)
    _, now = await alice.get("balances")
    assert {item["asset"]: item["total"] for item in now["items"]} == {
        asset["asset"]: asset["closing"] for asset in february["assets"]
    }
    assert {item["asset"]: item["held"] for item in now["items"]} == {
        asset["asset"]: asset["closing_held"] for asset in february["assets"]
    }
    rows = await alice.rows("statements/2026-01.csv")
    usd = [row for row in rows if row["asset"] == "USD"]
    assert (usd[0]["item"], usd[-1]["item"]) == ("Opening", "Closing")
    assert sum(Decimal(row["amount"]) for row in usd[:-1]) == Decimal(usd[-1]["amount"])


async def test_a_month_before_everything_is_empty_and_this_month_is_not_complete(alice: Trader) -> None:
    _, empty = await alice.get("history/statements/1999-01")
    assert (empty["assets"], empty["complete"], empty["last_sequence"]) == ([], True, 0)
    status, problem = await alice.get("history/statements/9000-01")
    assert status == 422
    _, this_month = await alice.get(f"history/statements/{problem['nearest']}")
    assert not this_month["complete"]
    assert {asset["asset"]: asset["closing"] for asset in this_month["assets"]} == {"USD": "1000000", "BTC": "100"}


async def test_a_statement_that_does_not_add_up_is_not_told(alice: Trader, exchange: Exchange) -> None:
    from tests.support.stored import tamper

    await alice.get("balances")
    await tamper(
        exchange.database.dsn,
        "UPDATE ledger SET available_after[1] = available_after[1] + 1 WHERE (account, sequence) ="
        f" (SELECT account, sequence FROM ledger WHERE account = {alice.account} ORDER BY sequence DESC LIMIT 1)",
    )
    _, nearest = await alice.get("history/statements/9000-01")
    status, problem = await alice.get(f"history/statements/{nearest['nearest']}")
    assert (status, problem["reason"]) == (503, "UNAVAILABLE")

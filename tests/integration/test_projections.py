"""The tables follow the journal: they say what the engine says, always in the same way, whatever happens in between."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from engine.records import (
    EXTERNAL_ACCOUNT,
    FLAG_AUCTION,
    REVENUE_ACCOUNT,
    CommandKind,
    EventKind,
    OrderType,
    Reason,
)
from exchange.contracts.events import find_refusal, read_events
from exchange.contracts.order_state import OrderStatus
from exchange.contracts.refusals import END_REASONS
from exchange.projections.runner import ProjectionRunner
from exchange.projections.slice import ProjectionError
from exchange.storage.database import connect
from tests.support import commands, flow, full_flow
from tests.support.commands import BUY, SELL, Sequencer
from tests.support.journal import SHARD, Entry, JournalWriter

Rows = dict[str, list[tuple[Any, ...]]]
PROJECTED = (
    "watermarks", "assets", "markets", "orders", "rejections", "trades", "fills", "balances", "ledger",
    "candles_1m", "transfers", "account_fees", "account_volumes",
)  # fmt: skip
MINUTE_NS = 60 * 10**9


@dataclass(frozen=True)
class Played:
    """A random flow that an engine has taken: much trades, some is refused, orders have client order ids."""

    writer: JournalWriter
    entries: list[Entry]


PLACING = (CommandKind.PLACE, CommandKind.CANCEL_REPLACE)
TRANSFERRING = (CommandKind.DEPOSIT, CommandKind.WITHDRAW)


def flow_commands(count: int) -> Iterator[bytes]:
    """Everything that the engine can be told, as an edge and a writer would: ids once, and time that goes on."""
    now_ns = 0
    for number, command in enumerate(flow.stamped(full_flow.full_flow(7, count)), start=1):
        account = int.from_bytes(command[24:32], "little")
        name = f"desk-{number}" if number % 3 and account in full_flow.ACCOUNTS else ""
        if command[1] in PLACING:
            command = commands.override(command, client_order_id=name.encode())
        elif command[1] in TRANSFERRING:
            command = commands.override(command, reference=name.encode())
            if command[1] == CommandKind.WITHDRAW and number % 4 == 0:
                command = commands.override(command, amount=10**15)  # nobody has so much
        now_ns = max(now_ns, int.from_bytes(command[16:24], "little", signed=True))
        yield commands.stamp(command, number, now_ns)


@pytest.fixture(scope="module")
def played() -> Played:
    writer = JournalWriter("")
    return Played(writer, writer.apply(flow_commands(4_000)))


@pytest.fixture
async def journal_url(database_url: str, played: Played) -> str:
    """A database whose journal holds the flow, and nothing is projected yet."""
    writer = JournalWriter(database_url)
    await writer.lead()
    await writer.append(played.entries)
    return database_url


@pytest.fixture
async def projected(journal_url: str, played: Played) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection to a database whose tables have followed the flow."""
    await follow(journal_url, played)
    connection = await connect(journal_url)
    yield connection
    await connection.close()


async def follow(url: str, played: Played, slice_entries: int = 100) -> None:
    """Let a runner bring the tables to the flow's end."""
    async with running(ProjectionRunner(url, SHARD, slice_entries=slice_entries)) as runner:
        await runner.wait_for(played.entries[-1].sequence, 60)


async def rebuild(url: str, slice_entries: int = 500) -> None:
    runner = ProjectionRunner(url, SHARD, slice_entries=slice_entries)
    await runner.rebuild()
    await runner.close()


@asynccontextmanager
async def running(runner: ProjectionRunner) -> AsyncIterator[ProjectionRunner]:
    """Let the runner follow the journal meanwhile; what stops it fails the test."""
    async with asyncio.TaskGroup() as group:
        following = group.create_task(runner.run())
        yield runner
        following.cancel()


async def all_rows(url: str) -> Rows:
    connection = await connect(url)
    rows = {table: sorted(map(repr, await connection.fetch(f"SELECT * FROM {table}"))) for table in PROJECTED}
    await connection.close()
    return rows  # type: ignore[return-value]


# --- What the tables say ------------------------------------------------------------------------------------------


async def test_balances_are_the_engines(projected: "asyncpg.Connection[asyncpg.Record]", played: Played) -> None:
    rows = await projected.fetch("SELECT account, asset, available, held FROM balances")
    found = {(row["account"], row["asset"]): (int(row["available"]), int(row["held"])) for row in rows}
    engine = played.writer.engine
    assert {key: balance for key, balance in found.items() if balance != (0, 0)} == engine.balances()
    assert {(EXTERNAL_ACCOUNT, 1), (REVENUE_ACCOUNT, 1)} <= set(found)


async def test_the_ledger_sums_to_zero_and_leads_to_every_balance(
    projected: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    rows = await projected.fetch("SELECT * FROM ledger_entries ORDER BY sequence, position")
    balances: defaultdict[tuple[int, int], tuple[int, int]] = defaultdict(lambda: (0, 0))
    sums: defaultdict[tuple[int, int], int] = defaultdict(int)
    positions: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for row in rows:
        key = row["account"], row["asset"]
        available, held = balances[key]
        balances[key] = (available + row["available_change"], held + row["held_change"])
        assert balances[key] == (row["available_after"], row["held_after"])
        sums[row["sequence"], row["asset"]] += row["available_change"] + row["held_change"]
        positions[row["sequence"], row["account"]].append(row["position"])
    assert not any(sums.values()), "what one balance loses another gets"
    assert all(found == list(range(len(found))) for found in positions.values())
    table = await projected.fetch("SELECT account, asset, available, held FROM balances")
    assert {(row["account"], row["asset"]): (row["available"], row["held"]) for row in table} == balances


async def test_ledger_entries_name_their_order_and_trade(projected: "asyncpg.Connection[asyncpg.Record]") -> None:
    wrong = await projected.fetchval(
        "SELECT count(*) FROM ledger_entries WHERE (order_id IS NOT NULL) <> (kind >= 3)"
        " OR (kind IN (5, 6, 7) AND trade_id IS NULL) OR (kind <= 3 AND trade_id IS NOT NULL)"
    )
    strangers = await projected.fetchval(
        "SELECT count(*) FROM ledger_entries e JOIN orders o USING (shard, order_id)"
        " WHERE e.account <> o.account AND e.account <> 1"
    )
    assert (wrong, strangers) == (0, 0)


async def test_orders_conserve_their_quantity_and_agree_with_their_fills(
    projected: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    rows = await projected.fetch(
        "SELECT o.*, coalesce(f.lots, 0) AS fill_lots, coalesce(f.fees, 0) AS fill_fees, coalesce(f.quote, 0) AS quote"
        " FROM orders o LEFT JOIN (SELECT order_id, sum(fills.quantity_lots) AS lots, sum(fee_units) AS fees,"
        " sum(notional_units) AS quote FROM fills JOIN trades USING (shard, trade_id) GROUP BY order_id) f"
        " USING (order_id)"
    )
    assert {row["status"] for row in rows} == set(OrderStatus)
    for row in rows:
        status = OrderStatus(row["status"])
        live = status <= OrderStatus.PARTIALLY_FILLED
        assert row["filled_lots"] == row["fill_lots"] <= row["quantity_lots"]
        assert (row["fee_units"], row["filled_quote_units"]) == (row["fill_fees"], row["quote"])
        assert row["remaining_lots"] == (row["quantity_lots"] - row["filled_lots"] if live else 0)
        assert (status == OrderStatus.FILLED) <= (row["filled_lots"] == row["quantity_lots"] > 0)
        assert (status == OrderStatus.WAITING) == (row["waiting"] > 0)
        assert (status in (OrderStatus.WAITING, OrderStatus.OPEN, OrderStatus.REJECTED)) <= (row["filled_lots"] == 0)
        assert (row["end_reason"] == 0) == (live or status == OrderStatus.FILLED)
        assert (status == OrderStatus.EXPIRED) == (row["end_reason"] == Reason.EXPIRED)
        assert row["order_id"] <= row["sequence"]
        assert row["created_ns"] <= row["updated_ns"]


async def test_orders_end_for_every_reason_that_there_is(projected: "asyncpg.Connection[asyncpg.Record]") -> None:
    rows = await projected.fetch("SELECT DISTINCT end_reason FROM orders WHERE end_reason <> 0")
    found = {row["end_reason"] for row in rows}
    assert found <= set(END_REASONS)
    assert found >= {reason for reason in END_REASONS if reason >= 4_000}


async def test_live_orders_are_the_engines(projected: "asyncpg.Connection[asyncpg.Record]", played: Played) -> None:
    rows = {row["order_id"]: row for row in await projected.fetch("SELECT * FROM orders WHERE status <= 2")}
    live = {order.order_id: order for order in played.writer.engine.orders()}
    assert rows.keys() == live.keys()
    assert {order.waiting for order in live.values()} == {0, 1, 2}
    assert len(live) > 50
    for order_id, order in live.items():
        row = rows[order_id]
        for name in (
            "account", "market", "side", "order_type", "time_in_force", "self_trade", "price_ticks", "quantity_lots",
            "remaining_lots", "display_lots", "visible_lots", "expire_ns", "trail_ticks", "waiting",
        ):  # fmt: skip
            assert row[name] == getattr(order, name), (order_id, name)
        assert row["flags"] & 3 == order.flags
        assert row["client_order_id"] == (order.client_order_id.decode() or None)
        if order.order_type != OrderType.TRAILING_STOP:
            assert row["trigger_price_ticks"] == order.trigger_price_ticks
        # Links stay in the tables when the other order has ended.
        assert order.other_leg in (0, row["other_leg_id"])
        assert order.child in (0, row["child_id"])
    assert any(order.other_leg for order in live.values())
    assert any(order.child for order in live.values())


async def test_every_command_with_a_client_order_id_is_found_by_it(
    projected: "asyncpg.Connection[asyncpg.Record]", played: Played
) -> None:
    sent: dict[tuple[int, str], int] = {}
    for entry in played.entries:
        command = commands.read_command(entry.command)
        known = any(event.kind in (EventKind.ACCEPTED, EventKind.REJECTED) for event in read_events(entry.events))
        refusal = find_refusal(entry.events)
        unread = refusal is not None and refusal.reason == Reason.UNKNOWN_KIND
        if command.get("client_order_id") and command["kind"] in PLACING and known and not unread:
            sent[command["account"], command["client_order_id"].decode()] = entry.sequence
    accepted = await projected.fetch(
        "SELECT account, client_order_id, order_id FROM orders WHERE client_order_id IS NOT NULL"
    )
    refused = await projected.fetch("SELECT account, client_order_id, sequence, reason FROM rejections")
    assert {(row[0], row[1]): row[2] for row in [*accepted, *refused]} == sent
    assert len(accepted) + len(refused) == len(sent)
    refusals = {entry.sequence: find_refusal(entry.events) for entry in played.entries}
    assert len(refused) > 10
    for row in refused:
        refusal = refusals[row["sequence"]]
        assert refusal is not None
        assert row["reason"] == refusal.reason


async def test_every_transfer_is_in_its_table_and_found_by_its_reference(
    projected: "asyncpg.Connection[asyncpg.Record]", played: Played
) -> None:
    happened = {EventKind.DEPOSITED: 1, EventKind.WITHDRAWN: 2}
    expected = []
    for entry in played.entries:
        command = commands.read_command(entry.command)
        for event in read_events(entry.events):
            wanting = event.kind == EventKind.REJECTED and event.reason == Reason.INSUFFICIENT_FUNDS
            remembered = wanting and command["kind"] == CommandKind.WITHDRAW and command["reference"]
            if event.kind in happened or remembered:
                name = command["reference"].decode() or None
                row = (entry.sequence, event.account, event.asset, event.amount, name, event.reason)
                expected.append((happened.get(EventKind(event.kind), 2), *row))
    query = "SELECT kind, sequence, account, asset, amount, reference, reason FROM transfers ORDER BY sequence"
    assert [tuple(row) for row in await projected.fetch(query)] == expected
    assert {(kind, bool(reason)) for kind, *_, reason in expected} == {(1, False), (2, False), (2, True)}


async def test_a_used_reference_in_the_journal_is_a_broken_invariant(database_url: str) -> None:
    sequencer = Sequencer()
    twice = [commands.deposit(2, 1, 5, b"wire-1"), commands.deposit(2, 1, 5, b"wire-1")]
    writer = JournalWriter(database_url)
    await writer.lead()
    await writer.write([sequencer.stamp(command) for command in [*flow.opening(), *twice]])
    with pytest.raises(asyncpg.UniqueViolationError):
        await rebuild(database_url)


async def test_trades_and_fills_are_the_traded_events(
    projected: "asyncpg.Connection[asyncpg.Record]", played: Played
) -> None:
    traded = [
        event for entry in played.entries for event in read_events(entry.events) if event.kind == EventKind.TRADED
    ]
    trades = await projected.fetch(
        "SELECT trade_id, sequence, market, side, price_ticks, quantity_lots, notional_units, taker_order_id,"
        " maker_order_id, executed_ns, is_auction FROM trades ORDER BY trade_id"
    )
    assert [tuple(row) for row in trades] == [
        (t.trade_id, t.sequence, t.market, t.side, t.price_ticks, t.quantity_lots, t.amount, t.order_id,
         t.maker_order_id, t.timestamp_ns, bool(t.flags & FLAG_AUCTION))
        for t in traded
    ]  # fmt: skip
    fills = await projected.fetch(
        "SELECT trade_id, is_maker, account, order_id, side, fee_units FROM fills ORDER BY trade_id, is_maker"
    )
    taken = [(t.trade_id, False, t.account, t.order_id, t.side, t.taker_fee) for t in traded]
    made = [(t.trade_id, True, t.maker_account, t.maker_order_id, 3 - t.side, t.maker_fee) for t in traded]
    assert [tuple(row) for row in fills] == sorted(taken + made)
    assert any(t.account == t.maker_account for t in traded), "the flow holds accounts that trade with themselves"
    assert any(t.flags & FLAG_AUCTION for t in traded)


async def test_candles_are_the_minutes_of_the_trades(projected: "asyncpg.Connection[asyncpg.Record]") -> None:
    expected = await projected.fetch(
        "SELECT market, executed_ns / $1 * $1 AS opened_ns, (array_agg(price_ticks ORDER BY trade_id))[1] AS open,"
        " max(price_ticks), min(price_ticks), (array_agg(price_ticks ORDER BY trade_id DESC))[1] AS close,"
        " sum(quantity_lots), sum(notional_units), count(*) FROM trades GROUP BY 1, 2 ORDER BY 1, 2",
        MINUTE_NS,
    )
    found = await projected.fetch(
        "SELECT market, opened_ns, open_ticks, high_ticks, low_ticks, close_ticks, volume_lots, quote_units, trades"
        " FROM candles_1m ORDER BY 1, 2"
    )
    assert [tuple(row) for row in found] == [tuple(row) for row in expected]
    assert len(found) >= 2 * len(flow.MARKETS)


async def test_the_catalogue_is_what_was_defined_on_the_terms_in_force(
    projected: "asyncpg.Connection[asyncpg.Record]", played: Played
) -> None:
    assert [tuple(row) for row in await projected.fetch("SELECT asset, name, scale, sequence FROM assets")] == [
        (1, "USD", 2, 1), (2, "BTC", 2, 2), (3, "ETH", 2, 3),
    ]  # fmt: skip
    engine = played.writer.engine
    records = [commands.read_command(record) for record in engine.definitions()]
    terms = {record["market"]: record for record in records if record["kind"] == CommandKind.DEFINE_MARKET}
    configured = {record["market"]: record for record in records if record["kind"] == CommandKind.CONFIGURE_MARKET}
    rows = await projected.fetch("SELECT * FROM markets ORDER BY market")
    assert [row["market"] for row in rows] == list(terms)
    assert configured
    for row in rows:
        expected = terms[row["market"]] | configured.get(row["market"], {})
        assert row["symbol"] == expected["symbol"].decode()
        assert row["mode"] == engine.state(row["market"]).mode
        assert row["sequence"] == terms[row["market"]]["sequence"]
        names = set(row.keys()) & set(expected) - {"symbol", "sequence"}
        assert {name: row[name] for name in names} == {name: expected[name] for name in names}
        assert {"band_ppm", "open_orders_max"} <= names or row["market"] not in configured


async def test_amounts_beyond_64_bits_are_exact(database_url: str) -> None:
    most = 2**62 - 1
    sequencer = Sequencer()
    batch = [commands.define_asset(1, "USD"), *[commands.deposit(9, 1, most)] * 5, commands.withdraw(9, 1, 1)]
    writer = JournalWriter(database_url)
    await writer.lead()
    await writer.write([sequencer.stamp(command) for command in batch])
    await rebuild(database_url, 4)
    connection = await connect(database_url)
    rows = await connection.fetch("SELECT account, available, held FROM balances ORDER BY account")
    assert [tuple(map(int, row)) for row in rows] == [(0, 1 - 5 * most, 0), (9, 5 * most - 1, 0)]
    await connection.close()


# --- However it came there ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("slice_entries", [1, 7, 10_000])
async def test_the_tables_do_not_depend_on_how_the_journal_was_sliced(
    database_url: str, played: Played, slice_entries: int
) -> None:
    some = Played(JournalWriter(database_url), played.entries[:300])
    await some.writer.lead()
    await some.writer.append(some.entries)
    await follow(database_url, some)
    expected = await all_rows(database_url)
    await rebuild(database_url, slice_entries)
    assert await all_rows(database_url) == expected


async def test_a_rebuild_gives_identical_tables(journal_url: str, played: Played) -> None:
    await follow(journal_url, played)
    expected = await all_rows(journal_url)
    seen: list[tuple[int, int]] = []
    runner = ProjectionRunner(journal_url, SHARD, slice_entries=333)
    await runner.rebuild(progress=lambda watermark, end: seen.append((watermark, end)))
    await runner.close()
    assert await all_rows(journal_url) == expected
    end = played.entries[-1].sequence
    assert seen == [(min(watermark, end), end) for watermark in range(333, end + 333, 333)]


@pytest.mark.parametrize("name", ["catalogue", "orders", "trades", "balances", "candles"])
async def test_each_projection_can_be_rebuilt_alone_while_another_runner_follows(
    journal_url: str, played: Played, name: str
) -> None:
    end = played.entries[-1].sequence
    async with running(ProjectionRunner(journal_url, SHARD, slice_entries=200)) as following:
        await following.wait_for(end, 60)
        expected = await all_rows(journal_url)
        rebuilding = ProjectionRunner(journal_url, SHARD, slice_entries=200)
        await rebuilding.rebuild([name])
        assert rebuilding.watermark == end
        await rebuilding.close()
    assert await all_rows(journal_url) == expected


async def test_an_unknown_projection_is_named_with_those_there_are(journal_url: str) -> None:
    with pytest.raises(ValueError, match="'order'; there are: catalogue, orders, trades, balances, candles"):
        await ProjectionRunner(journal_url, SHARD).rebuild(["order"])


async def test_runners_beside_each_other_apply_every_entry_once(journal_url: str, played: Played) -> None:
    end = played.entries[-1].sequence
    runners = [ProjectionRunner(journal_url, SHARD, slice_entries=entries) for entries in (50, 77, 110)]
    async with running(runners[0]), running(runners[1]), running(runners[2]):
        for runner in runners:
            await runner.wait_for(end, 60)
    found = await all_rows(journal_url)
    await rebuild(journal_url)
    assert await all_rows(journal_url) == found


async def test_a_runner_survives_the_loss_of_its_connection_at_any_moment(
    journal_url: str, played: Played, caplog: pytest.LogCaptureFixture
) -> None:
    end = played.entries[-1].sequence
    connection = await connect(journal_url)
    kill = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name = 'exchange projections' AND datname = current_database()"
    )
    killed = 0
    async with running(ProjectionRunner(journal_url, SHARD, slice_entries=20)) as runner:
        while runner.watermark < end:
            await asyncio.sleep(0.03)
            if killed < 4:
                killed += await connection.fetchval(kill)
        await runner.wait_for(end, 60)
    await connection.close()
    assert killed >= 4
    assert "projections wait for Postgres" in caplog.text
    found = await all_rows(journal_url)
    await rebuild(journal_url)
    assert await all_rows(journal_url) == found


async def test_a_runner_that_is_cancelled_anywhere_continues_where_it_was(journal_url: str, played: Played) -> None:
    end = played.entries[-1].sequence
    runner = ProjectionRunner(journal_url, SHARD, slice_entries=100)
    chance = random.Random(1)
    interrupted = 0
    while runner.watermark < end:
        async with running(runner):
            await runner.wait_for(runner.watermark + 1, 60)
            await asyncio.sleep(chance.uniform(0, 0.02))
        interrupted += 1
    assert interrupted >= 5
    found = await all_rows(journal_url)
    await rebuild(journal_url)
    assert await all_rows(journal_url) == found


# --- Following, waiting, failing ----------------------------------------------------------------------------------


async def test_waiting_returns_when_the_tables_include_the_entry(database_url: str) -> None:
    writer, sequencer = JournalWriter(database_url), Sequencer()
    await writer.lead()
    async with running(ProjectionRunner(database_url, SHARD)) as runner:
        connection = await connect(database_url)
        for number in range(1, 6):
            await writer.write([sequencer.stamp(commands.define_asset(number, f"A{number}"))])
            runner.nudge(number)
            await runner.wait_for(number, 30)
            assert await connection.fetchval("SELECT count(*) FROM assets") == number
            assert (runner.watermark, runner.lag) == (number, 0)
        await connection.close()


async def test_a_runner_that_nobody_nudges_finds_new_entries_by_itself(database_url: str) -> None:
    writer, sequencer = JournalWriter(database_url), Sequencer()
    await writer.lead()
    async with running(ProjectionRunner(database_url, SHARD)) as runner:
        await asyncio.sleep(0.1)
        await writer.write([sequencer.stamp(commands.define_asset(1, "USD"))])
        async with asyncio.timeout(30):
            while runner.watermark < 1:  # noqa: ASYNC110 - nobody may wait for it or nudge it here
                await asyncio.sleep(0.02)


async def test_waiting_for_what_does_not_come_times_out_and_tells_where_the_tables_are(database_url: str) -> None:
    async with running(ProjectionRunner(database_url, SHARD)) as runner:
        with pytest.raises(TimeoutError, match=r"not reached entry 1 within 0\.05 s; they are at 0"):
            await runner.wait_for(1, 0.05)
        assert runner.lag == 1


async def test_several_wait_for_different_entries_and_each_gets_its_own(journal_url: str, played: Played) -> None:
    runner = ProjectionRunner(journal_url, SHARD, slice_entries=100)
    reached: list[int] = []

    async def wait(sequence: int) -> None:
        await runner.wait_for(sequence, 60)
        assert runner.watermark >= sequence
        reached.append(sequence)

    async with running(runner):
        await asyncio.gather(*[wait(sequence) for sequence in (900, 50, 1_700, 300)])
    assert reached == [50, 300, 900, 1_700]


async def test_others_get_a_turn_within_a_large_slice(journal_url: str, played: Played) -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    runner = ProjectionRunner(journal_url, SHARD, slice_entries=10_000)
    counting = asyncio.create_task(count_turns())
    await runner.advance()
    counting.cancel()
    events = sum(len(entry.events) for entry in played.entries) // 136
    assert runner.watermark == played.entries[-1].sequence
    assert turns > events / 64, "no run of more than 64 events without a turn for others"
    await runner.close()


async def test_a_missing_entry_stops_the_runner_and_names_the_place(journal_url: str) -> None:
    connection = await connect(journal_url)
    await connection.execute("SET exchange.allow_journal_truncation = 'on'; DELETE FROM journal WHERE sequence = 250")
    await connection.close()
    runner = ProjectionRunner(journal_url, SHARD, slice_entries=100)
    with pytest.raises(ProjectionError, match="shard 1 has a gap between entries 201 and 301"):
        await runner.run()
    assert runner.watermark == 200


async def test_a_used_client_order_id_in_the_journal_is_a_broken_invariant(database_url: str) -> None:
    sequencer = Sequencer()
    order = commands.place(2, 1, BUY, 10, 1, client_order_id=b"twice")
    writer = JournalWriter(database_url)
    await writer.lead()
    await writer.write([sequencer.stamp(command) for command in [*flow.opening(), order, order]])
    with pytest.raises(asyncpg.UniqueViolationError, match="uq_orders_client_order_id"):
        await ProjectionRunner(database_url, SHARD).run()


async def test_an_order_refused_for_want_of_money_is_remembered_by_its_client_order_id(database_url: str) -> None:
    sequencer = Sequencer()
    order = commands.place(2, 1, SELL, 10, 1_000_000, client_order_id=b"too-much")
    poor = commands.place(99, 1, SELL, 11, 2, client_order_id=b"too-much")
    writer = JournalWriter(database_url)
    await writer.lead()
    await writer.write([sequencer.stamp(command) for command in [*flow.opening(), order, poor]])
    await rebuild(database_url)
    connection = await connect(database_url)
    rows = await connection.fetch(
        "SELECT account, client_order_id, reason, market, side, price_ticks, quantity_lots FROM rejections"
    )
    await connection.close()
    assert [tuple(row) for row in rows] == [(99, "too-much", Reason.INSUFFICIENT_FUNDS, 1, SELL, 11, 2)]

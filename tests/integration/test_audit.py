"""The audit proves what is whole, and finds and names whatever is not."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from engine.records import EVENT_SIZE, CommandKind, EventKind
from exchange.audit import derived, fees, ledger, tables
from exchange.audit.replay import AuditError, audit
from exchange.audit.report import FINDINGS_MAX, Report
from exchange.contracts.events import read_events
from exchange.storage.database import connect
from exchange.storage.tables import ledger_entries, metadata
from tests.support.databases import copied_database, execute, of_database
from tests.support.journal import SHARD
from tests.support.stored import Played, play, store, tamper

EVERY = 500
STORED = "stored_template"
SNAPSHOTS = (500, 1_000, 1_500, 2_000, 2_500)
EVERYTHING = {
    "journal", "snapshots", "trades", "fills", "orders", "rejections", "ledger", "balances", "candles", "catalogue",
    "transfers", "fees", "volumes",
}  # fmt: skip
OF_NOW = {"balances", "candles", "catalogue", "fees", "volumes"}


@pytest.fixture(scope="module")
def played() -> Played:
    return play(11, 3_000, EVERY)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stored_template(postgres_url: str, template_database: str, played: Played) -> str:
    """A database with a whole exchange's store, to copy."""
    await execute(postgres_url, f"CREATE DATABASE {STORED} TEMPLATE {template_database}")
    await store(of_database(postgres_url, STORED), played, SNAPSHOTS)
    return STORED


@pytest.fixture
async def stored_url(postgres_url: str, stored_template: str) -> AsyncIterator[str]:
    """A whole exchange's store of the test's own."""
    async with copied_database(postgres_url, stored_template) as url:
        yield url


async def audited(url: str, first: int | None = None, last: int | None = None) -> Report:
    connection = await connect(url)
    try:
        return await audit(connection, SHARD, first=first, last=last)
    finally:
        await connection.close()


def told(report: Report) -> str:
    return "\n".join(report.lines())


async def rows(url: str, query: str) -> list[tuple[int, ...]]:
    connection = await connect(url)
    found = [tuple(row) for row in await connection.fetch(query)]
    await connection.close()
    return found


# --- What is whole ------------------------------------------------------------------------------------------------


async def test_a_whole_store_is_proven_in_all_its_parts(stored_url: str, played: Played) -> None:
    report = await audited(stored_url)
    assert report.proven, told(report)
    assert {part.name for part in report.parts} == EVERYTHING
    assert all(part.left_out is None and part.upto == played.last for part in report.parts if part.name != "snapshots")
    assert {part.name: part.compared for part in report.parts}["snapshots"] == len(SNAPSHOTS)
    counts = {
        name: (await rows(stored_url, f"SELECT count(*) FROM {table}"))[0][0]
        for name, table in (
            ("trades", "trades"), ("fills", "fills"), ("orders", "orders"), ("rejections", "rejections"),
            ("ledger", "ledger_entries"), ("balances", "balances"), ("candles", "candles_1m"),
            ("transfers", "transfers"), ("fees", "account_fees"), ("volumes", "account_volumes"),
        )
    }  # fmt: skip
    assert {part.name: part.compared for part in report.parts if part.name in counts} == counts
    assert all(count >= (5 if name == "fees" else 10) for name, count in counts.items()), counts
    assert report.events == sum(len(entry.events) // EVENT_SIZE for entry in played.entries)


async def test_a_part_of_the_journal_is_proven_from_the_snapshot_before_it(stored_url: str, played: Played) -> None:
    for first, last in ((1_234, None), (1_000, None), (1_001, None), (None, 1_700), (900, 2_000)):
        await prove_part(stored_url, played, first, last)


async def prove_part(stored_url: str, played: Played, first: int | None, last: int | None) -> None:
    report = await audited(stored_url, first, last)
    assert report.proven, told(report)
    assert report.first == (max([0, *(n for n in SNAPSHOTS if n < (first or 1))]) + 1)
    assert report.last == (last or played.last)
    compared = {part.name for part in report.parts if part.left_out is None}
    assert compared == (EVERYTHING if last is None else EVERYTHING - OF_NOW)


async def test_the_journal_alone_is_proven_whatever_the_tables_hold(stored_url: str, played: Played) -> None:
    await tamper(stored_url, TAMPERED["trades"])
    connection = await connect(stored_url)
    report = await audit(connection, SHARD, with_tables=False)
    await connection.close()
    assert report.proven and report.commands == played.last
    assert {part.name for part in report.parts if part.left_out is None} == {"journal", "snapshots"}


async def test_tables_that_are_behind_are_compared_where_they_are(stored_url: str, played: Played) -> None:
    from exchange.projections.runner import ProjectionRunner

    await tamper(stored_url, f"DELETE FROM journal WHERE sequence > {played.last - 700}")
    runner = ProjectionRunner(stored_url, SHARD)
    await runner.rebuild()
    await runner.close()
    await tamper(stored_url, "DELETE FROM snapshots WHERE sequence > 2000")
    assert (await audited(stored_url)).proven


async def test_an_empty_journal_has_nothing_to_audit(database_url: str) -> None:
    with pytest.raises(AuditError, match="nothing to audit"):
        await audited(database_url)


def test_every_column_of_every_table_is_compared() -> None:
    compared = {
        "trades": tables.TRADE_COLUMNS, "fills": tables.FILL_COLUMNS, "rejections": tables.REJECTION_COLUMNS,
        "orders": tables.ORDER_COLUMNS, "ledger_entries": ledger.ENTRY_COLUMNS, "balances": ledger.BALANCE_COLUMNS,
        "candles_1m": derived.CANDLE_COLUMNS, "assets": derived.ASSET_COLUMNS, "markets": derived.MARKET_COLUMNS,
        "transfers": tables.TRANSFER_COLUMNS, "account_fees": fees.FEE_COLUMNS,
        "account_volumes": fees.VOLUME_COLUMNS,
    }  # fmt: skip
    declared = {**metadata.tables, "ledger_entries": ledger_entries}
    for table, columns in compared.items():
        assert {*columns, "shard"} == {column.name for column in declared[table].columns}, table


# --- A damaged journal --------------------------------------------------------------------------------------------


def flipped(column: str, byte: int, sequence: int) -> str:
    return (
        f"UPDATE journal SET {column} = set_byte({column}, {byte}, get_byte({column}, {byte}) # 1)"
        f" WHERE sequence = {sequence}"
    )


def place_in(played: Played, after: int) -> int:
    """The sequence of an accepted order that trades."""
    for entry in played.entries[after:]:
        kinds = [event.kind for event in read_events(entry.events)]
        if entry.command[1] == CommandKind.PLACE and kinds[:2] == [EventKind.ACCEPTED, EventKind.TRADED]:
            return entry.sequence
    raise AssertionError("there is none")


async def journal_finding(url: str) -> tuple[int | None, str]:
    report = await audited(url)
    assert not report.proven
    (finding,) = [finding for finding in report.findings if finding.part == "journal"]
    assert report.last == (finding.sequence or 0) - 1
    left_out = {part.name for part in report.parts if part.left_out}
    assert {"orders", "trades", "ledger", "balances", "candles"} <= left_out, "nothing behind the damage is proven"
    return finding.sequence, finding.what


async def test_a_flipped_byte_of_a_command_is_named_with_its_field(stored_url: str, played: Played) -> None:
    sequence = place_in(played, 1_200)
    await tamper(stored_url, flipped("command", 48, sequence))  # price_ticks
    found, what = await journal_finding(stored_url)
    assert found == sequence
    assert "its command is not the one that was appended: price_ticks is" in what


async def test_a_flipped_byte_of_an_event_is_named_with_its_field(stored_url: str, played: Played) -> None:
    sequence = place_in(played, 1_200)
    await tamper(stored_url, flipped("events", EVENT_SIZE + 56, sequence))  # quantity_lots of the trade
    found, what = await journal_finding(stored_url)
    assert found == sequence
    assert "its events are not those that were appended: event 2 (TRADED), quantity_lots is" in what


async def test_a_flipped_byte_of_a_chain_value_is_told_from_a_damaged_entry(stored_url: str) -> None:
    for byte in (0, 15):
        await tamper(stored_url, flipped("chain", byte, 1_777))
        found, what = await journal_finding(stored_url)
        assert (found, "its chain value is not the one that was appended" in what) == (1_777, True)
        await tamper(stored_url, flipped("chain", byte, 1_777))
    assert (await audited(stored_url)).proven, "flipped back it is whole again"


@pytest.mark.parametrize("column", ["command", "chain"])
async def test_a_flipped_byte_is_found_wherever_it_is(stored_url: str, column: str) -> None:
    for sequence in (1, 2, 499, 500, 501, 3_000):
        await tamper(stored_url, flipped(column, 9, sequence))
        assert (await journal_finding(stored_url))[0] == sequence
        await tamper(stored_url, flipped(column, 9, sequence))


async def test_a_torn_entry_is_named(stored_url: str) -> None:
    await tamper(stored_url, "UPDATE journal SET command = substring(command FOR 100) WHERE sequence = 600")
    assert await journal_finding(stored_url) == (600, "its command is torn: it has 100 bytes, not 144")


async def test_torn_events_are_named(stored_url: str, played: Played) -> None:
    sequence = place_in(played, 100)
    await tamper(stored_url, f"UPDATE journal SET events = substring(events FOR 200) WHERE sequence = {sequence}")
    found, what = await journal_finding(stored_url)
    assert found == sequence
    assert "its events are torn: they have 200 bytes" in what


async def test_events_that_are_cut_between_two_are_named(stored_url: str, played: Played) -> None:
    sequence = place_in(played, 100)
    count = len(played.entries[sequence - 1].events) // EVENT_SIZE
    await tamper(stored_url, f"UPDATE journal SET events = substring(events FOR 136) WHERE sequence = {sequence}")
    found, what = await journal_finding(stored_url)
    assert found == sequence
    assert f"there are 1 events, and there should be {count}" in what


@pytest.mark.parametrize("sequence", [1, 700, 2_000])
async def test_a_missing_entry_is_named(stored_url: str, sequence: int) -> None:
    await tamper(stored_url, f"DELETE FROM journal WHERE sequence = {sequence}")
    found, what = await journal_finding(stored_url)
    assert (found, what) == (sequence, f"is missing; the next one is {sequence + 1}")


async def test_entries_missing_at_the_end_are_known_from_the_tables(stored_url: str, played: Played) -> None:
    await tamper(stored_url, f"DELETE FROM journal WHERE sequence > {played.last - 10}")
    report = await audited(stored_url)
    assert not report.proven
    assert {finding.sequence for finding in report.findings} == {played.last - 9}
    assert "is missing, and all up to" in told(report)


async def test_swapped_entries_are_named(stored_url: str) -> None:
    await tamper(
        stored_url,
        "UPDATE journal SET sequence = -1 WHERE sequence = 800",
        "UPDATE journal SET sequence = 800 WHERE sequence = 801",
        "UPDATE journal SET sequence = 801 WHERE sequence = -1",
    )
    assert await journal_finding(stored_url) == (800, "it holds the command of entry 801")


async def test_an_entry_made_anew_with_a_fitting_chain_is_found_by_executing_it(
    stored_url: str, played: Played
) -> None:
    """Whoever can seal can hide a change from the chain, but not from the engine."""
    from exchange.storage.journal import GENESIS, seal

    sequence = place_in(played, 1_200)
    chain = GENESIS
    connection = await connect(stored_url)
    await connection.execute("SET exchange.allow_journal_truncation = 'on'")
    for entry in played.entries:
        events = bytearray(entry.events)
        if entry.sequence == sequence:
            events[56] ^= 1  # quantity_lots of ACCEPTED
        chain = seal(chain, entry.command, bytes(events))
        if entry.sequence >= sequence:
            update = "UPDATE journal SET events = $1, chain = $2 WHERE sequence = $3"
            await connection.execute(update, bytes(events), chain, entry.sequence)
    await connection.close()
    found, what = await journal_finding(stored_url)
    assert found == sequence
    assert "executed again it causes other events than it did: event 1 (ACCEPTED), quantity_lots" in what


# --- Damaged snapshots --------------------------------------------------------------------------------------------


async def test_a_flipped_byte_of_a_snapshot_is_found(stored_url: str) -> None:
    await tamper(stored_url, "UPDATE snapshots SET state = set_byte(state, 200, 77) WHERE sequence = 1500")
    report = await audited(stored_url)
    assert [(f.part, f.sequence) for f in report.findings] == [("snapshots", 1_500)]
    assert "cannot be restored" in report.findings[0].what


async def test_a_snapshot_of_another_state_is_found(stored_url: str) -> None:
    await tamper(stored_url, "UPDATE snapshots SET digest = digest + 1 WHERE sequence = 2000")
    report = await audited(stored_url)
    assert [(f.part, f.sequence, "its digest is" in f.what) for f in report.findings] == [("snapshots", 2_000, True)]


async def test_a_whole_snapshot_filed_under_another_entry_is_found(stored_url: str) -> None:
    await tamper(
        stored_url, "UPDATE snapshots SET state = (SELECT state FROM snapshots WHERE sequence = 500)"
        " WHERE sequence = 1000",
    )  # fmt: skip
    report = await audited(stored_url)
    assert [(f.part, f.sequence) for f in report.findings] == [("snapshots", 1_000)]


# --- Tables that were tampered with -------------------------------------------------------------------------------

TAMPERED = {
    "orders": "UPDATE orders SET filled_lots = filled_lots + 1 WHERE order_id = (SELECT max(order_id) FROM orders"
    " WHERE status > 2)",
    "trades": "UPDATE trades SET price_ticks = price_ticks + 1 WHERE trade_id = 50",
    "fills": "UPDATE fills SET fee_units = fee_units + 1 WHERE trade_id = 50 AND is_maker",
    "ledger": "UPDATE ledger SET available_changes[1] = available_changes[1] + 1 WHERE (sequence, account) IN"
    " (SELECT sequence, account FROM ledger ORDER BY sequence DESC LIMIT 1)",
    "balances": "UPDATE balances SET available = available + 1 WHERE account = 3 AND asset = 1",
    "rejections": "UPDATE rejections SET reason = 1 WHERE sequence = (SELECT min(sequence) FROM rejections)",
    "candles": "UPDATE candles_1m SET volume_lots = volume_lots + 1 WHERE ctid = (SELECT min(ctid) FROM candles_1m)",
    "transfers": "UPDATE transfers SET amount = amount + 1 WHERE sequence = (SELECT max(sequence) FROM transfers)",
    "fees": "UPDATE account_fees SET taker_share_ppm = 7 WHERE account = (SELECT max(account) FROM account_fees)",
    "volumes": "UPDATE account_volumes SET quote_units = quote_units + 1"
    " WHERE account = 3 AND market = 1 AND day_ns = 0",
    "catalogue": "UPDATE markets SET taker_fee_ppm = 7 WHERE market = 2",
}


@pytest.mark.parametrize("part", TAMPERED)
async def test_a_changed_row_is_found_and_named(stored_url: str, part: str) -> None:
    await tamper(stored_url, TAMPERED[part])
    report = await audited(stored_url)
    assert [finding.part for finding in report.findings] == [part], told(report)
    assert report.findings[0].sequence
    assert "should be" in report.findings[0].what


@pytest.mark.parametrize(
    ("part", "table"),
    [("orders", "orders"), ("trades", "trades"), ("fills", "fills"), ("ledger", "ledger"),
     ("rejections", "rejections"), ("candles", "candles_1m"), ("balances", "balances"), ("catalogue", "markets"),
     ("transfers", "transfers"), ("fees", "account_fees"), ("volumes", "account_volumes")],
)  # fmt: skip
async def test_a_missing_row_is_found_and_named(stored_url: str, part: str, table: str) -> None:
    await tamper(stored_url, f"DELETE FROM {table} WHERE ctid = (SELECT max(ctid) FROM {table})")
    report = await audited(stored_url)
    found = {(finding.part, "is missing" in finding.what) for finding in report.findings}
    assert found == {(part, True)}, told(report)
    assert len(report.findings) == 1 or part == "ledger", "a row of it has several entries"


@pytest.mark.parametrize(
    ("part", "table", "changed"),
    [("orders", "orders", "order_id = 999999, client_order_id = 'x'"), ("trades", "trades", "trade_id = 999999"),
     ("fills", "fills", "trade_id = 999999"), ("ledger", "ledger", "sequence = 999999"),
     ("rejections", "rejections", "sequence = 999999, client_order_id = 'x'"),
     ("candles", "candles_1m", "opened_ns = -60000000000"),
     ("balances", "balances", "account = 999999, available = 1"),
     ("transfers", "transfers", "sequence = 999999, reference = 'x'"), ("fees", "account_fees", "account = 999999"),
     ("volumes", "account_volumes", "account = 999999")],
)  # fmt: skip
async def test_a_row_too_many_is_found_and_named(stored_url: str, part: str, table: str, changed: str) -> None:
    await tamper(
        stored_url,
        f"CREATE TABLE one_more AS SELECT * FROM {table} LIMIT 1",
        f"UPDATE one_more SET {changed}",
        f"INSERT INTO {table} SELECT * FROM one_more",
    )
    report = await audited(stored_url)
    assert {finding.part for finding in report.findings} == {part}, told(report)
    assert all("is not the journal's" in finding.what for finding in report.findings)


async def test_many_findings_are_told_a_few_times_and_counted(stored_url: str) -> None:
    await tamper(stored_url, "UPDATE trades SET executed_ns = executed_ns + 1")
    report = await audited(stored_url)
    (count,) = (await rows(stored_url, "SELECT count(*) FROM trades"))[0]
    assert report.counted["trades"] == count
    assert sum(finding.part == "trades" for finding in report.findings) == FINDINGS_MAX
    assert f"{count - FINDINGS_MAX} more like these" in told(report)


# --- The command --------------------------------------------------------------------------------------------------


def command(url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "exchange.cli.main", "audit", "replay", *arguments],
        env={**os.environ, "DATABASE_URL": url}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


async def test_the_command_tells_the_verdict_by_its_exit_code(stored_url: str, played: Played) -> None:
    done = command(stored_url)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "PROVEN"), done.stderr
    assert json.loads(command(stored_url, "--json").stdout)["commands"] == played.last
    await tamper(stored_url, TAMPERED["trades"], flipped("events", 56, 2_900))
    done = command(stored_url, "--json")
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert (done.returncode, report["proven"]) == (1, False)
    assert {finding["part"] for finding in report["findings"]} == {"journal", "trades"}
    assert command(stored_url, "--to", "200").returncode == 0, "what is damaged lies behind"
    unreachable = command("postgresql://nobody@127.0.0.1:1/nothing")
    assert unreachable.returncode == 2
    assert "Error:" in unreachable.stderr

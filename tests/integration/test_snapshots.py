"""Snapshots of the past: as many as are to be kept, spread over the whole journal, and always the newest two."""

from exchange.storage.database import connect
from exchange.storage.journal import SNAPSHOT_EVERY, JournalReader, save_snapshot, snapshot_spacing

SHARD = 1


async def kept(url: str) -> list[int]:
    connection = await connect(url)
    rows = await connection.fetch("SELECT sequence FROM snapshots ORDER BY sequence")
    await connection.close()
    return [row[0] for row in rows]


async def test_snapshots_stay_spread_over_the_whole_journal(database_url: str) -> None:
    most = 8
    for number in range(1, 41):
        await save_snapshot(database_url, SHARD, number * SNAPSHOT_EVERY + number, 0, b"", kept=most)
        found = await kept(database_url)
        assert len(found) <= most + 2
        assert found[-1] == number * SNAPSHOT_EVERY + number
        gaps = [after - before for before, after in zip([0, *found], found, strict=False)]
        assert max(gaps) <= 2 * snapshot_spacing(found[-1], most)


async def test_restarts_do_not_fill_the_table(database_url: str) -> None:
    for sequence in range(1, 30):
        await save_snapshot(database_url, SHARD, sequence * 100, 0, b"")
    assert await kept(database_url) == [100, 2_800, 2_900], "the first of its run, and the newest two"


async def test_saving_a_snapshot_of_the_past_takes_nothing_away(database_url: str) -> None:
    for sequence in (60_000, 170_000, 180_000, 120_000):
        await save_snapshot(database_url, SHARD, sequence, 0, b"")
    assert await kept(database_url) == [60_000, 120_000, 170_000, 180_000]


async def test_the_newest_snapshot_before_an_entry_is_found(database_url: str) -> None:
    connection = await connect(database_url)
    assert await JournalReader(connection, SHARD).latest_snapshot(10) is None
    await connection.close()

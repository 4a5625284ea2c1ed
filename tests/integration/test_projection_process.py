"""The projections in a child process: followed, killed, started again, never left behind."""

import asyncio
from collections.abc import AsyncIterator

import psutil
import pytest

from exchange.projections.process import UNKNOWN, ProjectionProcess
from tests.support.flow import random_flow, stamped
from tests.support.journal import SHARD, JournalWriter

COMMANDS = 300


@pytest.fixture
async def writer(database_url: str) -> JournalWriter:
    writer = JournalWriter(database_url)
    await writer.lead()
    return writer


@pytest.fixture
async def projections(database_url: str) -> AsyncIterator[ProjectionProcess]:
    projections = ProjectionProcess(database_url, SHARD)
    running = asyncio.create_task(projections.run())
    yield projections
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def append(writer: JournalWriter, start: int, end: int) -> None:
    await writer.append(writer.apply(stamped(random_flow(3, COMMANDS))[start:end]))


async def test_the_child_follows_the_journal_and_hurries_for_who_waits(
    projections: ProjectionProcess, writer: JournalWriter
) -> None:
    await append(writer, 0, 200)
    await projections.wait_for(200, 30)
    assert projections.watermark == 200
    await append(writer, 200, COMMANDS)
    await projections.wait_for(COMMANDS, 30)
    assert projections.watermark == COMMANDS


async def test_waiting_for_what_does_not_come_ends(projections: ProjectionProcess, writer: JournalWriter) -> None:
    await append(writer, 0, 10)
    await projections.wait_for(10, 30)
    with pytest.raises(TimeoutError, match="entry 11"):
        await projections.wait_for(11, 0.3)


async def test_a_killed_child_is_started_again(projections: ProjectionProcess, writer: JournalWriter) -> None:
    await append(writer, 0, 100)
    await projections.wait_for(100, 30)
    first = projections._child
    assert first is not None
    first.kill()
    await append(writer, 100, 200)
    await projections.wait_for(200, 30)
    assert projections._child is not None
    assert projections._child.pid != first.pid


async def test_stopping_leaves_no_child_and_no_old_watermark(database_url: str, writer: JournalWriter) -> None:
    projections = ProjectionProcess(database_url, SHARD)
    running = asyncio.create_task(projections.run())
    await append(writer, 0, 50)
    await projections.wait_for(50, 30)
    child = projections._child
    assert child is not None
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert not psutil.pid_exists(child.pid)
    assert projections.watermark == UNKNOWN, "a new term must not take the tables for further than they are"

"""An exchange's whole store made at once: a journal of a flow of everything, snapshots on the way, and its tables."""

from collections.abc import Iterator
from dataclasses import dataclass

import asyncpg

from engine.matching import Shard
from engine.records import CommandKind
from exchange.projections.runner import ProjectionRunner
from exchange.storage.database import connect
from exchange.storage.journal import signed
from tests.support import commands, flow, full_flow
from tests.support.journal import SHARD, Entry, JournalWriter

_PLACING = (CommandKind.PLACE, CommandKind.CANCEL_REPLACE)
_TRANSFERRING = (CommandKind.DEPOSIT, CommandKind.WITHDRAW)
_STEP_NS = 400_000_000


@dataclass(frozen=True)
class Played:
    """Entries of a journal, and the engine's state at some of them."""

    entries: list[Entry]
    states: dict[int, Shard]  # restored, so that nothing changes them

    @property
    def last(self) -> int:
        return self.entries[-1].sequence


def flow_commands(seed: int, count: int) -> Iterator[bytes]:
    """A flow of everything, as an edge and a writer make it: ids once, and time that goes on for some minutes."""
    now_ns = 0
    for number, command in enumerate(flow.stamped(full_flow.full_flow(seed, count)), start=1):
        account = int.from_bytes(command[24:32], "little")
        name = f"desk-{number}" if number % 3 and account in full_flow.ACCOUNTS else ""
        if command[1] in _PLACING:
            command = commands.override(command, client_order_id=name.encode())
        elif command[1] in _TRANSFERRING:
            command = commands.override(command, reference=name.encode())
            if command[1] == CommandKind.WITHDRAW and number % 4 == 0:
                command = commands.override(command, amount=10**15)  # nobody has so much
        now_ns = max(now_ns + _STEP_NS, int.from_bytes(command[16:24], "little", signed=True))
        yield commands.stamp(command, number, now_ns)


def play(seed: int, count: int, every: int) -> Played:
    """Let the fast engine take a flow, and remember its state every so many commands."""
    engine = Shard()
    entries, states = [], {}
    for number, command in enumerate(flow_commands(seed, count), start=1):
        entries.append(Entry(number, command, engine.apply(command)))
        if number % every == 0:
            states[number] = Shard.restore(engine.snapshot())
    return Played(entries, states)


async def store(url: str, played: Played, snapshots: tuple[int, ...] = ()) -> None:
    """Write a journal, snapshots of some of its states, and all tables."""
    writer = JournalWriter(url)
    await writer.lead()
    await writer.append(played.entries)
    connection = await connect(url)
    await connection.executemany(
        "INSERT INTO snapshots VALUES ($1, $2, $3, $4, 0)",
        [(SHARD, n, signed(played.states[n].digest()), played.states[n].snapshot()) for n in snapshots],
    )
    await connection.close()
    runner = ProjectionRunner(url, SHARD)
    await runner.rebuild()
    await runner.close()


async def tamper(url: str, *statements: str) -> None:
    """Do what nobody may, with every guard of the journal off."""
    connection: asyncpg.Connection[asyncpg.Record] = await connect(url)
    await connection.execute("SET exchange.allow_journal_truncation = 'on'")
    for name in ("command_size", "events_size", "chain_size"):
        await connection.execute(f"ALTER TABLE journal DROP CONSTRAINT IF EXISTS ck_journal_ck_journal_{name}")
    for statement in statements:
        done = await connection.execute(statement)
        assert not done.endswith(" 0"), statement
    await connection.close()

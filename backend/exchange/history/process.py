"""Looks into the past in a process of its own: what they cost is not taken from the core that takes orders.

    this process                                              child: python -m exchange.history.process
    book(1, 700, 50)   ── {"id": 1, "ask": "book", ...} ──>   Past.at(700).depth(1, 50)
    the future of 1    <── {"id": 1, "answer": {...}} ──

The child starts with the first question and answers one at a time. It ends when its input closes, so it never outlives
its parent.
"""

import asyncio
import contextlib
import itertools
import json
import logging
import os
import sys
from typing import Any

import asyncpg

from engine.matching import Shard
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.refusals import EdgeReason, refuse
from exchange.history.past import Connection, NotYet, Past
from exchange.observability.logging import configure_logging
from exchange.observability.rights import step_back
from exchange.storage.database import DatabaseUnreachable, connect
from exchange.storage.journal import BROKEN, SNAPSHOTS_KEPT, JournalCorrupt

logger = logging.getLogger(__name__)

DSN_VARIABLE = "EXCHANGE_HISTORY_DSN"  # in the environment, which only the same user can read, unlike arguments
WAITING_MAX = 16  # questions of a kind; at the bound: refused with OVERLOADED
ANSWER_TIMEOUT_S = 20.0  # then: refused with UNAVAILABLE, while the child goes on and keeps what it finds
STOP_TIMEOUT_S = 5.0
NICENESS = 10
LINE_BYTES_MAX = 64 * 1024 * 1024  # a book of a million orders
FAILED: dict[str, Any] = {}  # what is told where nothing can be

Levels = list[tuple[int, int]]
Order = tuple[int, int, int, int]
Question = tuple[str, int, int, int]  # what is asked, the sequence, and two numbers that say about what


class HistoryProcess:
    """Asks a child process what was after an entry of one shard's journal."""

    def __init__(self, dsn: str, shard: int, snapshots_kept: int = SNAPSHOTS_KEPT) -> None:
        self._dsn = dsn
        self._arguments = (str(shard), str(snapshots_kept))
        self._child: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._asked: dict[Question, asyncio.Task[Any]] = {}  # the same question is asked once

    async def book(self, market: int, sequence: int, levels: int) -> tuple[int, Levels, Levels] | None:
        """Return (timestamp_ns, bids, asks) after an entry, best first; None where the market was not defined yet.

        At most ``levels`` (price_ticks, quantity_lots) a side. Raises Refused FIELD_INVALID for an entry that there
        is not, OVERLOADED, UNAVAILABLE.
        """
        answer = await self._ask(("book", sequence, market, levels))
        if answer["bids"] is None:
            return None
        return answer["timestamp_ns"], answer["bids"], answer["asks"]

    async def balances(self, account: int, sequence: int) -> tuple[int, dict[int, tuple[int, int]]]:
        """Return (timestamp_ns, {asset: (available, held)}) of an account after an entry. Raises as ``book``."""
        answer = await self._ask(("balances", sequence, account, 0))
        return answer["timestamp_ns"], {asset: (available, held) for asset, available, held in answer["balances"]}

    async def orders(self, market: int, sequence: int) -> tuple[int, list[Order]] | None:
        """Return (mode, orders) of a market's book after an entry; None where the market was not defined yet.

        An order is (order_id, side, price_ticks, visible_lots); bids, then asks, each in the order in which they would
        trade. Raises as ``book``.
        """
        answer = await self._ask(("orders", sequence, market, 0))
        return None if answer["orders"] is None else (answer["mode"], answer["orders"])

    async def close(self) -> None:
        """Stop the child. Who still waits is refused."""
        if self._child is not None:
            await _stop(self._child)
        if self._listening is not None:
            await self._listening

    async def _ask(self, question: Question) -> Any:
        asking = self._asked.get(question)
        if asking is None:
            if sum(asked[0] == question[0] for asked in self._asked) >= WAITING_MAX:
                detail = f"{WAITING_MAX} questions about the past are waiting already"
                raise refuse(EdgeReason.OVERLOADED, detail, retry_after_s=2)
            # A task of its own: who asked may go away, and others may wait for the same answer.
            asking = self._asked[question] = asyncio.create_task(self._send(question), name=f"past {question}")
            asking.add_done_callback(lambda _: self._asked.pop(question))
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                told = await asyncio.shield(asking)
        except TimeoutError:
            detail = f"the state after entry {question[1]} is being made again; ask again in a moment"
            raise refuse(EdgeReason.UNAVAILABLE, detail, retry_after_s=5) from None
        if "head" in told:
            detail = f"the journal has come to entry {told['head']}, not to {question[1]}"
            limit = nearest = str(told["head"])
            raise refuse(EdgeReason.FIELD_INVALID, detail, field="sequence", limit=limit, nearest=nearest)
        if told is FAILED:
            raise refuse(EdgeReason.UNAVAILABLE, "the past cannot be read just now; ask again", retry_after_s=2)
        return told

    async def _send(self, question: Question) -> Any:
        """Ask the child, starting it if need be, and return what it tells; FAILED where it does not."""
        try:
            async with self._starting:
                if self._child is None or self._listening is None or self._listening.done():
                    self._child = await self._start()
                    self._listening = asyncio.create_task(self._listen(self._child), name="history")
        except OSError as error:
            logger.error("the process that looks into the past does not start: %s", error)
            return FAILED
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps([number, *question]).encode() + b"\n")
        return await answer

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "exchange.history.process", *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, DSN_VARIABLE: self._dsn},
            start_new_session=True,  # Ctrl-C reaches it through its parent
            limit=LINE_BYTES_MAX,
        )  # fmt: skip

    async def _listen(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdout is not None
        async for line in child.stdout:
            number, told = json.loads(line)
            self._answers.pop(number).set_result(told if told is not None else FAILED)
        # It is gone, and with it what it was asked.
        for answer in self._answers.values():
            answer.set_result(FAILED)
        self._answers.clear()


async def _stop(child: asyncio.subprocess.Process) -> None:
    if child.stdin is not None:
        child.stdin.close()
    try:
        await asyncio.wait_for(child.wait(), STOP_TIMEOUT_S)
    except TimeoutError:
        child.kill()
        await child.wait()


# --- In the child -------------------------------------------------------------------------------------------------


class _Answering:
    """Answers questions over one connection, which is opened again where it broke."""

    def __init__(self, dsn: str, shard: int, snapshots_kept: int) -> None:
        self._dsn = dsn
        self._shard = shard
        self._past = Past(dsn, shard, snapshots_kept)
        self._connection: Connection | None = None

    async def answer(self, what: str, sequence: int, subject: int, levels: int) -> dict[str, Any] | None:
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await connect(
                    self._dsn, command_timeout_s=ANSWER_TIMEOUT_S, settings={"application_name": "exchange history"}
                )
            return await self._answer(self._connection, what, sequence, subject, levels)
        except NotYet as early:
            return {"head": early.head}
        except JournalCorrupt as error:
            logger.critical("the past cannot be told: %s", error)
        except (DatabaseUnreachable, asyncpg.PostgresError, *BROKEN) as error:
            logger.warning("the past cannot be read: %s", error)
            if self._connection is not None:
                self._connection.terminate()
        return None

    async def _answer(
        self, connection: Connection, what: str, sequence: int, subject: int, levels: int
    ) -> dict[str, Any]:
        shard = await self._past.at(connection, sequence)
        query = "SELECT substring(command FROM 17 FOR 8) FROM journal WHERE shard = $1 AND sequence = $2"
        stamp = await connection.fetchval(query, self._shard, sequence)
        told: dict[str, Any] = {"timestamp_ns": int.from_bytes(stamp, "little", signed=True)}
        if what == "balances":
            owned = ((asset, *shard.balance(subject, asset)) for asset in Catalogue(shard.definitions()).assets)
            return told | {"balances": [balance for balance in owned if any(balance[1:])]}
        if what == "orders":
            return told | _visible_orders(shard, subject)
        try:
            bids, asks = shard.depth(subject, levels)
        except KeyError:
            return told | {"bids": None}
        return told | {"bids": [level[:2] for level in bids], "asks": [level[:2] for level in asks]}


def _visible_orders(shard: Shard, market: int) -> dict[str, Any]:
    """A market's book, order by order, as everybody may see it."""
    try:
        book = shard.book(market)
    except KeyError:
        return {"orders": None}
    orders = []
    for order_id, _, side, price_ticks, remaining_lots, _ in book:
        order = shard.order(order_id)
        assert order is not None, "it is in the book"
        orders.append((order_id, side, price_ticks, order.visible_lots if order.display_lots else remaining_lots))
    return {"mode": shard.state(market).mode, "orders": orders}


async def _serve(dsn: str, shard: int, snapshots_kept: int) -> None:
    answering = _Answering(dsn, shard, snapshots_kept)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        number, *question = json.loads(line)
        told = await answering.answer(*question)
        print(json.dumps([number, told]), flush=True)  # noqa: T201


def main() -> None:
    configure_logging(os.environ.get("LOG_LEVEL", "INFO").upper())
    step_back(NICENESS)
    with contextlib.suppress(KeyboardInterrupt):
        try:
            asyncio.run(_serve(os.environ.pop(DSN_VARIABLE), int(sys.argv[1]), int(sys.argv[2])))
        except BrokenPipeError:
            os._exit(0)  # the parent is gone


if __name__ == "__main__":
    main()

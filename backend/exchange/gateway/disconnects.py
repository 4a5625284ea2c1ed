"""Cancel on disconnect: the orders of a connection end with it, however it ends.

While this process lives it cancels them itself, as soon as the connection is gone: closed by its client, lost, too
slow, no longer signed in, or closed since the exchange stops. For the case that it dies itself the account's dead-man
timer is kept running (dead_man.py); that one knows no connections, and ends all orders of the account.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from engine.orders.batches import Answer
from engine.records import CommandKind
from exchange.contracts import commands
from exchange.contracts.events import is_rejected
from exchange.contracts.refusals import EdgeReason, Refused, refuse
from exchange.gateway.context import Exchange, Placing
from exchange.gateway.dead_man import LEASE_S, DeadMan
from exchange.gateway.order_limits import check_command
from exchange.gateway.principal import Principal
from exchange.gateway.streams import Connection
from exchange.storage.journal import Entry

SCOPES = ("connection", "account")
CANCELS_TOGETHER = 500  # commands a commit; the next when they are durable
RETRY_S = 0.5
RETRIES_MAX = 20  # of an exchange that takes nothing more at the moment; then the dead-man timer does it
FORGET_EVERY = 1_000  # orders placed between two looks for those that have ended
CLOSE_TIMEOUT_S = 5.0
_PLACING = frozenset((CommandKind.PLACE, CommandKind.CANCEL_REPLACE))

TakeAnswers = Callable[[list[Answer[Entry]]], None]

logger = logging.getLogger("exchange.gateway")


class Placed:
    """What was placed over a connection, and what is under way there."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()  # operations begin in the order of their messages
        self.waiting = 0  # those that have not begun yet
        self.scope: str | None = None  # what ends with the connection
        self.account = 0
        self.orders: set[int] = set()  # those that have ended are forgotten now and then
        self.is_unsure = False  # there may be orders that are not known
        self.underway: set[Placing] = set()  # that have gone into the corridor, and are not settled
        self.take_answers: TakeAnswers | None = None  # those of orders that come in runs
        self.forget_at = FORGET_EVERY  # so many orders

    def done(self, placing: Placing, entry: Entry) -> None:
        """It is durable: remember what it placed."""
        self.underway.discard(placing)
        if entry.command[commands.KIND] in _PLACING and not is_rejected(entry.events):
            self.orders.add(entry.sequence)

    def failed(self, placing: Placing, refused: Refused) -> None:
        """It has no entry, or none that is known."""
        self.underway.discard(placing)
        self.is_unsure |= refused.refusal.reason == EdgeReason.OUTCOME_UNKNOWN

    async def settle(self, placing: Placing) -> None:
        """Return when it is durable, or will not be known."""
        try:
            self.done(placing, (await placing.result())[0])
        except Refused as refused:
            self.failed(placing, refused)

    async def settled(self) -> None:
        """Return when everything that was sent is in the corridor, and what it placed is known."""
        async with self.turn:
            for placing in list(self.underway):
                await self.settle(placing)

    def forget_ended(self, exchange: Exchange) -> None:
        """Keep the orders that are live: there are many more than at the last look."""
        find = exchange.live.order
        self.orders = {number for number in self.orders if (order := find(number)) is not None and order.is_live}
        self.forget_at = 2 * len(self.orders) + FORGET_EVERY


class Disconnects:
    """Watches connections, and cancels what they leave behind."""

    def __init__(self, exchange: Exchange, dead_man: DeadMan) -> None:
        self._exchange = exchange
        self._dead_man = dead_man
        self._placed: dict[Connection, Placed] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def placed(self, connection: Connection) -> Placed:
        """Return what is known of a living connection."""
        placed = self._placed.get(connection)
        if placed is None:
            placed = self._placed[connection] = Placed()
            connection.on_end.append(lambda: self._ended(connection))
            connection.on_sign_out.append(lambda: self._ended(connection))
        if len(placed.orders) >= placed.forget_at:
            placed.forget_ended(self._exchange)
        return placed

    async def watch(self, placed: Placed, principal: Principal, on: object, scope: object) -> dict[str, Any]:
        """Turn it on or off for a connection. Raises Refused."""
        if not isinstance(on, bool):
            raise refuse(EdgeReason.FIELD_INVALID, "on must be true or false", field="on", limit="true or false")
        if not isinstance(scope, str) or scope not in SCOPES:
            limit = " or ".join(SCOPES)
            raise refuse(EdgeReason.FIELD_INVALID, f"scope must be {limit}", field="scope", limit=limit)
        if on and scope == "account":
            check_command(principal, commands.mass_cancel(principal.account), self._exchange)
        if on and placed.scope is None:
            await self._dead_man.watch(principal.account)
            placed.account = principal.account
        elif not on and placed.scope is not None:
            placed.scope = None
            await self._dead_man.release(placed.account)
        placed.scope = scope if on else None
        return {"on": on, "scope": placed.scope, "lease_ms": int(LEASE_S * 1000)}

    async def close(self) -> None:
        """Finish what connections have left behind: they are all gone by now."""
        if self._ending:
            await asyncio.wait(self._ending, timeout=CLOSE_TIMEOUT_S)
        await self._dead_man.close()

    def _ended(self, connection: Connection) -> None:
        placed = self._placed.pop(connection, None)
        if placed is not None:
            task = asyncio.create_task(self._end(placed), name="cancel on disconnect")
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _end(self, placed: Placed) -> None:
        await placed.settled()
        if placed.scope is None:
            return
        for _ in range(RETRIES_MAX):
            try:
                await self._cancel(placed)
                await self._dead_man.release(placed.account)
                return
            except Refused as refused:
                logger.warning("cancel on disconnect of account %d: %s", placed.account, refused)
                await asyncio.sleep(RETRY_S)
        self._dead_man.abandon(placed.account)  # its deadline passes, and the engine does it

    async def _cancel(self, placed: Placed) -> None:
        if placed.scope == "account" or placed.is_unsure:
            await self._exchange.corridor.submit(commands.mass_cancel(placed.account))
            return
        live = sorted(order_id for order_id in placed.orders if _is_live(self._exchange, order_id))
        for start in range(0, len(live), CANCELS_TOGETHER):
            some = live[start : start + CANCELS_TOGETHER]
            cancels = [(commands.cancel(placed.account, order_id), None) for order_id in some]
            for placing in await self._exchange.corridor.begin_all(placed.account, cancels):
                await placing.result()


def _is_live(exchange: Exchange, order_id: int) -> bool:
    order = exchange.live.order(order_id)
    return order is not None and order.is_live

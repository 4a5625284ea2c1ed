"""The corridor as an API process sees it: commands go to the leader through Redis, state is followed here.

Each call ends in one of three ways, as beside the leader itself: its entry, a refusal that says nothing was placed, or
OUTCOME_UNKNOWN. While the leader changes, calls are held for a moment; one that may be repeated (every order has a
client order id) is asked again, and then has its first result.
"""

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from engine.records import MarketState
from exchange.cluster.channels import Channels
from exchange.cluster.follower import Follower
from exchange.cluster.messages import (
    Answer,
    Answers,
    Ask,
    Asks,
    Leading,
    NotUnderstood,
    Outcome,
    Way,
    decoder,
    encode,
    refusal_of,
)
from exchange.cluster.relay import NotSpoken, Relay
from exchange.contracts.commands import sequence_of
from exchange.contracts.refusals import EdgeReason, Refused, refuse
from exchange.corridor.corridor import Told
from exchange.corridor.live import Changes
from exchange.corridor.writer import outcome_unknown, unavailable
from exchange.storage.journal import Entry

logger = logging.getLogger("exchange.cluster")

UNDERWAY_MAX = 10_000  # calls; at the bound the next is refused with OVERLOADED
HELD_S = 3.0  # how long a call waits for a leader
ANSWER_TIMEOUT_S = 5.0  # then the outcome is not known; the leader refuses what is older
SEEN_TIMEOUT_S = 1.0  # for the entry of an answer to be followed here
LEADER_SILENT_S = 1.5
TOGETHER_MAX = 1_000  # asks a message

_read_answers = decoder(Answers)
_read_leading = decoder(Leading)


class LeaderLost(Exception):
    """Who was asked leads no more, or is out of reach: whether it has taken the command is not known."""


class RemoteCorridor:
    """See the module. ``run`` beside it."""

    def __init__(self, relay: Relay, follower: Follower, head: Callable[[], Awaitable[int]]) -> None:
        """``head``: the last sequence of the journal, from the database itself."""
        self._relay = relay
        self._follower = follower
        self._head = head
        self._channels = Channels(follower.shard_number)
        self._sender = secrets.token_hex(8)
        self._tags = 0
        self._underway: dict[int, tuple[int, asyncio.Future[Answer]]] = {}  # tag -> epoch asked, answer
        self._outgoing: deque[tuple[int, Ask]] = deque()
        self._asked = asyncio.Event()
        self._epoch = 0
        self._heard_at = float("-inf")
        self._leads = asyncio.Event()
        self._told = Told()
        relay.on_change(self._relay_changed)

    # What the edge calls

    @property
    def role(self) -> Literal["follower", "leaderless", "starting"]:
        """Whether orders are taken through here: by a ``follower``, which hears who leads."""
        if not self._follower.current:
            return "starting"
        return "follower" if self._hears_leader() else "leaderless"

    @property
    def takes_orders(self) -> bool:
        return self.role == "follower"

    @property
    def ready(self) -> bool:
        """Whether reads may be answered from here."""
        return self._follower.current

    @property
    def sequence(self) -> int:
        """The last entry that is followed here."""
        return self._follower.replica.sequence

    async def head(self) -> int:
        """The last durable sequence."""
        return await self._head()

    async def told(self, account: int) -> int:
        """The highest sequence that the account may have been told of, by whichever process; it is followed here."""
        await self._see(await self._head())
        return self._told.of(account)

    def balance(self, account: int, asset: int) -> tuple[int, int]:
        return self._follower.replica.shard.balance(account, asset)

    def cancel_after(self, account: int) -> int:
        """When the account's dead-man timer fires as it is followed here, 0 for never."""
        return self._follower.replica.shard.cancel_after(account)

    def state(self, market: int) -> MarketState:
        return self._follower.replica.shard.state(market)

    def fee_shares(self, account: int) -> tuple[int, int]:
        return self._follower.replica.shard.fee_shares(account)

    async def submit(self, command: bytearray) -> Entry:
        """Return the command's journal entry once it is durable.

        Raises Refused OVERLOADED, UNAVAILABLE or OUTCOME_UNKNOWN.
        """
        entry, _ = await self.seen(await self._ask(Way.SUBMIT, 0, [(command, None)]), 0)
        return entry

    async def place(self, command: bytearray, account: int, client_order_id: str | None) -> tuple[Entry, bool]:
        """Submit a command and return (entry, whether it is the result of an earlier request with this id)."""
        answer = await self._ask(Way.PLACE, account, [(command, client_order_id)])
        return await self.seen(answer, 0)

    async def begin(self, command: bytearray, account: int, client_order_id: str | None) -> "RemotePlacing":
        """Submit a command and return before it is durable: commands are taken in the order in which this returns."""
        asking = asyncio.create_task(self._ask(Way.PLACE, account, [(command, client_order_id)]))
        return RemotePlacing(self, asking, 0)

    def begin_now(self, command: bytearray, account: int, client_order_id: str | None) -> None:
        """Nothing is at once from here."""

    def begin_all_now(self, account: int, requests: Sequence[tuple[bytearray, str | None]]) -> None:
        """Nothing is at once from here."""

    async def begin_all(
        self, account: int, requests: Sequence[tuple[bytearray, str | None]], *, linked: bool = False
    ) -> list["RemotePlacing"]:
        """Submit several commands, to be durable in one commit, as ``begin`` would each."""
        way = Way.PLACE_LINKED if linked else Way.PLACE_ALL
        asking = asyncio.create_task(self._ask(way, account, requests))
        return [RemotePlacing(self, asking, number) for number in range(len(requests))]

    async def seen(self, answer: Answer, number: int) -> tuple[Entry, bool]:
        """Return one result of an answer once it is followed here. Raises Refused."""
        entry, was_there = _result(answer.outcomes[number])
        await self._see(entry.sequence)
        return entry, was_there

    async def barrier(self) -> int:
        """Return the last durable sequence once every command that had reached the leader is durable or has failed."""
        return (await self._ask(Way.BARRIER, 0, [])).sequence

    async def _see(self, sequence: int) -> None:
        """Wait until an entry is followed here. Where that takes too long, what is read may lag: refused."""
        try:
            await self._follower.reached(sequence, SEEN_TIMEOUT_S)
        except TimeoutError:
            detail = "this process is behind the exchange; what you were told is safe, ask again in a moment"
            raise refuse(EdgeReason.UNAVAILABLE, detail, retry_after_s=1) from None

    # What is followed

    def follow(self, changes: Changes) -> None:
        """Take what durable entries changed: everybody whom they touch may have been told of them."""
        for account in changes.accounts:
            self._told.tell(account, changes.sequence)

    def forget(self) -> None:
        """The state was begun anew: whatever it includes may have been told."""
        self._told = Told(self.sequence)

    # Asking

    async def run(self) -> None:
        """Speak what is asked, and hear answers, until cancelled."""
        await self._relay.listen(
            {self._channels.answers(self._sender): self._take_answers, self._channels.leading: self._take_leading}
        )
        while True:
            await self._asked.wait()
            self._asked.clear()
            while self._outgoing:
                await self._speak_asks()

    async def _ask(self, way: Way, account: int, requests: Sequence[tuple[bytearray, str | None]]) -> Answer:
        if len(self._underway) >= UNDERWAY_MAX:
            detail = f"{UNDERWAY_MAX} requests are waiting already; nothing was placed"
            raise refuse(EdgeReason.OVERLOADED, detail, retry_after_s=1)
        repeatable = way == Way.BARRIER or all(name is not None for _, name in requests)
        now = time.monotonic()
        held_until, deadline, asked_ns = now + HELD_S, now + ANSWER_TIMEOUT_S, time.time_ns()
        records = [(bytes(command), name) for command, name in requests]
        may_have_arrived = False
        while True:
            if not self._hears_leader():
                await self._until_leader(held_until, may_have_arrived)
            self._tags += 1
            try:
                answer = await self._answer_to(Ask(self._tags, way, account, asked_ns, records), deadline)
            except NotSpoken:
                self._heard_at = float("-inf")  # nobody heard it: who leads now will say so
                continue
            except LeaderLost:
                may_have_arrived = True
                if not repeatable:
                    raise outcome_unknown() from None
                continue
            except TimeoutError:
                raise outcome_unknown() from None
            if answer.problem is None:
                return answer
            refusal = refusal_of(answer.problem)
            if refusal.reason == EdgeReason.UNAVAILABLE and time.monotonic() < held_until:
                self._heard_at = float("-inf")  # it is giving the lead up, and has placed nothing
                continue
            raise Refused(refusal)

    async def _answer_to(self, ask: Ask, deadline: float) -> Answer:
        """Ask the leader. Raises NotSpoken (it has not heard), LeaderLost, TimeoutError."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._underway[ask.tag] = self._epoch, answer
        self._outgoing.append((self._epoch, ask))
        self._asked.set()
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                return await answer
        finally:
            del self._underway[ask.tag]

    async def _speak_asks(self) -> None:
        epoch = self._outgoing[0][0]
        asks: list[Ask] = []
        while self._outgoing and self._outgoing[0][0] == epoch and len(asks) < TOGETHER_MAX:
            asks.append(self._outgoing.popleft()[1])
        try:
            await self._relay.tell(self._channels.commands(epoch), encode(Asks(self._sender, asks)))
        except NotSpoken as error:
            for ask in asks:
                self._fail(ask.tag, error)

    def _fail(self, tag: int, error: Exception) -> None:
        waiting = self._underway.get(tag)
        if waiting is not None and not waiting[1].done():
            waiting[1].set_exception(error)

    def _take_answers(self, message: bytes) -> None:
        try:
            answers = _read_answers(message).answers
        except NotUnderstood as error:
            logger.error("an answer is not understood, its caller times out: %s", error)
            return
        for answer in answers:
            waiting = self._underway.get(answer.tag)
            if waiting is not None and not waiting[1].done():
                waiting[1].set_result(answer)

    # The leader

    def _take_leading(self, message: bytes) -> None:
        try:
            leading = _read_leading(message)
        except NotUnderstood as error:
            logger.error("who leads is not understood: %s", error)
            return
        if leading.epoch < self._epoch:
            return  # it does not know yet that it is over
        if leading.epoch > self._epoch:
            logger.info("the leader of epoch %d takes orders", leading.epoch)
            self._epoch = leading.epoch
            self._lose(lambda epoch: epoch < leading.epoch)
        self._heard_at = time.monotonic()
        self._leads.set()

    def _relay_changed(self, up: bool) -> None:
        if not up:
            self._heard_at = float("-inf")
            self._lose(lambda epoch: True)

    def _lose(self, is_lost: Callable[[int], bool]) -> None:
        for tag, (epoch, _) in list(self._underway.items()):
            if is_lost(epoch):
                self._fail(tag, LeaderLost())

    def _hears_leader(self) -> bool:
        return time.monotonic() - self._heard_at < LEADER_SILENT_S

    async def _until_leader(self, held_until: float, may_have_arrived: bool) -> None:
        """Wait until a leader is heard. Raises Refused: UNAVAILABLE, or OUTCOME_UNKNOWN for what may have arrived."""
        self._leads.clear()
        try:
            async with asyncio.timeout(held_until - time.monotonic()):
                await self._leads.wait()
        except TimeoutError:
            raise (outcome_unknown() if may_have_arrived else unavailable()) from None


class RemotePlacing:
    """A command on its way, one of those that were asked together."""

    def __init__(self, corridor: RemoteCorridor, asking: "asyncio.Task[Answer]", number: int) -> None:
        self._corridor = corridor
        self._asking = asking
        self._number = number

    async def result(self) -> tuple[Entry, bool]:
        """Return (entry, whether an earlier request with the same id had it) once it is durable. Raises Refused."""
        return await self._corridor.seen(await asyncio.shield(self._asking), self._number)


def _result(outcome: Outcome) -> tuple[Entry, bool]:
    """Return (entry, whether it was there before). Raises Refused."""
    if outcome.problem is not None:
        raise Refused(refusal_of(outcome.problem))
    return Entry(sequence_of(outcome.command), outcome.command, outcome.events), outcome.was_there

"""What must hold after every run, whatever went wrong: the promises to those who trade here, held to the journal."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec

from engine.matching import Shard as FastShard
from engine.records import Reason
from engine.reference import Shard
from exchange.contracts import commands
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.events import find_refusal
from exchange.contracts.orders import render_fill, render_order
from exchange.contracts.refusals import EdgeReason, Refusal
from exchange.corridor.corridor import Corridor
from exchange.gateway.order_entry import show_placed
from tests.simulation.folded import Folded, Key, key_of
from tests.simulation.postgres import Postgres
from tests.simulation.request import Evidence, Request, Told

ENDED = ("Filled", "Cancelled", "Expired", "Rejected")


class Oracle:
    """Judges one run by its journal. ``violations`` says what broke, each with the promise it breaks."""

    def __init__(self, server: Postgres, evidence: Evidence) -> None:
        self._server = server
        self._evidence = evidence
        self._entries = [row.entry for row in server.rows]
        self.violations: list[str] = []
        self._catalogue = Catalogue()
        self._folded = Folded(with_history=True)
        self._placed: dict[Key, list[int]] = defaultdict(list)  # sequences of every command with this id
        for entry in self._entries:
            self._folded.take(entry)
            self._catalogue.define(entry.command)
            key = key_of(entry.command)
            if key is not None:
                self._placed[key].append(entry.sequence)

    def _broken(self, promise: str, what: object) -> None:
        self.violations.append(f"{promise}: {what}")

    def judge(self, corridor: Corridor | None) -> None:
        self._judge_journal()
        self._judge_replay(corridor)
        self._judge_client_order_ids()
        for told in self._evidence.told:
            for request, answer in _parts(told):
                self._judge_answer(told, request, answer)
        self._judge_published()
        for request in self._evidence.unresolved:
            self._broken("every unknown outcome can be resolved", request)

    # The journal

    def _judge_journal(self) -> None:
        for number, row in enumerate(self._server.rows, start=1):
            if row.entry.sequence != number or commands.sequence_of(row.entry.command) != number:
                self._broken("sequences follow each other", number)
            if row.epoch != row.lease_epoch:
                self._broken("no stale leader commits", f"entry {number}: epoch {row.epoch}, lease {row.lease_epoch}")

    def _judge_replay(self, corridor: Corridor | None) -> None:
        """The reference engine, executing the journal again, causes its events and goes through the leader's state."""
        shard = Shard()
        for entry in self._entries:
            if shard.apply(entry.command) != entry.events:
                self._broken("the journal replays to its own events", entry.sequence)
                return
            if corridor is not None and entry.sequence == corridor.sequence:
                self._judge_memory(corridor, shard)
        sums: Counter[int] = Counter()
        for (account, asset), (available, held) in shard.balances().items():
            sums[asset] += available + held
            if account >= 1_000 and (available < 0 or held < 0):
                self._broken("nobody owes", (account, asset, available, held))
        if any(sums.values()):
            self._broken("the ledger sums to zero", dict(sums))
        for sequence, (digest, state) in self._server.snapshots.items():
            if FastShard.restore(state).digest() != digest:
                self._broken("a snapshot is the state it is filed as", sequence)

    def _judge_memory(self, corridor: Corridor, shard: Shard) -> None:
        """A leader that has stopped has in memory what the journal says; not where its last append failed."""
        if corridor._replica.sequence != corridor.sequence:
            return
        if corridor.digest() != shard.digest():
            self._broken("memory is what the journal says", corridor.sequence)
        for number in self._catalogue.markets:
            levels = [[(price, lots) for price, lots, _ in side] for side in shard.depth(number)]
            if list(corridor.live.depth(number, 1_000)[1:]) != levels:
                self._broken("the live book is what the journal says", number)

    def _judge_client_order_ids(self) -> None:
        for key, sequences in self._placed.items():
            if len(sequences) > 1:
                self._broken("a client order id is one order", f"{key}: {sequences}")

    # Answers

    def _judge_answer(self, told: Told, request: Request, answer: dict[str, Any] | Refusal) -> None:
        if isinstance(answer, Refusal):
            self._judge_refusal(told, request, answer)
        elif request.kind in ("place", "replace"):
            self._judge_placed(request, answer)
        else:
            self._judge_order(told, request, answer)
            if request.kind == "cancel":
                self._judge_final(answer)

    def _judge_placed(self, request: Request, answer: dict[str, Any]) -> None:
        """An acknowledged order is in the journal once, and everybody who asked got the same answer."""
        sequence = int(answer["order_id"])
        assert request.client_order_id is not None
        if self._placed[request.account, request.client_order_id] != [sequence]:
            found = self._placed[request.account, request.client_order_id]
            self._broken(
                "an acknowledged order is never lost", f"{request} was told {sequence}; the journal has {found}"
            )
            return
        entry = self._entries[sequence - 1]
        expected = msgspec.json.decode(show_placed(entry, self._catalogue.market(request.body["symbol"])))
        given = {name: value for name, value in answer.items() if name in expected}
        if given != expected:
            self._broken("the same id gets the first result", f"{request}: {_difference(given, expected)}")

    def _judge_order(self, told: Told, request: Request, answer: dict[str, Any]) -> None:
        """An order as it was at some moment, and that not before what its owner had been told of."""
        history = self._folded.history
        assert history is not None
        versions = history.get(int(answer["order_id"]), {})
        sequence = answer["sequence"]
        if sequence not in versions:
            self._broken("what is shown was", f"{request} shows order {answer['order_id']} at {sequence}")
            return
        order = versions[sequence]
        market = self._catalogue.markets[order.market]
        shown = {name: value for name, value in answer.items() if name not in _NOT_OF_THE_ORDER}
        if shown != render_order(order, market):
            self._broken("what is shown was", f"{request}: {_difference(shown, render_order(order, market))}")
        missed = [later for later in versions if sequence < later <= told.before]
        if missed:
            self._broken("reads never lag what was told", f"{request} shows {sequence}, told {told.before}: {missed}")
        fills = [render_fill(fill, market) for fill in self._folded.fills.get(order.order_id, ())]
        if answer.get("fills", [])[: len(fills)] != fills[: len(answer.get("fills", []))]:
            self._broken("fills are those of the journal", request)

    def _judge_final(self, answer: dict[str, Any]) -> None:
        final = self._folded.orders.get(int(answer["order_id"]))
        if answer["status"] not in ENDED or final is None or final.sequence != answer["sequence"]:
            now = final.sequence if final else None
            self._broken("a cancel's answer is final", f"{answer['order_id']} {answer['status']}, now at {now}")

    def _judge_refusal(self, told: Told, request: Request, refusal: Refusal) -> None:
        if refusal.reason == EdgeReason.NOT_RECEIVED:
            self._judge_not_received(told, request)
        elif refusal.reason == Reason.ORDER_ENDED:
            self._judge_ended(request, refusal)
        elif refusal.reason == Reason.UNKNOWN_ORDER and request.kind != "replace":
            self._broken("an acknowledged order is never lost", f"{request} is unknown")
        elif refusal.reason in (EdgeReason.INTERNAL, Reason.CLIENT_ORDER_ID_REUSED):
            self._broken("an answer says what is", f"{request}: {refusal}")
        elif request.client_order_id is not None and refusal.sequence is not None:
            self._judge_refused(request, refusal)

    def _judge_refused(self, request: Request, refusal: Refusal) -> None:
        assert request.client_order_id is not None and refusal.sequence is not None
        found = self._placed[request.account, request.client_order_id]
        if found != [refusal.sequence]:
            self._broken("a refusal is the journal's", f"{request}: {refusal}; the journal has {found}")
            return
        given = find_refusal(self._entries[refusal.sequence - 1].events)
        if given is None or given.reason != refusal.reason:
            self._broken("the same id gets the first result", f"{request}: {refusal}, first {given}")

    def _judge_ended(self, request: Request, refusal: Refusal) -> None:
        if not request.order_id:
            return
        order = self._folded.orders[request.order_id]
        now = render_order(order, self._catalogue.markets[order.market])
        said = dict(refusal.extra)
        if (said["order_status"], said["filled_quantity"]) != (now["status"], now["filled_quantity"]):
            self._broken("a cancel's answer is final", f"{request}: {said}, now {now['status']}")

    def _judge_not_received(self, told: Told, request: Request) -> None:
        """Nothing that had arrived when it was asked comes to be an order afterwards."""
        assert request.client_order_id is not None
        key = request.account, request.client_order_id
        if not self._placed[key]:
            return
        came_after = [at for at, other in self._evidence.arrived if key in _keys(other) and at >= told.asked_at]
        row = self._server.rows[self._placed[key][0] - 1]
        if row.at < min(came_after, default=float("inf")):
            self._broken("NOT_RECEIVED is definitive", f"{key} is entry {row.entry.sequence}, nothing came after")

    # Streams

    def _judge_published(self) -> None:
        history = self._folded.history
        assert history is not None
        for sequence, head, orders in self._evidence.published:
            if sequence > head:
                self._broken("durable before visible", f"published {sequence}, and the journal ended at {head}")
            for order in orders:
                if history.get(order.order_id, {}).get(order.sequence) != order:
                    self._broken("what is published was", f"order {order.order_id} at {order.sequence}")


_NOT_OF_THE_ORDER = ("fills", "priority_kept", "ahead_orders", "ahead_quantity", "replaced", "cancel_refused")


def judge(server: Postgres, evidence: Evidence, corridor: Corridor | None) -> list[str]:
    """Return what a run broke. ``corridor``: that of the leader at its end."""
    oracle = Oracle(server, evidence)
    oracle.judge(corridor)
    return oracle.violations


def _parts(told: Told) -> Iterator[tuple[Request, dict[str, Any] | Refusal]]:
    """A batch is several requests with an answer each; outcomes that are not known say nothing."""
    if told.request.kind != "batch" or isinstance(told.answer, Refusal):
        yield told.request, told.answer
        return
    for body, outcome in zip(told.request.body["operations"], told.answer["outcomes"], strict=True):
        if outcome["order"] is not None:
            yield Request("place", told.request.account, body=body), outcome["order"]
        elif outcome["problem"].get("sequence") is not None:
            problem = outcome["problem"]
            refusal = Refusal(Reason[problem["reason"]], problem["detail"], sequence=problem["sequence"])
            yield Request("place", told.request.account, body=body), refusal


def _keys(request: Request) -> list[Key]:
    if request.kind == "batch":
        return [(request.account, body["client_order_id"]) for body in request.body["operations"]]
    if request.kind in ("place", "replace") and request.client_order_id is not None:
        return [(request.account, request.client_order_id)]
    return []


def _difference(given: dict[str, Any], expected: dict[str, Any]) -> str:
    names = [name for name in {**given, **expected} if given.get(name) != expected.get(name)]
    return ", ".join(f"{name} is {given.get(name)!r}, should be {expected.get(name)!r}" for name in names)

"""The fast engine does what the reference does, event for event and digest for digest, whatever it is told.

The reference is itself held against an audit of its events after every command.
"""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.records import EventKind
from engine.reference import Shard as ReferenceShard
from tests.properties.strategies import ACCOUNTS, DEFINITIONS, any_command, int64, odd_commands, orders, unsigned
from tests.support import commands
from tests.support.audit import Audit
from tests.support.commands import Sequencer, read_events, split_commands, stamp
from tests.support.engines import load_engine
from tests.support.scenario import Names, describe

pytestmark = pytest.mark.timeout(3_600)  # the nightly profile takes its time


def _lines(events: bytes) -> str:
    return "\n".join(describe(event, Names()) for event in read_events(events))


class EnginesAgree(RuleBasedStateMachine):
    """Drives a shard of each engine with the same commands."""

    def __init__(self) -> None:
        super().__init__()
        self.sequencer = Sequencer()
        self.reference = ReferenceShard()
        self.matching = load_engine("matching").Shard()
        self.audit = Audit()
        self.accepted: list[tuple[int, int]] = []

    def send(self, batch: bytes) -> None:
        """Apply a batch to the fast engine at once and to the reference one by one."""
        events = b""
        for command in split_commands(batch):
            caused = self.reference.apply(command)
            self.audit.follow(command, read_events(caused))
            events += caused
        found = self.matching.apply(batch)
        if found != events:
            raise AssertionError(f"the reference caused\n{_lines(events)}\nand the fast engine\n{_lines(found)}")
        taken = (event for event in read_events(events) if event.kind is EventKind.ACCEPTED)
        self.accepted += [(event.account, event.order_id) for event in taken]

    @initialize(deposits=st.lists(st.sampled_from([2**62 - 1, 10**15, 100_000, 300]), min_size=12, max_size=12))
    def open_the_markets(self, deposits: list[int]) -> None:
        self.send(self.sequencer.stamp(*DEFINITIONS))
        owners = [(account, asset) for account in range(2, 6) for asset in range(1, 4)]
        funds = [commands.deposit(*owner, amount) for owner, amount in zip(owners, deposits, strict=True)]
        self.send(self.sequencer.stamp(*funds))

    @rule(command=orders())
    def an_order(self, command: bytes) -> None:
        self.send(self.sequencer.stamp(command))

    @rule(batch=st.lists(orders(), min_size=2, max_size=12))
    def a_batch_of_orders(self, batch: list[bytes]) -> None:
        self.send(self.sequencer.stamp(*batch))

    @rule(batch=st.lists(any_command(), max_size=8))
    def a_batch_of_anything(self, batch: list[bytes]) -> None:
        self.send(self.sequencer.stamp(*batch))

    @rule(command=odd_commands(), timestamp_ns=int64())
    def something_odd_at_any_time(self, command: bytes, timestamp_ns: int) -> None:
        self.sequencer.sequence += 1
        self.send(stamp(command, self.sequencer.sequence, timestamp_ns))

    @precondition(lambda self: self.accepted)
    @rule(data=st.data())
    def cancel_an_order(self, data: Any) -> None:
        account, order_id = data.draw(st.sampled_from(self.accepted))
        self.send(self.sequencer.stamp(commands.cancel(account, order_id)))

    @rule(account=ACCOUNTS | unsigned(64), order_id=st.integers(0, 80) | unsigned(64))
    def cancel_what_may_not_be_there(self, account: int, order_id: int) -> None:
        self.send(self.sequencer.stamp(commands.cancel(account, order_id)))

    @rule()
    def restart_both(self) -> None:
        self.reference = ReferenceShard.restore(self.reference.snapshot())
        self.matching = type(self.matching).restore(self.matching.snapshot())

    @rule(command=any_command(), wrong=unsigned(64))
    def a_wrong_sequence_is_refused_whole(self, command: bytes, wrong: int) -> None:
        right = self.sequencer.sequence + 1
        if wrong == right + 1:
            return
        batch = stamp(command, right, 0) + stamp(command, wrong, 0)
        for name, shard in (("reference", self.reference), ("matching", self.matching)):
            with pytest.raises(load_engine(name).SequenceError):
                shard.apply(batch)

    @invariant()
    def they_are_in_the_same_state(self) -> None:
        assert self.matching.digest() == self.reference.digest()
        assert self.matching.sequence == self.reference.sequence == self.sequencer.sequence
        assert self.matching.trades == self.reference.trades
        for market in self.audit.markets:
            assert self.matching.book(market) == self.reference.book(market)
        for account, asset in self.audit.available:
            assert self.matching.balance(account, asset) == self.reference.balance(account, asset)

    @invariant()
    def the_reference_is_where_its_events_have_led(self) -> None:
        self.audit.check(self.reference)


TestEnginesAgree = EnginesAgree.TestCase

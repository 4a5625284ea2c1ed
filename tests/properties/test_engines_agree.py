"""The fast engine does what the reference does, event for event and digest for digest, whatever it is told.

The reference is itself held against an audit of its events after every command.
"""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.reference import Shard as ReferenceShard
from tests.properties import strategies
from tests.properties.strategies import DEFINITIONS, SECOND, any_command, any_orders, int64, odd_commands, unsigned
from tests.support import commands
from tests.support.audit import Audit
from tests.support.commands import Sequencer, read_events, split_commands, stamp
from tests.support.engines import load_engine
from tests.support.language import Names
from tests.support.scenario import describe, write_scenario

pytestmark = pytest.mark.timeout(3_600)  # the nightly profile takes its time

_DEADLINE_NS = 2**63 - 2**40  # times stay below, so that a step more is a time


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
        self.sent: list[bytes] = []

    def send(self, *batch: bytes, step_ns: int = 1_000) -> None:
        """Apply a batch, so much later, to the fast engine at once and to the reference one by one."""
        timestamp_ns = min(max(self.sequencer.timestamp_ns + step_ns, -_DEADLINE_NS), _DEADLINE_NS)
        self.send_stamped(self.sequencer.stamp(*batch, timestamp_ns=timestamp_ns))

    def send_stamped(self, batch: bytes) -> None:
        self.sent += split_commands(batch)
        events = b""
        for command in split_commands(batch):
            caused = self.reference.apply(command)
            self.audit.follow(command, read_events(caused))
            events += caused
        found = self.matching.apply(batch)
        if found != events:
            both = f"the reference caused\n{_lines(events)}\nand the fast engine\n{_lines(found)}"
            raise AssertionError(f"{write_scenario(self.sent)}\n{both}")

    def live(self, data: Any, waiting: int | None = None) -> Any:
        """One of the live orders, perhaps of those that wait for something."""
        orders = [order for order in self.reference.orders() if waiting in (None, order.waiting)]
        return data.draw(st.sampled_from(orders)) if orders else None

    @initialize(deposits=st.lists(st.sampled_from([2**62 - 1, 10**15, 100_000, 300]), min_size=12, max_size=12))
    def open_the_markets(self, deposits: list[int]) -> None:
        self.send(*DEFINITIONS)
        owners = [(account, asset) for account in range(2, 6) for asset in range(1, 4)]
        funds = [commands.deposit(*owner, amount) for owner, amount in zip(owners, deposits, strict=True)]
        self.send(*funds)

    @rule(command=any_orders(), step_ns=strategies.time_steps())
    def an_order(self, command: bytes, step_ns: int) -> None:
        self.send(command, step_ns=step_ns)

    @rule(batch=st.lists(any_orders(), min_size=2, max_size=12))
    def a_batch_of_orders(self, batch: list[bytes]) -> None:
        self.send(*batch)

    @rule(batch=st.lists(any_command(), max_size=8), step_ns=strategies.time_steps())
    def a_batch_of_anything(self, batch: list[bytes], step_ns: int) -> None:
        self.send(*batch, step_ns=step_ns)

    @rule(command=odd_commands(), timestamp_ns=int64())
    def something_odd_at_any_time(self, command: bytes, timestamp_ns: int) -> None:
        now_ns = self.sequencer.timestamp_ns
        self.send_stamped(self.sequencer.stamp(command, timestamp_ns=timestamp_ns))
        self.sequencer.timestamp_ns = now_ns

    @precondition(lambda self: self.reference.open_orders)
    @rule(data=st.data())
    def the_other_leg_of_an_order(self, data: Any) -> None:
        self.send(data.draw(strategies.legs(self.live(data))))

    @rule(data=st.data(), child=strategies.children(), paired=st.booleans())
    def a_bracket(self, data: Any, child: bytes, paired: bool) -> None:
        self.send(child)
        for of_order in (strategies.legs, strategies.parents) if paired else (strategies.parents,):
            if order := self.live(data, waiting=2):
                self.send(data.draw(of_order(order)))

    @precondition(lambda self: self.reference.open_orders)
    @rule(data=st.data(), step_ns=strategies.time_steps())
    def cancel_an_order(self, data: Any, step_ns: int) -> None:
        order = self.live(data)
        self.send(commands.cancel(order.account, order.order_id), step_ns=step_ns)

    @precondition(lambda self: self.reference.open_orders)
    @rule(data=st.data())
    def amend_an_order(self, data: Any) -> None:
        self.send(data.draw(strategies.amends(self.live(data))))

    @precondition(lambda self: self.reference.open_orders)
    @rule(data=st.data())
    def replace_an_order(self, data: Any) -> None:
        self.send(data.draw(strategies.replaces(self.live(data))))

    @rule(command=strategies.mass_cancels())
    def cancel_many(self, command: bytes) -> None:
        self.send(command)

    @rule(command=strategies.modes() | strategies.terms() | strategies.fees())
    def the_operator_acts(self, command: bytes) -> None:
        self.send(command)

    @rule(batch=st.lists(strategies.timers(), min_size=1, max_size=3))
    def dead_man_timers(self, batch: list[bytes]) -> None:
        self.send(*batch)

    @rule(step_ns=st.sampled_from([SECOND, 3 * SECOND, 10 * SECOND]))
    def time_passes(self, step_ns: int) -> None:
        self.send(commands.clock(), step_ns=step_ns)

    @rule(account=strategies.ACCOUNTS | unsigned(64), order_id=st.integers(0, 80) | unsigned(64))
    def cancel_what_may_not_be_there(self, account: int, order_id: int) -> None:
        self.send(commands.cancel(account, order_id))

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
        assert self.matching.digest() == self.reference.digest(), write_scenario(self.sent)
        assert self.matching.sequence == self.reference.sequence == self.sequencer.sequence
        assert self.matching.trades == self.reference.trades
        assert self.matching.open_orders == self.reference.open_orders
        assert self.matching.next_due_ns == self.reference.next_due_ns
        assert self.matching.balances() == self.reference.balances()
        assert self.matching.orders() == self.reference.orders()
        for account in range(1, 7):
            assert self.matching.cancel_after(account) == self.reference.cancel_after(account)
            assert self.matching.fee_shares(account) == self.reference.fee_shares(account)
        for market in self.audit.markets:
            for question in ("book", "depth", "state", "indicative", "checksum"):
                assert getattr(self.matching, question)(market) == getattr(self.reference, question)(market)

    @invariant()
    def the_reference_is_where_its_events_have_led(self) -> None:
        self.audit.check(self.reference)


TestEnginesAgree = EnginesAgree.TestCase

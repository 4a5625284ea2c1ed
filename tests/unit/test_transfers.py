"""Which events are the outcome of a transfer, and what a reference is known by."""

import re

import pytest

from engine.reference import Shard
from exchange.contracts.events import read_events
from exchange.contracts.transfers import DEPOSIT, WITHDRAWAL, Transfer, reference_of, transfer_key, transfer_of
from exchange.gateway.shapes import ClientOrderIdText
from tests.support import commands
from tests.support.commands import BUY, Sequencer

CLIENT_ORDER_ID = ClientOrderIdText.__metadata__[0].metadata[0].pattern  # type: ignore[attr-defined]


def outcomes(*made: bytes) -> list[Transfer]:
    """The transfers of commands after the definition of a market."""
    shard, sequencer = Shard(), Sequencer()
    opening = [
        commands.define_asset(1, "USD"),
        commands.define_asset(2, "BTC"),
        commands.define_market(1, "BTC/USD", 2, 1),
    ]
    found = []
    for command in [*opening, *made]:
        stamped = sequencer.stamp(command)
        found += [transfer_of(stamped, event) for event in read_events(shard.apply(stamped))]
    return [transfer for transfer in found if transfer is not None]


def test_deposits_and_withdrawals_are_transfers_with_or_without_a_reference() -> None:
    made = outcomes(commands.deposit(7, 1, 90, b"in"), commands.withdraw(7, 1, 40), commands.deposit(7, 2, 1))
    assert [transfer[1:7] for transfer in made] == [
        (7, DEPOSIT, 1, 90, "in", 0),
        (7, WITHDRAWAL, 1, 40, None, 0),
        (7, DEPOSIT, 2, 1, None, 0),
    ]
    assert [transfer.sequence for transfer in made] == [4, 5, 6]


def test_a_refusal_for_want_of_funds_is_remembered_where_it_has_a_reference() -> None:
    made = outcomes(commands.withdraw(7, 1, 40, b"out"), commands.withdraw(7, 1, 40))
    assert [(transfer.reference, transfer.reason) for transfer in made] == [("out", 2001)]


@pytest.mark.parametrize(
    "command",
    [
        commands.deposit(7, 9, 1, b"\xff\xfe"),
        commands.deposit(0, 1, 1, b"x"),
        commands.withdraw(7, 1, 0, b"x"),
        commands.override(commands.withdraw(7, 1, 5, b"x"), version=9),
    ],
)
def test_what_no_edge_sends_is_no_transfer(command: bytes) -> None:
    assert outcomes(command) == []


def test_orders_that_are_refused_for_want_of_funds_are_no_transfers() -> None:
    assert outcomes(commands.place(7, 1, BUY, 100, 1, client_order_id=b"x")) == []


def test_what_happens_before_a_transfer_is_no_transfer() -> None:
    """An order expires with the command that brings the time along."""
    order = commands.place(7, 1, BUY, 1, 1, time_in_force=6, expire_ns=5_000_000_000)
    late = commands.override(commands.deposit(7, 1, 5, b"in"), timestamp_ns=6_000_000_000)
    shard = Shard()
    opening = [
        commands.define_asset(1, "USD"),
        commands.define_asset(2, "BTC"),
        commands.define_market(1, "BTC/USD", 2, 1),
        commands.deposit(7, 1, 1_000),
        order,
    ]
    shard.apply(b"".join(commands.stamp(command, n, n) for n, command in enumerate(opening, start=1)))
    command = commands.stamp(late, 6, 6_000_000_000)
    found = [transfer_of(command, event) for event in read_events(shard.apply(command))]
    assert len(found) == 2 and found[0] is None
    assert found[1] is not None and found[1].reference == "in"


def test_no_client_order_id_is_the_key_of_a_transfer() -> None:
    for reference in ("a", "wd:7", "x" * 36):
        key = transfer_key(reference)
        assert reference_of(key) == reference
        assert not re.fullmatch(CLIENT_ORDER_ID, key)
    assert reference_of("a:b") is None

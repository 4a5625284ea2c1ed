"""Postings are derived from events alone; the engine keeps its own ledger. Both must come to the same."""

from collections import defaultdict
from collections.abc import Callable

import pytest

from engine.records import EXTERNAL_ACCOUNT, REVENUE_ACCOUNT, EventKind
from engine.reference import Shard
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.events import read_events
from exchange.projections.postings import Posting, PostingKind, postings_of
from tests.support import commands, flow, full_flow
from tests.support.commands import BUY, SELL, Sequencer

USD, BTC = 1, 2
MAKER, TAKER = 10, 11


class Exchange:
    """An engine, and what its events post."""

    def __init__(self, **market_terms: int) -> None:
        self.shard = Shard()
        self.catalogue = Catalogue()
        self._sequencer = Sequencer()
        self.do(commands.define_asset(USD, "USD"))
        self.do(commands.define_asset(BTC, "BTC"))
        self.do(commands.define_market(1, "BTC/USD", BTC, USD, **market_terms))
        for account in (MAKER, TAKER):
            for asset in (USD, BTC):
                self.do(commands.deposit(account, asset, 10**6))

    def do(self, command: bytes) -> list[Posting]:
        stamped = self._sequencer.stamp(command)
        events = list(read_events(self.shard.apply(stamped)))
        self.catalogue.define(stamped)
        return [posting for event in events for posting in postings_of(event, self.catalogue, stamped)]


@pytest.mark.parametrize(("steps", "count"), [(flow.random_flow, 1_500), (full_flow.full_flow, 3_000)])
@pytest.mark.parametrize("seed", [1, 2])
def test_postings_come_to_the_engines_balances_after_every_command(
    seed: int, steps: Callable[[int, int], list[flow.Step]], count: int
) -> None:
    shard, catalogue = Shard(), Catalogue()
    balances: defaultdict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0])
    for command in flow.stamped(steps(seed, count)):
        events = list(read_events(shard.apply(command)))
        if any(event.kind <= EventKind.MARKET_DEFINED for event in events):
            catalogue.define(command)
        sums: defaultdict[int, int] = defaultdict(int)
        for event in events:
            for posting in postings_of(event, catalogue, command):
                balance = balances[posting.account, posting.asset]
                balance[0] += posting.available_change
                balance[1] += posting.held_change
                sums[posting.asset] += posting.available_change + posting.held_change
                assert balance[0] >= 0 or posting.account == EXTERNAL_ACCOUNT, posting
                assert balance[1] >= 0, posting
        assert not any(sums.values()), "a command moves units and makes none"
        assert {key: tuple(balance) for key, balance in balances.items() if any(balance)} == shard.balances()
    assert shard.trades > 300


def test_a_deposit_and_a_withdrawal_have_the_outside_world_on_the_other_side() -> None:
    exchange = Exchange()
    assert exchange.do(commands.deposit(MAKER, USD, 7)) == [
        Posting(EXTERNAL_ACCOUNT, USD, PostingKind.DEPOSIT, -7, 0, 0, 0),
        Posting(MAKER, USD, PostingKind.DEPOSIT, 7, 0, 0, 0),
    ]
    assert exchange.do(commands.withdraw(MAKER, USD, 5)) == [
        Posting(MAKER, USD, PostingKind.WITHDRAWAL, -5, 0, 0, 0),
        Posting(EXTERNAL_ACCOUNT, USD, PostingKind.WITHDRAWAL, 5, 0, 0, 0),
    ]


def test_a_buy_holds_quote_and_a_sell_holds_base_until_cancelled() -> None:
    exchange = Exchange()  # a lot is 10 units of BTC and costs 2 units of USD at a tick
    assert exchange.do(commands.place(MAKER, 1, BUY, 100, 3)) == [
        Posting(MAKER, USD, PostingKind.HOLD, -600, 600, 8, 0)
    ]
    assert exchange.do(commands.place(MAKER, 1, SELL, 200, 3)) == [Posting(MAKER, BTC, PostingKind.HOLD, -30, 30, 9, 0)]
    assert exchange.do(commands.cancel(MAKER, 8)) == [Posting(MAKER, USD, PostingKind.RELEASE, 600, -600, 8, 0)]
    assert exchange.do(commands.cancel(MAKER, 9)) == [Posting(MAKER, BTC, PostingKind.RELEASE, 30, -30, 9, 0)]


def test_a_buyer_pays_quote_gets_base_less_its_fee_and_gets_back_what_it_held_too_much() -> None:
    exchange = Exchange(maker_fee_ppm=10_000, taker_fee_ppm=50_000)
    exchange.do(commands.place(MAKER, 1, SELL, 100, 4))
    assert exchange.do(commands.place(TAKER, 1, BUY, 110, 4)) == [
        Posting(TAKER, USD, PostingKind.HOLD, -880, 880, 9, 0),
        Posting(TAKER, USD, PostingKind.TRADE_OUT, 0, -800, 9, 1),
        Posting(MAKER, USD, PostingKind.TRADE_IN, 800, 0, 8, 1),
        Posting(MAKER, BTC, PostingKind.TRADE_OUT, 0, -40, 8, 1),
        Posting(TAKER, BTC, PostingKind.TRADE_IN, 40, 0, 9, 1),
        Posting(MAKER, USD, PostingKind.FEE, -8, 0, 8, 1),
        Posting(REVENUE_ACCOUNT, USD, PostingKind.FEE, 8, 0, 8, 1),
        Posting(TAKER, BTC, PostingKind.FEE, -2, 0, 9, 1),
        Posting(REVENUE_ACCOUNT, BTC, PostingKind.FEE, 2, 0, 9, 1),
        Posting(TAKER, USD, PostingKind.RELEASE, 80, -80, 9, 1),
    ]


def test_a_seller_that_takes_gets_the_bids_price_and_changes_of_zero_are_left_out() -> None:
    exchange = Exchange()
    exchange.do(commands.place(MAKER, 1, BUY, 100, 4))
    assert exchange.do(commands.place(TAKER, 1, SELL, 90, 1)) == [
        Posting(TAKER, BTC, PostingKind.HOLD, -10, 10, 9, 0),
        Posting(MAKER, USD, PostingKind.TRADE_OUT, 0, -200, 8, 1),
        Posting(TAKER, USD, PostingKind.TRADE_IN, 200, 0, 9, 1),
        Posting(TAKER, BTC, PostingKind.TRADE_OUT, 0, -10, 9, 1),
        Posting(MAKER, BTC, PostingKind.TRADE_IN, 10, 0, 8, 1),
    ]


def test_a_refusal_posts_nothing() -> None:
    assert Exchange().do(commands.withdraw(MAKER, USD, 10**9)) == []

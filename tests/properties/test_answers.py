"""Orders that came together are answered as one by one, byte for byte; what C cannot show is shown otherwise."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.orders.answers import show_outcomes
from engine.orders.batches import Answer, fail
from engine.orders.state import OrderState
from engine.records import COMMAND_SIZE
from exchange.contracts.units import Market
from exchange.storage.journal import Entry
from tests.properties.test_faces import ORDERS, plain_orders, trades
from tests.support.odd_markets import odd_markets

Known = Answer[Entry]


def command_of(market: Market) -> bytes:
    return bytes(40) + market.number.to_bytes(4, "little") + bytes(COMMAND_SIZE - 44)


@st.composite
def placed(draw: st.DrawFn, market: Market) -> tuple[Known, OrderState]:
    """A command that has placed an order, mostly, and the order as it is now: it may have changed since."""
    order = draw(st.one_of(plain_orders(), ORDERS))
    order.order_id = draw(st.integers(5, 7))
    sequence = draw(st.sampled_from((order.sequence, order.sequence, 2**63 - 1)))
    events = b"".join(draw(st.lists(trades(), max_size=3)))
    return Answer.of(Entry(sequence, command_of(market), events)), order


def failed() -> Known:
    answer: Known = Answer()
    fail([answer], OSError())
    return answer


def one_by_one(outcomes: list[bytes | Known], market: Market, orders: dict[int, OrderState]) -> Iterator[bytes]:
    for outcome in outcomes:
        if isinstance(outcome, bytes):
            yield outcome
            continue
        entry = outcome.entry
        shown = entry and market.face.placed(orders.get(entry.sequence), entry.sequence, entry.command, entry.events)
        yield b'{"status":201,"order":%b,"problem":null}' % shown if shown else otherwise(outcome)


def otherwise(answer: Known) -> bytes:
    return b'"otherwise"'


@given(st.data(), odd_markets())
def test_outcomes_shown_together_are_those_shown_by_themselves(data: st.DataObject, market: Market) -> None:
    orders: dict[int, OrderState] = {}
    outcomes: list[bytes | Known] = []
    for kind in data.draw(st.lists(st.sampled_from(("placed", "placed", "shown", "failed")), max_size=6)):
        if kind == "placed":
            answer, order = data.draw(placed(market))
            if data.draw(st.booleans()):
                assert answer.entry is not None
                orders[answer.entry.sequence] = order
            outcomes.append(answer)
        else:
            outcomes.append(b'{"status":422}' if kind == "shown" else failed())
    shown = show_outcomes(outcomes, {market.number: market}, orders.get, otherwise)
    assert shown == b'{"outcomes":[%b]}' % b",".join(one_by_one(outcomes, market, orders))


@pytest.mark.parametrize("size", [0, COMMAND_SIZE - 1, COMMAND_SIZE + 1])
def test_what_is_no_record_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="144"):
        show_outcomes([Answer.of(Entry(1, bytes(size), b""))], {0: None}, {}.get, otherwise)


def test_what_goes_wrong_for_one_is_told() -> None:
    def fails(answer: Known) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        show_outcomes([b"1", failed()], {}, {}.get, fails)
    for wrong in (None, "1", 1):
        with pytest.raises(TypeError):
            show_outcomes([wrong], {}, {}.get, otherwise)  # type: ignore[list-item]
        with pytest.raises(TypeError):
            show_outcomes([failed()], {}, {}.get, lambda answer: wrong)  # type: ignore[arg-type, return-value] # noqa: B023

"""Orders that came together are answered as one by one, byte for byte; what C cannot show is shown otherwise."""

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.orders.answers import show_acknowledgements, show_outcomes
from engine.orders.batches import Answer, deliver, fail
from engine.orders.state import OrderState
from engine.records import COMMAND_SIZE
from engine.wire.frames import acknowledgement
from exchange.contracts.units import Market
from exchange.gateway.json_endpoint import encode
from exchange.gateway.rate_limits import Budget
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


class Asked(NamedTuple):
    """What an answer on a stream needs to know of its message."""

    id: int | str | None
    left: Budget


def acknowledged(answer: Known, market: Market, orders: dict[int, OrderState]) -> bytes:
    entry, asked = answer.entry, answer.context
    shown = entry and market.face.placed(orders.get(entry.sequence), entry.sequence, entry.command, entry.events)
    if not shown or not (asked.id is None or asked.id in PLAIN_IDS):
        return otherwise(answer)
    return acknowledgement(encode(asked.id), b"place", 201, shown, asked.left.told())


PLAIN_IDS = (0, 1, 2**63 - 1, 2**64 - 1, "", "a-1", "~\x7f")
OTHER_IDS = (-1, 2**64, 10**30, "\n", 'a"', "\\", "\u00e9", "\ud800")
IDS = st.sampled_from((None, *PLAIN_IDS, *PLAIN_IDS, *OTHER_IDS))
BUDGETS = st.builds(Budget, per_s=st.integers(1, 10**9), full_s=st.floats(0, 2), wait_s=st.just(0.0))


@given(st.data(), odd_markets())
def test_acknowledgements_made_together_are_those_made_by_themselves(data: st.DataObject, market: Market) -> None:
    orders: dict[int, OrderState] = {}
    answers: list[Known] = []
    entries: dict[int, Entry] = {}
    for number, is_placed in enumerate(data.draw(st.lists(st.sampled_from((True, True, False)), max_size=4))):
        answer, order = data.draw(placed(market))
        answers.append(Answer())
        answers[-1].hand_to(lambda answers: None, Asked(data.draw(IDS), data.draw(BUDGETS)))
        if is_placed and answer.entry is not None:
            entries[number] = answer.entry
            if data.draw(st.booleans()):
                orders[answer.entry.sequence] = order

    async def made_known() -> None:
        deliver([answers[number] for number in entries], [*entries.values()])
        # Before the next turn of the loop, when the receiver takes them.
        expected = [acknowledged(answer, market, orders) for answer in answers]
        assert show_acknowledgements(answers, {market.number: market}, orders.get, otherwise) == expected

    asyncio.run(made_known())


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

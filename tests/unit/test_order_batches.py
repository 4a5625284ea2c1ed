"""A batch is answered, byte for byte, as its operations would be one by one, however they are carried out together."""

import random
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec
import pytest

from exchange.contracts.refusals import Refused
from exchange.gateway.order_batches import BatchRequest, OrderBatches
from exchange.gateway.order_changes import OrderChanges
from exchange.gateway.order_entry import OrderEntry
from exchange.gateway.principal import Principal
from tests.performance.order_path import scene
from tests.unit.test_order_limits import principal as principal_of

ACCOUNT = 1_000  # the first of a scene
BATCHES = 12
Operation = dict[str, Any]


class RememberingBatches(OrderBatches):
    """Remembers what became of the steps of the last batch."""

    async def _outcomes(self, steps: Any, placings: Any) -> Any:
        self.last = steps, placings
        return await super()._outcomes(steps, placings)

    async def one_by_one(self) -> bytes:
        """The last batch's answer, made of each operation by itself."""
        steps, placings = self.last
        begun = iter(placings)
        outcomes = [await self._outcome(step, None if isinstance(step, Refused) else next(begun)) for step in steps]
        return b'{"outcomes":[%b]}' % b",".join(outcomes)


def batches_of(exchange: Any) -> RememberingBatches:
    entry = OrderEntry(exchange, cast(Any, None))
    return RememberingBatches(entry, OrderChanges(entry))


def order(**terms: Any) -> Operation:
    return {"op": "place", "symbol": "BTC/USD", "side": "Buy", "quantity": "0.01", "price": "50000.00"} | terms


def mixture(rng: random.Random) -> list[Operation]:
    """Operations of every kind, most of them plain orders; some trade with each other."""
    kinds: list[Callable[[int], Operation]] = [
        lambda n: order(side=rng.choice(("Buy", "Sell")), client_order_id=f"{rng.random()}"),
        lambda n: order(side=rng.choice(("Buy", "Sell")), self_trade_prevention="None"),
        lambda n: order(client_order_id="same"),
        lambda n: order(client_order_id="same", price="49999.00"),
        lambda n: order(symbol="ETH-USD", price="2000.00"),
        lambda n: order(symbol="eth/usd", price="2000.00"),
        lambda n: order(symbol="NO/SUCH"),
        lambda n: order(price="50000.001"),
        lambda n: order(quantity="100000000", price="900000.00"),
        lambda n: order(order_type="Market", price=None, quote_quantity="10"),
        lambda n: order(price="50001.00", post_only=True),
        lambda n: order(order_type="Stop", price=None, trigger_price="60000.00"),
        lambda n: {"op": "cancel", "order_id": "x"},
        lambda n: {"op": "amend", "order_id": "x"},
    ]
    weights = [12, 12, *[1] * (len(kinds) - 2)]
    return [kind(number) for number, kind in enumerate(rng.choices(kinds, weights, k=50))]


async def answer(batches: OrderBatches, who: Principal, operations: Sequence[Operation]) -> bytes:
    request = msgspec.json.decode(msgspec.json.encode({"operations": operations}), type=BatchRequest)
    status, body = await (await batches.begin(who, request.operations)).answer
    assert status == 200
    return bytes(cast(msgspec.Raw, body))


@pytest.mark.parametrize("seed", range(3))
async def test_a_batch_is_answered_as_its_operations_are_one_by_one(seed: int) -> None:
    rng, who = random.Random(seed), Principal(ACCOUNT, frozenset(("trade",)), float("inf"), ACCOUNT)
    statuses: list[int] = []
    async with scene(2) as made:
        batches = batches_of(made.exchange)
        for _ in range(BATCHES):
            operations = mixture(rng)
            together = await answer(batches, who, operations)
            assert together == await batches.one_by_one()
            outcomes = msgspec.json.decode(together)["outcomes"]
            assert len(outcomes) == len(operations)
            for operation, outcome in zip(operations, outcomes, strict=True):
                if outcome["order"] is not None:
                    assert outcome["order"]["client_order_id"] == operation.get("client_order_id")
            statuses += [outcome["status"] for outcome in outcomes]
    assert statuses.count(201) > BATCHES * 30
    assert {200, 201, 409, 422} <= set(statuses)


async def test_what_a_key_may_not_do_it_may_not_in_a_batch() -> None:
    async with scene(2) as made:
        batches = batches_of(made.exchange)
        operations = [order(), order(quantity="0.001"), order(symbol="ETH/USD", price="2000.00")]
        told = await answer(batches, principal_of(ACCOUNT, ("BTC/USD",), BTC_USD="100"), operations)
    reasons = [outcome["problem"] and outcome["problem"]["reason"] for outcome in msgspec.json.decode(told)["outcomes"]]
    assert reasons == ["NOTIONAL_CAPPED", None, "MARKET_FORBIDDEN"]

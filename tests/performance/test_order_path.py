"""An order costs so many calls and no more: counted, since times on a shared machine tell nothing small."""

import sys
from types import FrameType
from typing import Any

import pytest

from tests.performance.order_path import scene, way_in

ORDERS, CONNECTIONS = 1_600, 32
#: Calls of Python and C functions an order, a few of the test's own included, by the way it comes in and whether it has
#: a client order id. When this was written: 136 and 140, 13 and 13, 18 and 18.
#: Raise a bound only for something that an order needs.
BOUNDS = {
    ("alone", False): 145, ("alone", True): 150,
    ("batch", False): 15, ("batch", True): 15,
    ("pipelined", False): 20, ("pipelined", True): 20,
}  # fmt: skip


@pytest.mark.parametrize(("way", "client_ids"), BOUNDS)
async def test_an_order_makes_no_more_calls_than_it_did(way: str, client_ids: bool) -> None:
    async with scene(CONNECTIONS) as exchange:
        place = await way_in(exchange, way, client_ids)
        await place(ORDERS)
        calls = 0

        def count(frame: FrameType, event: str, argument: Any) -> None:
            nonlocal calls
            if event in ("call", "c_call"):
                calls += 1

        sys.setprofile(count)
        try:
            await place(ORDERS)
        finally:
            sys.setprofile(None)
    assert calls / ORDERS <= BOUNDS[way, client_ids]

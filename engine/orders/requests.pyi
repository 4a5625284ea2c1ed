from collections.abc import Mapping, Sequence
from typing import Any

class OrderReader:
    """Reads the plain orders of one market, on the terms that it has."""

    def __init__(
        self,
        market: int,
        tick: tuple[int, int],
        lot: tuple[int, int],
        *,
        tick_lot_units: int,
        price_ticks_max: int,
        quantity_lots_min: int,
        quantity_lots_max: int,
        notional_units_min: int,
    ) -> None:
        """Take the numbers of a market (contracts/units.py, Market). ``tick``, ``lot``: as (value, scale)."""

    def place(self, account: int, request: Any, kind: int, order_id: int, more_flags: int) -> bytearray | None:
        """Return the PLACE record, or CANCEL_REPLACE by its ``kind``, of an OrderRequest; None where it is not plain.

        Plain is a Limit order or a Market order by quantity, written as documented, with none of the fields that other
        orders need, and refused by no rule of gateway/order_request.py.
        """

def plain_orders(
    account: int, requests: Sequence[Any], shape: type, markets: Mapping[str, Any]
) -> list[tuple[bytearray, str | None] | None]:
    """Return (PLACE record, client order id) of each request that is a plain order, and None for any other.

    ``requests``: a list; those that are no ``shape`` are no orders. ``markets``: what has an OrderReader as its
    ``reader``, by symbol; a dict.
    """

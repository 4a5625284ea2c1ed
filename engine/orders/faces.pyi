from collections.abc import Iterable

from engine.orders.state import OrderState

class MarketFace:
    """Shows the orders, fills and trades of one market: JSON, or None for what is left to Python."""

    def __init__(
        self, symbol: str, base: str, quote: str, quote_scale: int, tick: tuple[int, int], lot: tuple[int, int]
    ) -> None:
        """Take the numbers of a market (contracts/units.py, Market). ``tick``, ``lot``: as (value, scale)."""

    def order(self, order: OrderState) -> bytes | None:
        """Return the Order."""

    def order_with_fills(self, order: OrderState, events: bytes) -> bytes | None:
        """Return the Order with those of its fills that event records tell. Raises ValueError for what is no record."""

    def placed(self, order: OrderState | None, sequence: int, command: bytes, events: bytes) -> bytes | None:
        """Return the Order that a journaled command placed, with its fills, as it was after that command.

        ``order``: as it is now, None where that is not known. None, too, where the command was refused.
        Raises ValueError for what is no record.
        """

    def account_fill(self, fill: tuple[int, ...]) -> bytes | None:
        """Return a Fill of contracts/order_state.py, naming its order."""

    def trades(self, events: bytes) -> bytes | None:
        """Return those event records that are trades, as everybody is told of them: a list.

        Raises ValueError for what is no record.
        """

def placed_orders(entries: Iterable[tuple[bytes, bytes]]) -> list[OrderState]:
    """Return the orders that consecutive commands placed, as they were after the last: (command, events) records.

    Raises ValueError for what is no record.
    """

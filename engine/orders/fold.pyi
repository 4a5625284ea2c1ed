from typing_extensions import Buffer

from engine.orders.state import OrderState

class OrderFold:
    """A run's orders, each in its state after it: one that came and went within the run is in ``accepted`` only.

    ``orders`` are known from earlier entries; those that are accepted come to them, and nobody leaves. The run's
    commands are one buffer of records, from the entry ``first`` on, and its events come in buffers of whole records,
    each after the one before. Raises ValueError for what is neither.
    """

    def __init__(self, orders: dict[int, OrderState], first: int, commands: bytes) -> None: ...
    @property
    def orders(self) -> dict[int, OrderState]: ...
    @property
    def accepted(self) -> dict[int, OrderState]: ...
    @property
    def changed(self) -> dict[int, OrderState]: ...
    @property
    def first(self) -> int: ...
    def unknown(self, events: Buffer) -> set[int]:
        """Return the ids of orders of before the run that events name and that are not known."""
    def take(self, events: Buffer) -> None:
        """Take events, in their order. Raises KeyError for one of an order that is not known."""

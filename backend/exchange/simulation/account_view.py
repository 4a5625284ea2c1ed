"""What a robot knows of its own account: the private stream and the answers to its own calls, folded together."""

import asyncio
from collections import OrderedDict
from decimal import Decimal
from typing import Any

import msgspec

from exchange.simulation.client import Order

ENDED_MEMORY = 1024  # ended orders remembered, so that a late answer does not bring one back


class AccountView:
    """Open orders and balances. `ready` is set once a snapshot has come."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.orders: dict[str, Order] = {}
        self.totals: dict[str, Decimal] = {}  # by asset
        self._ended: OrderedDict[str, None] = OrderedDict()

    def take(self, document: dict[str, Any]) -> None:
        """Fold in a message of the private stream."""
        if document["type"] == "snapshot":
            # An order that was answered after the snapshot was made is not in it.
            included = document["sequence"]
            self.orders = {order_id: order for order_id, order in self.orders.items() if order.sequence > included}
        for fields in document.get("orders", ()):
            self.apply(msgspec.convert(fields, Order))
        for balance in document.get("balances", ()):
            self.totals[balance["asset"]] = Decimal(balance["total"])
        if document["type"] == "snapshot":
            self.ready.set()

    def apply(self, order: Order) -> None:
        """Fold in an order as an answer or a message showed it; older news than what is known is ignored."""
        if order.order_id in self._ended:
            return
        known = self.orders.get(order.order_id)
        if known is not None and known.sequence > order.sequence:
            return
        if order.is_open:
            self.orders[order.order_id] = order
        else:
            self.forget(order.order_id)

    def forget(self, order_id: str) -> None:
        """The order has ended."""
        self.orders.pop(order_id, None)
        self._ended[order_id] = None
        if len(self._ended) > ENDED_MEMORY:
            self._ended.popitem(last=False)

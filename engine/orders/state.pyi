from typing import final

@final
class OrderState:
    """An accepted order. ``remaining_lots`` is 0 once it has ended; what a cancelled order did not trade is
    ``quantity_lots - filled_lots``. Of an event it takes what exchange.contracts.events reads of a record.

    Raises ValueError, OverflowError or TypeError for what is no record and no field of one.
    """

    FIELDS: tuple[str, ...]  # in the order of the arguments, and the columns of the table

    order_id: int
    account: int
    client_order_id: str | None
    market: int
    side: int
    order_type: int
    time_in_force: int
    flags: int
    self_trade: int
    price_ticks: int
    quantity_lots: int
    remaining_lots: int
    filled_lots: int
    filled_quote_units: int  # as fee_units and prevented_lots: up to 128 bits
    fee_units: int  # of the asset it receives: base for a buy, quote for a sell
    prevented_lots: int  # what it would have traded with its own account
    quote_units: int  # a market order by amount: what it was to spend or to receive, else 0
    trigger_price_ticks: int  # of a trailing stop: as events told it last; it moves without one
    trail_ticks: int
    display_lots: int
    visible_lots: int  # what an iceberg shows now, 0 for others
    min_quantity_lots: int
    expire_ns: int
    other_leg_id: int  # as they were linked, ended or not; 0 for none
    parent_id: int
    child_id: int
    waiting: int
    amendments: int
    status: int  # OrderStatus of exchange/contracts/order_state.py
    end_reason: int
    sequence: int
    created_ns: int
    updated_ns: int

    def __init__(
        self,
        order_id: int,
        account: int,
        client_order_id: str | None,
        market: int,
        side: int,
        order_type: int,
        time_in_force: int,
        flags: int,
        self_trade: int,
        price_ticks: int,
        quantity_lots: int,
        remaining_lots: int,
        filled_lots: int,
        filled_quote_units: int,
        fee_units: int,
        prevented_lots: int,
        quote_units: int,
        trigger_price_ticks: int,
        trail_ticks: int,
        display_lots: int,
        visible_lots: int,
        min_quantity_lots: int,
        expire_ns: int,
        other_leg_id: int,
        parent_id: int,
        child_id: int,
        waiting: int,
        amendments: int,
        status: int,
        end_reason: int,
        sequence: int,
        created_ns: int,
        updated_ns: int,
    ) -> None: ...
    @staticmethod
    def accepted(event: tuple[int, ...], command: bytes) -> OrderState:
        """Return the order of an ACCEPTED event and the command that placed it."""
    @property
    def named_id(self) -> int:
        """The order that it named when it was accepted, as its other leg or its child; 0 for none."""
    @property
    def is_live(self) -> bool: ...
    @property
    def shown_lots(self) -> int:
        """What it shows in the book between two commands, 0 for one that is not in it."""
    def take(self, event: tuple[int, ...]) -> None:
        """Take an event that names this order: as its subject, or as taker or maker."""
    def fill(self, trade: tuple[int, ...], fee_units: int, is_maker: bool) -> None:
        """Take a TRADED event in which this order was the taker or the maker."""
    def link(self, other: OrderState) -> None:
        """Take that another order was accepted which names this one."""

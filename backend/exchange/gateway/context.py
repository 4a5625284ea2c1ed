"""What the gateway needs from the rest of the exchange: the seam that the composition root fills."""

from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Literal, Protocol

from engine.orders.batches import Answer
from engine.records import MarketState
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.order_state import OrderState
from exchange.contracts.refusals import EdgeReason, Refused, refuse
from exchange.gateway.access import Access
from exchange.settings import Settings
from exchange.storage.database import Database
from exchange.storage.journal import Entry
from exchange.storage.volumes import Volumes
from exchange.storage.withdrawals import WithdrawalTable
from exchange.treasury.adjustments import Adjustments
from exchange.treasury.deposits import Deposits
from exchange.treasury.sandbox import Sandbox
from exchange.treasury.transfers import Transfers
from exchange.treasury.withdrawals import Withdrawals

#: ``follower``: another process leads, and orders are passed on to it; ``leaderless``: no leader is heard.
Role = Literal["leader", "standby", "starting", "halted", "follower", "leaderless"]
Levels = Sequence[tuple[int, int]]  # (price_ticks, quantity_lots), best first

READ_YOUR_WRITES_TIMEOUT_S = 5.0
MIN_SEQUENCE_TIMEOUT_S = 1.0


class Placing(Protocol):
    """A command that was taken into the corridor, or that repeats an earlier one."""

    async def result(self) -> tuple[Entry, bool]:
        """Return (entry, whether an earlier request with the same id had it) once it is durable. Raises Refused."""


class Submitted(Placing, Protocol):
    """One in the corridor of this process."""

    def then(self, call: "Callable[[Submitted], None]") -> None:
        """Call when ``taken`` has something to give, in the order of the commands."""

    def taken(self) -> tuple[Entry, bool]:
        """Do what ``result`` does, where it is known already."""


class Corridor(Protocol):
    """The path of an order."""

    @property
    def role(self) -> Role: ...

    @property
    def takes_orders(self) -> bool: ...

    @property
    def ready(self) -> bool:
        """Whether reads may be answered from here."""

    @property
    def sequence(self) -> int:
        """The last durable entry that is known here."""

    async def head(self) -> int:
        """The last durable entry, whoever leads."""

    async def submit(self, command: bytearray) -> Entry:
        """Return when the command is durable. Raises Refused OVERLOADED, UNAVAILABLE or OUTCOME_UNKNOWN."""

    async def place(self, command: bytearray, account: int, client_order_id: str | None) -> tuple[Entry, bool]:
        """Submit a PLACE command; return (entry, whether an earlier request with the same id had placed it)."""

    async def begin(self, command: bytearray, account: int, client_order_id: str | None) -> Placing:
        """Submit a command; return before it is durable. Commands are taken in the order in which this returns."""

    def begin_now(self, command: bytearray, account: int, client_order_id: str | None) -> Submitted | None:
        """Do the same at once; None where it has to wait for anything: then ``begin`` does it."""

    async def begin_all(
        self, account: int, requests: Sequence[tuple[bytearray, str | None]], *, linked: bool = False
    ) -> Sequence[Placing]:
        """Submit (command, client order id) pairs, to be durable in one commit, as ``begin`` would each.

        ``linked``: each names the order that the one before it places.
        """

    def begin_all_now(
        self, account: int, requests: Sequence[tuple[bytearray, str | None]]
    ) -> list[Answer[Entry]] | None:
        """Do the same at once; None where it has to wait for anything: then ``begin`` does it."""

    async def barrier(self) -> int:
        """Return the last durable sequence once every command submitted before this call is durable or has failed.

        Raises Refused UNAVAILABLE where the journal is not led from here.
        """

    async def told(self, account: int) -> int:
        """The highest sequence that an account may have been told of, by whichever process; 0 if none."""

    def balance(self, account: int, asset: int) -> tuple[int, int]:
        """Return (available, held) units, which may be a batch ahead of the journal: for advice, not for answers."""

    def cancel_after(self, account: int) -> int:
        """Return when the account's dead-man timer fires, 0 for never; it may be a batch ahead of the journal."""

    def state(self, market: int) -> MarketState:
        """Return a market's mode, last price and band, which may be a batch ahead of the journal: for advice."""

    def fee_shares(self, account: int) -> tuple[int, int]:
        """Return (maker's, taker's) millionths of the markets' fees that an account pays: for advice."""


class Projections(Protocol):
    """The SQL tables that follow the journal."""

    @property
    def watermark(self) -> int: ...

    async def wait_for(self, sequence: int, timeout_s: float) -> None:
        """Return when the tables include the sequence. Raises TimeoutError."""


class Ticker(Protocol):
    """A market's last 24 hours; prices in ticks, None where there was no trade or no order."""

    @property
    def last_price_ticks(self) -> int | None: ...

    @property
    def best_bid_ticks(self) -> int | None: ...

    @property
    def best_ask_ticks(self) -> int | None: ...

    @property
    def volume_24h_lots(self) -> int: ...

    @property
    def open_24h_ticks(self) -> int | None: ...

    @property
    def high_24h_ticks(self) -> int | None: ...

    @property
    def low_24h_ticks(self) -> int | None: ...


class Live(Protocol):
    """The state of the markets in memory, as of the last durable command."""

    def depth(self, market_number: int, levels: int) -> tuple[int, Levels, Levels]:
        """Return (sequence, bids, asks) with at most ``levels`` price levels a side."""

    def ticker(self, market_number: int) -> Ticker: ...

    def mode(self, market_number: int) -> int:
        """What a market lets happen (engine/records.py, Mode)."""

    def order(self, order_id: int) -> OrderState | None:
        """Return an order that is live, or that was and has ended lately; None where that is forgotten."""

    @property
    def orders_of(self) -> Mapping[int, Mapping[int, OrderState]]:
        """The live orders of an account, by account and order id."""


class Past(Protocol):
    """What was after any entry of the journal.

    Raises Refused FIELD_INVALID where there is no such entry, OVERLOADED, UNAVAILABLE.
    """

    async def book(self, market: int, sequence: int, levels: int) -> tuple[int, Levels, Levels] | None:
        """Return (timestamp_ns, bids, asks); None where the market was not defined yet."""

    async def orders(self, market: int, sequence: int) -> tuple[int, Sequence[Sequence[int]]] | None:
        """Return (mode, orders) of a book, an order as (id, side, price_ticks, visible_lots); None as above."""

    async def balances(self, account: int, sequence: int) -> tuple[int, Mapping[int, tuple[int, int]]]:
        """Return (timestamp_ns, {asset: (available, held)}) of all that is not zero."""


class Streams(Protocol):
    """The WebSocket side."""

    @property
    def subscribers(self) -> int:
        """How many subscriptions there are."""

    @property
    def connections(self) -> Sized: ...


@dataclass
class Exchange:
    """Everything that a request handler may touch."""

    settings: Settings
    database: Database
    corridor: Corridor
    projections: Projections
    live: Live
    catalogue: Catalogue
    streams: Streams | None = None
    past: Past | None = None
    shard: int = 1
    access: Access = field(init=False)
    volumes: Volumes = field(init=False)
    deposits: Deposits = field(init=False)
    withdrawals: Withdrawals = field(init=False)
    adjustments: Adjustments = field(init=False)

    def __post_init__(self) -> None:
        self.access = Access(self.database.engine, self.settings)
        self.volumes = Volumes(self.database.engine, self.shard, self.catalogue)
        transfers = Transfers(self.corridor)
        custody = Sandbox() if self.settings.transfers == "sandbox" else None
        self.deposits = Deposits(transfers, custody, on_request=not self.settings.production)
        table = WithdrawalTable(self.database.engine, self.shard)
        self.withdrawals = Withdrawals(table, transfers, custody, self.catalogue)
        self.adjustments = Adjustments(self.database.engine, transfers, self.catalogue)

    async def read_your_writes(self, account: int) -> None:
        """Return once the tables include everything that the account was told of.

        Refuses with UNAVAILABLE where that is not known: another process leads, or nobody.
        """
        if not self.corridor.ready:
            detail = "this process cannot tell what you were told; ask the one that leads, or again in a moment"
            raise refuse(EdgeReason.UNAVAILABLE, detail, retry_after_s=2)
        await self.caught_up(await self.corridor.told(account))

    async def caught_up(self, sequence: int) -> None:
        """Return once the tables include the sequence; refuses with UNAVAILABLE when that takes too long."""
        if self.projections.watermark >= sequence:
            return
        try:
            await self.projections.wait_for(sequence, READ_YOUR_WRITES_TIMEOUT_S)
        except TimeoutError:
            raise tables_behind() from None

    async def reached(self, sequence: int) -> None:
        """Return once the tables include a sequence that a reader asks for.

        Refuses with UNAVAILABLE after a second, and with FIELD_INVALID what the journal itself has not come to.
        """
        last = self.corridor.sequence
        if self.corridor.takes_orders and sequence > last and sequence > (last := await self.corridor.head()):
            detail = f"the journal has come to entry {last}: nobody was told of {sequence} yet"
            limit = str(last)
            raise refuse(EdgeReason.FIELD_INVALID, detail, field="min_sequence", limit=limit, nearest=limit)
        try:
            await self.projections.wait_for(sequence, MIN_SEQUENCE_TIMEOUT_S)
        except TimeoutError:
            watermark = self.projections.watermark
            detail = f"the tables have come to entry {watermark}, not to {sequence} yet; ask again in a moment"
            extra = (("watermark", watermark),)
            raise refuse(
                EdgeReason.UNAVAILABLE, detail, field="min_sequence", limit=str(watermark), nearest=str(watermark),
                retry_after_s=1, extra=extra,
            ) from None  # fmt: skip


def tables_behind() -> Refused:
    """The tables do not have yet what the account was told."""
    detail = "the tables are behind the exchange; what you were told is safe, ask again in a moment"
    return refuse(EdgeReason.UNAVAILABLE, detail, retry_after_s=2)

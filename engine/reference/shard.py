"""A shard: markets, their books and one ledger. Reads as `docs/engine.md` does, step by step."""

from typing import Self

from engine.errors import SequenceError
from engine.records import COMMAND_SIZE, ORDER_COMMAND, LiveOrder, MarketState
from engine.reference import asking, snapshot
from engine.reference.auction import indicative
from engine.reference.codec import Command, decode
from engine.reference.digest import digest
from engine.reference.executing import execute
from engine.reference.market import Market
from engine.reference.passing import next_due, pass_time
from engine.reference.state import State
from engine.reference.waiting import follow_up, next_to_fire

_Buffer = bytes | bytearray | memoryview


class Shard:
    """The state machine: command records in, event records out."""

    def __init__(self) -> None:
        self._state = State()

    def apply(self, commands: _Buffer) -> bytes:
        """Apply a batch of command records; the events it causes, as one buffer.

        Raises ValueError for a buffer that is no whole number of records and SequenceError when the commands do not
        follow the shard's sequence one by one; nothing is applied then.
        """
        batch = bytes(commands)
        if len(batch) % COMMAND_SIZE:
            raise ValueError(f"a batch is a multiple of {COMMAND_SIZE} bytes, this one has {len(batch)}")
        records = [batch[at : at + COMMAND_SIZE] for at in range(0, len(batch), COMMAND_SIZE)]
        headers = [decode(record, ORDER_COMMAND, Command) for record in records]
        for expected, header in enumerate(headers, self.sequence + 1):
            if header.sequence != expected:
                raise SequenceError(f"the next command has sequence {expected}, this one has {header.sequence}")
        events = [self._apply_one(header, record) for header, record in zip(headers, records, strict=True)]
        return b"".join(events)

    def _apply_one(self, header: Command, record: bytes) -> bytes:
        self._state.begin(header)
        follow_up(self._state)
        pass_time(self._state)
        execute(self._state, header, record)
        follow_up(self._state)
        return b"".join(self._state.events)

    @property
    def sequence(self) -> int:
        """Of the last command applied; 0 before the first."""
        return self._state.sequence

    @property
    def trades(self) -> int:
        """How many there were so far."""
        return self._state.trades

    @property
    def open_orders(self) -> int:
        """How many orders are live, those that wait included."""
        return len(self._state.orders)

    @property
    def next_due_ns(self) -> int | None:
        """When time alone will next change something: a timer fires, an order expires, an auction ends. None: never.

        -2**63, which is at once, when the last command left waiting orders to fire.
        """
        if next_to_fire(self._state):
            return -(2**63)
        due = next_due(self._state)
        return due.time_ns if due else None

    def digest(self) -> int:
        """The 64-bit digest of the whole state, computed from scratch."""
        return digest(self._state)

    def snapshot(self) -> bytes:
        """The whole state as bytes."""
        return snapshot.save(self._state)

    @classmethod
    def restore(cls, data: bytes) -> Self:
        """The shard that made the snapshot. Raises SnapshotError for bytes that no snapshot has."""
        shard = cls()
        shard._state = snapshot.load(data)
        return shard

    def balance(self, account: int, asset: int) -> tuple[int, int]:
        """(available, held) in units of the asset."""
        return self._state.ledger.balance(account, asset)

    def balances(self) -> dict[tuple[int, int], tuple[int, int]]:
        """(account, asset) -> (available, held) of every balance that is not zero in both parts."""
        return self._state.ledger.balances()

    def cancel_after(self, account: int) -> int:
        """When the account's dead-man timer fires, in Unix ns; 0: it has none."""
        return self._state.timers.get(account, 0)

    def fee_shares(self, account: int) -> tuple[int, int]:
        """(maker_share_ppm, taker_share_ppm): what the account pays of the markets' fees, in millionths."""
        return self._state.shares_of(account)

    def definitions(self) -> list[bytes]:
        """Command records as accepted: assets, markets, the last CONFIGURE_MARKET of every configured market."""
        return [record for _, record in sorted(self._state.records.items())]

    def order(self, order_id: int) -> LiveOrder | None:
        """A live order; None for one that has ended or never was."""
        found = self._state.orders.get(order_id)
        return asking.live_order(found) if found else None

    def orders(self, account: int = 0, market: int = 0) -> list[LiveOrder]:
        """The live orders by order id, of an account and in a market (0: any)."""
        if market:
            self._market(market)
        return [asking.live_order(order) for order in self._state.live_orders(account, market)]

    def book(self, market: int) -> list[tuple[int, int, int, int, int, int]]:
        """(order_id, account, side, price_ticks, remaining_lots, quantity_lots), bids then asks, first to last.

        This and what follows raises KeyError for a market that is not defined.
        """
        resting = self._market(market).book
        return [(o.order_id, o.account, o.side, o.price_ticks, o.remaining_lots, o.quantity_lots) for o in resting]

    def depth(self, market: int, levels: int = 0) -> tuple[asking.Levels, asking.Levels]:
        """Bids and asks, best first: (price_ticks, visible_lots, orders) of so many levels a side (0: all)."""
        return asking.depth(self._market(market), levels)

    def checksum(self, market: int, levels: int = 10) -> int:
        """The CRC-32 of the best levels as text."""
        return asking.checksum(self._market(market), levels)

    def state(self, market: int) -> MarketState:
        """What is true of a market now."""
        return self._market(market).state

    def indicative(self, market: int) -> tuple[int, int, int, int]:
        """(price_ticks, volume_lots, surplus_side, surplus_lots) of an uncross now; zeros when nothing crosses."""
        return indicative(self._market(market))

    def _market(self, market: int) -> Market:
        if not self._state.has_market(market):
            raise KeyError(f"market {market} is not defined, the shard has 1 to {len(self._state.markets)}")
        return self._state.markets[market - 1]

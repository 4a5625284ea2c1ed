"""Where a shard is kept, as its corridor sees it: a lead to win, a journal, snapshots, the tables that follow.

`storage/store.py` keeps it in Postgres; `tests/simulation` in a memory that fails as it is told to.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NoReturn, Protocol

from exchange.contracts.order_state import OrderState
from exchange.storage.journal import SEQUENCE_MAX, Entry, Snapshot


class Journal(Protocol):
    """What recovery reads. Raises JournalCorrupt where an entry is not what was appended."""

    async def head(self) -> tuple[int, bytes]:
        """Return (sequence, chain) of the last entry."""

    async def after(self, sequence: int, chain: bytes, limit: int) -> tuple[list[Entry], bytes]:
        """Return at most ``limit`` entries that follow ``sequence``, and the chain at the last of them."""

    async def latest_snapshot(self, at_most: int = SEQUENCE_MAX) -> Snapshot | None:
        """Return the newest snapshot of no later sequence than ``at_most``."""


class Leadership(Journal, Protocol):
    """The right to append, for as long as nobody else takes it."""

    epoch: int

    @property
    def is_lost(self) -> bool: ...

    async def lost(self) -> None:
        """Return when the leadership is gone."""

    def start_after(self, chain: bytes) -> None:
        """Tell the chain value that the next append continues."""

    async def append(self, entries: Sequence[Entry]) -> None:
        """Append consecutive entries; they are durable when this returns.

        Raises Fenced, AppendFailed (the outcome is not known), JournalError.
        """

    async def confirm(self) -> None:
        """Return where the leadership is still this one's. Raises as ``append``."""

    async def close(self) -> None:
        """Give the leadership up."""


class Candidacy(Journal, Protocol):
    """Following a shard's journal, to lead it one day."""

    async def take_lead(self, holder: str) -> Leadership | None:
        """Take the lead; None while another one has it. Raises JournalError."""

    async def end_lapsed_leader(self) -> bool:
        """End the session of a leader that has not renewed its lease in time, and return whether there was one."""

    async def close(self) -> None:
        """Stand no more."""


class FrozenTables(Protocol):
    """The tables as they are after the entry ``sequence`` (storage/term.py)."""

    @property
    def sequence(self) -> int: ...

    async def live_orders(self) -> list[OrderState]: ...

    async def minutes(self, since_ns: int) -> dict[int, list[tuple[int, int, int, int, int, int, int]]]: ...

    async def latest_trades(self, market: int, limit: int) -> list[tuple[Entry, int]]: ...

    def client_order_ids(self) -> AsyncIterator[tuple[int, str]]: ...


class Tables(Protocol):
    """What follows the journal."""

    def frozen(self) -> AbstractAsyncContextManager[FrozenTables]:
        """The tables as they are now, all after one entry. Raises TablesApart while they are not."""

    async def find_entry(self, account: int, client_order_id: str) -> Entry | None: ...


class Store(Protocol):
    """Everything that is kept of one shard."""

    @property
    def shard(self) -> int: ...

    @property
    def tables(self) -> Tables: ...

    async def stand(self) -> Candidacy:
        """Connect to follow the journal and to lead it one day. Raises DatabaseUnreachable."""

    async def keep_renewing(self, epoch: int) -> NoReturn:
        """Renew the lease of an epoch until cancelled. Raises Fenced once it is another's, JournalError."""

    async def save_snapshot(self, sequence: int, digest: int, state: bytes) -> None:
        """Keep the engine's state after an entry that is durable."""

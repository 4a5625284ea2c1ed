"""The shard: markets, their books and one ledger behind a deterministic state machine. docs/engine.md is its specification."""

from zlib import crc32

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, qsort, realloc
from libc.string cimport memcpy, memset

from engine.matching.accounts cimport (
    Account, account_item, account_of, account_slot, accounts_close, accounts_open, accounts_reserve, is_usual,
    open_account,
)
from engine.matching.book cimport (
    Book, book_close, book_open, crosses, dequeue, enqueue, enqueue_by_id, opposite_side, own_side, unlink,
)
from engine.matching.digest cimport mix
from engine.matching.ladder cimport (
    Ladder, Level, ladder_close, ladder_has, ladder_level, ladder_open, ladder_vacate, next_price,
)
from engine.matching.ledger cimport (
    Balance, balance_index, balance_slot, ledger_close, ledger_digest_change, ledger_open, ledger_reserve, post,
)
from engine.matching.orders cimport (
    IN_BOOK, WAITS_PARENT, WAITS_TRIGGER, Order, pool_add, pool_close, pool_find, pool_open, pool_remove, pool_reserve,
    unlikely,
)
from engine.matching.state cimport (
    Due, Extra, Market, State, Trader, agenda_pop, agenda_push, agenda_sink, reserve_agenda, reserve_extras, reserve_names,
    reserve_traders, trader_slot,
)
from engine.matching.types cimport *

from engine.errors import SequenceError, SnapshotError
from engine.records import LiveOrder, MarketState


BROKEN = "memory ran out in this shard before: recover it from the journal"


cdef inline int64_t least(int64_t a, int64_t b) noexcept nogil:
    return a if a < b else b


cdef inline int64_t most(int64_t a, int64_t b) noexcept nogil:
    return a if a > b else b


cdef inline int128_t least_wide(int128_t a, int128_t b) noexcept nogil:
    return a if a < b else b


include "events.pxi"
include "orders.pxi"
include "registry.pxi"
include "matching.pxi"
include "waiting.pxi"
include "auction.pxi"
include "placing.pxi"
include "changing.pxi"
include "accounts.pxi"
include "snapshot.pxi"


cdef object to_python(int128_t value):
    return (<int64_t>(value >> 64)) * (1 << 64) + <uint64_t>value


# One command

cdef int reserve_order(State* s, uint64_t order_id, Market* market, int order_type, bint named) noexcept nogil:
    # Room for this order, of any sort; -1 when there is no memory.
    if pool_reserve(&s.pool, order_id) < 0 or reserve_extras(s, 2) < 0 or reserve_traders(s) < 0 or tidy_agenda(s) < 0:
        return -1
    if ledger_reserve(&s.ledger, 4) < 0 or (named and reserve_names(s) < 0):
        return -1
    if order_type == TRAILING_STOP and market != NULL and market.trailing == NULL:
        market.trailing = <uint32_t*>malloc(TRAILING_ORDERS_MAX * sizeof(uint32_t))
        return -1 if market.trailing == NULL else 0
    return 0


cdef int reserve_for(State* s, const OrderCommand* command) noexcept nogil:
    # Whatever the command may need, so that nothing fails half-way. Ending orders needs nothing.
    cdef uint8_t kind = command.header.kind
    cdef Market* market = NULL
    if kind == PLACE or kind == CANCEL_REPLACE:
        if 1 <= command.market <= s.market_count:
            market = s.markets[command.market - 1]
        return reserve_order(s, s.sequence, market, command.header.order_type, True)
    if kind == CANCEL:
        return 0
    if kind == SET_FEES or kind == CANCEL_AFTER:
        return 0 if accounts_reserve(&s.accounts) == 0 and tidy_agenda(s) == 0 else -1
    return 0 if reserve_extras(s, 2) == 0 and ledger_reserve(&s.ledger, 4) == 0 else -1


cdef void as_first_version(OrderCommand* copy, const OrderCommand* command) noexcept nogil:
    # What version 1 did not know is zero.
    copy[0] = command[0]
    copy.header.self_trade = 0
    copy.header.contingency = 0
    if copy.header.kind == PLACE:
        copy.order_id = 0
    copy.trail_ticks = 0
    copy.amount = 0
    copy.trigger_price_ticks = 0
    copy.display_lots = 0
    copy.expire_ns = 0
    copy.group = 0
    copy.min_quantity_lots = 0
    memset(copy.client_order_id, 0, CLIENT_ORDER_ID_SIZE)


cdef int step(State* s, const OrderCommand* command) noexcept nogil:
    # Apply one command; -1 when memory runs out.
    cdef OrderCommand copy
    cdef uint8_t kind = command.header.kind
    s.sequence = command.header.sequence
    s.timestamp_ns = command.header.timestamp_ns
    s.account = command.header.account
    s.places = 0
    s.fired = 0
    if reserve_for(s, command) < 0:
        return -1
    if s.unfinished:
        follow_up(s)
    if s.next_due_ns <= s.timestamp_ns:
        pass_time(s)
    if command.header.version == 1 and (kind == PLACE or kind == CANCEL):
        as_first_version(&copy, command)
        command = &copy
    execute(s, command)
    if s.touched_count != 0 or s.first_activated != 0:
        follow_up(s)
    return -1 if s.broken else 0


cdef void execute(State* s, const OrderCommand* command) noexcept nogil:
    cdef uint8_t kind = command.header.kind
    if command.header.version > LAYOUT_VERSION or command.header.version == 0 or (command.header.version == 1 and kind > CANCEL):
        reject(s, &command.header, UNKNOWN_KIND)
    elif kind == PLACE:
        place(s, command)
    elif kind == CANCEL:
        cancel(s, command)
    elif kind == AMEND:
        amend(s, command)
    elif kind == CANCEL_REPLACE:
        cancel_replace(s, command)
    elif kind == MASS_CANCEL_COMMAND:
        mass_cancel(s, command)
    elif kind == DEPOSIT or kind == WITHDRAW:
        transfer(s, <const TransferCommand*>command)
    elif kind == CONFIGURE_MARKET:
        configure_market(s, <const TermsCommand*>command)
    elif kind == SET_MODE:
        change_mode(s, <const ModeCommand*>command)
    elif kind == CANCEL_AFTER:
        cancel_after(s, command)
    elif kind == SET_FEES:
        set_fees(s, <const FeesCommand*>command)
    elif kind == DEFINE_ASSET:
        define_asset(s, <const AssetCommand*>command)
    elif kind == DEFINE_MARKET:
        define_market(s, <const MarketCommand*>command)
    elif kind != CLOCK:
        reject(s, &command.header, UNKNOWN_KIND)


cdef int state_open(State* s) noexcept nogil:
    memset(s, 0, sizeof(State))
    s.extra_capacity = 256
    s.extra_unused = 1
    s.trader_capacity = 256
    s.trader_mask = 511
    s.agenda_capacity = 256
    s.event_capacity = 1024
    s.next_due_ns = NS_MAX()
    s.extras = <Extra*>calloc(s.extra_capacity, sizeof(Extra))
    s.traders = <Trader*>calloc(s.trader_capacity, sizeof(Trader))
    s.trader_slots = <uint32_t*>calloc(s.trader_mask + 1, sizeof(uint32_t))
    s.assets = <AssetCommand*>calloc(ASSETS_MAX, sizeof(AssetCommand))
    s.markets = <Market**>calloc(MARKETS_MAX, sizeof(Market*))
    s.touched = <uint16_t*>calloc(MARKETS_MAX, sizeof(uint16_t))
    s.agenda = <Due*>calloc(s.agenda_capacity, sizeof(Due))
    s.events = <Event*>malloc(s.event_capacity * sizeof(Event))
    if s.extras == NULL or s.traders == NULL or s.trader_slots == NULL or s.assets == NULL or s.markets == NULL:
        return -1
    if s.touched == NULL or s.agenda == NULL or s.events == NULL:
        return -1
    if accounts_open(&s.accounts) < 0 or ledger_open(&s.ledger) < 0:
        return -1
    return pool_open(&s.pool)


cdef void state_close(State* s) noexcept nogil:
    cdef uint32_t at
    if s.markets != NULL:
        for at in range(s.market_count):
            close_market(s.markets[at])
    pool_close(&s.pool)
    ledger_close(&s.ledger)
    accounts_close(&s.accounts)
    free(s.names)
    free(s.extras)
    free(s.traders)
    free(s.trader_slots)
    free(s.assets)
    free(s.markets)
    free(s.touched)
    free(s.agenda)
    free(s.events)


cdef class Shard:
    """A deterministic state machine: command records in, event records out. See docs/engine.md.

    An instance belongs to one thread. It does no I/O, reads no clock and holds no Python object an order.
    """

    cdef State inner

    def __cinit__(self):
        if state_open(&self.inner) < 0:
            raise MemoryError()

    def __dealloc__(self):
        state_close(&self.inner)

    # Commands in, events out

    def apply(self, const uint8_t[::1] commands not None):
        """Apply a batch of COMMAND_SIZE records and return the EVENT_SIZE records that they cause, as bytes.

        Raises ValueError for a buffer of no whole number of records and SequenceError for a record out of sequence, both
        before anything changes; MemoryError when memory runs out, after which the shard refuses to go on.
        """
        cdef State* s = &self.inner
        cdef size_t size = commands.shape[0]
        cdef size_t count = size // sizeof(OrderCommand)
        cdef size_t at
        cdef const OrderCommand* records
        if s.broken:
            raise MemoryError(BROKEN)
        if size != count * sizeof(OrderCommand):
            raise ValueError(f"a batch must be a whole number of {sizeof(OrderCommand)}-byte records, got {size} bytes")
        s.event_count = 0
        if count == 0:
            return b""
        records = <const OrderCommand*>&commands[0]
        for at in range(count):
            if records[at].header.sequence != s.sequence + 1 + at:
                raise SequenceError(
                    f"command {at} of the batch carries sequence {records[at].header.sequence}, "
                    f"expected {s.sequence + 1 + at}"
                )
        for at in range(count):
            if step(s, &records[at]) < 0:
                s.broken = True
                raise MemoryError("memory ran out while applying a command")
        return PyBytes_FromStringAndSize(<char*>s.events, s.event_count * sizeof(Event))

    # Looking at the state

    @property
    def sequence(self):
        """Sequence of the last command applied, 0 before the first."""
        return self.inner.sequence

    @property
    def trades(self):
        """Number of trades so far; the id of the last one."""
        return self.inner.trade_count

    @property
    def open_orders(self):
        """Number of live orders, those that wait included."""
        return self.inner.pool.live

    @property
    def next_due_ns(self):
        """When time alone will next change something, in Unix ns; the lowest int64 for at once; None for never."""
        cdef State* s = &self.inner
        if s.unfinished:
            return -(2**63)
        find_next_due(s)
        return None if s.agenda_count == 0 and s.timed_auctions == 0 else s.next_due_ns

    def digest(self):
        """Return the 64-bit digest of the whole state, 0 <= digest < 2**64."""
        cdef State* s = &self.inner
        cdef uint64_t total
        cdef uint32_t at
        s.items += ledger_digest_change(&s.ledger)
        total = s.items
        for at in range(s.market_count):
            total += state_item(s.markets[at])
        if s.sequence != 0:
            total += mix(5, s.sequence)
        if s.trade_count != 0:
            total += mix(6, s.trade_count)
        return total

    def balance(self, uint64_t account, uint64_t asset):
        """Return (available, held) in units of the asset; (0, 0) for an account that never had any."""
        cdef State* s = &self.inner
        cdef uint32_t found = s.ledger.slots[balance_slot(&s.ledger, account, <uint32_t>asset)]
        if found == 0 or asset > s.asset_count:
            return 0, 0
        return to_python(s.ledger.balances[found - 1].available), to_python(s.ledger.balances[found - 1].held)

    def balances(self):
        """Return {(account, asset): (available, held)} of every balance that is not zero in both parts."""
        cdef State* s = &self.inner
        cdef uint32_t at
        cdef Balance* balance
        result = {}
        for at in range(s.ledger.count):
            balance = &s.ledger.balances[at]
            if balance.available != 0 or balance.held != 0:
                result[(balance.account, balance.asset)] = (to_python(balance.available), to_python(balance.held))
        return result

    def cancel_after(self, uint64_t account):
        """Return when the account's dead-man timer fires, in Unix ns; 0: it has none."""
        return account_of(&self.inner.accounts, account).cancel_after

    def fee_shares(self, uint64_t account):
        """Return (maker_share_ppm, taker_share_ppm): what the account pays of the markets' fees, in millionths."""
        cdef const Account* record = account_of(&self.inner.accounts, account)
        return record.maker_share_ppm, record.taker_share_ppm

    def definitions(self):
        """Return the records that define assets and markets, each in order, and those that set markets' terms in force."""
        cdef State* s = &self.inner
        cdef uint32_t at
        result = []
        for at in range(s.asset_count):
            result.append(PyBytes_FromStringAndSize(<char*>&s.assets[at], sizeof(AssetCommand)))
        for at in range(s.market_count):
            result.append(PyBytes_FromStringAndSize(<char*>&s.markets[at].definition, sizeof(MarketCommand)))
        for at in range(s.market_count):
            if s.markets[at].configured:
                result.append(PyBytes_FromStringAndSize(<char*>&s.markets[at].configuration, sizeof(TermsCommand)))
        return result

    cdef Market* market_at(self, number) except NULL:
        # However large the number is.
        if not 1 <= number <= self.inner.market_count:
            raise KeyError(f"market {number} is not defined, the shard has 1 to {self.inner.market_count}")
        return self.inner.markets[number - 1]

    def book(self, market):
        """Return the orders in a market's book as (order_id, account, side, price_ticks, remaining_lots, quantity_lots).

        Bids, best price first and oldest first at a price, then asks. Raises KeyError for an unknown market.
        """
        cdef Market* found = self.market_at(market)
        result = []
        self.list_side(&found.book.bids, result)
        self.list_side(&found.book.asks, result)
        return result

    cdef int list_side(self, Ladder* ladder, list result) except -1:
        cdef State* s = &self.inner
        cdef int64_t price = ladder.best
        cdef uint32_t index
        cdef Order* order
        while price >= 0:
            index = ladder_level(ladder, <uint32_t>price).head
            while index != 0:
                order = &s.pool.orders[index]
                result.append((
                    order.order_id, s.traders[order.owner].account, order.side, order.price_ticks, order.remaining_lots,
                    order.quantity_lots,
                ))
                index = order.next
            price = next_price(ladder, <uint32_t>price)
        return 0

    def depth(self, market, uint32_t levels=0):
        """Return (bids, asks), each a list of (price_ticks, visible_lots, orders) from the best level; 0: all levels.

        Raises KeyError for an unknown market.
        """
        cdef Market* found = self.market_at(market)
        return self.list_levels(&found.book.bids, levels), self.list_levels(&found.book.asks, levels)

    cdef list list_levels(self, Ladder* ladder, uint32_t levels):
        cdef int64_t price = ladder.best
        cdef Level* level
        result = []
        while price >= 0 and (levels == 0 or <uint32_t>len(result) < levels):
            level = ladder_level(ladder, <uint32_t>price)
            result.append((price, to_python(visible_at(&self.inner, level)), level.count))
            price = next_price(ladder, <uint32_t>price)
        return result

    def checksum(self, market, uint32_t levels=10):
        """Return the CRC-32 of the best levels as docs/engine.md writes them. Raises KeyError for an unknown market."""
        bids, asks = self.depth(market, levels)
        words = []
        for at in range(max(len(bids), len(asks))):
            for side in (bids, asks):
                if at < len(side):
                    words.append(f"{side[at][0]}:{side[at][1]}")
        return crc32(":".join(words).encode())

    def indicative(self, market):
        """Return (price_ticks, volume_lots, surplus_side, surplus_lots) of a call auction now; zeros when nothing crosses.

        Raises KeyError for an unknown market.
        """
        cdef Clearing clearing
        if clear(&self.inner, self.market_at(market), &clearing) < 0:
            raise MemoryError()
        surplus = to_python(clearing.surplus)
        side = BUY if surplus > 0 else SELL if surplus < 0 else 0
        return clearing.price, to_python(clearing.volume), side, abs(surplus)

    def state(self, market):
        """Return the MarketState of a market. Raises KeyError for an unknown one."""
        cdef Market* found = self.market_at(market)
        return MarketState(
            found.mode, found.last_price, found.range_low, found.range_high, found.reference, found.reference_since,
            found.auction_end,
        )

    def order(self, uint64_t order_id):
        """Return the LiveOrder of an id, None for one that is not live."""
        cdef uint32_t index = pool_find(&self.inner.pool, order_id)
        return self.describe(index) if index != 0 else None

    def orders(self, uint64_t account=0, market=0):
        """Return the live orders of an account and a market (0: of all) as LiveOrder, by order id.

        Raises KeyError for an unknown market.
        """
        cdef State* s = &self.inner
        cdef uint32_t number = self.market_at(market).definition.market if market != 0 else 0
        cdef const Trader* trader
        cdef uint32_t index
        result = []
        for index in range(1, s.pool.unused):
            trader = &s.traders[s.pool.orders[index].owner]
            if s.pool.orders[index].side != 0 and (account == 0 or trader.account == account) and (number == 0 or trader.market == number):
                result.append(self.describe(index))
        result.sort()
        return result

    cdef object describe(self, uint32_t index):
        cdef State* s = &self.inner
        cdef const Order* order = &s.pool.orders[index]
        cdef const Trader* trader = &s.traders[order.owner]
        cdef Extra e
        memset(&e, 0, sizeof(Extra))
        e.order_type = LIMIT_ORDER
        if order.extra != 0:
            e = s.extras[order.extra]
        name = b""
        if order.named:
            name = s.names[<size_t>index * CLIENT_ORDER_ID_SIZE:(<size_t>index + 1) * CLIENT_ORDER_ID_SIZE].rstrip(b"\0")
        return LiveOrder(
            order.order_id, trader.account, trader.market, order.side, e.order_type, time_in_force_of(order),
            order.traits & 3, (order.traits >> 2) & 7, e.group, order.price_ticks, order.quantity_lots, order.remaining_lots,
            e.display_lots, e.visible_lots if e.display_lots > 0 else 0, e.expire_ns, e.trigger_ticks, e.trail_ticks,
            order.waiting, e.other_leg, e.child, e.parent, name,
        )

    # Snapshots

    def snapshot(self):
        """Return the whole state as bytes, in the format of snapshot.pxi."""
        cdef State* s = &self.inner
        cdef SnapshotHeader header
        cdef SnapshotCounts counts
        cdef char* data
        if s.broken:
            raise MemoryError(BROKEN)
        count_records(s, &header, &counts)
        header.digest = self.digest()
        image = PyBytes_FromStringAndSize(NULL, snapshot_size(&header, &counts))
        data = image
        if save_state(s, data, &header, &counts) < 0:
            raise MemoryError()
        return image + crc32(image).to_bytes(4, "little")

    @staticmethod
    def restore(bytes image not None):
        """Return the shard that a snapshot of version 1 or 2 holds. Raises SnapshotError for anything that is not one."""
        cdef Shard shard = Shard()
        cdef SnapshotHeader header
        cdef SnapshotCounts counts
        cdef const char* data = image
        cdef size_t size = len(image)
        cdef size_t start = sizeof(SnapshotHeader)
        cdef int result
        memset(&counts, 0, sizeof(SnapshotCounts))
        if size < start + sizeof(SnapshotCounts) + 4:
            raise SnapshotError(f"a snapshot has at least {start + sizeof(SnapshotCounts) + 4} bytes, got {size}")
        memcpy(&header, data, start)
        if header.magic[:4] != b"EXSN" or not 1 <= header.version <= SNAPSHOT_VERSION:
            raise SnapshotError(f"this is no snapshot of version 1 to {SNAPSHOT_VERSION}")
        if header.version > 1:
            memcpy(&counts, data + start, sizeof(SnapshotCounts))
            start += sizeof(SnapshotCounts)
        if size != snapshot_size(&header, &counts) + 4:
            raise SnapshotError(f"the snapshot's header promises {snapshot_size(&header, &counts) + 4} bytes, got {size}")
        if crc32(image[:size - 4]).to_bytes(4, "little") != image[size - 4:]:
            raise SnapshotError("the snapshot's checksum does not fit its content: it is damaged")
        result = load_state(&shard.inner, &header, &counts, <char*>data + start)
        if result == NO_MEMORY:
            raise MemoryError()
        if result == ABSURD or shard.digest() != header.digest:
            raise SnapshotError("the snapshot holds no state that this engine could have been in")
        return shard


cdef int128_t visible_at(const State* s, const Level* level) noexcept nogil:
    # What a level shows.
    cdef int128_t total = 0
    cdef uint32_t index = level.head
    if level.icebergs == 0:
        return level.total_lots
    while index != 0:
        total += visible_of(s, &s.pool.orders[index])
        index = s.pool.orders[index].next
    return total


def layout():
    """Return the sizes of the C records, for the test that holds them against engine/records.py."""
    return {
        "ORDER_COMMAND": sizeof(OrderCommand),
        "TRANSFER_COMMAND": sizeof(TransferCommand),
        "ASSET_COMMAND": sizeof(AssetCommand),
        "MARKET_COMMAND": sizeof(MarketCommand),
        "MARKET_TERMS_COMMAND": sizeof(TermsCommand),
        "MODE_COMMAND": sizeof(ModeCommand),
        "FEES_COMMAND": sizeof(FeesCommand),
        "EVENT": sizeof(Event),
        "ORDER_EVENT": sizeof(OrderEvent),
        "MODE_EVENT": sizeof(ModeEvent),
        "FEES_EVENT": sizeof(FeesEvent),
    }

"""What events do to balances, as rows of `ledger`: exchange/projections/postings.py, which a test holds this to.

A row has all that one command did to one account (decision 0023). Balances are known as the table has them. Of a run of
journal entries first ask which balances must be learnt (`unknown`), then take the rows (`rows`), then what the run left
of the balances (`touched`). Rows are made for Postgres' COPY, see rows.pyx.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, qsort, realloc
from libc.string cimport memcmp, memset

from engine.matching.digest cimport mix
from engine.matching.types cimport *
from engine.orders.buffers cimport commands_of, records_of
from engine.orders.copying cimport *

# PostingKind
cdef enum:
    DEPOSIT_KIND = 1
    WITHDRAWAL_KIND = 2
    HOLD_KIND = 3
    RELEASE_KIND = 4
    TRADE_IN_KIND = 5
    TRADE_OUT_KIND = 6
    FEE_KIND = 7
    ADJUSTMENT_KIND = 8

cdef enum:
    POSTINGS_MAX = 9        # of one event: four of a trade, two of each fee, a release
    ARRAYS = 8
    ROW_HEAD_MAX = 2 + 4 * 4 + 4 + 3 * 8 + ARRAYS * ARRAY_HEAD_SIZE
    ROW_ENTRY_MAX = ARRAYS * 4 + 4 + 2 + 4 * 8 + 2 * NUMERIC_SIZE_MAX

cdef struct MarketAssets:
    uint32_t base           # 0: no such market
    uint32_t quote
    int64_t lot_units

# One change of one balance, in units of the asset. An order or trade of 0 is none.
cdef struct Posting:
    uint64_t account
    uint32_t asset
    int kind
    int128_t available_change
    int128_t held_change
    uint64_t order_id
    uint64_t trade_id

# A posting and what it left.
cdef struct Entry:
    Posting posting
    int128_t available
    int128_t held
    int64_t timestamp_ns
    size_t number           # among the entries of its command

cdef struct Balance:
    int128_t available
    int128_t held
    uint64_t account
    uint64_t sequence       # of the last command that touched it
    uint32_t asset
    bint known              # as the table has it
    bint touched            # since it was told


cdef class Ledger:
    cdef MarketAssets _markets[MARKETS_MAX + 1]
    cdef uint32_t _market_count
    cdef Balance* _balances
    cdef uint32_t _count
    cdef uint32_t _capacity
    cdef uint32_t* _slots   # index + 1 of a balance, 0: free; twice as many as there may be balances
    cdef list _touched      # indexes of balances
    cdef Entry* _entries    # of the command under way
    cdef size_t _entry_count
    cdef size_t _entry_capacity
    cdef uint64_t _sequence  # its

    def __cinit__(self):
        self._touched = []
        self._reserve(512)

    def __dealloc__(self):
        free(self._balances)
        free(self._slots)
        free(self._entries)

    def __len__(self):
        """How many balances are known."""
        return self._count

    @property
    def markets(self):
        """How many markets are defined: 1, 2, 3, ..."""
        return self._market_count

    def define(self, uint32_t base, uint32_t quote, int64_t lot_units):
        """Take the terms of the next market. Raises ValueError where there are too many, or an asset is 0."""
        if self._market_count == MARKETS_MAX or base == 0:
            raise ValueError(f"no market {self._market_count + 1} of asset {base}")
        self._market_count += 1
        self._markets[self._market_count] = MarketAssets(base=base, quote=quote, lot_units=lot_units)

    def forget(self):
        """Know no balance any more. Markets stay."""
        self._count = 0
        self._touched.clear()
        memset(self._slots, 0, 2 * self._capacity * sizeof(uint32_t))

    def learn(self, uint64_t account, uint32_t asset, int128_t available, int128_t held, uint64_t sequence):
        """Know a balance as the table has it."""
        cdef Balance* balance = self._balance(account, asset)
        balance.available, balance.held, balance.sequence, balance.known = available, held, sequence, True

    def unknown(self, uint64_t first, const uint8_t[::1] commands not None, const uint8_t[::1] events not None):
        """Return (account, asset) of every balance that the events touch and that is not known.

        ``commands``: whole records, of sequence ``first`` and on, that caused the events. Raises ValueError for other
        buffers and KeyError for a market that is not defined.
        """
        cdef Posting postings[POSTINGS_MAX]
        cdef Py_ssize_t count, at
        cdef const Event* records = records_of(events, &count)
        cdef const OrderCommand* placed = commands_of(commands, first, records, count)
        cdef int number
        cdef dict found = {}
        for at in range(count):
            for number in range(self._postings(&records[at], &placed[records[at].sequence - first], postings)):
                if not self._balance(postings[number].account, postings[number].asset).known:
                    found[postings[number].account, postings[number].asset] = None
        return list(found)

    def rows(
        self, int32_t shard, uint64_t first, const uint8_t[::1] commands not None, const uint8_t[::1] events not None
    ):
        """Change the balances as the events say and return the rows that tell it. Buffers and errors as of `unknown`.

        Balances that were not learnt begin at zero. The events of a command are given together.
        """
        cdef Posting postings[POSTINGS_MAX]
        cdef Py_ssize_t count, at
        cdef const Event* records = records_of(events, &count)
        cdef const OrderCommand* placed = commands_of(commands, first, records, count)
        cdef int number
        cdef Rows rows = Rows(NULL, 0, 0, False)
        self._entry_count = 0
        try:
            for at in range(count):
                if records[at].sequence != self._sequence:
                    self._tell(&rows, shard)
                    self._sequence = records[at].sequence
                for number in range(self._postings(&records[at], &placed[records[at].sequence - first], postings)):
                    self._post(&records[at], &postings[number])
            self._tell(&rows, shard)
            if rows.misfit:
                raise ValueError("an event changes a balance by more than its column holds")
            return PyBytes_FromStringAndSize(rows.data, <Py_ssize_t>rows.size)
        finally:
            rows_close(&rows)

    def touched(self):
        """Return (account, asset, available, held, sequence) of the balances touched since the last call, by key."""
        cdef list told = []
        cdef Balance* balance
        cdef uint32_t index
        for index in self._touched:
            balance = &self._balances[index]
            balance.touched = False
            told.append((balance.account, balance.asset, balance.available, balance.held, balance.sequence))
        self._touched.clear()
        told.sort()
        return told

    cdef int _post(self, const Event* event, const Posting* posting) except -1:
        cdef Balance* balance = self._balance(posting.account, posting.asset)
        cdef Entry* entry
        balance.available += posting.available_change
        balance.held += posting.held_change
        balance.sequence = event.sequence
        balance.known = True
        if not balance.touched:
            balance.touched = True
            self._touched.append(balance - self._balances)
        if self._entry_count == self._entry_capacity:
            self._reserve_entries(2 * self._entry_capacity or 64)
        entry = &self._entries[self._entry_count]
        entry.posting, entry.available, entry.held = posting[0], balance.available, balance.held
        entry.timestamp_ns, entry.number = event.timestamp_ns, self._entry_count
        self._entry_count += 1
        return 0

    cdef int _reserve_entries(self, size_t capacity) except -1:
        cdef Entry* entries = <Entry*>realloc(self._entries, capacity * sizeof(Entry))
        if entries == NULL:
            raise MemoryError
        self._entries, self._entry_capacity = entries, capacity
        return 0

    cdef int _tell(self, Rows* rows, int32_t shard) except -1:
        """Write what the command under way did: a row an account."""
        cdef size_t begin = 0
        cdef size_t end
        if self._entry_count > 1:
            qsort(self._entries, self._entry_count, sizeof(Entry), by_account)
        while begin < self._entry_count:
            end = begin + 1
            while end < self._entry_count and self._entries[end].posting.account == self._entries[begin].posting.account:
                end += 1
            if rows_reserve(rows, ROW_HEAD_MAX + (end - begin) * ROW_ENTRY_MAX) < 0:
                raise MemoryError
            put_row(rows, shard, self._sequence, &self._entries[begin], end - begin)
            begin = end
        self._entry_count = 0
        return 0

    # Balances

    cdef Balance* _balance(self, uint64_t account, uint32_t asset) except NULL:
        """The balance of an account and asset: a new one is zero and not known."""
        cdef uint32_t slot = self._slot(account, asset)
        cdef Balance* balance
        if self._slots[slot] == 0:
            if self._count == self._capacity:
                self._reserve(2 * self._capacity)
                slot = self._slot(account, asset)
            balance = &self._balances[self._count]
            memset(balance, 0, sizeof(Balance))
            balance.account, balance.asset = account, asset
            self._count += 1
            self._slots[slot] = self._count
        return &self._balances[self._slots[slot] - 1]

    cdef uint32_t _slot(self, uint64_t account, uint32_t asset) noexcept:
        """The slot that holds this balance, or the free one where it belongs."""
        cdef uint32_t mask = 2 * self._capacity - 1
        cdef uint32_t slot = <uint32_t>mix(account, asset) & mask
        cdef const Balance* found
        while self._slots[slot] != 0:
            found = &self._balances[self._slots[slot] - 1]
            if found.account == account and found.asset == asset:
                break
            slot = (slot + 1) & mask
        return slot

    cdef int _reserve(self, uint32_t capacity) except -1:
        """Make room for so many balances, a power of two."""
        cdef Balance* balances = <Balance*>realloc(self._balances, capacity * sizeof(Balance))
        cdef uint32_t* slots
        cdef uint32_t index
        if balances == NULL:
            raise MemoryError
        self._balances = balances
        slots = <uint32_t*>calloc(2 * <size_t>capacity, sizeof(uint32_t))
        if slots == NULL:
            raise MemoryError
        free(self._slots)
        self._slots, self._capacity = slots, capacity
        for index in range(self._count):
            slots[self._slot(balances[index].account, balances[index].asset)] = index + 1
        return 0

    # Double entry: the changes of an event sum to zero in each asset, over all accounts and both parts of a balance.

    cdef int _postings(self, const Event* event, const OrderCommand* command, Posting* postings) except -1:
        """Write the postings of an event in the order in which they happen, changes of zero left out; how many."""
        cdef int kind = event.kind
        if kind == ACCEPTED or kind == TRIGGERED or kind == ACTIVATED or kind == AMENDED:
            return move(postings, event.account, paid_with(self._terms(event), event.side), event.amount, event.order_id)
        if kind == CANCELLED:
            return move(postings, event.account, paid_with(self._terms(event), event.side), -<int128_t>event.amount,
                        event.order_id)
        if kind == TRADED:
            return trade(postings, event, self._terms(event))
        if kind == PREVENTED:
            return prevented(postings, event, self._terms(event))
        if kind == DEPOSITED:
            return transfer(postings, event, EXTERNAL_ACCOUNT, event.account,
                            ADJUSTMENT_KIND if is_adjustment(<const TransferCommand*>command) else DEPOSIT_KIND)
        if kind == WITHDRAWN:
            return transfer(postings, event, event.account, EXTERNAL_ACCOUNT,
                            ADJUSTMENT_KIND if is_adjustment(<const TransferCommand*>command) else WITHDRAWAL_KIND)
        return 0

    cdef const MarketAssets* _terms(self, const Event* event) except NULL:
        if event.market == 0 or event.market > self._market_count:
            raise KeyError(event.market)
        return &self._markets[event.market]


cdef int by_account(const void* one, const void* other) noexcept nogil:
    # And as they happened.
    cdef const Entry* a = <const Entry*>one
    cdef const Entry* b = <const Entry*>other
    if a.posting.account != b.posting.account:
        return -1 if a.posting.account < b.posting.account else 1
    return -1 if a.number < b.number else 1


cdef void put_row(Rows* rows, int32_t shard, uint64_t sequence, const Entry* entries, size_t count) noexcept nogil:
    cdef size_t array, at
    put_16(rows, 4 + ARRAYS)
    put_integer(rows, shard)
    put_bigint(rows, <int128_t>entries[0].posting.account)
    put_bigint(rows, <int128_t>sequence)
    put_bigint(rows, <int128_t>entries[0].timestamp_ns)
    array = begin_array(rows, INTEGER_OID, count, False)
    for at in range(count):
        put_integer(rows, entries[at].posting.asset)
    end_array(rows, array)
    array = begin_array(rows, SMALLINT_OID, count, False)
    for at in range(count):
        put_smallint(rows, entries[at].posting.kind)
    end_array(rows, array)
    array = begin_array(rows, BIGINT_OID, count, False)
    for at in range(count):
        put_bigint(rows, entries[at].posting.available_change)
    end_array(rows, array)
    array = begin_array(rows, BIGINT_OID, count, False)
    for at in range(count):
        put_bigint(rows, entries[at].posting.held_change)
    end_array(rows, array)
    array = begin_array(rows, NUMERIC_OID, count, False)
    for at in range(count):
        put_numeric(rows, entries[at].available)
    end_array(rows, array)
    array = begin_array(rows, NUMERIC_OID, count, False)
    for at in range(count):
        put_numeric(rows, entries[at].held)
    end_array(rows, array)
    array = begin_array(rows, BIGINT_OID, count, True)
    for at in range(count):
        put_name(rows, entries[at].posting.order_id)
    end_array(rows, array)
    array = begin_array(rows, BIGINT_OID, count, True)
    for at in range(count):
        put_name(rows, entries[at].posting.trade_id)
    end_array(rows, array)


cdef bint is_adjustment(const TransferCommand* command) noexcept nogil:
    # Whether a transfer's command corrects a balance: its reference tells. Version 1 knew none.
    return command.header.version > 1 and memcmp(command.reference, b"ad:", 3) == 0


cdef inline void post(
    Posting* posting, uint64_t account, uint32_t asset, int kind, int128_t available_change, int128_t held_change,
    uint64_t order_id, uint64_t trade_id,
) noexcept nogil:
    posting.account, posting.asset, posting.kind = account, asset, kind
    posting.available_change, posting.held_change = available_change, held_change
    posting.order_id, posting.trade_id = order_id, trade_id


cdef inline uint32_t paid_with(const MarketAssets* market, int side) noexcept nogil:
    return market.quote if side == BUY else market.base


cdef int move(Posting* postings, uint64_t account, uint32_t asset, int128_t held, uint64_t order_id) noexcept nogil:
    # Between the available and held parts of a balance.
    if held == 0:
        return 0
    post(&postings[0], account, asset, HOLD_KIND if held > 0 else RELEASE_KIND, -held, held, order_id, 0)
    return 1


cdef int transfer(Posting* postings, const Event* event, uint64_t payer, uint64_t receiver, int kind) noexcept nogil:
    post(&postings[0], payer, event.asset, kind, -<int128_t>event.amount, 0, 0, 0)
    post(&postings[1], receiver, event.asset, kind, event.amount, 0, 0, 0)
    return 2


cdef int prevented(Posting* postings, const Event* event, const MarketAssets* market) noexcept nogil:
    # Both orders of a self-trade that did not happen may need less.
    cdef int maker_side = SELL if event.side == BUY else BUY
    cdef int count = move(
        postings, event.account, paid_with(market, event.side), -<int128_t>event.hold_released, event.order_id
    )
    return count + move(
        &postings[count], event.maker_account, paid_with(market, maker_side), -<int128_t>event.amount,
        event.maker_order_id,
    )


cdef int trade(Posting* postings, const Event* event, const MarketAssets* market) noexcept nogil:
    # Both parties pay from held and receive into available; each pays its fee out of what it received.
    cdef bint buys = event.side == BUY
    cdef uint64_t buyer = event.account if buys else event.maker_account
    cdef uint64_t seller = event.maker_account if buys else event.account
    cdef uint64_t buyer_order = event.order_id if buys else event.maker_order_id
    cdef uint64_t seller_order = event.maker_order_id if buys else event.order_id
    cdef int64_t buyer_fee = event.taker_fee if buys else event.maker_fee
    cdef int64_t seller_fee = event.maker_fee if buys else event.taker_fee
    cdef int128_t base_units = <int128_t>event.quantity_lots * market.lot_units
    cdef int128_t quote_units = event.amount
    cdef int128_t released = event.hold_released
    cdef uint64_t trade_id = event.trade_id
    cdef int count = 4
    post(&postings[0], buyer, market.quote, TRADE_OUT_KIND, 0, -quote_units, buyer_order, trade_id)
    post(&postings[1], seller, market.quote, TRADE_IN_KIND, quote_units, 0, seller_order, trade_id)
    post(&postings[2], seller, market.base, TRADE_OUT_KIND, 0, -base_units, seller_order, trade_id)
    post(&postings[3], buyer, market.base, TRADE_IN_KIND, base_units, 0, buyer_order, trade_id)
    if seller_fee != 0:
        count += fee(&postings[count], seller, market.quote, seller_fee, seller_order, trade_id)
    if buyer_fee != 0:
        count += fee(&postings[count], buyer, market.base, buyer_fee, buyer_order, trade_id)
    if released != 0:
        post(&postings[count], event.account, market.quote, RELEASE_KIND, released, -released, event.order_id, trade_id)
        count += 1
    return count


cdef int fee(
    Posting* postings, uint64_t account, uint32_t asset, int128_t units, uint64_t order_id, uint64_t trade_id
) noexcept nogil:
    post(&postings[0], account, asset, FEE_KIND, -units, 0, order_id, trade_id)
    post(&postings[1], REVENUE_ACCOUNT, asset, FEE_KIND, units, 0, order_id, trade_id)
    return 2

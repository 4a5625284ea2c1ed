# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The shard: markets, their books and one ledger behind a deterministic state machine. docs/engine.md is its specification."""

from zlib import crc32

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memset

from engine.matching.book cimport (
    Book, Walk, book_close, book_open, crosses, leave, opposite_side, own_side, rest, walk,
)
from engine.matching.digest cimport mix
from engine.matching.ladder cimport Ladder, Level, ladder_level, ladder_vacate, next_price
from engine.matching.ledger cimport (
    Balance, Ledger, balance_index, balance_slot, ledger_close, ledger_digest_change, ledger_open, ledger_reserve, post,
)
from engine.matching.orders cimport (
    Order, OrderPool, pool_add, pool_close, pool_find, pool_open, pool_remove, pool_reserve,
)
from engine.matching.types cimport *


class SequenceError(RuntimeError):
    """A command does not carry the sequence after the last one: the caller's invariant is broken. Nothing changed."""


class SnapshotError(ValueError):
    """Bytes are no snapshot that this engine can restore."""


cdef struct MarketState:
    MarketCommand definition
    Book book
    int64_t price_lots_max      # largest price x quantity whose notional is below 2**62 quote units
    uint32_t revenue_base       # the revenue account's balances
    uint32_t revenue_quote


# One order on its way through `place`: what the checks learn is kept for the steps after them.
cdef struct Taker:
    OrderCommand* command
    MarketState* market
    Ladder* opposite
    int64_t limit               # in ticks; of an unprotected market order the worst price there is
    int64_t remaining
    int64_t hold                # units held for it
    uint32_t paying             # balances: what it gives, what it receives
    uint32_t receiving


cdef packed struct SnapshotHeader:
    char magic[4]
    uint32_t version
    uint64_t sequence
    uint64_t trades
    uint64_t digest
    uint32_t assets
    uint32_t markets
    uint32_t orders
    uint32_t balances


cdef packed struct SnapshotOrder:
    uint64_t order_id
    uint64_t account
    int64_t remaining_lots
    int64_t quantity_lots
    uint32_t price_ticks
    uint32_t market
    uint8_t side
    uint8_t flags
    char padding[6]


cdef packed struct SnapshotBalance:
    uint64_t account
    uint32_t asset
    uint32_t padding
    uint64_t available_low
    int64_t available_high
    uint64_t held_low
    int64_t held_high


cdef enum:
    SNAPSHOT_VERSION = 1


cdef bint name_is_valid(const char* name, int size, bint upper_alphanumeric) noexcept nogil:
    # Not empty, only allowed characters, and nothing but zeros behind the first zero.
    cdef int at = 0
    cdef char c
    while at < size and name[at] != 0:
        c = name[at]
        if upper_alphanumeric:
            if not (c'A' <= c <= c'Z' or c'0' <= c <= c'9'):
                return False
        elif not (0x21 <= c <= 0x7E):
            return False
        at += 1
    if at == 0:
        return False
    while at < size:
        if name[at] != 0:
            return False
        at += 1
    return True


cdef bint same_name(const char* a, const char* b, int size) noexcept nogil:
    cdef int at
    for at in range(size):
        if a[at] != b[at]:
            return False
    return True


cdef inline int64_t fee_of(int64_t received, uint32_t ppm) noexcept nogil:
    # Rounded down, in favour of who pays it.
    if received < <int64_t>1 << 46:
        return received * ppm // PPM
    return <int64_t>(<int128_t>received * ppm / PPM)


cdef inline uint64_t order_item(const Order* order) noexcept nogil:
    cdef uint64_t h = 1
    h = mix(h, order.market)
    h = mix(h, order.order_id)
    h = mix(h, order.account)
    h = mix(h, order.side)
    h = mix(h, order.price_ticks)
    h = mix(h, <uint64_t>order.remaining_lots)
    h = mix(h, <uint64_t>order.quantity_lots)
    h = mix(h, order.order_id)
    return mix(h, order.flags)


cdef uint64_t market_item(const MarketCommand* market) noexcept nogil:
    cdef uint64_t h = 4
    h = mix(h, market.market)
    h = mix(h, market.base)
    h = mix(h, market.quote)
    h = mix(h, market.maker_fee_ppm)
    h = mix(h, market.taker_fee_ppm)
    h = mix(h, <uint64_t>market.lot_units)
    h = mix(h, <uint64_t>market.tick_lot_units)
    h = mix(h, <uint64_t>market.quantity_lots_min)
    h = mix(h, <uint64_t>market.quantity_lots_max)
    h = mix(h, <uint64_t>market.notional_units_min)
    return mix(h, <uint64_t>market.price_ticks_max)


cdef inline int128_t wide(uint64_t low, int64_t high) noexcept nogil:
    return (<int128_t>high << 64) | <int128_t>low


cdef object to_python(int128_t value):
    return (<int64_t>(value >> 64)) * (1 << 64) + <uint64_t>value


cdef class Shard:
    """A deterministic state machine: command records in, event records out. See docs/engine.md.

    An instance belongs to one thread. It does no I/O, reads no clock and holds no Python object an order.
    """

    cdef OrderPool pool
    cdef Ledger ledger
    cdef AssetCommand* assets
    cdef uint32_t asset_count
    cdef MarketState** markets
    cdef uint32_t market_count
    cdef uint64_t last_sequence
    cdef uint64_t trade_count
    cdef uint64_t items            # the digest but for sequence, trades and balances changed since it was last taken
    cdef Event* events
    cdef size_t event_count
    cdef size_t event_capacity
    cdef bint broken               # memory ran out half-way: the state is worthless

    def __cinit__(self):
        self.assets = <AssetCommand*>calloc(ASSETS_MAX, sizeof(AssetCommand))
        self.markets = <MarketState**>calloc(MARKETS_MAX, sizeof(MarketState*))
        self.event_capacity = 1024
        self.events = <Event*>malloc(self.event_capacity * sizeof(Event))
        if self.assets == NULL or self.markets == NULL or self.events == NULL:
            raise MemoryError()
        if pool_open(&self.pool) < 0 or ledger_open(&self.ledger) < 0:
            raise MemoryError()

    def __dealloc__(self):
        cdef uint32_t at
        for at in range(self.market_count):
            book_close(&self.markets[at].book)
            free(self.markets[at])
        pool_close(&self.pool)
        ledger_close(&self.ledger)
        free(self.assets)
        free(self.markets)
        free(self.events)

    # Commands in, events out

    def apply(self, const uint8_t[::1] commands not None):
        """Apply a batch of COMMAND_SIZE records and return the EVENT_SIZE records that they cause, as bytes.

        Raises ValueError for a buffer of no whole number of records and SequenceError for a record out of sequence, both
        before anything changes; MemoryError when memory runs out, after which the shard refuses to go on.
        """
        cdef size_t size = commands.shape[0]
        cdef size_t count = size // sizeof(OrderCommand)
        cdef size_t at
        cdef OrderCommand* records
        if self.broken:
            raise MemoryError("memory ran out in this shard before: recover it from the journal")
        if size != count * sizeof(OrderCommand):
            raise ValueError(f"a batch must be a whole number of {sizeof(OrderCommand)}-byte records, got {size} bytes")
        self.event_count = 0
        if count == 0:
            return b""
        records = <OrderCommand*>&commands[0]
        for at in range(count):
            if records[at].header.sequence != self.last_sequence + 1 + at:
                raise SequenceError(
                    f"command {at} of the batch carries sequence {records[at].header.sequence}, "
                    f"expected {self.last_sequence + 1 + at}"
                )
        for at in range(count):
            if self.step(&records[at]) < 0:
                self.broken = True
                raise MemoryError("memory ran out while applying a command")
        return PyBytes_FromStringAndSize(<char*>self.events, self.event_count * sizeof(Event))

    cdef int step(self, OrderCommand* command) noexcept nogil:
        # Apply one command; -1 when memory runs out.
        cdef uint8_t kind = command.header.kind
        self.last_sequence = command.header.sequence
        if ledger_reserve(&self.ledger, 4) < 0 or pool_reserve(&self.pool) < 0:
            return -1
        if command.header.version != LAYOUT_VERSION:
            return self.reject_bare(command, UNKNOWN_KIND)
        if kind == PLACE:
            return self.place(command)
        if kind == CANCEL:
            return self.cancel(command)
        if kind == DEPOSIT or kind == WITHDRAW:
            return self.transfer(command)
        if kind == DEFINE_ASSET:
            return self.define_asset(<AssetCommand*>command)
        if kind == DEFINE_MARKET:
            return self.define_market(<MarketCommand*>command)
        return self.reject_bare(command, UNKNOWN_KIND)

    cdef Event* emit(self, const Header* header, int kind) noexcept nogil:
        # Return a new event with the fields that all have; NULL when there is no memory.
        cdef Event* grown
        cdef Event* event
        if self.event_count == self.event_capacity:
            grown = <Event*>realloc(self.events, self.event_capacity * 2 * sizeof(Event))
            if grown == NULL:
                return NULL
            self.events = grown
            self.event_capacity *= 2
        event = &self.events[self.event_count]
        self.event_count += 1
        memset(event, 0, sizeof(Event))
        event.kind = kind
        event.sequence = header.sequence
        event.timestamp_ns = header.timestamp_ns
        event.account = header.account
        return event

    cdef int reject_bare(self, OrderCommand* command, int reason) noexcept nogil:
        cdef Event* event = self.emit(&command.header, REJECTED)
        if event == NULL:
            return -1
        event.reason = reason
        return 0

    # Definitions

    cdef int define_asset(self, AssetCommand* command) noexcept nogil:
        cdef bint valid = command.asset == self.asset_count + 1 and self.asset_count < ASSETS_MAX
        cdef uint32_t at
        cdef uint64_t h = 3
        cdef Event* event
        valid = valid and command.scale <= ASSET_SCALE_MAX and name_is_valid(command.name, 16, True)
        for at in range(self.asset_count):
            if same_name(self.assets[at].name, command.name, 16):
                valid = False
        event = self.emit(&command.header, ASSET_DEFINED if valid else REJECTED)
        if event == NULL:
            return -1
        event.asset = command.asset
        if not valid:
            event.reason = DEFINITION_INVALID
            return 0
        event.amount = command.scale
        self.assets[self.asset_count] = command[0]
        self.asset_count += 1
        h = mix(h, command.asset)
        self.items += mix(h, command.scale)
        return 0

    cdef bint market_is_valid(self, const MarketCommand* command) noexcept nogil:
        cdef uint32_t at
        if command.market != self.market_count + 1 or self.market_count == MARKETS_MAX:
            return False
        if not (1 <= command.base <= self.asset_count and 1 <= command.quote <= self.asset_count):
            return False
        if command.base == command.quote or command.maker_fee_ppm > FEE_PPM_MAX or command.taker_fee_ppm > FEE_PPM_MAX:
            return False
        if not (1 <= command.lot_units < UNITS_MAX() and 1 <= command.tick_lot_units < UNITS_MAX()):
            return False
        if not (1 <= command.quantity_lots_min <= command.quantity_lots_max < UNITS_MAX()):
            return False
        if not (0 <= command.notional_units_min < UNITS_MAX() and 1 <= command.price_ticks_max <= PRICE_TICKS_MAX()):
            return False
        if <int128_t>command.quantity_lots_max * command.lot_units >= UNITS_MAX():
            return False
        if not name_is_valid(command.symbol, 24, False):
            return False
        for at in range(self.market_count):
            if same_name(self.markets[at].definition.symbol, command.symbol, 24):
                return False
        return True

    cdef int define_market(self, MarketCommand* command) noexcept nogil:
        cdef bint valid = self.market_is_valid(command)
        cdef MarketState* market
        cdef Event* event = self.emit(&command.header, MARKET_DEFINED if valid else REJECTED)
        if event == NULL:
            return -1
        event.market = command.market
        if not valid:
            event.reason = DEFINITION_INVALID
            return 0
        event.asset = command.base
        event.quantity_lots = command.lot_units
        event.amount = command.tick_lot_units
        return self.add_market(command)

    cdef int add_market(self, const MarketCommand* definition) noexcept nogil:
        cdef MarketState* market = <MarketState*>calloc(1, sizeof(MarketState))
        if market == NULL:
            return -1
        if book_open(&market.book) < 0:
            free(market)
            return -1
        market.definition = definition[0]
        market.price_lots_max = (UNITS_MAX() - 1) // definition.tick_lot_units
        market.revenue_base = balance_index(&self.ledger, REVENUE_ACCOUNT, definition.base)
        market.revenue_quote = balance_index(&self.ledger, REVENUE_ACCOUNT, definition.quote)
        self.markets[self.market_count] = market
        self.market_count += 1
        self.items += market_item(definition)
        return 0

    # Transfers

    cdef int transfer_reason(self, const OrderCommand* command) noexcept nogil:
        if command.header.account < FIRST_TRADING_ACCOUNT:
            return ACCOUNT_INVALID
        if not (1 <= command.asset <= self.asset_count):
            return UNKNOWN_ASSET
        if not (1 <= command.amount < UNITS_MAX()):
            return AMOUNT_OUT_OF_RANGE
        if command.header.kind == WITHDRAW and not self.has_available(command.header.account, command.asset, command.amount):
            return INSUFFICIENT_FUNDS
        return NONE

    cdef bint has_available(self, uint64_t account, uint32_t asset, int64_t amount) noexcept nogil:
        cdef uint32_t found = self.ledger.slots[balance_slot(&self.ledger, account, asset)]
        return found != 0 and self.ledger.balances[found - 1].available >= amount

    cdef int transfer(self, OrderCommand* command) noexcept nogil:
        cdef int reason = self.transfer_reason(command)
        cdef bint is_deposit = command.header.kind == DEPOSIT
        cdef Event* event = self.emit(&command.header, REJECTED if reason else DEPOSITED if is_deposit else WITHDRAWN)
        cdef int64_t change
        if event == NULL:
            return -1
        event.reason = reason
        event.asset = command.asset
        event.amount = command.amount
        if reason == NONE:
            change = command.amount if is_deposit else -command.amount
            post(&self.ledger, balance_index(&self.ledger, command.header.account, command.asset), change, 0)
            post(&self.ledger, balance_index(&self.ledger, EXTERNAL_ACCOUNT, command.asset), -change, 0)
        return 0

    # Orders

    cdef int place(self, OrderCommand* command) noexcept nogil:
        cdef Taker taker
        cdef int reason
        cdef Event* event
        taker.command = command
        reason = self.check_form(&taker)
        if reason == NONE:
            reason = self.check_liquidity(&taker)
        if reason == NONE:
            reason = self.check_funds(&taker)
        event = self.emit_order(command, REJECTED if reason else ACCEPTED)
        if event == NULL:
            return -1
        event.quantity_lots = command.quantity_lots
        if reason != NONE:
            event.reason = reason
            return 0
        event.remaining_lots = command.quantity_lots
        event.amount = taker.hold
        post(&self.ledger, taker.paying, -taker.hold, taker.hold)
        if self.match(&taker) < 0:
            return -1
        if taker.remaining == 0:
            return 0
        if command.header.order_type == LIMIT_ORDER and command.header.time_in_force == GTC:
            return self.rest_remainder(&taker)
        return self.cancel_remainder(&taker)

    cdef Event* emit_order(self, OrderCommand* command, int kind) noexcept nogil:
        # An event of the command's own order, whose id is the command's sequence.
        cdef Event* event = self.emit(&command.header, kind)
        if event != NULL:
            event.side = command.header.side
            event.order_type = command.header.order_type
            event.time_in_force = command.header.time_in_force
            event.flags = command.header.flags
            event.market = command.market
            event.order_id = command.header.sequence
            event.price_ticks = command.price_ticks
        return event

    cdef int check_form(self, Taker* taker) noexcept nogil:
        # What the command says, against the market's definition. Fills in the market and the limit.
        cdef OrderCommand* command = taker.command
        cdef Header* header = &command.header
        cdef MarketCommand* market
        cdef int128_t price_lots
        cdef bint is_limit = header.order_type == LIMIT_ORDER
        if header.account < FIRST_TRADING_ACCOUNT:
            return ACCOUNT_INVALID
        if not (1 <= command.market <= self.market_count):
            return UNKNOWN_MARKET
        if header.side != BUY and header.side != SELL:
            return SIDE_INVALID
        if not is_limit and header.order_type != MARKET_ORDER:
            return ORDER_TYPE_INVALID
        if not (header.time_in_force == IOC or header.time_in_force == FOK or (is_limit and header.time_in_force == GTC)):
            return TIME_IN_FORCE_INVALID
        if header.flags != 0 and not (header.flags == POST_ONLY and header.time_in_force == GTC):
            return FLAGS_INVALID
        taker.market = self.markets[command.market - 1]
        taker.opposite = opposite_side(&taker.market.book, header.side)
        market = &taker.market.definition
        if not (market.quantity_lots_min <= command.quantity_lots <= market.quantity_lots_max):
            return QUANTITY_OUT_OF_RANGE
        if not ((1 if is_limit else 0) <= command.price_ticks <= market.price_ticks_max):
            return PRICE_OUT_OF_RANGE
        taker.remaining = command.quantity_lots
        taker.limit = command.price_ticks
        if command.price_ticks == 0 and header.side == BUY:
            taker.limit = market.price_ticks_max
        if is_limit:
            price_lots = <int128_t>command.price_ticks * command.quantity_lots
            if price_lots <= taker.market.price_lots_max:
                if price_lots * market.tick_lot_units < market.notional_units_min:
                    return NOTIONAL_TOO_SMALL
            else:
                return NOTIONAL_TOO_LARGE
        return NONE

    cdef int check_liquidity(self, Taker* taker) noexcept nogil:
        cdef Header* header = &taker.command.header
        if header.flags & POST_ONLY and crosses(taker.opposite, taker.opposite.best, taker.limit):
            return POST_ONLY_WOULD_CROSS
        if header.time_in_force == FOK:
            if walk(taker.opposite, taker.limit, taker.remaining).quantity_lots < taker.remaining:
                return FOK_NOT_FILLABLE
        return NONE

    cdef int check_funds(self, Taker* taker) noexcept nogil:
        # What the order needs, against what its account has. Fills in the hold and the balances.
        cdef OrderCommand* command = taker.command
        cdef MarketCommand* market = &taker.market.definition
        cdef bint is_buy = command.header.side == BUY
        cdef uint32_t gives = market.quote if is_buy else market.base
        cdef Walk taken
        if command.header.order_type == LIMIT_ORDER:
            taken.quantity_lots = command.quantity_lots
            taken.price_lots = <int128_t>command.price_ticks * command.quantity_lots
        else:
            taken = walk(taker.opposite, taker.limit, command.quantity_lots)
            if taken.price_lots > taker.market.price_lots_max:
                return NOTIONAL_TOO_LARGE
        if is_buy:
            taker.hold = <int64_t>taken.price_lots * market.tick_lot_units
        else:
            taker.hold = taken.quantity_lots * market.lot_units
        if taker.hold > 0 and not self.has_available(command.header.account, gives, taker.hold):
            return INSUFFICIENT_FUNDS
        taker.paying = balance_index(&self.ledger, command.header.account, gives)
        taker.receiving = balance_index(&self.ledger, command.header.account, market.base if is_buy else market.quote)
        return NONE

    cdef int match(self, Taker* taker) noexcept nogil:
        # Trade with the oldest order at the best price while prices cross. The price is the resting order's, always.
        cdef Ladder* opposite = taker.opposite
        cdef Level* level
        cdef uint32_t price
        cdef int64_t quantity
        cdef uint32_t index
        cdef Order* maker
        while taker.remaining > 0 and crosses(opposite, opposite.best, taker.limit):
            price = <uint32_t>opposite.best
            level = ladder_level(opposite, price)
            while taker.remaining > 0 and level.head != 0:
                index = level.head
                maker = &self.pool.orders[index]
                quantity = taker.remaining if taker.remaining < maker.remaining_lots else maker.remaining_lots
                taker.remaining -= quantity
                self.items -= order_item(maker)
                maker.remaining_lots -= quantity
                level.total_lots -= quantity
                if self.trade(taker, maker, quantity) < 0:
                    return -1
                if maker.remaining_lots > 0:
                    self.items += order_item(maker)
                    break
                level.head = maker.next
                level.count -= 1
                if level.head != 0:
                    self.pool.orders[level.head].previous = 0
                else:
                    level.tail = 0
                pool_remove(&self.pool, index)
            if level.head == 0:
                ladder_vacate(opposite, price)
        return 0

    cdef int trade(self, Taker* taker, const Order* maker, int64_t quantity) noexcept nogil:
        # Settle one match and tell it.
        cdef MarketState* market = taker.market
        cdef MarketCommand* terms = &market.definition
        cdef OrderCommand* command = taker.command
        cdef bint taker_buys = command.header.side == BUY
        cdef int64_t notional = <int64_t>maker.price_ticks * quantity * terms.tick_lot_units
        cdef int64_t base = quantity * terms.lot_units
        cdef int64_t taker_fee = fee_of(base if taker_buys else notional, terms.taker_fee_ppm)
        cdef int64_t maker_fee = fee_of(notional if taker_buys else base, terms.maker_fee_ppm)
        cdef int64_t improvement = 0
        cdef uint32_t maker_base = balance_index(&self.ledger, maker.account, terms.base)
        cdef uint32_t maker_quote = balance_index(&self.ledger, maker.account, terms.quote)
        cdef Event* event
        if taker_buys and command.header.order_type == LIMIT_ORDER:
            improvement = (command.price_ticks - maker.price_ticks) * quantity * terms.tick_lot_units
        if taker_buys:
            post(&self.ledger, taker.paying, improvement, -(notional + improvement))
            post(&self.ledger, taker.receiving, base - taker_fee, 0)
            post(&self.ledger, maker_base, 0, -base)
            post(&self.ledger, maker_quote, notional - maker_fee, 0)
            post(&self.ledger, market.revenue_base, taker_fee, 0)
            post(&self.ledger, market.revenue_quote, maker_fee, 0)
        else:
            post(&self.ledger, taker.paying, 0, -base)
            post(&self.ledger, taker.receiving, notional - taker_fee, 0)
            post(&self.ledger, maker_quote, 0, -notional)
            post(&self.ledger, maker_base, base - maker_fee, 0)
            post(&self.ledger, market.revenue_quote, taker_fee, 0)
            post(&self.ledger, market.revenue_base, maker_fee, 0)
        taker.hold -= (notional + improvement) if taker_buys else base
        self.trade_count += 1
        event = self.emit_order(command, TRADED)
        if event == NULL:
            return -1
        event.price_ticks = maker.price_ticks
        event.quantity_lots = quantity
        event.remaining_lots = taker.remaining
        event.amount = notional
        event.maker_order_id = maker.order_id
        event.maker_account = maker.account
        event.maker_remaining_lots = maker.remaining_lots
        event.taker_fee = taker_fee
        event.maker_fee = maker_fee
        event.hold_released = improvement
        event.trade_id = self.trade_count
        return 0

    cdef int rest_remainder(self, Taker* taker) noexcept nogil:
        cdef OrderCommand* command = taker.command
        cdef uint32_t index = pool_add(&self.pool, command.header.sequence)
        cdef Order* order = &self.pool.orders[index]
        order.account = command.header.account
        order.remaining_lots = taker.remaining
        order.quantity_lots = command.quantity_lots
        order.price_ticks = <uint32_t>command.price_ticks
        order.market = command.market
        order.side = command.header.side
        order.flags = command.header.flags
        self.items += order_item(order)
        return rest(&taker.market.book, &self.pool, index)

    cdef int cancel_remainder(self, Taker* taker) noexcept nogil:
        cdef Event* event = self.emit_order(taker.command, CANCELLED)
        if event == NULL:
            return -1
        event.reason = IOC_REMAINDER if taker.command.header.order_type == LIMIT_ORDER else NO_LIQUIDITY
        event.quantity_lots = taker.remaining
        event.amount = taker.hold
        post(&self.ledger, taker.paying, taker.hold, -taker.hold)
        return 0

    cdef int cancel(self, OrderCommand* command) noexcept nogil:
        cdef uint32_t index = pool_find(&self.pool, command.order_id)
        cdef Order* order = &self.pool.orders[index]
        cdef bint found = index != 0 and order.account == command.header.account
        cdef MarketState* market
        cdef Event* event = self.emit(&command.header, CANCELLED if found else REJECTED)
        cdef uint32_t held_asset
        if event == NULL:
            return -1
        event.order_id = command.order_id
        if not found:
            event.reason = UNKNOWN_ORDER
            return 0
        market = self.markets[order.market - 1]
        event.reason = CANCELLED_BY_OWNER
        event.side = order.side
        event.order_type = LIMIT_ORDER
        event.time_in_force = GTC
        event.flags = order.flags
        event.market = order.market
        event.price_ticks = order.price_ticks
        event.quantity_lots = order.remaining_lots
        if order.side == BUY:
            held_asset = market.definition.quote
            event.amount = <int64_t>order.price_ticks * order.remaining_lots * market.definition.tick_lot_units
        else:
            held_asset = market.definition.base
            event.amount = order.remaining_lots * market.definition.lot_units
        post(&self.ledger, balance_index(&self.ledger, order.account, held_asset), event.amount, -event.amount)
        self.items -= order_item(order)
        leave(&market.book, &self.pool, index)
        return 0

    # Looking at the state

    @property
    def sequence(self):
        """Sequence of the last command applied, 0 before the first."""
        return self.last_sequence

    @property
    def trades(self):
        """Number of trades so far; the id of the last one."""
        return self.trade_count

    @property
    def open_orders(self):
        """Number of resting orders."""
        return self.pool.live

    def digest(self):
        """Return the 64-bit digest of the whole state, 0 <= digest < 2**64."""
        cdef uint64_t total
        self.items += ledger_digest_change(&self.ledger)
        total = self.items
        if self.last_sequence != 0:
            total += mix(5, self.last_sequence)
        if self.trade_count != 0:
            total += mix(6, self.trade_count)
        return total

    def balance(self, uint64_t account, uint32_t asset):
        """Return (available, held) in units of the asset; (0, 0) for an account that never had any."""
        cdef uint32_t found = self.ledger.slots[balance_slot(&self.ledger, account, asset)]
        if found == 0:
            return 0, 0
        return to_python(self.ledger.balances[found - 1].available), to_python(self.ledger.balances[found - 1].held)

    def balances(self):
        """Return {(account, asset): (available, held)} of every balance that is not zero in both parts."""
        cdef uint32_t at
        cdef Balance* balance
        result = {}
        for at in range(self.ledger.count):
            balance = &self.ledger.balances[at]
            if balance.available != 0 or balance.held != 0:
                result[(balance.account, balance.asset)] = (to_python(balance.available), to_python(balance.held))
        return result

    def definitions(self):
        """Return the accepted DEFINE_ASSET and DEFINE_MARKET records, assets first, each in order."""
        cdef uint32_t at
        result = []
        for at in range(self.asset_count):
            result.append(PyBytes_FromStringAndSize(<char*>&self.assets[at], sizeof(AssetCommand)))
        for at in range(self.market_count):
            result.append(PyBytes_FromStringAndSize(<char*>&self.markets[at].definition, sizeof(MarketCommand)))
        return result

    def book(self, uint32_t market):
        """Return a market's resting orders as (order_id, account, side, price_ticks, remaining_lots, quantity_lots).

        Bids, best price first and oldest first at a price, then asks. Raises KeyError for an unknown market.
        """
        if not 1 <= market <= self.market_count:
            raise KeyError(f"market {market} is not defined")
        result = []
        self.list_side(&self.markets[market - 1].book.bids, result)
        self.list_side(&self.markets[market - 1].book.asks, result)
        return result

    cdef int list_side(self, Ladder* ladder, list result) except -1:
        cdef int64_t price = ladder.best
        cdef uint32_t index
        cdef Order* order
        while price >= 0:
            index = ladder_level(ladder, <uint32_t>price).head
            while index != 0:
                order = &self.pool.orders[index]
                result.append((
                    order.order_id, order.account, order.side, order.price_ticks, order.remaining_lots, order.quantity_lots,
                ))
                index = order.next
            price = next_price(ladder, <uint32_t>price)
        return 0

    # Snapshots

    def snapshot(self):
        """Return the whole state as bytes, in the format that docs/engine.md gives."""
        cdef SnapshotHeader header
        cdef uint32_t at
        cdef uint32_t filled = 0
        cdef uint32_t balance_count = 0
        cdef SnapshotOrder* orders
        cdef size_t size
        cdef char* data
        cdef char* cursor
        for at in range(self.ledger.count):
            balance_count += self.ledger.balances[at].available != 0 or self.ledger.balances[at].held != 0
        memset(&header, 0, sizeof(SnapshotHeader))
        memcpy(header.magic, b"EXSN", 4)
        header.version = SNAPSHOT_VERSION
        header.sequence = self.last_sequence
        header.trades = self.trade_count
        header.digest = self.digest()
        header.assets = self.asset_count
        header.markets = self.market_count
        header.orders = self.pool.live
        header.balances = balance_count
        size = snapshot_size(&header)
        image = PyBytes_FromStringAndSize(NULL, size)
        data = image
        cursor = data
        memcpy(cursor, &header, sizeof(SnapshotHeader))
        cursor += sizeof(SnapshotHeader)
        memcpy(cursor, self.assets, self.asset_count * sizeof(AssetCommand))
        cursor += self.asset_count * sizeof(AssetCommand)
        for at in range(self.market_count):
            memcpy(cursor, &self.markets[at].definition, sizeof(MarketCommand))
            cursor += sizeof(MarketCommand)
        orders = <SnapshotOrder*>cursor
        for at in range(self.market_count):
            filled = self.save_side(&self.markets[at].book.bids, orders, filled)
            filled = self.save_side(&self.markets[at].book.asks, orders, filled)
        cursor += filled * sizeof(SnapshotOrder)
        self.save_balances(<SnapshotBalance*>cursor)
        return image + crc32(image).to_bytes(4, "little")

    cdef uint32_t save_side(self, Ladder* ladder, SnapshotOrder* orders, uint32_t filled) noexcept nogil:
        cdef int64_t price = ladder.best
        cdef uint32_t index
        cdef Order* order
        cdef SnapshotOrder* saved
        while price >= 0:
            index = ladder_level(ladder, <uint32_t>price).head
            while index != 0:
                order = &self.pool.orders[index]
                saved = &orders[filled]
                memset(saved, 0, sizeof(SnapshotOrder))
                saved.order_id = order.order_id
                saved.account = order.account
                saved.remaining_lots = order.remaining_lots
                saved.quantity_lots = order.quantity_lots
                saved.price_ticks = order.price_ticks
                saved.market = order.market
                saved.side = order.side
                saved.flags = order.flags
                filled += 1
                index = order.next
            price = next_price(ladder, <uint32_t>price)
        return filled

    cdef void save_balances(self, SnapshotBalance* saved) noexcept nogil:
        cdef uint32_t at
        cdef Balance* balance
        for at in range(self.ledger.count):
            balance = &self.ledger.balances[at]
            if balance.available == 0 and balance.held == 0:
                continue
            saved.account = balance.account
            saved.asset = balance.asset
            saved.padding = 0
            saved.available_low = <uint64_t>balance.available
            saved.available_high = <int64_t>(balance.available >> 64)
            saved.held_low = <uint64_t>balance.held
            saved.held_high = <int64_t>(balance.held >> 64)
            saved += 1

    @staticmethod
    def restore(bytes image not None):
        """Return the shard that a snapshot holds. Raises SnapshotError for anything that is not one, or not this version."""
        cdef Shard shard = Shard()
        cdef SnapshotHeader header
        cdef const char* data = image
        cdef size_t size = len(image)
        if size < sizeof(SnapshotHeader) + 4:
            raise SnapshotError(f"a snapshot has at least {sizeof(SnapshotHeader) + 4} bytes, got {size}")
        memcpy(&header, data, sizeof(SnapshotHeader))
        if header.magic[:4] != b"EXSN" or header.version != SNAPSHOT_VERSION:
            raise SnapshotError(f"this is no snapshot of version {SNAPSHOT_VERSION}")
        if size != snapshot_size(&header) + 4:
            raise SnapshotError(f"the snapshot's header promises {snapshot_size(&header) + 4} bytes, got {size}")
        if crc32(image[:size - 4]).to_bytes(4, "little") != image[size - 4:]:
            raise SnapshotError("the snapshot's checksum does not fit its content: it is damaged")
        if shard.load(&header, data + sizeof(SnapshotHeader)) < 0:
            raise MemoryError()
        if shard.digest() != header.digest:
            raise SnapshotError("the restored state's digest is not the snapshot's")
        return shard

    cdef int load(self, const SnapshotHeader* header, const char* cursor) noexcept nogil:
        # Fill an empty shard; -1 when there is no memory. The checksum has vouched for the content.
        cdef const SnapshotOrder* orders
        cdef const SnapshotBalance* balances
        cdef uint32_t at
        cdef uint64_t h
        self.last_sequence = header.sequence
        self.trade_count = header.trades
        self.asset_count = header.assets
        memcpy(self.assets, cursor, header.assets * sizeof(AssetCommand))
        cursor += header.assets * sizeof(AssetCommand)
        for at in range(header.assets):
            h = mix(3, self.assets[at].asset)
            self.items += mix(h, self.assets[at].scale)
        for at in range(header.markets):
            if ledger_reserve(&self.ledger, 2) < 0 or self.add_market(<const MarketCommand*>cursor) < 0:
                return -1
            cursor += sizeof(MarketCommand)
        orders = <const SnapshotOrder*>cursor
        for at in range(header.orders):
            if self.load_order(&orders[at]) < 0:
                return -1
        balances = <const SnapshotBalance*>(cursor + header.orders * sizeof(SnapshotOrder))
        for at in range(header.balances):
            if self.load_balance(&balances[at]) < 0:
                return -1
        return 0

    cdef int load_order(self, const SnapshotOrder* saved) noexcept nogil:
        cdef uint32_t index
        cdef Order* order
        cdef MarketState* market = self.markets[saved.market - 1]
        if pool_reserve(&self.pool) < 0:
            return -1
        index = pool_add(&self.pool, saved.order_id)
        order = &self.pool.orders[index]
        order.account = saved.account
        order.remaining_lots = saved.remaining_lots
        order.quantity_lots = saved.quantity_lots
        order.price_ticks = saved.price_ticks
        order.market = saved.market
        order.side = saved.side
        order.flags = saved.flags
        self.items += order_item(order)
        # A maker's balances exist before it trades: settling must not need memory.
        if ledger_reserve(&self.ledger, 2) < 0:
            return -1
        balance_index(&self.ledger, saved.account, market.definition.base)
        balance_index(&self.ledger, saved.account, market.definition.quote)
        return rest(&market.book, &self.pool, index)

    cdef int load_balance(self, const SnapshotBalance* saved) noexcept nogil:
        cdef Balance* balance
        cdef uint32_t index
        if ledger_reserve(&self.ledger, 1) < 0:
            return -1
        index = balance_index(&self.ledger, saved.account, saved.asset)
        balance = &self.ledger.balances[index]
        balance.available = wide(saved.available_low, saved.available_high)
        balance.held = wide(saved.held_low, saved.held_high)
        post(&self.ledger, index, 0, 0)
        return 0


cdef size_t snapshot_size(const SnapshotHeader* header) noexcept nogil:
    return (
        sizeof(SnapshotHeader)
        + header.assets * sizeof(AssetCommand)
        + header.markets * sizeof(MarketCommand)
        + header.orders * sizeof(SnapshotOrder)
        + header.balances * sizeof(SnapshotBalance)
    )


def layout():
    """Return the sizes of the C records, for the test that holds them against engine/records.py."""
    return {
        "ORDER_COMMAND": sizeof(OrderCommand),
        "ASSET_COMMAND": sizeof(AssetCommand),
        "MARKET_COMMAND": sizeof(MarketCommand),
        "EVENT": sizeof(Event),
    }

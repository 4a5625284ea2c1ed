"""Orders and fills as JSON, byte for byte as contracts/orders.py shows them, made without its dicts.

What this cannot write (a number that passes 128 bits on the way, a text that needs escapes) is left to that.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free

from engine.matching.types cimport (
    ACCEPTED, AUCTION_TRADE, BUY, LIMIT_ORDER, POST_ONLY, PREVENTED, REJECTED, SELL, SLIDE, TRADED, Event, int128_t,
    uint128_t,
)
from engine.orders.decimals cimport Decimal, as_step, check_scale, overflows_product, shift
from engine.orders.state cimport OrderState, accepted_order, command_record
from engine.orders.text cimport (
    NO_FAILURE, OUT_OF_MEMORY, UNSUITED, Text, ascii_of, begin, fail, put, put_bytes, put_decimal, put_number,
    write_digits,
)

import msgspec

from engine.orders.words import (
    ORDER_TYPE_NAMES, SELF_TRADE_NAMES, SIDE_NAMES, STATUS_NAMES, TIME_IN_FORCE_NAMES, WAITING_NAMES,
)
from engine.records import Reason

cdef extern from "<time.h>" nogil:
    ctypedef long time_t
    cdef struct tm:
        int tm_sec, tm_min, tm_hour, tm_mday, tm_mon, tm_year
    tm* gmtime_r(const time_t* seconds, tm* parts)

cdef enum:
    AVERAGE_DECIMALS = 8  # more than the tick needs
    SECOND_CHARACTERS = 19
    NS_A_SECOND = 1_000_000_000

#: As JSON, by number; None where there is no such number.
cdef list SIDES, ORDER_TYPES, TIMES_IN_FORCE, SELF_TRADES, STATUSES, WAITINGS
SIDES, ORDER_TYPES, TIMES_IN_FORCE, SELF_TRADES, STATUSES, WAITINGS = (
    [msgspec.json.encode(names[number]) if number in names else None for number in range(max(names) + 1)]
    for names in (SIDE_NAMES, ORDER_TYPE_NAMES, TIME_IN_FORCE_NAMES, SELF_TRADE_NAMES, STATUS_NAMES, WAITING_NAMES)
)
cdef dict REASONS = {int(reason): msgspec.json.encode(reason.name) for reason in Reason} | {0: b"null"}

cdef const char* PLAIN_TERMS = (
    b',"slide":false,"quote_quantity":null,"trigger_price":null,"trail":null,"display_quantity":null,'
    b'"visible_quantity":null,"min_quantity":null,"expire_at":null,"prevented_quantity":"0","waiting_for":null,'
    b'"other_leg_order_id":null,"parent_order_id":null,"child_order_id":null,"amendments":0'
)


cdef class MarketFace:
    """Shows the orders and fills of one market."""

    def __init__(self, str symbol not None, str base not None, str quote not None, int quote_scale, tick, lot):
        self.symbol, self.base, self.quote = map(msgspec.json.encode, (symbol, base, quote))
        self.tick, self.lot = as_step(tick), as_step(lot)
        check_scale(quote_scale)
        self.base_scale, self.quote_scale = self.lot.scale, quote_scale
        self.average_shift = self.base_scale + self.tick.scale + AVERAGE_DECIMALS - self.quote_scale

    def order(self, OrderState order not None):
        cdef Text text
        begin(&text)
        self.put_order(&text, order)
        put(&text, b"}")
        return finish(&text)

    def order_with_fills(self, OrderState order not None, bytes events not None):
        cdef Py_ssize_t count = 0
        cdef const Event* records = records_of(events, &count)
        cdef Text text
        begin(&text)
        self.put_order_with_fills(&text, order, records, count)
        return finish(&text)

    def placed(self, OrderState order, uint64_t sequence, bytes command not None, bytes events not None):
        cdef Py_ssize_t count = 0
        cdef const Event* records = records_of(events, &count)
        cdef Text text
        order = order_as_placed(order, sequence, command, events, records, count)
        if order is None:
            return None
        begin(&text)
        self.put_order_with_fills(&text, order, records, count)
        return finish(&text)

    cdef bint put_placed(self, Text* text, OrderState order, uint64_t sequence, bytes command, bytes events) except -1:
        # What ``placed`` returns; False where that is None: then nothing is put.
        cdef Py_ssize_t count = 0, start = text.size
        cdef const Event* records = records_of(events, &count)
        order = order_as_placed(order, sequence, command, events, records, count)
        if order is None:
            return False
        self.put_order_with_fills(text, order, records, count)
        if text.failure == UNSUITED:
            text.size, text.failure = start, NO_FAILURE
            return False
        return True

    cdef void put_order_with_fills(self, Text* text, OrderState order, const Event* events, Py_ssize_t count) noexcept:
        self.put_order(text, order)
        put(text, b',"fills":[')
        self.put_fills(text, order.order_id, events, count)
        put(text, b"]}")

    def account_fill(self, fill):
        cdef Fill shown = as_fill(fill)
        cdef Text text
        begin(&text)
        put(&text, b'{"order_id":"')
        put_number(&text, shown.order_id)
        put(&text, b'","symbol":')
        put_json(&text, self.symbol)
        put(&text, b',"side":')
        put_word(&text, SIDES, shown.side)
        put(&text, b",")
        self.put_fill(&text, &shown)
        put(&text, b"}")
        return finish(&text)

    def trades(self, bytes events not None):
        cdef Py_ssize_t count = 0, i
        cdef const Event* records = records_of(events, &count)
        cdef bint is_first = True
        cdef Text text
        begin(&text)
        put(&text, b"[")
        for i in range(count):
            if records[i].kind == TRADED:
                put(&text, b"{" if is_first else b",{")
                self.put_trade(&text, &records[i])
                put(&text, b"}")
                is_first = False
        put(&text, b"]")
        return finish(&text)

    cdef void put_trade(self, Text* text, const Event* trade) noexcept:
        # What everybody is told, between the braces.
        self.put_execution(text, trade.trade_id, trade.price_ticks, trade.quantity_lots)
        put(text, b',"side":')
        put_word(text, SIDES, trade.side)
        put(text, b',"auction":')
        put(text, b"true" if trade.flags & AUCTION_TRADE else b"false")
        put(text, b',"executed_at":')
        put_time(text, trade.timestamp_ns)
        put(text, b',"timestamp_ns":')
        put_number(text, <uint64_t>trade.timestamp_ns)

    cdef void put_order(self, Text* text, OrderState order) noexcept:
        # All but the brace at the end.
        cdef bint is_buy = order.side == BUY
        put(text, b'{"order_id":"')
        put_number(text, order.order_id)
        put(text, b'","client_order_id":')
        put_plain_text(text, order.client_order_id)
        put(text, b',"symbol":')
        put_json(text, self.symbol)
        put(text, b',"side":')
        put_word(text, SIDES, order.side)
        put(text, b',"order_type":')
        put_word(text, ORDER_TYPES, order.order_type)
        put(text, b',"time_in_force":')
        put_word(text, TIMES_IN_FORCE, order.time_in_force)
        put(text, b',"post_only":')
        put(text, b"true" if order.flags & POST_ONLY else b"false")
        put(text, b',"self_trade_prevention":')
        put_word(text, SELF_TRADES, order.self_trade)
        put(text, b',"price":')
        self.put_price_or_null(text, order.price_ticks)
        put(text, b',"quantity":')
        self.put_quantity(text, order.quantity_lots)
        put(text, b',"filled_quantity":')
        self.put_quantity(text, order.filled_lots)
        put(text, b',"remaining_quantity":')
        self.put_quantity(text, order.remaining_lots)
        if order.filled_lots:
            self.put_traded(text, order)
        else:
            put(text, b',"filled_quote":"0","average_price":null,"fees":{}')
        put(text, b',"status":')
        put_word(text, STATUSES, order.status)
        put(text, b',"end_reason":')
        put_reason(text, order.end_reason)
        put(text, b',"sequence":')
        put_number(text, order.sequence)
        put(text, b',"created_at":')
        put_time(text, order.created_ns)
        put(text, b',"updated_at":')
        put_time(text, order.updated_ns)
        self.put_terms(text, order)

    cdef void put_traded(self, Text* text, OrderState order) noexcept:
        put(text, b',"filled_quote":')
        put_units(text, order.filled_quote_units, self.quote_scale)
        put(text, b',"average_price":')
        self.put_average_price(text, order)
        put(text, b',"fees":{')
        put_json(text, self.base if order.side == BUY else self.quote)
        put(text, b":")
        put_units(text, order.fee_units, self.base_scale if order.side == BUY else self.quote_scale)
        put(text, b"}")

    cdef void put_average_price(self, Text* text, OrderState order) noexcept:
        # Exact to 8 decimals more than the tick needs, rounded down.
        cdef uint128_t quote_units = <uint128_t>order.filled_quote_units
        cdef uint128_t base_units = <uint128_t>order.filled_lots * self.lot.value
        cdef int scale = self.average_shift
        if not (
            shift(quote_units, scale if scale > 0 else 0, &quote_units)
            and shift(base_units, -scale if scale < 0 else 0, &base_units)
            and base_units > 0
        ):
            fail(text, UNSUITED)
            return
        put_decimal(text, quote_units // base_units, self.tick.scale + AVERAGE_DECIMALS, True)

    cdef void put_terms(self, Text* text, OrderState order) noexcept:
        # What only some orders have.
        if is_plain(order):
            put(text, PLAIN_TERMS)
            return
        put(text, b',"slide":')
        put(text, b"true" if order.flags & SLIDE else b"false")
        put(text, b',"quote_quantity":')
        if order.quote_units:
            put_units(text, order.quote_units, self.quote_scale)
        else:
            put(text, b"null")
        put(text, b',"trigger_price":')
        self.put_price_or_null(text, order.trigger_price_ticks)
        put(text, b',"trail":')
        self.put_price_or_null(text, order.trail_ticks)
        put(text, b',"display_quantity":')
        self.put_quantity_or_null(text, order.display_lots)
        put(text, b',"visible_quantity":')
        self.put_quantity_or_null(text, order.visible_lots)
        put(text, b',"min_quantity":')
        self.put_quantity_or_null(text, order.min_quantity_lots)
        put(text, b',"expire_at":')
        if order.expire_ns:
            put_time(text, order.expire_ns)
        else:
            put(text, b"null")
        put(text, b',"prevented_quantity":')
        self.put_quantity(text, order.prevented_lots)
        put(text, b',"waiting_for":')
        put_word(text, WAITINGS, order.waiting)
        put(text, b',"other_leg_order_id":')
        put_id_or_null(text, order.other_leg_id)
        put(text, b',"parent_order_id":')
        put_id_or_null(text, order.parent_id)
        put(text, b',"child_order_id":')
        put_id_or_null(text, order.child_id)
        put(text, b',"amendments":')
        put_number(text, <uint64_t>order.amendments)

    cdef void put_fills(self, Text* text, uint64_t order_id, const Event* events, Py_ssize_t count) noexcept:
        # The fills of one order, with commas between them.
        cdef bint is_first = True
        cdef Fill fill
        cdef Py_ssize_t i
        for i in range(count):
            if events[i].kind != TRADED or (events[i].order_id != order_id and events[i].maker_order_id != order_id):
                continue
            fill = fill_of(&events[i], events[i].order_id != order_id)
            put(text, b"{" if is_first else b",{")
            self.put_fill(text, &fill)
            put(text, b"}")
            is_first = False

    cdef void put_fill(self, Text* text, const Fill* fill) noexcept:
        # What is between the braces.
        self.put_execution(text, fill.trade_id, fill.price_ticks, fill.quantity_lots)
        put(text, b',"liquidity":')
        put(text, b'"Auction"' if fill.is_auction else b'"Maker"' if fill.is_maker else b'"Taker"')
        put(text, b',"fee":')
        put_units(text, fill.fee_units, self.base_scale if fill.side == BUY else self.quote_scale)
        put(text, b',"fee_asset":')
        put_json(text, self.base if fill.side == BUY else self.quote)
        put(text, b',"executed_at":')
        put_time(text, fill.executed_ns)

    cdef void put_execution(self, Text* text, uint64_t trade_id, int64_t price_ticks, int64_t quantity_lots) noexcept:
        # What a trade and both of its fills begin with.
        put(text, b'"trade_id":"')
        put_number(text, trade_id)
        put(text, b'","price":')
        self.put_price(text, price_ticks)
        put(text, b',"quantity":')
        self.put_quantity(text, quantity_lots)

    cdef void put_price(self, Text* text, int64_t ticks) noexcept:
        if ticks < 0 or self.tick.value == 0:
            fail(text, UNSUITED)
            return
        put_decimal(text, <uint128_t>ticks * self.tick.value, self.tick.scale, False)

    cdef void put_price_or_null(self, Text* text, int64_t ticks) noexcept:
        if ticks:
            self.put_price(text, ticks)
        else:
            put(text, b"null")

    cdef void put_quantity(self, Text* text, int128_t lots) noexcept:
        cdef uint128_t units
        if lots < 0 or overflows_product(<uint128_t>lots, self.lot.value, &units):
            fail(text, UNSUITED)
            return
        put_decimal(text, units, self.base_scale, True)

    cdef void put_quantity_or_null(self, Text* text, int64_t lots) noexcept:
        if lots:
            self.put_quantity(text, lots)
        else:
            put(text, b"null")


cdef OrderState order_as_placed(
    OrderState order, uint64_t sequence, bytes command, bytes events, const Event* records, Py_ssize_t count
):
    # The order that a command placed, as it left it: ``order`` itself where nothing has happened to it since. None
    # where it placed none.
    cdef list orders
    cdef Py_ssize_t i
    for i in range(count):
        if records[i].kind == REJECTED:
            return None
    if order is not None and order.sequence == sequence:
        return order
    orders = placed_orders(((command, events),))
    return <OrderState>orders[0] if len(orders) == 1 else None


def placed_orders(entries):
    cdef dict orders = {}
    cdef OrderState order, named
    cdef const Event* records
    cdef Py_ssize_t count = 0, i
    for command, events in entries:
        records = records_of(events, &count)
        for i in range(count):
            if records[i].kind == ACCEPTED:
                order = accepted_order(&records[i], command_record(command))
                orders[order.order_id] = order
                named = orders.get(order.named())
                if named is not None:
                    named.link_with(order)
            else:
                take(orders, records[i].order_id, &records[i])
                if records[i].kind == TRADED or records[i].kind == PREVENTED:
                    take(orders, records[i].maker_order_id, &records[i])
    return list(orders.values())


cdef const Event* records_of(bytes events, Py_ssize_t* count) except NULL:
    if len(events) % sizeof(Event):
        raise ValueError(f"event records have {sizeof(Event)} bytes each, got {len(events)}")
    count[0] = len(events) // <Py_ssize_t>sizeof(Event)
    return <const Event*>PyBytes_AS_STRING(events)


cdef int take(dict orders, uint64_t order_id, const Event* event) except -1:
    cdef OrderState order = orders.get(order_id)
    if order is not None:
        order.take_event(event)
    return 0


cdef bint is_plain(OrderState order) noexcept:
    # Whether it is nothing but a limit or market order with a quantity that nothing happened to but trades.
    return order.order_type <= LIMIT_ORDER and not (
        order.flags & SLIDE
        or order.quote_units
        or order.display_lots
        or order.min_quantity_lots
        or order.expire_ns
        or order.waiting
        or order.prevented_lots
        or order.amendments
        or order.other_leg_id
        or order.parent_id
        or order.child_id
    )


cdef Fill as_fill(fill) except *:
    # Fill of exchange/contracts/order_state.py.
    cdef Fill read
    (
        read.trade_id, read.order_id, _, read.side, read.price_ticks, read.quantity_lots, read.is_maker, read.is_auction,
        read.fee_units, read.executed_ns,
    ) = fill
    return read


cdef Fill fill_of(const Event* trade, bint is_maker) noexcept:
    # One side of a trade; in an auction the buy is as the taker and the sell as the maker.
    cdef Fill fill
    fill.trade_id = trade.trade_id
    fill.order_id = trade.maker_order_id if is_maker else trade.order_id
    fill.side = trade.side if not is_maker else SELL if trade.side == BUY else BUY
    fill.price_ticks, fill.quantity_lots = trade.price_ticks, trade.quantity_lots
    fill.is_maker, fill.is_auction = is_maker, trade.flags & AUCTION_TRADE != 0
    fill.fee_units = trade.maker_fee if is_maker else trade.taker_fee
    fill.executed_ns = trade.timestamp_ns
    return fill


cdef inline void put_word(Text* text, list words, uint64_t number) noexcept:
    if number < <uint64_t>len(words) and words[number] is not None:
        put_json(text, <bytes>words[number])
    else:
        fail(text, UNSUITED)


cdef void put_reason(Text* text, int number) noexcept:
    cdef object reason = REASONS.get(number)
    if reason is None:
        fail(text, UNSUITED)
    else:
        put_json(text, <bytes>reason)


cdef void put_plain_text(Text* text, str plain) noexcept:
    # Text without what would need an escape, or null for none.
    cdef const char* characters
    cdef Py_ssize_t size = 0, i
    if plain is None:
        put(text, b"null")
        return
    characters = ascii_of(plain, &size)
    for i in range(size):
        if characters[i] < c" " or characters[i] == c'"' or characters[i] == c"\\":
            characters = NULL
            break
    if characters == NULL:
        fail(text, UNSUITED)
        return
    put(text, b'"')
    put_bytes(text, characters, size)
    put(text, b'"')


cdef inline void put_id_or_null(Text* text, uint64_t order_id) noexcept:
    if order_id:
        put(text, b'"')
        put_number(text, order_id)
        put(text, b'"')
    else:
        put(text, b"null")


cdef inline void put_units(Text* text, int128_t units, int scale) noexcept:
    if units < 0:
        fail(text, UNSUITED)
    else:
        put_decimal(text, <uint128_t>units, scale, True)


cdef int64_t known_second = -1  # answers come in bursts within a second: its text is kept
cdef char known_second_text[SECOND_CHARACTERS]


cdef void put_time(Text* text, int64_t timestamp_ns) noexcept:
    # RFC 3339 in UTC with nanoseconds.
    cdef char nanoseconds[9]
    if timestamp_ns < 0:
        fail(text, UNSUITED)
        return
    know_second(timestamp_ns // NS_A_SECOND)
    write_digits(timestamp_ns % NS_A_SECOND, nanoseconds + sizeof(nanoseconds), sizeof(nanoseconds))
    put(text, b'"')
    put_bytes(text, known_second_text, SECOND_CHARACTERS)
    put(text, b".")
    put_bytes(text, nanoseconds, sizeof(nanoseconds))
    put(text, b'Z"')


cdef void know_second(int64_t second) noexcept:
    global known_second
    cdef time_t seconds = second
    cdef tm parts
    cdef char* at = known_second_text + SECOND_CHARACTERS
    if second == known_second:
        return
    gmtime_r(&seconds, &parts)
    at = write_digits(parts.tm_sec, at, 2) - 1
    at[0] = c":"
    at = write_digits(parts.tm_min, at, 2) - 1
    at[0] = c":"
    at = write_digits(parts.tm_hour, at, 2) - 1
    at[0] = c"T"
    at = write_digits(parts.tm_mday, at, 2) - 1
    at[0] = c"-"
    at = write_digits(parts.tm_mon + 1, at, 2) - 1
    at[0] = c"-"
    write_digits(parts.tm_year + 1900, at, 4)
    known_second = second


cdef object finish(Text* text):
    # The text as bytes; None where it is unsuited.
    try:
        if text.failure == OUT_OF_MEMORY:
            raise MemoryError
        return PyBytes_FromStringAndSize(text.data, text.size) if text.failure == NO_FAILURE else None
    finally:
        free(text.data)

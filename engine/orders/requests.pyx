"""From a plain order as JSON to its PLACE record, for a request that nothing is wrong with.

Which orders there are and what is refused is told by gateway/order_request.py alone: whatever is not plain is left to it.
"""

from cpython.bytearray cimport PyByteArray_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from engine.matching.types cimport (
    CANCEL_NEWEST, CLIENT_ORDER_ID_SIZE, GTC, GTD, IOC, LAYOUT_VERSION, LIMIT_ORDER, MARKET_ORDER, POST_ONLY, UNITS_MAX,
    FOK, PLACE, OrderCommand, uint128_t,
)
from engine.orders.decimals cimport Decimal, as_step, count_steps, overflows_product, read_decimal
from engine.orders.text cimport ascii_of

from engine.orders.words import ORDER_TYPE_NAMES, SELF_TRADE_NAMES, SIDE_NAMES, TIME_IN_FORCE_NAMES

cdef dict SIDES = {name: number for number, name in SIDE_NAMES.items()}
cdef dict ORDER_TYPES = {name: number for number, name in ORDER_TYPE_NAMES.items()}
cdef dict TIMES_IN_FORCE = {name: number for number, name in TIME_IN_FORCE_NAMES.items()}
cdef dict SELF_TRADES = {name: number for number, name in SELF_TRADE_NAMES.items()}

cdef enum:
    NOT_PLAIN = -1


cdef class OrderReader:
    """Reads the plain orders of one market, on the terms that it has."""

    cdef uint32_t market
    cdef Decimal tick, lot
    cdef int64_t tick_lot_units, price_ticks_max, quantity_lots_min, quantity_lots_max, notional_units_min

    def __init__(
        self,
        uint32_t market,
        tick,
        lot,
        *,
        int64_t tick_lot_units,
        int64_t price_ticks_max,
        int64_t quantity_lots_min,
        int64_t quantity_lots_max,
        int64_t notional_units_min,
    ):
        self.market = market
        self.tick, self.lot = as_step(tick), as_step(lot)
        self.tick_lot_units = tick_lot_units
        self.price_ticks_max = price_ticks_max
        self.quantity_lots_min, self.quantity_lots_max = quantity_lots_min, quantity_lots_max
        self.notional_units_min = notional_units_min

    def place(self, uint64_t account, request, uint8_t kind, uint64_t order_id, uint8_t more_flags):
        return self.read(account, request, kind, order_id, more_flags)

    cdef bytearray read(self, uint64_t account, request, uint8_t kind, uint64_t order_id, uint8_t more_flags):
        cdef OrderCommand command
        memset(&command, 0, sizeof(command))
        command.header.version = LAYOUT_VERSION
        command.header.kind = kind
        command.header.account = account
        command.order_id = order_id
        command.market = self.market
        if (
            not is_plain(request)
            or not read_terms(request, &command)
            or not read_client_order_id(request.client_order_id, command.client_order_id)
            or not self.read_numbers(request, &command)
        ):
            return None
        command.header.flags |= more_flags
        return PyByteArray_FromStringAndSize(<char*>&command, sizeof(command))

    cdef bint read_numbers(self, request, OrderCommand* command) except -1:
        # Price and quantity: on the grid, within the bounds, and of a value that is.
        cdef object price = request.price
        cdef int64_t price_ticks = 0, quantity_lots = 0
        if not read_steps(
            request.quantity, &self.lot, self.quantity_lots_min, self.quantity_lots_max, &quantity_lots
        ):
            return False
        if command.header.order_type == LIMIT_ORDER or price is not None:
            if not read_steps(price, &self.tick, 1, self.price_ticks_max, &price_ticks):
                return False
        command.price_ticks, command.quantity_lots = price_ticks, quantity_lots
        return command.header.order_type == MARKET_ORDER or self.has_value(price_ticks, quantity_lots)

    cdef bint has_value(self, int64_t price_ticks, int64_t quantity_lots) noexcept:
        # Whether price x quantity is within the market's minimum and what the ledger holds.
        cdef uint128_t notional = <uint128_t>price_ticks
        if overflows_product(notional, <uint128_t>quantity_lots, &notional):
            return False
        if overflows_product(notional, <uint128_t>self.tick_lot_units, &notional):
            return False
        return notional < <uint128_t>UNITS_MAX() and <int64_t>notional >= self.notional_units_min


def plain_orders(uint64_t account, list requests not None, shape, dict markets not None):
    cdef list orders = []
    for request in requests:
        orders.append(plain_order(account, request, markets) if type(request) is shape else None)
    return orders


cdef tuple plain_order(uint64_t account, request, dict markets):
    cdef object symbol = request.symbol
    cdef object market = markets.get(symbol) if type(symbol) is str else None
    cdef bytearray command
    if market is None:
        return None
    command = (<OrderReader?>market.reader).read(account, request, PLACE, 0, 0)
    return None if command is None else (command, request.client_order_id)


cdef bint is_plain(request) except -1:
    # Whether it has none of the fields that other orders are made of.
    return (
        request.quote_quantity is None
        and request.slide is False
        and request.display_quantity is None
        and request.min_quantity is None
        and request.trigger_price is None
        and request.trail is None
        and request.expire_at is None
    )


cdef bint read_terms(request, OrderCommand* command) except -1:
    # How it is to be traded; False for what is written otherwise than documented, too.
    cdef object post_only = request.post_only
    cdef int side = number_of(SIDES, request.side)
    cdef int order_type = number_of(ORDER_TYPES, request.order_type)
    cdef bint is_limit = order_type == LIMIT_ORDER
    cdef int time_in_force = number_or(TIMES_IN_FORCE, request.time_in_force, GTC if is_limit else IOC)
    cdef int self_trade = number_or(SELF_TRADES, request.self_trade_prevention, CANCEL_NEWEST)
    cdef bint takes = time_in_force == IOC or time_in_force == FOK
    if side == NOT_PLAIN or time_in_force == NOT_PLAIN or self_trade == NOT_PLAIN or time_in_force == GTD:
        return False
    if not is_limit and not (order_type == MARKET_ORDER and takes):
        return False
    if post_only is True and is_limit and not takes:
        command.header.flags = POST_ONLY
    elif post_only is not False:
        return False
    command.header.side = side
    command.header.order_type = order_type
    command.header.time_in_force = time_in_force
    command.header.self_trade = self_trade
    return True


cdef inline int number_of(dict numbers, name) except -2:
    # The number that a name stands for.
    cdef object number = numbers.get(name) if type(name) is str else None
    return NOT_PLAIN if number is None else number


cdef inline int number_or(dict numbers, name, int default) except -2:
    return default if name is None else number_of(numbers, name)


cdef bint read_client_order_id(client_order_id, char* field) except -1:
    # Put it into its field of the record, which is full of zeros; None is none.
    cdef const char* text
    cdef Py_ssize_t size = 0, i
    if client_order_id is None:
        return True
    text = ascii_of(client_order_id, &size)
    if text == NULL or not 1 <= size <= CLIENT_ORDER_ID_SIZE:
        return False
    for i in range(size):
        if not is_of_client_order_id(text[i]):
            return False
    memcpy(field, text, size)
    return True


cdef inline bint is_of_client_order_id(char character) noexcept:
    return (
        c"a" <= character <= c"z" or c"A" <= character <= c"Z" or c"0" <= character <= c"9"
        or character == c"-" or character == c"_" or character == c"." or character == c":"
    )


cdef inline bint read_steps(text, const Decimal* step, int64_t low, int64_t high, int64_t* steps) except -1:
    cdef Decimal number
    cdef Py_ssize_t size = 0
    cdef const char* digits = ascii_of(text, &size)
    return digits != NULL and read_decimal(digits, size, &number) and count_steps(&number, step, low, high, steps)

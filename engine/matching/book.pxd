# A market's resting orders: price first, then time. No money here: the shard holds and settles.
from libc.stdint cimport int64_t, uint32_t

from engine.matching.ladder cimport Ladder, Level, ladder_close, ladder_level, ladder_occupy, ladder_open, ladder_vacate, next_price
from engine.matching.orders cimport Order, OrderPool, pool_remove
from engine.matching.types cimport BUY, int128_t

cdef struct Book:
    Ladder bids
    Ladder asks

cdef inline int book_open(Book* book) noexcept nogil:
    if ladder_open(&book.bids, False) < 0 or ladder_open(&book.asks, True) < 0:
        return -1
    return 0

cdef inline void book_close(Book* book) noexcept nogil:
    ladder_close(&book.bids)
    ladder_close(&book.asks)

cdef inline Ladder* own_side(Book* book, int side) noexcept nogil:
    return &book.bids if side == BUY else &book.asks

cdef inline Ladder* opposite_side(Book* book, int side) noexcept nogil:
    return &book.asks if side == BUY else &book.bids

cdef inline bint crosses(const Ladder* opposite, int64_t price, int64_t limit) noexcept nogil:
    # Whether a resting price is at or better than an aggressor's limit; -1 is no price.
    if price < 0:
        return False
    return price <= limit if opposite.ascending else price >= limit

cdef inline int rest(Book* book, OrderPool* pool, uint32_t index) noexcept nogil:
    # Put an order behind the others at its price; -1 when there is no memory.
    cdef Order* order = &pool.orders[index]
    cdef Level* level = ladder_occupy(own_side(book, order.side), order.price_ticks)
    if level == NULL:
        return -1
    order.next = 0
    order.previous = level.tail
    if level.tail != 0:
        pool.orders[level.tail].next = index
    else:
        level.head = index
    level.tail = index
    level.total_lots += order.remaining_lots
    level.count += 1
    return 0

cdef inline void leave(Book* book, OrderPool* pool, uint32_t index) noexcept nogil:
    # Take an order out of the book and recycle its record.
    cdef Order* order = &pool.orders[index]
    cdef Ladder* ladder = own_side(book, order.side)
    cdef Level* level = ladder_level(ladder, order.price_ticks)
    if order.previous != 0:
        pool.orders[order.previous].next = order.next
    else:
        level.head = order.next
    if order.next != 0:
        pool.orders[order.next].previous = order.previous
    else:
        level.tail = order.previous
    level.total_lots -= order.remaining_lots
    level.count -= 1
    if level.count == 0:
        ladder_vacate(ladder, order.price_ticks)
    pool_remove(pool, index)

cdef struct Walk:
    int64_t quantity_lots    # what would trade
    int128_t price_lots      # the sum of price x quantity of it, in ticks x lots; < 2**94

cdef inline Walk walk(Ladder* opposite, int64_t limit, int64_t quantity_lots) noexcept nogil:
    # What an aggressor would take from the book as it stands.
    cdef Walk result
    cdef int64_t price = opposite.best
    cdef int64_t left = quantity_lots
    cdef int64_t take
    cdef Level* level
    result.price_lots = 0
    while left > 0 and crosses(opposite, price, limit):
        level = ladder_level(opposite, <uint32_t>price)
        take = left if level.total_lots >= left else <int64_t>level.total_lots
        result.price_lots += <int128_t>price * take
        left -= take
        if left > 0:
            price = next_price(opposite, <uint32_t>price)
    result.quantity_lots = quantity_lots - left
    return result

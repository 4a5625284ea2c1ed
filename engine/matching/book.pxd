# Queues of orders on the levels of a ladder, and a market's book made of two of them: price first, then time. No money here.
from libc.stdint cimport int64_t, uint32_t

from engine.matching.ladder cimport (
    Ladder, Level, ladder_close, ladder_level, ladder_occupy, ladder_open, ladder_reserve, ladder_vacate, next_price,
)
from engine.matching.orders cimport Order, OrderPool, __builtin_prefetch, pool_remove
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
    return &book.bids + (side != BUY)    # asks come behind bids; no branch: sides come at random

cdef inline Ladder* opposite_side(Book* book, int side) noexcept nogil:
    return &book.bids + (side == BUY)

cdef inline bint crosses(const Ladder* opposite, int64_t price, int64_t limit) noexcept nogil:
    # Whether a resting price is at or better than an aggressor's limit; -1 is no price. No branch: sides come at random.
    return (price >= 0) & ((price ^ opposite.flip) <= (limit ^ opposite.flip))

cdef inline int enqueue(Ladder* ladder, OrderPool* pool, uint32_t price, uint32_t index) noexcept nogil:
    # Put an order behind the others at a price; -1 when there is no memory.
    cdef Order* order = &pool.orders[index]
    cdef Level* level
    if ladder_reserve(ladder) < 0:
        return -1
    level = ladder_occupy(ladder, price)
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

cdef inline int enqueue_by_id(Ladder* ladder, OrderPool* pool, uint32_t price, uint32_t index) noexcept nogil:
    # Put an order before those at a price that are younger by their id; -1 when there is no memory.
    cdef Order* order = &pool.orders[index]
    cdef Level* level
    cdef uint32_t before
    if ladder_reserve(ladder) < 0:
        return -1
    level = ladder_occupy(ladder, price)
    before = level.tail
    while before != 0 and pool.orders[before].order_id > order.order_id:
        before = pool.orders[before].previous
    order.previous = before
    order.next = pool.orders[before].next if before != 0 else level.head
    if before != 0:
        pool.orders[before].next = index
    else:
        level.head = index
    if order.next != 0:
        pool.orders[order.next].previous = index
    else:
        level.tail = index
    level.total_lots += order.remaining_lots
    level.count += 1
    return 0

cdef inline void unlink(OrderPool* pool, Level* level, const Order* order) noexcept nogil:
    if order.previous != 0:
        pool.orders[order.previous].next = order.next
    else:
        level.head = order.next
    if order.next != 0:
        pool.orders[order.next].previous = order.previous
    else:
        level.tail = order.previous

cdef inline void dequeue(Ladder* ladder, OrderPool* pool, uint32_t price, uint32_t index) noexcept nogil:
    # Take an order out of its queue.
    cdef Order* order = &pool.orders[index]
    cdef Level* level = ladder_level(ladder, price)
    unlink(pool, level, order)
    level.total_lots -= order.remaining_lots
    level.count -= 1
    if level.count == 0:
        ladder_vacate(ladder, price)

cdef inline void prefetch_queue(Ladder* ladder, const OrderPool* pool, uint32_t price, uint32_t index) noexcept nogil:
    # Bring nearer what a dequeue of this order will change.
    cdef const Order* order = &pool.orders[index]
    __builtin_prefetch(&pool.orders[order.previous])
    __builtin_prefetch(&pool.orders[order.next])
    __builtin_prefetch(ladder_level(ladder, price))

cdef inline void pop_head(OrderPool* pool, Level* level) noexcept nogil:
    # The oldest order of a level is filled: recycle its record. Whoever empties a level vacates it.
    cdef uint32_t index = level.head
    unlink(pool, level, &pool.orders[index])
    level.count -= 1
    pool_remove(pool, index)

cdef inline int64_t resting_lots(Ladder* ladder, int64_t limit, int64_t enough) noexcept nogil:
    # What rests at a limit or better, as far as that is enough.
    cdef int64_t price = ladder.best
    cdef int128_t total = 0
    while total < enough and crosses(ladder, price, limit):
        total += ladder_level(ladder, <uint32_t>price).total_lots
        price = next_price(ladder, <uint32_t>price)
    return enough if total > enough else <int64_t>total

# Resting orders: 48-byte records in one array, linked by 32-bit indexes, and a hash table from order id to index.
# Index 0 is nobody, so a zeroed link ends a queue.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

cdef enum:
    IN_BOOK = 0
    WAITS_TRIGGER = 1
    WAITS_PARENT = 2

cdef struct Order:
    uint64_t order_id
    int64_t remaining_lots
    int64_t quantity_lots
    uint32_t owner          # whose it is, and in which market (state.pxd)
    uint32_t extra          # what a plain order does not have (state.pxd); 0: nothing
    uint32_t price_ticks    # the limit; 0: none
    uint32_t next
    uint32_t previous
    uint8_t side
    uint8_t traits          # flags & 3 | self_trade << 2 | time in force << 5
    uint8_t waiting         # IN_BOOK, WAITS_TRIGGER or WAITS_PARENT
    uint8_t named           # it has a client order id

cdef struct Slot:
    uint32_t tag      # low half of the order id, so that probing and shifting need not touch the order
    uint32_t index    # 0: the slot is free

cdef struct OrderPool:
    Order* orders
    uint32_t capacity     # records in orders, the unused first one included
    uint32_t unused       # first record never used
    uint32_t free_head    # recycled records, linked by next
    uint32_t live
    Slot* slots
    uint32_t slot_mask
    int slot_shift

cdef inline int pool_open(OrderPool* pool) noexcept nogil:
    memset(pool, 0, sizeof(OrderPool))
    pool.capacity = 1024
    pool.unused = 1
    pool.orders = <Order*>calloc(pool.capacity, sizeof(Order))
    pool.slot_mask = 2047
    pool.slot_shift = 32 - 11
    pool.slots = <Slot*>calloc(pool.slot_mask + 1, sizeof(Slot))
    return 0 if pool.orders != NULL and pool.slots != NULL else -1

cdef inline void pool_close(OrderPool* pool) noexcept nogil:
    free(pool.orders)
    free(pool.slots)

cdef inline uint32_t home_slot(const OrderPool* pool, uint32_t tag) noexcept nogil:
    # Fibonacci hashing: ids come in sequence, and this spreads sequences evenly.
    return (tag * <uint32_t>0x9E3779B1) >> pool.slot_shift

cdef inline void put_slot(OrderPool* pool, uint32_t tag, uint32_t index) noexcept nogil:
    cdef uint32_t at = home_slot(pool, tag)
    while pool.slots[at].index != 0:
        at = (at + 1) & pool.slot_mask
    pool.slots[at].tag = tag
    pool.slots[at].index = index

cdef inline int grow_slots(OrderPool* pool) noexcept nogil:
    cdef Slot* old = pool.slots
    cdef uint32_t old_size = pool.slot_mask + 1
    cdef uint32_t at
    cdef Slot* grown = <Slot*>calloc(<size_t>old_size * 2, sizeof(Slot))
    if grown == NULL:
        return -1
    pool.slots = grown
    pool.slot_mask = old_size * 2 - 1
    pool.slot_shift -= 1
    for at in range(old_size):
        if old[at].index != 0:
            put_slot(pool, old[at].tag, old[at].index)
    free(old)
    return 0

cdef inline int pool_reserve(OrderPool* pool) noexcept nogil:
    # Make room for one more order; -1 when there is no memory, and nothing has changed then.
    cdef Order* grown
    if pool.free_head == 0 and pool.unused == pool.capacity:
        grown = <Order*>realloc(pool.orders, <size_t>pool.capacity * 2 * sizeof(Order))
        if grown == NULL:
            return -1
        pool.orders = grown
        pool.capacity *= 2
    if pool.live + 1 > (pool.slot_mask + 1) / 4 * 3:
        return grow_slots(pool)
    return 0

cdef inline uint32_t pool_add(OrderPool* pool, uint64_t order_id) noexcept nogil:
    # Return the index of a new order; needs a pool_reserve before.
    cdef uint32_t index = pool.free_head
    if index != 0:
        pool.free_head = pool.orders[index].next
    else:
        index = pool.unused
        pool.unused += 1
    pool.live += 1
    pool.orders[index].order_id = order_id
    put_slot(pool, <uint32_t>order_id, index)
    return index

cdef inline uint32_t pool_find(const OrderPool* pool, uint64_t order_id) noexcept nogil:
    # Return the index of a live order, 0 for an unknown id.
    cdef uint32_t tag = <uint32_t>order_id
    cdef uint32_t at = home_slot(pool, tag)
    cdef uint32_t index = pool.slots[at].index
    while index != 0:
        if pool.slots[at].tag == tag and pool.orders[index].order_id == order_id:
            return index
        at = (at + 1) & pool.slot_mask
        index = pool.slots[at].index
    return 0

cdef inline void pool_remove(OrderPool* pool, uint32_t index) noexcept nogil:
    cdef uint32_t at = home_slot(pool, <uint32_t>pool.orders[index].order_id)
    cdef uint32_t behind
    while pool.slots[at].index != index:
        at = (at + 1) & pool.slot_mask
    # Shift later entries of the run back, so that no tombstones slow the next search.
    behind = at
    while True:
        behind = (behind + 1) & pool.slot_mask
        if pool.slots[behind].index == 0:
            break
        if ((behind - home_slot(pool, pool.slots[behind].tag)) & pool.slot_mask) >= ((behind - at) & pool.slot_mask):
            pool.slots[at] = pool.slots[behind]
            at = behind
    pool.slots[at].index = 0
    pool.orders[index].next = pool.free_head
    pool.free_head = index
    pool.live -= 1

# Resting orders: 48-byte records in one array, linked by 32-bit indexes, and a table from order id to index.
# Index 0 is nobody, so a zeroed link ends a queue.
#
# The table is 64 open-addressing tables, each of a part of the ids' hashes: when one is full, only it is copied. A slot's
# home is its share of the hash times the size, so that sizes need not be powers of two: a table grows by a fifth, between
# 52 % and 62 % full, where searches are short and memory is not wasted. Copying it reads and writes in one direction.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

cdef extern from *:
    """
    #define EXCHANGE_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
    """
    bint unlikely "EXCHANGE_UNLIKELY"(bint) noexcept nogil
    void __builtin_prefetch(const void*) noexcept nogil

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
    uint8_t side            # 0: the record is free
    uint8_t traits          # flags & 3 | self_trade << 2 | time in force << 5
    uint8_t waiting         # IN_BOOK, WAITS_TRIGGER or WAITS_PARENT
    uint8_t named           # it has a client order id

cdef enum:
    TABLES_BITS = 6
    TABLES = 64
    TABLE_SIZE_MIN = 16

cdef struct Slot:
    uint32_t tag      # 32 bits of the hash, so that probing and shifting need not touch the order
    uint32_t index    # 0: the slot is free

cdef struct Table:
    Slot* slots
    uint32_t size
    uint32_t room     # orders that it still takes before it grows

cdef struct OrderPool:
    Order* orders
    uint32_t capacity     # records in orders, the unused first one included
    uint32_t unused       # first record never used
    uint32_t free_head    # recycled records, linked by next
    uint32_t live
    Table tables[TABLES]

cdef inline int pool_open(OrderPool* pool) noexcept nogil:
    cdef int at
    memset(pool, 0, sizeof(OrderPool))
    pool.capacity = 1024
    pool.unused = 1
    pool.orders = <Order*>calloc(pool.capacity, sizeof(Order))
    if pool.orders == NULL:
        return -1
    for at in range(TABLES):
        if resize_table(&pool.tables[at], TABLE_SIZE_MIN) < 0:
            return -1
    return 0

cdef inline void pool_close(OrderPool* pool) noexcept nogil:
    cdef int at
    for at in range(TABLES):
        free(pool.tables[at].slots)
    free(pool.orders)

cdef inline uint64_t hash_of(uint64_t order_id) noexcept nogil:
    # Fibonacci hashing: ids come in sequence, and this spreads sequences evenly.
    return order_id * <uint64_t>0x9E3779B97F4A7C15

cdef inline uint32_t table_of(uint64_t hashed) noexcept nogil:
    return <uint32_t>(hashed >> (64 - TABLES_BITS))

cdef inline uint32_t tag_of(uint64_t hashed) noexcept nogil:
    return <uint32_t>(hashed >> (32 - TABLES_BITS))

cdef inline uint32_t home_slot(const Table* table, uint32_t tag) noexcept nogil:
    return <uint32_t>(<uint64_t>tag * table.size >> 32)

cdef inline uint32_t slot_after(const Table* table, uint32_t at) noexcept nogil:
    return at + 1 if at + 1 < table.size else 0

cdef inline void put_slot(Table* table, uint32_t tag, uint32_t index) noexcept nogil:
    cdef uint32_t at = home_slot(table, tag)
    while table.slots[at].index != 0:
        at = slot_after(table, at)
    table.slots[at].tag = tag
    table.slots[at].index = index

cdef inline uint32_t places(uint32_t size) noexcept nogil:
    # How many orders a table of so many slots takes.
    return size // 8 * 5

cdef inline int resize_table(Table* table, uint32_t size) noexcept nogil:
    cdef uint32_t used = places(table.size) - table.room
    cdef Slot* old = table.slots
    cdef uint32_t old_size = table.size
    cdef uint32_t at
    cdef Slot* slots = <Slot*>calloc(size, sizeof(Slot))
    if slots == NULL:
        return -1
    table.slots = slots
    table.size = size
    table.room = places(size) - used
    for at in range(old_size):
        if old[at].index != 0:
            put_slot(table, old[at].tag, old[at].index)
    free(old)
    return 0

cdef inline int grow_orders(OrderPool* pool) noexcept nogil:
    cdef uint32_t capacity = pool.capacity + pool.capacity // 8 + 512
    cdef Order* grown = <Order*>realloc(pool.orders, <size_t>capacity * sizeof(Order))
    if grown == NULL:
        return -1
    pool.orders = grown
    pool.capacity = capacity
    return 0

cdef inline int pool_reserve(OrderPool* pool, uint64_t order_id) noexcept nogil:
    # Make room for this order; -1 when there is no memory, and nothing has changed then.
    cdef Table* table = &pool.tables[table_of(hash_of(order_id))]
    if unlikely(pool.free_head == 0 and pool.unused == pool.capacity) and grow_orders(pool) < 0:
        return -1
    if unlikely(table.room == 0):
        return resize_table(table, table.size + table.size // 5 + 8)
    return 0

cdef inline uint32_t pool_add(OrderPool* pool, uint64_t order_id) noexcept nogil:
    # Return the index of a new order, 0 when an order with this id is live; needs a pool_reserve before.
    cdef uint64_t hashed = hash_of(order_id)
    cdef Table* table = &pool.tables[table_of(hashed)]
    cdef uint32_t tag = tag_of(hashed)
    cdef Slot* slot = &table.slots[home_slot(table, tag)]
    cdef Slot* end = table.slots + table.size
    cdef uint32_t index
    while slot.index != 0:
        if slot.tag == tag and pool.orders[slot.index].order_id == order_id:
            return 0
        slot = slot + 1 if slot + 1 < end else table.slots
    index = pool.free_head
    if index != 0:
        pool.free_head = pool.orders[index].next
    else:
        index = pool.unused
        pool.unused += 1
    slot.tag = tag
    slot.index = index
    table.room -= 1
    pool.live += 1
    pool.orders[index].order_id = order_id
    return index

cdef inline void pool_prefetch_slot(const OrderPool* pool, uint64_t order_id) noexcept nogil:
    cdef uint64_t hashed = hash_of(order_id)
    cdef const Table* table = &pool.tables[table_of(hashed)]
    __builtin_prefetch(&table.slots[home_slot(table, tag_of(hashed))])

cdef inline uint32_t pool_find(const OrderPool* pool, uint64_t order_id) noexcept nogil:
    # Return the index of a live order, 0 for an unknown id.
    cdef uint64_t hashed = hash_of(order_id)
    cdef const Table* table = &pool.tables[table_of(hashed)]
    cdef uint32_t tag = tag_of(hashed)
    cdef uint32_t at = home_slot(table, tag)
    cdef uint32_t index = table.slots[at].index
    while index != 0:
        if table.slots[at].tag == tag and pool.orders[index].order_id == order_id:
            return index
        at = slot_after(table, at)
        index = table.slots[at].index
    return 0

cdef inline void pool_remove(OrderPool* pool, uint32_t index) noexcept nogil:
    cdef uint64_t hashed = hash_of(pool.orders[index].order_id)
    cdef Table* table = &pool.tables[table_of(hashed)]
    cdef Slot* slots = table.slots
    cdef uint32_t at = home_slot(table, tag_of(hashed))
    cdef uint32_t behind
    cdef uint32_t home
    while slots[at].index != index:
        at = slot_after(table, at)
    # Shift later entries of the run back, so that no tombstones slow the next search.
    behind = at
    while True:
        behind = slot_after(table, behind)
        if slots[behind].index == 0:
            break
        home = home_slot(table, slots[behind].tag)
        # Whether its home is not between the hole and it, the table being a circle.
        if (home <= at) ^ (at > behind) ^ (home > behind):
            slots[at] = slots[behind]
            at = behind
    slots[at].index = 0
    table.room += 1
    pool.orders[index].next = pool.free_head
    pool.free_head = index
    pool.live -= 1

# Resting orders: records of 48 bytes (32 in a bare book) in one array, linked by 32-bit indexes, and a table from order id
# to index. Index 0 is nobody, so a zeroed link ends a queue.
#
# The table is 64 open-addressing tables, each of a part of the ids' hashes: when one is full, only it is copied. A slot is 32
# bits, an index and 4 bits of the hash, so that a table may stay half empty, where searches are short, and be small.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

cdef extern from *:
    """
    #define EXCHANGE_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
    """
    bint unlikely "EXCHANGE_UNLIKELY"(bint) noexcept nogil
    int __builtin_clzll(unsigned long long) noexcept nogil
    void __builtin_prefetch(const void*) noexcept nogil

cdef enum:
    IN_BOOK = 0
    WAITS_TRIGGER = 1
    WAITS_PARENT = 2

cdef extern from *:
    """
    /* What matching touches comes first and is half a cache line; a bare book, which knows no accounts, has no more. */
    typedef struct {
        uint64_t order_id;
        int64_t remaining_lots;
        uint32_t price_ticks;
        uint32_t next;
        uint32_t previous;
        uint8_t side;
        uint8_t traits;
        uint8_t waiting;
        uint8_t named;
    #ifndef EXCHANGE_BARE_ORDERS
        int64_t quantity_lots;
        uint32_t owner;
        uint32_t extra;
    #endif
    } exchange_order;
    """
    ctypedef struct Order "exchange_order":
        uint64_t order_id
        int64_t remaining_lots
        uint32_t price_ticks    # the limit; 0: none
        uint32_t next
        uint32_t previous
        uint8_t side            # 0: the record is free
        uint8_t traits          # flags & 3 | self_trade << 2 | time in force << 5
        uint8_t waiting         # IN_BOOK, WAITS_TRIGGER or WAITS_PARENT
        uint8_t named           # it has a client order id
        int64_t quantity_lots
        uint32_t owner          # whose it is, and in which market (state.pxd)
        uint32_t extra          # what a plain order does not have (state.pxd); 0: nothing

cdef enum:
    TABLES_BITS = 6
    TABLES = 64
    TABLE_SIZE_MIN = 16
    INDEX_MASK = (1 << 28) - 1    # of a slot; the rest is of the hash, so that a search seldom touches a wrong order

cdef struct Table:
    uint32_t* slots       # 0: free
    uint32_t mask         # the number of slots, a power of two, less one
    uint32_t room         # orders that it still takes before it grows
    int shift

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
        if open_table(&pool.tables[at], TABLE_SIZE_MIN) < 0:
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

cdef inline Table* table_of(const OrderPool* pool, uint64_t hashed) noexcept nogil:
    return <Table*>&pool.tables[hashed >> (64 - TABLES_BITS)]

cdef inline uint32_t home_slot(const Table* table, uint64_t hashed) noexcept nogil:
    return <uint32_t>((hashed << TABLES_BITS) >> table.shift)

cdef inline uint32_t tag_of(uint64_t hashed) noexcept nogil:
    return <uint32_t>hashed & ~<uint32_t>INDEX_MASK

cdef inline uint32_t places(uint32_t size) noexcept nogil:
    # How many orders a table of so many slots takes: 9 of 16.
    return size // 16 * 9

cdef inline int open_table(Table* table, uint32_t size) noexcept nogil:
    cdef uint32_t* slots = <uint32_t*>calloc(size, sizeof(uint32_t))
    if slots == NULL:
        return -1
    table.slots = slots
    table.mask = size - 1
    table.room = places(size)
    table.shift = __builtin_clzll(size - 1)
    return 0

cdef inline int grow_table(OrderPool* pool, Table* table) noexcept nogil:
    cdef Table old = table[0]
    cdef uint32_t at
    cdef uint32_t slot
    if open_table(table, (old.mask + 1) * 2) < 0:
        return -1
    table.room -= places(old.mask + 1)
    for at in range(old.mask + 1):
        __builtin_prefetch(&pool.orders[old.slots[(at + 16) & old.mask] & INDEX_MASK])
        slot = old.slots[at]
        if slot != 0:
            put_slot(table, hash_of(pool.orders[slot & INDEX_MASK].order_id), slot)
    free(old.slots)
    return 0

cdef inline void put_slot(Table* table, uint64_t hashed, uint32_t slot) noexcept nogil:
    cdef uint32_t at = home_slot(table, hashed)
    while table.slots[at] != 0:
        at = (at + 1) & table.mask
    table.slots[at] = slot

cdef inline int grow_orders(OrderPool* pool) noexcept nogil:
    cdef uint32_t capacity = pool.capacity + pool.capacity // 8 + 512
    cdef Order* grown
    if capacity > INDEX_MASK:
        return -1
    grown = <Order*>realloc(pool.orders, <size_t>capacity * sizeof(Order))
    if grown == NULL:
        return -1
    pool.orders = grown
    pool.capacity = capacity
    return 0

cdef inline int pool_reserve(OrderPool* pool, uint64_t order_id) noexcept nogil:
    # Make room for this order; -1 when there is no memory, and nothing has changed then.
    cdef Table* table = table_of(pool, hash_of(order_id))
    if unlikely(pool.free_head == 0 and pool.unused == pool.capacity) and grow_orders(pool) < 0:
        return -1
    if unlikely(table.room == 0):
        return grow_table(pool, table)
    return 0

cdef inline uint32_t pool_add(OrderPool* pool, uint64_t order_id) noexcept nogil:
    # Return the index of a new order, 0 when an order with this id is live; needs a pool_reserve before.
    cdef uint64_t hashed = hash_of(order_id)
    cdef Table* table = table_of(pool, hashed)
    cdef uint32_t at = home_slot(table, hashed)
    cdef uint32_t slot = table.slots[at]
    cdef uint32_t index
    while slot != 0:
        if is_slot_of(pool, slot, order_id, hashed):
            return 0
        at = (at + 1) & table.mask
        slot = table.slots[at]
    index = pool.free_head
    if index != 0:
        pool.free_head = pool.orders[index].next
    else:
        index = pool.unused
        pool.unused += 1
    table.slots[at] = tag_of(hashed) | index
    table.room -= 1
    pool.live += 1
    pool.orders[index].order_id = order_id
    return index

cdef inline bint is_slot_of(const OrderPool* pool, uint32_t slot, uint64_t order_id, uint64_t hashed) noexcept nogil:
    return (slot ^ <uint32_t>hashed) <= INDEX_MASK and pool.orders[slot & INDEX_MASK].order_id == order_id

cdef inline uint32_t pool_find(const OrderPool* pool, uint64_t order_id) noexcept nogil:
    # Return the index of a live order, 0 for an unknown id.
    cdef uint64_t hashed = hash_of(order_id)
    cdef const Table* table = table_of(pool, hashed)
    cdef uint32_t at = home_slot(table, hashed)
    cdef uint32_t slot = table.slots[at]
    while slot != 0:
        if is_slot_of(pool, slot, order_id, hashed):
            return slot & INDEX_MASK
        at = (at + 1) & table.mask
        slot = table.slots[at]
    return 0

cdef inline void pool_remove(OrderPool* pool, uint32_t index) noexcept nogil:
    cdef uint64_t hashed = hash_of(pool.orders[index].order_id)
    cdef Table* table = table_of(pool, hashed)
    cdef uint32_t* slots = table.slots
    cdef uint32_t at = home_slot(table, hashed)
    cdef uint32_t behind
    cdef uint32_t home
    while slots[at] & INDEX_MASK != index:
        at = (at + 1) & table.mask
    # Shift later entries of the run back, so that no tombstones slow the next search.
    behind = (at + 1) & table.mask
    while slots[behind] != 0:
        home = home_slot(table, hash_of(pool.orders[slots[behind] & INDEX_MASK].order_id))
        if ((behind - home) & table.mask) >= ((behind - at) & table.mask):
            slots[at] = slots[behind]
            at = behind
        behind = (behind + 1) & table.mask
    slots[at] = 0
    table.room += 1
    pool.orders[index].next = pool.free_head
    pool.free_head = index
    pool.live -= 1

# Bringing nearer what will be asked for soon: the slot of an id, and later the order that it seems to be of.

cdef inline void prefetch_slot(OrderPool* pool, uint64_t order_id) noexcept nogil:
    cdef uint64_t hashed = hash_of(order_id)
    cdef const Table* table = table_of(pool, hashed)
    __builtin_prefetch(&table.slots[home_slot(table, hashed)])

cdef inline void prefetch_order(OrderPool* pool, uint64_t order_id) noexcept nogil:
    cdef uint64_t hashed = hash_of(order_id)
    cdef const Table* table = table_of(pool, hashed)
    __builtin_prefetch(&pool.orders[table.slots[home_slot(table, hashed)] & INDEX_MASK])

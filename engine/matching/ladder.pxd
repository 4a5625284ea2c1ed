# One side of a book: the levels by price, best first.
#
# Inside, a price is its rank: itself among asks, its complement among bids, so that better is always lower and no step
# depends on the side. A radix tree over the 32 bits of a rank, 6 bits a step: five nodes and a leaf of 64 adjacent levels,
# each with one word of bits that says what is occupied. Every price of the range is as good as any other: no window to
# move, no fallback for far prices. Near the touch, where all the work is, a cache from rank / 64 to its leaf replaces the
# descent. Emptied nodes and leaves are kept for reuse, so that a book at work allocates nothing.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from engine.matching.types cimport int128_t

cdef extern from *:
    """
    #define EXCHANGE_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
    """
    int __builtin_ctzll(unsigned long long) noexcept nogil
    bint unlikely "EXCHANGE_UNLIKELY"(bint) noexcept nogil

cdef enum:
    DIGIT_BITS = 6
    FANOUT = 64
    DEPTH = 5             # nodes from the root to a leaf
    CACHE_SIZE = 256

cdef struct Level:
    int128_t total_lots    # 128 bits: many orders of the largest size at one price must not overflow it
    uint32_t head
    uint32_t tail
    uint32_t count
    uint32_t icebergs      # orders that do not show all that they have

cdef struct Leaf:
    uint64_t occupied
    Leaf* next_free
    Level levels[FANOUT]

cdef struct Node:
    uint64_t occupied
    void* child[FANOUT]       # child[0] of a node that is kept for reuse: the next one

cdef struct CachedLeaf:
    uint32_t key_plus_one    # rank / 64 + 1; 0: empty
    Leaf* leaf

cdef struct Ladder:
    int64_t best              # price of the best level, -1 when the side is empty
    int64_t best_rank         # its rank, NO_RANK when the side is empty
    int64_t flip              # rank = price ^ flip: 0 for asks, all ones for bids
    Node* root
    Leaf* free_leaves
    Node* free_nodes
    uint32_t free_node_count
    CachedLeaf cache[CACHE_SIZE]

cdef inline int64_t NO_RANK() noexcept nogil:
    return <int64_t>1 << 32

cdef inline int ladder_open(Ladder* ladder, bint ascending) noexcept nogil:
    memset(ladder, 0, sizeof(Ladder))
    ladder.best = -1
    ladder.best_rank = NO_RANK()
    ladder.flip = 0 if ascending else -1
    ladder.root = <Node*>calloc(1, sizeof(Node))
    return 0 if ladder.root != NULL else -1

cdef inline void close_node(Node* node, int depth) noexcept nogil:
    cdef int digit
    for digit in range(FANOUT):
        if node.child[digit] != NULL:
            if depth == DEPTH - 1:
                free(node.child[digit])
            else:
                close_node(<Node*>node.child[digit], depth + 1)
    free(node)

cdef inline void ladder_close(Ladder* ladder) noexcept nogil:
    cdef Leaf* leaf
    cdef Node* node
    if ladder.root != NULL:
        close_node(ladder.root, 0)
    while ladder.free_leaves != NULL:
        leaf = ladder.free_leaves
        ladder.free_leaves = leaf.next_free
        free(leaf)
    while ladder.free_nodes != NULL:
        node = ladder.free_nodes
        ladder.free_nodes = <Node*>node.child[0]
        free(node)

cdef inline int shift_at(int depth) noexcept nogil:
    return DIGIT_BITS * (DEPTH - depth)

cdef inline uint32_t digit_at(uint32_t rank, int depth) noexcept nogil:
    return (rank >> shift_at(depth)) & (FANOUT - 1)

cdef inline uint64_t bit(uint32_t digit) noexcept nogil:
    return <uint64_t>1 << digit

cdef inline uint64_t bits_above(uint64_t occupied, uint32_t digit) noexcept nogil:
    return occupied & (~<uint64_t>1 << digit)

cdef inline uint32_t rank_of(const Ladder* ladder, uint32_t price) noexcept nogil:
    return price ^ <uint32_t>ladder.flip

cdef inline int64_t price_of(const Ladder* ladder, int64_t rank) noexcept nogil:
    return -1 if rank == NO_RANK() else <int64_t>(<uint32_t>rank ^ <uint32_t>ladder.flip)

# Memory: taken before it is needed, so that nothing fails half-way.

cdef inline int ladder_allocate(Ladder* ladder) noexcept nogil:
    cdef Leaf* leaf
    cdef Node* node
    if ladder.free_leaves == NULL:
        leaf = <Leaf*>calloc(1, sizeof(Leaf))
        if leaf == NULL:
            return -1
        ladder.free_leaves = leaf
    while ladder.free_node_count < DEPTH - 1:
        node = <Node*>calloc(1, sizeof(Node))
        if node == NULL:
            return -1
        recycle_node(ladder, node)
    return 0

cdef inline int ladder_reserve(Ladder* ladder) noexcept nogil:
    # Make room for one more level; -1 when there is no memory, and nothing has changed then.
    if unlikely(ladder.free_leaves == NULL or ladder.free_node_count < DEPTH - 1):
        return ladder_allocate(ladder)
    return 0

cdef inline void recycle_node(Ladder* ladder, Node* node) noexcept nogil:
    node.child[0] = ladder.free_nodes
    ladder.free_nodes = node
    ladder.free_node_count += 1

cdef inline Node* take_node(Ladder* ladder) noexcept nogil:
    cdef Node* node = ladder.free_nodes
    ladder.free_nodes = <Node*>node.child[0]
    ladder.free_node_count -= 1
    node.child[0] = NULL
    return node

cdef inline Leaf* take_leaf(Ladder* ladder) noexcept nogil:
    cdef Leaf* leaf = ladder.free_leaves
    ladder.free_leaves = leaf.next_free
    return leaf

# The tree

cdef inline Leaf* descend(Ladder* ladder, uint32_t rank) noexcept nogil:
    # Return the leaf of a rank, NULL when it is absent.
    cdef Node* node = ladder.root
    cdef int depth
    for depth in range(DEPTH):
        node = <Node*>node.child[digit_at(rank, depth)]
        if node == NULL:
            return NULL
    return <Leaf*>node

cdef inline Leaf* plant(Ladder* ladder, uint32_t rank) noexcept nogil:
    # Return the leaf of a rank, made with the nodes above it where it is absent; needs a ladder_reserve before.
    cdef Node* node = ladder.root
    cdef int depth
    cdef uint32_t digit
    for depth in range(DEPTH):
        digit = digit_at(rank, depth)
        if node.child[digit] == NULL:
            node.child[digit] = <void*>take_leaf(ladder) if depth == DEPTH - 1 else <void*>take_node(ladder)
            node.occupied |= bit(digit)
        node = <Node*>node.child[digit]
    return <Leaf*>node

cdef inline void unplant(Ladder* ladder, uint32_t rank, Leaf* leaf) noexcept nogil:
    # Take an empty leaf, and the nodes that it leaves empty, out of the tree.
    cdef Node* path[DEPTH]
    cdef uint32_t key = rank >> DIGIT_BITS
    cdef int depth
    path[0] = ladder.root
    for depth in range(DEPTH - 1):
        path[depth + 1] = <Node*>path[depth].child[digit_at(rank, depth)]
    leaf.next_free = ladder.free_leaves
    ladder.free_leaves = leaf
    if ladder.cache[key & (CACHE_SIZE - 1)].key_plus_one == key + 1:
        ladder.cache[key & (CACHE_SIZE - 1)].key_plus_one = 0
    for depth in range(DEPTH - 1, -1, -1):
        path[depth].child[digit_at(rank, depth)] = NULL
        path[depth].occupied &= ~bit(digit_at(rank, depth))
        if depth == 0 or path[depth].occupied != 0:
            return
        recycle_node(ladder, path[depth])

cdef inline Leaf* find_leaf(Ladder* ladder, uint32_t rank, bint make) noexcept nogil:
    cdef uint32_t key = rank >> DIGIT_BITS
    cdef CachedLeaf* cached = &ladder.cache[key & (CACHE_SIZE - 1)]
    cdef Leaf* leaf
    if cached.key_plus_one == key + 1:
        return cached.leaf
    leaf = plant(ladder, rank) if make else descend(ladder, rank)
    if leaf != NULL:
        cached.key_plus_one = key + 1
        cached.leaf = leaf
    return leaf

cdef inline int64_t rank_beyond_leaf(Ladder* ladder, uint32_t rank) noexcept nogil:
    # Return the best occupied rank behind the leaf of this one, NO_RANK when there is none.
    cdef Node* path[DEPTH]
    cdef Node* node = ladder.root
    cdef int depth = 0
    cdef uint64_t behind = 0
    cdef uint32_t digit
    cdef uint32_t found
    while node != NULL and depth < DEPTH:
        path[depth] = node
        node = <Node*>node.child[digit_at(rank, depth)]
        depth += 1
    while depth > 0 and behind == 0:
        depth -= 1
        behind = bits_above(path[depth].occupied, digit_at(rank, depth))
    if behind == 0:
        return NO_RANK()
    # Keep the digits above, take the found one, and below it the first of every node.
    found = <uint32_t>((<uint64_t>rank >> (shift_at(depth) + DIGIT_BITS)) << DIGIT_BITS)
    node = path[depth]
    while True:
        digit = __builtin_ctzll(behind)
        found |= digit
        if depth == DEPTH - 1:
            return <int64_t>(found << DIGIT_BITS | __builtin_ctzll((<Leaf*>node.child[digit]).occupied))
        node = <Node*>node.child[digit]
        behind = node.occupied
        found <<= DIGIT_BITS
        depth += 1

cdef inline int64_t next_rank(Ladder* ladder, uint32_t rank, const Leaf* leaf) noexcept nogil:
    # Return the best occupied rank behind this one, whose leaf is given (NULL: it has none); NO_RANK when there is none.
    cdef uint64_t behind = bits_above(leaf.occupied, rank & (FANOUT - 1)) if leaf != NULL else 0
    if behind != 0:
        return <int64_t>((rank & ~<uint32_t>(FANOUT - 1)) | __builtin_ctzll(behind))
    return rank_beyond_leaf(ladder, rank)

# What a book asks of a side, in prices

cdef inline Level* ladder_level(Ladder* ladder, uint32_t price) noexcept nogil:
    # Return the level of a price that is occupied.
    cdef uint32_t rank = rank_of(ladder, price)
    return &find_leaf(ladder, rank, False).levels[rank & (FANOUT - 1)]

cdef inline bint ladder_has(Ladder* ladder, uint32_t price) noexcept nogil:
    # Whether anything rests at a price.
    cdef uint32_t rank = rank_of(ladder, price)
    cdef Leaf* leaf = find_leaf(ladder, rank, False)
    return leaf != NULL and (leaf.occupied & bit(rank & (FANOUT - 1))) != 0

cdef inline Level* ladder_occupy(Ladder* ladder, uint32_t price) noexcept nogil:
    # Return the level of a price, which counts as occupied from now on; needs a ladder_reserve before.
    cdef uint32_t rank = rank_of(ladder, price)
    cdef Leaf* leaf = find_leaf(ladder, rank, True)
    leaf.occupied |= bit(rank & (FANOUT - 1))
    if rank < ladder.best_rank:
        ladder.best_rank = rank
        ladder.best = price
    return &leaf.levels[rank & (FANOUT - 1)]

cdef inline int64_t next_price(Ladder* ladder, uint32_t price) noexcept nogil:
    # Return the next worse occupied price, -1 when there is none. The price itself need not be occupied.
    cdef uint32_t rank = rank_of(ladder, price)
    return price_of(ladder, next_rank(ladder, rank, find_leaf(ladder, rank, False)))

cdef inline void ladder_vacate(Ladder* ladder, uint32_t price) noexcept nogil:
    # The level of this price has become empty.
    cdef uint32_t rank = rank_of(ladder, price)
    cdef Leaf* leaf = find_leaf(ladder, rank, False)
    leaf.occupied &= ~bit(rank & (FANOUT - 1))
    if rank == ladder.best_rank:
        ladder.best_rank = next_rank(ladder, rank, leaf)
        ladder.best = price_of(ladder, ladder.best_rank)
    if leaf.occupied == 0:
        unplant(ladder, rank, leaf)

# One side of a book: the levels by price, best first.
#
# A radix tree over the 32 bits of a price in ticks, 8 bits a step: three nodes and a leaf of 256 adjacent levels, each with
# a bitmap of what is occupied. Every price of the range is as good as any other: no window to move, no fallback for far
# prices. Near the touch, where all the work is, a small cache from price / 256 to its leaf replaces the descent.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from engine.matching.types cimport int128_t

cdef extern from *:
    int __builtin_ctzll(unsigned long long) noexcept nogil
    int __builtin_clzll(unsigned long long) noexcept nogil

cdef enum:
    FANOUT = 256
    WORDS = 4
    CACHE_SIZE = 64

cdef struct Level:
    int128_t total_lots    # 128 bits: many orders of the largest size at one price must not overflow it
    uint32_t head
    uint32_t tail
    uint32_t count
    uint32_t icebergs      # orders that do not show all that they have

cdef struct Leaf:
    uint64_t occupied[WORDS]
    Leaf* next_free
    Level levels[FANOUT]

cdef struct Node:
    uint64_t occupied[WORDS]
    void* child[FANOUT]

cdef struct CachedLeaf:
    uint32_t key_plus_one    # price / 256 + 1; 0: empty
    Leaf* leaf

cdef struct Ladder:
    Node* root
    int64_t best              # price of the best level, -1 when the side is empty
    bint ascending            # asks: better is lower
    Leaf* free_leaves         # emptied leaves, kept for reuse
    CachedLeaf cache[CACHE_SIZE]

cdef inline int ladder_open(Ladder* ladder, bint ascending) noexcept nogil:
    memset(ladder, 0, sizeof(Ladder))
    ladder.best = -1
    ladder.ascending = ascending
    ladder.root = <Node*>calloc(1, sizeof(Node))
    return 0 if ladder.root != NULL else -1

cdef inline void close_node(Node* node, int depth) noexcept nogil:
    cdef int digit
    if node == NULL:
        return
    for digit in range(FANOUT):
        if node.child[digit] != NULL:
            if depth == 2:
                free(node.child[digit])
            else:
                close_node(<Node*>node.child[digit], depth + 1)
    free(node)

cdef inline void ladder_close(Ladder* ladder) noexcept nogil:
    cdef Leaf* leaf
    close_node(ladder.root, 0)
    while ladder.free_leaves != NULL:
        leaf = ladder.free_leaves
        ladder.free_leaves = leaf.next_free
        free(leaf)

cdef inline void set_bit(uint64_t* words, uint32_t bit) noexcept nogil:
    words[bit >> 6] |= <uint64_t>1 << (bit & 63)

cdef inline void clear_bit(uint64_t* words, uint32_t bit) noexcept nogil:
    words[bit >> 6] &= ~(<uint64_t>1 << (bit & 63))

cdef inline bint no_bits(const uint64_t* words) noexcept nogil:
    return (words[0] | words[1] | words[2] | words[3]) == 0

cdef inline int bit_above(const uint64_t* words, int bit) noexcept nogil:
    # Return the lowest set bit > bit (-1: from the bottom), or -1.
    cdef int word
    cdef uint64_t bits
    bit += 1
    if bit >= FANOUT:
        return -1
    word = bit >> 6
    bits = words[word] & (~<uint64_t>0 << (bit & 63))
    while bits == 0:
        word += 1
        if word == WORDS:
            return -1
        bits = words[word]
    return (word << 6) + __builtin_ctzll(bits)

cdef inline int bit_below(const uint64_t* words, int bit) noexcept nogil:
    # Return the highest set bit < bit (FANOUT: from the top), or -1.
    cdef int word
    cdef uint64_t bits
    bit -= 1
    if bit < 0:
        return -1
    word = bit >> 6
    bits = words[word] & (~<uint64_t>0 >> (63 - (bit & 63)))
    while bits == 0:
        word -= 1
        if word < 0:
            return -1
        bits = words[word]
    return (word << 6) + 63 - __builtin_clzll(bits)

cdef inline int next_bit(const uint64_t* words, int bit, bint ascending) noexcept nogil:
    return bit_above(words, bit) if ascending else bit_below(words, bit)

cdef inline Leaf* new_leaf(Ladder* ladder) noexcept nogil:
    cdef Leaf* leaf = ladder.free_leaves
    if leaf == NULL:
        return <Leaf*>calloc(1, sizeof(Leaf))
    ladder.free_leaves = leaf.next_free
    return leaf

cdef inline Leaf* descend(Ladder* ladder, uint32_t price, bint create) noexcept nogil:
    # Return the leaf of a price; NULL when it is absent (or there is no memory to create it).
    cdef Node* node = ladder.root
    cdef int shift = 24
    cdef uint32_t digit
    cdef void* child
    while True:
        digit = (price >> shift) & 255
        child = node.child[digit]
        if child == NULL:
            if not create:
                return NULL
            child = <void*>new_leaf(ladder) if shift == 8 else calloc(1, sizeof(Node))
            if child == NULL:
                return NULL
            node.child[digit] = child
        if create:
            set_bit(node.occupied, digit)
        if shift == 8:
            return <Leaf*>child
        node = <Node*>child
        shift -= 8

cdef inline Leaf* find_leaf(Ladder* ladder, uint32_t price, bint create) noexcept nogil:
    cdef uint32_t key = price >> 8
    cdef CachedLeaf* cached = &ladder.cache[key & (CACHE_SIZE - 1)]
    cdef Leaf* leaf
    if cached.key_plus_one == key + 1:
        return cached.leaf
    leaf = descend(ladder, price, create)
    if leaf != NULL:
        cached.key_plus_one = key + 1
        cached.leaf = leaf
    return leaf

cdef inline Level* ladder_level(Ladder* ladder, uint32_t price) noexcept nogil:
    # Return the level of a price that is occupied.
    return &find_leaf(ladder, price, False).levels[price & 255]

cdef inline bint ladder_has(Ladder* ladder, uint32_t price) noexcept nogil:
    # Whether anything rests at a price.
    cdef Leaf* leaf = find_leaf(ladder, price, False)
    return leaf != NULL and (leaf.occupied[(price & 255) >> 6] >> (price & 63)) & 1

cdef inline Level* ladder_occupy(Ladder* ladder, uint32_t price) noexcept nogil:
    # Return the level of a price, which counts as occupied from now on; NULL when there is no memory.
    cdef Leaf* leaf = find_leaf(ladder, price, True)
    if leaf == NULL:
        return NULL
    set_bit(leaf.occupied, price & 255)
    if ladder.best < 0 or (price < ladder.best if ladder.ascending else price > ladder.best):
        ladder.best = price
    return &leaf.levels[price & 255]

cdef inline int64_t next_price(Ladder* ladder, uint32_t price) noexcept nogil:
    # Return the next worse occupied price, -1 when there is none. The price itself need not be occupied.
    cdef Node* path[3]
    cdef int depth = 0
    cdef int bit = -1
    cdef int start = -1 if ladder.ascending else FANOUT
    cdef uint32_t found
    cdef Node* node = ladder.root
    cdef Leaf* leaf = NULL
    while node != NULL and depth < 3:
        path[depth] = node
        node = <Node*>node.child[(price >> (24 - 8 * depth)) & 255]
        depth += 1
    if node != NULL:
        leaf = <Leaf*>node
        bit = next_bit(leaf.occupied, price & 255, ladder.ascending)
        if bit >= 0:
            return <int64_t>((price & ~<uint32_t>255) | <uint32_t>bit)
    while depth > 0:
        depth -= 1
        bit = next_bit(path[depth].occupied, (price >> (24 - 8 * depth)) & 255, ladder.ascending)
        if bit >= 0:
            break
    if bit < 0:
        return -1
    # Keep the digits above, take the found one, and below it the first of every node.
    found = price & ~(<uint32_t>0xFFFFFFFF >> (8 * depth)) if depth > 0 else 0
    node = path[depth]
    while True:
        found |= <uint32_t>bit << (24 - 8 * depth)
        if depth == 2:
            leaf = <Leaf*>node.child[bit]
            return <int64_t>(found | <uint32_t>next_bit(leaf.occupied, start, ladder.ascending))
        node = <Node*>node.child[bit]
        depth += 1
        bit = next_bit(node.occupied, start, ladder.ascending)

cdef inline void unlink_leaf(Ladder* ladder, uint32_t price, Leaf* leaf) noexcept nogil:
    # Take an empty leaf, and the nodes that it leaves empty, out of the tree.
    cdef Node* path[3]
    cdef int depth
    cdef uint32_t key = price >> 8
    path[0] = ladder.root
    path[1] = <Node*>path[0].child[price >> 24]
    path[2] = <Node*>path[1].child[(price >> 16) & 255]
    leaf.next_free = ladder.free_leaves
    ladder.free_leaves = leaf
    if ladder.cache[key & (CACHE_SIZE - 1)].key_plus_one == key + 1:
        ladder.cache[key & (CACHE_SIZE - 1)].key_plus_one = 0
    for depth in range(2, -1, -1):
        path[depth].child[(price >> (24 - 8 * depth)) & 255] = NULL
        clear_bit(path[depth].occupied, (price >> (24 - 8 * depth)) & 255)
        if depth == 0 or not no_bits(path[depth].occupied):
            return
        free(path[depth])

cdef inline void ladder_vacate(Ladder* ladder, uint32_t price) noexcept nogil:
    # The level of this price has become empty.
    cdef Leaf* leaf = find_leaf(ladder, price, False)
    clear_bit(leaf.occupied, price & 255)
    if price == ladder.best:
        ladder.best = next_price(ladder, price)
    if no_bits(leaf.occupied):
        unlink_leaf(ladder, price, leaf)

# The double-entry ledger: available and held, for an account and an asset, in units. Sums per asset are zero.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from engine.matching.digest cimport mix
from engine.matching.types cimport int128_t

cdef struct Balance:
    int128_t available
    int128_t held
    uint64_t account
    uint64_t digested       # the item that the digest holds for it now
    uint32_t asset
    bint dirty              # changed since then

cdef struct Ledger:
    Balance* balances
    uint32_t count
    uint32_t capacity
    uint32_t* slots         # index + 1 of a balance, 0: free
    uint32_t slot_mask
    uint32_t* dirty         # balances changed since the digest was last taken
    uint32_t dirty_count

cdef inline int ledger_open(Ledger* ledger) noexcept nogil:
    memset(ledger, 0, sizeof(Ledger))
    ledger.capacity = 512
    ledger.balances = <Balance*>calloc(ledger.capacity, sizeof(Balance))
    ledger.dirty = <uint32_t*>calloc(ledger.capacity, sizeof(uint32_t))
    ledger.slot_mask = 1023
    ledger.slots = <uint32_t*>calloc(ledger.slot_mask + 1, sizeof(uint32_t))
    return 0 if ledger.balances != NULL and ledger.dirty != NULL and ledger.slots != NULL else -1

cdef inline void ledger_close(Ledger* ledger) noexcept nogil:
    free(ledger.balances)
    free(ledger.dirty)
    free(ledger.slots)

cdef inline uint32_t balance_slot(const Ledger* ledger, uint64_t account, uint32_t asset) noexcept nogil:
    # Return the slot that holds this balance, or the free one where it belongs.
    cdef uint32_t at = <uint32_t>(mix(account, asset) & ledger.slot_mask)
    cdef uint32_t found = ledger.slots[at]
    while found != 0:
        if ledger.balances[found - 1].account == account and ledger.balances[found - 1].asset == asset:
            break
        at = (at + 1) & ledger.slot_mask
        found = ledger.slots[at]
    return at

cdef inline int ledger_reserve(Ledger* ledger, uint32_t more) noexcept nogil:
    # Make room for more balances; -1 when there is no memory, and nothing has changed then.
    cdef void* grown
    cdef uint32_t index
    if ledger.count + more > ledger.capacity:
        grown = realloc(ledger.balances, <size_t>ledger.capacity * 2 * sizeof(Balance))
        if grown == NULL:
            return -1
        ledger.balances = <Balance*>grown
        grown = realloc(ledger.dirty, <size_t>ledger.capacity * 2 * sizeof(uint32_t))
        if grown == NULL:
            return -1
        ledger.dirty = <uint32_t*>grown
        ledger.capacity *= 2
    if ledger.count + more > (ledger.slot_mask + 1) / 2:
        grown = calloc(<size_t>(ledger.slot_mask + 1) * 2, sizeof(uint32_t))
        if grown == NULL:
            return -1
        free(ledger.slots)
        ledger.slots = <uint32_t*>grown
        ledger.slot_mask = ledger.slot_mask * 2 + 1
        for index in range(ledger.count):
            ledger.slots[balance_slot(ledger, ledger.balances[index].account, ledger.balances[index].asset)] = index + 1
    return 0

cdef inline uint32_t balance_index(Ledger* ledger, uint64_t account, uint32_t asset) noexcept nogil:
    # Return the index of a balance, which begins at zero when it is new; needs a ledger_reserve before.
    cdef uint32_t at = balance_slot(ledger, account, asset)
    cdef Balance* balance
    if ledger.slots[at] == 0:
        balance = &ledger.balances[ledger.count]
        memset(balance, 0, sizeof(Balance))
        balance.account = account
        balance.asset = asset
        ledger.count += 1
        ledger.slots[at] = ledger.count
    return ledger.slots[at] - 1

cdef inline void post(Ledger* ledger, uint32_t index, int64_t available_change, int64_t held_change) noexcept nogil:
    # Change one balance. Whoever posts keeps the sum per asset at zero.
    cdef Balance* balance = &ledger.balances[index]
    balance.available += available_change
    balance.held += held_change
    if not balance.dirty:
        balance.dirty = True
        ledger.dirty[ledger.dirty_count] = index
        ledger.dirty_count += 1

cdef inline uint64_t balance_item(const Balance* balance) noexcept nogil:
    cdef uint64_t h = 2
    if balance.available == 0 and balance.held == 0:
        return 0
    h = mix(h, balance.account)
    h = mix(h, balance.asset)
    h = mix(h, <uint64_t>balance.available)
    h = mix(h, <uint64_t>(balance.available >> 64))
    h = mix(h, <uint64_t>balance.held)
    return mix(h, <uint64_t>(balance.held >> 64))

cdef inline uint64_t ledger_digest_change(Ledger* ledger) noexcept nogil:
    # Return what the changes since the last call add to the digest. Lazily, since a busy balance changes often between two looks.
    cdef uint64_t change = 0
    cdef uint32_t at
    cdef uint64_t item
    cdef Balance* balance
    for at in range(ledger.dirty_count):
        balance = &ledger.balances[ledger.dirty[at]]
        item = balance_item(balance)
        change += item - balance.digested
        balance.digested = item
        balance.dirty = False
    ledger.dirty_count = 0
    return change

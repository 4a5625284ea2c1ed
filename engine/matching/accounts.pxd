# What is true of an account in every market. Most accounts have no record: they pay the whole fees and have no timer.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from engine.matching.digest cimport mix
from engine.matching.types cimport FEE_SHARE_PPM_MAX

cdef struct Account:
    uint64_t account
    int64_t cancel_after       # when its dead-man timer fires; 0: it is off
    uint32_t maker_share_ppm   # of the markets' fees; its traders have copies
    uint32_t taker_share_ppm

cdef struct Accounts:
    Account* records           # the first stands for all accounts without one
    uint32_t count             # that one not included
    uint32_t capacity
    uint32_t* slots            # index of a record, 0: free
    uint32_t slot_mask

cdef inline void begin_account(Account* record, uint64_t account) noexcept nogil:
    memset(record, 0, sizeof(Account))
    record.account = account
    record.maker_share_ppm = FEE_SHARE_PPM_MAX
    record.taker_share_ppm = FEE_SHARE_PPM_MAX

cdef inline int accounts_open(Accounts* accounts) noexcept nogil:
    memset(accounts, 0, sizeof(Accounts))
    accounts.capacity = 64
    accounts.slot_mask = 127
    accounts.records = <Account*>calloc(accounts.capacity, sizeof(Account))
    accounts.slots = <uint32_t*>calloc(accounts.slot_mask + 1, sizeof(uint32_t))
    if accounts.records == NULL or accounts.slots == NULL:
        return -1
    begin_account(&accounts.records[0], 0)
    return 0

cdef inline void accounts_close(Accounts* accounts) noexcept nogil:
    free(accounts.records)
    free(accounts.slots)

cdef inline uint32_t account_slot(const Accounts* accounts, uint64_t account) noexcept nogil:
    # Return the slot that holds this account, or the free one where it belongs.
    cdef uint32_t at = <uint32_t>(mix(0, account) & accounts.slot_mask)
    while accounts.slots[at] != 0 and accounts.records[accounts.slots[at]].account != account:
        at = (at + 1) & accounts.slot_mask
    return at

cdef inline Account* account_of(const Accounts* accounts, uint64_t account) noexcept nogil:
    # Return the account's record, or the one that stands for all without.
    return &accounts.records[accounts.slots[account_slot(accounts, account)]]

cdef inline int accounts_reserve(Accounts* accounts) noexcept nogil:
    # Make room for one more; -1 when there is no memory, and nothing has changed then.
    cdef void* grown
    cdef uint32_t index
    if accounts.count + 1 >= accounts.capacity:
        grown = realloc(accounts.records, <size_t>accounts.capacity * 2 * sizeof(Account))
        if grown == NULL:
            return -1
        accounts.records = <Account*>grown
        accounts.capacity *= 2
    if accounts.count * 2 >= accounts.slot_mask:
        grown = calloc(<size_t>(accounts.slot_mask + 1) * 2, sizeof(uint32_t))
        if grown == NULL:
            return -1
        free(accounts.slots)
        accounts.slots = <uint32_t*>grown
        accounts.slot_mask = accounts.slot_mask * 2 + 1
        for index in range(1, accounts.count + 1):
            accounts.slots[account_slot(accounts, accounts.records[index].account)] = index
    return 0

cdef inline Account* open_account(Accounts* accounts, uint64_t account) noexcept nogil:
    # Return the account's own record, made where it had none; needs an accounts_reserve before.
    cdef uint32_t slot = account_slot(accounts, account)
    if accounts.slots[slot] == 0:
        accounts.count += 1
        accounts.slots[slot] = accounts.count
        begin_account(&accounts.records[accounts.count], account)
    return &accounts.records[accounts.slots[slot]]

cdef inline bint is_usual(const Account* record) noexcept nogil:
    # Whether the account is as if it had no record.
    return record.cancel_after == 0 and pays_whole_fees(record)

cdef inline bint pays_whole_fees(const Account* record) noexcept nogil:
    return record.maker_share_ppm == FEE_SHARE_PPM_MAX and record.taker_share_ppm == FEE_SHARE_PPM_MAX

cdef inline uint64_t account_item(const Account* record) noexcept nogil:
    # What the digest holds of it: its shares, and its timer.
    cdef uint64_t total = 0
    if not pays_whole_fees(record):
        total += mix(mix(mix(11, record.account), record.maker_share_ppm), record.taker_share_ppm)
    if record.cancel_after != 0:
        total += mix(mix(12, record.account), <uint64_t>record.cancel_after)
    return total

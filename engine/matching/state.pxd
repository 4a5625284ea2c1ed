# What a shard consists of: markets, traders, orders with what only some of them have, and the ledger.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from engine.matching.accounts cimport Accounts
from engine.matching.book cimport Book
from engine.matching.digest cimport mix
from engine.matching.ladder cimport Ladder
from engine.matching.ledger cimport Ledger
from engine.matching.orders cimport OrderPool
from engine.matching.types cimport (
    ASSETS_MAX, CLIENT_ORDER_ID_SIZE, MARKETS_MAX, AssetCommand, Event, MarketCommand, Terms, TermsCommand, int128_t,
)

# One account in one market: found once a command, and from an order without a search.
cdef struct Trader:
    uint64_t account
    uint32_t maker_share_ppm   # of the market's fees: copies of the account's
    uint32_t taker_share_ppm
    int128_t bid_lots          # remaining of its live buys that do not wait for a parent
    uint32_t base_balance      # indexes into the ledger
    uint32_t quote_balance
    uint32_t market            # number
    uint32_t live_orders

# What a plain limit order does not have.
cdef struct Extra:
    uint64_t place_sequence    # the command in which it took its place, and the how many-th place of that
    int64_t display_lots
    int64_t visible_lots
    int64_t expire_ns
    uint64_t other_leg         # order ids; 0: none
    uint64_t child
    uint64_t parent
    int64_t activated_lots     # what its parent filled, while it is in the queue for activation
    uint32_t next_activated    # index of the next order in that queue
    uint32_t place
    uint32_t group
    uint32_t trigger_ticks
    uint32_t trail_ticks
    uint32_t next_free
    uint8_t order_type
    uint8_t queued             # for activation

cdef struct Market:
    MarketCommand definition
    Terms terms                # in force
    TermsCommand configuration # the last command that set them, if any did
    Book book
    Ladder above               # waiting orders by trigger: met when the price is at or above, lowest first
    Ladder below               # met when it is at or below, highest first
    int128_t price_lots_max    # largest price x quantity whose notional is below 2**62 quote units
    int64_t reference_since
    int64_t auction_end
    uint32_t last_price
    uint32_t range_low
    uint32_t range_high
    uint32_t reference
    uint32_t* trailing         # indexes of its trailing orders, unordered
    uint32_t trailing_count
    uint32_t revenue_base      # the revenue account's balances
    uint32_t revenue_quote
    uint8_t mode
    bint configured
    bint touched               # it is in the list of markets with something to follow up

cdef struct Due:
    int64_t at_ns
    uint64_t number            # of the order that expires, or of the account whose timer fires
    bint is_order

cdef struct State:
    OrderPool pool
    char* names                # client order ids, parallel to the pool's orders; NULL before the first
    uint32_t names_capacity
    Extra* extras
    uint32_t extra_capacity
    uint32_t extra_unused      # first one never used; 0 is nobody's
    uint32_t extra_free
    Ledger ledger
    Accounts accounts
    Trader* traders
    uint32_t trader_count      # 0 is nobody's
    uint32_t trader_capacity
    uint32_t* trader_slots     # index of a trader, 0: free
    uint32_t trader_mask
    AssetCommand* assets
    uint32_t asset_count
    Market** markets
    uint32_t market_count
    uint64_t sequence
    int64_t timestamp_ns       # of the command that is being applied
    uint64_t account           # the same
    uint64_t trade_count
    uint64_t items             # the digest but for counts, markets' state and balances changed since it was last taken
    uint32_t places            # taken during this command
    uint32_t fired             # waiting orders fired during this command
    uint32_t first_activated   # queue of children to be activated
    uint32_t last_activated
    uint16_t* touched          # indexes of markets
    uint32_t touched_count
    bint unfinished            # waiting orders are left to fire with the next command
    Due* agenda                # heap of timers and expiries; what has changed or ended meanwhile is passed over
    uint32_t agenda_count
    uint32_t agenda_capacity
    int64_t next_due_ns        # of timers, expiries and auctions
    int timed_auctions         # markets whose auction ends by itself
    Event* events
    size_t event_count
    size_t event_capacity
    bint broken                # memory ran out half-way: the state is worthless

# Growing. Everything that a command may need is reserved before it starts; -1 when there is no memory, and nothing has changed then.

cdef inline void* grown(void* old, uint32_t capacity, size_t size) noexcept nogil:
    return realloc(old, <size_t>capacity * size)

cdef inline int reserve_extras(State* s, uint32_t more) noexcept nogil:
    cdef Extra* extras
    if s.extra_unused + more <= s.extra_capacity:
        return 0
    extras = <Extra*>grown(s.extras, s.extra_capacity * 2, sizeof(Extra))
    if extras == NULL:
        return -1
    s.extras = extras
    s.extra_capacity *= 2
    return 0

cdef inline int reserve_names(State* s) noexcept nogil:
    cdef char* names
    if s.names_capacity >= s.pool.capacity:
        return 0
    names = <char*>grown(s.names, s.pool.capacity, CLIENT_ORDER_ID_SIZE)
    if names == NULL:
        return -1
    s.names = names
    s.names_capacity = s.pool.capacity
    return 0

cdef inline int reserve_agenda(State* s) noexcept nogil:
    cdef Due* agenda
    agenda = <Due*>grown(s.agenda, s.agenda_capacity * 2, sizeof(Due))
    if agenda == NULL:
        return -1
    s.agenda = agenda
    s.agenda_capacity *= 2
    return 0

cdef inline uint32_t trader_slot(const State* s, uint64_t account, uint32_t market) noexcept nogil:
    # Return the slot that holds this trader, or the free one where it belongs.
    cdef uint32_t at = <uint32_t>(mix(account, market) & s.trader_mask)
    cdef uint32_t found = s.trader_slots[at]
    while found != 0 and not (s.traders[found].account == account and s.traders[found].market == market):
        at = (at + 1) & s.trader_mask
        found = s.trader_slots[at]
    return at

cdef inline int reserve_traders(State* s) noexcept nogil:
    cdef Trader* traders
    cdef uint32_t* slots
    cdef uint32_t index
    if s.trader_count + 1 >= s.trader_capacity:
        traders = <Trader*>grown(s.traders, s.trader_capacity * 2, sizeof(Trader))
        if traders == NULL:
            return -1
        s.traders = traders
        s.trader_capacity *= 2
    if s.trader_count * 2 >= s.trader_mask:
        slots = <uint32_t*>calloc(<size_t>(s.trader_mask + 1) * 2, sizeof(uint32_t))
        if slots == NULL:
            return -1
        free(s.trader_slots)
        s.trader_slots = slots
        s.trader_mask = s.trader_mask * 2 + 1
        for index in range(1, s.trader_count + 1):
            s.trader_slots[trader_slot(s, s.traders[index].account, s.traders[index].market)] = index
    return 0

# The agenda: a binary heap by time; at one time timers come first, by account, then expiries, by order id.

cdef inline bint is_before(const Due* a, const Due* b) noexcept nogil:
    if a.at_ns != b.at_ns:
        return a.at_ns < b.at_ns
    return a.number < b.number if a.is_order == b.is_order else b.is_order

cdef inline void agenda_push(State* s, int64_t at_ns, bint is_order, uint64_t number) noexcept nogil:
    # Needs a reserve_agenda before.
    cdef uint32_t at = s.agenda_count
    cdef uint32_t above
    cdef Due due
    due.at_ns = at_ns
    due.is_order = is_order
    due.number = number
    s.agenda_count += 1
    while at > 0:
        above = (at - 1) // 2
        if not is_before(&due, &s.agenda[above]):
            break
        s.agenda[at] = s.agenda[above]
        at = above
    s.agenda[at] = due

cdef inline void agenda_sink(State* s, uint32_t at, Due due) noexcept nogil:
    cdef uint32_t below
    while True:
        below = 2 * at + 1
        if below >= s.agenda_count:
            break
        if below + 1 < s.agenda_count and is_before(&s.agenda[below + 1], &s.agenda[below]):
            below += 1
        if not is_before(&s.agenda[below], &due):
            break
        s.agenda[at] = s.agenda[below]
        at = below
    s.agenda[at] = due

cdef inline void agenda_pop(State* s) noexcept nogil:
    s.agenda_count -= 1
    if s.agenda_count > 0:
        agenda_sink(s, 0, s.agenda[s.agenda_count])

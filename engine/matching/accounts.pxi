# SET_FEES and CANCEL_AFTER, and what happens when a timer fires.

cdef void set_fees(State* s, const FeesCommand* command) noexcept nogil:
    cdef uint64_t account = command.header.account
    cdef FeesEvent* event
    if account < FIRST_TRADING_ACCOUNT:
        reject(s, &command.header, ACCOUNT_INVALID)
        return
    if command.maker_share_ppm > FEE_SHARE_PPM_MAX or command.taker_share_ppm > FEE_SHARE_PPM_MAX:
        reject(s, &command.header, DEFINITION_INVALID)
        return
    set_shares(s, account, command.maker_share_ppm, command.taker_share_ppm)
    event = <FeesEvent*>emit(s, FEES_SET, account)
    event.maker_share_ppm = command.maker_share_ppm
    event.taker_share_ppm = command.taker_share_ppm


cdef void set_shares(State* s, uint64_t account, uint32_t maker_share_ppm, uint32_t taker_share_ppm) noexcept nogil:
    # Needs an accounts_reserve before.
    cdef Account* record = open_account(&s.accounts, account)
    cdef uint32_t market
    cdef uint32_t owner
    s.items -= account_item(record)
    record.maker_share_ppm = maker_share_ppm
    record.taker_share_ppm = taker_share_ppm
    s.items += account_item(record)
    for market in range(1, s.market_count + 1):
        owner = s.trader_slots[trader_slot(s, account, market)]
        if owner != 0:
            share_fees(s, owner)


cdef void share_fees(State* s, uint32_t owner) noexcept nogil:
    # A trader gets its account's shares, so that a trade finds them with what it looks at anyway.
    cdef const Account* record = account_of(&s.accounts, s.traders[owner].account)
    s.traders[owner].maker_share_ppm = record.maker_share_ppm
    s.traders[owner].taker_share_ppm = record.taker_share_ppm


# The dead-man timer

cdef void cancel_after(State* s, const OrderCommand* command) noexcept nogil:
    cdef uint64_t account = command.header.account
    cdef OrderEvent* event
    if account < FIRST_TRADING_ACCOUNT:
        reject(s, &command.header, ACCOUNT_INVALID)
        return
    if command.expire_ns != 0 and command.expire_ns <= s.timestamp_ns:
        reject(s, &command.header, EXPIRE_TIME_INVALID)
        return
    set_timer(s, open_account(&s.accounts, account), command.expire_ns)
    event = <OrderEvent*>emit(s, CANCEL_AFTER_SET, account)
    event.expire_ns = command.expire_ns


cdef void set_timer(State* s, Account* record, int64_t at_ns) noexcept nogil:
    # Needs a tidy_agenda before. What the agenda said of the account before is passed over.
    s.items -= account_item(record)
    record.cancel_after = at_ns
    s.items += account_item(record)
    if at_ns != 0:
        schedule(s, at_ns, False, record.account)


# An order of an account whose timer fires.
cdef struct Doomed:
    uint64_t order_id
    uint32_t turn            # which of the timers


cdef int by_turn(const void* a, const void* b) noexcept nogil:
    cdef const Doomed* x = <const Doomed*>a
    cdef const Doomed* y = <const Doomed*>b
    if x.turn != y.turn:
        return 1 if x.turn > y.turn else -1
    return (x.order_id > y.order_id) - (x.order_id < y.order_id)


cdef void fire_timers(State* s, const Market* next_auction) noexcept nogil:
    # All timers that are due before anything else is. They fire when many have lost their connection at once: so together,
    # with one pass over the orders. Ending all orders of an account fires and activates nothing, so none waits for another's
    # follow-up.
    cdef Due* fired = <Due*>malloc(<size_t>s.agenda_count * sizeof(Due))
    cdef uint32_t* turns = <uint32_t*>calloc(<size_t>s.trader_count + 1, sizeof(uint32_t))
    cdef uint32_t count
    if fired == NULL or turns == NULL:
        s.broken = True
    else:
        count = take_timers(s, next_auction, fired)
        end_orders_of(s, fired, count, turns, mark_traders(s, fired, count, turns))
    free(fired)
    free(turns)


cdef uint32_t take_timers(State* s, const Market* next_auction, Due* fired) noexcept nogil:
    # Take timers off the agenda until something else comes first. Returns how many of them were still set: they are off now.
    cdef uint32_t count = 0
    cdef Due due
    while s.agenda_count > 0 and not s.agenda[0].is_order and s.agenda[0].at_ns <= s.timestamp_ns:
        due = s.agenda[0]
        if next_auction != NULL and due.at_ns > next_auction.auction_end:
            break
        agenda_pop(s)
        if still_due(s, &due):
            set_timer(s, account_of(&s.accounts, due.number), 0)
            fired[count] = due
            count += 1
    return count


cdef uint32_t mark_traders(const State* s, const Due* fired, uint32_t count, uint32_t* turns) noexcept nogil:
    # Give the traders of these accounts their turns, from 1 on. Returns how many live orders they have.
    cdef uint32_t live = 0
    cdef uint32_t turn
    cdef uint32_t market
    cdef uint32_t owner
    for turn in range(1, count + 1):
        for market in range(1, s.market_count + 1):
            owner = s.trader_slots[trader_slot(s, fired[turn - 1].number, market)]
            if owner != 0:
                turns[owner] = turn
                live += s.traders[owner].live_orders
    return live


cdef void end_orders_of(State* s, const Due* fired, uint32_t count, const uint32_t* turns, uint32_t live) noexcept nogil:
    # Timer by timer, by order id, with the event of each.
    cdef Doomed* doomed = <Doomed*>malloc(<size_t>(live + 1) * sizeof(Doomed))
    cdef OrderEvent* event
    cdef uint32_t turn
    cdef uint32_t index
    cdef uint32_t at = 0
    cdef int64_t ended
    if doomed == NULL:
        s.broken = True
        return
    find_doomed(s, turns, doomed, live)
    for turn in range(1, count + 1):
        ended = 0
        while at < live and doomed[at].turn == turn:
            index = pool_find(&s.pool, doomed[at].order_id)
            if index != 0:
                end_order(s, index, DEAD_MAN_TIMER)
                ended += 1
            at += 1
        event = <OrderEvent*>emit(s, CANCEL_AFTER_FIRED, fired[turn - 1].number)
        event.expire_ns = fired[turn - 1].at_ns
        event.quantity_lots = ended
    free(doomed)


cdef void find_doomed(const State* s, const uint32_t* turns, Doomed* doomed, uint32_t live) noexcept nogil:
    # The orders of all marked traders, in the order in which they end.
    cdef uint32_t found = 0
    cdef uint32_t index = 1
    cdef const Order* order
    while found < live:
        order = &s.pool.orders[index]
        if order.side != 0 and turns[order.owner] != 0:
            doomed[found].order_id = order.order_id
            doomed[found].turn = turns[order.owner]
            found += 1
        index += 1
    qsort(doomed, live, sizeof(Doomed), by_turn)

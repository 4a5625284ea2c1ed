# What follows from a command: children take part, waiting orders fire, time passes.

cdef void take_record(State* s, Taker* taker, uint32_t index) noexcept nogil:
    # A live order that is in no queue goes to meet the book. It is forgotten until it rests.
    cdef Order* order = &s.pool.orders[index]
    memset(taker, 0, sizeof(Taker))
    taker.market = market_of(s, order)
    taker.opposite = opposite_side(&taker.market.book, order.side)
    taker.order_id = order.order_id
    taker.account = s.traders[order.owner].account
    taker.owner = order.owner
    taker.index = index
    taker.side = order.side
    taker.order_type = type_of(s, order)
    taker.time_in_force = time_in_force_of(order)
    taker.flags = order.traits & 3
    taker.self_trade = (order.traits >> 2) & 7
    taker.quantity = order.quantity_lots
    taker.remaining = order.remaining_lots
    taker.held = need_of(s, index)
    taker.lasting = True
    if order.extra != 0:
        taker.group = s.extras[order.extra].group
        taker.child = s.extras[order.extra].child
        taker.other_leg = s.extras[order.extra].other_leg
    forget(s, order)


# Firing

cdef inline bint is_market_like(int order_type) noexcept nogil:
    return order_type == STOP or order_type == TAKE_PROFIT or order_type == TRAILING_STOP or order_type == MARKET_ORDER


cdef uint32_t met_order(const Market* market) noexcept nogil:
    # The waiting order that fires first, 0 when none is met.
    if market.range_high == 0:
        return 0
    if 0 <= market.above.best <= market.range_high:
        return ladder_level(<Ladder*>&market.above, <uint32_t>market.above.best).head
    if market.below.best >= market.range_low:
        return ladder_level(<Ladder*>&market.below, <uint32_t>market.below.best).head
    return 0


cdef void fire(State* s, uint32_t index) noexcept nogil:
    cdef Taker taker
    cdef Order* order = &s.pool.orders[index]
    cdef uint32_t leg = other_leg_of(s, index)
    cdef OrderEvent* event
    cdef int reason = NONE
    s.fired += 1
    if leg != 0:
        unlink_leg(s, index)
        drop_leg(s, leg, need_of(s, index))
    leave_trigger(s, index)
    take_record(s, &taker, index)
    order.waiting = IN_BOOK
    set_limit(&taker, order.price_ticks, is_market_like(taker.order_type))
    if taker.side == BUY and order.price_ticks == 0:
        reason = hold_exactly(s, &taker)
    event = emit_order(s, TRIGGERED, index)
    event.trigger_price_ticks = s.extras[order.extra].trigger_ticks
    event.trail_ticks = s.extras[order.extra].trail_ticks
    event.amount = taker.held if taker.exact else 0
    taker.lasting = not is_market_like(taker.order_type)
    if reason == NONE and taker.lasting and is_beyond_band(taker.market, taker.side, order.price_ticks):
        reason = PRICE_BAND
    if reason != NONE:
        close_taken(s, &taker, reason)
        return
    match(s, &taker)
    finish(s, &taker)


cdef int hold_exactly(State* s, Taker* taker) noexcept nogil:
    # Hold what a buy without a price will pay. Returns why that cannot be.
    cdef Walk taken = walk(s, taker, taker.remaining, 0, walk_rule(s, taker))
    cdef int64_t units
    if taken.price_lots > taker.market.price_lots_max:
        return NOTIONAL_TOO_LARGE
    units = <int64_t>taken.price_lots * taker.market.definition.tick_lot_units
    if s.ledger.balances[s.traders[taker.owner].quote_balance].available < units:
        return INSUFFICIENT_FUNDS
    hold(s, taker.owner, BUY, units)
    taker.held = units
    taker.exact = True
    return NONE


cdef void close_taken(State* s, Taker* taker, int reason) noexcept nogil:
    # A taken order ends before it meets anybody.
    cdef uint32_t leg = pool_find(&s.pool, taker.other_leg) if taker.other_leg != 0 else 0
    cdef int64_t kept = least(taker.held, need_of(s, leg))
    remember(s, &s.pool.orders[taker.index])
    close_order(s, taker.index, reason, taker.held - kept, leg)


# Children

cdef void activate_next(State* s) noexcept nogil:
    # The first child in the queue, and its other leg, take part.
    cdef uint32_t index = s.first_activated
    cdef Extra* e = &s.extras[s.pool.orders[index].extra]
    cdef uint32_t leg = other_leg_of(s, index)
    cdef Order as_placed = s.pool.orders[index]
    cdef Order leg_as_placed = s.pool.orders[leg]
    cdef int reason
    s.first_activated = e.next_activated
    if s.first_activated == 0:
        s.last_activated = 0
    e.queued = 0
    size_child(s, index, e.activated_lots)
    if leg != 0:
        size_child(s, leg, e.activated_lots)
    reason = fund_children(s, index, leg)
    if reason != NONE:
        reshape(s, index, as_placed.quantity_lots, as_placed.price_ticks)
        if leg != 0:
            reshape(s, leg, leg_as_placed.quantity_lots, leg_as_placed.price_ticks)
        end_order(s, index, reason)
        return
    begin_child(s, index, leg)


cdef void reshape(State* s, uint32_t index, int64_t lots, uint32_t price) noexcept nogil:
    # A child that has not traded gets another quantity and limit.
    cdef Order* order = &s.pool.orders[index]
    cdef Extra* e = &s.extras[order.extra]
    forget(s, order)
    order.quantity_lots = lots
    order.remaining_lots = lots
    order.price_ticks = price
    e.visible_lots = least(e.display_lots, lots)
    remember(s, order)


cdef inline void resize(State* s, uint32_t index, int64_t lots) noexcept nogil:
    reshape(s, index, lots, s.pool.orders[index].price_ticks)


cdef void size_child(State* s, uint32_t index, int64_t filled) noexcept nogil:
    # The child gets its quantity, its price if that slides, and its trigger if that trails.
    cdef Order* order = &s.pool.orders[index]
    cdef Market* market = market_of(s, order)
    cdef Extra* e = &s.extras[order.extra]
    cdef Taker taker
    cdef int64_t slid
    resize(s, index, least(order.quantity_lots, filled))
    forget(s, order)
    if order.traits & SLIDE and market.mode != AUCTION_MODE:
        taker.market = market
        taker.side = order.side
        taker.opposite = opposite_side(&market.book, order.side)
        taker.limit = order.price_ticks
        slid = slide_price(&taker)
        if would_cross(&taker) and slid > 0 and <int128_t>slid * order.remaining_lots <= market.price_lots_max:
            order.price_ticks = <uint32_t>slid
    if e.order_type == TRAILING_STOP and e.trigger_ticks == 0:
        if market.last_price == 0:
            e.trigger_ticks = 1 if order.side == SELL else <uint32_t>market.definition.price_ticks_max
        else:
            e.trigger_ticks = trailing_trigger(market, order.side, e.trail_ticks)
    remember(s, order)


cdef uint32_t trailing_trigger(const Market* market, int side, int64_t trail) noexcept nogil:
    # Behind the last price, within the range of prices.
    if side == SELL:
        return <uint32_t>most(1, market.last_price - trail)
    return <uint32_t>least(market.definition.price_ticks_max, market.last_price + trail)


cdef int64_t child_need(const State* s, uint32_t index) noexcept nogil:
    cdef const Order* order = &s.pool.orders[index]
    if index == 0:
        return 0
    return need(&market_of(s, order).definition, order.side, order.price_ticks, order.remaining_lots)


cdef int fund_children(State* s, uint32_t index, uint32_t leg) noexcept nogil:
    # Hold what the two need, taking fewer lots where a sell finds less. Returns why that cannot be.
    cdef Order* order = &s.pool.orders[index]
    cdef Market* market = market_of(s, order)
    cdef int64_t units = most(child_need(s, index), child_need(s, leg))
    cdef int128_t available = s.ledger.balances[paying_balance(s, order.owner, order.side)].available
    cdef int64_t lots
    if available < units:
        if order.side == BUY:
            return INSUFFICIENT_FUNDS
        lots = <int64_t>(available / market.definition.lot_units)
        if lots < market.terms.quantity_lots_min:
            return INSUFFICIENT_FUNDS
        resize(s, index, least(order.remaining_lots, lots))
        if leg != 0:
            resize(s, leg, least(s.pool.orders[leg].remaining_lots, lots))
        units = most(child_need(s, index), child_need(s, leg))
    hold(s, order.owner, order.side, units)
    return NONE


cdef void emit_activated(State* s, uint32_t index, int64_t amount) noexcept nogil:
    cdef OrderEvent* event = emit_order(s, ACTIVATED, index)
    event.amount = amount
    describe_extra(s, event, index)


cdef void begin_child(State* s, uint32_t index, uint32_t leg) noexcept nogil:
    # Both are told of; the conditional ones wait for their trigger; the limit order meets the book.
    cdef int64_t first = child_need(s, index)
    cdef uint32_t limit_order = 0
    cdef uint32_t at
    cdef int turn
    emit_activated(s, index, first)
    if leg != 0:
        emit_activated(s, leg, most(0, child_need(s, leg) - first))
    for turn in range(2):
        at = index if turn == 0 else leg
        if at == 0:
            continue
        forget(s, &s.pool.orders[at])
        s.pool.orders[at].waiting = IN_BOOK
        if type_of(s, &s.pool.orders[at]) == LIMIT_ORDER:
            limit_order = at
        else:
            await_trigger(s, at)
            watch(s, at)
        remember(s, &s.pool.orders[at])
    if limit_order != 0:
        place_child(s, limit_order)


cdef void watch(State* s, uint32_t index) noexcept nogil:
    # A child whose trigger the last price meets already is to fire.
    cdef Order* order = &s.pool.orders[index]
    cdef Market* market = market_of(s, order)
    cdef Extra* e = &s.extras[order.extra]
    if is_met(market, e.order_type, order.side, e.trigger_ticks):
        grow_range(market, market.last_price, market.last_price)
        touch(s, market)


cdef bint is_met(const Market* market, int order_type, int side, int64_t trigger) noexcept nogil:
    # By the last price.
    if market.last_price == 0:
        return False
    if trigger_ladder(<Market*>market, order_type, side) == &market.above:
        return market.last_price >= trigger
    return market.last_price <= trigger


cdef bint is_met_already(const Market* market, int order_type, int side, int64_t trigger) noexcept nogil:
    # By the last price, or by prices that others still have to fire at.
    if market.range_high != 0:
        if trigger_ladder(<Market*>market, order_type, side) == &market.above:
            if market.range_high >= trigger:
                return True
        elif market.range_low <= trigger:
            return True
    return is_met(market, order_type, side, trigger)


cdef void place_child(State* s, uint32_t index) noexcept nogil:
    cdef Taker taker
    cdef Order* order = &s.pool.orders[index]
    cdef Market* market = market_of(s, order)
    cdef int reason = NONE
    take_record(s, &taker, index)
    set_limit(&taker, order.price_ticks, False)
    if market.mode != AUCTION_MODE:
        if would_cross(&taker) and (order.traits & POST_ONLY or market.mode != OPEN_MODE):
            reason = POST_ONLY_WOULD_CROSS
        elif is_beyond_band(market, order.side, order.price_ticks):
            reason = PRICE_BAND
    if reason != NONE:
        close_taken(s, &taker, reason)
        return
    if market.mode == OPEN_MODE:
        match(s, &taker)
    finish(s, &taker)


# Until nothing is left

cdef void follow_up(State* s) noexcept nogil:
    cdef uint32_t index
    while True:
        index = next_to_fire(s)
        if index != 0:
            fire(s, index)
            continue
        settle_ranges(s)
        if s.first_activated == 0:
            return
        activate_next(s)


cdef uint32_t next_to_fire(State* s) noexcept nogil:
    # The first waiting order that is met, in the first market that is open; 0 when there is none or too many have fired.
    cdef Market* market
    cdef uint32_t found = 0
    cdef uint32_t first = MARKETS_MAX + 1
    cdef uint32_t at
    cdef uint32_t index
    if s.fired == CASCADE_MAX:
        return 0
    for at in range(s.touched_count):
        market = s.markets[s.touched[at]]
        if market.mode == OPEN_MODE and market.definition.market < first:
            index = met_order(market)
            if index != 0:
                found = index
                first = market.definition.market
    return found


cdef void settle_ranges(State* s) noexcept nogil:
    # Ranges that meet nothing become empty, and trailing triggers move. Markets that still have to fire stay in the list.
    cdef Market* market
    cdef uint32_t kept = 0
    cdef uint32_t at
    s.unfinished = False
    for at in range(s.touched_count):
        market = s.markets[s.touched[at]]
        if met_order(market) != 0:
            s.unfinished = s.unfinished or market.mode == OPEN_MODE
            s.touched[kept] = s.touched[at]
            kept += 1
            continue
        market.touched = False
        if market.range_high != 0:
            market.range_low = 0
            market.range_high = 0
            trail(s, market)
    s.touched_count = kept


cdef void trail(State* s, Market* market) noexcept nogil:
    # Triggers follow the last price where that brings them nearer. Queues of triggers are by order id, so any order will do.
    cdef uint32_t at
    cdef uint32_t index
    cdef uint32_t trigger
    cdef Order* order
    cdef Extra* e
    for at in range(market.trailing_count):
        index = market.trailing[at]
        order = &s.pool.orders[index]
        e = &s.extras[order.extra]
        if order.waiting != WAITS_TRIGGER:
            continue
        trigger = trailing_trigger(market, order.side, e.trail_ticks)
        if trigger > e.trigger_ticks if order.side == SELL else trigger < e.trigger_ticks:
            forget(s, order)
            leave_trigger(s, index)
            e.trigger_ticks = trigger
            await_trigger(s, index)
            remember(s, order)


# Time

cdef inline int64_t later(int64_t timestamp_ns, int64_t duration_ns) noexcept nogil:
    if timestamp_ns > 0 and duration_ns > NS_MAX() - timestamp_ns:
        return NS_MAX()
    return timestamp_ns + duration_ns


cdef void pass_time(State* s) noexcept nogil:
    # Everything due happens, in its order.
    cdef Market* market
    cdef Due due
    while True:
        market = first_auction(s)
        if s.agenda_count > 0 and (market == NULL or s.agenda[0].at_ns <= market.auction_end):
            due = s.agenda[0]
            if due.at_ns > s.timestamp_ns:
                break
            if due.is_order:
                agenda_pop(s)
                expire(s, &due)
            else:
                fire_timers(s, market)
        elif market != NULL and market.auction_end <= s.timestamp_ns:
            set_mode(s, market, OPEN_MODE, 0, AUCTION_ENDED)
        else:
            break
        follow_up(s)
    find_next_due(s)


cdef inline bint still_due(const State* s, const Due* due) noexcept nogil:
    # Whether the order is live still (an id is never given twice), or the account's timer set to this time.
    if due.is_order:
        return pool_find(&s.pool, due.number) != 0
    return account_of(&s.accounts, due.number).cancel_after == due.at_ns


cdef void expire(State* s, const Due* due) noexcept nogil:
    if still_due(s, due):
        end_order(s, pool_find(&s.pool, due.number), EXPIRED)


cdef Market* first_auction(const State* s) noexcept nogil:
    # The market whose auction ends first by itself.
    cdef Market* found = NULL
    cdef uint32_t at
    if s.timed_auctions == 0:
        return NULL
    for at in range(s.market_count):
        if s.markets[at].auction_end != 0 and (found == NULL or s.markets[at].auction_end < found.auction_end):
            found = s.markets[at]
    return found


cdef void find_next_due(State* s) noexcept nogil:
    cdef Market* market = first_auction(s)
    while s.agenda_count > 0 and not still_due(s, &s.agenda[0]):
        agenda_pop(s)
    s.next_due_ns = s.agenda[0].at_ns if s.agenda_count > 0 else NS_MAX()
    if market != NULL:
        s.next_due_ns = least(s.next_due_ns, market.auction_end)


cdef void schedule(State* s, int64_t at_ns, bint is_order, uint64_t number) noexcept nogil:
    agenda_push(s, at_ns, is_order, number)
    s.next_due_ns = least(s.next_due_ns, at_ns)


cdef int tidy_agenda(State* s) noexcept nogil:
    # Room for one more: what is due no more goes first, then the heap grows. -1 when there is no memory.
    cdef uint32_t kept = 0
    cdef uint32_t at
    if s.agenda_count < s.agenda_capacity:
        return 0
    for at in range(s.agenda_count):
        if still_due(s, &s.agenda[at]):
            s.agenda[kept] = s.agenda[at]
            kept += 1
    s.agenda_count = kept
    at = kept // 2
    while at > 0:
        at -= 1
        agenda_sink(s, at, s.agenda[at])
    find_next_due(s)
    return reserve_agenda(s) if kept * 2 > s.agenda_capacity else 0

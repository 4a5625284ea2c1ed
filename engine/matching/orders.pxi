# Live orders: what they need held, how they come, change and end, and what the digest knows of them.

cdef inline int64_t visible_of(const State* s, const Order* order) noexcept nogil:
    if order.extra != 0 and s.extras[order.extra].display_lots > 0:
        return s.extras[order.extra].visible_lots
    return order.remaining_lots


cdef inline int type_of(const State* s, const Order* order) noexcept nogil:
    return s.extras[order.extra].order_type if order.extra != 0 else LIMIT_ORDER


cdef inline int time_in_force_of(const Order* order) noexcept nogil:
    cdef int code = order.traits >> 5
    return GTC if code == 0 else GTD if code == 1 else DAY


cdef inline uint8_t traits_of(int flags, int self_trade, int time_in_force) noexcept nogil:
    return <uint8_t>((flags & 3) | self_trade << 2 | (0 if time_in_force == GTC else 1 if time_in_force == GTD else 2) << 5)


cdef inline Market* market_of(const State* s, const Order* order) noexcept nogil:
    return s.markets[s.traders[order.owner].market - 1]


# The digest (docs/engine.md)

cdef uint64_t extra_item(const State* s, const Order* order) noexcept nogil:
    cdef const Extra* e = &s.extras[order.extra]
    cdef uint64_t h = 7
    if (
        e.order_type == LIMIT_ORDER and e.place_sequence == order.order_id and e.place == 0 and order.waiting == 0
        and e.group == 0 and e.display_lots == 0 and e.expire_ns == 0 and e.trigger_ticks == 0 and e.trail_ticks == 0
        and e.other_leg == 0 and e.child == 0 and e.parent == 0
    ):
        return 0
    h = mix(h, order.order_id)
    h = mix(h, e.order_type)
    h = mix(h, e.group)
    h = mix(h, e.place_sequence)
    h = mix(h, e.place)
    h = mix(h, <uint64_t>e.display_lots)
    h = mix(h, <uint64_t>(e.visible_lots if e.display_lots > 0 else 0))
    h = mix(h, <uint64_t>e.expire_ns)
    h = mix(h, e.trigger_ticks)
    h = mix(h, e.trail_ticks)
    h = mix(h, e.other_leg)
    h = mix(h, e.child)
    h = mix(h, e.parent)
    return mix(h, order.waiting)


cdef inline uint64_t order_item(const State* s, const Order* order) noexcept nogil:
    cdef const Trader* trader = &s.traders[order.owner]
    cdef uint64_t h = 1
    h = mix(h, trader.market)
    h = mix(h, order.order_id)
    h = mix(h, trader.account)
    h = mix(h, order.side)
    h = mix(h, order.price_ticks)
    h = mix(h, <uint64_t>order.remaining_lots)
    h = mix(h, <uint64_t>order.quantity_lots)
    h = mix(h, s.extras[order.extra].place_sequence if order.extra != 0 else order.order_id)
    h = mix(h, order.traits)
    return h + extra_item(s, order) if order.extra != 0 else h


cdef uint64_t name_item(const State* s, uint32_t index) noexcept nogil:
    cdef uint64_t words[5]
    cdef uint64_t h = mix(10, s.pool.orders[index].order_id)
    cdef int at
    words[4] = 0
    memcpy(words, &s.names[<size_t>index * CLIENT_ORDER_ID_SIZE], CLIENT_ORDER_ID_SIZE)
    for at in range(5):
        h = mix(h, words[at])
    return h


# Every change of a live order stands between `forget` and `remember`: what is added up over orders stays right.

cdef inline void forget(State* s, const Order* order) noexcept nogil:
    s.items -= order_item(s, order)
    if order.side == BUY and order.waiting != WAITS_PARENT:
        s.traders[order.owner].bid_lots -= order.remaining_lots


cdef inline void remember(State* s, const Order* order) noexcept nogil:
    s.items += order_item(s, order)
    if order.side == BUY and order.waiting != WAITS_PARENT:
        s.traders[order.owner].bid_lots += order.remaining_lots


# Coming and going

cdef Extra* attach_extra(State* s, Order* order) noexcept nogil:
    # Return the order's extra, which begins as that of a plain order; needs a reserve_extras before.
    cdef uint32_t at
    cdef Extra* e
    if order.extra != 0:
        return &s.extras[order.extra]
    at = s.extra_free
    if at != 0:
        s.extra_free = s.extras[at].next_free
    else:
        at = s.extra_unused
        s.extra_unused += 1
    order.extra = at
    e = &s.extras[at]
    memset(e, 0, sizeof(Extra))
    e.order_type = LIMIT_ORDER
    e.place_sequence = order.order_id
    return e


cdef uint32_t add_order(State* s, uint64_t order_id, uint32_t owner) noexcept nogil:
    # Return the index of a new record; needs a pool_reserve before.
    cdef uint32_t index = pool_add(&s.pool, order_id)
    cdef Order* order = &s.pool.orders[index]
    order.owner = owner
    order.extra = 0
    order.named = 0
    order.waiting = IN_BOOK
    s.traders[owner].live_orders += 1
    return index


cdef void name_order(State* s, uint32_t index, const char* name) noexcept nogil:
    cdef int at
    for at in range(CLIENT_ORDER_ID_SIZE):
        if name[at] != 0:
            memcpy(&s.names[<size_t>index * CLIENT_ORDER_ID_SIZE], name, CLIENT_ORDER_ID_SIZE)
            s.pool.orders[index].named = 1
            s.items += name_item(s, index)
            return


cdef void unqueue_activation(State* s, uint32_t index) noexcept nogil:
    # An order that is to be activated ends before its turn.
    cdef uint32_t before = 0
    cdef uint32_t at = s.first_activated
    cdef uint32_t after = s.extras[s.pool.orders[index].extra].next_activated
    while at != index:
        before = at
        at = s.extras[s.pool.orders[at].extra].next_activated
    if before == 0:
        s.first_activated = after
    else:
        s.extras[s.pool.orders[before].extra].next_activated = after
    if s.last_activated == index:
        s.last_activated = before


cdef void free_order(State* s, uint32_t index) noexcept nogil:
    # Give back the record of an order that is forgotten and in no queue of its market.
    cdef Order* order = &s.pool.orders[index]
    cdef Extra* e
    s.traders[order.owner].live_orders -= 1
    if order.named:
        s.items -= name_item(s, index)
    if order.extra != 0:
        e = &s.extras[order.extra]
        if e.queued:
            unqueue_activation(s, index)
        if e.order_type == TRAILING_STOP:
            leave_trailing(market_of(s, order), index)
        e.next_free = s.extra_free
        s.extra_free = order.extra
    order.side = 0
    pool_remove(&s.pool, index)


cdef void leave_trailing(Market* market, uint32_t index) noexcept nogil:
    cdef uint32_t at = 0
    while market.trailing[at] != index:
        at += 1
    market.trailing_count -= 1
    market.trailing[at] = market.trailing[market.trailing_count]


# Places

cdef inline void count_iceberg(State* s, Ladder* ladder, const Order* order, int change) noexcept nogil:
    cdef Level* level
    if order.extra != 0 and s.extras[order.extra].display_lots > 0:
        level = ladder_level(ladder, order.price_ticks)
        level.icebergs += change


cdef void enter_book(State* s, uint32_t index) noexcept nogil:
    # The order takes the next place at its price, showing as much as it may.
    cdef Order* order = &s.pool.orders[index]
    cdef Ladder* ladder = own_side(&market_of(s, order).book, order.side)
    cdef Extra* e
    order.waiting = IN_BOOK
    if s.places != 0 or s.sequence != order.order_id:
        e = attach_extra(s, order)
        e.place_sequence = s.sequence
        e.place = s.places
    s.places += 1
    if order.extra != 0:
        e = &s.extras[order.extra]
        e.visible_lots = least(e.display_lots, order.remaining_lots)
    if enqueue(ladder, &s.pool, order.price_ticks, index) < 0:
        s.broken = True
        return
    count_iceberg(s, ladder, order, 1)


cdef void leave_book(State* s, uint32_t index) noexcept nogil:
    cdef Order* order = &s.pool.orders[index]
    cdef Ladder* ladder = own_side(&market_of(s, order).book, order.side)
    count_iceberg(s, ladder, order, -1)
    dequeue(ladder, &s.pool, order.price_ticks, index)


cdef inline Ladder* trigger_ladder(Market* market, int order_type, int side) noexcept nogil:
    cdef bint is_profit = order_type == TAKE_PROFIT or order_type == TAKE_PROFIT_LIMIT
    return &market.above if (side == BUY) != is_profit else &market.below


cdef void await_trigger(State* s, uint32_t index) noexcept nogil:
    cdef Order* order = &s.pool.orders[index]
    cdef Extra* e = &s.extras[order.extra]
    order.waiting = WAITS_TRIGGER
    if enqueue_by_id(trigger_ladder(market_of(s, order), e.order_type, order.side), &s.pool, e.trigger_ticks, index) < 0:
        s.broken = True


cdef void leave_trigger(State* s, uint32_t index) noexcept nogil:
    cdef Order* order = &s.pool.orders[index]
    cdef Extra* e = &s.extras[order.extra]
    dequeue(trigger_ladder(market_of(s, order), e.order_type, order.side), &s.pool, e.trigger_ticks, index)


cdef void detach(State* s, uint32_t index) noexcept nogil:
    # Take a live order out of whatever it stands or waits in.
    if s.pool.orders[index].waiting == IN_BOOK:
        leave_book(s, index)
    elif s.pool.orders[index].waiting == WAITS_TRIGGER:
        leave_trigger(s, index)


# Holds

cdef inline int64_t need(const MarketCommand* market, int side, int64_t price, int64_t lots) noexcept nogil:
    return price * lots * market.tick_lot_units if side == BUY else lots * market.lot_units


cdef int64_t need_of(const State* s, uint32_t index) noexcept nogil:
    cdef const Order* order = &s.pool.orders[index]
    if index == 0 or order.waiting == WAITS_PARENT:
        return 0
    return need(&market_of(s, order).definition, order.side, order.price_ticks, order.remaining_lots)


cdef inline uint32_t paying_balance(const State* s, uint32_t owner, int side) noexcept nogil:
    return s.traders[owner].quote_balance if side == BUY else s.traders[owner].base_balance


cdef inline void hold(State* s, uint32_t owner, int side, int64_t units) noexcept nogil:
    # From available to held, or back where units are negative.
    post(&s.ledger, paying_balance(s, owner, side), -units, units)


# Links

cdef uint32_t other_leg_of(const State* s, uint32_t index) noexcept nogil:
    cdef const Order* order = &s.pool.orders[index]
    if order.extra == 0 or s.extras[order.extra].other_leg == 0:
        return 0
    return pool_find(&s.pool, s.extras[order.extra].other_leg)


cdef void unlink_leg(State* s, uint32_t index) noexcept nogil:
    cdef Order* order = &s.pool.orders[index]
    forget(s, order)
    s.extras[order.extra].other_leg = 0
    remember(s, order)


cdef void forget_child(State* s, uint64_t parent) noexcept nogil:
    cdef uint32_t index = pool_find(&s.pool, parent) if parent != 0 else 0
    cdef Order* order = &s.pool.orders[index]
    if index != 0:
        forget(s, order)
        s.extras[order.extra].child = 0
        remember(s, order)


cdef void end_parent(State* s, uint64_t child, int64_t filled) noexcept nogil:
    # A parent has ended: its child takes part for what was filled, or ends too.
    cdef uint32_t index = pool_find(&s.pool, child) if child != 0 else 0
    cdef Order* order = &s.pool.orders[index]
    cdef Extra* e
    if index == 0:
        return
    forget(s, order)
    e = &s.extras[order.extra]
    e.parent = 0
    remember(s, order)
    if filled == 0:
        end_order(s, index, LINKED_ORDER)
        return
    e.activated_lots = filled
    e.next_activated = 0
    e.queued = 1
    if s.first_activated == 0:
        s.first_activated = index
    else:
        s.extras[s.pool.orders[s.last_activated].extra].next_activated = index
    s.last_activated = index


cdef void end_order(State* s, uint32_t index, int reason) noexcept nogil:
    # A live order ends unfilled, with all that hangs on it.
    cdef uint32_t leg = other_leg_of(s, index)
    cdef int64_t needed = need_of(s, index)
    cdef int64_t kept = least(needed, need_of(s, leg))
    detach(s, index)
    close_order(s, index, reason, needed - kept, leg)


cdef void drop_leg(State* s, uint32_t leg, int64_t survivor_needs) noexcept nogil:
    # The other leg of an order that trades or fires, and has forgotten it, ends.
    cdef int64_t needed = need_of(s, leg)
    unlink_leg(s, leg)
    detach(s, leg)
    close_order(s, leg, LINKED_ORDER, needed - least(needed, survivor_needs), 0)


cdef void close_order(State* s, uint32_t index, int reason, int64_t released, uint32_t leg) noexcept nogil:
    # The last of an order that is in no queue any more: its CANCELLED and its record; then its other leg; then its child.
    cdef Order* order = &s.pool.orders[index]
    cdef OrderEvent* event = emit_order(s, CANCELLED, index)
    cdef int64_t filled = order.quantity_lots - order.remaining_lots
    cdef uint64_t child = 0
    cdef uint64_t parent = 0
    event.reason = reason
    event.quantity_lots = order.remaining_lots
    event.remaining_lots = 0
    event.amount = released
    hold(s, order.owner, order.side, -released)
    if order.extra != 0:
        child = s.extras[order.extra].child
        parent = s.extras[order.extra].parent
    forget(s, order)
    free_order(s, index)
    forget_child(s, parent)
    if leg != 0:
        unlink_leg(s, leg)
        end_order(s, leg, LINKED_ORDER)
    end_parent(s, child, filled)


cdef void fill_order(State* s, uint32_t index) noexcept nogil:
    # A live order has nothing remaining: its record goes, and its child's turn comes. It is forgotten and in no queue.
    cdef Order* order = &s.pool.orders[index]
    cdef int64_t filled = order.quantity_lots
    cdef uint64_t child = s.extras[order.extra].child if order.extra != 0 else 0
    free_order(s, index)
    end_parent(s, child, filled)

# CANCEL, CANCEL_REPLACE, AMEND and MASS_CANCEL.

cdef uint32_t own_order(const State* s, uint64_t order_id, uint64_t account, int* reason) noexcept nogil:
    # The index of a live order of an account in a market that is not halted, else 0 and why.
    cdef uint32_t index = pool_find(&s.pool, order_id)
    cdef const Order* order = &s.pool.orders[index]
    reason[0] = NONE
    if index == 0 or s.traders[order.owner].account != account:
        reason[0] = UNKNOWN_ORDER
        return 0
    if market_of(s, order).mode == HALTED_MODE:
        reason[0] = MARKET_HALTED
        return 0
    return index


cdef void cancel(State* s, const OrderCommand* command) noexcept nogil:
    cdef int reason
    cdef uint32_t index = own_order(s, command.order_id, command.header.account, &reason)
    cdef Event* event
    if index != 0:
        end_order(s, index, CANCELLED_BY_OWNER)
        return
    event = reject(s, &command.header, reason)
    event.order_id = command.order_id


cdef void cancel_replace(State* s, const OrderCommand* command) noexcept nogil:
    cdef int cancel_reason = NONE
    cdef int reason = validate(s, command, ALLOW_FAILURE)
    cdef uint32_t index
    cdef Event* event
    if reason == NONE:
        index = own_order(s, command.order_id, command.header.account, &cancel_reason)
        if index != 0:
            end_order(s, index, REPLACED)
        elif command.header.flags & ALLOW_FAILURE:
            event = emit(s, CANCEL_REJECTED, command.header.account)
            event.order_id = command.order_id
            event.reason = cancel_reason
        else:
            reason = cancel_reason
    if reason == NONE:
        reason = place_valid(s, command)
    if reason != NONE:
        reject_order(s, command, reason)


# An amendment on its way: what the order will be.
cdef struct Amendment:
    Taker taker
    uint32_t index
    uint32_t leg
    int64_t price
    int64_t quantity
    int64_t remaining
    int64_t trigger
    int64_t display
    int64_t change           # of what is held
    bint in_book
    bint moves               # its price changes while it is in the book


cdef void amend(State* s, const OrderCommand* command) noexcept nogil:
    cdef Amendment a
    cdef Event* event
    cdef int reason
    memset(&a, 0, sizeof(Amendment))
    a.index = own_order(s, command.order_id, command.header.account, &reason)
    if reason == NONE:
        prepare_amendment(s, command, &a)
        reason = check_amended_sizes(s, command, &a)
    if reason == NONE:
        reason = check_amended_price(s, command, &a)
    if reason == NONE:
        reason = check_amended_risk(s, &a)
    if reason == NONE:
        apply_amendment(s, &a)
        return
    event = reject(s, &command.header, reason)
    event.order_id = command.order_id
    event.price_ticks = command.price_ticks
    event.quantity_lots = command.quantity_lots


cdef void prepare_amendment(State* s, const OrderCommand* command, Amendment* a) noexcept nogil:
    cdef const Order* order = &s.pool.orders[a.index]
    cdef const Extra* e = &s.extras[order.extra]
    cdef Taker* taker = &a.taker
    a.leg = other_leg_of(s, a.index)
    a.price = command.price_ticks if command.price_ticks != 0 else order.price_ticks
    a.quantity = command.quantity_lots if command.quantity_lots != 0 else order.quantity_lots
    a.trigger = command.trigger_price_ticks
    a.display = command.display_lots
    if order.extra != 0:
        a.trigger = a.trigger if a.trigger != 0 else e.trigger_ticks
        a.display = a.display if a.display != 0 else e.display_lots
    a.in_book = order.waiting == IN_BOOK
    a.moves = a.in_book and a.price != order.price_ticks
    taker.market = market_of(s, order)
    taker.opposite = opposite_side(&taker.market.book, order.side)
    taker.side = order.side
    taker.account = command.header.account
    taker.owner = order.owner


cdef int check_amended_sizes(const State* s, const OrderCommand* command, Amendment* a) noexcept nogil:
    # 1 to 3
    cdef const Order* order = &s.pool.orders[a.index]
    cdef const Market* market = a.taker.market
    cdef const Terms* terms = &market.terms
    cdef int64_t filled = order.quantity_lots - order.remaining_lots
    cdef int order_type = type_of(s, order)
    cdef int reason = check_mode(market, True)
    if reason != NONE:
        return reason
    if a.quantity < 1:
        return QUANTITY_OUT_OF_RANGE
    if a.quantity <= filled:
        return QUANTITY_BELOW_FILLED
    if a.quantity != order.quantity_lots:
        if not (terms.quantity_lots_min <= a.quantity <= terms.quantity_lots_max):
            return QUANTITY_OUT_OF_RANGE
        if a.leg != 0:
            return LINK_INVALID
    a.remaining = a.quantity - filled
    if command.price_ticks != 0:
        if not (1 <= a.price <= market.definition.price_ticks_max) or order_type == TRAILING_STOP:
            return PRICE_OUT_OF_RANGE
    if command.trigger_price_ticks != 0:
        if not (1 <= a.trigger <= market.definition.price_ticks_max) or a.in_book or not is_conditional(order_type):
            return TRIGGER_PRICE_INVALID
    if command.display_lots != 0:
        if order_type != LIMIT_ORDER or not (terms.quantity_lots_min <= a.display < a.quantity):
            return DISPLAY_QUANTITY_INVALID
    if a.display > 0 and a.remaining > <int128_t>a.display * ICEBERG_SLICES_MAX:
        return DISPLAY_QUANTITY_INVALID
    return NONE


cdef int check_amended_price(const State* s, const OrderCommand* command, Amendment* a) noexcept nogil:
    # 4 to 6
    cdef const Order* order = &s.pool.orders[a.index]
    cdef Taker* taker = &a.taker
    cdef Market* market = taker.market
    cdef bint meets = a.moves and market.mode != AUCTION_MODE
    cdef int64_t trigger = s.extras[order.extra].trigger_ticks if order.extra != 0 else 0
    cdef int reason = NONE
    taker.limit = a.price
    if meets and order.traits & SLIDE and would_cross(taker):
        a.price = slide_price(taker)
        if a.price == 0:
            return POST_ONLY_WOULD_CROSS
        taker.limit = a.price
        a.moves = a.price != order.price_ticks
        meets = a.moves
    if a.price != 0 and (a.price != order.price_ticks or a.quantity != order.quantity_lots):
        reason = check_notional(market, a.price, a.quantity)
    if reason == NONE and meets and is_beyond_band(market, order.side, a.price):
        return PRICE_BAND
    if reason == NONE and order.waiting == WAITS_TRIGGER and a.trigger != trigger:
        if is_met_already(market, type_of(s, order), order.side, a.trigger):
            return TRIGGER_ALREADY_MET
    if reason == NONE and meets and (order.traits & POST_ONLY or market.mode == POST_ONLY_MODE) and would_cross(taker):
        return POST_ONLY_WOULD_CROSS
    return reason


cdef int check_amended_risk(State* s, Amendment* a) noexcept nogil:
    # 7 and 8
    cdef const Order* order = &s.pool.orders[a.index]
    cdef int64_t other = need_of(s, a.leg)
    cdef int64_t before = most(need_of(s, a.index), other)
    cdef int64_t after = 0
    cdef int reason = NONE
    if order.side == BUY and order.waiting != WAITS_PARENT:
        reason = check_limits(s, &a.taker, a.remaining - order.remaining_lots, False)
    if order.waiting != WAITS_PARENT:
        after = need(&a.taker.market.definition, order.side, a.price, a.remaining)
    a.change = most(after, other) - before
    if reason == NONE and s.ledger.balances[paying_balance(s, order.owner, order.side)].available < a.change and a.change > 0:
        return INSUFFICIENT_FUNDS
    return reason


cdef void apply_amendment(State* s, Amendment* a) noexcept nogil:
    cdef Order* order = &s.pool.orders[a.index]
    cdef int64_t old_trigger = s.extras[order.extra].trigger_ticks if order.extra != 0 else 0
    cdef int64_t old_display = s.extras[order.extra].display_lots if order.extra != 0 else 0
    cdef bint kept = (
        a.price == order.price_ticks and a.trigger == old_trigger and a.display == old_display
        and a.quantity <= order.quantity_lots
    )
    hold(s, order.owner, order.side, a.change)
    if kept and a.in_book:
        shrink_in_place(s, a.index, a.quantity, a.remaining)
        emit_amended(s, a, kept)
        return
    detach(s, a.index)
    forget(s, order)
    order.price_ticks = <uint32_t>a.price
    order.quantity_lots = a.quantity
    order.remaining_lots = a.remaining
    if order.extra != 0 or a.display != 0:
        describe_amended(attach_extra(s, order), a)
    if order.waiting == WAITS_TRIGGER:
        await_trigger(s, a.index)
    remember(s, order)
    emit_amended(s, a, kept)
    if a.in_book:
        return_to_book(s, a.index)


cdef void describe_amended(Extra* e, const Amendment* a) noexcept nogil:
    e.trigger_ticks = <uint32_t>a.trigger
    e.display_lots = a.display
    e.visible_lots = least(a.display, a.remaining)


cdef void shrink_in_place(State* s, uint32_t index, int64_t quantity, int64_t remaining) noexcept nogil:
    cdef Order* order = &s.pool.orders[index]
    cdef Level* level = ladder_level(own_side(&market_of(s, order).book, order.side), order.price_ticks)
    forget(s, order)
    level.total_lots -= order.remaining_lots - remaining
    order.quantity_lots = quantity
    order.remaining_lots = remaining
    if order.extra != 0 and s.extras[order.extra].display_lots > 0:
        s.extras[order.extra].visible_lots = least(s.extras[order.extra].visible_lots, remaining)
    remember(s, order)


cdef void return_to_book(State* s, uint32_t index) noexcept nogil:
    # An amended order that lost its place meets the book, and takes another.
    cdef Taker taker
    take_record(s, &taker, index)
    set_limit(&taker, taker_price(s, index), False)
    if taker.market.mode == OPEN_MODE:
        match(s, &taker)
    finish(s, &taker)


cdef inline int64_t taker_price(const State* s, uint32_t index) noexcept nogil:
    return s.pool.orders[index].price_ticks


cdef void emit_amended(State* s, const Amendment* a, bint kept) noexcept nogil:
    # Tell the amendment and the order's place: behind the orders before it, or behind all at its new price.
    cdef const Order* order = &s.pool.orders[a.index]
    cdef OrderEvent* event = emit_order(s, AMENDED, a.index)
    cdef Ladder* ladder = own_side(&a.taker.market.book, order.side)
    cdef uint32_t before = 0
    event.amount = a.change
    describe_extra(s, event, a.index)
    event.flags |= PRIORITY_KEPT if kept else 0
    if not a.in_book:
        return
    if kept:
        before = order.previous
    elif ladder_has(ladder, order.price_ticks):
        before = ladder_level(ladder, order.price_ticks).tail
    while before != 0:
        event.ahead_orders += 1
        event.ahead_lots = capped(<int128_t>event.ahead_lots + visible_of(s, &s.pool.orders[before]))
        before = s.pool.orders[before].previous


# Mass cancel

cdef bint in_scope(const State* s, const OrderCommand* command, uint32_t index) noexcept nogil:
    # Of the account that it may be limited to.
    cdef const Order* order = &s.pool.orders[index]
    cdef const Trader* trader = &s.traders[order.owner]
    cdef const char* name = &s.names[<size_t>index * CLIENT_ORDER_ID_SIZE]
    cdef int at = 0
    if command.market != 0 and trader.market != command.market:
        return False
    if command.header.side != 0 and order.side != command.header.side:
        return False
    if command.price_ticks != 0 and not (command.price_ticks <= order.price_ticks <= command.trigger_price_ticks):
        return False
    if s.markets[trader.market - 1].mode == HALTED_MODE:
        return False
    while at < CLIENT_ORDER_ID_SIZE and command.client_order_id[at] != 0:
        if not order.named or name[at] != command.client_order_id[at]:
            return False
        at += 1
    return True


cdef int check_scope(const State* s, const OrderCommand* command) noexcept nogil:
    cdef int64_t low = command.price_ticks
    cdef int64_t high = command.trigger_price_ticks
    if command.market > s.market_count:
        return UNKNOWN_MARKET
    if command.header.side > SELL:
        return SIDE_INVALID
    if not ((low == 0 and high == 0) or 1 <= low <= high):
        return SCOPE_INVALID
    if command.market != 0 and s.markets[command.market - 1].mode == HALTED_MODE:
        return MARKET_HALTED
    return NONE


cdef int by_value(const void* a, const void* b) noexcept nogil:
    cdef uint64_t x = (<const uint64_t*>a)[0]
    cdef uint64_t y = (<const uint64_t*>b)[0]
    return (x > y) - (x < y)


cdef void mass_cancel(State* s, const OrderCommand* command) noexcept nogil:
    cdef int reason = check_scope(s, command)
    cdef Event* event
    cdef int64_t count = 0
    if reason == NONE:
        count = cancel_scope(s, command)
    event = emit(s, REJECTED if reason else MASS_CANCELLED, command.header.account)
    event.reason = reason
    event.market = command.market
    event.side = command.header.side
    event.quantity_lots = count


cdef uint32_t live_orders_of(const State* s, uint64_t account) noexcept nogil:
    cdef uint32_t live = 0
    cdef uint32_t market
    for market in range(1, s.market_count + 1):
        live += s.traders[s.trader_slots[trader_slot(s, account, market)]].live_orders
    return live


cdef int64_t cancel_scope(State* s, const OrderCommand* command) noexcept nogil:
    # One pass over the records until all orders of the account were seen, no index by account: rare, and about 2 ms where a
    # million orders rest. Nothing where the account has none.
    cdef uint64_t account = command.header.account
    cdef uint32_t unseen = live_orders_of(s, account) if account != 0 else s.pool.live
    cdef uint64_t* ids = <uint64_t*>malloc(<size_t>(unseen + 1) * sizeof(uint64_t))
    cdef uint32_t found = 0
    cdef uint32_t at
    cdef uint32_t index = 1
    cdef int64_t count = 0
    if ids == NULL:
        s.broken = True
        return 0
    while unseen > 0:
        if s.pool.orders[index].side != 0 and (account == 0 or s.traders[s.pool.orders[index].owner].account == account):
            unseen -= 1
            if in_scope(s, command, index):
                ids[found] = s.pool.orders[index].order_id
                found += 1
        index += 1
    qsort(ids, found, sizeof(uint64_t), by_value)
    for at in range(found):
        index = pool_find(&s.pool, ids[at])
        if index != 0:
            end_order(s, index, MASS_CANCEL)
            count += 1
    free(ids)
    return count

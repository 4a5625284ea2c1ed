# Telling what happened. When memory runs out the shard is broken, and events go where nobody reads them.

cdef Event* emit(State* s, int kind, uint64_t account) noexcept nogil:
    # Return a new event with the fields that all have.
    cdef Event* events
    cdef Event* event
    if s.event_count == s.event_capacity:
        events = <Event*>realloc(s.events, s.event_capacity * 2 * sizeof(Event))
        if events == NULL:
            s.broken = True
            s.event_count -= 1
        else:
            s.events = events
            s.event_capacity *= 2
    event = &s.events[s.event_count]
    s.event_count += 1
    memset(event, 0, sizeof(Event))
    event.kind = kind
    event.sequence = s.sequence
    event.timestamp_ns = s.timestamp_ns
    event.account = account
    return event


cdef OrderEvent* emit_order(State* s, int kind, uint32_t index) noexcept nogil:
    # An event of a live order.
    cdef const Order* order = &s.pool.orders[index]
    cdef const Trader* trader = &s.traders[order.owner]
    cdef OrderEvent* event = <OrderEvent*>emit(s, kind, trader.account)
    event.side = order.side
    event.order_type = type_of(s, order)
    event.time_in_force = time_in_force_of(order)
    event.flags = order.traits & 3
    event.self_trade = (order.traits >> 2) & 7
    event.market = trader.market
    event.order_id = order.order_id
    event.price_ticks = order.price_ticks
    event.quantity_lots = order.quantity_lots
    event.remaining_lots = order.remaining_lots
    return event


cdef void describe_extra(const State* s, OrderEvent* event, uint32_t index) noexcept nogil:
    # What an order has beyond a plain one.
    cdef const Extra* e = &s.extras[s.pool.orders[index].extra]
    if s.pool.orders[index].extra == 0:
        return
    event.trigger_price_ticks = e.trigger_ticks
    event.display_lots = e.display_lots
    event.visible_lots = e.visible_lots if e.display_lots > 0 else 0
    event.expire_ns = e.expire_ns
    event.trail_ticks = e.trail_ticks


cdef Event* emit_taker(State* s, int kind, const Taker* taker) noexcept nogil:
    # An event of an order on its way through the book.
    cdef Event* event = emit(s, kind, taker.account)
    event.side = taker.side
    event.order_type = taker.order_type
    event.time_in_force = taker.time_in_force
    event.flags = taker.flags
    event.self_trade = taker.self_trade
    event.market = taker.market.definition.market
    event.order_id = taker.order_id
    event.price_ticks = taker.price
    return event


cdef Event* emit_meeting(State* s, int kind, const Taker* taker, const Order* maker) noexcept nogil:
    # An event of a taker and a maker.
    cdef Event* event = emit_taker(s, kind, taker)
    event.remaining_lots = taker.remaining
    event.maker_order_id = maker.order_id
    event.maker_account = s.traders[maker.owner].account
    event.maker_remaining_lots = maker.remaining_lots
    return event


cdef Event* reject(State* s, const Header* header, int reason) noexcept nogil:
    cdef Event* event = emit(s, REJECTED, header.account)
    event.reason = reason
    return event


cdef void reject_order(State* s, const OrderCommand* command, int reason) noexcept nogil:
    # Refuse an order that was to be placed.
    cdef Event* event = reject(s, &command.header, reason)
    event.side = command.header.side
    event.order_type = command.header.order_type
    event.time_in_force = command.header.time_in_force
    event.flags = command.header.flags
    event.market = command.market
    event.order_id = command.header.sequence
    event.price_ticks = command.price_ticks
    event.quantity_lots = command.quantity_lots

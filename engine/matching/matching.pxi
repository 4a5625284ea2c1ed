# Orders meeting the book: what they would trade, their trades, and what becomes of the rest.

# An order on its way through the book. One that has a record (it fired, was amended or activated) is forgotten meanwhile.
cdef struct Taker:
    Market* market
    Ladder* opposite
    const OrderCommand* command    # of an order that is being placed, else NULL
    uint64_t order_id
    uint64_t account
    uint64_t other_leg             # order ids, 0: none
    uint64_t child
    int64_t price                  # as its events say
    int64_t limit                  # in ticks; without protection the worst price there is
    int64_t stop                   # the limit, or the edge of the band where that is nearer; beyond all where it trips at once
    int64_t quantity
    int64_t remaining
    int64_t held                   # units held for it alone
    int64_t first_price            # of its trades, 0: none
    int64_t last_price
    uint32_t index                 # of its record, 0: none
    uint32_t owner
    uint32_t group
    uint8_t side
    uint8_t order_type
    uint8_t time_in_force
    uint8_t flags
    uint8_t self_trade
    bint lasting                   # what remains rests
    bint exact                     # it holds what it will pay, not what its limit allows
    bint ended                     # by self-trade prevention
    bint beyond_band               # it stopped at the band
    bint traceless                 # of version 1, which knew no last price


cdef enum WalkRule:
    COUNT_ALL
    SKIP_SELF
    STOP_BEFORE_SELF


cdef struct Walk:
    int64_t quantity_lots
    int128_t price_lots            # the sum of price x quantity, in ticks x lots; < 2**94


cdef inline bint is_self(const State* s, const Taker* taker, const Order* order) noexcept nogil:
    if s.traders[order.owner].account == taker.account:
        return True
    return taker.group != 0 and order.extra != 0 and s.extras[order.extra].group == taker.group


cdef int128_t lots_at(const State* s, const Taker* taker, const Level* level, WalkRule rule, bint* ends) noexcept nogil:
    # How many lots of a level count for a taker that minds its own orders.
    cdef uint32_t index = level.head
    cdef int128_t visible = 0
    cdef int128_t others = 0
    cdef const Order* order
    while index != 0:
        order = &s.pool.orders[index]
        if not is_self(s, taker, order):
            visible += visible_of(s, order)
            others += order.remaining_lots
        elif rule == STOP_BEFORE_SELF:
            ends[0] = True
            return visible
        index = order.next
    return others


cdef Walk walk(const State* s, const Taker* taker, int64_t quantity, int64_t amount, WalkRule rule) noexcept nogil:
    # What a taker would take from the book as it stands: up to a quantity, or, where that is 0, to an amount of quote units.
    cdef Walk result
    cdef int64_t price = taker.opposite.best
    cdef int128_t rest = amount
    cdef int128_t lots
    cdef int128_t cost
    cdef Level* level
    cdef bint ends = False
    result.price_lots = 0
    result.quantity_lots = 0
    while not ends and crosses(taker.opposite, price, taker.stop):
        level = ladder_level(taker.opposite, <uint32_t>price)
        lots = level.total_lots if rule == COUNT_ALL else lots_at(s, taker, level, rule, &ends)
        if quantity > 0:
            if lots >= quantity - result.quantity_lots:
                lots = quantity - result.quantity_lots
                ends = True
        else:
            cost = <int128_t>price * taker.market.definition.tick_lot_units
            if lots > rest / cost:
                lots = rest / cost
                ends = True
            rest -= lots * cost
        result.quantity_lots += <int64_t>lots
        result.price_lots += lots * price
        if not ends:
            price = next_price(taker.opposite, <uint32_t>price)
    return result


cdef inline bint may_meet_itself(const State* s, const Taker* taker) noexcept nogil:
    return taker.group != 0 or s.traders[taker.owner].live_orders != 0


cdef inline WalkRule walk_rule(const State* s, const Taker* taker) noexcept nogil:
    if taker.self_trade == TRADE_WITH_SELF or taker.self_trade == DECREMENT or not may_meet_itself(s, taker):
        return COUNT_ALL
    return SKIP_SELF if taker.self_trade == CANCEL_OLDEST else STOP_BEFORE_SELF


cdef int64_t fillable(const State* s, const Taker* taker) noexcept nogil:
    cdef WalkRule rule = walk_rule(s, taker)
    if taker.self_trade == DECREMENT and may_meet_itself(s, taker):
        rule = STOP_BEFORE_SELF
    return walk(s, taker, taker.quantity, 0, rule).quantity_lots


# Price bands

cdef inline bint band_is_on(const Market* market) noexcept nogil:
    return market.terms.band_ppm > 0 and market.reference > 0


cdef int64_t band_edge(const Market* market, int side) noexcept nogil:
    # The worst price that an aggressor of this side may trade at.
    cdef int64_t width = <int64_t>market.reference * market.terms.band_ppm / PPM
    return market.reference + width if side == BUY else most(1, market.reference - width)


cdef bint is_beyond_band(const Market* market, int side, int64_t price) noexcept nogil:
    # Whether a limit price is to be refused.
    cdef int64_t edge
    if not band_is_on(market) or market.terms.band_action != BAND_REJECT:
        return False
    edge = band_edge(market, side)
    return price > edge if side == BUY else price < edge


cdef bint is_too_good(const Market* market, int side, int64_t price) noexcept nogil:
    # Whether a maker's price favours an aggressor of this side beyond a band that trips an auction.
    cdef int64_t edge
    if price < 0 or market.terms.band_action != BAND_AUCTION:
        return False
    edge = band_edge(market, SELL if side == BUY else BUY)
    return price < edge if side == BUY else price > edge


cdef void set_limit(Taker* taker, int64_t price, bint is_market) noexcept nogil:
    # The limit and the stop price.
    cdef Market* market = taker.market
    cdef int64_t edge
    taker.price = price
    taker.limit = price
    if is_market and price == 0 and taker.side == BUY:
        taker.limit = market.definition.price_ticks_max
    taker.stop = taker.limit
    if market.mode == OPEN_MODE and band_is_on(market):
        edge = band_edge(market, taker.side)
        taker.stop = least(taker.limit, edge) if taker.side == BUY else most(taker.limit, edge)
        if is_too_good(market, taker.side, taker.opposite.best):
            taker.stop = 0 if taker.side == BUY else PRICE_TICKS_MAX() + 1


cdef inline bint would_cross(const Taker* taker) noexcept nogil:
    return crosses(taker.opposite, taker.opposite.best, taker.limit)


cdef int64_t slide_price(const Taker* taker) noexcept nogil:
    # The best price at which an order that would cross does not, 0 when there is none.
    cdef int64_t best = taker.opposite.best
    if taker.side == BUY:
        return best - 1
    return best + 1 if best < taker.market.definition.price_ticks_max else 0


cdef void trip_auction(State* s, Market* market) noexcept nogil:
    set_mode(s, market, AUCTION_MODE, later(s.timestamp_ns, market.terms.band_auction_ns), PRICE_BAND)


# Matching

cdef void match(State* s, Taker* taker) noexcept nogil:
    # Meet the oldest order at the best price while prices cross. A trade's price is the resting order's, always.
    cdef Ladder* opposite = taker.opposite
    while taker.remaining > 0 and not taker.ended and crosses(opposite, opposite.best, taker.stop):
        match_level(s, taker, <uint32_t>opposite.best)
    if taker.first_price != 0 and not taker.traceless:
        leave_trace(s, taker.market, taker.first_price, taker.last_price)
    if taker.stop != taker.limit and taker.remaining > 0 and not taker.ended and would_cross(taker):
        taker.beyond_band = True
        if taker.market.terms.band_action == BAND_AUCTION:
            trip_auction(s, taker.market)


cdef void match_level(State* s, Taker* taker, uint32_t price) noexcept nogil:
    cdef Level* level = ladder_level(taker.opposite, price)
    cdef uint32_t taker_fee_ppm = share_of(taker.market.terms.taker_fee_ppm, s.traders[taker.owner].taker_share_ppm)
    cdef Order* maker
    cdef uint32_t index
    cdef int64_t quantity
    while taker.remaining > 0:
        index = level.head
        maker = &s.pool.orders[index]
        if taker.other_leg != 0 or maker.extra != 0:
            drop_legs(s, taker, index)
        if taker.self_trade != TRADE_WITH_SELF and is_self(s, taker, maker):
            prevent(s, taker, index)
            return
        quantity = least(taker.remaining, visible_of(s, maker))
        forget(s, maker)
        shrink(s, maker, quantity)
        level.total_lots -= quantity
        taker.remaining -= quantity
        trade(s, taker, maker, quantity, price, taker_fee_ppm)
        if settle_maker(s, taker.opposite, level, index):
            return


cdef void drop_legs(State* s, Taker* taker, uint32_t maker) noexcept nogil:
    # Orders linked to two that meet end before anything else.
    cdef uint32_t leg
    if taker.other_leg != 0:
        leg = pool_find(&s.pool, taker.other_leg)
        taker.other_leg = 0
        if taker.index != 0:
            s.extras[s.pool.orders[taker.index].extra].other_leg = 0
        drop_leg(s, leg, taker.held)
    drop_leg_of(s, maker)


cdef void drop_leg_of(State* s, uint32_t index) noexcept nogil:
    cdef uint32_t leg = other_leg_of(s, index)
    if leg != 0:
        unlink_leg(s, index)
        drop_leg(s, leg, need_of(s, index))


cdef inline void shrink(State* s, Order* order, int64_t quantity) noexcept nogil:
    order.remaining_lots -= quantity
    if order.extra != 0 and s.extras[order.extra].display_lots > 0:
        s.extras[order.extra].visible_lots -= quantity


cdef bint settle_maker(State* s, Ladder* ladder, Level* level, uint32_t index) noexcept nogil:
    # What becomes of the first order of a level after it shrank. It is forgotten. Returns whether its level is gone.
    cdef Order* order = &s.pool.orders[index]
    cdef uint32_t price = order.price_ticks
    if order.remaining_lots == 0:
        unlink(&s.pool, level, order)
        level.count -= 1
        if order.extra != 0 and s.extras[order.extra].display_lots > 0:
            level.icebergs -= 1
        fill_order(s, index)
        if level.count == 0:
            ladder_vacate(ladder, price)
            return True
        return False
    if visible_of(s, order) == 0:
        refresh(s, level, index)
    remember(s, order)
    return False


cdef void refresh(State* s, Level* level, uint32_t index) noexcept nogil:
    # An iceberg shows its next slice, behind the others.
    cdef Order* order = &s.pool.orders[index]
    cdef Extra* e = &s.extras[order.extra]
    cdef OrderEvent* event
    e.visible_lots = least(e.display_lots, order.remaining_lots)
    e.place_sequence = s.sequence
    e.place = s.places
    s.places += 1
    if order.next != 0:
        unlink(&s.pool, level, order)
        order.next = 0
        order.previous = level.tail
        s.pool.orders[level.tail].next = index
        level.tail = index
    event = emit_order(s, REFRESHED, index)
    event.display_lots = e.display_lots
    event.visible_lots = e.visible_lots


cdef void prevent(State* s, Taker* taker, uint32_t index) noexcept nogil:
    # A taker meets its own: no trade.
    cdef Order* maker = &s.pool.orders[index]
    cdef MarketCommand* terms = &taker.market.definition
    cdef int64_t quantity = least(taker.remaining, visible_of(s, maker))
    cdef Event* event = emit_meeting(s, PREVENTED, taker, maker)
    cdef Level* level
    event.price_ticks = maker.price_ticks
    event.quantity_lots = quantity
    event.reason = SELF_TRADE
    if taker.self_trade == DECREMENT:
        event.amount = need(terms, maker.side, maker.price_ticks, quantity)
        event.hold_released = need(terms, taker.side, maker.price_ticks if taker.exact else taker.limit, quantity)
        event.remaining_lots -= quantity
        event.maker_remaining_lots -= quantity
        decrement(s, taker, index, quantity, event.amount, event.hold_released)
        return
    if taker.self_trade != CANCEL_NEWEST:
        end_order(s, index, SELF_TRADE)
    if taker.self_trade != CANCEL_OLDEST:
        taker.ended = True


cdef void decrement(State* s, Taker* taker, uint32_t index, int64_t quantity, int64_t maker_units, int64_t taker_units) noexcept nogil:
    # Both lose a quantity, and what was held for it is free.
    cdef Order* maker = &s.pool.orders[index]
    cdef Level* level = ladder_level(taker.opposite, maker.price_ticks)
    hold(s, maker.owner, maker.side, -maker_units)
    hold(s, taker.owner, taker.side, -taker_units)
    taker.held -= taker_units
    taker.remaining -= quantity
    taker.quantity -= quantity
    taker.ended = taker.remaining == 0
    forget(s, maker)
    shrink(s, maker, quantity)
    maker.quantity_lots -= quantity
    level.total_lots -= quantity
    if maker.remaining_lots > 0:
        settle_maker(s, taker.opposite, level, index)
        return
    remember(s, maker)
    end_order(s, index, SELF_TRADE)


cdef inline uint32_t share_of(uint32_t ppm, uint32_t share_ppm) noexcept nogil:
    # What an account that pays a share of a market's fee pays. Most pay the whole.
    if unlikely(share_ppm != FEE_SHARE_PPM_MAX):
        return <uint32_t>(<uint64_t>ppm * share_ppm // PPM)
    return ppm


cdef inline int64_t fee_of(int64_t received, uint32_t ppm) noexcept nogil:
    # Rounded down, in favour of who pays it.
    if received < <int64_t>1 << 46:
        return received * ppm // PPM
    return <int64_t>(<int128_t>received * ppm / PPM)


cdef void trade(
    State* s, Taker* taker, const Order* maker, int64_t quantity, int64_t price, uint32_t taker_fee_ppm
) noexcept nogil:
    # Settle one match and tell it. Both have shrunk already.
    cdef Market* market = taker.market
    cdef bint taker_buys = taker.side == BUY
    cdef const Trader* seller = &s.traders[maker.owner if taker_buys else taker.owner]
    cdef const Trader* buyer = &s.traders[taker.owner if taker_buys else maker.owner]
    cdef int64_t notional = price * quantity * market.definition.tick_lot_units
    cdef int64_t base = quantity * market.definition.lot_units
    cdef int64_t taker_fee = fee_of(base if taker_buys else notional, taker_fee_ppm)
    cdef uint32_t maker_fee_ppm = share_of(market.terms.maker_fee_ppm, s.traders[maker.owner].maker_share_ppm)
    cdef int64_t maker_fee = fee_of(notional if taker_buys else base, maker_fee_ppm)
    cdef int64_t base_fee = taker_fee if taker_buys else maker_fee
    cdef int64_t quote_fee = maker_fee if taker_buys else taker_fee
    cdef int64_t improvement = 0
    cdef Event* event
    if taker_buys and not taker.exact:
        improvement = (taker.limit - price) * quantity * market.definition.tick_lot_units
    post(&s.ledger, buyer.quote_balance, improvement, -(notional + improvement))
    post(&s.ledger, buyer.base_balance, base - base_fee, 0)
    post(&s.ledger, seller.base_balance, 0, -base)
    post(&s.ledger, seller.quote_balance, notional - quote_fee, 0)
    post(&s.ledger, market.revenue_base, base_fee, 0)
    post(&s.ledger, market.revenue_quote, quote_fee, 0)
    taker.held -= notional + improvement if taker_buys else base
    taker.last_price = price
    if taker.first_price == 0:
        taker.first_price = price
    s.trade_count += 1
    event = emit_meeting(s, TRADED, taker, maker)
    event.price_ticks = price
    event.quantity_lots = quantity
    event.amount = notional
    event.taker_fee = taker_fee
    event.maker_fee = maker_fee
    event.hold_released = improvement
    event.trade_id = s.trade_count


# The end of a taker's way

cdef void finish(State* s, Taker* taker) noexcept nogil:
    # What remains of a taker rests or is cancelled.
    if taker.remaining == 0 and not taker.ended:
        if taker.index != 0:
            s.pool.orders[taker.index].quantity_lots = taker.quantity
            fill_order(s, taker.index)
        else:
            end_parent(s, taker.child, taker.quantity)
    elif taker.lasting and not taker.ended:
        rest(s, taker)
    else:
        cancel_rest(s, taker)


cdef void rest(State* s, Taker* taker) noexcept nogil:
    cdef Order* order
    if taker.index == 0:
        taker.index = record_order(s, taker)
    order = &s.pool.orders[taker.index]
    order.remaining_lots = taker.remaining
    order.quantity_lots = taker.quantity
    enter_book(s, taker.index)
    remember(s, order)


cdef void cancel_rest(State* s, Taker* taker) noexcept nogil:
    cdef Event* event = emit_taker(s, CANCELLED, taker)
    cdef uint64_t child = taker.child
    event.quantity_lots = taker.remaining
    event.amount = taker.held
    if taker.ended:
        event.reason = SELF_TRADE
    elif taker.beyond_band:
        event.reason = PRICE_BAND
    else:
        event.reason = IOC_REMAINDER if taker.order_type == LIMIT_ORDER else NO_LIQUIDITY
    hold(s, taker.owner, taker.side, -taker.held)
    if taker.index != 0:
        free_order(s, taker.index)
    end_parent(s, child, taker.quantity - taker.remaining)


cdef void leave_trace(State* s, Market* market, int64_t first, int64_t last) noexcept nogil:
    # What trades leave behind: the last price, the range that triggers look at, the band's reference.
    cdef int64_t low = least(first, last)
    cdef int64_t high = most(first, last)
    market.last_price = <uint32_t>last
    grow_range(market, low, high)
    touch(s, market)
    if market.terms.band_ppm > 0:
        if market.reference == 0 or <int128_t>s.timestamp_ns - market.reference_since >= market.terms.band_interval_ns:
            market.reference = market.last_price
            market.reference_since = s.timestamp_ns


cdef inline void grow_range(Market* market, int64_t low, int64_t high) noexcept nogil:
    if market.range_low == 0 or low < market.range_low:
        market.range_low = <uint32_t>low
    if high > market.range_high:
        market.range_high = <uint32_t>high


cdef inline void touch(State* s, Market* market) noexcept nogil:
    if not market.touched:
        market.touched = True
        s.touched[s.touched_count] = <uint16_t>(market.definition.market - 1)
        s.touched_count += 1

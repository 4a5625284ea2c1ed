# Modes and the call auction.

cdef void set_mode(State* s, Market* market, int mode, int64_t until_ns, int reason) noexcept nogil:
    cdef int previous = market.mode
    cdef ModeEvent* event
    if previous == AUCTION_MODE and mode != AUCTION_MODE:
        uncross(s, market)
    s.timed_auctions += (until_ns != 0) - (market.auction_end != 0)
    market.mode = mode
    market.auction_end = until_ns
    touch(s, market)
    if until_ns != 0:
        s.next_due_ns = least(s.next_due_ns, until_ns)
    event = <ModeEvent*>emit(s, MODE_CHANGED, s.account)
    event.market = market.definition.market
    event.mode = mode
    event.previous_mode = previous
    event.until_ns = until_ns
    event.reference_price_ticks = market.reference
    event.reason = reason


cdef struct Clearing:
    int64_t price            # 0: nothing crosses
    int128_t volume
    int128_t surplus         # demand less supply


# The bids between the best ask and the best bid, from the lowest up.
cdef struct Rising:
    int64_t* prices
    uint32_t count
    int128_t lots            # of all of them


cdef int gather(const State* s, Ladder* bids, int64_t down_to, Rising* rising) noexcept nogil:
    # -1 when there is no memory.
    cdef int64_t price = bids.best
    cdef uint32_t at
    memset(rising, 0, sizeof(Rising))
    while crosses(bids, price, down_to):
        rising.count += 1
        rising.lots += ladder_level(bids, <uint32_t>price).total_lots
        price = next_price(bids, <uint32_t>price)
    rising.prices = <int64_t*>malloc((rising.count + 1) * sizeof(int64_t))
    if rising.prices == NULL:
        return -1
    price = bids.best
    for at in range(rising.count):
        rising.prices[rising.count - 1 - at] = price
        price = next_price(bids, <uint32_t>price)
    rising.prices[rising.count] = -1
    return 0


cdef void consider(Clearing* best, const Market* market, int64_t low, int64_t high, int128_t demand, int128_t supply) noexcept nogil:
    # Prices from low to high, at all of which demand and supply are these, against the best so far (which is lower).
    cdef Clearing found
    cdef int128_t surplus = demand - supply
    cdef int128_t size = surplus if surplus >= 0 else -surplus
    cdef int128_t best_size = best.surplus if best.surplus >= 0 else -best.surplus
    if low > high:
        return
    found.volume = least_wide(demand, supply)
    found.surplus = surplus
    found.price = least(most(low, market.last_price), high)
    if best.price != 0:
        if found.volume < best.volume:
            return
        if found.volume == best.volume:
            if size > best_size:
                return
            if size == best_size and distance(found.price, market.last_price) >= distance(best.price, market.last_price):
                return
    best[0] = found


cdef int clear(const State* s, Market* market, Clearing* best) noexcept nogil:
    # Find the price at which an auction trades: walk the levels between the best ask and the best bid upwards. -1 when there is
    # no memory for that.
    cdef Ladder* asks = &market.book.asks
    cdef Ladder* bids = &market.book.bids
    cdef Rising rising
    cdef int64_t ask = asks.best
    cdef int64_t top = bids.best
    cdef int64_t* bid
    cdef int64_t price
    cdef int128_t demand
    cdef int128_t supply = 0
    memset(best, 0, sizeof(Clearing))
    if ask < 0 or top < ask:
        return 0
    if gather(s, bids, ask, &rising) < 0:
        return -1
    demand = rising.lots
    bid = rising.prices
    while True:
        # Both are the next prices at which something changes: an ask adds supply at its price, a bid takes demand away above it.
        price = between(ask, bid[0])
        if price > top:
            break
        if ask == price:
            supply += ladder_level(asks, <uint32_t>price).total_lots
            ask = next_price(asks, <uint32_t>price)
        consider(best, market, price, price, demand, supply)
        if bid[0] == price:
            demand -= ladder_level(bids, <uint32_t>price).total_lots
            bid += 1
        consider(best, market, price + 1, least(top, between(ask, bid[0]) - 1), demand, supply)
    free(rising.prices)
    return 0


cdef inline int64_t between(int64_t ask, int64_t bid) noexcept nogil:
    # The next price at which something changes.
    if ask < 0:
        return bid if bid >= 0 else PRICE_TICKS_MAX() + 1
    return least(ask, bid) if bid >= 0 else ask


cdef inline int64_t distance(int64_t a, int64_t b) noexcept nogil:
    return a - b if a > b else b - a


cdef void uncross(State* s, Market* market) noexcept nogil:
    # Trade what crosses at one price, in price and time priority.
    cdef Clearing clearing
    cdef int128_t left
    cdef int128_t surplus
    cdef Event* event = emit(s, UNCROSSED, s.account)
    if clear(s, market, &clearing) < 0:
        s.broken = True
        return
    left = clearing.volume
    surplus = clearing.surplus if clearing.surplus >= 0 else -clearing.surplus
    event.market = market.definition.market
    event.price_ticks = clearing.price
    event.quantity_lots = capped(clearing.volume)
    event.remaining_lots = capped(surplus)
    event.side = 0 if clearing.surplus == 0 else BUY if clearing.surplus > 0 else SELL
    if clearing.price == 0:
        return
    while left > 0:
        left -= cross(s, market, clearing.price, left)
    leave_trace(s, market, clearing.price, clearing.price)
    if market.terms.band_ppm > 0:
        market.reference = market.last_price
        market.reference_since = s.timestamp_ns


cdef inline int64_t capped(int128_t lots) noexcept nogil:
    return NS_MAX() if lots > NS_MAX() else <int64_t>lots


cdef int64_t cross(State* s, Market* market, int64_t price, int128_t left) noexcept nogil:
    # One trade of the first bid with the first ask. Returns its quantity.
    cdef Level* bids = ladder_level(&market.book.bids, <uint32_t>market.book.bids.best)
    cdef Level* asks = ladder_level(&market.book.asks, <uint32_t>market.book.asks.best)
    cdef uint32_t bid_index = bids.head
    cdef uint32_t ask_index = asks.head
    cdef Order* bid = &s.pool.orders[bid_index]
    cdef Order* ask = &s.pool.orders[ask_index]
    cdef int64_t quantity = least(bid.remaining_lots, ask.remaining_lots)
    cdef Taker taker
    if quantity > left:
        quantity = <int64_t>left
    drop_leg_of(s, bid_index)
    drop_leg_of(s, ask_index)
    forget(s, ask)
    take_record(s, &taker, bid_index)
    taker.flags |= AUCTION_TRADE
    taker.limit = bid.price_ticks
    taker.price = price
    taker.remaining -= quantity
    shrink_in_auction(s, bid, quantity)
    shrink_in_auction(s, ask, quantity)
    bids.total_lots -= quantity
    asks.total_lots -= quantity
    trade(s, &taker, ask, quantity, price, share_of(market.terms.maker_fee_ppm, s.traders[bid.owner].maker_share_ppm))
    settle_maker(s, &market.book.bids, bids, bid_index)
    settle_maker(s, &market.book.asks, asks, ask_index)
    return quantity


cdef void shrink_in_auction(State* s, Order* order, int64_t quantity) noexcept nogil:
    # An iceberg trades what it hides too, and keeps its place.
    cdef Extra* e = &s.extras[order.extra]
    order.remaining_lots -= quantity
    if order.extra != 0 and e.display_lots > 0:
        e.visible_lots = least(e.visible_lots, order.remaining_lots)
        if e.visible_lots == 0:
            e.visible_lots = least(e.display_lots, order.remaining_lots)

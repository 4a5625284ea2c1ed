# PLACE: validate, then mode, price, links, match and risk; then accept. docs/engine.md numbers the checks.

cdef inline bint is_conditional(int order_type) noexcept nogil:
    return STOP <= order_type <= TRAILING_STOP


cdef inline bint is_lasting(int time_in_force) noexcept nogil:
    return time_in_force == GTC or time_in_force == GTD or time_in_force == DAY


cdef int check_kind(const State* s, const OrderCommand* command, int known_flags) noexcept nogil:
    # 1 and 2: what sort of order it is.
    cdef const Header* h = &command.header
    cdef bint is_first_version = h.version == 1
    cdef int flags = h.flags & ~known_flags
    if h.account < FIRST_TRADING_ACCOUNT:
        return ACCOUNT_INVALID
    if not (1 <= command.market <= s.market_count):
        return UNKNOWN_MARKET
    if h.side != BUY and h.side != SELL:
        return SIDE_INVALID
    if not (MARKET_ORDER <= h.order_type <= (LIMIT_ORDER if is_first_version else TRAILING_STOP)):
        return ORDER_TYPE_INVALID
    if is_lasting(h.time_in_force):
        if h.order_type == MARKET_ORDER or (is_first_version and h.time_in_force != GTC):
            return TIME_IN_FORCE_INVALID
    elif (h.time_in_force != IOC and h.time_in_force != FOK) or is_conditional(h.order_type):
        return TIME_IN_FORCE_INVALID
    if flags != 0:
        if flags != POST_ONLY and (flags != (POST_ONLY | SLIDE) or is_first_version):
            return FLAGS_INVALID
        if h.order_type != LIMIT_ORDER or not is_lasting(h.time_in_force):
            return FLAGS_INVALID
    if h.self_trade > DECREMENT or (h.self_trade == DECREMENT and command.amount > 0):
        return SELF_TRADE_INVALID
    return NONE


cdef int check_link_form(const OrderCommand* command) noexcept nogil:
    cdef int contingency = command.header.contingency
    if contingency > WAITS_FOR_PARENT:
        return LINK_INVALID
    if (command.order_id != 0) != (contingency == ONE_CANCELS_OTHER or contingency == ONE_TRIGGERS_OTHER):
        return LINK_INVALID
    if contingency == ONE_CANCELS_OTHER or contingency == WAITS_FOR_PARENT:
        return NONE if is_lasting(command.header.time_in_force) else LINK_INVALID
    return NONE


cdef int check_sizes(const OrderCommand* command, const Market* market) noexcept nogil:
    # 3 to 5: quantity or amount, prices.
    cdef int order_type = command.header.order_type
    cdef int64_t price_max = market.definition.price_ticks_max
    cdef bint priced = order_type == LIMIT_ORDER or order_type == STOP_LIMIT or order_type == TAKE_PROFIT_LIMIT
    if order_type == MARKET_ORDER and command.quantity_lots == 0 and command.amount != 0:
        if command.header.time_in_force != IOC:
            return TIME_IN_FORCE_INVALID
        if not (1 <= command.amount < UNITS_MAX()):
            return AMOUNT_OUT_OF_RANGE
    elif command.amount != 0:
        return AMOUNT_OUT_OF_RANGE
    elif not (market.terms.quantity_lots_min <= command.quantity_lots <= market.terms.quantity_lots_max):
        return QUANTITY_OUT_OF_RANGE
    if not ((1 if priced else 0) <= command.price_ticks <= (0 if order_type == TRAILING_STOP else price_max)):
        return PRICE_OUT_OF_RANGE
    if is_conditional(order_type):
        if not ((0 if order_type == TRAILING_STOP else 1) <= command.trigger_price_ticks <= price_max):
            return TRIGGER_PRICE_INVALID
    elif command.trigger_price_ticks != 0:
        return TRIGGER_PRICE_INVALID
    if order_type == TRAILING_STOP:
        return NONE if 1 <= command.trail_ticks <= price_max else TRAIL_INVALID
    return NONE if command.trail_ticks == 0 else TRAIL_INVALID


cdef int check_options(const State* s, const OrderCommand* command, const Market* market) noexcept nogil:
    # 6: what is shown, what must trade at once, how long it lasts.
    cdef const Header* h = &command.header
    cdef bint may_demand = (h.order_type == MARKET_ORDER and command.quantity_lots > 0) or (
        h.order_type == LIMIT_ORDER and not h.flags & POST_ONLY and h.contingency != WAITS_FOR_PARENT
    )
    if command.display_lots != 0:
        if h.order_type != LIMIT_ORDER or not is_lasting(h.time_in_force):
            return DISPLAY_QUANTITY_INVALID
        if not (market.terms.quantity_lots_min <= command.display_lots < command.quantity_lots):
            return DISPLAY_QUANTITY_INVALID
        if command.quantity_lots > <int128_t>command.display_lots * ICEBERG_SLICES_MAX:
            return DISPLAY_QUANTITY_INVALID
    if command.min_quantity_lots != 0:
        if not may_demand or not (1 <= command.min_quantity_lots <= command.quantity_lots):
            return MIN_QUANTITY_INVALID
    if h.time_in_force == GTD:
        return NONE if command.expire_ns > s.timestamp_ns else EXPIRE_TIME_INVALID
    return NONE if command.expire_ns == 0 else EXPIRE_TIME_INVALID


cdef int validate(const State* s, const OrderCommand* command, int known_flags) noexcept nogil:
    # Everything that can be said without looking at orders. A CANCEL_REPLACE links nothing.
    cdef int reason = check_kind(s, command, known_flags)
    cdef const Market* market
    if reason == NONE:
        if command.header.kind == PLACE:
            reason = check_link_form(command)
        elif command.header.contingency != NO_CONTINGENCY:
            reason = LINK_INVALID
    if reason != NONE:
        return reason
    market = s.markets[command.market - 1]
    reason = check_sizes(command, market)
    return reason if reason != NONE else check_options(s, command, market)


cdef int64_t end_of_day(int64_t timestamp_ns) noexcept nogil:
    # The next midnight UTC.
    cdef int64_t day = timestamp_ns / DAY_NS()
    if timestamp_ns % DAY_NS() < 0:
        day -= 1
    if <int128_t>(day + 1) * DAY_NS() > NS_MAX():
        return NS_MAX()
    return (day + 1) * DAY_NS()


# An order that is being placed: what the checks learn is kept for the steps after them.
cdef struct Placement:
    Taker taker
    uint32_t leg             # index of the order that it names
    bint waits_parent
    bint taking              # it meets the book now
    int64_t trigger
    int64_t expire_ns
    int64_t needed           # units


cdef void prepare(const State* s, const OrderCommand* command, Placement* p) noexcept nogil:
    cdef Taker* taker = &p.taker
    cdef const Header* h = &command.header
    memset(p, 0, sizeof(Placement))
    taker.command = command
    taker.market = s.markets[command.market - 1]
    taker.opposite = opposite_side(&taker.market.book, h.side)
    taker.order_id = h.sequence
    taker.account = h.account
    taker.owner = s.trader_slots[trader_slot(s, h.account, command.market)]
    taker.group = command.group
    taker.side = h.side
    taker.order_type = h.order_type
    taker.time_in_force = h.time_in_force
    taker.flags = h.flags
    taker.self_trade = h.self_trade
    taker.quantity = command.quantity_lots
    taker.remaining = command.quantity_lots
    taker.lasting = is_lasting(h.time_in_force)
    taker.traceless = h.version == 1
    if h.contingency == ONE_CANCELS_OTHER or h.contingency == ONE_TRIGGERS_OTHER:
        p.leg = pool_find(&s.pool, command.order_id)
    if h.contingency == ONE_CANCELS_OTHER:
        taker.other_leg = command.order_id
        p.waits_parent = p.leg != 0 and s.pool.orders[p.leg].waiting == WAITS_PARENT
    elif h.contingency == ONE_TRIGGERS_OTHER:
        taker.child = command.order_id
    else:
        p.waits_parent = h.contingency == WAITS_FOR_PARENT
    p.taking = h.order_type == LIMIT_ORDER and not p.waits_parent and taker.market.mode != AUCTION_MODE
    p.trigger = command.trigger_price_ticks
    p.expire_ns = end_of_day(s.timestamp_ns) if h.time_in_force == DAY else command.expire_ns
    set_limit(taker, command.price_ticks, is_market_like(h.order_type))


cdef int check_mode(const Market* market, bint lasting) noexcept nogil:
    # 7
    if market.mode == HALTED_MODE:
        return MARKET_HALTED
    if market.mode == CANCEL_ONLY_MODE:
        return MARKET_CANCEL_ONLY
    if not lasting and market.mode == POST_ONLY_MODE:
        return MARKET_POST_ONLY
    return MARKET_IN_AUCTION if not lasting and market.mode == AUCTION_MODE else NONE


cdef int check_notional(const Market* market, int64_t price, int64_t lots) noexcept nogil:
    cdef int128_t price_lots = <int128_t>price * lots
    if price_lots > market.price_lots_max:
        return NOTIONAL_TOO_LARGE
    if price_lots * market.definition.tick_lot_units < market.terms.notional_units_min:
        return NOTIONAL_TOO_SMALL
    return NONE


cdef int check_price(Placement* p) noexcept nogil:
    # 8 to 10: sliding, notional, band.
    cdef Taker* taker = &p.taker
    cdef int64_t slid
    cdef int reason = NONE
    if p.taking and taker.flags & SLIDE and would_cross(taker):
        slid = slide_price(taker)
        if slid == 0:
            return POST_ONLY_WOULD_CROSS
        set_limit(taker, slid, False)
    if taker.order_type == MARKET_ORDER:
        if taker.command.amount > 0 and taker.command.amount < taker.market.terms.notional_units_min:
            return NOTIONAL_TOO_SMALL
    elif taker.price > 0:
        reason = check_notional(taker.market, taker.price, taker.quantity)
    if reason == NONE and p.taking and is_beyond_band(taker.market, taker.side, taker.price):
        return PRICE_BAND
    return reason


cdef int check_link(const State* s, const Placement* p) noexcept nogil:
    # 11
    cdef const Taker* taker = &p.taker
    cdef const Order* named = &s.pool.orders[p.leg]
    cdef const Extra* e = &s.extras[named.extra]
    cdef const Trader* trader = &s.traders[named.owner]
    if taker.other_leg == 0 and taker.child == 0:
        return NONE
    if p.leg == 0 or trader.account != taker.account or trader.market != taker.command.market:
        return LINK_INVALID
    if taker.child != 0:
        if named.waiting != WAITS_PARENT or e.parent != 0:
            return LINK_INVALID
        if e.other_leg != 0 and parent_of(s, e.other_leg) != 0:
            return LINK_INVALID
        return NONE
    if named.side != taker.side or named.remaining_lots != taker.quantity:
        return LINK_INVALID
    if named.extra != 0 and (e.other_leg != 0 or e.child != 0):
        return LINK_INVALID
    if taker.order_type == LIMIT_ORDER and (named.waiting == IN_BOOK or type_of(s, named) == LIMIT_ORDER):
        return LINK_INVALID
    return NONE


cdef uint64_t parent_of(const State* s, uint64_t order_id) noexcept nogil:
    cdef const Order* order = &s.pool.orders[pool_find(&s.pool, order_id)]
    return s.extras[order.extra].parent if order.extra != 0 else 0


cdef int check_trigger(Placement* p) noexcept nogil:
    # 12
    cdef Taker* taker = &p.taker
    cdef Market* market = taker.market
    if not is_conditional(taker.order_type):
        return NONE
    if taker.order_type == TRAILING_STOP:
        if market.trailing_count == TRAILING_ORDERS_MAX:
            return TRAILING_ORDERS_FULL
        if p.trigger == 0 and not p.waits_parent:
            p.trigger = <int64_t>market.last_price + (
                <int64_t>taker.command.trail_ticks if taker.side == BUY else -<int64_t>taker.command.trail_ticks
            )
            if market.last_price == 0 or not (1 <= p.trigger <= market.definition.price_ticks_max):
                return TRAIL_INVALID
    if not p.waits_parent and is_met_already(market, taker.order_type, taker.side, p.trigger):
        return TRIGGER_ALREADY_MET
    return NONE


cdef int check_match(State* s, Placement* p) noexcept nogil:
    # 13 to 15: what it says about the book must be true of it.
    cdef Taker* taker = &p.taker
    cdef const OrderCommand* command = taker.command
    cdef bint passive = taker.flags & POST_ONLY or taker.market.mode == POST_ONLY_MODE
    cdef Walk taken
    cdef int64_t lots
    if not p.taking and taker.order_type != MARKET_ORDER:
        return NONE
    if passive and would_cross(taker):
        return POST_ONLY_WOULD_CROSS
    if taker.time_in_force == FOK or command.min_quantity_lots > 0:
        lots = fillable(s, taker)
        if taker.time_in_force == FOK and lots < taker.quantity:
            return FOK_NOT_FILLABLE
        if lots < command.min_quantity_lots:
            return MIN_QUANTITY_NOT_FILLABLE
    if taker.order_type != MARKET_ORDER:
        return NONE
    taken = walk(s, taker, command.quantity_lots, command.amount, walk_rule(s, taker))
    if command.quantity_lots == 0:
        if taken.quantity_lots == 0:
            return NO_LIQUIDITY
        if taken.quantity_lots > taker.market.terms.quantity_lots_max:
            return QUANTITY_OUT_OF_RANGE
        taker.quantity = taken.quantity_lots
        taker.remaining = taken.quantity_lots
    taker.exact = True
    if taken.price_lots > taker.market.price_lots_max:
        p.needed = -1
    elif taker.side == BUY:
        p.needed = <int64_t>taken.price_lots * taker.market.definition.tick_lot_units
    else:
        p.needed = taken.quantity_lots * taker.market.definition.lot_units
    return NONE


cdef int check_limits(const State* s, const Taker* taker, int64_t added_bid_lots, bint adds_order) noexcept nogil:
    # 16: how many orders, how large a position.
    cdef const Terms* terms = &taker.market.terms
    cdef const Trader* trader = &s.traders[taker.owner]
    cdef const Balance* base
    cdef int128_t owned
    cdef int128_t room
    if adds_order and terms.open_orders_max > 0 and trader.live_orders >= terms.open_orders_max:
        return OPEN_ORDERS_LIMIT
    if added_bid_lots > 0 and terms.position_lots_max > 0:
        if taker.owner != 0:
            base = &s.ledger.balances[trader.base_balance]
            owned = base.available + base.held
        else:
            owned = owned_by(s, taker.account, taker.market.definition.base)
        # owned // lot_units > room, without the division
        room = <int128_t>terms.position_lots_max - added_bid_lots - trader.bid_lots
        if room < 0 or owned >= (room + 1) * taker.market.definition.lot_units:
            return POSITION_LIMIT
    return NONE


cdef int check_funds(State* s, Placement* p) noexcept nogil:
    # 17. From here on the account is a trader of the market.
    cdef Taker* taker = &p.taker
    cdef MarketCommand* market = &taker.market.definition
    cdef int64_t first
    if p.needed < 0:
        return NOTIONAL_TOO_LARGE
    if taker.order_type != MARKET_ORDER and not p.waits_parent:
        taker.held = need(market, taker.side, taker.price, taker.quantity)
        first = need_of(s, p.leg) if taker.other_leg != 0 else 0
        p.needed = taker.held - least(taker.held, first)
    elif taker.order_type == MARKET_ORDER:
        taker.held = p.needed
    if taker.owner == 0:
        if available_to(s, taker.account, market.quote if taker.side == BUY else market.base) < p.needed:
            return INSUFFICIENT_FUNDS
        taker.owner = add_trader(s, taker.account, market)
    elif s.ledger.balances[paying_balance(s, taker.owner, taker.side)].available < p.needed:
        return INSUFFICIENT_FUNDS
    return NONE


cdef uint32_t add_trader(State* s, uint64_t account, const MarketCommand* market) noexcept nogil:
    # Needs reserve_traders and a ledger_reserve for two balances before.
    cdef uint32_t slot = trader_slot(s, account, market.market)
    cdef Trader* trader
    s.trader_count += 1
    trader = &s.traders[s.trader_count]
    memset(trader, 0, sizeof(Trader))
    trader.account = account
    trader.market = market.market
    trader.base_balance = balance_index(&s.ledger, account, market.base)
    trader.quote_balance = balance_index(&s.ledger, account, market.quote)
    share_fees(s, s.trader_count)
    s.trader_slots[slot] = s.trader_count
    return s.trader_count


cdef void place(State* s, const OrderCommand* command) noexcept nogil:
    cdef int reason = validate(s, command, 0)
    if reason == NONE:
        reason = place_valid(s, command)
    if reason != NONE:
        reject_order(s, command, reason)


cdef int place_valid(State* s, const OrderCommand* command) noexcept nogil:
    # Place an order that is well-formed, or return why not.
    cdef Placement p
    cdef Taker* taker = &p.taker
    cdef int reason
    prepare(s, command, &p)
    reason = check_mode(taker.market, taker.lasting)
    if reason == NONE:
        reason = check_price(&p)
    if reason == NONE:
        reason = check_link(s, &p)
    if reason == NONE:
        reason = check_trigger(&p)
    if reason == NONE:
        reason = check_match(s, &p)
    if reason == NONE:
        reason = check_limits(s, taker, taker.quantity if taker.side == BUY and not p.waits_parent else 0, taker.lasting)
    if reason == NONE:
        reason = check_funds(s, &p)
    if reason == NONE:
        accept(s, &p)
    return reason


cdef void accept(State* s, Placement* p) noexcept nogil:
    cdef Taker* taker = &p.taker
    cdef bint waits = p.waits_parent or is_conditional(taker.order_type)
    cdef OrderEvent* event = <OrderEvent*>emit_taker(s, ACCEPTED, taker)
    event.quantity_lots = taker.quantity
    event.remaining_lots = taker.quantity
    event.amount = p.needed
    event.asset = WAITS_PARENT if p.waits_parent else WAITS_TRIGGER if waits else IN_BOOK
    event.trigger_price_ticks = p.trigger
    event.display_lots = taker.command.display_lots
    event.visible_lots = taker.command.display_lots
    event.expire_ns = p.expire_ns
    event.linked_order_id = taker.command.order_id
    event.trail_ticks = taker.command.trail_ticks
    hold(s, taker.owner, taker.side, p.needed)
    tie(s, p)
    if waits:
        wait(s, p)
        return
    if taker.market.mode == OPEN_MODE:
        match(s, taker)
    finish(s, taker)


cdef void tie(State* s, const Placement* p) noexcept nogil:
    # The order named learns who hangs on it.
    cdef Order* named = &s.pool.orders[p.leg]
    cdef Extra* e
    if p.leg == 0:
        return
    forget(s, named)
    e = attach_extra(s, named)
    if p.taker.child != 0:
        e.parent = p.taker.order_id
    else:
        e.other_leg = p.taker.order_id
    remember(s, named)


cdef void wait(State* s, const Placement* p) noexcept nogil:
    # The order begins to wait for its trigger or its parent.
    cdef uint32_t index = record_order(s, &p.taker)
    cdef Order* order = &s.pool.orders[index]
    cdef Extra* e = attach_extra(s, order)
    e.trigger_ticks = <uint32_t>p.trigger
    e.visible_lots = e.display_lots
    order.waiting = WAITS_PARENT
    if not p.waits_parent:
        await_trigger(s, index)
    remember(s, order)


cdef uint32_t record_order(State* s, const Taker* taker) noexcept nogil:
    # Give an order that has been accepted its record: live from now on, forgotten still, in no queue yet.
    cdef const OrderCommand* command = taker.command
    cdef uint32_t index = add_order(s, taker.order_id, taker.owner)
    cdef Order* order = &s.pool.orders[index]
    cdef Extra* e
    order.side = taker.side
    order.traits = traits_of(taker.flags, taker.self_trade, taker.time_in_force)
    order.price_ticks = <uint32_t>taker.price
    order.quantity_lots = taker.quantity
    order.remaining_lots = taker.remaining
    if (
        taker.order_type != LIMIT_ORDER or taker.group != 0 or command.display_lots != 0 or taker.time_in_force != GTC
        or taker.other_leg != 0 or taker.child != 0
    ):
        e = attach_extra(s, order)
        e.order_type = taker.order_type
        e.group = taker.group
        e.display_lots = command.display_lots
        e.trail_ticks = command.trail_ticks
        e.other_leg = taker.other_leg
        e.child = taker.child
        if taker.time_in_force != GTC:
            e.expire_ns = end_of_day(s.timestamp_ns) if taker.time_in_force == DAY else command.expire_ns
            schedule(s, e.expire_ns, True, taker.order_id)
        if taker.order_type == TRAILING_STOP:
            taker.market.trailing[taker.market.trailing_count] = index
            taker.market.trailing_count += 1
    name_order(s, index, command.client_order_id)
    return index

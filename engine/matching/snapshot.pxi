# The whole state as bytes, little-endian: header, assets, markets, orders, extras, client order ids, balances, accounts, CRC-32 of
# all before it.
#
# Orders by market: bids from best to worst in their queues, asks, orders waiting for a trigger above, then below; last the
# children of all markets by order id. The extras and client order ids of those that have one follow in the same order.
# Balances by account and asset, accounts by number, those only that have a share or a timer. So equal states give equal bytes. Version 1 knew plain orders and market definitions only.

cdef enum:
    SNAPSHOT_VERSION = 2


cdef packed struct SnapshotHeader:
    char magic[4]
    uint32_t version
    uint64_t sequence
    uint64_t trades
    uint64_t digest
    uint32_t assets
    uint32_t markets
    uint32_t orders
    uint32_t balances


cdef packed struct SnapshotCounts:      # behind the header since version 2
    uint32_t extras
    uint32_t names
    uint32_t accounts


cdef packed struct SnapshotMarket:
    MarketCommand definition
    TermsCommand configuration
    int64_t reference_since
    int64_t auction_end
    uint32_t last_price
    uint32_t range_low
    uint32_t range_high
    uint32_t reference
    uint8_t mode
    uint8_t configured
    char padding[6]


cdef packed struct SnapshotOrder:
    uint64_t order_id
    uint64_t account
    int64_t remaining_lots
    int64_t quantity_lots
    uint32_t price_ticks
    uint32_t market
    uint8_t side
    uint8_t traits
    uint8_t waiting
    uint8_t has_extra
    uint8_t named
    char padding[3]


cdef packed struct SnapshotExtra:
    uint64_t place_sequence
    int64_t display_lots
    int64_t visible_lots
    int64_t expire_ns
    uint64_t other_leg
    uint64_t child
    uint64_t parent
    uint32_t place
    uint32_t group
    uint32_t trigger_ticks
    uint32_t trail_ticks
    uint8_t order_type
    char padding[7]


cdef packed struct SnapshotBalance:
    uint64_t account
    uint32_t asset
    uint32_t padding
    uint64_t available_low
    int64_t available_high
    uint64_t held_low
    int64_t held_high


cdef packed struct SnapshotAccount:
    uint64_t account
    int64_t cancel_after
    uint32_t maker_share_ppm
    uint32_t taker_share_ppm


# Where the next record of each section goes, or comes from.
cdef struct SnapshotCursor:
    SnapshotOrder* orders
    SnapshotExtra* extras
    char* names
    SnapshotBalance* balances
    SnapshotAccount* accounts


cdef size_t snapshot_size(const SnapshotHeader* header, const SnapshotCounts* counts) noexcept nogil:
    cdef size_t size = sizeof(SnapshotHeader) + header.assets * sizeof(AssetCommand)
    size += header.orders * sizeof(SnapshotOrder) + header.balances * sizeof(SnapshotBalance)
    if header.version == 1:
        return size + header.markets * sizeof(MarketCommand)
    size += sizeof(SnapshotCounts) + header.markets * sizeof(SnapshotMarket) + counts.accounts * sizeof(SnapshotAccount)
    return size + counts.extras * sizeof(SnapshotExtra) + <size_t>counts.names * CLIENT_ORDER_ID_SIZE


cdef void place_cursor(SnapshotCursor* cursor, char* at, const SnapshotHeader* header, const SnapshotCounts* counts) noexcept nogil:
    # Point into the sections behind the markets.
    cursor.orders = <SnapshotOrder*>at
    at += header.orders * sizeof(SnapshotOrder)
    cursor.extras = <SnapshotExtra*>at
    at += counts.extras * sizeof(SnapshotExtra)
    cursor.names = at
    at += <size_t>counts.names * CLIENT_ORDER_ID_SIZE
    cursor.balances = <SnapshotBalance*>at
    at += header.balances * sizeof(SnapshotBalance)
    cursor.accounts = <SnapshotAccount*>at


# Saving

cdef void count_records(const State* s, SnapshotHeader* header, SnapshotCounts* counts) noexcept nogil:
    cdef uint32_t at
    cdef const Order* order
    memset(header, 0, sizeof(SnapshotHeader))
    memset(counts, 0, sizeof(SnapshotCounts))
    memcpy(header.magic, b"EXSN", 4)
    header.version = SNAPSHOT_VERSION
    header.sequence = s.sequence
    header.trades = s.trade_count
    header.assets = s.asset_count
    header.markets = s.market_count
    header.orders = s.pool.live
    for at in range(s.ledger.count):
        header.balances += s.ledger.balances[at].available != 0 or s.ledger.balances[at].held != 0
    for at in range(1, s.accounts.count + 1):
        counts.accounts += not is_usual(&s.accounts.records[at])
    for at in range(1, s.pool.unused):
        order = &s.pool.orders[at]
        if order.side != 0:
            counts.extras += has_content(s, order)
            counts.names += order.named


cdef inline bint has_content(const State* s, const Order* order) noexcept nogil:
    return order.extra != 0 and extra_item(s, order) != 0


cdef void save_order(const State* s, SnapshotCursor* cursor, uint32_t index) noexcept nogil:
    cdef const Order* order = &s.pool.orders[index]
    cdef SnapshotOrder* saved = cursor.orders
    memset(saved, 0, sizeof(SnapshotOrder))
    saved.order_id = order.order_id
    saved.account = s.traders[order.owner].account
    saved.remaining_lots = order.remaining_lots
    saved.quantity_lots = order.quantity_lots
    saved.price_ticks = order.price_ticks
    saved.market = s.traders[order.owner].market
    saved.side = order.side
    saved.traits = order.traits
    saved.waiting = order.waiting
    saved.named = order.named
    cursor.orders += 1
    if has_content(s, order):
        saved.has_extra = 1
        save_extra(&s.extras[order.extra], cursor.extras)
        cursor.extras += 1
    if order.named:
        memcpy(cursor.names, &s.names[<size_t>index * CLIENT_ORDER_ID_SIZE], CLIENT_ORDER_ID_SIZE)
        cursor.names += CLIENT_ORDER_ID_SIZE


cdef void save_extra(const Extra* e, SnapshotExtra* saved) noexcept nogil:
    memset(saved, 0, sizeof(SnapshotExtra))
    saved.place_sequence = e.place_sequence
    saved.display_lots = e.display_lots
    saved.visible_lots = e.visible_lots if e.display_lots > 0 else 0
    saved.expire_ns = e.expire_ns
    saved.other_leg = e.other_leg
    saved.child = e.child
    saved.parent = e.parent
    saved.place = e.place
    saved.group = e.group
    saved.trigger_ticks = e.trigger_ticks
    saved.trail_ticks = e.trail_ticks
    saved.order_type = e.order_type


cdef void save_ladder(const State* s, SnapshotCursor* cursor, Ladder* ladder) noexcept nogil:
    cdef int64_t price = ladder.best
    cdef uint32_t index
    while price >= 0:
        index = ladder_level(ladder, <uint32_t>price).head
        while index != 0:
            save_order(s, cursor, index)
            index = s.pool.orders[index].next
        price = next_price(ladder, <uint32_t>price)


cdef int save_children(const State* s, SnapshotCursor* cursor, uint32_t count) noexcept nogil:
    # Orders that wait for a parent are in no queue. -1 when there is no memory to sort them.
    cdef uint64_t* ids
    cdef uint32_t found = 0
    cdef uint32_t at
    cdef uint32_t index
    if count == 0:
        return 0
    ids = <uint64_t*>malloc(count * sizeof(uint64_t))
    if ids == NULL:
        return -1
    for index in range(1, s.pool.unused):
        if s.pool.orders[index].side != 0 and s.pool.orders[index].waiting == WAITS_PARENT:
            ids[found] = s.pool.orders[index].order_id
            found += 1
    qsort(ids, found, sizeof(uint64_t), by_value)
    for at in range(found):
        save_order(s, cursor, pool_find(&s.pool, ids[at]))
    free(ids)
    return 0


cdef void save_market(const Market* market, SnapshotMarket* saved) noexcept nogil:
    memset(saved, 0, sizeof(SnapshotMarket))
    saved.definition = market.definition
    saved.configuration = market.configuration
    saved.reference_since = market.reference_since
    saved.auction_end = market.auction_end
    saved.last_price = market.last_price
    saved.range_low = market.range_low
    saved.range_high = market.range_high
    saved.reference = market.reference
    saved.mode = market.mode
    saved.configured = market.configured


cdef int by_owner(const void* a, const void* b) noexcept nogil:
    cdef const SnapshotBalance* x = <const SnapshotBalance*>a
    cdef const SnapshotBalance* y = <const SnapshotBalance*>b
    if x.account != y.account:
        return 1 if x.account > y.account else -1
    return (x.asset > y.asset) - (x.asset < y.asset)


cdef void save_balances(const State* s, SnapshotCursor* cursor, uint32_t count) noexcept nogil:
    cdef SnapshotBalance* saved = cursor.balances
    cdef uint32_t at
    cdef const Balance* balance
    for at in range(s.ledger.count):
        balance = &s.ledger.balances[at]
        if balance.available == 0 and balance.held == 0:
            continue
        saved.account = balance.account
        saved.asset = balance.asset
        saved.padding = 0
        saved.available_low = <uint64_t>balance.available
        saved.available_high = <int64_t>(balance.available >> 64)
        saved.held_low = <uint64_t>balance.held
        saved.held_high = <int64_t>(balance.held >> 64)
        saved += 1
    qsort(cursor.balances, count, sizeof(SnapshotBalance), by_owner)


cdef int by_account(const void* a, const void* b) noexcept nogil:
    cdef uint64_t x = (<const SnapshotAccount*>a).account
    cdef uint64_t y = (<const SnapshotAccount*>b).account
    return (x > y) - (x < y)


cdef void save_accounts(const State* s, SnapshotCursor* cursor, uint32_t count) noexcept nogil:
    cdef SnapshotAccount* saved = cursor.accounts
    cdef uint32_t at
    cdef const Account* record
    for at in range(1, s.accounts.count + 1):
        record = &s.accounts.records[at]
        if is_usual(record):
            continue
        saved.account = record.account
        saved.cancel_after = record.cancel_after
        saved.maker_share_ppm = record.maker_share_ppm
        saved.taker_share_ppm = record.taker_share_ppm
        saved += 1
    qsort(cursor.accounts, count, sizeof(SnapshotAccount), by_account)


cdef int save_state(const State* s, char* at, const SnapshotHeader* header, const SnapshotCounts* counts) noexcept nogil:
    cdef SnapshotCursor cursor
    cdef SnapshotOrder* first
    cdef Market* market
    cdef uint32_t number
    memcpy(at, header, sizeof(SnapshotHeader))
    memcpy(at + sizeof(SnapshotHeader), counts, sizeof(SnapshotCounts))
    at += sizeof(SnapshotHeader) + sizeof(SnapshotCounts)
    memcpy(at, s.assets, s.asset_count * sizeof(AssetCommand))
    at += s.asset_count * sizeof(AssetCommand)
    for number in range(s.market_count):
        save_market(s.markets[number], <SnapshotMarket*>at)
        at += sizeof(SnapshotMarket)
    place_cursor(&cursor, at, header, counts)
    first = cursor.orders
    for number in range(s.market_count):
        market = s.markets[number]
        save_ladder(s, &cursor, &market.book.bids)
        save_ladder(s, &cursor, &market.book.asks)
        save_ladder(s, &cursor, &market.above)
        save_ladder(s, &cursor, &market.below)
    save_balances(s, &cursor, header.balances)
    save_accounts(s, &cursor, counts.accounts)
    return save_children(s, &cursor, header.orders - <uint32_t>(cursor.orders - first))


# Loading. The checksum vouches for the bytes, not for who wrote them: whatever they say, it is refused or safe to run.

cdef enum LoadResult:
    LOADED = 0
    NO_MEMORY = -1
    ABSURD = -2


cdef int load_assets(State* s, const AssetCommand* saved, uint32_t count) noexcept nogil:
    cdef uint32_t at
    for at in range(count):
        if not asset_is_valid(s, &saved[at]):
            return ABSURD
        add_asset(s, &saved[at])
    return LOADED


cdef int load_market(State* s, const MarketCommand* definition) noexcept nogil:
    if not market_is_valid(s, definition):
        return ABSURD
    if ledger_reserve(&s.ledger, 2) < 0:
        return NO_MEMORY
    add_market(s, definition)
    return NO_MEMORY if s.broken else LOADED


cdef int load_market_state(State* s, const SnapshotMarket* saved) noexcept nogil:
    cdef int result = load_market(s, &saved.definition)
    cdef Market* market
    if result != LOADED:
        return result
    market = s.markets[s.market_count - 1]
    if saved.mode > AUCTION_MODE or saved.configured > 1 or saved.reference > market.definition.price_ticks_max:
        return ABSURD
    if saved.configured and not terms_are_valid(market, &saved.configuration):
        return ABSURD
    if saved.last_price > market.definition.price_ticks_max or saved.range_low > saved.range_high:
        return ABSURD
    if (saved.range_low == 0) != (saved.range_high == 0):
        return ABSURD
    if saved.configured:
        set_terms(s, market, &saved.configuration)
    market.mode = saved.mode
    market.last_price = saved.last_price
    market.range_low = saved.range_low
    market.range_high = saved.range_high
    market.reference = saved.reference
    market.reference_since = saved.reference_since
    market.auction_end = saved.auction_end
    s.timed_auctions += saved.auction_end != 0
    return LOADED


cdef bint order_is_sound(const State* s, const SnapshotOrder* saved, const SnapshotExtra* e) noexcept nogil:
    cdef const MarketCommand* market
    cdef int order_type = LIMIT_ORDER if e == NULL else e.order_type
    if not (1 <= saved.market <= s.market_count) or not (BUY <= saved.side <= SELL) or saved.waiting > WAITS_PARENT:
        return False
    if saved.account < FIRST_TRADING_ACCOUNT:
        return False
    if saved.order_id == 0 or saved.order_id > s.sequence or pool_find(&s.pool, saved.order_id) != 0:
        return False
    market = &s.markets[saved.market - 1].definition
    if not (1 <= saved.remaining_lots <= saved.quantity_lots <= market.quantity_lots_max) and not (
        1 <= saved.remaining_lots <= saved.quantity_lots < UNITS_MAX()
    ):
        return False
    if <int128_t>saved.price_ticks * saved.quantity_lots > s.markets[saved.market - 1].price_lots_max:
        return False
    if saved.price_ticks > market.price_ticks_max or <int128_t>saved.quantity_lots * market.lot_units >= UNITS_MAX():
        return False
    if (saved.traits >> 2 & 7) > DECREMENT or saved.traits >> 5 > 2 or saved.named > 1 or saved.has_extra > 1:
        return False
    if order_type != LIMIT_ORDER and not is_conditional(order_type):
        return False
    if saved.price_ticks == 0 and not is_market_like(order_type):
        return False
    return place_is_sound(saved, e, order_type, market)


cdef bint place_is_sound(
    const SnapshotOrder* saved, const SnapshotExtra* e, int order_type, const MarketCommand* market
) noexcept nogil:
    if saved.waiting == IN_BOOK and is_market_like(order_type):
        return False
    if e == NULL:
        return saved.waiting == IN_BOOK
    if e.display_lots < 0 or e.visible_lots < 0 or e.visible_lots > saved.remaining_lots or e.display_lots >= UNITS_MAX():
        return False
    if e.display_lots > 0 and (e.visible_lots == 0 or saved.remaining_lots > <int128_t>e.display_lots * ICEBERG_SLICES_MAX):
        return False
    if e.trigger_ticks > market.price_ticks_max or e.trail_ticks > market.price_ticks_max:
        return False
    if saved.waiting == WAITS_TRIGGER and (e.trigger_ticks == 0 or not is_conditional(order_type)):
        return False
    return order_type != TRAILING_STOP or e.trail_ticks > 0


cdef int load_order(State* s, const SnapshotOrder* saved, const SnapshotExtra* e, const char* name) noexcept nogil:
    cdef Market* market
    cdef Order* order
    cdef uint32_t index
    cdef int result
    if not order_is_sound(s, saved, e):
        return ABSURD
    market = s.markets[saved.market - 1]
    result = reserve_order(s, saved.order_id, market, TRAILING_STOP if e != NULL and e.order_type == TRAILING_STOP else LIMIT_ORDER, name != NULL)
    if result < 0:
        return NO_MEMORY
    index = add_order(s, saved.order_id, trader_of(s, saved.account, &market.definition))
    order = &s.pool.orders[index]
    order.remaining_lots = saved.remaining_lots
    order.quantity_lots = saved.quantity_lots
    order.price_ticks = saved.price_ticks
    order.side = saved.side
    order.traits = saved.traits
    order.waiting = saved.waiting
    if e != NULL:
        load_extra(s, index, e)
        if e.order_type == TRAILING_STOP:
            if market.trailing_count == TRAILING_ORDERS_MAX:
                return ABSURD
            market.trailing[market.trailing_count] = index
            market.trailing_count += 1
    if time_in_force_of(order) != GTC:
        agenda_push(s, attach_extra(s, order).expire_ns, True, saved.order_id)
    if name != NULL:
        name_order(s, index, name)
    remember(s, order)
    return queue_loaded(s, market, index)


cdef uint32_t trader_of(State* s, uint64_t account, const MarketCommand* market) noexcept nogil:
    cdef uint32_t found = s.trader_slots[trader_slot(s, account, market.market)]
    return found if found != 0 else add_trader(s, account, market)


cdef void load_extra(State* s, uint32_t index, const SnapshotExtra* saved) noexcept nogil:
    cdef Extra* e = attach_extra(s, &s.pool.orders[index])
    e.place_sequence = saved.place_sequence
    e.display_lots = saved.display_lots
    e.visible_lots = saved.visible_lots
    e.expire_ns = saved.expire_ns
    e.other_leg = saved.other_leg
    e.child = saved.child
    e.parent = saved.parent
    e.place = saved.place
    e.group = saved.group
    e.trigger_ticks = saved.trigger_ticks
    e.trail_ticks = saved.trail_ticks
    e.order_type = saved.order_type


cdef int queue_loaded(State* s, Market* market, uint32_t index) noexcept nogil:
    # Orders come in the order of their queues.
    cdef Order* order = &s.pool.orders[index]
    cdef Ladder* ladder = own_side(&market.book, order.side)
    if order.waiting == WAITS_TRIGGER:
        await_trigger(s, index)
    elif order.waiting == IN_BOOK:
        if enqueue(ladder, &s.pool, order.price_ticks, index) < 0:
            return NO_MEMORY
        count_iceberg(s, ladder, order, 1)
    return NO_MEMORY if s.broken else LOADED


cdef bint links_are_sound(const State* s) noexcept nogil:
    # Whoever is named is live, of the same trader, and names back.
    cdef uint32_t index
    cdef const Order* order
    cdef const Extra* e
    for index in range(1, s.pool.unused):
        order = &s.pool.orders[index]
        if order.side == 0 or order.extra == 0:
            continue
        e = &s.extras[order.extra]
        if e.other_leg != 0 and not names_back(s, order, e.other_leg, 0):
            return False
        if e.child != 0 and not names_back(s, order, e.child, 1):
            return False
        if e.parent != 0 and not names_back(s, order, e.parent, 2):
            return False
    return True


cdef bint names_back(const State* s, const Order* order, uint64_t named, int link) noexcept nogil:
    cdef uint32_t index = pool_find(&s.pool, named)
    cdef const Order* other = &s.pool.orders[index]
    cdef const Extra* e = &s.extras[other.extra]
    if index == 0 or other.extra == 0 or other.owner != order.owner or other == order:
        return False
    if link == 0:
        return e.other_leg == order.order_id and other.side == order.side and (
            (other.waiting == WAITS_PARENT) == (order.waiting == WAITS_PARENT)
        ) and not (other.waiting == IN_BOOK and order.waiting == IN_BOOK)
    if link == 1:
        return e.parent == order.order_id and other.waiting == WAITS_PARENT
    return e.child == order.order_id and order.waiting == WAITS_PARENT


cdef int load_orders(State* s, SnapshotCursor* cursor, const SnapshotHeader* header, const SnapshotCounts* counts) noexcept nogil:
    cdef uint32_t extras = 0
    cdef uint32_t names = 0
    cdef uint32_t at
    cdef const SnapshotOrder* saved
    cdef const SnapshotExtra* e
    cdef const char* name
    cdef int result
    for at in range(header.orders):
        saved = &cursor.orders[at]
        e = NULL
        name = NULL
        if header.version > 1 and saved.has_extra:
            if extras == counts.extras:
                return ABSURD
            e = &cursor.extras[extras]
            extras += 1
        if header.version > 1 and saved.named:
            if names == counts.names:
                return ABSURD
            name = &cursor.names[<size_t>names * CLIENT_ORDER_ID_SIZE]
            names += 1
        result = load_order(s, saved, e, name)
        if result != LOADED:
            return result
    return LOADED if extras == counts.extras and names == counts.names else ABSURD


cdef inline int128_t wide(uint64_t low, int64_t high) noexcept nogil:
    return <int128_t>(<uint128_t><uint64_t>high << 64 | low)


cdef int load_balance(State* s, const SnapshotBalance* saved) noexcept nogil:
    cdef Balance* balance
    cdef uint32_t index
    if not (1 <= saved.asset <= s.asset_count):
        return ABSURD
    if ledger_reserve(&s.ledger, 1) < 0:
        return NO_MEMORY
    index = balance_index(&s.ledger, saved.account, saved.asset)
    balance = &s.ledger.balances[index]
    if balance.dirty:
        return ABSURD
    balance.available = wide(saved.available_low, saved.available_high)
    balance.held = wide(saved.held_low, saved.held_high)
    if balance.held < 0 or (balance.available < 0 and saved.account != EXTERNAL_ACCOUNT):
        return ABSURD
    post(&s.ledger, index, 0, 0)
    return LOADED


cdef int load_account(State* s, const SnapshotAccount* saved) noexcept nogil:
    if saved.account < FIRST_TRADING_ACCOUNT or s.accounts.slots[account_slot(&s.accounts, saved.account)] != 0:
        return ABSURD
    if saved.maker_share_ppm > FEE_SHARE_PPM_MAX or saved.taker_share_ppm > FEE_SHARE_PPM_MAX:
        return ABSURD
    if accounts_reserve(&s.accounts) < 0 or tidy_agenda(s) < 0:
        return NO_MEMORY
    set_shares(s, saved.account, saved.maker_share_ppm, saved.taker_share_ppm)
    set_timer(s, open_account(&s.accounts, saved.account), saved.cancel_after)
    return LOADED


cdef int load_state(State* s, const SnapshotHeader* header, const SnapshotCounts* counts, char* at) noexcept nogil:
    # Fill an empty shard.
    cdef SnapshotCursor cursor
    cdef uint32_t number
    cdef int result = load_assets(s, <const AssetCommand*>at, header.assets)
    at += header.assets * sizeof(AssetCommand)
    s.sequence = header.sequence
    s.trade_count = header.trades
    for number in range(header.markets):
        if result == LOADED:
            if header.version == 1:
                result = load_market(s, <const MarketCommand*>at)
                at += sizeof(MarketCommand)
            else:
                result = load_market_state(s, <const SnapshotMarket*>at)
                at += sizeof(SnapshotMarket)
    if result != LOADED:
        return result
    place_cursor(&cursor, at, header, counts)
    result = load_orders(s, &cursor, header, counts)
    for number in range(header.balances):
        if result == LOADED:
            result = load_balance(s, &cursor.balances[number])
    for number in range(counts.accounts):
        if result == LOADED:
            result = load_account(s, &cursor.accounts[number])
    if result == LOADED:
        result = LOADED if links_are_sound(s) else ABSURD
    if result == LOADED:
        resume(s)
    return result


cdef void resume(State* s) noexcept nogil:
    # What is derived from the state: markets that have to fire still, and when time is due.
    cdef uint32_t number
    cdef Market* market
    for number in range(s.market_count):
        market = s.markets[number]
        if market.range_high != 0:
            touch(s, market)
            s.unfinished = s.unfinished or (market.mode == OPEN_MODE and met_order(market) != 0)
    find_next_due(s)

# Assets, markets and their terms, and transfers.

cdef bint name_is_valid(const char* name, int size, bint upper_alphanumeric) noexcept nogil:
    # Not empty, only allowed characters, and nothing but zeros behind the first zero.
    cdef int at = 0
    cdef char c
    while at < size and name[at] != 0:
        c = name[at]
        if upper_alphanumeric:
            if not (c'A' <= c <= c'Z' or c'0' <= c <= c'9'):
                return False
        elif not (0x21 <= c <= 0x7E):
            return False
        at += 1
    if at == 0:
        return False
    while at < size:
        if name[at] != 0:
            return False
        at += 1
    return True


cdef bint same_name(const char* a, const char* b, int size) noexcept nogil:
    cdef int at
    for at in range(size):
        if a[at] != b[at]:
            return False
    return True


cdef bint asset_is_valid(const State* s, const AssetCommand* command) noexcept nogil:
    cdef uint32_t at
    if command.asset != s.asset_count + 1 or s.asset_count == ASSETS_MAX:
        return False
    if command.scale > ASSET_SCALE_MAX or not name_is_valid(command.name, 16, True):
        return False
    for at in range(s.asset_count):
        if same_name(s.assets[at].name, command.name, 16):
            return False
    return True


cdef void define_asset(State* s, const AssetCommand* command) noexcept nogil:
    cdef bint valid = asset_is_valid(s, command)
    cdef Event* event = emit(s, ASSET_DEFINED if valid else REJECTED, command.header.account)
    event.asset = command.asset
    if not valid:
        event.reason = DEFINITION_INVALID
        return
    event.amount = command.scale
    add_asset(s, command)


cdef void add_asset(State* s, const AssetCommand* definition) noexcept nogil:
    s.assets[s.asset_count] = definition[0]
    s.asset_count += 1
    s.items += mix(mix(3, definition.asset), definition.scale)


cdef bint limits_are_valid(int64_t minimum, int64_t maximum, int64_t notional, int64_t lot_units) noexcept nogil:
    if not (1 <= minimum <= maximum < UNITS_MAX() and 0 <= notional < UNITS_MAX()):
        return False
    return <int128_t>maximum * lot_units < UNITS_MAX()


cdef bint market_is_valid(const State* s, const MarketCommand* command) noexcept nogil:
    cdef uint32_t at
    if command.market != s.market_count + 1 or s.market_count == MARKETS_MAX:
        return False
    if not (1 <= command.base <= s.asset_count and 1 <= command.quote <= s.asset_count):
        return False
    if command.base == command.quote or command.maker_fee_ppm > FEE_PPM_MAX or command.taker_fee_ppm > FEE_PPM_MAX:
        return False
    if not (1 <= command.lot_units < UNITS_MAX() and 1 <= command.tick_lot_units < UNITS_MAX()):
        return False
    if not (1 <= command.price_ticks_max <= PRICE_TICKS_MAX() and name_is_valid(command.symbol, 24, False)):
        return False
    if not limits_are_valid(
        command.quantity_lots_min, command.quantity_lots_max, command.notional_units_min, command.lot_units
    ):
        return False
    for at in range(s.market_count):
        if same_name(s.markets[at].definition.symbol, command.symbol, 24):
            return False
    return True


cdef void define_market(State* s, const MarketCommand* command) noexcept nogil:
    cdef bint valid = market_is_valid(s, command)
    cdef Event* event = emit(s, MARKET_DEFINED if valid else REJECTED, command.header.account)
    event.market = command.market
    if not valid:
        event.reason = DEFINITION_INVALID
        return
    event.asset = command.base
    event.quantity_lots = command.lot_units
    event.amount = command.tick_lot_units
    add_market(s, command)


cdef void add_market(State* s, const MarketCommand* definition) noexcept nogil:
    # Needs a ledger_reserve for two balances before.
    cdef Market* market = <Market*>calloc(1, sizeof(Market))
    if market == NULL:
        s.broken = True
        return
    if (
        book_open(&market.book) < 0 or ladder_open(&market.above, True) < 0 or ladder_open(&market.below, False) < 0
    ):
        close_market(market)
        s.broken = True
        return
    market.definition = definition[0]
    market.terms.maker_fee_ppm = definition.maker_fee_ppm
    market.terms.taker_fee_ppm = definition.taker_fee_ppm
    market.terms.quantity_lots_min = definition.quantity_lots_min
    market.terms.quantity_lots_max = definition.quantity_lots_max
    market.terms.notional_units_min = definition.notional_units_min
    market.price_lots_max = (UNITS_MAX() - 1) // definition.tick_lot_units
    market.revenue_base = balance_index(&s.ledger, REVENUE_ACCOUNT, definition.base)
    market.revenue_quote = balance_index(&s.ledger, REVENUE_ACCOUNT, definition.quote)
    s.markets[s.market_count] = market
    s.market_count += 1
    s.items += market_item(definition)


cdef void close_market(Market* market) noexcept nogil:
    book_close(&market.book)
    ladder_close(&market.above)
    ladder_close(&market.below)
    free(market.trailing)
    free(market)


cdef uint64_t market_item(const MarketCommand* market) noexcept nogil:
    cdef uint64_t h = mix(4, market.market)
    h = mix(h, market.base)
    h = mix(h, market.quote)
    h = mix(h, market.maker_fee_ppm)
    h = mix(h, market.taker_fee_ppm)
    h = mix(h, <uint64_t>market.lot_units)
    h = mix(h, <uint64_t>market.tick_lot_units)
    h = mix(h, <uint64_t>market.quantity_lots_min)
    h = mix(h, <uint64_t>market.quantity_lots_max)
    h = mix(h, <uint64_t>market.notional_units_min)
    return mix(h, <uint64_t>market.price_ticks_max)


cdef uint64_t terms_item(const Market* market) noexcept nogil:
    cdef const Terms* terms = &market.terms
    cdef uint64_t h = mix(9, market.definition.market)
    if not market.configured:
        return 0
    h = mix(h, terms.maker_fee_ppm)
    h = mix(h, terms.taker_fee_ppm)
    h = mix(h, terms.band_ppm)
    h = mix(h, terms.band_action)
    h = mix(h, terms.open_orders_max)
    h = mix(h, <uint64_t>terms.quantity_lots_min)
    h = mix(h, <uint64_t>terms.quantity_lots_max)
    h = mix(h, <uint64_t>terms.notional_units_min)
    h = mix(h, <uint64_t>terms.position_lots_max)
    h = mix(h, <uint64_t>terms.band_interval_ns)
    return mix(h, <uint64_t>terms.band_auction_ns)


cdef uint64_t state_item(const Market* market) noexcept nogil:
    # Of what changes while a market trades.
    cdef uint64_t h = mix(8, market.definition.market)
    if (
        market.mode == OPEN_MODE and market.last_price == 0 and market.range_high == 0 and market.reference == 0
        and market.reference_since == 0 and market.auction_end == 0
    ):
        return 0
    h = mix(h, market.mode)
    h = mix(h, market.last_price)
    h = mix(h, market.range_low)
    h = mix(h, market.range_high)
    h = mix(h, market.reference)
    h = mix(h, <uint64_t>market.reference_since)
    return mix(h, <uint64_t>market.auction_end)


cdef bint terms_are_valid(const Market* market, const TermsCommand* command) noexcept nogil:
    cdef const Terms* terms = &command.terms
    if terms.maker_fee_ppm > FEE_PPM_MAX or terms.taker_fee_ppm > FEE_PPM_MAX:
        return False
    if not limits_are_valid(
        terms.quantity_lots_min, terms.quantity_lots_max, terms.notional_units_min, market.definition.lot_units
    ):
        return False
    if terms.band_ppm > BAND_PPM_MAX or terms.band_action > BAND_AUCTION:
        return False
    if not (0 <= terms.position_lots_max < UNITS_MAX()) or terms.band_interval_ns < 0 or terms.band_auction_ns < 0:
        return False
    if terms.band_ppm > 0 and terms.band_action == BAND_AUCTION and terms.band_auction_ns == 0:
        return False
    return 0 <= command.reference_price_ticks <= market.definition.price_ticks_max


cdef void configure_market(State* s, const TermsCommand* command) noexcept nogil:
    cdef Market* market = NULL
    cdef Event* event
    cdef int reason = UNKNOWN_MARKET
    if 1 <= command.market <= s.market_count:
        market = s.markets[command.market - 1]
        reason = NONE if terms_are_valid(market, command) else DEFINITION_INVALID
    event = emit(s, REJECTED if reason else MARKET_CONFIGURED, command.header.account)
    event.market = command.market
    event.reason = reason
    if reason == NONE:
        set_terms(s, market, command)
        set_reference(s, market, command.reference_price_ticks)


cdef void set_terms(State* s, Market* market, const TermsCommand* command) noexcept nogil:
    s.items -= terms_item(market)
    market.configuration = command[0]
    market.terms = command.terms
    market.configured = True
    s.items += terms_item(market)


cdef void set_reference(State* s, Market* market, int64_t given) noexcept nogil:
    # Where the band of new terms begins.
    if market.terms.band_ppm == 0:
        market.reference = 0
        market.reference_since = 0
    elif given > 0 or (market.reference == 0 and market.last_price > 0):
        market.reference = <uint32_t>given if given > 0 else market.last_price
        market.reference_since = s.timestamp_ns


cdef void change_mode(State* s, const ModeCommand* command) noexcept nogil:
    cdef int reason = NONE
    cdef Event* event
    if not (1 <= command.market <= s.market_count):
        reason = UNKNOWN_MARKET
    elif command.mode > AUCTION_MODE:
        reason = MODE_INVALID
    elif command.until_ns != 0 and (command.mode != AUCTION_MODE or command.until_ns <= s.timestamp_ns):
        reason = EXPIRE_TIME_INVALID
    if reason != NONE:
        event = reject(s, &command.header, reason)
        event.market = command.market
        return
    set_mode(s, s.markets[command.market - 1], command.mode, command.until_ns, BY_OPERATOR)


# Transfers

cdef int128_t available_to(const State* s, uint64_t account, uint32_t asset) noexcept nogil:
    cdef uint32_t found = s.ledger.slots[balance_slot(&s.ledger, account, asset)]
    return s.ledger.balances[found - 1].available if found != 0 else 0


cdef int128_t owned_by(const State* s, uint64_t account, uint32_t asset) noexcept nogil:
    # What orders hold of it in any market is owned, too.
    cdef uint32_t found = s.ledger.slots[balance_slot(&s.ledger, account, asset)]
    return s.ledger.balances[found - 1].available + s.ledger.balances[found - 1].held if found != 0 else 0


cdef int transfer_reason(const State* s, const TransferCommand* command) noexcept nogil:
    if command.header.account < FIRST_TRADING_ACCOUNT:
        return ACCOUNT_INVALID
    if not (1 <= command.asset <= s.asset_count):
        return UNKNOWN_ASSET
    if not (1 <= command.amount < UNITS_MAX()):
        return AMOUNT_OUT_OF_RANGE
    if command.header.kind == WITHDRAW and available_to(s, command.header.account, command.asset) < command.amount:
        return INSUFFICIENT_FUNDS
    return NONE


cdef void transfer(State* s, const TransferCommand* command) noexcept nogil:
    cdef int reason = transfer_reason(s, command)
    cdef bint is_deposit = command.header.kind == DEPOSIT
    cdef int64_t change
    cdef Event* event = emit(s, REJECTED if reason else DEPOSITED if is_deposit else WITHDRAWN, command.header.account)
    event.reason = reason
    event.asset = command.asset
    event.amount = command.amount
    if reason == NONE:
        change = command.amount if is_deposit else -command.amount
        post(&s.ledger, balance_index(&s.ledger, command.header.account, command.asset), change, 0)
        post(&s.ledger, balance_index(&s.ledger, EXTERNAL_ACCOUNT, command.asset), -change, 0)

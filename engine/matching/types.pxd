# The C face of engine/records.py: the same records, field by field, and the bounds. A test holds the two against each other.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    typedef __int128 exchange_int128;
    typedef unsigned __int128 exchange_uint128;
    """
    # Cython only needs to know that these are integers; C keeps the real width, and conversions ask for it.
    ctypedef long long int128_t "exchange_int128"
    ctypedef unsigned long long uint128_t "exchange_uint128"

cdef enum:
    LAYOUT_VERSION = 2

cdef enum:
    DEFINE_ASSET = 1
    DEFINE_MARKET = 2
    DEPOSIT = 3
    WITHDRAW = 4
    PLACE = 5
    CANCEL = 6
    AMEND = 7
    CANCEL_REPLACE = 8
    MASS_CANCEL_COMMAND = 9
    CONFIGURE_MARKET = 10
    SET_MODE = 11
    CLOCK = 12
    SET_FEES = 13
    CANCEL_AFTER = 14

cdef enum:
    ASSET_DEFINED = 1
    MARKET_DEFINED = 2
    DEPOSITED = 3
    WITHDRAWN = 4
    ACCEPTED = 5
    REJECTED = 6
    TRADED = 7
    CANCELLED = 8
    TRIGGERED = 9
    ACTIVATED = 10
    REFRESHED = 11
    PREVENTED = 12
    AMENDED = 13
    CANCEL_REJECTED = 14
    MASS_CANCELLED = 15
    MARKET_CONFIGURED = 16
    MODE_CHANGED = 17
    UNCROSSED = 18
    FEES_SET = 19
    CANCEL_AFTER_SET = 20
    CANCEL_AFTER_FIRED = 21

cdef enum:
    BUY = 1
    SELL = 2

cdef enum:
    MARKET_ORDER = 1
    LIMIT_ORDER = 2
    STOP = 3
    STOP_LIMIT = 4
    TAKE_PROFIT = 5
    TAKE_PROFIT_LIMIT = 6
    TRAILING_STOP = 7

cdef enum:
    DAY = 0
    GTC = 1
    IOC = 3
    FOK = 4
    GTD = 6

cdef enum:
    POST_ONLY = 1
    SLIDE = 2
    ALLOW_FAILURE = 4
    PRIORITY_KEPT = 16
    AUCTION_TRADE = 32

cdef enum:
    TRADE_WITH_SELF = 0
    CANCEL_NEWEST = 1
    CANCEL_OLDEST = 2
    CANCEL_BOTH = 3
    DECREMENT = 4

cdef enum:
    NO_CONTINGENCY = 0
    ONE_CANCELS_OTHER = 1
    ONE_TRIGGERS_OTHER = 2
    WAITS_FOR_PARENT = 3

cdef enum:
    OPEN_MODE = 0
    CANCEL_ONLY_MODE = 1
    POST_ONLY_MODE = 2
    HALTED_MODE = 3
    AUCTION_MODE = 4

cdef enum:
    BAND_REJECT = 0
    BAND_AUCTION = 1

cdef enum:
    EXTERNAL_ACCOUNT = 0
    REVENUE_ACCOUNT = 1
    FIRST_TRADING_ACCOUNT = 2
    ASSETS_MAX = 256
    MARKETS_MAX = 1024
    ASSET_SCALE_MAX = 18
    FEE_PPM_MAX = 100000
    FEE_SHARE_PPM_MAX = 1000000
    BAND_PPM_MAX = 1000000
    PPM = 1000000
    CASCADE_MAX = 1000
    ICEBERG_SLICES_MAX = 100
    TRAILING_ORDERS_MAX = 1000
    CLIENT_ORDER_ID_SIZE = 36

cdef enum:
    NONE = 0
    UNKNOWN_KIND = 1050
    UNKNOWN_MARKET = 1051
    UNKNOWN_ASSET = 1052
    SIDE_INVALID = 1053
    ORDER_TYPE_INVALID = 1054
    TIME_IN_FORCE_INVALID = 1055
    FLAGS_INVALID = 1056
    PRICE_OUT_OF_RANGE = 1057
    QUANTITY_OUT_OF_RANGE = 1058
    NOTIONAL_TOO_SMALL = 1059
    NOTIONAL_TOO_LARGE = 1060
    AMOUNT_OUT_OF_RANGE = 1061
    DEFINITION_INVALID = 1062
    ACCOUNT_INVALID = 1063
    TRIGGER_PRICE_INVALID = 1064
    TRAIL_INVALID = 1065
    DISPLAY_QUANTITY_INVALID = 1066
    MIN_QUANTITY_INVALID = 1067
    EXPIRE_TIME_INVALID = 1068
    SELF_TRADE_INVALID = 1069
    LINK_INVALID = 1070
    MODE_INVALID = 1071
    SCOPE_INVALID = 1072
    INSUFFICIENT_FUNDS = 2001
    OPEN_ORDERS_LIMIT = 2004
    POSITION_LIMIT = 2005
    POST_ONLY_WOULD_CROSS = 3001
    FOK_NOT_FILLABLE = 3002
    UNKNOWN_ORDER = 3003
    MARKET_CANCEL_ONLY = 3005
    MARKET_POST_ONLY = 3006
    MARKET_HALTED = 3007
    MARKET_IN_AUCTION = 3008
    PRICE_BAND = 3009
    TRIGGER_ALREADY_MET = 3010
    MIN_QUANTITY_NOT_FILLABLE = 3011
    QUANTITY_BELOW_FILLED = 3012
    TRAILING_ORDERS_FULL = 3013
    CANCELLED_BY_OWNER = 4001
    IOC_REMAINDER = 4002
    NO_LIQUIDITY = 4003
    EXPIRED = 4004
    SELF_TRADE = 4005
    LINKED_ORDER = 4006
    MASS_CANCEL = 4007
    REPLACED = 4008
    DEAD_MAN_TIMER = 4009
    BY_OPERATOR = 4101
    AUCTION_ENDED = 4102

cdef inline int64_t UNITS_MAX() noexcept nogil:
    return (<int64_t>1) << 62

cdef inline int64_t PRICE_TICKS_MAX() noexcept nogil:
    return ((<int64_t>1) << 32) - 1

cdef inline int64_t NS_MAX() noexcept nogil:
    return <int64_t>0x7FFFFFFFFFFFFFFF

cdef inline int64_t DAY_NS() noexcept nogil:
    return <int64_t>86400 * 1000000000

cdef packed struct Header:
    uint8_t version
    uint8_t kind
    uint8_t side
    uint8_t order_type
    uint8_t time_in_force
    uint8_t flags
    uint8_t self_trade
    uint8_t contingency
    uint64_t sequence
    int64_t timestamp_ns
    uint64_t account

cdef packed struct OrderCommand:
    Header header
    uint64_t order_id
    uint32_t market
    uint32_t trail_ticks
    int64_t price_ticks
    int64_t quantity_lots
    int64_t amount
    int64_t trigger_price_ticks
    int64_t display_lots
    int64_t expire_ns
    char client_order_id[36]
    uint32_t group
    int64_t min_quantity_lots

cdef packed struct TransferCommand:
    Header header
    uint64_t order_id
    uint32_t market
    uint32_t asset
    int64_t price_ticks
    int64_t quantity_lots
    int64_t amount
    int64_t trigger_price_ticks
    int64_t display_lots
    int64_t expire_ns
    char reference[36]         # not the engine's business
    char padding[12]

cdef packed struct AssetCommand:
    Header header
    uint32_t asset
    uint32_t scale
    char name[16]
    char padding[88]

cdef packed struct MarketCommand:
    Header header
    uint32_t market
    uint32_t base
    uint32_t quote
    uint32_t maker_fee_ppm
    uint32_t taker_fee_ppm
    uint32_t reserved_2
    int64_t lot_units
    int64_t tick_lot_units
    int64_t quantity_lots_min
    int64_t quantity_lots_max
    int64_t notional_units_min
    int64_t price_ticks_max
    char symbol[24]
    char padding[16]

cdef packed struct Terms:
    uint32_t maker_fee_ppm
    uint32_t taker_fee_ppm
    uint32_t band_ppm
    uint32_t band_action
    uint32_t open_orders_max
    int64_t quantity_lots_min
    int64_t quantity_lots_max
    int64_t notional_units_min
    int64_t position_lots_max
    int64_t band_interval_ns
    int64_t band_auction_ns

cdef packed struct TermsCommand:
    Header header
    uint32_t market
    Terms terms
    int64_t reference_price_ticks
    char padding[32]

cdef packed struct ModeCommand:
    Header header
    uint32_t market
    uint32_t mode
    int64_t until_ns
    char padding[96]

cdef packed struct FeesCommand:
    Header header
    uint32_t maker_share_ppm
    uint32_t taker_share_ppm
    char padding[104]

cdef packed struct Event:
    uint8_t kind
    uint8_t side
    uint8_t order_type
    uint8_t time_in_force
    uint8_t flags
    uint8_t self_trade
    uint16_t reason
    uint64_t sequence
    int64_t timestamp_ns
    uint32_t market
    uint32_t asset
    uint64_t order_id
    uint64_t account
    int64_t price_ticks
    int64_t quantity_lots
    int64_t remaining_lots
    int64_t amount
    uint64_t maker_order_id
    uint64_t maker_account
    int64_t maker_remaining_lots
    int64_t taker_fee
    int64_t maker_fee
    int64_t hold_released
    uint64_t trade_id

cdef packed struct OrderEvent:
    uint8_t kind
    uint8_t side
    uint8_t order_type
    uint8_t time_in_force
    uint8_t flags
    uint8_t self_trade
    uint16_t reason
    uint64_t sequence
    int64_t timestamp_ns
    uint32_t market
    uint32_t asset
    uint64_t order_id
    uint64_t account
    int64_t price_ticks
    int64_t quantity_lots
    int64_t remaining_lots
    int64_t amount
    int64_t trigger_price_ticks
    int64_t display_lots
    int64_t visible_lots
    int64_t expire_ns
    uint64_t linked_order_id
    int64_t ahead_lots
    uint32_t ahead_orders
    uint32_t trail_ticks

cdef packed struct ModeEvent:
    uint8_t kind
    uint8_t side
    uint8_t order_type
    uint8_t time_in_force
    uint8_t flags
    uint8_t self_trade
    uint16_t reason
    uint64_t sequence
    int64_t timestamp_ns
    uint32_t market
    uint32_t asset
    uint64_t order_id
    uint64_t account
    int64_t reference_price_ticks
    int64_t mode
    int64_t previous_mode
    int64_t until_ns
    char padding[56]

cdef packed struct FeesEvent:
    uint8_t kind
    uint8_t side
    uint8_t order_type
    uint8_t time_in_force
    uint8_t flags
    uint8_t self_trade
    uint16_t reason
    uint64_t sequence
    int64_t timestamp_ns
    uint32_t market
    uint32_t asset
    uint64_t order_id
    uint64_t account
    int64_t maker_share_ppm
    int64_t taker_share_ppm
    char padding[72]

# The C face of engine/records.py: the same records, field by field, and the bounds. A test holds the two against each other.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    typedef __int128 exchange_int128;
    typedef unsigned __int128 exchange_uint128;
    """
    # Cython only needs to know that these are integers; C keeps the real width. Never converted to Python objects directly.
    ctypedef long long int128_t "exchange_int128"
    ctypedef unsigned long long uint128_t "exchange_uint128"

cdef enum:
    LAYOUT_VERSION = 1
    DEFINE_ASSET = 1
    DEFINE_MARKET = 2
    DEPOSIT = 3
    WITHDRAW = 4
    PLACE = 5
    CANCEL = 6

cdef enum:
    ASSET_DEFINED = 1
    MARKET_DEFINED = 2
    DEPOSITED = 3
    WITHDRAWN = 4
    ACCEPTED = 5
    REJECTED = 6
    TRADED = 7
    CANCELLED = 8

cdef enum:
    BUY = 1
    SELL = 2
    MARKET_ORDER = 1
    LIMIT_ORDER = 2
    GTC = 1
    IOC = 3
    FOK = 4
    POST_ONLY = 1

cdef enum:
    EXTERNAL_ACCOUNT = 0
    REVENUE_ACCOUNT = 1
    FIRST_TRADING_ACCOUNT = 2
    ASSETS_MAX = 256
    MARKETS_MAX = 1024
    ASSET_SCALE_MAX = 18
    FEE_PPM_MAX = 100000
    PPM = 1000000

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
    INSUFFICIENT_FUNDS = 2001
    POST_ONLY_WOULD_CROSS = 3001
    FOK_NOT_FILLABLE = 3002
    UNKNOWN_ORDER = 3003
    CANCELLED_BY_OWNER = 4001
    IOC_REMAINDER = 4002
    NO_LIQUIDITY = 4003

cdef inline int64_t UNITS_MAX() noexcept nogil:
    return (<int64_t>1) << 62

cdef inline int64_t PRICE_TICKS_MAX() noexcept nogil:
    return ((<int64_t>1) << 32) - 1

cdef packed struct Header:
    uint8_t version
    uint8_t kind
    uint8_t side
    uint8_t order_type
    uint8_t time_in_force
    uint8_t flags
    uint16_t reserved
    uint64_t sequence
    int64_t timestamp_ns
    uint64_t account

cdef packed struct OrderCommand:
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
    char client_order_id[36]
    uint32_t group
    char padding[8]

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

cdef packed struct Event:
    uint8_t kind
    uint8_t side
    uint8_t order_type
    uint8_t time_in_force
    uint8_t flags
    uint8_t reserved
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

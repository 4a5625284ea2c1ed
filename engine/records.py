"""Commands and events as packed fixed-size records: the one declaration of their layout.

A batch of commands is one buffer of `COMMAND_SIZE`-byte records, a batch of events one buffer of `EVENT_SIZE`-byte
records. The journal stores these bytes as they are. Every command record starts with the same header and is read by
the dtype of its kind; every event record has one layout. `engine/matching/types.pxd` mirrors these layouts for C and
a test holds the two against each other.

All integers are little-endian. A field that a kind does not use is zero.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

LAYOUT_VERSION = 2  # of the commands that this build writes; version 1 is executed as it always was


class CommandKind(IntEnum):
    """What a command asks for."""

    DEFINE_ASSET = 1
    DEFINE_MARKET = 2
    DEPOSIT = 3
    WITHDRAW = 4
    PLACE = 5
    CANCEL = 6
    AMEND = 7
    CANCEL_REPLACE = 8
    MASS_CANCEL = 9
    CONFIGURE_MARKET = 10
    SET_MODE = 11
    CLOCK = 12  # nothing but the time that it carries
    SET_FEES = 13  # an account's share of the markets' fees
    CANCEL_AFTER = 14  # its dead-man timer


class EventKind(IntEnum):
    """What a command caused, in the order in which it happened."""

    ASSET_DEFINED = 1
    MARKET_DEFINED = 2
    DEPOSITED = 3
    WITHDRAWN = 4
    ACCEPTED = 5
    REJECTED = 6
    TRADED = 7
    CANCELLED = 8
    TRIGGERED = 9  # a waiting order fires
    ACTIVATED = 10  # an order that waited for its parent takes part
    REFRESHED = 11  # an iceberg shows its next slice, behind the others at its price
    PREVENTED = 12  # a self-trade that did not happen
    AMENDED = 13
    CANCEL_REJECTED = 14  # the first half of a CANCEL_REPLACE; the second goes on
    MASS_CANCELLED = 15
    MARKET_CONFIGURED = 16
    MODE_CHANGED = 17
    UNCROSSED = 18  # the result of a call auction; its trades follow
    FEES_SET = 19
    CANCEL_AFTER_SET = 20
    CANCEL_AFTER_FIRED = 21  # after the CANCELLED of the account's orders


class Side(IntEnum):
    """FIX tag 54."""

    BUY = 1
    SELL = 2


class OrderType(IntEnum):
    """FIX tag 40; the take-profits are its J and K (market or limit if touched)."""

    MARKET = 1
    LIMIT = 2
    STOP = 3
    STOP_LIMIT = 4
    TAKE_PROFIT = 5
    TAKE_PROFIT_LIMIT = 6
    TRAILING_STOP = 7


class TimeInForce(IntEnum):
    """FIX tag 59. Post-only (FIX 18=6, ParticipateDoNotInitiate) is a flag."""

    DAY = 0  # until the next midnight UTC
    GTC = 1
    IOC = 3
    FOK = 4
    GTD = 6  # until `expire_ns`


class SelfTrade(IntEnum):
    """What happens to an order that would trade with its own account or group (FIX tag 2964; the group is 2362)."""

    NONE = 0  # it trades
    CANCEL_NEWEST = 1
    CANCEL_OLDEST = 2
    CANCEL_BOTH = 3
    DECREMENT = 4  # both shrink by what would have traded


class Contingency(IntEnum):
    """FIX tag 1385: how an order hangs on another, which its `order_id` names."""

    NONE = 0
    ONE_CANCELS_OTHER = 1  # the order is the other leg of `order_id`
    ONE_TRIGGERS_OTHER = 2  # the order's end activates `order_id` for what it filled
    WAITS_FOR_PARENT = 3  # the order sleeps until a parent that names it ends


class Mode(IntEnum):
    """What a market lets happen (FIX tag 340, TradSesStatus)."""

    OPEN = 0
    CANCEL_ONLY = 1
    POST_ONLY = 2
    HALTED = 3
    AUCTION = 4


class BandAction(IntEnum):
    """What happens at the edge of a price band."""

    REJECT = 0
    AUCTION = 1


FLAG_POST_ONLY = 1
FLAG_SLIDE = 2  # with POST_ONLY: take the best passive price instead of being refused
FLAG_ALLOW_FAILURE = 4  # CANCEL_REPLACE: place even if there is nothing to cancel
FLAG_PRIORITY_KEPT = 16  # events only, AMENDED
FLAG_AUCTION = 32  # events only, TRADED: both sides rested, nobody was the aggressor

# Balances of the ledger that belong to nobody who trades.
EXTERNAL_ACCOUNT = 0  # where deposits come from and withdrawals go: the only balance that may be negative
REVENUE_ACCOUNT = 1  # where fees go

# Stated bounds. Anything outside is refused with a reason before it changes state.
PRICE_TICKS_MAX = 2**32 - 1
UNITS_MAX = 2**62  # exclusive: notionals, holds and transfer amounts in asset units
QUANTITY_LOTS_MAX = 2**62  # exclusive
FEE_PPM_MAX = 100_000  # 10 %
FEE_SHARE_PPM_MAX = 1_000_000  # the whole fee, which an account pays unless it is given less
ASSET_SCALE_MAX = 18
BAND_PPM_MAX = 1_000_000
CASCADE_MAX = 1_000  # waiting orders that fire during one command; the others go on with the next
TRAILING_ORDERS_MAX = 1_000  # a market; each trade may move all of them
ICEBERG_SLICES_MAX = 100  # of what remains of an order; each slice is an event for whoever takes it
DAY_NS = 86_400_000_000_000
CLIENT_ORDER_ID_SIZE = 36

_HEADER = [
    ("version", "<u1"),
    ("kind", "<u1"),
    ("side", "<u1"),
    ("order_type", "<u1"),
    ("time_in_force", "<u1"),
    ("flags", "<u1"),
    ("self_trade", "<u1"),
    ("contingency", "<u1"),
    ("sequence", "<u8"),  # given by the sequencer; the first command of a shard is 1
    ("timestamp_ns", "<i8"),  # given by the sequencer; Unix time
    ("account", "<u8"),
]

COMMAND_SIZE = 144


def _command_dtype(body: list[tuple[str, str]]) -> np.dtype[np.void]:
    packed = np.dtype(_HEADER + body)
    padding = COMMAND_SIZE - packed.itemsize
    return np.dtype(_HEADER + body + ([("padding", f"V{padding}")] if padding else []))


# PLACE, CANCEL, AMEND, CANCEL_REPLACE, MASS_CANCEL, CANCEL_AFTER. A command of version 1 counts as if all that it did
# not know were zero.
ORDER_COMMAND = _command_dtype(
    [
        ("order_id", "<u8"),  # to cancel, amend or replace; PLACE: the linked one (its own id is its sequence)
        ("market", "<u4"),
        ("trail_ticks", "<u4"),
        ("price_ticks", "<i8"),  # the limit, or what a market order will not trade beyond (0: none)
        ("quantity_lots", "<i8"),
        ("amount", "<i8"),  # MARKET: quote units to spend or to receive, instead of a quantity
        ("trigger_price_ticks", "<i8"),
        ("display_lots", "<i8"),  # iceberg: what is shown at a time
        ("expire_ns", "<i8"),  # GTD; CANCEL_AFTER: when the account's orders end, 0: never
        ("client_order_id", f"S{CLIENT_ORDER_ID_SIZE}"),
        ("group", "<u4"),  # accounts of one group are one for self-trade prevention; 0: the account alone
        ("min_quantity_lots", "<i8"),  # FIX tag 110: trade at least this at once or not at all
    ]
)

# DEPOSIT, WITHDRAW. The reference lies where an order has its client order id.
TRANSFER_COMMAND = _command_dtype(
    [
        ("order_id", "<u8"),
        ("market", "<u4"),
        ("asset", "<u4"),
        ("price_ticks", "<i8"),
        ("quantity_lots", "<i8"),
        ("amount", "<i8"),  # in units of the asset, 0 < amount < UNITS_MAX
        ("trigger_price_ticks", "<i8"),
        ("display_lots", "<i8"),
        ("expire_ns", "<i8"),
        ("reference", f"S{CLIENT_ORDER_ID_SIZE}"),  # whose transfer it is, in its maker's words: the engine ignores it
    ]
)

ASSET_COMMAND = _command_dtype(
    [
        ("asset", "<u4"),  # 1, 2, 3, ... in the order of definition
        ("scale", "<u4"),  # one asset = 10**scale units
        ("name", "S16"),
    ]
)

MARKET_COMMAND = _command_dtype(
    [
        ("market", "<u4"),  # 1, 2, 3, ... in the order of definition
        ("base", "<u4"),
        ("quote", "<u4"),
        ("maker_fee_ppm", "<u4"),  # millionths of what the party receives, in the asset it receives
        ("taker_fee_ppm", "<u4"),
        ("reserved_2", "<u4"),
        ("lot_units", "<i8"),  # base units a lot
        ("tick_lot_units", "<i8"),  # quote units that one lot costs at a price of one tick
        ("quantity_lots_min", "<i8"),
        ("quantity_lots_max", "<i8"),
        ("notional_units_min", "<i8"),
        ("price_ticks_max", "<i8"),
        ("symbol", "S24"),
    ]
)

# CONFIGURE_MARKET: everything about a market that may change, all at once.
MARKET_TERMS_COMMAND = _command_dtype(
    [
        ("market", "<u4"),
        ("maker_fee_ppm", "<u4"),
        ("taker_fee_ppm", "<u4"),
        ("band_ppm", "<u4"),  # width of the price band to each side of the reference, in millionths of it; 0: no band
        ("band_action", "<u4"),
        ("open_orders_max", "<u4"),  # an account; 0: no limit
        ("quantity_lots_min", "<i8"),
        ("quantity_lots_max", "<i8"),
        ("notional_units_min", "<i8"),
        ("position_lots_max", "<i8"),  # base that an account may own or have bids for; 0: no limit
        ("band_interval_ns", "<i8"),  # how long a reference lasts before it moves to the last price
        ("band_auction_ns", "<i8"),  # length of a volatility auction
        ("reference_price_ticks", "<i8"),  # 0: the last price
    ]
)

MODE_COMMAND = _command_dtype(
    [
        ("market", "<u4"),
        ("mode", "<u4"),
        ("until_ns", "<i8"),  # AUCTION: when it ends by itself; 0: when it is told to
    ]
)

# SET_FEES: what of a market's fees the account pays, in millionths of them.
FEES_COMMAND = _command_dtype(
    [
        ("maker_share_ppm", "<u4"),  # 0..FEE_SHARE_PPM_MAX
        ("taker_share_ppm", "<u4"),
    ]
)

# Events have one size and one beginning. TRADED and PREVENTED are read by EVENT, MODE_CHANGED by MODE_EVENT, FEES_SET
# by FEES_EVENT, all others by ORDER_EVENT.
_EVENT_HEAD = [
    ("kind", "<u1"),
    ("side", "<u1"),  # of the order; of a trade: the taker's
    ("order_type", "<u1"),
    ("time_in_force", "<u1"),
    ("flags", "<u1"),
    ("self_trade", "<u1"),
    ("reason", "<u2"),  # Reason of REJECTED, CANCELLED, ...
    ("sequence", "<u8"),  # of the command that caused it
    ("timestamp_ns", "<i8"),
    ("market", "<u4"),
    ("asset", "<u4"),
    ("order_id", "<u8"),  # of a trade: the taker's
    ("account", "<u8"),  # whose order it is; of a trade: the taker's
]

EVENT = np.dtype(
    [
        *_EVENT_HEAD,
        ("price_ticks", "<i8"),
        ("quantity_lots", "<i8"),  # ACCEPTED: of the order. TRADED: of the trade. CANCELLED: what was cancelled
        ("remaining_lots", "<i8"),  # of the order after the event; of a trade: the taker's
        (
            "amount",
            "<i8",
        ),  # ACCEPTED: units held. TRADED: notional in quote units. CANCELLED: units released. Transfers: units
        ("maker_order_id", "<u8"),
        ("maker_account", "<u8"),
        ("maker_remaining_lots", "<i8"),
        ("taker_fee", "<i8"),  # units of the asset that the taker receives
        ("maker_fee", "<i8"),  # units of the asset that the maker receives
        ("hold_released", "<i8"),  # TRADED: quote units that a buying taker held above the traded price
        ("trade_id", "<u8"),  # 1, 2, 3, ... a shard
    ]
)
EVENT_SIZE = EVENT.itemsize

ORDER_EVENT = np.dtype(
    [
        *_EVENT_HEAD,
        ("price_ticks", "<i8"),
        ("quantity_lots", "<i8"),
        ("remaining_lots", "<i8"),
        ("amount", "<i8"),  # units held (ACCEPTED, TRIGGERED, ACTIVATED, AMENDED: the change) or released (CANCELLED)
        ("trigger_price_ticks", "<i8"),
        ("display_lots", "<i8"),
        ("visible_lots", "<i8"),  # what an iceberg shows now
        ("expire_ns", "<i8"),  # CANCEL_AFTER_SET, CANCEL_AFTER_FIRED: of the timer
        ("linked_order_id", "<u8"),
        ("ahead_lots", "<i8"),  # AMENDED: visible lots and orders before it at its price
        ("ahead_orders", "<u4"),
        ("trail_ticks", "<u4"),
    ]
)

MODE_EVENT = np.dtype(
    [
        *_EVENT_HEAD,
        ("reference_price_ticks", "<i8"),
        ("mode", "<i8"),
        ("previous_mode", "<i8"),
        ("until_ns", "<i8"),
        ("padding", "V56"),
    ]
)

FEES_EVENT = np.dtype(
    [
        *_EVENT_HEAD,
        ("maker_share_ppm", "<i8"),
        ("taker_share_ppm", "<i8"),
        ("padding", "V72"),
    ]
)


class Reason(IntEnum):
    """Why a command was refused or an order ended.

    Numbered by stage: 1xxx validate, 2xxx risk, 3xxx match, 4xxx end of an order. Codes below 1050 can only arise at
    the edge (text that is no command); the engine itself returns the others.
    """

    NONE = 0
    # validate, at the edge
    MALFORMED = 1001
    UNKNOWN_SYMBOL = 1002
    PRICE_OFF_TICK = 1003
    QUANTITY_OFF_LOT = 1004
    CLIENT_ORDER_ID_INVALID = 1005
    BODY_TOO_LARGE = 1006
    # validate, in the engine (and at the edge first)
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
    # risk
    INSUFFICIENT_FUNDS = 2001
    CLIENT_ORDER_ID_REUSED = 2002
    FAUCET_LIMIT = 2003
    OPEN_ORDERS_LIMIT = 2004
    POSITION_LIMIT = 2005
    # match
    POST_ONLY_WOULD_CROSS = 3001
    FOK_NOT_FILLABLE = 3002
    UNKNOWN_ORDER = 3003
    ORDER_ENDED = 3004
    MARKET_CANCEL_ONLY = 3005
    MARKET_POST_ONLY = 3006
    MARKET_HALTED = 3007
    MARKET_IN_AUCTION = 3008
    PRICE_BAND = 3009
    TRIGGER_ALREADY_MET = 3010
    MIN_QUANTITY_NOT_FILLABLE = 3011
    QUANTITY_BELOW_FILLED = 3012
    TRAILING_ORDERS_FULL = 3013
    # why an accepted order ended without being filled
    CANCELLED_BY_OWNER = 4001
    IOC_REMAINDER = 4002
    NO_LIQUIDITY = 4003
    EXPIRED = 4004
    SELF_TRADE = 4005
    LINKED_ORDER = 4006
    MASS_CANCEL = 4007
    REPLACED = 4008
    DEAD_MAN_TIMER = 4009
    # why a market's mode changed (PRICE_BAND is the third)
    BY_OPERATOR = 4101
    AUCTION_ENDED = 4102


class LiveOrder(NamedTuple):
    """An order that has not ended, as both engines tell it: what `order` and `orders` return."""

    order_id: int  # the sequence of the command that placed it
    account: int
    market: int
    side: int
    order_type: int
    time_in_force: int
    flags: int  # FLAG_POST_ONLY, FLAG_SLIDE
    self_trade: int
    group: int
    price_ticks: int  # the limit, 0: none
    quantity_lots: int  # filled and remaining
    remaining_lots: int
    display_lots: int  # 0: everything is shown
    visible_lots: int  # what an iceberg shows now; 0 without display_lots
    expire_ns: int
    trigger_price_ticks: int  # stays after it fired
    trail_ticks: int
    waiting: int  # 0: in the book, 1: for its trigger, 2: for its parent
    other_leg: int  # order ids, 0: none
    child: int
    parent: int
    client_order_id: bytes  # without the zero bytes at its end


class MarketState(NamedTuple):
    """What is true of a market now: what both engines' `state` returns. A price of 0: there is none."""

    mode: int
    last_price_ticks: int
    range_low: int  # trigger range in ticks; 0, 0: empty
    range_high: int
    reference_price_ticks: int  # of the price band
    reference_since_ns: int
    auction_end_ns: int  # 0: the auction does not end by itself

"""Commands and events as packed fixed-size records: the one declaration of their layout.

A batch of commands is one buffer of `COMMAND_SIZE`-byte records, a batch of events one buffer of `EVENT_SIZE`-byte
records. The journal stores these bytes as they are. Every command record starts with the same header and is read by
the dtype of its kind; every event record has one layout. `engine/matching/types.pxd` mirrors these layouts for C and
a test holds the two against each other.

All integers are little-endian. A field that a kind does not use is zero.
"""

from enum import IntEnum

import numpy as np

LAYOUT_VERSION = 1


class CommandKind(IntEnum):
    """What a command asks for."""

    DEFINE_ASSET = 1
    DEFINE_MARKET = 2
    DEPOSIT = 3
    WITHDRAW = 4
    PLACE = 5
    CANCEL = 6


class EventKind(IntEnum):
    """What a command caused. `TRADED` and `CANCELLED` follow the `ACCEPTED` of their own command."""

    ASSET_DEFINED = 1
    MARKET_DEFINED = 2
    DEPOSITED = 3
    WITHDRAWN = 4
    ACCEPTED = 5
    REJECTED = 6
    TRADED = 7
    CANCELLED = 8


class Side(IntEnum):
    """FIX tag 54."""

    BUY = 1
    SELL = 2


class OrderType(IntEnum):
    """FIX tag 40."""

    MARKET = 1
    LIMIT = 2


class TimeInForce(IntEnum):
    """FIX tag 59. Post-only (FIX 18=6, ParticipateDoNotInitiate) is a flag of a GTC limit order."""

    GTC = 1
    IOC = 3
    FOK = 4


FLAG_POST_ONLY = 1

# Balances of the ledger that belong to nobody who trades.
EXTERNAL_ACCOUNT = 0  # where deposits come from and withdrawals go: the only balance that may be negative
REVENUE_ACCOUNT = 1  # where fees go

# Stated bounds. Anything outside is refused with a reason before it changes state.
PRICE_TICKS_MAX = 2**32 - 1
UNITS_MAX = 2**62  # exclusive: notionals, holds and transfer amounts in asset units
QUANTITY_LOTS_MAX = 2**62  # exclusive
FEE_PPM_MAX = 100_000  # 10 %
ASSET_SCALE_MAX = 18
CLIENT_ORDER_ID_SIZE = 36

_HEADER = [
    ("version", "<u1"),
    ("kind", "<u1"),
    ("side", "<u1"),
    ("order_type", "<u1"),
    ("time_in_force", "<u1"),
    ("flags", "<u1"),
    ("reserved", "<u2"),
    ("sequence", "<u8"),  # given by the sequencer; the first command of a shard is 1
    ("timestamp_ns", "<i8"),  # given by the sequencer; Unix time
    ("account", "<u8"),
]

COMMAND_SIZE = 144


def _command_dtype(body: list[tuple[str, str]]) -> np.dtype[np.void]:
    packed = np.dtype(_HEADER + body)
    padding = COMMAND_SIZE - packed.itemsize
    return np.dtype(_HEADER + body + ([("padding", f"V{padding}")] if padding else []))


ORDER_COMMAND = _command_dtype(
    [
        ("order_id", "<u8"),  # CANCEL: the order to cancel. PLACE: zero, the order's id is its sequence
        ("market", "<u4"),
        ("asset", "<u4"),
        ("price_ticks", "<i8"),  # LIMIT: the limit. MARKET: zero, or the protection price that it will not trade beyond
        ("quantity_lots", "<i8"),
        ("amount", "<i8"),
        ("trigger_price_ticks", "<i8"),
        ("display_lots", "<i8"),
        ("expire_ns", "<i8"),
        ("client_order_id", f"S{CLIENT_ORDER_ID_SIZE}"),
        ("group", "<u4"),
    ]
)

TRANSFER_COMMAND = _command_dtype(
    [
        ("order_id", "<u8"),
        ("market", "<u4"),
        ("asset", "<u4"),
        ("price_ticks", "<i8"),
        ("quantity_lots", "<i8"),
        ("amount", "<i8"),  # in units of the asset, 0 < amount < UNITS_MAX
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

EVENT = np.dtype(
    [
        ("kind", "<u1"),
        ("side", "<u1"),  # of the order; of a trade: the taker's
        ("order_type", "<u1"),
        ("time_in_force", "<u1"),
        ("flags", "<u1"),
        ("reserved", "<u1"),
        ("reason", "<u2"),  # Reason of REJECTED and CANCELLED
        ("sequence", "<u8"),  # of the command that caused it
        ("timestamp_ns", "<i8"),
        ("market", "<u4"),
        ("asset", "<u4"),
        ("order_id", "<u8"),  # of a trade: the taker's
        ("account", "<u8"),  # of a trade: the taker's
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
    # risk
    INSUFFICIENT_FUNDS = 2001
    CLIENT_ORDER_ID_REUSED = 2002
    FAUCET_LIMIT = 2003
    # match
    POST_ONLY_WOULD_CROSS = 3001
    FOK_NOT_FILLABLE = 3002
    UNKNOWN_ORDER = 3003
    ORDER_ENDED = 3004
    # why an accepted order ended without being filled
    CANCELLED_BY_OWNER = 4001
    IOC_REMAINDER = 4002
    NO_LIQUIDITY = 4003

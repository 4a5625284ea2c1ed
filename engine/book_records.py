"""Records of `engine.matching.Book`: a batch of operations in, the trades and the refusals out.

All integers are little-endian. A field that a kind does not use is ignored. `engine/matching/bare.pyx` mirrors these
layouts for C and a test holds the two against each other.
"""

from enum import IntEnum

import numpy as np


class OperationKind(IntEnum):
    """What an operation of a batch does; the methods of `Book` of the same names do the same."""

    LIMIT = 1
    MARKET = 2
    CANCEL = 3
    REPLACE = 4


class Refusal(IntEnum):
    """Why a book did not do an operation. The numbers that `engine.records.Reason` has too mean the same there."""

    UNKNOWN_KIND = 1050
    SIDE_INVALID = 1053
    TIME_IN_FORCE_INVALID = 1055
    FLAGS_INVALID = 1056
    PRICE_OUT_OF_RANGE = 1057
    QUANTITY_OUT_OF_RANGE = 1058
    ORDER_ID_IN_USE = 1090
    POST_ONLY_WOULD_CROSS = 3001
    FOK_NOT_FILLABLE = 3002
    UNKNOWN_ORDER = 3003


OPERATION = np.dtype(
    [
        ("kind", "<u1"),
        ("side", "<u1"),  # LIMIT, MARKET
        ("time_in_force", "<u1"),  # LIMIT
        ("flags", "<u1"),  # LIMIT: 0 or FLAG_POST_ONLY
        ("reserved", "<u4"),
        ("order_id", "<u8"),
        ("price_ticks", "<i8"),  # LIMIT, REPLACE: 1 <= price_ticks <= PRICE_TICKS_MAX
        ("quantity_lots", "<i8"),  # LIMIT, MARKET, REPLACE: 1 <= quantity_lots < QUANTITY_LOTS_MAX
    ]
)

TRADE = np.dtype(
    [
        ("maker_order_id", "<u8"),
        ("taker_order_id", "<u8"),
        ("price_ticks", "<i8"),  # the maker's
        ("quantity_lots", "<i8"),
    ]
)

REFUSED = np.dtype(
    [
        ("operation", "<u4"),  # its place in the batch, from 0
        ("refusal", "<u4"),  # a Refusal
    ]
)

"""Commands as Hypothesis strategies: ordinary ones, ones at every bound, and bytes that mean nothing."""

from collections.abc import Callable

from hypothesis import strategies as st

from engine.records import COMMAND_SIZE, CommandKind, Side
from tests.support import commands

ACCOUNTS = st.integers(2, 5)
MARKETS = st.integers(1, 3)
SIDES = st.sampled_from(Side)

# A market of small numbers, one with fees and a smallest notional, one where a few lots reach every 64-bit bound.
DEFINITIONS = [
    commands.define_asset(1, "USD"),
    commands.define_asset(2, "BTC"),
    commands.define_asset(3, "ETH"),
    commands.define_market(1, "BTC/USD", 2, 1),
    commands.define_market(
        2, "ETH/USD", 3, 1, maker_fee_ppm=12_345, taker_fee_ppm=100_000, notional_units_min=12, tick_lot_units=3
    ),
    commands.define_market(
        3,
        "ETH/BTC",
        3,
        2,
        lot_units=2**20 + 1,
        tick_lot_units=2**30 - 1,
        quantity_lots_max=2**41,
        price_ticks_max=2**32 - 1,
        taker_fee_ppm=99_999,
    ),
]

_POWERS = [2**power for power in (8, 16, 30, 31, 32, 33, 40, 41, 53, 61, 62, 63, 64)]
_BOUNDS = [0, 1, 2, 3, 10, *(power + delta for power in _POWERS for delta in (-1, 0, 1))]


def int64() -> st.SearchStrategy[int]:
    """A signed 64-bit number, mostly at a bound of something."""
    near = [sign * value for value in _BOUNDS for sign in (1, -1)]
    return st.sampled_from([n for n in near if -(2**63) <= n < 2**63]) | st.integers(-(2**63), 2**63 - 1)


def unsigned(bits: int) -> st.SearchStrategy[int]:
    """An unsigned number of so many bits, mostly at a bound of something."""
    return st.sampled_from([n for n in _BOUNDS if n < 2**bits]) | st.integers(0, 2**bits - 1)


def limit_orders() -> st.SearchStrategy[bytes]:
    """Orders around a few prices, so that most of them meet."""
    kinds = [{}, {}, {}, {"flags": 1}, {"time_in_force": 3}, {"time_in_force": 4}]
    return st.builds(
        lambda account, market, side, price, lots, kind: commands.place(account, market, side, price, lots, **kind),
        ACCOUNTS,
        MARKETS,
        SIDES,
        st.integers(1, 8),
        st.integers(1, 9),
        st.sampled_from(kinds),
    )


def market_orders() -> st.SearchStrategy[bytes]:
    """Market orders with and without a protection price."""
    return st.builds(
        lambda account, market, side, lots, price, tif: commands.place_market(
            account, market, side, lots, price_ticks=price, time_in_force=tif
        ),
        ACCOUNTS,
        MARKETS,
        SIDES,
        st.integers(1, 30),
        st.sampled_from([0, 0, 3, 5, 8]),
        st.sampled_from([3, 3, 4]),
    )


def wide_orders() -> st.SearchStrategy[bytes]:
    """Acceptable orders in market 3 of any size and price up to the bounds, so that amounts reach theirs."""
    exponents = st.floats(0, 1)

    def build(account: int, side: int, price: float, lots: float, tif: int) -> bytes:
        return commands.place(account, 3, side, int(2 ** (32 * price)), int(2 ** (41 * lots)), time_in_force=tif)

    return st.builds(build, ACCOUNTS, SIDES, exponents, exponents, st.sampled_from([1, 1, 1, 3, 4]))


def edge_orders() -> st.SearchStrategy[bytes]:
    """Orders any field of which may be anything."""
    return st.builds(
        commands.record,
        st.just(CommandKind.PLACE),
        account=ACCOUNTS | unsigned(64),
        market=MARKETS | unsigned(32),
        side=SIDES | unsigned(8),
        order_type=st.sampled_from([1, 2]) | unsigned(8),
        time_in_force=st.sampled_from([1, 3, 4]) | unsigned(8),
        flags=st.sampled_from([0, 0, 1]) | unsigned(8),
        price_ticks=st.integers(0, 9) | int64(),
        quantity_lots=st.integers(0, 9) | int64(),
        amount=int64(),
        order_id=unsigned(64),
    )


def transfers() -> st.SearchStrategy[bytes]:
    """Deposits and withdrawals, ordinary, huge and wrong."""
    build: Callable[..., bytes] = commands.record
    kinds = st.sampled_from([CommandKind.DEPOSIT, CommandKind.WITHDRAW])
    amounts = st.integers(1, 500) | st.just(2**62 - 1) | int64()
    return st.builds(
        build, kinds, account=ACCOUNTS | unsigned(64), asset=st.integers(1, 3) | unsigned(32), amount=amounts
    )


def asset_definitions() -> st.SearchStrategy[bytes]:
    """Definitions of an asset that are often next, often acceptable."""
    names = st.sampled_from([b"USD", b"DOGE", b"XRP", b"", b"a", b"A\0B", b"0" * 16]) | st.binary(max_size=16)
    return st.builds(
        commands.record,
        st.just(CommandKind.DEFINE_ASSET),
        asset=st.integers(3, 6) | unsigned(32),
        scale=st.integers(0, 19) | unsigned(32),
        name=names,
    )


def market_definitions() -> st.SearchStrategy[bytes]:
    """Definitions of a market with all terms anywhere around their bounds."""
    small = st.integers(1, 9)
    symbols = st.sampled_from([b"BTC/USD", b"XRP/USD", b"A B", b"", b"!" * 24, b"A\0B"]) | st.binary(max_size=24)
    return st.builds(
        commands.record,
        st.just(CommandKind.DEFINE_MARKET),
        market=st.integers(3, 5) | unsigned(32),
        base=st.integers(0, 4) | unsigned(32),
        quote=st.integers(0, 4) | unsigned(32),
        maker_fee_ppm=st.integers(99_998, 100_001) | small,
        taker_fee_ppm=small | unsigned(32),
        lot_units=small | int64(),
        tick_lot_units=small | int64(),
        quantity_lots_min=small | int64(),
        quantity_lots_max=st.integers(9, 99) | int64(),
        notional_units_min=small | int64(),
        price_ticks_max=small | int64(),
        symbol=symbols,
    )


def garbage() -> st.SearchStrategy[bytes]:
    """Any bytes, half of them with the header of a command."""
    anything = st.binary(min_size=COMMAND_SIZE, max_size=COMMAND_SIZE)
    headed = st.builds(lambda kind, body: bytes([1, kind]) + body[2:], st.integers(0, 7), anything)
    return anything | headed


def any_command() -> st.SearchStrategy[bytes]:
    """One command of any sort except a cancel, which needs to know what there is to cancel."""
    usual = [limit_orders(), limit_orders(), limit_orders(), limit_orders(), market_orders(), wide_orders()]
    odd = [edge_orders(), transfers(), asset_definitions(), market_definitions(), garbage()]
    return st.one_of(*usual, *odd)

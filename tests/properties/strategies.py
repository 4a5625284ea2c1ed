"""Commands as Hypothesis strategies: ordinary ones, ones at every bound, and bytes that mean nothing."""

import numpy as np
from hypothesis import strategies as st

from engine.records import (
    ASSET_COMMAND,
    COMMAND_SIZE,
    MARKET_COMMAND,
    ORDER_COMMAND,
    TRANSFER_COMMAND,
    CommandKind,
    Side,
)
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
    kinds: list[dict[str, int]] = [{}, {}, {}, {}, {}, {"flags": 1}, {"time_in_force": 3}, {"time_in_force": 4}]
    return st.builds(
        lambda account, market, side, price, lots, kind: commands.place(account, market, side, price, lots, **kind),
        ACCOUNTS,
        MARKETS,
        SIDES,
        st.integers(1, 5),
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
        st.sampled_from([0, 0, 0, 1, 2, 3, 4]),
        st.sampled_from([3, 3, 3, 4]),
    )


def wide_orders() -> st.SearchStrategy[bytes]:
    """Orders in market 3 of few but far prices and quantities, so that they meet and amounts reach their bounds."""
    prices = st.sampled_from([1, 2**16, 2**31, 2**32 - 1])
    lots = st.sampled_from([1, 2**15, 2**16 - 1, 2**31, 2**32 - 1, 2**41])
    return st.builds(
        lambda account, side, price, quantity, kind: commands.override(
            commands.place(account, 3, side, price, quantity), **kind
        ),
        ACCOUNTS,
        SIDES,
        prices,
        lots,
        st.sampled_from([{}, {}, {}, {"time_in_force": 3}, {"order_type": 1, "time_in_force": 3, "price_ticks": 0}]),
    )


def transfers() -> st.SearchStrategy[bytes]:
    """Deposits and withdrawals, ordinary and huge."""
    kinds = st.sampled_from([CommandKind.DEPOSIT, CommandKind.WITHDRAW])
    amounts = st.integers(1, 500) | st.just(2**62 - 1)
    return st.builds(commands.record, kinds, account=ACCOUNTS, asset=st.integers(1, 3), amount=amounts)


def definitions() -> st.SearchStrategy[bytes]:
    """Definitions that come next in a shard that began with DEFINITIONS, if there was none since."""
    asset = commands.define_asset(4, "DOGE")
    market = commands.define_market(4, "BTC/ETH", 2, 3, maker_fee_ppm=100_000, notional_units_min=5)
    return st.sampled_from([asset, commands.define_asset(5, "XRP"), market, commands.define_market(5, "A", 3, 1)])


_ODD_VALUES: dict[str, st.SearchStrategy[int] | st.SearchStrategy[bytes]] = {
    "name": st.sampled_from([b"USD", b"", b"a", b"A\0B", b"0" * 16]) | st.binary(max_size=16),
    "symbol": st.sampled_from([b"BTC/USD", b"A B", b"", b"!" * 24, b"A\0B"]) | st.binary(max_size=24),
}


def with_an_odd_field(usual: st.SearchStrategy[bytes], layout: np.dtype[np.void]) -> st.SearchStrategy[bytes]:
    """Commands of this layout in which one field may be anything."""

    def odd(name: str) -> st.SearchStrategy[bytes]:
        kind = layout[name]
        number = int64() if kind.kind == "i" else unsigned(8 * kind.itemsize)
        values = _ODD_VALUES.get(name, number)
        return st.builds(lambda command, value: commands.override(command, **{name: value}), usual, values)

    names = [name for name in layout.names or () if layout[name].kind in "iu" or name in _ODD_VALUES]
    return st.sampled_from([name for name in names if name not in ("kind", "sequence", "timestamp_ns")]).flatmap(odd)


def garbage() -> st.SearchStrategy[bytes]:
    """Any bytes, half of them with the header of a command."""
    anything = st.binary(min_size=COMMAND_SIZE, max_size=COMMAND_SIZE)
    headed = st.builds(lambda kind, body: bytes([1, kind]) + body[2:], st.integers(0, 7), anything)
    return anything | headed


def orders() -> st.SearchStrategy[bytes]:
    """Orders that mostly do something."""
    return st.one_of(limit_orders(), limit_orders(), limit_orders(), market_orders(), wide_orders(), wide_orders())


def odd_commands() -> st.SearchStrategy[bytes]:
    """Everything that is no order, and orders that are wrong."""
    assets = definitions().filter(lambda command: command[1] == CommandKind.DEFINE_ASSET)
    markets = definitions().filter(lambda command: command[1] == CommandKind.DEFINE_MARKET)
    return st.one_of(
        transfers(),
        definitions(),
        garbage(),
        with_an_odd_field(limit_orders() | market_orders(), ORDER_COMMAND),
        with_an_odd_field(transfers(), TRANSFER_COMMAND),
        with_an_odd_field(assets, ASSET_COMMAND),
        with_an_odd_field(markets, MARKET_COMMAND),
    )


def any_command() -> st.SearchStrategy[bytes]:
    """One command of any sort except a cancel, which needs to know what there is to cancel."""
    return st.one_of(orders(), odd_commands())

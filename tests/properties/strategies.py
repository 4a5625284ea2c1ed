"""Commands as Hypothesis strategies: ordinary ones of every kind, ones at every bound, and bytes that mean nothing."""

from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st

from engine.records import (
    ASSET_COMMAND,
    COMMAND_SIZE,
    DAY_NS,
    FEES_COMMAND,
    FLAG_ALLOW_FAILURE,
    FLAG_POST_ONLY,
    FLAG_SLIDE,
    MARKET_COMMAND,
    MARKET_TERMS_COMMAND,
    MODE_COMMAND,
    ORDER_COMMAND,
    TRANSFER_COMMAND,
    BandAction,
    CommandKind,
    Contingency,
    Mode,
    OrderType,
    SelfTrade,
    Side,
    TimeInForce,
)
from tests.support import commands

ACCOUNTS = st.integers(2, 5)
MARKETS = st.integers(1, 3)
SIDES = st.sampled_from(Side)
PRICES = st.integers(1, 9)
LOTS = st.integers(1, 9)

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


# Times are small numbers of seconds from 0, so that orders expire and auctions end in the few steps that a test makes.
SECOND = 10**9
EXPIRIES = st.sampled_from([SECOND, 2 * SECOND, 3 * SECOND, 5 * SECOND, 9 * SECOND, DAY_NS, 2 * DAY_NS])


def time_steps() -> st.SearchStrategy[int]:
    """By how much a command comes after the last one, in nanoseconds: mostly little, sometimes huge or back."""
    usual = st.sampled_from([1_000, 1_000, 1_000, 1_000, 1_000, SECOND // 2, SECOND])
    return st.one_of(usual, usual, usual, usual, st.sampled_from([0, 5 * SECOND, DAY_NS, -1, -SECOND, -DAY_NS]))


# Orders


@cache
def _limits() -> st.SearchStrategy[dict[str, Any]]:
    special: list[dict[str, Any]] = [
        {"time_in_force": TimeInForce.IOC},
        {"time_in_force": TimeInForce.FOK},
        {"flags": FLAG_POST_ONLY},
        {"flags": FLAG_POST_ONLY | FLAG_SLIDE},
        {"display_lots": 1},
        {"display_lots": 2},
        {"display_lots": 1, "flags": FLAG_POST_ONLY | FLAG_SLIDE},
        {"min_quantity_lots": 2},
        {"min_quantity_lots": 1, "time_in_force": TimeInForce.IOC},
    ]
    return st.one_of(st.just({}), st.just({}), st.sampled_from(special))


@cache
def _markets() -> st.SearchStrategy[dict[str, Any]]:
    usual = {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.IOC, "price_ticks": 0}
    more: list[dict[str, Any]] = [
        {},
        {"price_ticks": 4},
        {"time_in_force": TimeInForce.FOK},
        {"quantity_lots": 0, "amount": 30},
        {"quantity_lots": 0, "amount": 100},
        {"quantity_lots": 0, "amount": 2**61},
        {"min_quantity_lots": 1},
        {"quantity_lots": 40},
    ]
    return st.sampled_from([{**usual, **fields} for fields in more])


@cache
def _conditionals() -> st.SearchStrategy[dict[str, Any]]:
    """Of the five types, with triggers among the prices that trade."""
    kinds: list[dict[str, Any]] = [
        {"order_type": OrderType.STOP, "price_ticks": 0},
        {"order_type": OrderType.TAKE_PROFIT, "price_ticks": 0},
        {"order_type": OrderType.STOP},
        {"order_type": OrderType.TAKE_PROFIT},
        {"order_type": OrderType.STOP_LIMIT},
        {"order_type": OrderType.TAKE_PROFIT_LIMIT},
    ]
    triggered = st.builds(
        lambda kind, trigger: {**kind, "trigger_price_ticks": trigger}, st.sampled_from(kinds), PRICES
    )
    trailing = st.builds(
        lambda trail, trigger: {
            "order_type": OrderType.TRAILING_STOP,
            "price_ticks": 0,
            "trail_ticks": trail,
            "trigger_price_ticks": trigger,
        },
        st.integers(1, 3),
        st.sampled_from([0, 0, 2, 5, 8]),
    )
    return st.one_of(triggered, triggered, trailing)


@cache
def _wishes() -> st.SearchStrategy[dict[str, Any]]:
    """What any order may say besides."""
    return st.fixed_dictionaries(
        {},
        optional={
            "self_trade": st.sampled_from(SelfTrade),
            "group": st.integers(0, 2),
            "client_order_id": st.sampled_from([b"a-1", b"a-2", b"b-1", b"a\0b"]),
        },
    )


@cache
def orders(*kinds: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[bytes]:
    """Orders around a few prices, so that most of them meet; of these kinds or of any."""
    usual = kinds or (_limits(), _limits(), _limits(), _markets(), _conditionals(), _conditionals())

    def build(account: int, market: int, side: int, price: int, lots: int, *fields: dict[str, Any]) -> bytes:
        order = commands.place(account, market, side, price, lots)
        for more in fields:
            order = commands.override(order, **more)
        return order

    placed = st.builds(build, ACCOUNTS, MARKETS, SIDES, PRICES, LOTS, st.one_of(*usual), _wishes())
    return st.builds(_for_a_time, placed, st.sampled_from([None, None, None, 0]) | EXPIRIES)


def _for_a_time(order: bytes, expire_ns: int | None) -> bytes:
    """An order that lasts, for the day (0) or until a time, and any other as it is."""
    if expire_ns is None or commands.read_command(order)["time_in_force"] != TimeInForce.GTC:
        return order
    return commands.override(
        order, time_in_force=TimeInForce.GTD if expire_ns else TimeInForce.DAY, expire_ns=expire_ns
    )


def wide_orders() -> st.SearchStrategy[bytes]:
    """Orders in market 3 of few but far prices and quantities, so that they meet and amounts reach their bounds."""
    prices = st.sampled_from([1, 2**16, 2**31, 2**32 - 1])
    lots = st.sampled_from([1, 2**15, 2**16 - 1, 2**31, 2**32 - 1, 2**41])
    kinds: list[dict[str, Any]] = [
        {},
        {},
        {},
        {"time_in_force": 3},
        {"order_type": 1, "time_in_force": 3, "price_ticks": 0},
        {"order_type": 1, "time_in_force": 3, "price_ticks": 0, "quantity_lots": 0, "amount": 2**62 - 1},
        {"order_type": 3, "trigger_price_ticks": 2**16, "price_ticks": 0},
        {"order_type": 7, "trail_ticks": 2**31, "price_ticks": 0},
        {"display_lots": 2**14},
        {"self_trade": 4},
    ]
    return st.builds(
        lambda account, side, price, quantity, kind: commands.override(
            commands.place(account, 3, side, price, quantity), **kind
        ),
        ACCOUNTS,
        SIDES,
        prices,
        lots,
        st.sampled_from(kinds),
    )


def any_orders() -> st.SearchStrategy[bytes]:
    """Orders that mostly do something."""
    return st.one_of(orders(), orders(), orders(), wide_orders())


def legs(first: Any) -> st.SearchStrategy[bytes]:
    """Orders that would be the other leg of a live order."""
    return st.builds(_leg_of, st.just(first), orders(_conditionals(), _conditionals(), _limits()))


def _leg_of(first: Any, order: bytes) -> bytes:
    terms = {"quantity_lots": first.remaining_lots, "order_id": first.order_id, "self_trade": 0}
    terms |= {"contingency": Contingency.ONE_CANCELS_OTHER, "account": first.account, "side": first.side}
    return commands.override(order, market=first.market, **terms)


def parents(child: Any) -> st.SearchStrategy[bytes]:
    """Orders that would be the parent of a live order, mostly of the other side."""
    return st.builds(_parent_of, st.just(child), orders(), st.sampled_from([False, False, False, True]))


def _parent_of(child: Any, order: bytes, same_side: bool) -> bytes:
    terms = {"order_id": child.order_id, "contingency": Contingency.ONE_TRIGGERS_OTHER, "market": child.market}
    side = child.side if same_side else Side.BUY + Side.SELL - child.side
    return commands.override(order, account=child.account, side=side, **terms)


@cache
def children() -> st.SearchStrategy[bytes]:
    """Orders that wait for a parent."""
    return orders(_conditionals(), _limits(), _limits()).map(_as_child)


def _as_child(order: bytes) -> bytes:
    return commands.override(order, contingency=Contingency.WAITS_FOR_PARENT)


def amends(order: Any) -> st.SearchStrategy[bytes]:
    """Other terms for a live order."""
    return st.builds(_amended, st.just(order), _changes())


def _amended(order: Any, changes: dict[str, int]) -> bytes:
    return commands.amend(order.account, order.order_id, **changes)


@cache
def _changes() -> st.SearchStrategy[dict[str, int]]:
    changes: dict[str, st.SearchStrategy[int]] = {
        "price_ticks": PRICES,
        "quantity_lots": LOTS,
        "trigger_price_ticks": PRICES,
        "display_lots": st.integers(1, 3),
    }
    return st.fixed_dictionaries({}, optional=changes) | st.fixed_dictionaries({"price_ticks": PRICES})


def replaces(order: Any) -> st.SearchStrategy[bytes]:
    """Another order for a live one."""
    return st.builds(_replacement, st.just(order), orders(), st.booleans())


def _replacement(order: Any, other: bytes, anyway: bool) -> bytes:
    flags = commands.read_command(other)["flags"] | (FLAG_ALLOW_FAILURE if anyway else 0)
    return commands.cancel_replace(order.order_id, other, account=order.account, flags=flags)


# Everything else


def mass_cancels() -> st.SearchStrategy[bytes]:
    """Scopes of every sort."""
    return st.builds(
        lambda account, market, side, prices, prefix: commands.mass_cancel(
            account, market, side, prices[0], prices[1], prefix
        ),
        ACCOUNTS | ACCOUNTS | st.just(0),
        st.integers(0, 3),
        st.integers(0, 2),
        st.sampled_from([(0, 0), (0, 0), (1, 4), (3, 9), (5, 5)]),
        st.sampled_from([b"", b"", b"a-", b"b-1"]),
    )


def modes() -> st.SearchStrategy[bytes]:
    """OPEN as often as all others together."""
    timed = st.builds(commands.set_mode, MARKETS, st.just(Mode.AUCTION), EXPIRIES)
    others = st.builds(commands.set_mode, MARKETS, st.sampled_from([Mode.AUCTION, Mode.AUCTION, *Mode]))
    opened = st.builds(commands.set_mode, MARKETS, st.just(Mode.OPEN))
    return st.one_of(opened, opened, timed, others)


def terms() -> st.SearchStrategy[bytes]:
    """Other terms for a market: narrow bands, low limits, or all as it was."""
    optional: dict[str, st.SearchStrategy[int]] = {
        "open_orders_max": st.integers(1, 3),
        "position_lots_max": st.sampled_from([1, 20, 2**40]),
        "taker_fee_ppm": st.sampled_from([0, 100_000]),
        "quantity_lots_min": st.sampled_from([1, 2]),
        "quantity_lots_max": st.sampled_from([6, 2**41]),
        "notional_units_min": st.sampled_from([0, 30]),
    }
    band = st.fixed_dictionaries(
        {
            "band_ppm": st.sampled_from([150_000, 300_000, 600_000]),
            "band_action": st.sampled_from(BandAction),
            "band_auction_ns": st.just(2 * SECOND),
        },
        optional={
            "band_interval_ns": st.just(SECOND),
            "reference_price_ticks": st.integers(1, 9),
        },
    )
    more = st.fixed_dictionaries({}, optional=optional)
    return st.builds(
        lambda market, fields, limits: commands.configure_market(
            market, **{"quantity_lots_max": 2**41, **fields, **limits}
        ),
        MARKETS,
        band | band | st.just({}),
        st.just({}) | more,
    )


def transfers() -> st.SearchStrategy[bytes]:
    """Deposits and withdrawals, ordinary and huge."""
    kinds = st.sampled_from([CommandKind.DEPOSIT, CommandKind.WITHDRAW])
    amounts = st.integers(1, 500) | st.just(2**62 - 1)
    return st.builds(commands.record, kinds, account=ACCOUNTS, asset=st.integers(1, 3), amount=amounts)


def fees() -> st.SearchStrategy[bytes]:
    """Shares of fees, most of them allowed."""
    shares = st.sampled_from([0, 1, 333_333, 999_999, 1_000_000]) | st.integers(0, 1_000_001)
    return st.builds(commands.set_fees, ACCOUNTS | st.integers(0, 1), shares, shares)


def timers() -> st.SearchStrategy[bytes]:
    """Dead-man timers that run out when orders expire too, or are off."""
    return st.builds(commands.cancel_after, ACCOUNTS, EXPIRIES | EXPIRIES | st.just(0))


def definitions() -> st.SearchStrategy[bytes]:
    """Definitions that come next in a shard that began with DEFINITIONS, if there was none since."""
    asset = commands.define_asset(4, "DOGE")
    market = commands.define_market(4, "BTC/ETH", 2, 3, maker_fee_ppm=100_000, notional_units_min=5)
    return st.sampled_from([asset, commands.define_asset(5, "XRP"), market, commands.define_market(5, "A", 3, 1)])


_ODD_VALUES: dict[str, st.SearchStrategy[int] | st.SearchStrategy[bytes]] = {
    "name": st.sampled_from([b"USD", b"", b"a", b"A\0B", b"0" * 16]) | st.binary(max_size=16),
    "symbol": st.sampled_from([b"BTC/USD", b"A B", b"", b"!" * 24, b"A\0B"]) | st.binary(max_size=24),
    "client_order_id": st.binary(max_size=36),
    "reference": st.binary(max_size=36),
    "version": st.sampled_from([0, 1, 1, 2, 3, 255]),
    "kind": st.sampled_from([0, max(CommandKind) + 1, 255]),
}


def with_an_odd_field(usual: st.SearchStrategy[bytes], layout: np.dtype[np.void]) -> st.SearchStrategy[bytes]:
    """Commands of this layout in which one field may be anything."""

    def odd(name: str) -> st.SearchStrategy[bytes]:
        kind = layout[name]
        number = int64() if kind.kind == "i" else unsigned(8 * kind.itemsize)
        values = _ODD_VALUES.get(name, number)
        return st.builds(lambda command, value: commands.override(command, **{name: value}), usual, values)

    names = [name for name in layout.names or () if layout[name].kind in "iu" or name in _ODD_VALUES]
    return st.sampled_from([name for name in names if name not in ("sequence", "timestamp_ns")]).flatmap(odd)


def garbage() -> st.SearchStrategy[bytes]:
    """Any bytes, half of them with the header of a command."""
    anything = st.binary(min_size=COMMAND_SIZE, max_size=COMMAND_SIZE)
    headed = st.builds(
        lambda version, kind, body: bytes([version, kind]) + body[2:],
        st.integers(0, 3),
        st.integers(0, max(CommandKind) + 1),
        anything,
    )
    return anything | headed


def odd_orders() -> st.SearchStrategy[bytes]:
    """Orders, amends, replacements and mass cancels that are wrong."""
    kinds = [CommandKind.PLACE, CommandKind.AMEND, CommandKind.CANCEL_REPLACE, CommandKind.MASS_CANCEL]
    kinds.append(CommandKind.CANCEL_AFTER)
    other = st.builds(lambda order, kind: commands.override(order, kind=kind), any_orders(), st.sampled_from(kinds))
    return st.one_of(with_an_odd_field(any_orders(), ORDER_COMMAND), with_an_odd_field(other, ORDER_COMMAND))


def odd_commands() -> st.SearchStrategy[bytes]:
    """Everything that is no order, and commands that are wrong."""
    assets = definitions().filter(lambda command: command[1] == CommandKind.DEFINE_ASSET)
    markets = definitions().filter(lambda command: command[1] == CommandKind.DEFINE_MARKET)
    return st.one_of(
        transfers(),
        fees(),
        timers(),
        definitions(),
        garbage(),
        st.just(commands.clock()),
        odd_orders(),
        with_an_odd_field(transfers(), TRANSFER_COMMAND),
        with_an_odd_field(assets, ASSET_COMMAND),
        with_an_odd_field(markets, MARKET_COMMAND),
        with_an_odd_field(terms(), MARKET_TERMS_COMMAND),
        with_an_odd_field(modes(), MODE_COMMAND),
        with_an_odd_field(fees(), FEES_COMMAND),
    )


def any_command() -> st.SearchStrategy[bytes]:
    """One command of any sort; what names an order names one by chance."""
    return _ANY_COMMAND


def _any_command() -> st.SearchStrategy[bytes]:
    named = st.integers(0, 60)
    cancels = st.builds(commands.cancel, ACCOUNTS, named)
    changes = st.builds(lambda *names, price: commands.amend(*names, price_ticks=price), ACCOUNTS, named, price=PRICES)
    others = st.one_of(cancels, changes, children(), mass_cancels(), modes(), terms())
    return st.one_of(any_orders(), any_orders(), others, odd_commands())


_ANY_COMMAND = st.deferred(_any_command)  # once, and with a short name in what Hypothesis prints

"""The flows that golden journals record: the same commands for the same layout version.

A command of a version that this build does not write means something to a later build, so none is recorded but 255.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from engine.records import COMMAND_SIZE, LAYOUT_VERSION, CommandKind, OrderType, Side, TimeInForce
from exchange.contracts import commands as edge
from exchange.corridor.genesis import genesis
from tests.properties.strategies import DEFINITIONS
from tests.support import commands
from tests.support.commands import Sequencer, stamp
from tests.support.flow import random_flow, stamped

_NO_VERSION = 255
_SMALL = (0, 1, 2, 3, 4, 6, 7, 10, 50, 100, 255)
_NOISY_OFFSETS = (*range(2, 8), *range(32, COMMAND_SIZE, 4))
_BOUNDS = [n + d for n in (0, 2**16, 2**31, 2**32, 2**41, 2**62, 2**63) for d in (-1, 0, 1) if 0 <= n + d < 2**63]
_START_NS = 1_750_000_000_000_000_000


@dataclass(frozen=True)
class Flow:
    """`make` gives the stamped commands, from sequence 1 on."""

    description: str
    make: Callable[[], list[bytes]]


def _settled(batch: Iterable[bytes]) -> list[bytes]:
    return [
        bytes([_NO_VERSION]) + command[1:] if LAYOUT_VERSION < command[0] < _NO_VERSION else command
        for command in batch
    ]


def _with_noise(rng: np.random.Generator, command: bytes) -> bytes:
    """The command with small numbers in up to three places, most of them in fields that its kind does not use."""
    noisy = bytearray(command)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.choice(_NOISY_OFFSETS))
        size = 1 if at < 8 else 4
        noisy[at : at + size] = int(rng.choice(_SMALL)).to_bytes(size, "little")
    return bytes(noisy)


def mixed() -> list[bytes]:
    """All sorts of orders of eight accounts in three markets, two with fees; one command in sixteen with noise."""
    rng = np.random.default_rng(1)
    batch = _settled(stamped(random_flow(seed=1, count=12_000)))
    return [_with_noise(rng, command) if rng.random() < 0.06 else command for command in batch]


def bounds() -> list[bytes]:
    """Amounts at the edge of what 64 bits hold, odd values in every field, bytes that mean nothing."""
    rng = np.random.default_rng(2)
    sequencer = Sequencer()
    batch = list(DEFINITIONS)
    owners = [(account, asset) for account in range(2, 6) for asset in (1, 2, 3)]
    batch += [commands.deposit(*owner, 2**62 - 1) for owner in owners for _ in range(3)]
    while len(batch) < 4_000:
        batch.append(_bounds_command(rng, len(batch)))
    return _settled([sequencer.stamp(command) for command in batch])


def _bounds_command(rng: np.random.Generator, last: int) -> bytes:
    choice = rng.random()
    if choice < 0.02:
        return bytes([LAYOUT_VERSION, int(rng.integers(0, 8))]) + rng.bytes(COMMAND_SIZE - 2)
    if choice < 0.12:
        return commands.cancel(int(rng.integers(2, 6)), int(rng.integers(1, last)))
    if choice < 0.22:
        kind = CommandKind.DEPOSIT if choice < 0.17 else CommandKind.WITHDRAW
        amount = int(rng.choice([1, 500, 2**31, 2**62 - 1, 2**62, 0]))
        return commands.record(kind, account=int(rng.integers(1, 7)), asset=int(rng.integers(0, 5)), amount=amount)
    order = _narrow_order(rng) if choice < 0.6 else _wide_order(rng)
    if rng.random() < 0.15:
        name = str(rng.choice(["price_ticks", "quantity_lots", "amount", "trigger_price_ticks", "display_lots"]))
        return commands.override(order, **{name: int(rng.choice(_BOUNDS)) * int(rng.choice([1, -1]))})
    return _with_noise(rng, order) if rng.random() < 0.1 else order


_WIDE_KINDS: list[dict[str, int]] = [
    *[{}] * 3,
    {"time_in_force": TimeInForce.IOC},
    {"time_in_force": TimeInForce.FOK},
    {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.IOC, "price_ticks": 0},
]


def _wide_order(rng: np.random.Generator) -> bytes:
    """In market 3, where a few lots reach every bound: few but far prices and quantities."""
    price = int(rng.choice([1, 2**16, 2**31, 2**32 - 1]))
    lots = int(rng.choice([1, 2**15, 2**16 - 1, 2**31, 2**32 - 1, 2**41]))
    order = commands.place(int(rng.integers(2, 6)), 3, Side(int(rng.integers(1, 3))), price, lots)
    return commands.override(order, **_WIDE_KINDS[int(rng.integers(len(_WIDE_KINDS)))])


def _narrow_order(rng: np.random.Generator) -> bytes:
    account, market, side = int(rng.integers(2, 6)), int(rng.integers(1, 3)), Side(int(rng.integers(1, 3)))
    return commands.place(account, market, side, int(rng.integers(1, 6)), int(rng.integers(1, 10)))


def demo() -> list[bytes]:
    """The demo exchange: its genesis, forty traders with client order ids, quotes around a wandering price, takers."""
    rng = np.random.default_rng(3)
    batch = [bytes(command) for command in genesis()]
    traders = range(2, 42)
    funds = {1: 10**16, 2: 10**10, 3: 10**11}
    batch += [bytes(edge.deposit(trader, asset, funds[asset])) for trader in traders for asset in funds]
    middles = {1: 6_500_000.0, 2: 350_000.0}
    placed: list[tuple[int, int]] = []
    while len(batch) < 6_000:
        sequence, trader = len(batch) + 1, int(rng.choice(traders))
        if rng.random() < 0.35 and placed:
            batch.append(bytes(edge.cancel(*placed.pop(int(rng.integers(max(0, len(placed) - 200), len(placed)))))))
            continue
        market = 1 + int(rng.random() < 0.4)
        middles[market] *= float(1 + rng.normal(0, 0.0001))
        batch.append(_demo_order(rng, trader, market, middles[market], sequence))
        placed.append((trader, sequence))
    times = _START_NS + np.cumsum(rng.integers(1, 200, len(batch)) * 1_000_000)
    return [stamp(command, at, int(time)) for at, (command, time) in enumerate(zip(batch, times, strict=True), 1)]


def _demo_order(rng: np.random.Generator, trader: int, market: int, middle: float, sequence: int) -> bytes:
    side = Side(int(rng.integers(1, 3)))
    lots = int(rng.integers(1, 500)) * 10_000
    client_order_id = f"{trader}-{sequence}".encode()
    kind = rng.random()
    if kind < 0.08:
        return bytes(edge.place(trader, market, side, OrderType.MARKET, TimeInForce.IOC, 0, 0, lots, client_order_id))
    away = int(middle * 0.0002 * (rng.exponential(1.0) - 0.15))
    price = int(middle) - away if side is Side.BUY else int(middle) + away
    time_in_force = TimeInForce.IOC if kind < 0.14 else TimeInForce.FOK if kind < 0.17 else TimeInForce.GTC
    flags = int(kind > 0.9)
    return bytes(edge.place(trader, market, side, OrderType.LIMIT, time_in_force, flags, price, lots, client_order_id))


FLOWS = {
    "mixed": Flow(
        "eight accounts, three markets, two with fees; every kind of order; noise in fields that a kind does not use",
        mixed,
    ),
    "bounds": Flow("amounts at the edge of 62 bits, odd values in every field, bytes that mean nothing", bounds),
    "demo": Flow("the demo exchange from its genesis on: forty traders, client order ids, quotes and takers", demo),
}

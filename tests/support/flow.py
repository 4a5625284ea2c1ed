"""Seeded flow of plain orders in which much trades: several accounts, three markets, prices around a moving middle.

`tests.support.full_flow` has all the rest.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from engine.records import COMMAND_SIZE, FLAG_POST_ONLY, CommandKind, OrderType, Side, TimeInForce
from tests.support import commands
from tests.support.commands import Sequencer

ACCOUNTS = range(2, 10)
ASSETS = (1, 2, 3)
MARKETS = (1, 2, 3)
NO_ORDER = 2**64 - 1
_RECENT = 400
_USUAL = (OrderType.LIMIT, TimeInForce.GTC, 0)
_KINDS = [
    *[_USUAL] * 13,
    (OrderType.LIMIT, TimeInForce.GTC, FLAG_POST_ONLY),
    (OrderType.LIMIT, TimeInForce.IOC, 0),
    (OrderType.LIMIT, TimeInForce.FOK, 0),
    *[(OrderType.MARKET, TimeInForce.IOC, 0)] * 3,
    (OrderType.MARKET, TimeInForce.FOK, 0),
]


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a flow. It names an order by the step that placed it, so that steps can be left out."""

    number: int
    command: bytes
    target: int | None = None  # the step that placed the order of `order_id`
    timestamp_ns: int | None = None  # None: a little after the last one


def stamped(steps: Iterable[Step]) -> list[bytes]:
    """The steps as commands of a new shard, from sequence 1 on. What names the order of a step left out names none."""
    sequencer = Sequencer()
    sequences: dict[int, int] = {}
    batch = []
    for step in steps:
        command = step.command
        if step.target is not None:
            command = commands.override(command, order_id=sequences.get(step.target, NO_ORDER))
        batch.append(sequencer.stamp(command, timestamp_ns=step.timestamp_ns))
        sequences[step.number] = sequencer.sequence
    return batch


def opening() -> list[bytes]:
    """Assets, markets and deposits."""
    fees = {"maker_fee_ppm": 1_000, "taker_fee_ppm": 2_500}
    defined = [commands.define_asset(asset, name) for asset, name in zip(ASSETS, ("USD", "BTC", "ETH"), strict=True)]
    defined.append(commands.define_market(1, "BTC/USD", 2, 1))
    defined.append(commands.define_market(2, "ETH/USD", 3, 1, lot_units=10**7, tick_lot_units=10**6, **fees))
    defined.append(commands.define_market(3, "ETH/BTC", 3, 2, quantity_lots_max=40, **fees))
    return defined + [commands.deposit(account, asset, 10**10) for account in ACCOUNTS for asset in ASSETS]


def random_flow(seed: int, count: int) -> list[Step]:
    """`count` commands; the same for the same seed."""
    rng = np.random.default_rng(seed)
    steps = [Step(number, command) for number, command in enumerate(opening())]
    placed: list[Step] = []
    middle = 100.0
    while len(steps) < count:
        middle = min(max(middle + rng.normal(0, 0.2), 20), 200)
        step = _random_step(rng, len(steps), placed, int(middle))
        if step.command[1] == CommandKind.PLACE:
            placed.append(step)
        steps.append(step)
    return steps[:count]


def _random_step(rng: np.random.Generator, number: int, placed: list[Step], middle: int) -> Step:
    choice = rng.random()
    account = int(rng.choice(ACCOUNTS))
    if choice < 0.01:
        return Step(number, rng.bytes(COMMAND_SIZE))
    if choice < 0.03:
        build = commands.deposit if choice < 0.02 else commands.withdraw
        return Step(number, build(account, int(rng.choice(ASSETS)), int(rng.integers(1, 10**9))))
    if choice < 0.40 and placed:
        return _random_cancel(rng, number, placed, account)
    return Step(number, _random_order(rng, account, middle))


def _random_cancel(rng: np.random.Generator, number: int, placed: list[Step], account: int) -> Step:
    target = placed[int(rng.integers(max(0, len(placed) - _RECENT), len(placed)))]
    owner = commands.read_command(target.command)["account"]
    return Step(number, commands.cancel(account if rng.random() < 0.05 else owner, 0), target=target.number)


def _random_order(rng: np.random.Generator, account: int, middle: int) -> bytes:
    side = Side(int(rng.integers(1, 3)))
    order_type, time_in_force, flags = _KINDS[int(rng.integers(len(_KINDS)))]
    away = int(rng.integers(-3, 8))
    price_ticks = middle - away if side is Side.BUY else middle + away
    if order_type is OrderType.MARKET and rng.random() < 0.5:
        price_ticks = 0
    lots = int(rng.integers(1, 50))
    return commands.place(
        account,
        int(rng.choice(MARKETS)),
        side,
        price_ticks,
        lots,
        order_type=order_type,
        time_in_force=time_in_force,
        flags=flags,
    )

"""Seeded flow of everything that the engine can be told, so mixed that all of it happens and meets often."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.records import (
    COMMAND_SIZE,
    DAY_NS,
    FLAG_ALLOW_FAILURE,
    FLAG_POST_ONLY,
    FLAG_SLIDE,
    ORDER_COMMAND,
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
from tests.support.flow import NO_ORDER, Step

ACCOUNTS = range(2, 10)
POOR = (8, 9)
ASSETS = (1, 2, 3)
MARKETS = (1, 2, 3)
_DEAR = 4  # a market in which few lots reach what 62 bits hold
_SECOND = 10**9
_RECENT = 60
_PRICE_TICKS_MAX = 1_000
_EXTREMES = [0, 1, 2, 255, 2**31, 2**32 - 1, 2**32, 2**62 - 1, 2**62, 2**63 - 1, -1, -(2**63), 2**64 - 1]
_FIELDS = [
    *("side", "order_type", "time_in_force", "flags", "self_trade", "contingency", "account", "order_id", "market"),
    *("trail_ticks", "price_ticks", "quantity_lots", "amount", "trigger_price_ticks", "display_lots", "expire_ns"),
    *("group", "min_quantity_lots", "version"),
]


def opening() -> list[bytes]:
    """Assets, markets and deposits. Two accounts are poor."""
    fees = {"maker_fee_ppm": 1_000, "taker_fee_ppm": 2_500}
    terms = {"price_ticks_max": _PRICE_TICKS_MAX, "quantity_lots_max": 400}
    defined = [commands.define_asset(asset, name) for asset, name in zip(ASSETS, ("USD", "BTC", "ETH"), strict=True)]
    defined.append(commands.define_market(1, "BTC/USD", 2, 1, **terms))
    defined.append(commands.define_market(2, "ETH/USD", 3, 1, **{**terms, "lot_units": 10**6, **fees}))
    defined.append(commands.define_market(3, "ETH/BTC", 3, 2, **terms, **fees))
    defined.append(commands.define_market(_DEAR, "ETH/DEAR", 3, 1, **terms, tick_lot_units=2**50))
    funds = [(account, asset, 20_000 if account in POOR else 10**10) for account in ACCOUNTS for asset in ASSETS]
    return defined + [commands.deposit(*fund) for fund in funds]


def full_flow(seed: int, count: int) -> list[Step]:
    """`count` commands; the same for the same seed."""
    return _Flow(seed).steps(count)


def crowded_flow(seed: int, stops: int, count: int) -> list[Step]:
    """So many stops in one market, over and over met by sweeps that fire more than one command may; then as usual."""
    return _Flow(seed).crowd(stops, count)


@dataclass(frozen=True)
class _Placed:
    step: int
    account: int
    market: int
    side: Side
    price_ticks: int
    quantity_lots: int
    limited: bool


class _Flow:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._now_ns = 0
        self._middle = dict.fromkeys((*MARKETS, _DEAR), 100.0)
        self._placed: deque[_Placed] = deque(maxlen=_RECENT)
        self._steps: list[Step] = []
        self._next: deque[tuple[bytes, int | None]] = deque()
        self._later: list[tuple[int, bytes]] = []
        actions: dict[Callable[[], None], int] = {
            self._plain: 260,
            self._market_order: 70,
            self._by_amount: 30,
            self._conditional: 150,
            self._special_limit: 110,
            self._dear: 6,
            self._pair: 40,
            self._bracket: 55,
            self._cancel: 130,
            self._amend: 110,
            self._replace: 50,
            self._mass_cancel: 14,
            self._mode: 9,
            self._configure: 7,
            self._transfer: 20,
            self._fees: 6,
            self._timer: 12,
            self._clock: 10,
            self._odd: 25,
            self._garbage: 6,
        }
        self._actions, self._weights = list(actions), list(actions.values())

    def steps(self, count: int) -> list[Step]:
        for command in opening() if not self._steps else ():
            self._append(command, None)
        while len(self._steps) < count:
            due = next((entry for entry in self._later if entry[0] <= len(self._steps)), None)
            if due:
                self._later.remove(due)
                self._append(due[1], None)
            elif self._next:
                self._append(*self._next.popleft())
            else:
                self._random.choices(self._actions, self._weights)[0]()
        return self._steps

    def crowd(self, stops: int, count: int) -> list[Step]:
        for command in opening():
            self._append(command, None)
        while len(self._steps) < stops:
            side = self._random.choice(list(Side))
            trigger = 100 + self._random.randint(1, 40) * (1 if side is Side.BUY else -1)
            kind = self._pick((OrderType.STOP, 6), (OrderType.STOP_LIMIT, 2), (OrderType.TRAILING_STOP, 1))
            price = trigger if kind is OrderType.STOP_LIMIT else 0
            trail = 3 if kind is OrderType.TRAILING_STOP else 0
            terms = {"order_type": kind, "trigger_price_ticks": trigger, "price_ticks": price, "trail_ticks": trail}
            placed = self._place(self._order(1, side, time_in_force=TimeInForce.GTC, **terms))
            if self._chance(0.1):
                self._leg(placed)
        for price_ticks, side in [(135, Side.BUY), (65, Side.SELL), (140, Side.BUY), (60, Side.SELL)]:
            away = Side.BUY + Side.SELL - side
            self._append(commands.place(3, 1, away, price_ticks, 1), None)
            self._append(commands.place(4, 1, side, price_ticks, 400), None)
            self._next.extend((commands.clock(), None) for _ in range(3))
        return self.steps(len(self._steps) + count)

    def _append(self, command: bytes, target: int | None) -> None:
        self._now_ns += self._pick((1_000, 60), (10**6, 30), (10**8, 8), (3 * _SECOND, 2))
        back_ns = self._pick((0, 990), (_SECOND, 8), (DAY_NS, 2))
        if self._chance(0.0005):
            self._now_ns = (self._now_ns // DAY_NS + 1) * DAY_NS
        self._steps.append(Step(len(self._steps), command, target, self._now_ns - back_ns))

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _pick(self, *weighted: tuple[Any, int]) -> Any:
        values, weights = zip(*weighted, strict=True)
        return self._random.choices(values, weights)[0]

    # Orders

    def _order(self, market: int = 0, side: Side | None = None, account: int = 0, **fields: Any) -> bytes:
        """A limit order somewhere around the middle, unless fields say otherwise."""
        market = market or self._random.choice(MARKETS)
        side = side or self._random.choice(list(Side))
        account = account or self._random.choice(ACCOUNTS)
        lots = self._random.randint(1, 20)
        lasting = self._pick((TimeInForce.GTC, 8), (TimeInForce.GTD, 3), (TimeInForce.DAY, 1))
        terms: dict[str, Any] = {"time_in_force": lasting}
        terms |= {"price_ticks": self._away(market, side, self._random.randint(-3, 8)), "quantity_lots": lots}
        if self._chance(0.5):
            terms["self_trade"] = self._random.choice(list(SelfTrade))
            terms["group"] = account % 3
        if self._chance(0.5):
            terms["client_order_id"] = self._random.choice([b"desk-", b"robot-"]) + bytes(
                [self._random.randint(48, 57)]
            )
        terms |= fields
        if terms["time_in_force"] == TimeInForce.GTD:
            terms["expire_ns"] = self._now_ns + self._random.randint(1, 20 * _SECOND)
        return commands.place(account, market, side, terms.pop("price_ticks"), terms.pop("quantity_lots"), **terms)

    def _away(self, market: int, side: Side, ticks: int) -> int:
        """So many ticks on the passive side of the moving middle."""
        self._middle[market] = min(max(self._middle[market] + self._random.gauss(0, 0.15), 20), 200)
        middle = round(self._middle[market])
        return max(1, middle - ticks if side is Side.BUY else middle + ticks)

    def _place(self, command: bytes, target: int | None = None) -> _Placed:
        """Append a PLACE (or CANCEL_REPLACE) and remember its order."""
        fields = commands.read_command(command)
        placed = _Placed(
            len(self._steps),
            fields["account"],
            fields["market"],
            Side(fields["side"]),
            fields["price_ticks"],
            fields["quantity_lots"],
            fields["order_type"] == OrderType.LIMIT,
        )
        self._append(command, target)
        self._placed.append(placed)
        return placed

    def _plain(self) -> None:
        times = self._pick(({}, 5), ({"time_in_force": TimeInForce.IOC}, 1), ({"time_in_force": TimeInForce.FOK}, 1))
        self._place(self._order(**times))

    def _market_order(self) -> None:
        market, side = self._random.choice(MARKETS), self._random.choice(list(Side))
        protection = self._pick((0, 3), (self._away(market, side, -self._random.randint(0, 4)), 1))
        times = self._pick((TimeInForce.IOC, 4), (TimeInForce.FOK, 1))
        least = self._pick((0, 4), (self._random.randint(1, 5), 1))
        lots = self._random.randint(5, 40)
        terms = {"order_type": OrderType.MARKET, "price_ticks": protection, "time_in_force": times}
        self._place(self._order(market, side, **terms, quantity_lots=lots, min_quantity_lots=least))

    def _by_amount(self) -> None:
        terms: dict[str, Any] = {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.IOC}
        terms |= {"price_ticks": 0, "quantity_lots": 0, "amount": self._random.randint(100, 6_000)}
        self._place(self._order(**terms))

    def _special_limit(self) -> None:
        lots = self._random.randint(4, 40)
        special = self._pick(
            ({"display_lots": self._random.randint(1, 4)}, 6),
            ({"flags": FLAG_POST_ONLY}, 2),
            ({"flags": FLAG_POST_ONLY | FLAG_SLIDE}, 3),
            ({"min_quantity_lots": self._random.randint(1, lots)}, 2),
            ({"display_lots": 2, "flags": FLAG_POST_ONLY | FLAG_SLIDE}, 1),
            ({"display_lots": 1, "quantity_lots": self._random.randint(80, 120)}, 1),
        )
        self._place(self._order(**{"quantity_lots": lots, **special}))

    def _dear(self) -> None:
        self._place(self._order(_DEAR, Side.SELL, quantity_lots=self._random.randint(20, 60)))

    def _trigger(self, market: int, side: Side) -> dict[str, Any]:
        """Type, trigger and price of a conditional order, mostly not yet met."""
        kind = self._random.choice([OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT])
        kind = self._pick((kind, 6), (OrderType.TAKE_PROFIT_LIMIT, 1), (OrderType.TRAILING_STOP, 2))
        if kind is OrderType.TRAILING_STOP:
            start = self._pick((0, 3), (self._away(market, side, -self._random.randint(1, 9)), 1))
            trail = self._random.randint(1, 9)
            return {"order_type": kind, "trail_ticks": trail, "trigger_price_ticks": start, "price_ticks": 0}
        takes_profit = kind in (OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT)
        distance = self._random.randint(0, 7)
        trigger = self._away(market, side, distance if takes_profit else -distance)
        limit = max(1, trigger + self._random.randint(-2, 5) * (1 if side is Side.BUY else -1))
        if kind in (OrderType.STOP, OrderType.TAKE_PROFIT):
            limit = self._pick((0, 3), (limit, 1))
        return {"order_type": kind, "trigger_price_ticks": trigger, "price_ticks": limit}

    def _conditional(self) -> None:
        market, side = self._random.choice(MARKETS), self._random.choice(list(Side))
        self._place(self._order(market, side, **self._trigger(market, side)))

    def _pair(self) -> None:
        """A limit or conditional order and its other leg; or a leg for an order that may have ended meanwhile."""
        if self._placed and self._chance(0.3):
            first = self._random.choice(self._placed)
        else:
            first = self._place(self._order(time_in_force=TimeInForce.GTC))
        self._leg(first)

    def _leg(self, first: _Placed, limited: bool = False) -> None:
        terms: dict[str, Any] = {"contingency": Contingency.ONE_CANCELS_OTHER, "quantity_lots": first.quantity_lots}
        if not limited:
            terms |= self._trigger(first.market, first.side)
        self._place(self._order(first.market, first.side, first.account, **terms), first.step)

    def _bracket(self) -> None:
        market, side = self._random.choice(MARKETS), self._random.choice(list(Side))
        account = self._random.choice(ACCOUNTS)
        away = Side.SELL if side is Side.BUY else Side.BUY
        lots = self._random.randint(1, 12)
        waits = {"contingency": Contingency.WAITS_FOR_PARENT, "quantity_lots": self._pick((lots, 3), (lots + 3, 1))}
        limited = self._chance(0.4)
        terms = (
            self._pick(({}, 2), ({"flags": 3}, 1), ({"display_lots": 1}, 1)) if limited else self._trigger(market, away)
        )
        child = self._place(self._order(market, away, account, **{**waits, **terms}))
        if self._chance(0.5):
            self._leg(child, limited=not limited)
        parent = {"contingency": Contingency.ONE_TRIGGERS_OTHER, "quantity_lots": lots}
        patient = {
            "price_ticks": self._away(market, side, self._random.randint(2, 15)),
            "time_in_force": TimeInForce.GTC,
        }
        kind = self._pick(
            (patient, 4), ({}, 3), ({"time_in_force": TimeInForce.IOC}, 2), (self._trigger(market, side), 1)
        )
        self._place(self._order(market, side, account, **{**parent, **kind}), child.step)

    # Orders that are there

    def _target(self) -> _Placed | None:
        return self._random.choice(self._placed) if self._placed else None

    def _owner(self, placed: _Placed) -> int:
        return self._random.choice(ACCOUNTS) if self._chance(0.03) else placed.account

    def _cancel(self) -> None:
        if placed := self._target():
            self._append(commands.cancel(self._owner(placed), NO_ORDER), placed.step)

    def _amend(self) -> None:
        if placed := self._target():
            close = self._away(placed.market, placed.side, self._random.randint(-2, 6))
            changes = self._pick(
                ({"price_ticks": close}, 4),
                ({"quantity_lots": 1}, 1),
                ({"quantity_lots": max(1, placed.quantity_lots - self._random.randint(0, 4))}, 3),
                ({"quantity_lots": placed.quantity_lots + self._random.randint(1, 5)}, 2),
                ({"trigger_price_ticks": self._away(placed.market, placed.side, self._random.randint(-6, 6))}, 2),
                ({"display_lots": self._random.randint(1, 4)}, 1),
                ({"price_ticks": placed.price_ticks, "quantity_lots": placed.quantity_lots}, 1),
                ({}, 1),
            )
            self._append(commands.amend(self._owner(placed), NO_ORDER, **changes), placed.step)

    def _replace(self) -> None:
        if placed := self._target():
            flags = self._pick((0, 3), (FLAG_ALLOW_FAILURE, 2), (FLAG_ALLOW_FAILURE | FLAG_POST_ONLY, 1))
            terms = {"flags": flags, "price_ticks": self._away(placed.market, placed.side, self._random.randint(-3, 6))}
            order = self._order(placed.market, placed.side, self._owner(placed), **terms)
            self._place(commands.override(order, kind=CommandKind.CANCEL_REPLACE), placed.step)

    def _mass_cancel(self) -> None:
        account = self._pick((self._random.choice(ACCOUNTS), 8), (0, 1))
        scope: dict[str, Any] = {}
        if self._chance(0.5):
            scope["market"] = self._random.choice(MARKETS)
        if self._chance(0.3):
            scope["side"] = self._random.choice(list(Side))
        if self._chance(0.3):
            scope |= {"low": self._random.randint(1, 120), "high": self._random.randint(90, _PRICE_TICKS_MAX)}
        if self._chance(0.3):
            scope["prefix"] = self._random.choice([b"desk-", b"robot-1", b"x"])
        self._append(commands.mass_cancel(account, **scope), None)

    # The operator, the clock, and what means nothing

    def _mode(self) -> None:
        """Another mode for a while; an auction may end by itself first."""
        market = self._random.choice(MARKETS)
        mode = self._pick((Mode.AUCTION, 8), (Mode.POST_ONLY, 2), (Mode.CANCEL_ONLY, 1), (Mode.HALTED, 2))
        until_ns = self._now_ns + self._random.randint(1, 5) * _SECOND if mode is Mode.AUCTION else 0
        self._append(commands.set_mode(market, self._pick((mode, 20), (7, 1)), self._pick((until_ns, 1), (0, 1))), None)
        crowd = self._random.randint(0, 14) if mode is Mode.AUCTION else 0
        for _ in range(crowd):
            side = self._random.choice(list(Side))
            price_ticks = self._away(market, side, self._random.randint(-9, 5))
            lots = self._random.choice([2, 4, 8])
            self._place(self._order(market, side, price_ticks=price_ticks, quantity_lots=lots))
        after = len(self._steps) + self._random.randint(2, 40)
        self._later.append((after, commands.set_mode(market, self._pick((Mode.OPEN, 9), (Mode.POST_ONLY, 1)))))
        self._later.append((after + 5, commands.set_mode(market, Mode.OPEN)))

    def _configure(self) -> None:
        terms: dict[str, Any] = {"quantity_lots_max": self._pick((400, 8), (25, 1)), "taker_fee_ppm": 2_500}
        terms |= {"quantity_lots_min": self._pick((1, 4), (3, 1)), "notional_units_min": self._pick((0, 3), (500, 1))}
        if self._chance(0.7):
            terms |= {"band_ppm": self._random.choice([10_000, 40_000, 100_000])}
            terms |= {"band_action": self._random.choice(list(BandAction)), "band_auction_ns": 2 * _SECOND}
            terms |= {"band_interval_ns": self._random.choice([0, _SECOND])}
        if self._chance(0.3):
            terms |= {"open_orders_max": self._random.randint(2, 8)}
        if self._chance(0.3):
            terms |= {"position_lots_max": self._random.choice([10**4, 10**9 // 10 + 50])}
        self._append(commands.configure_market(self._random.choice(MARKETS), **terms), None)
        if self._chance(0.2):
            self._append(commands.configure_market(self._random.choice(MARKETS), band_ppm=2**32 - 1), None)

    def _transfer(self) -> None:
        account, asset = self._random.choice(ACCOUNTS), self._random.choice(ASSETS)
        build = self._random.choice([commands.deposit, commands.withdraw])
        amount = self._random.randint(1, 5_000)
        self._append(build(account, asset, amount), None)

    def _fees(self) -> None:
        shares = [self._pick((1_000_000, 1), (0, 1), (self._random.randint(1, 999_999), 3)) for _ in range(2)]
        self._append(commands.set_fees(self._random.choice((*ACCOUNTS, 1)), *shares), None)

    def _timer(self) -> None:
        """Set, set again, turned off; now and then too late."""
        later_ns = self._pick((self._random.randint(1, 6) * _SECOND, 8), (self._random.randint(1, 10**6), 2), (-1, 1))
        expire_ns = self._pick((self._now_ns + later_ns, 6), (0, 1))
        self._append(commands.cancel_after(self._random.choice(ACCOUNTS), expire_ns), None)

    def _clock(self) -> None:
        self._now_ns += self._pick((_SECOND, 8), (30 * _SECOND, 2))
        self._append(commands.clock(), None)

    def _odd(self) -> None:
        """An order command with a field or two at an extreme."""
        command = self._order(**self._pick(({}, 1), ({"order_type": self._random.randint(1, 7)}, 1)))
        kinds = [
            CommandKind.PLACE,
            CommandKind.PLACE,
            CommandKind.AMEND,
            CommandKind.CANCEL_REPLACE,
            CommandKind.MASS_CANCEL,
        ]
        command = commands.override(command, kind=self._random.choice(kinds))
        target = self._target()
        for name in self._random.sample(_FIELDS, self._random.randint(1, 2)):
            extreme = self._random.choice([value for value in _EXTREMES if _fits(name, value)])
            command = commands.override(command, **{name: extreme})
        self._append(command, target.step if target and self._chance(0.5) else None)

    def _garbage(self) -> None:
        garbage = self._random.randbytes(COMMAND_SIZE)
        if self._chance(0.5):
            garbage = bytes([self._random.randint(0, 3), self._random.randint(0, max(CommandKind) + 1)]) + garbage[2:]
        self._append(garbage, None)


def _fits(name: str, value: int) -> bool:
    kind = ORDER_COMMAND[name]
    size: int = 2 ** (8 * kind.itemsize)
    low = -size // 2 if kind.kind == "i" else 0
    return low <= value < low + size

"""Scenario files: commands as lines, and their events and the state as text.

The lines are those of `tests.support.language`, and these, which ask the shard or set the clock:

    book BTC/USD           every order in the book, best to worst
    depth BTC/USD 3        the best three levels as the market sees them; without a number all
    orders alice           every live order of an account, or of all     waiting      those that wait
    indicative BTC/USD     what an auction would do now                   state BTC/USD
    checksum BTC/USD       of the best ten levels         due        when time alone will next change something
    balances               digest
    restart                go on with a shard restored from a snapshot
    time 5s                the next command comes at this time            clock 5s     a clock command at this time

`entry: buy alice 5 BTC/USD @ 100` gives the order a name, by which later lines say its number: `cancel alice #entry`.

A file is a sequence of blocks: lines, `----`, and what they answer, up to a blank line. A line that starts with # is a
comment.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from engine.records import (
    FLAG_ALLOW_FAILURE,
    FLAG_AUCTION,
    FLAG_POST_ONLY,
    FLAG_PRIORITY_KEPT,
    FLAG_SLIDE,
    CommandKind,
    EventKind,
    Mode,
    OrderType,
    Reason,
    SelfTrade,
    Side,
    TimeInForce,
)
from tests.support.commands import TIMESTAMP_STEP_NS, Event, Sequencer, clock, read_events
from tests.support.engines import Shard
from tests.support.language import Names, parse, parse_time, write, write_time

SEPARATOR = "----"
_BARE = {"side": Side, "order_type": OrderType, "reason": Reason}
_FLAGS = {
    FLAG_POST_ONLY: "POST_ONLY",
    FLAG_SLIDE: "SLIDE",
    FLAG_ALLOW_FAILURE: "ALLOW_FAILURE",
    FLAG_PRIORITY_KEPT: "PRIORITY_KEPT",
    FLAG_AUCTION: "AUCTION",
}
_WAITING = {1: "TRIGGER", 2: "PARENT"}


def run_scenario(text: str, shard_type: type[Shard]) -> str:
    """The text with its answers replaced by those of a new shard: the same text where the engine does as it says."""
    script = Script(shard_type)
    return "\n".join(_answered(text.splitlines(), script)) + "\n"


def _answered(lines: list[str], script: "Script") -> Iterator[str]:
    answers: list[str] = []
    in_answer = False
    for line in lines:
        if line == SEPARATOR:
            yield line
            yield from answers
            answers, in_answer = [], True
        elif not line or not in_answer:
            in_answer = False
            yield line
            if line and not line.startswith("#"):
                answers += script.run(line)
    if answers:
        raise ValueError(f"the last block has no line {SEPARATOR!r}")


class Script:
    """One shard and the lines that drive it."""

    def __init__(self, shard_type: type[Shard]) -> None:
        self.shard = shard_type()
        self.names = Names()
        self._sequencer = Sequencer()
        self._time_ns: int | None = None
        self._labels: dict[str, int] = {}
        self._accounts = {0, 1}

    def run(self, line: str) -> list[str]:
        """The answer to one line, as lines."""
        label, _, rest = line.rpartition(": ")
        line = " ".join(str(self._labels[word[1:]]) if word[0] == "#" else word for word in rest.split())
        if label:
            self._labels[label] = self._sequencer.sequence + 1
        match line.split():
            case ["time", time]:
                self._time_ns = parse_time(time)
                return []
            case ["clock", time]:
                self._time_ns = parse_time(time)
                return self._apply(clock())
            case ["book" | "depth" | "indicative" | "state" | "checksum" as question, market, *levels]:
                return self._ask(question, self.names.number("market", market), [int(number) for number in levels])
            case ["orders"]:
                return self._orders(0)
            case ["orders", account]:
                return self._orders(self.names.number("account", account))
            case ["waiting"]:
                return self._orders(0, waiting=True)
            case ["balances"]:
                return self._balances()
            case ["digest"]:
                return [f"{self.shard.digest():#018x}"]
            case ["due"]:
                due = self.shard.next_due_ns
                return ["never" if due is None else write_time(due)]
            case ["restart"]:
                return self._restart()
        return self._apply(parse(line, self.names))

    def _apply(self, command: bytes) -> list[str]:
        stamped = self._sequencer.stamp(command, timestamp_ns=self._time_ns)
        self._time_ns = None
        events = read_events(self.shard.apply(stamped))
        for event in events:
            assert event.sequence == self._sequencer.sequence
            assert event.timestamp_ns == self._sequencer.timestamp_ns
            self._accounts |= {event.account}
            if event.kind in (EventKind.ASSET_DEFINED, EventKind.MARKET_DEFINED):
                self.names.learn(command)
        return [describe(event, self.names) for event in events]

    def _ask(self, question: str, market: int, levels: list[int]) -> list[str]:
        match question:
            case "book":
                return self._book(market)
            case "depth":
                return self._depth(market, *levels)
            case "indicative":
                price_ticks, volume_lots, side, surplus_lots = self.shard.indicative(market)
                surplus = f"{surplus_lots} {Side(side).name}" if side else "none"
                return [f"price={price_ticks} volume={volume_lots} surplus={surplus}"]
            case "state":
                state = self.shard.state(market)
                said = _say_all({**state._asdict(), "mode": 0}, self.names)
                return [" ".join([Mode(state.mode).name, *said])]
        return [f"{self.shard.checksum(market, *levels):#010x}"]

    def _book(self, market: int) -> list[str]:
        rows = [
            (
                Side(side).name,
                str(price),
                f"{remaining}/{quantity}",
                f"#{order_id}",
                self.names.name("account", account),
            )
            for order_id, account, side, price, remaining, quantity in self.shard.book(market)
        ]
        return _table(("side", "price", "remaining", "order", "account"), rows)

    def _depth(self, market: int, levels: int = 0) -> list[str]:
        sides = zip(Side, self.shard.depth(market, levels), strict=True)
        rows = [(side.name, *map(str, level)) for side, of_side in sides for level in of_side]
        return _table(("side", "price", "visible", "orders"), rows)

    def _orders(self, account: int, waiting: bool = False) -> list[str]:
        live = [order for order in self.shard.orders(account) if order.waiting or not waiting]
        return [self._say_order(order._asdict()) for order in live] or ["(nothing)"]

    def _say_order(self, fields: dict[str, Any]) -> str:
        return " ".join([f"#{fields.pop('order_id')}", *_say_all(fields, self.names)])

    def _balances(self) -> list[str]:
        rows: list[tuple[str, ...]] = []
        for account in sorted(self._accounts):
            for asset in range(1, len(self.names.lists["asset"])):
                available, held = self.shard.balance(account, asset)
                if (available, held) != (0, 0):
                    owner, name = self.names.name("account", account), self.names.name("asset", asset)
                    rows.append((owner, name, str(available), str(held)))
        return _table(("account", "asset", "available", "held"), rows)

    def _restart(self) -> list[str]:
        before = self.shard.digest()
        self.shard = type(self.shard).restore(self.shard.snapshot())
        return ["the same state" if self.shard.digest() == before else "ANOTHER STATE"]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    if not rows:
        return ["(nothing)"]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows))
    return [line.rstrip() for line in lines]


def describe(event: Event, names: Names) -> str:
    """An event as a line that shows every field that is not zero, except the time."""
    fields = event._asdict()
    del fields["sequence"], fields["kind"], fields["timestamp_ns"], fields["account"]
    if event.kind is EventKind.ACCEPTED:
        fields["waiting"] = fields.pop("asset")
    if event.kind is EventKind.MODE_CHANGED:
        fields["mode"] = f"{_name(Mode, fields.pop('previous_mode'))}->{_name(Mode, event.mode)}"
    account = names.name("account", event.account)
    return " ".join([str(event.sequence), event.kind.name, account, *_say_all(fields, names)])


def _name(enum: Any, value: int) -> str:
    return enum(value).name if value in set(enum) else str(value)


def _say_all(fields: dict[str, Any], names: Names) -> list[str]:
    """Every field that is not zero. A time in force of zero is said too: an order's DAY."""
    said = []
    for field, value in fields.items():
        if field == "time_in_force" and fields["order_type"]:
            known = value in set(TimeInForce)
            said.append(TimeInForce(value).name if known else f"{field}={value}")
        elif value:
            said.append(_say(field, value, names))
    return said


def _say(field: str, value: Any, names: Names) -> str:
    if field in _BARE and value in set(_BARE[field]):
        return str(_BARE[field](value).name)
    if field in ("account", "maker_account"):
        return f"{field}={names.name('account', value)}"
    if field in ("market", "asset"):
        return f"{field}={names.name(field, value)}"
    if field == "flags":
        known = [name for flag, name in _FLAGS.items() if value & flag]
        return f"flags={'|'.join(known)}" if sum(flag for flag in _FLAGS if value & flag) == value else f"flags={value}"
    if field == "self_trade":
        return f"{field}={_name(SelfTrade, value)}"
    if field == "mode" and isinstance(value, int):
        return f"{field}={_name(Mode, value)}"
    if field == "waiting":
        return f"{field}={_WAITING.get(value, value)}"
    if field.endswith("_ns"):
        return f"{field}={write_time(value)}"
    return f"{field}={value.decode('latin-1') if isinstance(value, bytes) else value}"


def write_scenario(batch: list[bytes]) -> str:
    """The commands as one block of a scenario that asks for all their events and the digest."""
    names = Names()
    lines = []
    expected_ns = TIMESTAMP_STEP_NS
    for command in batch:
        timestamp_ns = int.from_bytes(command[16:24], "little", signed=True)
        if timestamp_ns != expected_ns:
            lines.append(f"time {write_time(timestamp_ns)}")
        expected_ns = min(timestamp_ns + TIMESTAMP_STEP_NS, 2**63 - 1)
        lines.append(write(command, names))
        if command[1] in (CommandKind.DEFINE_ASSET, CommandKind.DEFINE_MARKET):
            names.learn(command)
    return "\n".join([*lines, "digest", SEPARATOR, ""])

"""The language of the scenario files: commands as lines, their events and the state as text.

    asset USD scale=2                       market BTC/USD lot_units=10 maker_fee_ppm=1000
    deposit alice 100 USD                   withdraw alice 100 USD
    buy alice 5 BTC/USD @ 100               sell bob 5 BTC/USD @ 100 fok      buy alice 5 BTC/USD @ 100 post-only
    buy alice 5 BTC/USD @ market            sell bob 5 BTC/USD @ market:90 fok   (90 is the protection price)
    cancel alice 12                         bytes 0105...                     (a whole record, in hexadecimal)

A command may end in `field=value`, which sets any field of its record. Accounts, assets and markets go by name or by
number. Queries: `book BTC/USD`, `balances`, `digest`; `restart` goes on with a shard restored from a snapshot.

A file is a sequence of blocks: lines, `----`, and what they answer, up to a blank line. A line that starts with # is a
comment.
"""

from collections.abc import Iterator, Sequence

from engine.records import FLAG_POST_ONLY, CommandKind, EventKind, OrderType, Reason, Side, TimeInForce
from tests.support import commands
from tests.support.commands import TIMESTAMP_STEP_NS, Event, Sequencer, read_events
from tests.support.engines import Shard

SEPARATOR = "----"
ACCOUNTS = ["external", "revenue", "alice", "bob", "carol", "dave"]
_TIMES_IN_FORCE = {"gtc": TimeInForce.GTC, "ioc": TimeInForce.IOC, "fok": TimeInForce.FOK}
_ENUMS = {"side": Side, "order_type": OrderType, "time_in_force": TimeInForce, "reason": Reason}


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


class Names:
    """Names of accounts, assets and markets; what has none goes by its number."""

    def __init__(self, assets: list[str] | None = None, markets: list[str] | None = None) -> None:
        self.lists = {"account": ACCOUNTS, "asset": ["", *(assets or [])], "market": ["", *(markets or [])]}

    def number(self, what: str, name: str) -> int:
        return self.lists[what].index(name) if name in self.lists[what] else int(name)

    def name(self, what: str, number: int) -> str:
        names = self.lists[what]
        return (names[number] if number < len(names) else "") or str(number)

    def are_assets(self, symbol: str) -> bool:
        """Whether the symbol is made of names of assets."""
        return all(part and part in self.lists["asset"] for part in symbol.split("/"))

    def learn(self, definition: bytes) -> None:
        """Remember the name that a definition gives, if it is the next."""
        fields = commands.read_command(definition)
        what, name = ("asset", "name") if definition[1] == CommandKind.DEFINE_ASSET else ("market", "symbol")
        if fields[what] == len(self.lists[what]):
            self.lists[what].append(fields[name].decode("ascii"))


class Script:
    """One shard and the lines that drive it."""

    def __init__(self, shard_type: type[Shard]) -> None:
        self.shard = shard_type()
        self.names = Names()
        self._sequencer = Sequencer()
        self._accounts = {0, 1}

    def run(self, line: str) -> list[str]:
        """The answer to one line, as lines."""
        match line.split():
            case ["book", market]:
                return self._book(self.names.number("market", market))
            case ["balances"]:
                return self._balances()
            case ["digest"]:
                return [f"{self.shard.digest():#018x}"]
            case ["restart"]:
                return self._restart()
        return [describe(event, self.names) for event in self._apply(line)]

    def _apply(self, line: str) -> list[Event]:
        command = parse(line, self.names)
        events = read_events(self.shard.apply(self._sequencer.stamp(command)))
        for event in events:
            assert event.sequence == self._sequencer.sequence
            assert event.timestamp_ns == event.sequence * TIMESTAMP_STEP_NS
            self._accounts |= {event.account}
            if event.kind in (EventKind.ASSET_DEFINED, EventKind.MARKET_DEFINED):
                self.names.learn(command)
        return events

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


def parse(line: str, names: Names) -> bytes:
    """The command that a line says, without a sequence. Raises ValueError for a line that says none."""
    words = line.split()
    fields = {name: _value(text) for name, text in (word.split("=", 1) for word in words if "=" in word)}
    return commands.override(_command([word for word in words if "=" not in word], names), **fields)


def _command(words: list[str], names: Names) -> bytes:
    match words:
        case ["bytes", digits]:
            return bytes.fromhex(digits)
        case ["record", kind]:
            return commands.record(int(kind))
        case ["asset", name]:
            return commands.define_asset(len(names.lists["asset"]), name)
        case ["market", symbol]:
            pair = [names.number("asset", name) for name in symbol.split("/")] if "/" in symbol else [0, 0]
            return commands.define_market(len(names.lists["market"]), symbol, *pair)
        case ["deposit" | "withdraw" as verb, account, amount, asset]:
            build = commands.deposit if verb == "deposit" else commands.withdraw
            return build(names.number("account", account), names.number("asset", asset), int(amount))
        case ["cancel", account, order_id]:
            return commands.cancel(names.number("account", account), int(order_id))
        case ["buy" | "sell" as side, account, lots, market, "@", price, *options]:
            where = names.number("account", account), names.number("market", market), Side[side.upper()]
            return _order(*where, price, int(lots), options)
    raise ValueError(f"no command of the scenario language: {' '.join(words)!r}")


def _value(text: str) -> int | bytes:
    return int(text) if text.lstrip("-").isdigit() else text.encode().decode("unicode_escape").encode("latin-1")


def _order(account: int, market: int, side: Side, price: str, lots: int, options: list[str]) -> bytes:
    fields = _order_options(options)
    if not price.startswith("market"):
        return commands.place(account, market, side, int(price), lots, **fields)
    protection = int(price.partition(":")[2] or 0)
    return commands.place_market(account, market, side, lots, price_ticks=protection, **fields)


def _order_options(options: list[str]) -> dict[str, int]:
    fields: dict[str, int] = {}
    for option in options:
        if option == "post-only":
            fields["flags"] = FLAG_POST_ONLY
        else:
            fields["time_in_force"] = _TIMES_IN_FORCE[option]
    return fields


def describe(event: Event, names: Names) -> str:
    """An event as a line that shows every field that is not zero, except the time."""
    said = [str(event.sequence), event.kind.name, names.name("account", event.account)]
    for field, value in zip(Event._fields, event, strict=True):
        if value and field not in ("kind", "sequence", "timestamp_ns", "account"):
            said.append(_describe_field(field, value, names))
    return " ".join(said)


def _describe_field(field: str, value: int, names: Names) -> str:
    if field in _ENUMS and value in set(_ENUMS[field]):
        return _ENUMS[field](value).name
    if field == "maker_account":
        return f"{field}={names.name('account', value)}"
    if field in ("market", "asset"):
        return f"{field}={names.name(field, value)}"
    return f"{field}={value}"


def write_scenario(batch: list[bytes]) -> str:
    """The commands as one block of a scenario that asks for all their events and the digest."""
    names = Names()
    lines = []
    for command in batch:
        lines.append(write(command, names))
        if command[1] in (CommandKind.DEFINE_ASSET, CommandKind.DEFINE_MARKET):
            names.learn(command)
    return "\n".join([*lines, "digest", SEPARATOR, ""])


def write(command: bytes, names: Names) -> str:
    """The line that says this command (the reverse of `parse`); its sequence and time are not said."""
    bare = commands.stamp(command, 0, 0)
    line = f"bytes {bare.hex()}"
    if words := _write_words(bare, names):
        said, meant = (commands.read_command(record) for record in (parse(words, names), bare))
        words += "".join(f" {field}={_text(value)}" for field, value in meant.items() if value != said[field])
        line = words if parse(words, names) == bare else line
    return line


def _text(value: int | bytes) -> str:
    return str(value) if isinstance(value, int) else "".join(f"\\x{byte:02x}" for byte in value)


def _write_words(command: bytes, names: Names) -> str:
    fields = commands.read_command(command)
    account = names.name("account", fields["account"])
    match command[1]:
        case CommandKind.DEFINE_ASSET if fields["name"].isalnum():
            return f"asset {fields['name'].decode('ascii')}"
        case CommandKind.DEFINE_MARKET if names.are_assets(symbol := fields["symbol"].decode("latin-1")):
            return f"market {symbol}"
        case CommandKind.DEPOSIT | CommandKind.WITHDRAW as kind:
            verb = CommandKind(kind).name.lower()
            return f"{verb} {account} {fields['amount']} {names.name('asset', fields['asset'])}"
        case CommandKind.CANCEL:
            return f"cancel {account} {fields['order_id']}"
        case CommandKind.PLACE if fields["side"] in set(Side):
            return _write_order(fields, account, names)
    return f"record {command[1]}"


def _write_order(fields: dict[str, int], account: str, names: Names) -> str:
    price = str(fields["price_ticks"])
    is_market = fields["order_type"] == OrderType.MARKET
    if is_market:
        price = f"market:{price}" if fields["price_ticks"] else "market"
    market = names.name("market", fields["market"])
    words = [Side(fields["side"]).name.lower(), account, str(fields["quantity_lots"]), market, "@", price]
    usual = TimeInForce.IOC if is_market else TimeInForce.GTC
    words += [name for name, value in _TIMES_IN_FORCE.items() if value == fields["time_in_force"] != usual]
    return " ".join(words + (["post-only"] if fields["flags"] == FLAG_POST_ONLY else []))

"""One command as one line, both ways: what the lines of a scenario file say.

    asset USD scale=2                       market BTC/USD lot_units=10 maker_fee_ppm=1000
    deposit alice 100 USD                   withdraw alice 100 USD
    mode BTC/USD auction until 5s           configure BTC/USD band_ppm=50000 open_orders_max=3
    fees alice 500000 250000                maker's and taker's share, in millionths
    cancel-after alice 5s                   a dead-man timer; off: cancel-after alice off
    clock                                   bytes 0105...     (a whole record, in hexadecimal)

    buy alice 5 BTC/USD @ 100               limit            sell bob 5 BTC/USD @ market        market
    sell bob 5 BTC/USD @ market:90          90 is the protection price                $1000     instead of 5: by amount
    buy alice 5 BTC/USD stop 110            stop             sell bob 5 BTC/USD stop 95 limit 94
    sell bob 5 BTC/USD take-profit 120      likewise         buy alice 5 BTC/USD stop 110 protected 115
    sell bob 5 BTC/USD trailing 5           a trailing stop  sell bob 5 BTC/USD trailing 5 from 90
    gtc, day, ioc, fok, gtd 5s              iceberg 2        min 3       post-only      slide      id my-order
    stp cancel-oldest, group 7              waits (for its parent)       oco 12, then 12 (an order's number)

    cancel alice 12                         amend alice 12 @ 101 x 7 trigger 95 iceberg 2
    replace alice 12 with buy 5 BTC/USD @ 99 anyway     (anyway: even if there is nothing to cancel)
    mass-cancel alice BTC/USD sell 100..110 prefix my-  (* is anybody or any market; what is left out is any)

A line may end in `field=value`, which sets any field of its record. Accounts, assets and markets go by name or by
number. Times are since the scenario's first moment: 5s, 1d2h, 3ms5us. Every command comes 1us after the one before.
"""

import re
from typing import Any

from engine.records import (
    FLAG_ALLOW_FAILURE,
    FLAG_POST_ONLY,
    FLAG_SLIDE,
    CommandKind,
    Contingency,
    Mode,
    OrderType,
    SelfTrade,
    Side,
    TimeInForce,
)
from tests.support import commands

ACCOUNTS = ["external", "revenue", "alice", "bob", "carol", "dave"]

_UNITS = {"d": 86_400 * 10**9, "h": 3_600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_TIME = re.compile(r"-?(\d+(d|h|ms|m|s|us|ns))+")
_WORD = re.compile(rb"[A-Za-z][A-Za-z0-9_-]*")
_CONDITIONAL = {
    "stop": (OrderType.STOP, OrderType.STOP_LIMIT),
    "take-profit": (OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT),
}
_ALONE: dict[str, dict[str, int]] = {
    "gtc": {"time_in_force": TimeInForce.GTC},
    "day": {"time_in_force": TimeInForce.DAY},
    "ioc": {"time_in_force": TimeInForce.IOC},
    "fok": {"time_in_force": TimeInForce.FOK},
    "waits": {"contingency": Contingency.WAITS_FOR_PARENT},
    "post-only": {"flags": FLAG_POST_ONLY},
    "slide": {"flags": FLAG_POST_ONLY | FLAG_SLIDE},
    "anyway": {"flags": FLAG_ALLOW_FAILURE},
}
_NUMBERED = {"iceberg": "display_lots", "min": "min_quantity_lots", "group": "group", "trigger": "trigger_price_ticks"}


def _words_of(enum: type[SelfTrade] | type[Mode]) -> dict[str, int]:
    return {member.name.lower().replace("_", "-"): int(member) for member in enum}


_SELF_TRADES, _MODES = _words_of(SelfTrade), _words_of(Mode)


def parse_time(text: str) -> int:
    """Nanoseconds: `1d2h3m4s5ms6us7ns`, any of them left out, or a plain number."""
    if not _TIME.fullmatch(text):
        return int(text)
    sign = -1 if text.startswith("-") else 1
    return sign * sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([a-z]+)", text))


def write_time(nanoseconds: int) -> str:
    """The text that `parse_time` reads."""
    rest, text = abs(nanoseconds), "-" if nanoseconds < 0 else ""
    for unit, size in _UNITS.items():
        if rest >= size:
            text += f"{rest // size}{unit}"
            rest %= size
    return text or "0"


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


def parse(line: str, names: Names) -> bytes:
    """The command that a line says, without sequence and time. Raises ValueError for a line that says none."""
    words = line.split()
    fields = {name: _value(name, text) for name, text in (word.split("=", 1) for word in words if "=" in word)}
    return commands.override(_command([word for word in words if "=" not in word], names), **fields)


def _value(name: str, text: str) -> int | bytes:
    if name.endswith("_ns"):
        return parse_time(text)
    return int(text) if text.lstrip("-").isdigit() else text.encode().decode("unicode_escape").encode("latin-1")


def _command(words: list[str], names: Names) -> bytes:
    match words:
        case ["bytes", digits]:
            return bytes.fromhex(digits)
        case ["record", kind]:
            return commands.record(int(kind))
        case ["clock"]:
            return commands.clock()
        case ["deposit" | "withdraw" as verb, account, amount, asset]:
            build = commands.deposit if verb == "deposit" else commands.withdraw
            return build(names.number("account", account), names.number("asset", asset), int(amount))
        case ["fees", account, maker_share, taker_share]:
            return commands.set_fees(names.number("account", account), int(maker_share), int(taker_share))
        case ["cancel-after", account, time]:
            return commands.cancel_after(names.number("account", account), 0 if time == "off" else parse_time(time))
        case ["asset" | "market" | "configure" | "mode", *_]:
            return _operator_command(words, names)
    return _order_command(words, names)


def _operator_command(words: list[str], names: Names) -> bytes:
    match words:
        case ["asset", name]:
            return commands.define_asset(len(names.lists["asset"]), name)
        case ["market", symbol]:
            pair = [names.number("asset", name) for name in symbol.split("/")] if "/" in symbol else [0, 0]
            return commands.define_market(len(names.lists["market"]), symbol, *pair)
        case ["configure", market]:
            return commands.configure_market(names.number("market", market))
        case ["mode", market, mode]:
            return commands.set_mode(names.number("market", market), _MODES[mode])
        case ["mode", market, mode, "until", time]:
            return commands.set_mode(names.number("market", market), _MODES[mode], parse_time(time))
    raise _meaningless(words)


def _order_command(words: list[str], names: Names) -> bytes:
    match words:
        case ["buy" | "sell" as side, account, quantity, market, *terms]:
            return _order(names.number("account", account), side, quantity, names.number("market", market), terms)
        case ["cancel", account, order_id]:
            return commands.cancel(names.number("account", account), int(order_id))
        case ["amend", account, order_id, *terms]:
            return commands.amend(names.number("account", account), int(order_id), **_changes(terms))
        case ["replace", account, order_id, "with", "buy" | "sell" as side, quantity, market, *terms]:
            owner = names.number("account", account)
            order = _order(owner, side, quantity, names.number("market", market), terms)
            return commands.cancel_replace(int(order_id), order)
        case ["mass-cancel", account, market, *scope]:
            return _mass_cancel(account, market, scope, names)
    raise _meaningless(words)


def _meaningless(words: list[str]) -> ValueError:
    return ValueError(f"no command of the scenario language: {' '.join(words)!r}")


def _order(account: int, side: str, quantity: str, market: int, terms: list[str]) -> bytes:
    fields: dict[str, Any] = {"price_ticks": 0, "quantity_lots": 0}
    if quantity.startswith("$"):
        fields["amount"] = int(quantity[1:])
    else:
        fields["quantity_lots"] = int(quantity)
    options = _read_price(terms, fields)
    while options:
        options = _read_option(options, fields)
    return commands.place(account, market, Side[side.upper()], **fields)


def _read_price(terms: list[str], fields: dict[str, Any]) -> list[str]:
    """The words after those that say the order's type and prices, which go into `fields`."""
    match terms:
        case ["@", price, *rest] if price.startswith("market"):
            protection = int(price.partition(":")[2] or 0)
            fields |= {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.IOC, "price_ticks": protection}
            return rest
        case ["@", price, *rest]:
            fields |= {"order_type": OrderType.LIMIT, "price_ticks": int(price)}
            return rest
        case ["stop" | "take-profit" as word, trigger, *rest]:
            fields |= {"order_type": _CONDITIONAL[word][0], "trigger_price_ticks": int(trigger)}
            if rest[:1] == ["limit"]:
                fields["order_type"] = _CONDITIONAL[word][1]
            if rest[:1] not in (["limit"], ["protected"]):
                return rest
            fields["price_ticks"] = int(rest[1])
            return rest[2:]
        case ["trailing", trail, "from", trigger, *rest]:
            fields |= {"trail_ticks": int(trail), "trigger_price_ticks": int(trigger)}
        case ["trailing", trail, *rest]:
            fields |= {"trail_ticks": int(trail)}
        case _:
            raise _meaningless(terms)
    fields["order_type"] = OrderType.TRAILING_STOP
    return rest


def _read_option(options: list[str], fields: dict[str, Any]) -> list[str]:
    """The words after the first option, which goes into `fields`."""
    match options:
        case [word, *rest] if word in _ALONE:
            fields |= {
                name: fields.get("flags", 0) | value if name == "flags" else value
                for name, value in _ALONE[word].items()
            }
        case [word, number, *rest] if word in _NUMBERED:
            fields[_NUMBERED[word]] = int(number)
        case ["gtd", time, *rest]:
            fields |= {"time_in_force": TimeInForce.GTD, "expire_ns": parse_time(time)}
        case ["stp", mode, *rest]:
            fields["self_trade"] = _SELF_TRADES[mode]
        case ["id" | "prefix", text, *rest]:
            fields["client_order_id"] = text.encode()
        case ["oco" | "then" as word, order_id, *rest]:
            kind = Contingency.ONE_CANCELS_OTHER if word == "oco" else Contingency.ONE_TRIGGERS_OTHER
            fields |= {"contingency": kind, "order_id": int(order_id)}
        case _:
            raise _meaningless(options)
    return rest


def _changes(terms: list[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    while terms:
        match terms:
            case ["@", price, *rest]:
                fields["price_ticks"] = int(price)
            case ["x", quantity, *rest]:
                fields["quantity_lots"] = int(quantity)
            case _:
                rest = _read_option(terms, fields)
        terms = rest
    return fields


def _mass_cancel(account: str, market: str, scope: list[str], names: Names) -> bytes:
    fields: dict[str, Any] = {}
    while scope:
        match scope:
            case ["buy" | "sell" as side, *rest]:
                fields["side"] = Side[side.upper()]
            case [span, *rest] if ".." in span:
                low, high = span.split("..")
                fields |= {"price_ticks": int(low), "trigger_price_ticks": int(high)}
            case _:
                rest = _read_option(scope, fields)
        scope = rest
    owner = 0 if account == "*" else names.number("account", account)
    where = 0 if market == "*" else names.number("market", market)
    return commands.record(CommandKind.MASS_CANCEL, account=owner, market=where, **fields)


def write(command: bytes, names: Names) -> str:
    """The line that says this command (the reverse of `parse`); its sequence and time are not said."""
    bare = commands.stamp(command, 0, 0)
    line = f"bytes {bare.hex()}"
    if words := _write_words(bare, names):
        said, meant = (commands.read_command(record) for record in (parse(words, names), bare))
        words += "".join(f" {field}={_text(field, value)}" for field, value in meant.items() if value != said[field])
        line = words if parse(words, names) == bare else line
    return line


def _text(field: str, value: int | bytes) -> str:
    if isinstance(value, int):
        return write_time(value) if field.endswith("_ns") else str(value)
    return "".join(f"\\x{byte:02x}" for byte in value)


def _write_words(command: bytes, names: Names) -> str:
    fields = commands.read_command(command)
    account = names.name("account", fields["account"])
    market = names.name("market", fields["market"]) if "market" in fields else ""
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
        case CommandKind.AMEND:
            return " ".join(["amend", account, str(fields["order_id"]), *_write_changes(fields)])
        case CommandKind.MASS_CANCEL:
            return " ".join(["mass-cancel", *_write_scope(fields, account, market)])
        case CommandKind.CONFIGURE_MARKET:
            return f"configure {market}"
        case CommandKind.SET_MODE if fields["mode"] in set(Mode):
            until = f" until {write_time(fields['until_ns'])}" if fields["until_ns"] else ""
            return f"mode {market} {_word(_MODES, fields['mode'])}{until}"
        case CommandKind.SET_FEES:
            return f"fees {account} {fields['maker_share_ppm']} {fields['taker_share_ppm']}"
        case CommandKind.CANCEL_AFTER:
            return f"cancel-after {account} {write_time(fields['expire_ns']) if fields['expire_ns'] else 'off'}"
        case CommandKind.CLOCK:
            return "clock"
        case CommandKind.PLACE | CommandKind.CANCEL_REPLACE if fields["side"] in set(Side):
            return _write_order(fields, account, market)
    return f"record {command[1]}"


def _word(words: dict[str, int], number: int) -> str:
    return next(word for word, value in words.items() if value == number)


def _write_changes(fields: dict[str, Any]) -> list[str]:
    names = {"@": "price_ticks", "x": "quantity_lots", "trigger": "trigger_price_ticks", "iceberg": "display_lots"}
    return [f"{word} {fields[name]}" for word, name in names.items() if fields[name]]


def _write_scope(fields: dict[str, Any], account: str, market: str) -> list[str]:
    words = [account if fields["account"] else "*", market if fields["market"] else "*"]
    words += [Side(fields["side"]).name.lower()] if fields["side"] in set(Side) else []
    if fields["price_ticks"] or fields["trigger_price_ticks"]:
        words.append(f"{fields['price_ticks']}..{fields['trigger_price_ticks']}")
    if _WORD.fullmatch(fields["client_order_id"]):
        words.append(f"prefix {fields['client_order_id'].decode()}")
    return words


def _write_order(fields: dict[str, Any], account: str, market: str) -> str:
    by_amount = fields["order_type"] == OrderType.MARKET and fields["amount"] and not fields["quantity_lots"]
    quantity = f"${fields['amount']}" if by_amount else str(fields["quantity_lots"])
    verb = [Side(fields["side"]).name.lower(), account]
    if fields["kind"] == CommandKind.CANCEL_REPLACE:
        verb = ["replace", account, str(fields["order_id"]), "with", verb[0]]
    return " ".join([*verb, quantity, market, *_write_price(fields), *_write_options(fields)])


def _write_price(fields: dict[str, Any]) -> list[str]:
    price, trigger = fields["price_ticks"], fields["trigger_price_ticks"]
    match fields["order_type"]:
        case OrderType.MARKET:
            return ["@", f"market:{price}" if price else "market"]
        case OrderType.STOP | OrderType.TAKE_PROFIT as kind:
            word = "stop" if kind == OrderType.STOP else "take-profit"
            return [word, str(trigger), *(["protected", str(price)] if price else [])]
        case OrderType.STOP_LIMIT | OrderType.TAKE_PROFIT_LIMIT as kind:
            return ["stop" if kind == OrderType.STOP_LIMIT else "take-profit", str(trigger), "limit", str(price)]
        case OrderType.TRAILING_STOP:
            return ["trailing", str(fields["trail_ticks"]), *(["from", str(trigger)] if trigger else [])]
    return ["@", str(price)]


def _write_options(fields: dict[str, Any]) -> list[str]:
    words = []
    usual = TimeInForce.IOC if fields["order_type"] == OrderType.MARKET else TimeInForce.GTC
    if fields["time_in_force"] == TimeInForce.GTD:
        words.append(f"gtd {write_time(fields['expire_ns'])}")
    elif fields["time_in_force"] in set(TimeInForce) - {usual}:
        words.append(TimeInForce(fields["time_in_force"]).name.lower())
    flags = {FLAG_POST_ONLY: "post-only", FLAG_POST_ONLY | FLAG_SLIDE: "slide"}
    words += [flags[fields["flags"] & 3]] if fields["flags"] & 3 in flags else []
    words += ["anyway"] if fields["flags"] & FLAG_ALLOW_FAILURE else []
    words += [f"{word} {fields[name]}" for word, name in _NUMBERED.items() if fields[name] and word != "trigger"]
    if 0 < fields["self_trade"] <= max(SelfTrade):
        words.append(f"stp {_word(_SELF_TRADES, fields['self_trade'])}")
    if _WORD.fullmatch(fields["client_order_id"]):
        words.append(f"id {fields['client_order_id'].decode()}")
    if fields["contingency"] == Contingency.WAITS_FOR_PARENT:
        words.append("waits")
    if fields["contingency"] in (Contingency.ONE_CANCELS_OTHER, Contingency.ONE_TRIGGERS_OTHER):
        words.append(
            f"{'oco' if fields['contingency'] == Contingency.ONE_CANCELS_OTHER else 'then'} {fields['order_id']}"
        )
    return words

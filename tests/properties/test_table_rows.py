"""Table rows and sums that are made in C say what plain Python makes of the same events."""

import struct
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.orders import tallies
from engine.orders.ledger import Ledger
from engine.orders.rows import fill_rows, order_rows, rejection_rows, trade_rows
from engine.orders.state import OrderState
from engine.records import CLIENT_ORDER_ID_SIZE, DAY_NS, EVENT_SIZE, FLAG_AUCTION, CommandKind, EventKind, Reason
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.commands import client_order_id
from exchange.contracts.events import Event, read_events
from exchange.projections.balances import LEDGER_COLUMNS
from exchange.projections.orders import ORDER_COLUMNS, REJECTION_COLUMNS
from exchange.projections.postings import postings_of
from exchange.projections.trades import FILL_COLUMNS, TRADE_COLUMNS
from exchange.storage import tables
from exchange.storage.tables import fills, ledger_entries, orders, rejections, trades
from tests.support import commands
from tests.support.copied import read_rows

SHARD, FIRST = 7, 100
MINUTE_NS = 60 * 10**9
EVENT = struct.Struct("<BBBBBBHQqIIQQqqqqQQqqqqQ")

SIGNED = st.one_of(
    st.integers(-3, 10**6), st.sampled_from((-(2**63), -(2**62), 2**62, 2**63 - 1)), st.integers(-(2**63), 2**63 - 1)
)
UNSIGNED = st.one_of(st.integers(0, 6), st.integers(0, 2**64 - 1))
BYTE = st.integers(0, 255)
KINDS = st.one_of(st.sampled_from(EventKind), BYTE)

#: Mostly what an engine may tell, and anything else that 136 bytes can hold.
EVENTS = st.tuples(
    KINDS, st.one_of(st.sampled_from((1, 2)), BYTE), BYTE, BYTE, BYTE, BYTE, st.integers(0, 2**16 - 1),
    st.integers(FIRST, FIRST + 3), SIGNED,
    st.one_of(st.integers(1, 3), st.integers(0, 2**32 - 1)), st.one_of(st.integers(1, 3), st.integers(0, 2**32 - 1)),
    UNSIGNED, UNSIGNED, SIGNED, SIGNED, SIGNED, SIGNED, UNSIGNED, UNSIGNED, SIGNED, SIGNED, SIGNED, SIGNED, UNSIGNED,
)  # fmt: skip
#: Kinds that change something, with values that every column holds: the rows themselves are compared.
TOLD = st.sampled_from(
    (
        *[EventKind.TRADED] * 4, EventKind.ACCEPTED, EventKind.TRIGGERED, EventKind.ACTIVATED, EventKind.AMENDED,
        EventKind.CANCELLED, EventKind.PREVENTED, EventKind.DEPOSITED, EventKind.WITHDRAWN, EventKind.REFRESHED,
    )
)  # fmt: skip
SMALL = st.integers(-3, 10**6)
FITTING = st.builds(
    lambda kind, side, flags, sequence, times, asset, ids, numbers, wide: (
        kind, side, 2, 1, flags, 0, 0, sequence, times, asset, 4 - asset, *ids[:2], numbers[0], *numbers[1:3], wide,
        *ids[2:4], *numbers[3:5], *numbers[5:7], ids[4],
    ),
    TOLD, st.sampled_from((1, 2)), BYTE, st.integers(FIRST, FIRST + 3), st.integers(-(2**62), 2**62),
    st.integers(1, 3), st.lists(st.integers(0, 5), min_size=5, max_size=5), st.lists(SMALL, min_size=7, max_size=7),
    st.integers(-(2**62), 2**62),
)  # fmt: skip
BUFFERS = st.one_of(st.lists(FITTING, min_size=1, max_size=30), st.lists(EVENTS, max_size=6)).map(
    lambda events: b"".join(EVENT.pack(*event) for event in sorted(events, key=lambda event: event[7]))
)
COMMANDS = st.lists(
    st.builds(
        lambda kind, version, reference: commands.override(commands.record(kind, reference=reference), version=version),
        st.sampled_from((CommandKind.DEPOSIT, CommandKind.WITHDRAW)),
        st.sampled_from((1, 2)),
        st.sampled_from((b"", b"a", b"ad", b"ad:", b"ad:7", b"wire")),
    ),
    min_size=4,
    max_size=4,
).map(b"".join)
MARKETS = ((2, 1, 10), (3, 1, 1), (3, 2, 2**40))  # base, quote, lot units
CATALOGUE = Catalogue(
    [
        *(commands.define_asset(number, name) for number, name in enumerate(("USD", "BTC", "ETH"), start=1)),
        *(
            commands.define_market(number, f"M/{number}", base, quote, lot_units=lot_units)
            for number, (base, quote, lot_units) in enumerate(MARKETS, start=1)
        ),
    ]
)


def fits(table: Any, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> bool:
    """Whether Postgres could hold the rows."""
    bits = {"SmallInteger": 15, "Integer": 31, "BigInteger": 63, "Boolean": 1, "Numeric": 127, "Text": 0}
    most = [2 ** bits[type(table.c[name].type).__name__] for name in columns]
    return all(
        value is None or isinstance(value, str) or -limit <= value < limit
        for row in rows
        for value, limit in zip(row, most, strict=True)
    )


def traded(buffer: bytes) -> list[Event]:
    return [event for event in read_events(buffer) if event.kind == EventKind.TRADED]


# --- Trades and fills ---------------------------------------------------------------------------------------------


def trade_of(t: Event) -> tuple[Any, ...]:
    return (
        SHARD, t.trade_id, t.sequence, t.market, t.side, t.price_ticks, t.quantity_lots, t.amount, t.order_id,
        t.maker_order_id, t.timestamp_ns, bool(t.flags & FLAG_AUCTION),
    )  # fmt: skip


def fills_of(t: Event) -> tuple[tuple[Any, ...], ...]:
    terms = (t.price_ticks, t.quantity_lots)
    when = (t.sequence, t.timestamp_ns, bool(t.flags & FLAG_AUCTION))
    return (
        (SHARD, t.account, t.trade_id, False, t.order_id, t.market, t.side, *terms, t.taker_fee, *when),
        (SHARD, t.maker_account, t.trade_id, True, t.maker_order_id, t.market, 3 - t.side, *terms, t.maker_fee, *when),
    )


@given(BUFFERS)
def test_trades_and_fills(buffer: bytes) -> None:
    executed = traded(buffer)
    sides = all(trade.side in (1, 2) for trade in executed)
    for rows_of, table, columns, expected in (
        (trade_rows, trades, TRADE_COLUMNS, [trade_of(trade) for trade in executed]),
        (fill_rows, fills, FILL_COLUMNS, [fill for trade in executed for fill in fills_of(trade)]),
    ):
        if sides and fits(table, columns, expected):
            assert read_rows(table, columns, rows_of(SHARD, buffer)) == expected
        else:
            with pytest.raises(ValueError, match="beyond its column"):
                rows_of(SHARD, buffer)


# --- Orders and refusals ------------------------------------------------------------------------------------------

U8, U16, U32, U64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))
WIDE = st.one_of(SIGNED, st.integers(-(2**127), 2**127 - 1))
NAME = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=CLIENT_ORDER_ID_SIZE)
#: Small enough for every column, and anything else that an order can hold.
LIKELY = {"market": st.integers(0, 2**31 - 1), "end_reason": st.integers(0, 2**15 - 1), "prevented_lots": SIGNED}
ANYTHING = {"market": U32, "end_reason": U16, "prevented_lots": WIDE}


def states(some: dict[str, st.SearchStrategy[int]], ids: st.SearchStrategy[int]) -> st.SearchStrategy[OrderState]:
    of_a_field = {
        "client_order_id": st.one_of(st.none(), NAME), "filled_quote_units": WIDE, "fee_units": WIDE,
        "waiting": st.integers(0, 2), "amendments": st.integers(0, 2**31 - 1),
        **dict.fromkeys(("side", "order_type", "time_in_force", "flags", "self_trade", "status"), U8),
        **dict.fromkeys(("order_id", "account", "other_leg_id", "parent_id", "child_id", "sequence"), ids),
    }  # fmt: skip
    return st.builds(OrderState, *((of_a_field | some).get(name, SIGNED) for name in OrderState.FIELDS))


@given(
    st.one_of(
        st.lists(states(LIKELY, st.integers(0, 2**63 - 1)), max_size=4), st.lists(states(ANYTHING, U64), max_size=2)
    )
)
def test_orders(written: list[OrderState]) -> None:
    expected = [(SHARD, *(getattr(order, name) for name in OrderState.FIELDS)) for order in written]
    if fits(orders, ORDER_COLUMNS, expected):
        assert read_rows(orders, ORDER_COLUMNS, order_rows(SHARD, written)) == expected
    else:
        with pytest.raises(ValueError, match="beyond its column"):
            order_rows(SHARD, written)


ORDER_COMMANDS = st.lists(
    st.builds(
        lambda kind, name: commands.override(commands.place(2, 1, 1, 100, 5, client_order_id=name.encode()), kind=kind),
        st.sampled_from((CommandKind.PLACE, CommandKind.CANCEL_REPLACE, CommandKind.CANCEL, CommandKind.MASS_CANCEL)),
        st.one_of(st.just(""), NAME),
    ),
    min_size=4,
    max_size=4,
).map(b"".join)
REFUSED = st.lists(
    st.builds(
        lambda sequence, reason, side, market, lots: EVENT.pack(
            EventKind.REJECTED, side, 2, 1, 3, 0, reason, sequence, 5, market, 0, 0, 9, 100, lots, *[0] * 9
        ),
        st.integers(FIRST, FIRST + 3), st.one_of(st.sampled_from(Reason), U16), BYTE, U32, SIGNED,
    ),
    max_size=6,
)  # fmt: skip


@given(ORDER_COMMANDS, REFUSED, BUFFERS)
def test_refusals(placed: bytes, refused: list[bytes], others: bytes) -> None:
    buffer = b"".join(refused) + others
    expected = []
    for e in read_events(buffer):
        command = placed[(e.sequence - FIRST) * 144 :][:144]
        name = client_order_id(command)
        placing = command[1] in (CommandKind.PLACE, CommandKind.CANCEL_REPLACE)
        if e.kind == EventKind.REJECTED and e.reason != Reason.UNKNOWN_KIND and placing and name is not None:
            expected.append(
                (SHARD, e.sequence, e.account, name, e.reason, e.market, e.side, e.order_type, e.time_in_force,
                 e.flags, e.price_ticks, e.quantity_lots, e.timestamp_ns)
            )  # fmt: skip
    if fits(rejections, REJECTION_COLUMNS, expected):
        rows = rejection_rows(SHARD, FIRST, placed, buffer)
        assert read_rows(rejections, REJECTION_COLUMNS, rows) == expected
    else:
        with pytest.raises(ValueError, match="beyond its column"):
            rejection_rows(SHARD, FIRST, placed, buffer)


# --- The ledger ---------------------------------------------------------------------------------------------------


class PlainLedger:
    """What postings.py makes of events."""

    def __init__(self) -> None:
        self.balances: defaultdict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0, 0])
        self.touched: set[tuple[int, int]] = set()

    def entries(self, placed: bytes, buffer: bytes) -> list[tuple[Any, ...]]:
        """(account, sequence, time of the command's first for the account), and what the view has of an entry."""
        entries: list[tuple[Any, ...]] = []
        times: dict[tuple[int, int], int] = {}
        for event in read_events(buffer):
            command = placed[(event.sequence - FIRST) * 144 :][:144]
            for p in postings_of(event, CATALOGUE, command):
                balance = self.balances[p.account, p.asset]
                balance[:] = balance[0] + p.available_change, balance[1] + p.held_change, event.sequence
                self.touched.add((p.account, p.asset))
                created_ns = times.setdefault((p.account, event.sequence), event.timestamp_ns)
                entries.append(
                    (p.account, event.sequence, created_ns, p.asset, p.kind, p.available_change, p.held_change,
                     *balance[:2], p.order_id or None, p.trade_id or None)
                )  # fmt: skip
        return entries


def packed(entries: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """A row for all entries of a command and account; commands in their order, and accounts by their number."""
    groups: defaultdict[tuple[int, int], list[tuple[Any, ...]]] = defaultdict(list)
    for entry in entries:
        groups[entry[1], entry[0]].append(entry)
    return [
        (SHARD, account, sequence, group[0][2], *(list(values) for values in zip(*(e[3:] for e in group), strict=True)))
        for (sequence, account), group in sorted(groups.items())
    ]


def ledger() -> Ledger:
    ledger = Ledger()
    for market in MARKETS:
        ledger.define(*market)
    return ledger


OF_AN_ENTRY = (
    "account", "sequence", "created_ns", "asset", "kind", "available_change", "held_change", "available_after",
    "held_after", "order_id", "trade_id",
)  # fmt: skip
BALANCE = st.one_of(st.integers(-5, 10**20), st.integers(-(2**126), 2**126))
KNOWN = st.dictionaries(
    st.tuples(st.integers(0, 5), st.integers(1, 3)), st.tuples(BALANCE, BALANCE, st.integers(0, 2**63)), max_size=5
)


@given(KNOWN, COMMANDS, BUFFERS, st.integers(0, 4))
def test_the_ledger(known: dict[tuple[int, int], tuple[int, int, int]], placed: bytes, buffer: bytes, cut: int) -> None:
    plain, compiled = PlainLedger(), ledger()
    for (account, asset), balance in known.items():
        plain.balances[account, asset] = list(balance)
        compiled.learn(account, asset, *balance)
    try:
        expected = plain.entries(placed, buffer)
    except KeyError:  # a market that is not defined
        with pytest.raises(KeyError):
            compiled.rows(SHARD, FIRST, placed, buffer)
        return
    if not fits(ledger_entries, OF_AN_ENTRY, expected):
        with pytest.raises(ValueError, match="column"):
            compiled.rows(SHARD, FIRST, placed, buffer)
        return
    unknown = compiled.unknown(FIRST, placed, buffer)
    assert set(unknown) == plain.touched.difference(known)
    assert len(unknown) == len(set(unknown))
    whole = sum(event.sequence < FIRST + cut for event in read_events(buffer)) * EVENT_SIZE
    rows = b"".join(compiled.rows(SHARD, FIRST, placed, part) for part in (buffer[:whole], buffer[whole:]))
    assert read_rows(tables.ledger, LEDGER_COLUMNS, rows) == packed(expected)
    assert compiled.touched() == [(*key, *plain.balances[key]) for key in sorted(plain.touched)]
    assert compiled.touched() == []
    assert compiled.unknown(FIRST, placed, buffer) == []


def test_many_balances_are_known_until_they_are_forgotten() -> None:
    compiled = ledger()
    for account in range(5_000):
        compiled.learn(account, 1 + account % 3, account, 2 * account, 3)
    assert len(compiled) == 5_000
    deposits = [
        (EventKind.DEPOSITED, 0, 0, 0, 0, 0, 0, FIRST, 0, 0, 1 + account % 3, 0, account, 0, 0, 0, 5, *[0] * 7)
        for account in range(5_000)
    ]
    buffer = b"".join(EVENT.pack(*event) for event in deposits)
    placed = commands.deposit(2, 1, 5)
    assert compiled.unknown(FIRST, placed, buffer) == [(0, 2), (0, 3)]
    compiled.rows(SHARD, FIRST, placed, buffer)
    found = {(account, asset): balance for account, asset, *balance in compiled.touched()}
    assert all(found[account, 1 + account % 3] == [account + 5, 2 * account, FIRST] for account in range(1, 5_000))
    compiled.forget()
    assert len(compiled) == 0
    assert len(compiled.unknown(FIRST, placed, buffer)) == 5_002
    assert compiled.markets == len(MARKETS)


# --- Candles and volumes ------------------------------------------------------------------------------------------


@given(BUFFERS, st.integers(0, 40))
@example(EVENT.pack(EventKind.TRADED, *[1] * 6, FIRST, -(2**63), *[1] * 15), 0)
def test_minutes_and_volumes(buffer: bytes, cut: int) -> None:
    minutes: dict[tuple[int, int], list[int]] = {}
    volumes: defaultdict[tuple[int, int, int], list[int]] = defaultdict(lambda: [0, 0])
    for trade in traded(buffer):
        opened_ns, price_ticks = trade.timestamp_ns // MINUTE_NS * MINUTE_NS, trade.price_ticks
        minute = minutes.setdefault((trade.market, opened_ns), [price_ticks, price_ticks, price_ticks, 0, 0, 0, 0])
        minute[1:4] = max(minute[1], price_ticks), min(minute[2], price_ticks), price_ticks
        minute[4:] = minute[4] + trade.quantity_lots, minute[5] + trade.amount, minute[6] + 1
        if trade.account != trade.maker_account:
            for account in (trade.account, trade.maker_account):
                volume = volumes[account, trade.timestamp_ns // DAY_NS * DAY_NS, trade.market]
                volume[:] = volume[0] + trade.amount, trade.sequence
    compiled_minutes, compiled_volumes = tallies.Minutes(), tallies.Volumes()
    for part in (buffer[: cut * EVENT_SIZE], buffer[cut * EVENT_SIZE :]):
        compiled_minutes.take(part)
        compiled_volumes.take(part)
    assert compiled_minutes.rows() == [(*key, *minute) for key, minute in sorted(minutes.items())]
    assert compiled_volumes.rows() == [(*key, *volume) for key, volume in sorted(volumes.items())]


# --- Buffers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, EVENT_SIZE - 1, EVENT_SIZE + 1])
def test_parts_of_records_are_refused(size: int) -> None:
    placed = bytes(144)
    for read in (
        lambda events: trade_rows(SHARD, events),
        lambda events: rejection_rows(SHARD, 0, placed, events),
        lambda events: fill_rows(SHARD, events),
        lambda events: tallies.Minutes().take(events),
        lambda events: tallies.Volumes().take(events),
        lambda events: ledger().rows(SHARD, 0, placed, events),
        lambda events: ledger().unknown(0, placed, events),
    ):
        with pytest.raises(ValueError, match="136-byte records"):
            read(bytes(size))
    with pytest.raises(ValueError, match="144-byte records"):
        ledger().rows(SHARD, 0, bytes(143), b"")


@pytest.mark.parametrize("sequence", [0, FIRST - 1, FIRST + 2, 2**64 - 1])
def test_an_event_of_no_command_is_refused(sequence: int) -> None:
    event = EVENT.pack(EventKind.DEPOSITED, *[0] * 6, sequence, *[0] * 16)
    for take in (
        ledger().unknown,
        lambda *buffers: ledger().rows(SHARD, *buffers),
        lambda *buffers: rejection_rows(SHARD, *buffers),
    ):
        with pytest.raises(ValueError, match="no command"):
            take(FIRST, bytes(2 * 144), event)


def test_no_more_markets_than_there_may_be() -> None:
    full = Ledger()
    for _ in range(1_024):
        full.define(2, 1, 1)
    with pytest.raises(ValueError, match="market 1025"):
        full.define(2, 1, 1)

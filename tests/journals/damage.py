"""Ways to damage a snapshot of the fast engine, each with a name: by accident, and with a checksum that fits again."""

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Damaged = tuple[str, bytes]


def _layout(fields: str) -> np.dtype[np.void]:
    return np.dtype([(name, kind) for name, kind in (field.split(":") for field in fields.split())])


# The layout of snapshot version 1 (docs/engine.md). The definitions are command records.
HEADER = _layout(
    "magic:S4 version:<u4 sequence:<u8 trades:<u8 digest:<u8 assets:<u4 markets:<u4 orders:<u4 balances:<u4"
)
ASSET = _layout("header:V32 asset:<u4 scale:<u4 name:S16 padding:V88")
MARKET = _layout(
    "header:V32 market:<u4 base:<u4 quote:<u4 maker_fee_ppm:<u4 taker_fee_ppm:<u4 reserved:<u4 lot_units:<i8 "
    "tick_lot_units:<i8 quantity_lots_min:<i8 quantity_lots_max:<i8 notional_units_min:<i8 price_ticks_max:<i8 "
    "symbol:S24 padding:V16"
)
ORDER = _layout(
    "order_id:<u8 account:<u8 remaining_lots:<i8 quantity_lots:<i8 price_ticks:<u4 market:<u4 side:u1 flags:u1 "
    "padding:V6"
)
BALANCE = _layout("account:<u8 asset:<u4 padding:<u4 available_low:<u8 available_high:<i8 held_low:<u8 held_high:<i8")
TABLES = {"assets": ASSET, "markets": MARKET, "orders": ORDER, "balances": BALANCE}

_NUMBERS = (0, 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
_INT64 = (0, -1, -(2**63), 2**62, 2**63 - 1)
_ABSURD: dict[str, dict[str, tuple[Any, ...]]] = {
    "assets": {"asset": (0, 2, 2**32 - 1), "scale": (19, 2**32 - 1), "name": (b"", b"usd", b"\xff", b"BTC")},
    "markets": {
        "market": (0, 2, 2**32 - 1),
        "base": (0, 1, 99, 2**32 - 1),
        "quote": (0, 2, 99, 2**32 - 1),
        "maker_fee_ppm": (100_001, 2**32 - 1),
        "taker_fee_ppm": (100_001, 2**32 - 1),
        "lot_units": _INT64,
        "tick_lot_units": _INT64,
        "quantity_lots_min": _INT64,
        "quantity_lots_max": _INT64,
        "notional_units_min": (-1, -(2**63), 2**62, 2**63 - 1),
        "price_ticks_max": (*_INT64, 2**32),
        "symbol": (b"", b"BTC USD", b"\x7f", b"ETH/USD"),
    },
    "orders": {
        "order_id": (0, 2**32, 2**64 - 1),
        "account": (0, 1, 2**64 - 1),
        "remaining_lots": _INT64,
        "quantity_lots": _INT64,
        "price_ticks": (0, 2**32 - 1),
        "market": (0, 99, 2**16 + 1, 2**32 - 1),
        "side": (0, 3, 255),
        "flags": (255,),
    },
    "balances": {
        "account": (1, 2**64 - 1),
        "asset": (0, 99, 257, 2**32 - 1),
        "available_high": (1, -1, -(2**63), 2**63 - 1),
        "held_high": (1, -1, -(2**63), 2**63 - 1),
    },
}


def sealed(content: bytes) -> bytes:
    """The snapshot's bytes, all but its checksum, with the checksum that fits."""
    return content + zlib.crc32(content).to_bytes(4, "little")


def accidents(image: bytes, seed: int) -> Iterator[Damaged]:
    """Cut off, grown, a bit flipped, a piece overwritten: the checksum or the length tells."""
    rng = np.random.default_rng(seed)
    for size in rng.integers(0, len(image), 60):
        yield f"cut to {size} bytes", image[:size]
    yield "one byte more", image + b"\0"
    yield "twice", image + image
    for at in rng.integers(0, len(image), 300):
        flipped = bytearray(image)
        flipped[at] ^= 1 << int(rng.integers(8))
        yield f"a bit of byte {at} flipped", bytes(flipped)


def forgeries(image: bytes, seed: int) -> Iterator[Damaged]:
    """Random bytes and extreme numbers at random places, under a checksum that fits."""
    rng = np.random.default_rng(seed)
    content = image[:-4]
    for _ in range(400):
        at, value = int(rng.integers(len(content))), int(rng.integers(256))
        yield f"byte {at} set to {value}", sealed(content[:at] + bytes([value]) + content[at + 1 :])
    for _ in range(800):
        size = int(rng.choice([4, 8]))
        at, value = int(rng.integers(len(content) // 4 - 1)) * 4, int(rng.choice(_NUMBERS)) % 2 ** (8 * size)
        changed = content[:at] + value.to_bytes(size, "little") + content[at + size :]
        yield f"{size} bytes at {at} set to {value}", sealed(changed[: len(content)])
    for size in rng.integers(0, len(content), 60):
        yield f"cut to {size} bytes", sealed(content[:size])


class Snapshot:
    """A snapshot of version 1 in pieces that can be changed."""

    def __init__(self, image: bytes) -> None:
        self.header: Any = np.frombuffer(image, HEADER, 1).copy()
        self.tables: dict[str, Any] = {}
        at = HEADER.itemsize
        for name, layout in TABLES.items():
            self.tables[name] = np.frombuffer(image, layout, int(self.header[name][0]), at).copy()
            at += self.tables[name].nbytes
        assert at == len(image) - 4

    def sealed(self) -> bytes:
        """As bytes, with the counts as the header has them."""
        return sealed(b"".join([self.header.tobytes(), *(table.tobytes() for table in self.tables.values())]))

    def counted(self) -> bytes:
        """As bytes, with the counts as they are."""
        for name, table in self.tables.items():
            self.header[name] = len(table)
        return self.sealed()


def absurdities(image: bytes) -> Iterator[Damaged]:
    """What no shard of version 1 can have saved, under a checksum that fits."""
    yield from _absurd_fields(image)
    yield from _absurd_counts(image)
    yield from _absurd_tables(image)


def _absurd_fields(image: bytes) -> Iterator[Damaged]:
    for table, fields in _ABSURD.items():
        for field, values in fields.items():
            for value in values:
                snapshot = Snapshot(image)
                middle = len(snapshot.tables[table]) // 2 if table in ("orders", "balances") else 0
                snapshot.tables[table][field][middle] = value
                yield f"{field} of {table}[{middle}] = {value!r}", snapshot.counted()


def _absurd_counts(image: bytes) -> Iterator[Damaged]:
    """Other counts for the same bytes; mostly with the same length, since three orders are as long as a definition."""
    changes: list[dict[str, int]] = [
        *({name: by} for name in TABLES for by in (1, -1, 2**31)),
        *({"assets": by, "markets": -by} for by in (1, -1, 2, -2)),
        *({"orders": by, "balances": -by} for by in (1, -1, 3, -20)),
        *(
            {one: by, other: -3 * by}
            for one in ("assets", "markets")
            for other in ("orders", "balances")
            for by in (1, -1)
        ),
    ]
    for change in changes:
        snapshot = Snapshot(image)
        for name, by in change.items():
            snapshot.header[name] = (int(snapshot.header[name][0]) + by) % 2**32
        yield f"counts changed by {change}", snapshot.sealed()


def _absurd_tables(image: bytes) -> Iterator[Damaged]:
    changes: dict[str, Callable[[Any], Any]] = {
        "none": lambda table: table[:0],
        "the last twice": lambda table: np.concatenate([table, table[-1:]]),
        "all twice": lambda table: np.concatenate([table, table]),
        "the first 1,100 times": lambda table: np.repeat(table[:1], 1_100),
        "all zero": lambda table: np.zeros_like(table),
    }
    for name in TABLES:
        for how, change in changes.items():
            snapshot = Snapshot(image)
            snapshot.tables[name] = change(snapshot.tables[name])
            yield f"{name}: {how}", snapshot.counted()

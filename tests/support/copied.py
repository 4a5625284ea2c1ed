"""Read what was made for Postgres' COPY in its binary format: every field by the type of its column."""

import struct
from collections.abc import Callable
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Boolean, Integer, LargeBinary, Numeric, SmallInteger, Table, Text
from sqlalchemy.types import TypeEngine

Value = int | bool | str | bytes | None | list["int | bool | str | None"]


def _number(size: int) -> Callable[[bytes], Value]:
    def read(field: bytes) -> int:
        assert len(field) == size
        return int.from_bytes(field, "big", signed=True)

    return read


def _boolean(field: bytes) -> bool:
    assert field in (b"\0", b"\1")
    return field == b"\1"


def _numeric(field: bytes) -> int:
    count, weight, sign, scale = struct.unpack_from(">hhHh", field)
    groups = struct.unpack_from(f">{count}h", field, 8)
    assert len(field) == 8 + 2 * count
    assert scale == 0
    assert sign in (0, 0x4000)
    assert all(0 <= group < 10_000 for group in groups)
    assert not groups or groups[0], "no zeros before the number"
    value = sum(group * 10_000 ** (weight - at) for at, group in enumerate(groups))
    return -value if sign else value


_READERS: dict[type, Callable[[bytes], Value]] = {
    SmallInteger: _number(2),
    Integer: _number(4),
    BigInteger: _number(8),
    Boolean: _boolean,
    Numeric: _numeric,
    Text: bytes.decode,
    LargeBinary: bytes,
}


#: Of what arrays are made: `SELECT oid FROM pg_type`.
_OIDS = {SmallInteger: 21, Integer: 23, BigInteger: 20, Numeric: 1700}


def _reader(column: TypeEngine[Any]) -> Callable[[bytes], Value]:
    if isinstance(column, ARRAY):
        return _array(type(column.item_type))
    return _READERS[type(column)]


def _array(of: type) -> Callable[[bytes], Value]:
    def read(field: bytes) -> list[Any]:
        dimensions, has_null, oid, count, first = struct.unpack_from(">5i", field)
        assert (dimensions, oid, first) == (1, _OIDS[of], 1)
        elements, at = [], 20
        for _ in range(count):
            size = int.from_bytes(field[at : at + 4], "big", signed=True)
            elements.append(None if size < 0 else _READERS[of](field[at + 4 : at + 4 + size]))
            at += 4 + max(size, 0)
        assert at == len(field)
        assert has_null in (0, 1)
        assert has_null or None not in elements
        return elements

    return read


def read_rows(table: Table, columns: tuple[str, ...], rows: bytes) -> list[tuple[Value, ...]]:
    """Return the rows of a COPY without its begin and end, fields in the order of ``columns``."""
    readers = [_reader(table.c[name].type) for name in columns]
    found, at = [], 0
    while at < len(rows):
        assert int.from_bytes(rows[at : at + 2], "big") == len(columns)
        at += 2
        row: list[Value] = []
        for read in readers:
            size = int.from_bytes(rows[at : at + 4], "big", signed=True)
            row.append(None if size < 0 else read(rows[at + 4 : at + 4 + size]))
            at += 4 + max(size, 0)
        found.append(tuple(row))
    assert at == len(rows)
    return found

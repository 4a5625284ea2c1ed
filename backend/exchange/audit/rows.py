"""A table's rows in the order in which the journal makes them, and the comparison with what it makes."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import asyncpg

from exchange.audit.report import Report

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]  # generic in its stubs only
else:
    Connection = asyncpg.Connection

Row = tuple[Any, ...]
Key = tuple[Any, ...]
_ROWS_AT_ONCE = 5_000


class OrderedRows:
    """A cursor over a query whose rows come in ascending order of ``key``. Holds at most one reading of rows."""

    def __init__(self, connection: Connection, query: str, arguments: Sequence[object], key: Callable[[Row], Any]):
        self._connection = connection
        self._query = query
        self._arguments = arguments
        self._key = key
        self._cursor: Any = None
        self._read: list[Row] = []

    async def upto(self, last: Any) -> list[Row]:
        """Return the next rows, as far as their key is not greater than ``last``."""
        found: list[Row] = []
        while await self._fill():
            rows, key = self._read, self._key
            if key(rows[-1]) <= last:
                found += rows
                self._read = []
                continue
            end = next(number for number, row in enumerate(rows) if key(row) > last)
            found += rows[:end]
            self._read = rows[end:]
            break
        return found

    async def next(self) -> list[Row]:
        """Return the next reading of rows, empty at the end."""
        await self._fill()
        rows, self._read = self._read, []
        return rows

    async def _fill(self) -> bool:
        if not self._read:
            if self._cursor is None:
                self._cursor = await self._connection.cursor(self._query, *self._arguments)
            self._read = [tuple(record) for record in await self._cursor.fetch(_ROWS_AT_ONCE)]
        return bool(self._read)


class Comparison:
    """Compares rows that a table holds with those that it should hold, and reports each that differs."""

    def __init__(self, report: Report, part: str, columns: Sequence[str], key: Callable[[Row], Key], sequence: str):
        self._report = report
        self._part = part
        self._columns = columns
        self._key = key
        self._sequence = columns.index(sequence)
        self.compared = 0

    def compare(self, found: list[Row], expected: list[Row]) -> None:
        """Compare a run of rows, both in the order of the key."""
        self.compared += len(expected)
        if found == expected:
            return
        held = {self._key(row): row for row in found}
        for row in expected:
            one = held.pop(self._key(row), None)
            if one is None:
                self._find(row, f"row {self._name(row)} is missing")
            elif one != row:
                self._find(row, f"row {self._name(row)}: {self._differences(one, row)}")
        for row in held.values():
            self._find(row, f"row {self._name(row)} is not the journal's")

    def _find(self, row: Row, what: str) -> None:
        self._report.find(self._part, row[self._sequence], what)

    def _name(self, row: Row) -> str:
        return "/".join(map(str, self._key(row)))

    def _differences(self, found: Row, expected: Row) -> str:
        named = zip(self._columns, found, expected, strict=True)
        return ", ".join(
            f"{name} is {is_one} and should be {should}" for name, is_one, should in named if is_one != should
        )

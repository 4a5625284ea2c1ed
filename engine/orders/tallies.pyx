"""Sums over trades: minutes of markets, and what accounts traded in a day.

Both take buffers of whole event records, of which the trades count. ValueError: the buffer is no whole number of records.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cimport cython
from engine.matching.types cimport *
from engine.orders.buffers cimport records_of

cdef int64_t MINUTE_NS = 60 * <int64_t>1000000000


cdef inline int128_t floored(int64_t timestamp_ns, int64_t length_ns) noexcept nogil:
    """The start of the minute or day that a time is in, before 1970 too."""
    cdef int64_t rest = timestamp_ns % length_ns  # of C: negative for a negative time
    return <int128_t>timestamp_ns - rest - (length_ns if rest < 0 else 0)


@cython.final
cdef class Minute:
    """The trades of a market within a minute."""

    cdef uint32_t market
    cdef int128_t opened_ns
    cdef int64_t open_ticks
    cdef int64_t high_ticks
    cdef int64_t low_ticks
    cdef int64_t close_ticks
    cdef int128_t volume_lots
    cdef int128_t quote_units
    cdef int64_t trades

    cdef void take(self, const Event* trade) noexcept:
        self.high_ticks = max(self.high_ticks, trade.price_ticks)
        self.low_ticks = min(self.low_ticks, trade.price_ticks)
        self.close_ticks = trade.price_ticks
        self.volume_lots += trade.quantity_lots
        self.quote_units += trade.amount
        self.trades += 1


cdef class Minutes:
    cdef dict _minutes      # (market, opened_ns) -> Minute
    cdef Minute _latest     # most trades are of the same minute as the one before

    def __cinit__(self):
        self._minutes = {}

    def take(self, const uint8_t[::1] events not None):
        cdef Py_ssize_t count, at
        cdef const Event* records = records_of(events, &count)
        for at in range(count):
            if records[at].kind == TRADED:
                self._of(&records[at]).take(&records[at])

    cdef Minute _of(self, const Event* trade):
        cdef int128_t opened_ns = floored(trade.timestamp_ns, MINUTE_NS)
        cdef Minute minute = self._latest
        if minute is not None and minute.market == trade.market and minute.opened_ns == opened_ns:
            return minute
        minute = self._minutes.get((trade.market, opened_ns))
        if minute is None:
            minute = self._minutes[trade.market, opened_ns] = Minute.__new__(Minute)
            minute.market, minute.opened_ns = trade.market, opened_ns
            minute.open_ticks = minute.high_ticks = minute.low_ticks = trade.price_ticks
        self._latest = minute
        return minute

    def rows(self):
        """Return (market, opened_ns, open, high, low, close, volume_lots, quote_units, trades), by key."""
        cdef Minute m
        return [
            (m.market, m.opened_ns, m.open_ticks, m.high_ticks, m.low_ticks, m.close_ticks, m.volume_lots,
             m.quote_units, m.trades)
            for _, m in sorted(self._minutes.items(), key=key_of)
        ]


@cython.final
cdef class Volume:
    """What an account traded in a market within a day."""

    cdef int128_t quote_units
    cdef uint64_t sequence


cdef class Volumes:
    cdef dict _volumes      # (account, day_ns, market) -> Volume

    def __cinit__(self):
        self._volumes = {}

    def take(self, const uint8_t[::1] events not None):
        cdef Py_ssize_t count, at
        cdef const Event* records = records_of(events, &count)
        for at in range(count):
            if records[at].kind == TRADED and records[at].account != records[at].maker_account:
                self._count(records[at].account, &records[at])
                self._count(records[at].maker_account, &records[at])

    cdef int _count(self, uint64_t account, const Event* trade) except -1:
        cdef tuple key = (account, floored(trade.timestamp_ns, DAY_NS()), trade.market)
        cdef Volume volume = self._volumes.get(key)
        if volume is None:
            volume = self._volumes[key] = Volume.__new__(Volume)
        volume.quote_units += trade.amount
        volume.sequence = trade.sequence
        return 0

    def rows(self):
        """Return (account, day_ns, market, quote_units, sequence), by key."""
        cdef Volume volume
        return [(*key, volume.quote_units, volume.sequence) for key, volume in sorted(self._volumes.items(), key=key_of)]


def key_of(item):
    return item[0]

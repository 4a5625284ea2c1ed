"""Latencies counted in buckets, so that any number of them fits in bounded memory."""

from collections import Counter
from fractions import Fraction

_SIGNIFICANT_BITS = 9  # a bucket is at most 1/256 (0.4 %) wide


class LatencyHistogram:
    """Counts nanoseconds; every percentile it tells is at most 0.4 % above the true one, the maximum is exact."""

    def __init__(self) -> None:
        self.count = 0
        self.max_ns = 0
        self._buckets: Counter[int] = Counter()  # upper bound (inclusive) -> count

    def add(self, latency_ns: int) -> None:
        """Count one latency, >= 0."""
        shift = max(latency_ns.bit_length() - _SIGNIFICANT_BITS, 0)
        self._buckets[((latency_ns >> shift) + 1 << shift) - 1] += 1
        self.count += 1
        self.max_ns = max(self.max_ns, latency_ns)

    def percentile_ns(self, percent: Fraction) -> int:
        """The latency that `percent` (above 0, to 100) of the calls did not exceed (nearest rank); 0 without calls."""
        rank = -(-self.count * percent // 100)
        for bound, count in sorted(self._buckets.items()):
            rank -= count
            if rank <= 0:
                return min(bound, self.max_ns)
        return 0

    def summary_ms(self) -> dict[str, float]:
        """p50, p90, p99, p99.9 and max in milliseconds."""
        marks = {"p50": Fraction(50), "p90": Fraction(90), "p99": Fraction(99), "p99.9": Fraction(999, 10)}
        summary = {name: round(self.percentile_ns(percent) / 1e6, 3) for name, percent in marks.items()}
        return summary | {"max": round(self.max_ns / 1e6, 3)}

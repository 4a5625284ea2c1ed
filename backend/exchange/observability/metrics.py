"""The metrics of a process, for Prometheus. Names and labels are what monitoring/ queries.

Labels have few values: a route is its template, never a path; an unknown method counts as OTHER. Whoever measures on
the path of an order binds its label values once (``METRIC.labels(...)``) and keeps the child.
"""

import bisect
import itertools
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import event
from sqlalchemy.engine import Connection, ExecutionContext
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.ext.asyncio import AsyncEngine

REGISTRY = CollectorRegistry()

_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ORDER_BUCKETS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_MATCHING_BUCKETS = (1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 5e-3, 2.5e-2)


class Buckets:
    """The counts of a histogram. For one thread, and several times cheaper than the library's, which is for many."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        self._counts[bisect.bisect_left(self._bounds, value)] += times
        self.sum += value * times

    def cumulative(self) -> list[tuple[str, float]]:
        """(upper bound, observations up to it), as a metric family takes them."""
        names = [*(str(bound) for bound in self._bounds), "+Inf"]
        return [(name, float(count)) for name, count in zip(names, itertools.accumulate(self._counts), strict=True)]


class WeightedHistogram(Collector):
    """A histogram that takes a whole batch at once: one value, so many times. For one thread."""

    def __init__(self, name: str, documentation: str, bounds: tuple[float, ...]) -> None:
        self._name = name
        self._documentation = documentation
        self._buckets = Buckets(bounds)
        self.observe = self._buckets.observe

    def collect(self) -> Iterable[Metric]:
        buckets = self._buckets
        yield HistogramMetricFamily(
            self._name, self._documentation, buckets=buckets.cumulative(), sum_value=buckets.sum
        )


class RequestObserver:
    """Counts and times the requests of one method and route. For one thread: the one that answers them."""

    def __init__(self, method: str, route: str) -> None:
        self.labels = (method, route)
        self.by_status: dict[int, int] = {}
        self.seconds = Buckets(_REQUEST_BUCKETS)

    def observe(self, status: int, seconds: float) -> None:
        self.by_status[status] = self.by_status.get(status, 0) + 1
        self.seconds.observe(seconds)


class RequestsCollector(Collector):
    """The requests answered, by method, route and status, and how long they took."""

    def __init__(self) -> None:
        self._observers: dict[tuple[str, str], RequestObserver] = {}

    def observer(self, method: str, route: str) -> RequestObserver:
        """Return the observer of a method and a route's template."""
        labels = (method if method in _METHODS else "OTHER", route)
        observer = self._observers.get(labels)
        if observer is None:
            observer = self._observers[labels] = RequestObserver(*labels)
        return observer

    def collect(self) -> Iterable[Metric]:
        answered = CounterMetricFamily("http_requests", "HTTP requests answered", labels=["method", "route", "status"])
        took = HistogramMetricFamily("http_request_duration_seconds", "Time to answer", labels=["method", "route"])
        for observer in list(self._observers.values()):
            for status, count in list(observer.by_status.items()):
                answered.add_metric([*observer.labels, str(status)], count)
            took.add_metric(observer.labels, observer.seconds.cumulative(), observer.seconds.sum)
        yield answered
        yield took


_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
REQUESTS = RequestsCollector()
REGISTRY.register(REQUESTS)
#: The observer of a method and a route's template: whoever measures every order keeps it.
request_observer = REQUESTS.observer


def observe_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count and time one request. ``route``: its template."""
    request_observer(method, route).observe(status, seconds)


CONNECTIONS_ACTIVE = Gauge("http_connections_active", "HTTP requests being answered now", registry=REGISTRY)

ORDER_SECONDS = WeightedHistogram(
    "exchange_order_processing_seconds", "From an order's arrival at the writer to its durable answer", _ORDER_BUCKETS
)
REGISTRY.register(ORDER_SECONDS)
MATCHING_SECONDS = Histogram(
    "exchange_matching_seconds",
    "The engine's time for a batch of commands",
    buckets=_MATCHING_BUCKETS,
    registry=REGISTRY,
)
JOURNAL_COMMIT_SECONDS = Histogram(
    "exchange_journal_commit_seconds", "Making a batch durable", buckets=_ORDER_BUCKETS, registry=REGISTRY
)
COMMANDS = Counter("exchange_commands_total", "Commands sequenced", ["kind", "outcome"], registry=REGISTRY)
TRADES = Counter("exchange_trades_total", "Trades", ["symbol"], registry=REGISTRY)
SEQUENCE = Gauge("exchange_sequence", "The last durable command", registry=REGISTRY)
PROJECTION_LAG = Gauge(
    "exchange_projection_lag", "Commands that a projection is behind the journal", ["projection"], registry=REGISTRY
)
BOOK_DEPTH_LEVELS = Gauge(
    "exchange_book_depth_levels",
    "Price levels with resting orders, 1000 at most",
    ["symbol", "side"],
    registry=REGISTRY,
)
STREAM_SUBSCRIBERS = Gauge("exchange_stream_subscribers", "WebSocket subscriptions", registry=REGISTRY)
STREAM_CONNECTIONS = Gauge("exchange_stream_connections", "WebSocket connections", registry=REGISTRY)
STREAM_CONFLATED = Counter(
    "exchange_stream_conflated_total", "Updates that became a part of a later one", registry=REGISTRY
)
STREAM_SLOW_CONSUMERS = Counter(
    "exchange_stream_slow_consumers_total",
    "Connections ended because their client did not read",
    ["cause"],
    registry=REGISTRY,
)
STREAM_RESUMES = Counter(
    "exchange_stream_resumes_total", "Subscriptions that asked for what they missed", ["outcome"], registry=REGISTRY
)
STREAM_ROUND_SECONDS = Histogram(
    "exchange_stream_round_seconds",
    "From something to tell until every subscriber's turn was",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
    registry=REGISTRY,
)

DATABASE_QUERY_SECONDS = Histogram(
    "database_query_seconds", "SQL statements", buckets=_REQUEST_BUCKETS, registry=REGISTRY
)
DATABASE_POOL_CONNECTIONS = Gauge("database_pool_connections", "Connections of the pool", ["state"], registry=REGISTRY)
DATABASE_UP = Gauge("database_up", "Whether the database answered when last asked", registry=REGISTRY)
DATABASE_SIZE_BYTES = Gauge("database_size_bytes", "The database on disk", registry=REGISTRY)


def observe_queries(engine: AsyncEngine) -> None:
    """Time every statement of an engine, and keep the pool's gauges true."""

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def begin(
        connection: Connection,
        cursor: DBAPICursor,
        statement: str,
        parameters: object,
        context: ExecutionContext,
        many: bool,
    ) -> None:
        connection.info["statement_began"] = time.perf_counter()

    @event.listens_for(engine.sync_engine, "after_cursor_execute")
    def end(
        connection: Connection,
        cursor: DBAPICursor,
        statement: str,
        parameters: object,
        context: ExecutionContext,
        many: bool,
    ) -> None:
        DATABASE_QUERY_SECONDS.observe(time.perf_counter() - connection.info["statement_began"])

    pool = engine.sync_engine.pool
    for state, count in (("used", "checkedout"), ("idle", "checkedin")):
        DATABASE_POOL_CONNECTIONS.labels(state).set_function(getattr(pool, count))


class HostCollector(Collector):
    """What the process, its disk and the host's network use, read at scrape."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first reading is always 0: it starts the interval
        self.disks: set[Path] = set()

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "process_cpu_percent", "CPU of the process since the last scrape", self._process.cpu_percent()
        )
        free = GaugeMetricFamily("disk_free_bytes", "Free space where the path lies", labels=["path"])
        for path in sorted(self.disks):
            if path.exists():
                free.add_metric([str(path)], psutil.disk_usage(str(path)).free)
        yield free
        network = CounterMetricFamily("network_bytes", "Bytes through the host's interfaces", labels=["direction"])
        counters = psutil.net_io_counters()
        if counters is not None:
            network.add_metric(["received"], counters.bytes_recv)
            network.add_metric(["sent"], counters.bytes_sent)
        yield network


class TransactionsCollector(Collector):
    """Postgres' own count of transactions, as last read from pg_stat_database."""

    total = 0

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily("database_transactions", "Transactions of the database, ours and others'", self.total)


HOST = HostCollector()
TRANSACTIONS = TransactionsCollector()
REGISTRY.register(HOST)
REGISTRY.register(TRANSACTIONS)
PlatformCollector(registry=REGISTRY)
ProcessCollector(registry=REGISTRY)  # process_resident_memory_bytes, process_cpu_seconds_total, file descriptors
